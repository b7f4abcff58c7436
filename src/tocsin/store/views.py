"""What people and programs read: queries shaped for lists, pages and the API.

The structs are the API's own (contract section 5), so that nothing is shaped twice.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, or_, select

from tocsin.core.access import Scope
from tocsin.core.context import Context
from tocsin.core.escalation import policy_of
from tocsin.core.model import (
    DeliveryStatus,
    Incident,
)
from tocsin.core.noise import held_until
from tocsin.core.plans import (
    Plans,
)
from tocsin.core.times import whole_seconds
from tocsin.store import contexts, sight
from tocsin.store.db import has_text
from tocsin.store.incidents import incident_of, load
from tocsin.store.lists import MAX_DIGITS, NUMBER, Filter, Page, part_of
from tocsin.store.tables import (
    alerts,
    attempts,
    incident_alerts,
    incident_assignees,
    incidents,
    notifications,
    timeline,
)

#: Headers that may hold a secret: their values are neither kept nor shown.
SECRET_HEADERS = frozenset({
    "authorization", "cookie", "proxy-authorization", "x-api-key",
})  # fmt: skip


class View(msgspec.Struct, frozen=True):
    """What is shown: instants to the second (contract section 5), wherever they came from."""

    def __post_init__(self) -> None:
        """Cut instants."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime) and value.microsecond:
                msgspec.structs.force_setattr(self, name, whole_seconds(value))


class Named(View, frozen=True):
    """A thing by its name."""

    name: str


class PersonView(View, frozen=True):
    """A person, as others see them."""

    email: str
    name: str


class EscalationView(View, frozen=True):
    """Where the escalation stands; ``step`` from 1, ``round`` from 0."""

    policy: str | None
    step: int
    round: int
    next_at: datetime | None
    state: str


class IncidentView(View, frozen=True):
    """An incident."""

    id: str
    number: int
    title: str
    status: str
    severity: str
    priority: str | None
    urgency: str
    service: Named | None
    integration: Named | None
    source: str
    dedup_key: str
    link: str | None
    occurrence_count: int
    previous_incident: str | None
    assignees: tuple[PersonView, ...]
    escalation: EscalationView
    triggered_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    snoozed_until: datetime | None
    suppressed_until: datetime | None
    #: The number of the incident that has its alerts now.
    merged_into: int | None
    is_test: bool
    #: Whether a rule of its service holds it, and not only maintenance.
    is_held: bool


class AlertView(View, frozen=True):
    """An alert of an incident."""

    id: str
    dedup_key: str
    title: str
    severity: str
    priority: str | None
    source: str
    link: str | None
    details: dict[str, str]
    occurrence_count: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None


class EntryView(View, frozen=True):
    """A timeline entry."""

    at: datetime
    kind: str
    text: str
    actor: str
    data: dict[str, Any] | None


class AttemptView(View, frozen=True):
    """One try to hand a notification over."""

    number: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    detail: str | None


class NotificationView(View, frozen=True):
    """One message to one contact method, with its attempts."""

    id: str
    type: str
    incident_id: str | None
    user: PersonView | None
    contact_method: str | None
    channel: str
    reason: str
    due_at: datetime
    sent_at: datetime | None
    state: str
    attempts: tuple[AttemptView, ...]


class DeliveryView(View, frozen=True):
    """A delivery in the log."""

    id: str
    integration: Named | None
    received_at: datetime
    url_style: str
    resource: str | None
    action: str | None
    status: str
    http_status: int
    reason: str | None
    verb: str | None
    outcome: str | None
    incident_id: str | None
    dedup_key: str | None
    latency_ms: int | None

    @property
    def became(self) -> str:
        """What became of it, in one word."""
        understood = self.status == DeliveryStatus.PROCESSED and self.outcome
        return self.outcome if understood and self.outcome else self.status


class IncidentDetail(IncidentView, frozen=True, kw_only=True):
    """An incident with all that belongs to it."""

    alerts: tuple[AlertView, ...]
    timeline: tuple[EntryView, ...]
    notifications: tuple[NotificationView, ...]
    #: What Sentry knows of its latest event, where it was asked.
    context: Context | None = None


class DeliveryDetail(DeliveryView, frozen=True, kw_only=True):
    """A delivery with its request; ``body_base64`` is exact, ``body`` is for reading."""

    headers: tuple[tuple[str, str], ...]
    body: str
    body_base64: str
    #: Whether headers and body are: of an alert that repeats itself again and again, not all.
    is_kept: bool = True


# -- incidents ----------------------------------------------------------------------------------


def incident_id(connection: Connection, plans: Plans, scope: Scope, reference: str) -> str | None:
    """Return the id of the incident that an id or a number names; None for one not seen, too."""
    column: ColumnElement[Any] = incidents.c.id
    value: str | int = reference.replace("\0", "")
    if reference.isdecimal():
        if len(reference) > MAX_DIGITS:
            return None
        column, value = incidents.c.number, int(reference)
    query = select(incidents.c.id).where(column == value)
    found: str | None = connection.scalar(sight.if_seen(query, sight.of_incidents(plans, scope)))
    return found


def assignee_ids(connection: Connection, id_: str) -> frozenset[str]:
    """Return who has an incident."""
    mine = incident_assignees.c
    return frozenset(connection.scalars(select(mine.user_id).where(mine.incident_id == id_)))


def incident_page(
    connection: Connection,
    plans: Plans,
    scope: Scope,
    wanted: Filter,
    assignee_id: str | None = None,
) -> Page[IncidentView]:
    """List the incidents that are seen, the newest first."""
    query = select(incidents)
    if assignee_id is not None:
        mine = select(incident_assignees.c.incident_id).where(
            incident_assignees.c.user_id == assignee_id
        )
        query = query.where(incidents.c.id.in_(mine))
    column = incidents.c.number
    ways = sight.of_incidents(plans, scope)
    found = _HASH_NUMBER.fullmatch(wanted.q or "")
    sought: ColumnElement[bool] | None = None
    first: list[RowMapping] = []
    if found and found["hash"]:
        query = query.where(column == int(found["number"]))
    elif wanted.q:
        sought = or_(has_text(incidents.c.title, wanted.q), incidents.c.dedup_key == wanted.q)
        if found and wanted.limit == 1:
            # No room for one that leads and one to go on from.
            sought = or_(sought, column == int(found["number"]))
        elif found:
            # What has that number leads, however old it is.
            sought = and_(sought, column != int(found["number"]))
            if wanted.cursor is None:
                one = query.where(column == int(found["number"]))
                first, _ = part_of(connection, one, column, ways, wanted, is_narrow=True)
    rows, more = part_of(
        connection,
        query,
        column,
        ways,
        replace(wanted, limit=wanted.limit - len(first)),
        sought=sought,
        is_narrow=assignee_id is not None or wanted.is_narrow,
    )
    views = incident_views(connection, plans, [incident_of(row) for row in (*first, *rows)])
    return Page(tuple(views), more)


#: ``12`` or ``#12``: an incident's number; with the mark it can be nothing else.
_HASH_NUMBER = re.compile(rf"(?P<hash>#?)(?P<number>[0-9]{{1,{MAX_DIGITS}}})")


def incident_views(
    connection: Connection, plans: Plans, found: Sequence[Incident]
) -> list[IncidentView]:
    """Show incidents, with who has each."""
    people = _assignees(connection, plans, [incident.id for incident in found])
    merged = {one.merged_into_id for one in found if one.merged_into_id}
    into = {one.id: one.number for one in load(connection, merged).values()} if merged else {}
    return [
        _incident_view(
            incident, plans, people[incident.id], into.get(incident.merged_into_id or "")
        )
        for incident in found
    ]


def incidents_shown(connection: Connection, plans: Plans, ids: Sequence[str]) -> list[IncidentView]:
    """Show these incidents, in this order."""
    found = load(connection, ids) if ids else {}
    return incident_views(connection, plans, [found[id_] for id_ in ids if id_ in found])


def last_change(connection: Connection, id_: str | None = None) -> int:
    """Return the number of the latest entry of any timeline, or of one incident's."""
    query = select(timeline.c.id).order_by(timeline.c.id.desc()).limit(1)
    return (
        connection.scalar(query if id_ is None else query.where(timeline.c.incident_id == id_)) or 0
    )


def latest_incident(connection: Connection) -> str:
    """Return the id of the newest incident; empty where there is none."""
    query = select(incidents.c.id).order_by(incidents.c.number.desc()).limit(1)
    return connection.scalar(query) or ""


def changes_since(connection: Connection, number: int) -> list[tuple[int, str]]:
    """Return the entries of timelines after a number, each with its incident's id."""
    columns = timeline.c
    query = select(columns.id, columns.incident_id).where(columns.id > number).order_by(columns.id)
    return [(row.id, row.incident_id) for row in connection.execute(query)]


def incident_view(connection: Connection, plans: Plans, id_: str) -> IncidentView:
    """Show one incident."""
    return incident_views(connection, plans, list(load(connection, [id_]).values()))[0]


def incident_detail(connection: Connection, plans: Plans, id_: str) -> IncidentDetail:
    """Show one incident with its alerts, timeline and notifications."""
    view = incident_view(connection, plans, id_)
    linked = (
        select(alerts)
        .join(incident_alerts, incident_alerts.c.alert_id == alerts.c.id)
        .where(incident_alerts.c.incident_id == id_)
        .order_by(alerts.c.id)
    )
    entries = select(timeline).where(timeline.c.incident_id == id_).order_by(timeline.c.id)
    sent = (
        select(notifications).where(notifications.c.incident_id == id_).order_by(notifications.c.id)
    )
    return IncidentDetail(
        **msgspec.structs.asdict(view),
        alerts=tuple(struct_of(AlertView, row) for row in connection.execute(linked).mappings()),
        timeline=tuple(struct_of(EntryView, row) for row in connection.execute(entries).mappings()),
        notifications=tuple(
            notification_views(connection, plans, list(connection.execute(sent).mappings()))
        ),
        context=kept.context if (kept := contexts.find(connection, [id_]).get(id_)) else None,
    )


def _assignees(
    connection: Connection, plans: Plans, ids: Sequence[str]
) -> dict[str, list[PersonView]]:
    found: dict[str, list[PersonView]] = defaultdict(list)
    query = select(incident_assignees).where(incident_assignees.c.incident_id.in_(ids))
    for row in connection.execute(query):
        person = _person(plans, row.user_id)
        if person is not None:
            found[row.incident_id].append(person)
    return found


def _person(plans: Plans, user_id: str) -> PersonView | None:
    user = plans.users.get(user_id)
    return PersonView(email=user.email, name=user.name) if user else None


def _incident_view(
    incident: Incident, plans: Plans, people: Iterable[PersonView], merged_into: int | None
) -> IncidentView:
    stand = incident.escalation
    policy = policy_of(incident, plans)
    service = plans.services.get(incident.service_id)
    integration = plans.integrations.get(incident.integration_id or "")
    return IncidentView(
        id=incident.id,
        number=incident.number or 0,
        title=incident.title,
        status=incident.status,
        severity=incident.severity,
        priority=incident.priority,
        urgency=incident.urgency,
        service=Named(service.name) if service else None,
        integration=Named(integration.name) if integration else None,
        source=incident.source,
        dedup_key=incident.dedup_key,
        link=incident.link,
        occurrence_count=incident.occurrence_count,
        previous_incident=incident.previous_incident_id,
        assignees=tuple(people),
        escalation=EscalationView(
            policy=policy.name if policy else None,
            step=stand.step,
            round=stand.round,
            next_at=stand.next_at,
            state=stand.state,
        ),
        triggered_at=incident.triggered_at,
        acknowledged_at=incident.acknowledged_at,
        acknowledged_by=incident.acknowledged_by,
        resolved_at=incident.resolved_at,
        snoozed_until=incident.snoozed_until,
        suppressed_until=incident.suppressed_until,
        merged_into=merged_into,
        is_test=incident.is_test,
        is_held=held_until(incident) is not None,
    )


S = TypeVar("S", bound=msgspec.Struct)


def struct_of(kind: type[S], row: RowMapping) -> S:
    """Fill a struct whose fields are columns."""
    return kind(**{name: row[name] for name in kind.__struct_fields__})


# -- notifications ------------------------------------------------------------------------------


def notification_page(
    connection: Connection, plans: Plans, scope: Scope, wanted: Filter
) -> Page[NotificationView]:
    """List the notifications that are seen, the newest first."""
    sought = None
    if wanted.q:
        columns = notifications.c
        ways = [has_text(columns.reason, wanted.q), columns.id == wanted.q]
        number = wanted.q.removeprefix("#")
        if NUMBER.fullmatch(number):
            named = select(incidents.c.id).where(incidents.c.number == int(number))
            ways.append(columns.incident_id.in_(named))
        sought = or_(*ways)
    rows, more = part_of(
        connection,
        select(notifications),
        notifications.c.id,
        sight.of_notifications(plans, scope),
        wanted,
        sought=sought,
        # No index goes by their services: they are gone through by id, whatever is seen of them.
        is_narrow=True,
    )
    return Page(tuple(notification_views(connection, plans, rows)), more)


def incidents_of(
    connection: Connection, shown: Iterable[NotificationView]
) -> dict[str, tuple[int, str]]:
    """Return number and title of the incidents that notifications are about, by id."""
    ids = sorted({one.incident_id for one in shown if one.incident_id})
    columns = incidents.c
    query = select(columns.id, columns.number, columns.title).where(columns.id.in_(ids))
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def notification_views(
    connection: Connection, plans: Plans, rows: Sequence[RowMapping]
) -> list[NotificationView]:
    """Show notifications with their attempts."""
    tries: dict[str, list[AttemptView]] = defaultdict(list)
    query = (
        select(attempts)
        .where(attempts.c.notification_id.in_([row["id"] for row in rows]))
        .order_by(attempts.c.number)
    )
    for row in connection.execute(query).mappings():
        tries[row["notification_id"]].append(struct_of(AttemptView, row))
    methods = {
        method.id: method.name for user in plans.users.values() for method in user.contact_methods
    }
    return [
        NotificationView(
            id=row["id"],
            type=row["type"],
            incident_id=row["incident_id"],
            user=_person(plans, row["user_id"]),
            contact_method=methods.get(row["contact_method_id"]),
            channel=row["channel"],
            reason=row["reason"],
            due_at=row["due_at"],
            sent_at=row["sent_at"],
            state=row["state"],
            attempts=tuple(tries[row["id"]]),
        )
        for row in rows
    ]


# -- deliveries ---------------------------------------------------------------------------------


def delivery_views(rows: Iterable[RowMapping], plans: Plans) -> list[DeliveryView]:
    """Show deliveries as in the list."""
    return [_delivery_view(row, plans) for row in rows]


def _delivery_view(row: RowMapping, plans: Plans) -> DeliveryView:
    integration = plans.integrations.get(row["integration_id"])
    plain = {name: row[name] for name in DeliveryView.__struct_fields__ if name != "integration"}
    return DeliveryView(integration=Named(integration.name) if integration else None, **plain)
