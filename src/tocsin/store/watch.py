"""What was last told of a schedule."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from tocsin.store.db import insert_many
from tocsin.store.tables import schedule_watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What people know of a schedule."""

    schedule_id: str
    #: Who was on call when it was looked at last.
    user_ids: tuple[str, ...] = ()
    #: By what the holes that were told last are known, and when that was.
    told_gaps: str | None = None
    told_gaps_at: datetime | None = None


def load(connection: Connection, schedule_id: str) -> Watch:
    """Read it; of one never looked at, nobody knows anything. Hold the schedule's job before."""
    query = select(schedule_watch).where(schedule_watch.c.schedule_id == schedule_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return Watch(schedule_id=schedule_id)
    return Watch(**{**row, "user_ids": tuple(row["user_ids"])})


def put_on_call(connection: Connection, schedule_id: str, user_ids: Collection[str]) -> None:
    """Note who is on call."""
    _put(connection, schedule_id, user_ids=list(user_ids))


def put_told(
    connection: Connection, schedule_id: str, digest: str | None, at: datetime | None
) -> None:
    """Note which holes were told."""
    _put(connection, schedule_id, user_ids=[], told_gaps=digest, told_gaps_at=at)


def _put(connection: Connection, schedule_id: str, **values: Any) -> None:
    changed = [name for name in values if name != "user_ids" or len(values) == 1]
    sets = ", ".join(f"{name} = excluded.{name}" for name in changed)
    insert_many(
        connection,
        schedule_watch,
        [{"schedule_id": schedule_id, **values}],
        f"(schedule_id) DO UPDATE SET {sets}",
    )


def watched(connection: Connection) -> list[str]:
    """Return the schedules of which anything was told."""
    return list(connection.scalars(select(schedule_watch.c.schedule_id)))


def forget(connection: Connection, schedule_ids: Collection[str]) -> None:
    """Know nothing of these any more."""
    connection.execute(
        delete(schedule_watch).where(schedule_watch.c.schedule_id.in_(sorted(schedule_ids)))
    )
