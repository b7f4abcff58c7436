"""Offers of a shift as rows; who changes one must find it as they believe it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from tocsin.store.db import new_id
from tocsin.store.tables import swaps


def offer(
    connection: Connection,
    schedule_id: str,
    user_id: str,
    begins_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> str:
    """Keep an offer; return its id."""
    id_ = new_id("swp", now)
    connection.execute(
        insert(swaps).values(
            id=id_,
            schedule_id=schedule_id,
            user_id=user_id,
            begins_at=begins_at,
            ends_at=ends_at,
            created_at=now,
        )
    )
    return id_


def swap(connection: Connection, schedule_id: str, id_: str) -> RowMapping | None:
    """Return an offer, withdrawn or not; None if there never was one."""
    query = select(swaps).where(swaps.c.id == id_, swaps.c.schedule_id == schedule_id)
    return connection.execute(query).mappings().first()


def open_offers(
    connection: Connection, schedule_ids: Collection[str], now: datetime, limit: int
) -> Sequence[RowMapping]:
    """Return the offers of some schedules that can still be taken, the nearest first."""
    query = (
        select(swaps)
        .where(swaps.c.taken_by_id.is_(None), swaps.c.deleted_at.is_(None), swaps.c.ends_at > now)
        .where(swaps.c.schedule_id.in_(schedule_ids))
        .order_by(swaps.c.begins_at, swaps.c.id)
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def take(connection: Connection, id_: str, user_id: str, now: datetime) -> bool:
    """Let somebody have it; False if it was no longer to be had."""
    return _while_open(connection, id_, taken_by_id=user_id, taken_at=now)


def withdraw(connection: Connection, id_: str, now: datetime) -> bool:
    """Take an offer back; False if it was no longer open."""
    return _while_open(connection, id_, deleted_at=now)


def _while_open(connection: Connection, id_: str, **values: Any) -> bool:
    is_open = (swaps.c.id == id_, swaps.c.taken_by_id.is_(None), swaps.c.deleted_at.is_(None))
    return connection.execute(update(swaps).where(*is_open).values(**values)).rowcount == 1


def set_override(connection: Connection, id_: str, override_id: str) -> None:
    """Note the override that a taken offer became."""
    connection.execute(update(swaps).where(swaps.c.id == id_).values(override_id=override_id))


def made(connection: Connection, override_id: str) -> bool:
    """Whether an override is an offer that was taken."""
    query = select(swaps.c.id).where(swaps.c.override_id == override_id)
    return connection.scalar(query) is not None
