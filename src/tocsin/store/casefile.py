"""One incident with all that stands around it, and the figures above the list.

Everything is bounded, whatever an incident has been through, and costs a constant number of
statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, literal, select, union

from tocsin.core.access import Scope
from tocsin.core.model import (
    Incident,
    IncidentStatus,
    MessageType,
    NotificationState,
    TimelineKind,
)
from tocsin.core.outlook import Waiting
from tocsin.core.plans import Plans
from tocsin.store import contexts
from tocsin.store.contexts import Kept
from tocsin.store.incidents import load, times
from tocsin.store.jobs import Kind
from tocsin.store.sight import Ways, if_seen, newest, of_incidents
from tocsin.store.tables import (
    alerts,
    deliveries,
    incident_alerts,
    incident_assignees,
    incidents,
    jobs,
    notifications,
    timeline,
    turns,
)
from tocsin.store.views import (
    AlertView,
    EntryView,
    IncidentView,
    NotificationView,
    incident_views,
    last_change,
    notification_views,
    struct_of,
)

#: The states in which the response goes on.
OPEN = (IncidentStatus.TRIGGERED, IncidentStatus.ACKNOWLEDGED, IncidentStatus.SNOOZED)

#: Beyond this nobody counts on.
MOST_COUNTED = 1000

#: How much of each is shown with an incident.
MOST_ENTRIES = 300
MOST_NOTIFICATIONS = 200
MOST_ALERTS = 50
MOST_CYCLES = 10
MOST_OCCURRENCES = 2000

#: Entries that say that it was seen once more.
_SEEN = (
    TimelineKind.OPENED.value,
    TimelineKind.REPEATED.value,
    TimelineKind.RAISED.value,
    TimelineKind.REOPENED.value,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many there are, up to ``MOST_COUNTED`` and one more."""

    open: int
    mine: int
    resolved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """An earlier incident of the same alert."""

    number: int
    title: str
    triggered_at: datetime
    resolved_at: datetime | None
    acknowledged_by: str | None
    occurrence_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """An incident, with all that its page shows."""

    incident: Incident
    view: IncidentView
    alerts: tuple[AlertView, ...]
    #: The newest first.
    entries: tuple[EntryView, ...]
    #: Whether there are older entries than these.
    has_more_entries: bool
    #: The newest first.
    notifications: tuple[NotificationView, ...]
    #: Pages that wait for their time.
    waiting: tuple[Waiting, ...]
    #: When a snooze or an acknowledgement ends, and when it resolves by itself.
    wake_at: datetime | None
    resolve_at: datetime | None
    turns: Mapping[str, int]
    #: When it was seen, and how often then, the latest first.
    seen: tuple[tuple[datetime, int], ...]
    #: The latest first.
    cycles: tuple[Cycle, ...]
    #: The number of the latest entry: what a page knows up to.
    change: int
    #: The latest delivery that was about it.
    delivery_id: str | None
    #: What Sentry knows of its event, where it was asked; or why it could not be had.
    context: Kept | None


def counts(connection: Connection, user_id: str, ways: Ways) -> Counts:
    """Count what is open of what is seen, what of it a person has, and what is resolved."""
    mine = exists().where(
        incident_assignees.c.incident_id == incidents.c.id,
        incident_assignees.c.user_id == user_id,
    )
    is_open = incidents.c.status.in_([status.value for status in OPEN])
    going_on = if_seen(select(mine.label("is_mine")).where(is_open), ways)
    open_ = going_on.limit(MOST_COUNTED + 1).subquery()
    done = _resolved(ways).limit(MOST_COUNTED + 1).subquery()
    resolved = select(func.count()).select_from(done).scalar_subquery()
    row = connection.execute(
        select(func.count(), func.count().filter(open_.c.is_mine), resolved).select_from(open_)
    ).one()
    return Counts(open=row[0], mine=row[1], resolved=row[2])


def latest(connection: Connection, ways: Ways) -> tuple[int, str, datetime] | None:
    """Return number, title and beginning of the latest that is seen, if there ever was one."""
    row = connection.execute(newest(select(incidents), incidents.c.number, ways, 1)).first()
    return (row.number, row.title, row.triggered_at) if row else None


def _resolved(ways: Ways) -> Select[Any]:
    """Ask for the numbers of what is resolved, way by way: nearly everything is."""
    number, resolved = incidents.c.number, IncidentStatus.RESOLVED.value
    if ways is None:
        return select(number).where(incidents.c.status == resolved)
    # As a value that has no index: the index of what is seen serves better.
    query = select(number).where(incidents.c.status.concat("") == resolved)
    parts = (query.where(way).limit(MOST_COUNTED + 1).subquery() for way in ways)
    return select(union(*(select(part) for part in parts)).subquery())


def ids_of(
    connection: Connection, plans: Plans, scope: Scope, numbers: Iterable[int]
) -> dict[int, str]:
    """Return the ids of incidents by number, of those that are there and seen."""
    query = select(incidents.c.number, incidents.c.id).where(incidents.c.number.in_(numbers))
    query = if_seen(query, of_incidents(plans, scope))
    return {row[0]: row[1] for row in connection.execute(query)}


def open_file(
    connection: Connection, plans: Plans, id_: str, most_entries: int = MOST_ENTRIES
) -> CaseFile:
    """Read an incident with all that stands around it."""
    incident = load(connection, [id_])[id_]
    entries = _entries(connection, id_, most_entries + 1)
    due = _due(connection, id_)
    return CaseFile(
        incident=incident,
        view=incident_views(connection, plans, [incident])[0],
        alerts=_alerts(connection, id_),
        entries=entries[:most_entries],
        has_more_entries=len(entries) > most_entries,
        notifications=_notifications(connection, plans, id_),
        waiting=_waiting(connection, id_),
        wake_at=due.get(Kind.WAKE.value),
        resolve_at=due.get(Kind.RESOLVE.value),
        turns=_turns(connection, plans),
        seen=_seen(connection, id_),
        cycles=_cycles(connection, id_),
        change=last_change(connection, id_),
        delivery_id=_latest_delivery(connection, id_),
        context=contexts.find(connection, [id_]).get(id_),
    )


def _alerts(connection: Connection, id_: str) -> tuple[AlertView, ...]:
    query = (
        select(alerts)
        .join(incident_alerts, incident_alerts.c.alert_id == alerts.c.id)
        .where(incident_alerts.c.incident_id == id_)
        .order_by(alerts.c.id)
        .limit(MOST_ALERTS)
    )
    return tuple(struct_of(AlertView, row) for row in connection.execute(query).mappings())


def _entries(connection: Connection, id_: str, limit: int) -> tuple[EntryView, ...]:
    query = (
        select(timeline)
        .where(timeline.c.incident_id == id_)
        .order_by(timeline.c.id.desc())
        .limit(limit)
    )
    return tuple(struct_of(EntryView, row) for row in connection.execute(query).mappings())


def _notifications(connection: Connection, plans: Plans, id_: str) -> tuple[NotificationView, ...]:
    query = (
        select(notifications)
        .where(notifications.c.incident_id == id_)
        .order_by(notifications.c.id.desc())
        .limit(MOST_NOTIFICATIONS)
    )
    rows = list(connection.execute(query).mappings())
    return tuple(notification_views(connection, plans, rows))


def _waiting(connection: Connection, id_: str) -> tuple[Waiting, ...]:
    """Read the pages that wait; one that is tried again waits for its job, not its first time."""
    columns = notifications.c
    job = and_(jobs.c.key == literal(f"{Kind.NOTIFY}:") + columns.id, jobs.c.buried_at.is_(None))
    query = (
        select(columns.user_id, columns.channel, jobs.c.due_at, columns.attempts)
        .select_from(notifications.join(jobs, job))
        .where(
            columns.incident_id == id_,
            columns.type == MessageType.PAGE.value,
            columns.state == NotificationState.PENDING.value,
        )
        .order_by(jobs.c.due_at)
        .limit(MOST_NOTIFICATIONS)
    )
    return tuple(Waiting(**row) for row in connection.execute(query).mappings())


def _due(connection: Connection, id_: str) -> dict[str, datetime]:
    keys = [f"{kind}:{id_}" for kind in (Kind.WAKE, Kind.RESOLVE)]
    query = select(jobs.c.kind, jobs.c.due_at).where(
        jobs.c.key.in_(keys), jobs.c.buried_at.is_(None)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _turns(connection: Connection, plans: Plans) -> dict[str, int]:
    steps = [step.id for policy in plans.policies.values() for step in policy.steps]
    query = select(turns.c.step_id, turns.c.count).where(turns.c.step_id.in_(steps))
    return {row[0]: row[1] for row in connection.execute(query)}


def _seen(connection: Connection, id_: str) -> tuple[tuple[datetime, int], ...]:
    query = (
        select(timeline.c.at, timeline.c.data)
        .where(timeline.c.incident_id == id_, timeline.c.kind.in_(_SEEN))
        .order_by(timeline.c.id.desc())
        .limit(MOST_OCCURRENCES)
    )
    return tuple((row.at, times(row.data)) for row in connection.execute(query))


def _cycles(connection: Connection, id_: str) -> tuple[Cycle, ...]:
    columns = incidents.c
    chain = (
        select(columns.previous_incident_id.label("id"), literal(1).label("place"))
        .where(columns.id == id_)
        .cte("chain", recursive=True)
    )
    before = incidents.alias("before")
    chain = chain.union_all(
        select(before.c.previous_incident_id, chain.c.place + 1)
        .join(chain, before.c.id == chain.c.id)
        .where(chain.c.place < MOST_CYCLES)
    )
    wanted: Sequence[str] = tuple(Cycle.__dataclass_fields__)
    query = (
        select(*(columns[name] for name in wanted))
        .join(chain, chain.c.id == columns.id)
        .order_by(chain.c.place)
    )
    return tuple(Cycle(**row) for row in connection.execute(query).mappings())


def _latest_delivery(connection: Connection, id_: str) -> str | None:
    query = select(func.max(deliveries.c.id)).where(deliveries.c.incident_id == id_)
    found: str | None = connection.scalar(query)
    return found
