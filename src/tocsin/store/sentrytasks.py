"""What is to be done in Sentry: a task for each thing and issue, a job for each connection.

The job says when a connection has something to do; who claims it leases the tasks, so that a task
is in one pair of hands at a time, whatever becomes of the job meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    case,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)

from tocsin.core.mirror import (
    CHANGES,
    LOOKS,
    Act,
    Ask,
    Ours,
    Task,
    TaskState,
    Trace,
    issue_of,
    left_by,
)
from tocsin.core.model import Incident
from tocsin.core.plans import SentryLink
from tocsin.store import jobs
from tocsin.store.db import insert_many, new_id
from tocsin.store.jobs import Kind
from tocsin.store.tables import alerts, incident_alerts, sentry_tasks

_ERROR = 500

_PENDING = sentry_tasks.c.state == TaskState.PENDING.value


def put(
    connection: Connection,
    asked: Sequence[tuple[Incident, Ask]],
    sentry: Mapping[str, SentryLink],
    now: datetime,
) -> None:
    """Let this be done in Sentry about every issue of these incidents, where it is switched on."""
    by_people = {incident.id for incident, ask in asked if ask not in LOOKS}
    issues = _issues(connection, by_people) if by_people else {}
    rows: list[dict[str, Any]] = []
    for incident, ask in asked:
        once = ask in LOOKS
        own = [(incident.integration_id or "", incident.dedup_key)]
        for integration_id, dedup_key in own if once else issues.get(incident.id, ()):
            link, issue_id = sentry.get(integration_id), issue_of(dedup_key)
            if link is not None and issue_id is not None and ask.is_on(link.switches):
                when = "" if once else f":{now.isoformat()}:{len(rows)}"
                rows.append({
                    "id": new_id("snt", now),
                    "connection_id": link.id,
                    "service_id": incident.service_id,
                    "incident_id": incident.id,
                    "issue_id": issue_id,
                    "act": ask.act.value,
                    "payload": dict(ask.payload),
                    "key": f"{ask.act}:{incident.id}:{issue_id}{when}",
                    "state": TaskState.PENDING.value,
                    "due_at": now,
                    "created_at": now,
                })  # fmt: skip
    insert_many(connection, sentry_tasks, rows, "(key) DO NOTHING")
    # In one order, for several transactions may put the same ones.
    wake(connection, sorted({row["connection_id"] for row in rows}), now)


def wake(connection: Connection, connection_ids: Sequence[str], at: datetime) -> None:
    """Let the tasks of connections be looked at."""
    jobs.put(connection, [(Kind.SENTRY, id_, at) for id_ in connection_ids])


def _issues(
    connection: Connection, incident_ids: Collection[str]
) -> dict[str, list[tuple[str, str]]]:
    """Return what the alerts of incidents are about: integration and dedup key."""
    links, columns = incident_alerts.c, alerts.c
    query = (
        select(links.incident_id, columns.integration_id, columns.dedup_key)
        .join(alerts, columns.id == links.alert_id)
        .where(links.incident_id.in_(incident_ids), columns.incident_id == links.incident_id)
        .order_by(columns.id)
    )
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for incident_id, integration_id, dedup_key in connection.execute(query):
        found[incident_id].append((integration_id, dedup_key))
    return found


def begin(
    connection: Connection, connection_id: str, now: datetime, until: datetime, limit: int
) -> list[Task]:
    """Lease some tasks of a connection until a time: what people wait for first.

    Of several changes of one issue only the oldest is taken, and of several notes: they keep their
    order.
    """
    columns = sentry_tasks.c
    query = _pending(connection_id).with_for_update()
    free = [row for row in _leads(connection, query) if _free_at(row) <= now][:limit]
    if free:
        connection.execute(
            update(sentry_tasks)
            .where(columns.id.in_([row["id"] for row in free]))
            .values(leased_until=until, begun_at=func.coalesce(columns.begun_at, now))
        )
    return [task_of(row) for row in free]


#: Tasks of a connection that one look goes through.
_LOOKED_AT = 200

#: What is done in order, issue by issue; what only looks waits for nobody.
_IN_ORDER = frozenset(act.value for act in (*CHANGES, Act.NOTE))


def _pending(connection_id: str) -> Select[Any]:
    columns = sentry_tasks.c
    is_look = case((columns.act == Act.CONTEXT.value, 1), else_=0)
    return (
        select(sentry_tasks)
        .where(_PENDING, columns.connection_id == connection_id)
        .order_by(is_look, columns.id)
        .limit(_LOOKED_AT)
    )


def _leads(connection: Connection, query: Select[Any]) -> Iterator[RowMapping]:
    """Yield the tasks that wait for no other."""
    ahead: set[tuple[str, bool]] = set()
    for row in connection.execute(query).mappings():
        if row["act"] in _IN_ORDER:
            # Notes keep their order among themselves: one that cannot be written stops no change.
            place = (row["issue_id"], row["act"] == Act.NOTE.value)
            if place in ahead:
                continue
            ahead.add(place)
        yield row


def _free_at(row: RowMapping) -> datetime:
    due: datetime = row["due_at"]
    return max(due, row["leased_until"] or due)


def next_due(connection: Connection, connection_id: str) -> datetime | None:
    """Return when a connection has something to do; None if nothing is left."""
    leads = _leads(connection, _pending(connection_id))
    return min(map(_free_at, leads), default=None)


def task_of(row: RowMapping) -> Task:
    """Read a task from its row."""
    made = {"act", "was_begun"}
    return Task(
        act=Act(row["act"]),
        was_begun=row["begun_at"] is not None,
        **{name: row[name] for name in Task.__dataclass_fields__ if name not in made},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a task went."""

    task: Task
    state: TaskState
    at: datetime
    #: When the lease ends that it was done under.
    until: datetime
    error: str | None = None
    #: When it is tried again, for one that is still pending.
    again_at: datetime | None = None
    #: Whether it counts as a try.
    was_tried: bool = True


def finish(connection: Connection, done: Iterable[Finished]) -> frozenset[str]:
    """Write down how tasks went; return those that were still held. They are anybody's again."""
    columns = sentry_tasks.c
    held = set()
    for one in done:
        is_over = one.state is not TaskState.PENDING
        values: dict[str, Any] = {"done_at": one.at} if is_over else {"due_at": one.again_at}
        if one.error is not None:
            values["error"] = one.error[:_ERROR]
        updated = connection.execute(
            update(sentry_tasks)
            .where(columns.id == one.task.id, _PENDING, columns.leased_until == one.until)
            .values(
                state=one.state.value,
                attempts=columns.attempts + int(one.was_tried),
                leased_until=None,
                **{name: value for name, value in values.items() if value is not None},
            )
        )
        if updated.rowcount:
            held.add(one.task.id)
    return frozenset(held)


def firing(connection: Connection, integration_id: str, tasks: Sequence[Task]) -> frozenset[str]:
    """Return which of the issues of tasks have an alert that fires now."""
    columns = alerts.c
    ids = {task.incident_id for task in tasks}
    links = incident_alerts.c
    query = (
        select(columns.dedup_key)
        .join(incident_alerts, links.alert_id == columns.id)
        .where(
            links.incident_id.in_(sorted(ids)),
            columns.integration_id == integration_id,
            columns.resolved_at.is_(None),
        )
    )
    return frozenset(issue for key in connection.scalars(query) if (issue := issue_of(key)))


def hold(connection: Connection, connection_id: str, until: datetime) -> None:
    """Let nothing of a connection be done before a time: Sentry is away, or wants fewer calls."""
    columns = sentry_tasks.c
    connection.execute(
        update(sentry_tasks)
        .where(_PENDING, columns.connection_id == connection_id, columns.due_at < until)
        .values(due_at=until)
    )


def drop_all(connection: Connection, connection_id: str, now: datetime, why: str) -> None:
    """Let nothing more be done over a connection."""
    connection.execute(
        update(sentry_tasks)
        .where(_PENDING, sentry_tasks.c.connection_id == connection_id)
        .values(state=TaskState.DROPPED.value, error=why, done_at=now)
    )


# -- what was done --------------------------------------------------------------------------------


def done_before(connection: Connection, tasks: Sequence[Task]) -> dict[str, Ours]:
    """Return what tasks done before left of the issues of these, by issue."""
    columns = sentry_tasks.c
    issues = {(task.connection_id, task.issue_id) for task in tasks}
    query = (
        select(columns.issue_id, columns.act, columns.payload, columns.done_at)
        .where(
            tuple_(columns.connection_id, columns.issue_id).in_(sorted(issues)),
            columns.state == TaskState.DONE.value,
            columns.act.in_([act.value for act in CHANGES]),
        )
        .order_by(columns.done_at, columns.id)
    )
    found: dict[str, Ours] = defaultdict(Ours)
    for issue_id, act, payload, done_at in connection.execute(query):
        found[issue_id] = left_by(Act(act), payload, found[issue_id], done_at)
    return found


def archived_by_us(
    connection: Connection, connection_id: str, issue_ids: Collection[str]
) -> dict[str, list[datetime]]:
    """Return until when we archived issues, as often as we did."""
    columns = sentry_tasks.c
    query = select(columns.issue_id, columns.payload).where(
        columns.connection_id == connection_id,
        columns.issue_id.in_(issue_ids),
        columns.act == Act.ARCHIVE.value,
        columns.state != TaskState.DROPPED.value,
        columns.begun_at.is_not(None),
    )
    found: dict[str, list[datetime]] = defaultdict(list)
    for issue_id, payload in connection.execute(query):
        found[issue_id].append(datetime.fromisoformat(payload["until"]))
    return found


def echoes(
    connection: Connection, wanted: Collection[tuple[str, str]], since: datetime
) -> dict[tuple[str, str, Act], list[Trace]]:
    """Return what was done since a time about issues, by connection, issue and act.

    What was begun counts, for Sentry may tell of it before it answers.
    """
    columns = sentry_tasks.c
    query = (
        select(
            columns.connection_id, columns.issue_id, columns.act, columns.done_at, columns.payload
        )
        .where(
            tuple_(columns.connection_id, columns.issue_id).in_(sorted(wanted)),
            columns.begun_at.is_not(None),
            columns.state != TaskState.DROPPED.value,
            or_(columns.done_at.is_(None), columns.done_at >= since),
        )
        .order_by(columns.id)
    )
    found: dict[tuple[str, str, Act], list[Trace]] = defaultdict(list)
    for row in connection.execute(query):
        trace = Trace(row.done_at, row.payload.get("text"))
        found[row.connection_id, row.issue_id, Act(row.act)].append(trace)
    return found


# -- how it goes ----------------------------------------------------------------------------------


#: What only looks: people did not ask for it.
_NOT_ASKED = (Act.CONTEXT.value,)


def failed_count(connection: Connection, connection_id: str, since: datetime) -> int:
    """Count what could not be done in Sentry over a connection, of what people asked for."""
    columns = sentry_tasks.c
    query = select(func.count()).where(
        columns.connection_id == connection_id,
        columns.state == TaskState.FAILED.value,
        columns.act.not_in(_NOT_ASKED),
        columns.done_at >= since,
    )
    return connection.scalar(query) or 0


def waiting(connection: Connection, connection_id: str) -> int:
    """Count what waits to be done over a connection, of what people asked for."""
    columns = sentry_tasks.c
    query = select(func.count()).where(
        _PENDING, columns.connection_id == connection_id, columns.act.not_in(_NOT_ASKED)
    )
    return connection.scalar(query) or 0


def sweep(connection: Connection, before: datetime, limit: int) -> int:
    """Delete what was over before a time, some rows at a time; return how many went."""
    columns = sentry_tasks.c
    old = list(connection.scalars(select(columns.id).where(columns.done_at < before).limit(limit)))
    connection.execute(delete(sentry_tasks).where(columns.id.in_(old)))
    return len(old)
