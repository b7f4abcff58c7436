"""Calendars that layers are read from, and the secret addresses that schedules are read under."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Select, delete, insert, or_, select, update

from tocsin.core.model import TOCSIN
from tocsin.store import jobs
from tocsin.store.audit import Change
from tocsin.store.db import insert_many, new_id
from tocsin.store.jobs import Kind
from tocsin.store.plans import changed
from tocsin.store.tables import calendar_feeds, calendars, schedules
from tocsin.store.vault import key_hash, new_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """A calendar as it was read last."""

    url: str
    #: As ``store/schedules.py`` reads them; in the order of their beginnings.
    events: Sequence[Mapping[str, Any]]
    etag: str | None
    #: When it was last asked for.
    tried_at: datetime | None
    #: When ``events`` were read.
    fetched_at: datetime | None
    #: Why the last try gave no events; None when it did.
    error: str | None


def subject(url: str) -> str:
    """Return what a calendar's job is about: an address may be longer than a key."""
    return hashlib.sha256(url.encode()).hexdigest()[:40]


def arm(connection: Connection, now: datetime) -> None:
    """Let exactly the calendars in use be read: new ones now, and none that no layer names."""
    used = set(_urls(connection))
    known = set(connection.scalars(select(calendars.c.url)))
    rows = [{"url": url, "events": []} for url in sorted(used - known)]
    insert_many(connection, calendars, rows, "(url) DO NOTHING")
    jobs.put(
        connection,
        [
            (Kind.CALENDAR, subject(url), now)
            for url in sorted(used)
            if url not in known or not jobs.exists(connection, Kind.CALENDAR, subject(url))
        ],
    )
    unused = sorted(known - used)
    if unused:
        connection.execute(delete(calendars).where(calendars.c.url.in_(unused)))
        jobs.take_back(connection, [(Kind.CALENDAR, subject(url)) for url in unused])


def _urls(connection: Connection) -> Iterator[str]:
    """Yield the address of every calendar that a living schedule names."""
    for layers in connection.scalars(
        select(schedules.c.layers).where(schedules.c.deleted_at.is_(None))
    ):
        yield from (layer["calendar"] for layer in layers if layer.get("calendar"))


def find(connection: Connection, subjects: Sequence[str]) -> dict[str, Calendar]:
    """Return calendars by the subjects of their jobs, without their events."""
    columns = (column for column in calendars.c if column is not calendars.c.events)
    found = connection.execute(select(*columns)).mappings()
    named = {subject(row["url"]): Calendar(events=(), **row) for row in found}
    return {one: named[one] for one in subjects if one in named}


def load_all(connection: Connection) -> list[Calendar]:
    """Return every calendar, by address."""
    rows = connection.execute(select(calendars).order_by(calendars.c.url)).mappings()
    return [Calendar(**row) for row in rows]


def note_unchanged(connection: Connection, url: str, now: datetime) -> bool:
    """Note that it is still as it was read; return whether it is still in use."""
    return _note(connection, url, tried_at=now, error=None)


def note_error(connection: Connection, url: str, now: datetime, error: str) -> bool:
    """Note that it could not be read, which leaves what was; return whether it is in use."""
    return _note(connection, url, tried_at=now, error=error[:500])


def save(
    connection: Connection,
    url: str,
    events: Sequence[Mapping[str, Any]],
    etag: str | None,
    now: datetime,
) -> bool:
    """Keep what was read; return whether it is still in use.

    Only other events than before count as a change of configuration.
    """
    before = connection.scalar(select(calendars.c.events).where(calendars.c.url == url))
    values: dict[str, Any] = {}
    if before != list(events):
        # First of all, as whoever applies a file does: neither then waits for the other in turn.
        host = urlsplit(url).hostname or ""
        changed(connection, now, TOCSIN, Change(kind="calendar.changed", subject=host))
        values["events"] = events
    return _note(connection, url, tried_at=now, fetched_at=now, etag=etag, error=None, **values)


def _note(connection: Connection, url: str, **values: Any) -> bool:
    done = connection.execute(update(calendars).where(calendars.c.url == url).values(**values))
    return done.rowcount > 0


# -- feeds ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A secret address; of ``user_id`` and ``schedule_id`` exactly one is given."""

    id: str
    user_id: str | None
    schedule_id: str | None
    created_at: datetime


def _feeds() -> Select[Any]:
    columns = calendar_feeds.c
    query: Select[Any] = select(
        columns.id, columns.user_id, columns.schedule_id, columns.created_at
    ).where(columns.deleted_at.is_(None))
    return query


def create_feed(
    connection: Connection, user_id: str | None, schedule_id: str | None, now: datetime
) -> tuple[Feed, str]:
    """Make a feed; its key is told here and never again, for only its hash is kept."""
    key = new_key("cal")
    feed = Feed(id=new_id("fed", now), user_id=user_id, schedule_id=schedule_id, created_at=now)
    connection.execute(
        insert(calendar_feeds).values(
            id=feed.id,
            key_hash=key_hash(key),
            user_id=user_id,
            schedule_id=schedule_id,
            created_at=now,
        )
    )
    return feed, key


def find_feed(connection: Connection, key: str) -> Feed | None:
    """Return the living feed of a key."""
    query = _feeds().where(calendar_feeds.c.key_hash == key_hash(key))
    row = connection.execute(query).mappings().first()
    return None if row is None else Feed(**row)


def feed_page(
    connection: Connection,
    user_id: str | None,
    schedule_ids: Collection[str] | None,
    after: str | None,
    limit: int,
) -> list[Feed]:
    """Return living feeds, the newest first: of one person or of all, of all schedules or some."""
    columns = calendar_feeds.c
    query = _feeds().order_by(columns.id.desc()).limit(limit)
    if user_id is not None:
        query = query.where(columns.user_id == user_id)
    if schedule_ids is not None:
        of_none = columns.schedule_id.is_(None)
        query = query.where(or_(of_none, columns.schedule_id.in_(schedule_ids)))
    if after is not None:
        query = query.where(columns.id < after)
    return [Feed(**row) for row in connection.execute(query).mappings()]


def feed(connection: Connection, id_: str) -> Feed | None:
    """Return a living feed."""
    row = connection.execute(_feeds().where(calendar_feeds.c.id == id_)).mappings().first()
    return None if row is None else Feed(**row)


def revoke_feed(connection: Connection, id_: str, now: datetime) -> None:
    """Let an address lead nowhere."""
    connection.execute(
        update(calendar_feeds)
        .where(calendar_feeds.c.id == id_, calendar_feeds.c.deleted_at.is_(None))
        .values(deleted_at=now)
    )
