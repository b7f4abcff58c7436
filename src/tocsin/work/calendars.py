"""Read the calendars that layers take their shifts from, again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tocsin.store import calendars, jobs
from tocsin.store.db import Database
from tocsin.store.jobs import Job, Kind

#: How often each is asked for.
EVERY = timedelta(minutes=10)

#: The wait after the n-th failure in a row; past the end the last one holds.
AFTER_ERRORS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 10, 30, 60))

#: Events are worked out for a window that moves: at least so often even for the same calendar.
READ_ANEW = timedelta(days=1)

#: Calendars at a time, and the longest that one batch may take: each child has its minute.
AT_ONCE = 4
LEASE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """A calendar to be read now."""

    job: Job
    url: str
    #: What the server called the events we have; None to get them whatever they are.
    etag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one errand went: an error, or events, or neither where nothing has changed."""

    errand: Errand
    events: Sequence[Mapping[str, Any]] | None = None
    etag: str | None = None
    error: str | None = None


class Librarian:
    """Knows which calendars to read, and keeps what was read."""

    def __init__(self, database: Database) -> None:
        """Take what it needs."""
        self._database = database

    def begin(self, now: datetime) -> list[Errand]:
        """Lease the calendars that are due; drop the jobs of those nobody uses any more."""
        return self._database.run(lambda connection: _begin(connection, now))

    def finish(self, done: Sequence[Result], now: datetime) -> None:
        """Keep what was read, and say when to look again; an error leaves the events as they are.

        Each for itself: a large one does not hold the others up.
        """
        for one in done:
            self._database.run(partial(_finish, one, now))


def _begin(connection: Connection, now: datetime) -> list[Errand]:
    claimed = jobs.claim(connection, Kind.CALENDAR, now, LEASE, AT_ONCE)
    if not claimed:
        return []
    found = calendars.find(connection, [job.subject_id for job in claimed])
    jobs.finish(connection, [job for job in claimed if job.subject_id not in found])
    return [
        Errand(job=job, url=one.url, etag=_etag(one, now))
        for job in claimed
        if (one := found.get(job.subject_id))
    ]


def _etag(one: calendars.Calendar, now: datetime) -> str | None:
    is_fresh = one.fetched_at is not None and now - one.fetched_at < READ_ANEW
    return one.etag if is_fresh else None


def _finish(one: Result, now: datetime, connection: Connection) -> None:
    job, url = one.errand.job, one.errand.url
    if one.error is not None:
        wait = AFTER_ERRORS[min(job.failures, len(AFTER_ERRORS) - 1)]
        calendars.note_error(connection, url, now, one.error)
        jobs.retry(connection, job, now + wait, one.error)
        return
    if one.events is None:
        is_used = calendars.note_unchanged(connection, url, now)
    else:
        is_used = calendars.save(connection, url, one.events, one.etag, now)
    # A job that lost its lease to another is that one's to put.
    if jobs.finish(connection, [job]) and is_used:
        jobs.put(connection, [(Kind.CALENDAR, job.subject_id, now + EVERY)])
