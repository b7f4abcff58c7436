"""Take the steps that are due, end what was quiet for a time, resolve what ends by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core import effects as fx
from tocsin.core.escalation import look
from tocsin.core.incident import resolve, wake
from tocsin.core.model import (
    TOCSIN,
    Incident,
)
from tocsin.core.plans import (
    Plans,
)
from tocsin.core.retry import MAX_JOB_ATTEMPTS, backoff
from tocsin.store import jobs
from tocsin.store.casebook import Casebook
from tocsin.store.db import Database
from tocsin.store.jobs import Job, Kind
from tocsin.store.plans import PlansCache
from tocsin.work.batches import batch_or_each


def _look(incident: Incident, plans: Plans, now: datetime) -> Sequence[fx.Effect]:
    return look(incident, plans, now)


def _wake(incident: Incident, _plans: Plans, _now: datetime) -> Sequence[fx.Effect]:
    return wake(incident)


def _resolve(incident: Incident, _plans: Plans, _now: datetime) -> Sequence[fx.Effect]:
    text = "Sentry's test is over" if incident.is_test else "resolved by itself after its time"
    return resolve(incident, TOCSIN, text)


#: What each kind of job about an incident asks the core.
ASK: dict[Kind, Callable[[Incident, Plans, datetime], Sequence[fx.Effect]]] = {
    Kind.ESCALATE: _look,
    Kind.WAKE: _wake,
    Kind.RESOLVE: _resolve,
}


class Clockwork:
    """Does to incidents what is due by the clock."""

    def __init__(self, database: Database, plans: PlansCache) -> None:
        """Take what it needs."""
        self._database = database
        self._plans = plans

    def work(self, kind: Kind, now: datetime, limit: int = 200) -> int:
        """Do jobs of one kind that are due, at most ``limit``; return how many were done.

        A batch that fails is done again job by job; the one that keeps failing is buried.
        """

        def batch(size: int, taken: list[Job]) -> int:
            return self._database.run(
                lambda connection: self._batch(connection, kind, now, size, taken)
            )

        return batch_or_each(batch, limit, lambda job, error: self._fail(job, now, error))

    def _batch(
        self, connection: Connection, kind: Kind, now: datetime, limit: int, taken: list[Job]
    ) -> int:
        taken[:] = jobs.take(connection, kind, now, limit)
        if not taken:
            return 0
        plans = self._plans.current(connection)
        book = Casebook(connection, plans, now)
        # Whoever holds an incident now (a person who acknowledges) may be waiting for our jobs:
        # we never wait for theirs, and come back.
        book.load_incidents((job.subject_id for job in taken), skip_locked=True)
        free = [job for job in taken if book.incident(job.subject_id) is not None]
        # Before the effects: those may put a job of the same key anew.
        jobs.finish(connection, free)
        for job in free:
            incident = book.incident(job.subject_id)
            assert incident is not None
            book.apply(ASK[kind](incident, plans, now), incident_id=incident.id)
        book.save()
        return len(free)

    def _fail(self, job: Job, now: datetime, error: Exception) -> None:
        def note(connection: Connection) -> None:
            text = f"{type(error).__name__}: {error}"
            if job.failures + 1 >= MAX_JOB_ATTEMPTS:
                jobs.bury(connection, job, now, text)
            else:
                jobs.retry(connection, job, now + backoff(job.failures + 1), text)

        self._database.run(note)
