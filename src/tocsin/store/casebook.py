"""The unit of work on alerts and incidents: load, apply effects, save once.

A ``Casebook`` is the unit of work of one transaction. However many signals or jobs it has been
through, it loads and saves in a constant number of statements.

Everybody locks in one order, so that nobody waits in a circle: incidents by number, then their
alerts by id, then whose turn it is. Who holds an incident holds what its alerts point to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Select, select, tuple_, union

from tocsin.core import effects as fx
from tocsin.core.incident import HELP_STEP, evolve
from tocsin.core.mirror import asks, begins, looked_into
from tocsin.core.model import (
    Alert,
    Escalation,
    Incident,
    IncidentStatus,
    MessageType,
    NotificationState,
    Sight,
    Signal,
    TimelineKind,
)
from tocsin.core.plans import (
    Plans,
)
from tocsin.core.repeats import thin
from tocsin.store.db import TryAgain, insert_many, new_id
from tocsin.store.incidents import alert_of, entry, incident_of, times
from tocsin.store.jobs import Kind
from tocsin.store.ledger import AlertKey, GroupKey, Ledger
from tocsin.store.tables import (
    alerts,
    incident_alerts,
    incidents,
    turns,
)

#: So many repeats of one incident in one batch have an entry each; the last stands for the rest.
TOLD_SINGLY = 20


class Casebook:
    """What one transaction knows of alerts and incidents, and what it changes."""

    def __init__(self, connection: Connection, plans: Plans, now: datetime) -> None:
        """Begin with nothing loaded."""
        self._connection = connection
        self._plans = plans
        self._now = now
        self._ledger = Ledger()
        self._turns: dict[str, int] = {}

    # -- loading

    def load_alerts(
        self,
        keys: Iterable[AlertKey],
        groups: Iterable[GroupKey] = (),
        others: Iterable[str] = (),
    ) -> None:
        """Load and lock the latest incident of each of these alerts, and the alerts.

        And the open incidents that have these groups, and other incidents, with all of their
        alerts: one may become part of another. Raises TryAgain where an alert went to another
        incident while we waited for the first one.
        """
        wanted, grouped = sorted(set(keys)), sorted(set(groups))
        if not wanted:
            return
        query = select(alerts.c.id, alerts.c.incident_id).where(
            tuple_(alerts.c.integration_id, alerts.c.dedup_key).in_(wanted)
        )
        seen = {row.id: row.incident_id for row in self._connection.execute(query)}
        gathering = [*others, *(self._gathering(grouped) if grouped else ())]
        if not seen and not gathering:
            return
        ours = {None, *seen.values(), *gathering}
        merged = {*self._lock_incidents(ours), *gathering}
        found: Sequence[str] | CompoundSelect[str] = sorted(seen)
        if merged:
            same = alerts.alias()
            linked = _linked_to(sorted(merged))
            found = union(select(same.c.id).where(same.c.id.in_(found)), linked)
        self._lock_alerts(alerts.c.id.in_(found))
        for alert in self._ledger.alerts.values():
            if alert.incident_id not in ours:
                raise TryAgain(f"alert {alert.id} is another incident's now")
        if grouped or gathering:
            self._load_counts(sorted(id_ for id_ in ours if id_ is not None))

    def _gathering(self, grouped: Sequence[GroupKey]) -> list[str]:
        """Return the open incidents that have these groups, without holding them yet."""
        columns = incidents.c
        query = select(columns.id).where(
            tuple_(columns.service_id, columns.group_key).in_(grouped),
            columns.status != IncidentStatus.RESOLVED.value,
        )
        return list(self._connection.scalars(query))

    def load_incidents(self, ids: Iterable[str | None], *, skip_locked: bool = False) -> None:
        """Load and lock these incidents; with ``skip_locked`` leave those somebody else holds."""
        # They end with the last of their alerts, so all of them count.
        self.load_alerts_of(self._lock_incidents(ids, skip_locked=skip_locked))

    def _lock_incidents(
        self, ids: Iterable[str | None], *, skip_locked: bool = False
    ) -> Sequence[str]:
        """Load and lock incidents; return those of several alerts."""
        wanted = sorted({id_ for id_ in ids if id_ is not None})
        if not wanted:
            return ()
        query = (
            select(incidents)
            .where(incidents.c.id.in_(wanted))
            .order_by(incidents.c.number)
            .with_for_update(skip_locked=skip_locked)
        )
        merged = []
        for row in self._connection.execute(query).mappings():
            incident = incident_of(row)
            self._ledger.incidents[incident.id] = incident
            if incident.alert_count > 1:
                merged.append(incident.id)
        return merged

    def load_alerts_of(self, incident_ids: Sequence[str]) -> None:
        """Load and lock every alert of these incidents, which are ours already.

        With how often each was seen there.
        """
        if not incident_ids:
            return
        self._lock_alerts(alerts.c.id.in_(_linked_to(incident_ids)))
        self._load_counts(incident_ids)

    def _load_counts(self, incident_ids: Sequence[str]) -> None:
        links = incident_alerts.c
        counts = select(links.incident_id, links.alert_id, links.seen_before).where(
            links.incident_id.in_(incident_ids), links.is_open
        )
        for incident_id, alert_id, before in self._connection.execute(counts):
            self._ledger.seen_before[incident_id, alert_id] = before

    def _lock_alerts(self, which: ColumnElement[bool]) -> None:
        query = select(alerts).where(which).order_by(alerts.c.id).with_for_update()
        for row in self._connection.execute(query).mappings():
            alert = alert_of(row)
            self._ledger.alerts.setdefault((alert.integration_id, alert.dedup_key), alert)

    def load_turns(self) -> None:
        """Load and lock whose turn it is in every step that goes round, also one never taken.

        After the incidents, always: two workers that both hold some of those wait here, not there.
        """
        steps = sorted(
            step.id
            for policy in self._plans.policies.values()
            for step in policy.steps
            if any(target.kind == "round_robin" for target in step.targets)
        )
        if steps:
            # What is not there cannot be locked.
            rows = [{"step_id": id_, "count": 0} for id_ in steps]
            insert_many(self._connection, turns, rows, "(step_id) DO NOTHING")
            query = (
                select(turns)
                .where(turns.c.step_id.in_(steps))
                .order_by(turns.c.step_id)
                .with_for_update()
            )
            self._turns = {row[0]: row[1] for row in self._connection.execute(query)}

    @property
    def turns(self) -> Mapping[str, int]:
        """How many places each step that goes round has gone on."""
        return self._turns

    def others_fire(self, incident: Incident | None, alert: Alert | None) -> bool:
        """Whether an incident has other alerts than this that still fire."""
        if incident is None or incident.alert_count < 2:
            return False
        return any(
            one.incident_id == incident.id and one.resolved_at is None and one is not alert
            for one in self._ledger.alerts.values()
        )

    def alerts_of(self, incident_id: str) -> list[Alert]:
        """Return the alerts of an incident that are loaded."""
        return [alert for alert in self._ledger.alerts.values() if alert.incident_id == incident_id]

    def alert(self, key: AlertKey) -> Alert | None:
        """Return an alert as it stands now."""
        return self._ledger.alerts.get(key)

    def incident(self, id_: str | None) -> Incident | None:
        """Return an incident as it stands now."""
        return self._ledger.incidents.get(id_) if id_ else None

    def group(self, key: GroupKey) -> Incident | None:
        """Return the open incident that has a group, as it stands now."""
        return next(
            (
                one
                for one in self._ledger.incidents.values()
                if one.is_open and (one.service_id, one.group_key) == key
            ),
            None,
        )

    # -- applying

    def apply(
        self,
        effects: Iterable[fx.Effect],
        *,
        alert_key: AlertKey | None = None,
        incident_id: str | None = None,
        arrived_at: datetime | None = None,
    ) -> str | None:
        """Apply effects in order; return the incident they were about, if any.

        ``arrived_at`` is when their cause came in, where that was before now.
        """
        for effect in effects:
            if isinstance(effect, fx.SeeAlert | fx.CloseAlert):
                assert alert_key is not None
                self._touch_alert(alert_key, effect)
            elif isinstance(effect, fx.OpenIncident):
                incident_id = self._open(alert_key, effect, arrived_at or self._now)
            elif isinstance(effect, fx.Join):
                assert alert_key is not None
                incident_id = effect.incident_id
                self._join(alert_key, incident_id)
                self._change(self._ledger.incidents[incident_id], effect)
            elif incident_id is not None:
                self._change(self._ledger.incidents[incident_id], effect)
            if isinstance(effect, fx.Said) and incident_id is not None and effect.text:
                self._say(self._ledger.incidents[incident_id], effect)
        return incident_id

    def thin(self, key: AlertKey, ids: Sequence[str]) -> None:
        """Count deliveries that only repeat an alert: of a storm not every body is kept."""
        alert = self._ledger.alerts[key]
        repeats, gone = thin(alert.repeats, ids, self._now)
        self._ledger.alerts[key] = replace(alert, repeats=repeats)
        self._ledger.changed_alerts.add(key)
        self._ledger.thinned += gone

    def _touch_alert(self, key: AlertKey, effect: fx.SeeAlert | fx.CloseAlert) -> None:
        signal, fires = effect.signal, isinstance(effect, fx.SeeAlert)
        known = self._ledger.alerts.get(key)
        if known is None:
            self._ledger.new_alerts.add(key)
            known = self._blank(key, signal, effect.service_id)
        fresh = _described(known, signal) if fires else known
        self._ledger.alerts[key] = replace(
            fresh,
            is_archived=not fires and signal.known.sight is Sight.ARCHIVED,
            occurrence_count=known.occurrence_count + fires,
            last_seen_at=self._now if fires else known.last_seen_at,
            resolved_at=None if fires else self._now,
            is_over_at_source=not fires,
        )
        self._ledger.changed_alerts.add(key)

    def _blank(self, key: AlertKey, signal: Signal, service_id: str) -> Alert:
        return Alert(
            id=new_id("alr", self._now),
            integration_id=key[0],
            service_id=service_id,
            dedup_key=key[1],
            title=signal.title,
            severity=signal.severity,
            priority=signal.priority,
            source=signal.source,
            link=signal.link,
            details=signal.details,
            occurrence_count=0,
            first_seen_at=self._now,
            last_seen_at=self._now,
            resolved_at=None,
            incident_id=None,
            about=signal.known.about,
        )

    def _open(self, key: AlertKey | None, effect: fx.OpenIncident, at: datetime) -> str:
        signal = effect.signal
        incident = Incident(
            id=new_id("inc", self._now),
            number=None,
            service_id=effect.service_id,
            integration_id=key[0] if key else None,
            dedup_key=signal.dedup_key or "",
            title=signal.title,
            status=IncidentStatus.TRIGGERED,
            severity=signal.severity,
            priority=signal.priority,
            urgency=effect.urgency,
            source=signal.source,
            link=signal.link,
            occurrence_count=effect.occurrence_count,
            previous_incident_id=effect.previous_incident_id,
            is_test=signal.is_test,
            escalation=Escalation(),
            assigned_user_id=None,
            assigned_policy_id=effect.policy_id,
            triggered_at=at,
            group_key=effect.group_key,
            is_urgency_chosen=effect.is_urgency_chosen,
        )
        self._ledger.incidents[incident.id] = incident
        self._ledger.new_incidents.add(incident.id)
        if key is not None:
            alert = self._ledger.alerts[key]
            self._ledger.changed_alerts.add(key)
            before = alert.occurrence_count - effect.occurrence_count
            self._link(incident.id, alert, before)
            self._ledger.alerts[key] = replace(
                alert, incident_id=incident.id, service_id=effect.service_id
            )
        return incident.id

    def _join(self, key: AlertKey, incident_id: str) -> None:
        alert = self._ledger.alerts[key]
        self._ledger.changed_alerts.add(key)
        self._link(incident_id, alert, alert.occurrence_count - 1)
        service_id = self._ledger.incidents[incident_id].service_id
        self._ledger.alerts[key] = replace(alert, incident_id=incident_id, service_id=service_id)

    def _change(self, incident: Incident, effect: fx.Effect) -> None:
        changed = evolve(incident, effect, self._now)
        if changed is not incident:
            self._ledger.incidents[incident.id] = changed
            self._ledger.changed_incidents.add(incident.id)
        follow = _FOLLOW.get(type(effect))
        if follow:
            follow(self, changed, effect)
        if self._plans.sentry:
            self._ask_sentry(incident, changed, effect)

    def _ask_sentry(self, before: Incident, incident: Incident, effect: fx.Effect) -> None:
        """Let what this asks for be done in Sentry, once it is saved."""
        if begins(effect, before):
            self._ask_who_wrote_it(incident)
            is_theirs = incident.integration_id in self._plans.sentry
            asked = looked_into(incident) if is_theirs else ()
        elif isinstance(effect, fx.Said):
            asked = asks(effect, incident, self._plans.users.get(effect.by.user_id or ""))
        else:
            return
        self._ledger.asked += [(incident.id, ask) for ask in asked]

    def _ask_who_wrote_it(self, incident: Incident) -> None:
        """Page the suspect author with this run too; in the first nothing is known yet."""
        service = self._plans.services.get(incident.service_id)
        if service and service.pages_suspect_author and incident.escalation.cycle:
            self._ledger.due[Kind.SUSPECT, incident.id] = self._now

    def _say(self, incident: Incident, effect: fx.Said) -> None:
        kind = getattr(effect, "kind", None) or _ENTRY[type(effect)]
        row = entry(incident, self._now, kind, effect.text, effect.by.name, effect.data)
        if not isinstance(effect, fx.Count):
            self._ledger.entries.append(row)
            return
        repeats = self._ledger.repeats.setdefault(incident.id, [])
        if len(repeats) < TOLD_SINGLY:
            repeats.append(row)
            self._ledger.entries.append(row)
        else:
            # In a storm one entry stands for many: nobody reads them, everybody waits for them.
            last = repeats[-1]
            last["data"] = {**(last["data"] or {}), "count": times(last["data"]) + 1}

    # -- what follows from an effect beyond the incident's own fields

    def _look_again(self, incident: Incident, effect: fx.LookAgainAt) -> None:
        self._ledger.due[Kind.ESCALATE, incident.id] = effect.at

    def _restart(self, incident: Incident, _effect: fx.Restart) -> None:
        self._ledger.due[Kind.ESCALATE, incident.id] = self._now
        self._ledger.due[Kind.WAKE, incident.id] = None

    def _stop(self, incident: Incident, _effect: fx.Effect) -> None:
        self._ledger.due[Kind.ESCALATE, incident.id] = None

    def _acknowledged(self, incident: Incident, effect: fx.Acknowledge) -> None:
        self._stop(incident, effect)
        if effect.by.user_id:
            self._ledger.assignees[incident.id] = (effect.by.user_id,)

    def _close(self, incident: Incident, effect: fx.Resolve) -> None:
        self._stop(incident, effect)
        for kind in (Kind.RESOLVE, Kind.RAISE, Kind.RELEASE):
            self._ledger.due[kind, incident.id] = None
        self._ledger.reopened.discard(incident.id)
        self._ledger.closed[incident.id] = effect.by.is_source
        for link in self._ledger.links:
            link["is_open"] = link["is_open"] and link["incident_id"] != incident.id
        for key, alert in self._ledger.alerts.items():
            if alert.incident_id == incident.id and alert.resolved_at is None:
                self._ledger.alerts[key] = replace(
                    alert, resolved_at=self._now, is_over_at_source=effect.by.is_source
                )
                self._ledger.changed_alerts.add(key)

    def _reopen(self, incident: Incident, _effect: fx.Reopen) -> None:
        self._ledger.closed.pop(incident.id, None)
        self._ledger.reopened.add(incident.id)

    def _merge(self, incident: Incident, effect: fx.MergeInto) -> None:
        self._stop(incident, effect)
        for kind in (Kind.RESOLVE, Kind.RAISE, Kind.RELEASE):
            self._ledger.due[kind, incident.id] = None
        self._ledger.unlinked.append((incident.id, None))
        for key, alert in self._ledger.alerts.items():
            if alert.incident_id == incident.id:
                self._move(key, effect.into_id)

    def _link(self, incident_id: str, alert: Alert, seen_before: int) -> None:
        self._ledger.links.append({
            "incident_id": incident_id,
            "alert_id": alert.id,
            "is_open": True,
            "seen_before": seen_before,
        })  # fmt: skip
        self._ledger.seen_before[incident_id, alert.id] = seen_before

    def seen_in(self, incident_id: str, alert: Alert) -> int:
        """Return how often an alert was seen while it was part of an incident."""
        return alert.occurrence_count - self._ledger.seen_before[incident_id, alert.id]

    def _move(self, key: AlertKey, incident_id: str) -> None:
        alert = self._ledger.alerts[key]
        self._link(incident_id, alert, self._ledger.seen_before[alert.incident_id or "", alert.id])
        self._ledger.alerts[key] = replace(alert, incident_id=incident_id)
        self._ledger.changed_alerts.add(key)

    def _lose(self, incident: Incident, effect: fx.LoseAlert) -> None:
        self._ledger.unlinked.append((incident.id, effect.alert_id))

    def _responder(self, incident: Incident, effect: fx.AddResponder) -> None:
        self._ledger.responders.append(
            {"incident_id": incident.id, "user_id": effect.user_id, "is_responder": True}
        )

    def _author(self, incident: Incident, effect: fx.PageAuthor) -> None:
        self._ledger.responders.append(
            {"incident_id": incident.id, "user_id": effect.user_id, "is_responder": False}
        )

    def _turn(self, _incident: Incident, effect: fx.TakeTurn) -> None:
        count = self._turns.get(effect.step_id, 0) + effect.by
        self._turns[effect.step_id] = self._ledger.taken_turns[effect.step_id] = count

    def _raise_at(self, incident: Incident, effect: fx.RaiseAt) -> None:
        self._ledger.due[Kind.RAISE, incident.id] = effect.at

    def _suppress(self, incident: Incident, effect: fx.Suppress) -> None:
        self._stop(incident, effect)
        self._ledger.due[Kind.RELEASE, incident.id] = effect.until

    def _unsuppress(self, incident: Incident, _effect: fx.Unsuppress) -> None:
        self._ledger.due[Kind.RELEASE, incident.id] = None

    def _step(self, incident: Incident, effect: fx.TakeStep) -> None:
        if effect.user_ids:
            self._ledger.assignees[incident.id] = effect.user_ids

    def _page(self, incident: Incident, effect: fx.Page) -> None:
        methods = self._plans.users[effect.user_id].contact_methods
        method = next(m for m in methods if m.id == effect.contact_method_id)
        self._ledger.notify(
            incident,
            now=self._now,
            user_id=effect.user_id,
            contact_method_id=method.id,
            channel=method.channel,
            type_=MessageType.PAGE,
            reason=effect.reason,
            round=effect.round,
            step=effect.step,
            rule_id=effect.rule_id,
            due_at=effect.due_at,
        )

    def _cancel(self, incident: Incident, effect: fx.CancelPages) -> None:
        if effect.user_id is None:
            spares = self._ledger.cancelled.get(incident.id, True)
            self._ledger.cancelled[incident.id] = spares and effect.spares_help
        else:
            self._ledger.cancelled_of.add((incident.id, effect.user_id))
        for page in self._ledger.pages:
            is_page = page["type"] == MessageType.PAGE.value
            is_theirs = effect.user_id in (None, page["user_id"])
            is_spared = effect.spares_help and page["step"] == HELP_STEP
            if page["incident_id"] == incident.id and is_page and is_theirs and not is_spared:
                page["state"] = NotificationState.CANCELLED.value
                self._ledger.due.pop((Kind.NOTIFY, page["id"]), None)

    def _tell(self, incident: Incident, effect: fx.Tell) -> None:
        self._ledger.told[incident.id, effect.type] = None

    def _wake_at(self, incident: Incident, effect: fx.WakeAt) -> None:
        self._ledger.due[Kind.WAKE, incident.id] = effect.at

    def _resolve_at(self, incident: Incident, effect: fx.ResolveAt) -> None:
        self._ledger.due[Kind.RESOLVE, incident.id] = effect.at

    def save(self) -> None:
        """Write everything that changed. Once per casebook."""
        self._ledger.save(self._connection, self._now, self._plans.sentry)


_FOLLOW: dict[type, Callable[..., None]] = {
    fx.LookAgainAt: Casebook._look_again,
    fx.Restart: Casebook._restart,
    fx.EndEscalation: Casebook._stop,
    fx.Acknowledge: Casebook._acknowledged,
    fx.Snooze: Casebook._stop,
    fx.Resolve: Casebook._close,
    fx.Reopen: Casebook._reopen,
    fx.TakeStep: Casebook._step,
    fx.TakeTurn: Casebook._turn,
    fx.Resume: Casebook._restart,
    fx.MergeInto: Casebook._merge,
    fx.LoseAlert: Casebook._lose,
    fx.AddResponder: Casebook._responder,
    fx.PageAuthor: Casebook._author,
    fx.RaiseAt: Casebook._raise_at,
    fx.Suppress: Casebook._suppress,
    fx.Unsuppress: Casebook._unsuppress,
    fx.Page: Casebook._page,
    fx.CancelPages: Casebook._cancel,
    fx.Tell: Casebook._tell,
    fx.WakeAt: Casebook._wake_at,
    fx.ResolveAt: Casebook._resolve_at,
}

#: The kind of timeline entry an effect makes, where it does not carry one itself.
_ENTRY: dict[type, TimelineKind] = {
    fx.OpenIncident: TimelineKind.OPENED,
    fx.Join: TimelineKind.REPEATED,
    fx.Count: TimelineKind.REPEATED,
    fx.Raise: TimelineKind.RAISED,
    fx.Acknowledge: TimelineKind.ACKNOWLEDGED,
    fx.Answer: TimelineKind.ACKNOWLEDGED,
    fx.Excuse: TimelineKind.NOTE,
    fx.MarkTest: TimelineKind.NOTE,
    fx.RaiseUrgency: TimelineKind.RAISED,
    fx.Suppress: TimelineKind.SUPPRESSED,
    fx.Unsuppress: TimelineKind.WOKE,
    fx.MergeInto: TimelineKind.MERGED,
    fx.TakeAlerts: TimelineKind.MERGED,
    fx.LoseAlert: TimelineKind.UNMERGED,
    fx.AddResponder: TimelineKind.REASSIGNED,
    fx.PageAuthor: TimelineKind.STEP,
    fx.Resolve: TimelineKind.RESOLVED,
    fx.Snooze: TimelineKind.SNOOZED,
    fx.Reopen: TimelineKind.REOPENED,
    fx.SetPriority: TimelineKind.RAISED,
    fx.Reassign: TimelineKind.REASSIGNED,
    fx.TakeStep: TimelineKind.STEP,
}


def _linked_to(incident_ids: Sequence[str]) -> Select[str]:
    """Select the alerts that belong to these incidents now."""
    return select(incident_alerts.c.alert_id).where(
        incident_alerts.c.incident_id.in_(incident_ids), incident_alerts.c.is_open
    )


def _described(alert: Alert, signal: Signal) -> Alert:
    """Keep what the latest signal says of the alert."""
    return replace(
        alert,
        title=signal.title,
        severity=signal.severity,
        priority=signal.priority or alert.priority,
        source=signal.source,
        link=signal.link or alert.link,
        details={**alert.details, **signal.details},
        about=signal.known.about or alert.about,
    )
