"""Do in Sentry what people did here: lease, ask Sentry outside any transaction, write it down.

The tasks were written in the transaction of what they came from. One connection's are done one by
one, in order; another's do not wait for them. What cannot be done is tried again, and in the end
given up where people see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from tocsin.core.context import short
from tocsin.core.mirror import (
    SAID,
    Act,
    Done,
    Order,
    Task,
    TaskState,
    Verdict,
    superseded,
    until_of,
)
from tocsin.core.model import Incident, TimelineKind
from tocsin.core.plans import Plans
from tocsin.core.reconcile import AFTER_ERRORS
from tocsin.core.retry import MAX_RETRY_AFTER, backoff
from tocsin.sentry.client import Place
from tocsin.store import contexts, incidents, jobs, sentry, sentrytasks
from tocsin.store.db import Database
from tocsin.store.jobs import Job, Kind
from tocsin.store.plans import PlansCache
from tocsin.store.sentry import SentryConnection
from tocsin.store.sentrytasks import Finished
from tocsin.store.vault import Vault, WrongKeys

#: Connections at a time, tasks of each, and how long they are nobody else's.
AT_ONCE = 10
TASKS = 5
LEASE = timedelta(minutes=3)

#: No task is begun so long after the first; each has its own time from then on.
BEGIN_WITHIN = timedelta(seconds=45)

#: How long a task is tried; what only looks is of use for a while.
GIVE_UP: Mapping[Act, timedelta] = {
    **dict.fromkeys(Act, timedelta(hours=24)),
    Act.CONTEXT: timedelta(hours=1),
}

_SEALED = (
    "the secret keys do not open its token: set TOCSIN_SECRET_KEYS to those that it was kept with,"
    " or connect with Sentry again"
)

#: Who did it, on timelines.
_BY = "tocsin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to be done over one connection now."""

    job: Job
    place: Place
    orders: tuple[Order, ...]
    #: When the lease of the tasks ends; who writes down how they went must still have it.
    until: datetime


class Mirror:
    """Knows what is to be done in Sentry, and writes down how it went."""

    def __init__(
        self, database: Database, plans: PlansCache, vault: Vault, public_url: str
    ) -> None:
        """Take what it needs; ``public_url`` is the base of links to incidents."""
        self._database = database
        self._plans = plans
        self._vault = vault
        self._public_url = public_url.rstrip("/")

    def begin(self, now: datetime) -> list[Batch]:
        """Lease what is due, connection by connection; drop what no longer holds here."""
        return self._database.run(lambda connection: self._begin(connection, now))

    def _begin(self, connection: Connection, now: datetime) -> list[Batch]:
        batches = []
        for job in jobs.claim(connection, Kind.SENTRY, now, LEASE, AT_ONCE):
            try:
                there = sentry.find(connection, self._vault, job.subject_id)
            except WrongKeys:
                wait_for_keys(connection, job, now)
                continue
            if there is None:
                sentrytasks.drop_all(connection, job.subject_id, now, "disconnected from Sentry")
                jobs.finish(connection, [job])
                continue
            until = now + LEASE
            tasks = sentrytasks.begin(connection, there.id, now, until, TASKS)
            orders = self._orders(connection, there, tasks, until, now)
            if orders:
                place = place_of(there)
                batches.append(Batch(job=job, place=place, orders=tuple(orders), until=until))
            else:
                _put_next(connection, job)
        return batches

    def _orders(
        self,
        connection: Connection,
        there: SentryConnection,
        tasks: Sequence[Task],
        until: datetime,
        now: datetime,
    ) -> list[Order]:
        if not tasks:
            return []
        known = incidents.load(connection, [task.incident_id for task in tasks])
        fires = sentrytasks.firing(connection, there.integration_id, tasks)
        ours = sentrytasks.done_before(connection, tasks)
        orders: list[Order] = []
        dropped: list[Finished] = []
        for task in tasks:
            incident = known.get(task.incident_id)
            why = superseded(task, incident, now, fires=task.issue_id in fires)
            if why is not None or incident is None:
                dropped.append(_dropped(task, until, now, why))
                continue
            number = incident.number or 0
            orders.append(
                Order(
                    task=task,
                    ours=ours[task.issue_id],
                    web_url=f"{self._public_url}/incidents/{number}",
                    number=number,
                    installation_id=there.installation_id,
                    has_name=there.actor_type == "application",
                )
            )
        sentrytasks.finish(connection, dropped)
        return orders

    def finish(self, batch: Batch, results: Sequence[Done], now: datetime) -> None:
        """Write down how tasks went; those without a result were not begun."""

        def work(connection: Connection) -> None:
            _finish(connection, self._plans.current(connection), batch, results, now)

        self._database.run(work)


def place_of(there: SentryConnection) -> Place:
    """Return where a connection leads, and what opens it."""
    return Place(host=there.host, organization=there.organization, token=there.token)


def wait_for_keys(connection: Connection, job: Job, now: datetime) -> None:
    """Put a job off whose connection's token cannot be opened, where people see it."""
    wait = AFTER_ERRORS[min(job.failures, len(AFTER_ERRORS) - 1)]
    sentry.note_error(connection, job.subject_id, _SEALED, now)
    jobs.retry(connection, job, now + wait, _SEALED)


def _dropped(task: Task, until: datetime, now: datetime, why: str | None) -> Finished:
    return Finished(
        task=task, state=TaskState.DROPPED, at=now, until=until, error=why, was_tried=False
    )


def _put_next(connection: Connection, job: Job) -> None:
    """Let the connection be looked at when the next of its tasks is due, if there is one."""
    due = sentrytasks.next_due(connection, job.subject_id)
    if due is None:
        jobs.finish(connection, [job])
    elif jobs.finish(connection, [job]):
        sentrytasks.wake(connection, [job.subject_id], due)
    else:
        # Somebody asked for more meanwhile, and whoever looked then found this under way.
        jobs.postpone(connection, [(Kind.SENTRY, job.subject_id, due)])


def _finish(
    connection: Connection, plans: Plans, batch: Batch, results: Sequence[Done], now: datetime
) -> None:
    went = {result.task.id: _finished(result, batch, now) for result in results}
    left = [order.task for order in batch.orders if order.task.id not in went]
    recorded = sentrytasks.finish(
        connection,
        [*went.values(), *(_untouched(task, batch, now) for task in left)],
    )
    told = [result for result in results if result.task.id in recorded]
    known = incidents.load(connection, [result.task.incident_id for result in told])
    rows = [
        row
        for result in told
        if (row := _entry(result, went[result.task.id], known[result.task.incident_id], now))
    ]
    incidents.add_entries(connection, rows)
    for result in told:
        _keep_context(connection, plans, result, went[result.task.id], now)
    for result in told:
        again_at = went[result.task.id].again_at
        if result.is_everywhere and again_at is not None:
            sentrytasks.hold(connection, batch.job.subject_id, again_at)
    _put_next(connection, batch.job)


def _untouched(task: Task, batch: Batch, now: datetime) -> Finished:
    return Finished(task=task, state=TaskState.PENDING, at=now, until=batch.until, was_tried=False)


def _finished(result: Done, batch: Batch, now: datetime) -> Finished:
    task = result.task
    state, again_at = TaskState.DONE, None
    if result.has_failed:
        asked = min(result.retry_after or timedelta(), MAX_RETRY_AFTER)
        again_at = now + max(asked, backoff(task.attempts + 1))
        if not result.is_temporary or again_at > task.created_at + GIVE_UP[task.act]:
            again_at = None
        state = TaskState.PENDING if again_at else TaskState.FAILED
    elif result.verdict is Verdict.DROP:
        state = TaskState.DROPPED
    return Finished(
        task=task,
        state=state,
        at=now,
        until=batch.until,
        error=result.why or None,
        again_at=again_at,
    )


def _entry(
    result: Done, went: Finished, incident: Incident, now: datetime
) -> dict[str, Any] | None:
    """Write what was done, or could not be, for the timeline; of several tries only the first."""
    task = result.task
    said = SAID[task.act]
    kind, text = TimelineKind.NOTE, ""
    if went.state is TaskState.DONE and result.context is not None:
        known = ", ".join(f"{name.lower()} {text}" for name, text in short(result.context))
        text = f"Sentry says: {known}" if known else ""
    elif went.state is TaskState.DONE and result.verdict is Verdict.DO:
        text = "" if task.act is Act.LINK else f"{said} in Sentry{_more(task)}"
    elif went.state is TaskState.DROPPED:
        text = f"not {said} in Sentry: {result.why}"
    elif task.act is Act.CONTEXT:
        return None
    elif went.state is TaskState.FAILED:
        tries = f" (given up after {task.attempts + 1} tries)" if result.is_temporary else ""
        kind, text = TimelineKind.ERROR, f"could not be {said} in Sentry: {result.why}{tries}"
    elif result.has_failed and task.attempts == 0:
        kind = TimelineKind.ERROR
        text = f"could not be {said} in Sentry yet, and is tried again: {result.why}"
    if not text:
        return None
    return incidents.entry(incident, now, kind, text, _BY, {"sentry_task": task.id})


def _more(task: Task) -> str:
    if task.act is Act.ASSIGN:
        return f" to {task.payload['email']}"
    until = until_of(task)
    return f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""


def _keep_context(
    connection: Connection, plans: Plans, result: Done, went: Finished, now: datetime
) -> None:
    task = result.task
    if task.act is not Act.CONTEXT:
        return
    if result.context is not None:
        document = msgspec.to_builtins(result.context)
        contexts.save(connection, task.incident_id, task.service_id, now, document, None)
        service = plans.services.get(task.service_id)
        if service and service.pages_suspect_author and result.context.suspects:
            lanes = {task.incident_id: task.service_id}
            jobs.put(connection, [(Kind.SUSPECT, task.incident_id, now)], lanes)
    elif went.state is TaskState.FAILED:
        contexts.save(connection, task.incident_id, task.service_id, now, None, result.why)
