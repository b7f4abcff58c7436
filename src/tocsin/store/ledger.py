"""What one transaction changes of alerts and incidents, kept until it is saved, all at once.

However many signals or jobs have been through it, it is saved in a constant number of statements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, case, delete, exists, or_, select, update

from tocsin.core.incident import HELP_STEP
from tocsin.core.mirror import Ask
from tocsin.core.model import (
    Alert,
    Incident,
    MessageType,
    NotificationState,
)
from tocsin.core.notify import TELLING_CHANNELS
from tocsin.core.plans import SentryLink
from tocsin.store import inbox, jobs, sentrytasks
from tocsin.store.db import insert_many, new_id, update_many
from tocsin.store.incidents import alert_row, incident_row
from tocsin.store.jobs import Kind
from tocsin.store.tables import (
    alerts,
    attempts,
    incident_alerts,
    incident_assignees,
    incidents,
    notifications,
    timeline,
    turns,
)

#: (integration id, dedup key): what makes two signals about the same thing.
AlertKey: TypeAlias = tuple[str, str]

#: (service id, group key): what makes two alerts one incident while it is open.
GroupKey: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class Ledger:
    """Alerts and incidents as they stand now, and what of them is new or changed."""

    alerts: dict[AlertKey, Alert] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    new_alerts: set[AlertKey] = field(default_factory=set)
    new_incidents: set[str] = field(default_factory=set)
    changed_alerts: set[AlertKey] = field(default_factory=set)
    changed_incidents: set[str] = field(default_factory=set)
    #: Rows of ``incident_alerts``.
    links: list[dict[str, Any]] = field(default_factory=list)
    #: (incident, alert, or None for all): links that end, for the alert went to another incident.
    unlinked: list[tuple[str, str | None]] = field(default_factory=list)
    #: Incidents that end, to whether the source said so.
    closed: dict[str, bool] = field(default_factory=dict)
    reopened: set[str] = field(default_factory=set)
    #: Who has an incident from now on, and nobody else.
    assignees: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: Rows of ``incident_assignees``: people who have it besides.
    responders: list[dict[str, Any]] = field(default_factory=list)
    #: Step to how many places it has gone on, for those that were taken now.
    taken_turns: dict[str, int] = field(default_factory=dict)
    #: Rows of ``timeline``.
    entries: list[dict[str, Any]] = field(default_factory=list)
    #: Those of them that tell of a repeat, by incident.
    repeats: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: Job to when it is due; None takes it back.
    due: dict[tuple[Kind, str], datetime | None] = field(default_factory=dict)
    #: Rows of ``notifications``.
    pages: list[dict[str, Any]] = field(default_factory=list)
    #: Incidents whose waiting pages shall not be sent; True: but for those who were asked to help.
    cancelled: dict[str, bool] = field(default_factory=dict)
    #: (incident, user): those of one person alone.
    cancelled_of: set[tuple[str, str]] = field(default_factory=set)
    #: (incident, alert) to the alert's count before it was part of it, for links that were loaded.
    seen_before: dict[tuple[str, str], int] = field(default_factory=dict)
    told: dict[tuple[str, MessageType], None] = field(default_factory=dict)
    #: Deliveries whose bodies are not kept.
    thinned: list[str] = field(default_factory=list)
    #: Incident and what is to be done in Sentry about it, in order.
    asked: list[tuple[str, Ask]] = field(default_factory=list)

    def notify(
        self, incident: Incident, *, type_: MessageType, now: datetime, **values: Any
    ) -> None:
        """Let a message go to a person when it is due."""
        id_ = new_id("not", now)
        self.pages.append({
            "id": id_,
            "incident_id": incident.id,
            "service_id": incident.service_id,
            "type": type_.value,
            "cycle": incident.escalation.cycle,
            "state": NotificationState.PENDING.value,
            "attempts": 0,
            "created_at": now,
            **values,
        })  # fmt: skip
        self.due[Kind.NOTIFY, id_] = values["due_at"]

    def save(self, connection: Connection, now: datetime, sentry: Mapping[str, SentryLink]) -> None:
        """Write everything that changed. Once per ledger; ``sentry`` has who is connected."""
        fresh, known = self._split(self.alerts, self.new_alerts, self.changed_alerts)
        insert_many(connection, alerts, [alert_row(alert) for alert in fresh])
        update_many(connection, alerts, "id", [alert_row(alert) for alert in known])
        started, changed = self._split(self.incidents, self.new_incidents, self.changed_incidents)
        # What ends lets go of its group before another takes it.
        update_many(connection, incidents, "id", [incident_row(i) for i in changed])
        insert_many(connection, incidents, [incident_row(incident) for incident in started])
        self._save_links(connection, now)
        self._save_assignees(connection)
        self._save_turns(connection)
        self._tell_the_paged(connection, now)
        insert_many(connection, timeline, self.entries)
        self._save_notifications(connection)
        gone = [job for job, at in self.due.items() if at is None]
        jobs.take_back(connection, gone)
        lanes = {id_: incident.service_id for id_, incident in self.incidents.items()}
        lanes |= {page["id"]: page["service_id"] for page in self.pages}
        jobs.put(connection, [(*job, at) for job, at in self.due.items() if at is not None], lanes)
        if self.thinned:
            inbox.drop_bodies(connection, self.thinned)
        if self.asked:
            asked = [(self.incidents[id_], ask) for id_, ask in self.asked]
            sentrytasks.put(connection, asked, sentry, now)

    def _split(
        self, all_: Mapping[Any, Any], new: set[Any], changed: set[Any]
    ) -> tuple[list[Any], list[Any]]:
        return [all_[key] for key in all_ if key in new], [
            all_[key] for key in all_ if key in changed and key not in new
        ]

    def _save_links(self, connection: Connection, now: datetime) -> None:
        for ids, is_open in ((set(self.closed), False), (self.reopened, True)):
            if older := sorted(ids - self.new_incidents):
                connection.execute(
                    update(incident_alerts)
                    .where(incident_alerts.c.incident_id.in_(older))
                    .values(is_open=is_open)
                )
        for incident_id, alert_id in self.unlinked:
            columns = incident_alerts.c
            ours = [columns.incident_id == incident_id]
            ours += [columns.alert_id == alert_id] if alert_id else []
            connection.execute(delete(incident_alerts).where(*ours))
        insert_many(connection, incident_alerts, self.links)
        self._close_other_alerts(connection, now)

    def _close_other_alerts(self, connection: Connection, now: datetime) -> None:
        """Close alerts of resolved incidents that were not loaded (resolved by hand or by time)."""
        loaded = {alert.id for alert in self.alerts.values()}
        closed = sorted(set(self.closed) - self.new_incidents)
        if not closed:
            return
        linked = select(incident_alerts.c.alert_id).where(incident_alerts.c.incident_id.in_(closed))
        theirs = alerts.alias()
        # Only what is theirs still: the alert may have another incident since, which is not ours.
        # And in the order in which everybody locks.
        found = (
            select(theirs.c.id)
            .where(
                theirs.c.id.in_(linked),
                theirs.c.id.not_in(sorted(loaded)),
                theirs.c.incident_id.in_(closed),
                theirs.c.resolved_at.is_(None),
            )
            .order_by(theirs.c.id)
            .with_for_update()
        )
        by_source = [id_ for id_ in closed if self.closed[id_]]
        connection.execute(
            update(alerts)
            .where(alerts.c.id.in_(found))
            .values(
                resolved_at=now,
                is_over_at_source=case((alerts.c.incident_id.in_(by_source), True), else_=False),
            )
        )

    def _save_assignees(self, connection: Connection) -> None:
        older = sorted(set(self.assignees) - self.new_incidents)
        if older:
            connection.execute(
                delete(incident_assignees).where(
                    incident_assignees.c.incident_id.in_(older),
                    # Who was asked for help stays, whoever has it now.
                    incident_assignees.c.is_responder.is_(False),
                )
            )
        rows = [
            {"incident_id": incident_id, "user_id": user_id, "is_responder": False}
            for incident_id, user_ids in self.assignees.items()
            for user_id in user_ids
        ]
        known = "(incident_id, user_id) DO NOTHING"
        insert_many(connection, incident_assignees, rows, known)
        insert_many(connection, incident_assignees, self.responders, known)

    def _save_turns(self, connection: Connection) -> None:
        rows = [{"step_id": id_, "count": count} for id_, count in self.taken_turns.items()]
        conflict = "(step_id) DO UPDATE SET count = excluded.count"
        insert_many(connection, turns, rows, conflict)

    def _tell_the_paged(self, connection: Connection, now: datetime) -> None:
        if not self.told:
            return
        columns = notifications.c
        paged = connection.execute(
            select(columns.incident_id, columns.user_id, columns.contact_method_id, columns.channel)
            .distinct()
            .where(
                columns.incident_id.in_(sorted({id_ for id_, _ in self.told})),
                columns.type == MessageType.PAGE.value,
                columns.channel.in_(sorted(TELLING_CHANNELS)),
                or_(
                    columns.state == NotificationState.SENT.value,
                    # On its way while we speak.
                    exists().where(
                        attempts.c.notification_id == columns.id, attempts.c.finished_at.is_(None)
                    ),
                ),
            )
        ).all()
        for incident_id, type_ in self.told:
            for row in paged:
                if row.incident_id == incident_id:
                    self.notify(
                        self.incidents[incident_id],
                        now=now,
                        user_id=row.user_id,
                        contact_method_id=row.contact_method_id,
                        channel=row.channel,
                        type_=type_,
                        reason=f"you were paged, and it is {type_.partition('.')[2]}",
                        round=0,
                        step=0,
                        rule_id="told",
                        due_at=now,
                    )

    def _save_notifications(self, connection: Connection) -> None:
        columns = notifications.c
        for spares_help in (True, False):
            ids = {id_ for id_, spares in self.cancelled.items() if spares is spares_help}
            if older := sorted(ids - self.new_incidents):
                helpers = (columns.step != HELP_STEP,) if spares_help else ()
                _cancel(connection, columns.incident_id.in_(older), *helpers)
        for incident_id, user_id in sorted(self.cancelled_of):
            _cancel(connection, columns.incident_id == incident_id, columns.user_id == user_id)
        # Told twice of the same thing (acknowledged again by another): once is enough.
        insert_many(
            connection,
            notifications,
            self.pages,
            "(incident_id, type, cycle, round, step, contact_method_id, rule_id) DO NOTHING",
        )


def _cancel(connection: Connection, *which: ColumnElement[bool]) -> None:
    connection.execute(
        update(notifications)
        .where(
            *which,
            notifications.c.type == MessageType.PAGE.value,
            notifications.c.state == NotificationState.PENDING.value,
        )
        .values(state=NotificationState.CANCELLED.value)
    )
