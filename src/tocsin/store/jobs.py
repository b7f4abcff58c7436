"""Due work: what must happen at a time.

A job is put by a key that says what it is about. Work that needs only the database takes it under
a row lock and finishes it in the same transaction. Work that calls out claims it: its time moves to
the end of a lease, and only who holds the latest lease may finish it. Either way a worker that dies
leaves a job that is due again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)

from tocsin.store.db import insert_many, update_many
from tocsin.store.tables import Instant, jobs


class Kind(StrEnum):
    """What a job does; its subject is the incident or notification it does it to."""

    ESCALATE = "escalate"
    WAKE = "wake"
    RESOLVE = "resolve"
    RAISE = "raise"
    RELEASE = "release"
    #: Page who wrote the commit that Sentry suspects.
    SUSPECT = "suspect"
    RECONSIDER = "reconsider"
    NOTIFY = "notify"
    SWEEP = "sweep"
    #: To a schedule: tell whose time on call begins and ends.
    HANDOFF = "handoff"
    #: To a schedule: look for gaps ahead.
    COVERAGE = "coverage"
    #: See which schedules there are to look at, and whether any was changed.
    WATCH = "watch"
    #: The subject is `store.calendars.subject` of its address.
    CALENDAR = "calendar"
    #: The subject is a one-time link that is to be mailed.
    MAIL = "mail"
    #: To a connection with Sentry: do what is to be done there, task by task.
    SENTRY = "sentry"
    #: To a connection with Sentry: ask what its webhooks did not tell.
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A claimed job."""

    key: str
    kind: Kind
    subject_id: str
    lease: int
    failures: int


def put(
    connection: Connection,
    due: Iterable[tuple[Kind, str, datetime]],
    lanes: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Let jobs be due; one that exists is moved, and whoever works on it has lost its lease.

    ``lanes`` has whose each new job is, by its subject: those of one lane do not hold up others.
    """
    rows = [
        {
            "key": f"{kind}:{subject}",
            "kind": kind.value,
            "subject_id": subject,
            "due_at": at,
            "lane": lanes.get(subject, ""),
        }
        for kind, subject, at in due
    ]
    insert_many(
        connection,
        jobs,
        rows,
        "(key) DO UPDATE SET due_at = excluded.due_at, lease = jobs.lease + 1,"
        " failures = 0, last_error = NULL, buried_at = NULL",
    )


def take_back(connection: Connection, due: Iterable[tuple[Kind, str]]) -> None:
    """Let jobs not happen."""
    keys = [f"{kind}:{subject}" for kind, subject in due]
    if keys:
        connection.execute(delete(jobs).where(jobs.c.key.in_(keys)))


def take(connection: Connection, kind: Kind, now: datetime, limit: int) -> list[Job]:
    """Lock the jobs of a kind that are due, oldest first, for work done in this transaction.

    Whoever takes them finishes them here and now; if the transaction dies they are due as before.
    Where they fill the batch, the oldest of each other lane go first.
    """
    return [job for job, _ in _due(connection, kind, now, limit)]


def claim(
    connection: Connection, kind: Kind, now: datetime, lease: timedelta, limit: int
) -> list[Job]:
    """Lease jobs as ``take`` takes them, for work done outside a transaction."""
    found = [job for job, _ in _due(connection, kind, now, limit)]
    if found:
        connection.execute(
            update(jobs)
            .where(jobs.c.key.in_([job.key for job in found]))
            .values(due_at=now + lease, lease=jobs.c.lease + 1)
        )
    return [replace(job, lease=job.lease + 1) for job in found]


def _due(connection: Connection, kind: Kind, now: datetime, limit: int) -> list[tuple[Job, str]]:
    """Lock what is due, with its lane: the oldest, and before them the oldest of other lanes."""
    query = select(
        jobs.c.key, jobs.c.subject_id, jobs.c.lease, jobs.c.failures, jobs.c.lane
    ).with_for_update(skip_locked=True)

    def locked(*which: ColumnElement[bool]) -> list[tuple[Job, str]]:
        rows = connection.execute(
            query.where(*_is_due(kind, now), *which).order_by(jobs.c.due_at).limit(limit)
        ).mappings()
        return [
            (Job(kind=kind, **{name: row[name] for name in _NAMES}), row["lane"]) for row in rows
        ]

    found = locked()
    if len(found) < limit or limit == 1:
        return found
    asked = {"kind": kind.value, "now": now, "seen": sorted({lane for _, lane in found})}
    others = [key for key in connection.scalars(_OTHERS, asked) if key is not None]
    if not others:
        return found
    # Of more lanes than there is room for, those that wait longest, wherever their names sort.
    first = locked(jobs.c.key.in_(others))[: limit // 2]
    return [*first, *found[: limit - len(first)]]


_NAMES = ("key", "subject_id", "lease", "failures")

#: The oldest job of each lane that is not seen: one look into the index for each, however many jobs
#: there are.
_OTHERS = text(
    """
    WITH RECURSIVE lanes(lane) AS (
        SELECT min(lane) FROM jobs WHERE kind = :kind AND buried_at IS NULL
        UNION ALL
        SELECT (SELECT min(j.lane) FROM jobs AS j
                WHERE j.kind = :kind AND j.buried_at IS NULL AND j.lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT (SELECT j.key FROM jobs AS j
            WHERE j.kind = :kind AND j.buried_at IS NULL AND j.lane = lanes.lane
            AND j.due_at <= :now ORDER BY j.due_at LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL AND lanes.lane NOT IN :seen
    """
).bindparams(bindparam("seen", expanding=True), bindparam("now", type_=Instant()))


def _is_due(kind: Kind, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return jobs.c.kind == kind.value, jobs.c.due_at <= now, jobs.c.buried_at.is_(None)


def finish(connection: Connection, done: Iterable[Job]) -> int:
    """Remove jobs; return how many were still held. One that another took over stays."""
    held = [(job.key, job.lease) for job in done]
    if not held:
        return 0
    query = delete(jobs).where(tuple_(jobs.c.key, jobs.c.lease).in_(held))
    return connection.execute(query).rowcount


def postpone(connection: Connection, due: Iterable[tuple[Kind, str, datetime]]) -> None:
    """Move jobs, whoever held them keeping their lease; one that somebody works on now stays."""
    rows = {f"{kind}:{subject}": at for kind, subject, at in due}
    if not rows:
        return
    free = connection.scalars(
        select(jobs.c.key)
        .where(jobs.c.key.in_(sorted(rows)), jobs.c.buried_at.is_(None))
        .with_for_update(skip_locked=True)
    )
    update_many(connection, jobs, "key", [{"key": key, "due_at": rows[key]} for key in free])


def retry(connection: Connection, job: Job, due_at: datetime, error: str) -> None:
    """Let a job that failed be due again."""
    _note(connection, job, error, due_at=due_at)


def bury(connection: Connection, job: Job, now: datetime, error: str) -> None:
    """Give a job up, where people can see it."""
    _note(connection, job, error, buried_at=now)


def _note(connection: Connection, job: Job, error: str, **values: datetime) -> None:
    connection.execute(
        update(jobs)
        .where(jobs.c.key == job.key, jobs.c.lease == job.lease)
        .values(failures=jobs.c.failures + 1, last_error=error[:500], **values)
    )


def next_due(connection: Connection) -> datetime | None:
    """Return when the next job is due."""
    at: datetime | None = connection.scalar(
        select(func.min(jobs.c.due_at)).where(jobs.c.buried_at.is_(None))
    )
    return at


def overdue_count(connection: Connection, before: datetime) -> int:
    """Count jobs that should have been taken before a time."""
    query = (
        select(func.count())
        .select_from(jobs)
        .where(jobs.c.due_at < before, jobs.c.buried_at.is_(None))
    )
    return connection.scalar(query) or 0


def buried_count(connection: Connection) -> int:
    """Count jobs that were given up."""
    query = select(func.count()).select_from(jobs).where(jobs.c.buried_at.is_not(None))
    return connection.scalar(query) or 0


def exists(connection: Connection, kind: Kind, subject: str) -> bool:
    """Whether a job waits (or lies buried) under this key."""
    return (
        connection.scalar(select(jobs.c.key).where(jobs.c.key == f"{kind}:{subject}")) is not None
    )


def due_kinds(connection: Connection, now: datetime) -> frozenset[Kind]:
    """Return the kinds of which something is due: one cheap look before anybody takes a lock."""
    query = select(jobs.c.kind).where(jobs.c.due_at <= now, jobs.c.buried_at.is_(None)).distinct()
    return frozenset(Kind(kind) for kind in connection.scalars(query))


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried:
    """A job that was given up."""

    kind: str
    subject_id: str
    failures: int
    last_error: str | None
    buried_at: datetime


def buried(connection: Connection, limit: int) -> list[Buried]:
    """Return jobs that were given up, the latest first."""
    query = (
        select(*(jobs.c[name] for name in Buried.__dataclass_fields__))
        .where(jobs.c.buried_at.is_not(None))
        .order_by(jobs.c.buried_at.desc())
        .limit(limit)
    )
    return [Buried(**row) for row in connection.execute(query).mappings()]
