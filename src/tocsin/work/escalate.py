"""Take the steps that are due, end what was quiet for a time, resolve what ends by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core import effects as fx
from tocsin.core.escalation import look
from tocsin.core.incident import leave, raise_urgency, wake
from tocsin.core.model import (
    Incident,
)
from tocsin.core.noise import over
from tocsin.core.plans import (
    Plans,
)
from tocsin.core.retry import MAX_JOB_ATTEMPTS, backoff
from tocsin.core.suppress import release
from tocsin.core.suspect import Suspicion, page_author
from tocsin.store import calendars, contexts, incidents, jobs, sentry
from tocsin.store.casebook import Casebook
from tocsin.store.db import Database
from tocsin.store.jobs import Job, Kind
from tocsin.store.plans import PlansCache
from tocsin.work.batches import batch_or_each


@dataclass(slots=True)
class Facts:
    """What is loaded for a batch of jobs of one kind, beside its incidents."""

    book: Casebook
    suspicions: Mapping[str, Suspicion] = field(default_factory=dict)
    #: Of each integration that is connected with Sentry, until when Sentry was asked.
    asked: Mapping[str, datetime | None] = field(default_factory=dict)


#: Given an incident as it is, and what is loaded with it, what a job asks for.
Ask = Callable[[Incident, Plans, datetime, Facts], Sequence[fx.Effect]]


#: What each kind of job about an incident asks the core.
ASK: dict[Kind, Ask] = {
    Kind.ESCALATE: lambda incident, plans, now, facts: look(incident, plans, now, facts.book.turns),
    Kind.WAKE: lambda incident, _plans, _now, _facts: wake(incident),
    Kind.RESOLVE: lambda incident, plans, now, facts: over(
        incident,
        plans.services.get(incident.service_id),
        facts.book.alerts_of(incident.id),
        now,
        facts.asked,
    ),
    Kind.RAISE: lambda incident, plans, now, _facts: raise_urgency(
        incident, plans.services.get(incident.service_id), now
    ),
    Kind.RELEASE: lambda incident, plans, now, _facts: release(
        incident, plans.maintenance_windows, now, plans.services.get(incident.service_id)
    ),
    Kind.SUSPECT: lambda incident, plans, now, facts: page_author(
        incident, plans, facts.suspicions.get(incident.id, Suspicion()), now
    ),
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
        if kind is Kind.ESCALATE:
            book.load_turns()
        free = [job for job in taken if book.incident(job.subject_id) is not None]
        facts = self._facts(connection, kind, book, [job.subject_id for job in free])
        # Before the effects: those may put a job of the same key anew.
        jobs.finish(connection, free)
        for job in free:
            incident = book.incident(job.subject_id)
            assert incident is not None
            book.apply(ASK[kind](incident, plans, now, facts), incident_id=incident.id)
        book.save()
        return len(free)

    @staticmethod
    def _facts(
        connection: Connection, kind: Kind, book: Casebook, incident_ids: Sequence[str]
    ) -> Facts:
        if kind is Kind.RESOLVE:
            book.load_alerts_of(incident_ids)
            return Facts(book, asked=sentry.asked_until(connection))
        if kind is Kind.SUSPECT:
            return Facts(book, suspicions=contexts.suspicions(connection, incident_ids))
        return Facts(book)

    def reconsider(self, now: datetime) -> int:
        """Look again at what a change of configuration concerns.

        Of open incidents: another policy is in force, people left, there may be somebody to page
        at last, maintenance or support hours are at another time, or another noise rule holds or
        ends them. And layers may read other calendars.
        """

        def work(connection: Connection) -> int:
            taken = jobs.take(connection, Kind.RECONSIDER, now, 1)
            if not taken:
                return 0
            jobs.finish(connection, taken)
            calendars.arm(connection, now)
            concerned = incidents.with_another_policy(connection)
            leavers = incidents.leavers(connection)
            plans = self._plans.current(connection)
            book = Casebook(connection, plans, now)
            book.load_incidents(leavers)
            for id_, people in leavers.items():
                for who in people:
                    if incident := book.incident(id_):
                        book.apply(leave(incident, who, now), incident_id=id_)
            book.save()
            incidents.drop_leavers(connection, leavers)
            suppressed = incidents.suppressed(connection)
            jobs.put(connection, [(Kind.ESCALATE, id_, now) for id_ in concerned])
            jobs.put(connection, [(Kind.RELEASE, id_, now) for id_ in suppressed])
            quiet = incidents.of_support_hours(connection)
            jobs.put(connection, [(Kind.RAISE, id_, now) for id_ in quiet])
            ending = [one.id for one in plans.services.values() if one.noise.quiet_after]
            unwatched = incidents.without_end(connection, ending)
            jobs.put(connection, [(Kind.RESOLVE, id_, now) for id_ in unwatched])
            return 1

        return self._database.run(work)

    def _fail(self, job: Job, now: datetime, error: Exception) -> None:
        def note(connection: Connection) -> None:
            text = f"{type(error).__name__}: {error}"
            if job.failures + 1 >= MAX_JOB_ATTEMPTS:
                jobs.bury(connection, job, now, text)
            else:
                jobs.retry(connection, job, now + backoff(job.failures + 1), text)

        self._database.run(note)
