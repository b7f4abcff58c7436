"""Alerts, incidents and timeline entries as rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, and_, delete, exists, func, or_, select, update

from tocsin.core.incident import Leaver
from tocsin.core.model import (
    Alert,
    Escalation,
    EscalationState,
    Incident,
    IncidentStatus,
    Priority,
    Severity,
    TimelineKind,
    Urgency,
)
from tocsin.core.repeats import Repeats
from tocsin.store.db import insert_many
from tocsin.store.sight import Ways, if_seen
from tocsin.store.tables import (
    deliveries,
    escalation_policies,
    incident_assignees,
    incidents,
    jobs,
    services,
    timeline,
    users,
)


def entry(
    incident: Incident,
    at: datetime,
    kind: TimelineKind,
    text: str,
    actor: str,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build a timeline row."""
    return {
        "incident_id": incident.id,
        "service_id": incident.service_id,
        "at": at,
        "kind": kind.value,
        "text": text,
        "actor": actor[:320],
        "data": dict(data) if data else None,
    }


def times(data: Mapping[str, Any] | None) -> int:
    """Return how many repeats a timeline entry stands for, by its data."""
    count: int = (data or {}).get("count", 1)
    return count


def alert_of(row: RowMapping) -> Alert:
    """Read an alert from its row."""
    return Alert(**{
        **row,
        "severity": Severity(row["severity"]),
        "priority": Priority(row["priority"]) if row["priority"] else None,
        "repeats": msgspec.convert(row["repeats"], Repeats) if row["repeats"] else None,
    })  # fmt: skip


def alert_row(alert: Alert) -> dict[str, Any]:
    """Write an alert as its row."""
    return {
        "id": alert.id,
        "integration_id": alert.integration_id,
        "service_id": alert.service_id,
        "dedup_key": alert.dedup_key,
        "title": alert.title,
        "severity": alert.severity.value,
        "priority": alert.priority and alert.priority.value,
        "source": alert.source,
        "link": alert.link,
        "details": dict(alert.details),
        "occurrence_count": alert.occurrence_count,
        "first_seen_at": alert.first_seen_at,
        "last_seen_at": alert.last_seen_at,
        "resolved_at": alert.resolved_at,
        "incident_id": alert.incident_id,
        "is_over_at_source": alert.is_over_at_source,
        "about": alert.about,
        "is_archived": alert.is_archived,
        "repeats": alert.repeats,
    }


#: Columns that are fields of the same name and need no reading.
_PLAIN = (
    "id",
    "service_id",
    "integration_id",
    "dedup_key",
    "title",
    "source",
    "link",
    "occurrence_count",
    "previous_incident_id",
    "is_test",
    "assigned_user_id",
    "assigned_policy_id",
    "triggered_at",
    "acknowledged_at",
    "acknowledged_by",
    "acknowledged_by_id",
    "resolved_at",
    "snoozed_until",
    "suppressed_until",
    "merged_into_id",
    "alert_count",
    "group_key",
    "is_urgency_chosen",
)

#: The lists of people in an escalation.
_PEOPLE = ("also", "awaiting", "answered")


def incident_of(row: RowMapping) -> Incident:
    """Read an incident from its row."""
    people = row["escalation_people"] or {}
    answered = tuple((step, user) for step, user in people.get("answered", ()))
    return Incident(
        number=row["number"],
        status=IncidentStatus(row["status"]),
        severity=Severity(row["severity"]),
        priority=Priority(row["priority"]) if row["priority"] else None,
        urgency=Urgency(row["urgency"]),
        escalation=Escalation(
            policy_id=row["escalation_policy_id"],
            step=row["escalation_step"],
            round=row["escalation_round"],
            next_at=row["escalation_next_at"],
            state=EscalationState(row["escalation_state"]),
            cycle=row["escalation_cycle"],
            has_reached=row["escalation_has_reached"],
            step_id=row["escalation_step_id"],
            also=tuple(people.get("also", ())),
            awaiting=tuple(people.get("awaiting", ())),
            answered=answered,
        ),
        suppressed_by=tuple(row["suppressed_by"] or ()),
        **{name: row[name] for name in _PLAIN},
    )


def incident_row(incident: Incident) -> dict[str, Any]:
    """Write an incident as its row; the number is the database's to give."""
    stand = incident.escalation
    people = {name: list(getattr(stand, name)) for name in _PEOPLE if getattr(stand, name)}
    return {name: getattr(incident, name) for name in _PLAIN} | {
        "status": incident.status.value,
        "severity": incident.severity.value,
        "priority": incident.priority and incident.priority.value,
        "urgency": incident.urgency.value,
        "escalation_policy_id": stand.policy_id,
        "escalation_step": stand.step,
        "escalation_round": stand.round,
        "escalation_next_at": stand.next_at,
        "escalation_state": stand.state.value,
        "escalation_cycle": stand.cycle,
        "escalation_has_reached": stand.has_reached,
        "escalation_step_id": stand.step_id,
        "escalation_people": people or None,
        "suppressed_by": list(incident.suppressed_by) or None,
    }


def load(connection: Connection, ids: Iterable[str]) -> dict[str, Incident]:
    """Read incidents by id, without holding them."""
    query = select(incidents).where(incidents.c.id.in_(sorted(set(ids))))
    return {row["id"]: incident_of(row) for row in connection.execute(query).mappings()}


def lock(
    connection: Connection, ids: Iterable[str], *, skip_locked: bool = False
) -> dict[str, Incident]:
    """Read incidents by id and hold them; with ``skip_locked`` not those somebody else holds."""
    query = (
        select(incidents)
        .where(incidents.c.id.in_(sorted(set(ids))))
        .order_by(incidents.c.number)
        .with_for_update(skip_locked=skip_locked)
    )
    return {row["id"]: incident_of(row) for row in connection.execute(query).mappings()}


def say_unreached(connection: Connection, id_: str, *, goes_on: bool = False) -> None:
    """Say that this run has reached nobody; with ``goes_on``, that it has not ended either."""
    values: dict[str, Any] = {"escalation_has_reached": False}
    if goes_on:
        # Whom it paged besides has been paged, in vain.
        running = EscalationState.RUNNING.value
        values |= {"escalation_state": running, "escalation_people": None}
    connection.execute(update(incidents).where(incidents.c.id == id_).values(**values))


def add_entries(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Append to timelines."""
    insert_many(connection, timeline, rows)


def opened_since(
    connection: Connection, since: datetime, service_ids: Sequence[str], ways: Ways, limit: int
) -> list[Incident]:
    """Return incidents of some services (none named: of all) that are seen, the newest first."""
    query = select(incidents).where(incidents.c.triggered_at >= since)
    if service_ids:
        query = query.where(incidents.c.service_id.in_(service_ids))
    query = if_seen(query, ways).order_by(incidents.c.number.desc()).limit(limit)
    return [incident_of(row) for row in connection.execute(query).mappings()]


def opening_delivery(connection: Connection, incident_id: str) -> str | None:
    """Return the id of the first delivery of an incident, None if it is no longer kept."""
    query = select(func.min(deliveries.c.id)).where(deliveries.c.incident_id == incident_id)
    found: str | None = connection.scalar(query)
    return found


def with_another_policy(connection: Connection) -> list[str]:
    """Return triggered incidents that a change of policies, schedules or people may concern.

    Another policy than the one they went by is in force, or their escalation had ended and there
    may be somebody to page at last.
    """
    given, own = escalation_policies.alias(), escalation_policies.alias()
    columns = incidents.c
    in_force = func.coalesce(users.c.id, given.c.id, own.c.id, "")
    ended = (EscalationState.EXHAUSTED.value, EscalationState.NOBODY_NOTIFIED.value)
    query = (
        select(columns.id)
        .outerjoin(
            users, and_(users.c.id == columns.assigned_user_id, users.c.deleted_at.is_(None))
        )
        .outerjoin(
            given, and_(given.c.id == columns.assigned_policy_id, given.c.deleted_at.is_(None))
        )
        .outerjoin(services, services.c.id == columns.service_id)
        .outerjoin(
            own, and_(own.c.id == services.c.escalation_policy_id, own.c.deleted_at.is_(None))
        )
        .where(
            columns.status == IncidentStatus.TRIGGERED.value,
            columns.suppressed_until.is_(None),
            or_(
                columns.escalation_state.in_(ended),
                and_(
                    columns.escalation_policy_id.is_not(None),
                    columns.escalation_policy_id != in_force,
                ),
            ),
        )
        .order_by(columns.number)
    )
    return list(connection.scalars(query))


def overdue_count(connection: Connection, before: datetime) -> int:
    """Count incidents whose next step should have been taken before a time."""
    query = (
        select(func.count())
        .select_from(incidents)
        .where(
            incidents.c.status == IncidentStatus.TRIGGERED.value,
            incidents.c.escalation_state == EscalationState.RUNNING.value,
            incidents.c.escalation_next_at < before,
        )
    )
    return connection.scalar(query) or 0


def suppressed(connection: Connection) -> list[str]:
    """Return the open incidents that a maintenance window or a hold keeps from paging."""
    columns = incidents.c
    query = select(columns.id).where(
        columns.status != IncidentStatus.RESOLVED.value, columns.suppressed_until.is_not(None)
    )
    return list(connection.scalars(query))


def of_support_hours(connection: Connection) -> list[str]:
    """Return the open incidents of low urgency whose urgency support hours have a say in."""
    columns = incidents.c
    waits = exists().where(
        jobs.c.kind == "raise", jobs.c.subject_id == columns.id, jobs.c.buried_at.is_(None)
    )
    query = (
        select(columns.id)
        .join(services, services.c.id == columns.service_id)
        .where(
            columns.status != IncidentStatus.RESOLVED.value,
            columns.urgency == Urgency.LOW.value,
            or_(services.c.support_hours.is_not(None), waits),
        )
    )
    return list(connection.scalars(query))


def without_end(connection: Connection, service_ids: Sequence[str]) -> list[str]:
    """Return the open incidents of some services of which nobody looks whether they are over."""
    columns = incidents.c
    waits = exists().where(jobs.c.kind == "resolve", jobs.c.subject_id == columns.id)
    query = select(columns.id).where(
        columns.service_id.in_(service_ids),
        columns.status != IncidentStatus.RESOLVED.value,
        ~waits,
    )
    return list(connection.scalars(query)) if service_ids else []


def leavers(connection: Connection) -> dict[str, list[Leaver]]:
    """Return the open incidents of people who were removed, and who they are."""
    others, mine = incident_assignees.alias(), incident_assignees.c
    living = users.alias()
    others_have_it = exists().where(
        others.c.incident_id == mine.incident_id,
        others.c.user_id == living.c.id,
        living.c.deleted_at.is_(None),
    )
    query = (
        select(mine.incident_id, users.c.id, users.c.name, others_have_it.label("others"))
        .join(users, and_(users.c.id == mine.user_id, users.c.deleted_at.is_not(None)))
        .join(
            incidents,
            and_(
                incidents.c.id == mine.incident_id,
                incidents.c.status != IncidentStatus.RESOLVED.value,
            ),
        )
        .order_by(incidents.c.number, users.c.id)
    )
    found: dict[str, list[Leaver]] = defaultdict(list)
    for id_, user_id, name, has_others in connection.execute(query):
        found[id_].append(Leaver(user_id=user_id, name=name, others_have_it=bool(has_others)))
    return found


def drop_leavers(connection: Connection, found: Mapping[str, Iterable[Leaver]]) -> None:
    """Let incidents be no longer those people's."""
    for id_, people in found.items():
        connection.execute(
            delete(incident_assignees).where(
                incident_assignees.c.incident_id == id_,
                incident_assignees.c.user_id.in_([who.user_id for who in people]),
            )
        )


def open_counts(connection: Connection) -> dict[str, int]:
    """Count the open incidents of every service that has any, by its id."""
    is_open = incidents.c.status.in_([s.value for s in IncidentStatus if s != "resolved"])
    query = select(incidents.c.service_id, func.count()).where(is_open)
    rows = connection.execute(query.group_by(incidents.c.service_id))
    return {row[0]: row[1] for row in rows}
