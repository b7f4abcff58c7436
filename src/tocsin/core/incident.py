"""The state machine of an incident, and how each effect changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from tocsin.core import effects as fx
from tocsin.core.model import (
    Actor,
    Escalation,
    EscalationState,
    Incident,
    IncidentStatus,
    MessageType,
    Priority,
    TimelineKind,
)
from tocsin.core.notify import urgency
from tocsin.core.plans import (
    Service,
)


class Move(StrEnum):
    """What can be asked of an incident."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"
    WAKE = "wake"
    RESOLVE = "resolve"


class Cell(StrEnum):
    """What then happens: the new state, or one of these."""

    COUNT = "count"
    NEW = "new incident"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    TRIGGERED = "triggered"
    RESOLVED = "resolved"
    NO_CHANGE = "no change"
    RECORDED = "recorded"
    REFUSED = "refused"


# fmt: off
_C = Cell
_TABLE: dict[IncidentStatus | None, tuple[Cell, Cell, Cell, Cell, Cell]] = {
    #                            trigger    acknowledge      snooze       wake           resolve
    IncidentStatus.TRIGGERED:    (_C.COUNT, _C.ACKNOWLEDGED, _C.SNOOZED,  _C.NO_CHANGE,  _C.RESOLVED),
    IncidentStatus.ACKNOWLEDGED: (_C.COUNT, _C.NO_CHANGE,    _C.SNOOZED,  _C.TRIGGERED,  _C.RESOLVED),
    IncidentStatus.SNOOZED:      (_C.COUNT, _C.ACKNOWLEDGED, _C.SNOOZED,  _C.TRIGGERED,  _C.RESOLVED),
    IncidentStatus.RESOLVED:     (_C.NEW,   _C.NO_CHANGE,    _C.REFUSED,  _C.NO_CHANGE,  _C.NO_CHANGE),
    None:                        (_C.NEW,   _C.RECORDED,     _C.REFUSED,  _C.NO_CHANGE,  _C.RECORDED),
}
# fmt: on

#: (status, or None without an incident; move) to what happens.
TRANSITIONS: dict[tuple[IncidentStatus | None, Move], Cell] = {
    (status, move): cell
    for status, row in _TABLE.items()
    for move, cell in zip(Move, row, strict=True)
}


class Refused(Exception):
    """This cannot be asked of an incident in its state; the message says why."""


def acknowledge(
    incident: Incident, by: Actor, service: Service | None, now: datetime, text: str = ""
) -> tuple[fx.Effect, ...]:
    """Somebody takes it: escalation stops, who was paged is told. A repeat changes nothing."""
    if TRANSITIONS[incident.status, Move.ACKNOWLEDGE] is not Cell.ACKNOWLEDGED:
        return ()
    timeout = service.acknowledge_timeout if service else None
    return (
        fx.Acknowledge(text=text or "acknowledged", by=by),
        fx.CancelPages(),
        fx.WakeAt(at=now + timeout if timeout else None),
        fx.Tell(type=MessageType.ACKNOWLEDGED),
    )


def resolve(incident: Incident, by: Actor, text: str = "") -> tuple[fx.Effect, ...]:
    """The cycle ends: nothing more is sent but that it ended. A repeat changes nothing."""
    if TRANSITIONS[incident.status, Move.RESOLVE] is not Cell.RESOLVED:
        return ()
    return (
        fx.Resolve(text=text or "resolved", by=by),
        fx.CancelPages(),
        fx.WakeAt(at=None),
        fx.Tell(type=MessageType.RESOLVED),
    )


def snooze(incident: Incident, by: Actor, until: datetime) -> tuple[fx.Effect, ...]:
    """Quiet until a time. Raises Refused for a resolved incident; the same time changes nothing."""
    if TRANSITIONS[incident.status, Move.SNOOZE] is Cell.REFUSED:
        raise Refused(f"incident {incident.number} is resolved and cannot be snoozed")
    if incident.status is IncidentStatus.SNOOZED and incident.snoozed_until == until:
        return ()
    return (
        fx.Snooze(text=f"snoozed until {until:%Y-%m-%d %H:%M} UTC", by=by, until=until),
        fx.CancelPages(),
        fx.WakeAt(at=until),
    )


def wake(incident: Incident) -> tuple[fx.Effect, ...]:
    """A snooze or an acknowledgement timed out: triggered again, from step one."""
    if TRANSITIONS[incident.status, Move.WAKE] is not Cell.TRIGGERED:
        return ()
    kind, text = (
        (TimelineKind.WOKE, "snooze ended")
        if incident.status is IncidentStatus.SNOOZED
        else (TimelineKind.ACKNOWLEDGE_TIMEOUT, "acknowledgement timed out")
    )
    return (fx.Wake(text=text, kind=kind), fx.Restart())


def set_priority(
    incident: Incident, by: Actor, priority: Priority | None, service: Service | None
) -> tuple[fx.Effect, ...]:
    """A person says how much it matters; a higher urgency that follows pages again."""
    if priority is incident.priority:
        return ()
    derived = urgency(service, incident.severity, priority)
    raised = derived.is_above(incident.urgency)
    change = fx.SetPriority(
        text=f"priority set to {priority or 'none'}",
        by=by,
        priority=priority,
        urgency=derived if raised else incident.urgency,
    )
    pages_again = raised and incident.status in PAGES_AGAIN
    return (change, fx.Restart()) if pages_again else (change,)


#: An incident in these states pages again when its urgency goes from low to high.
PAGES_AGAIN = frozenset({IncidentStatus.TRIGGERED, IncidentStatus.ACKNOWLEDGED})


def evolve(incident: Incident, effect: fx.Effect, at: datetime) -> Incident:
    """Return the incident as the effect leaves it; what does not concern it changes nothing."""
    change = _CHANGES.get(type(effect))
    return change(incident, effect, at) if change else incident


def _counted(incident: Incident, _effect: fx.Count, _at: datetime) -> Incident:
    return replace(incident, occurrence_count=incident.occurrence_count + 1)


def _raised(incident: Incident, effect: fx.Raise, _at: datetime) -> Incident:
    return replace(
        incident,
        occurrence_count=incident.occurrence_count + 1,
        severity=effect.severity,
        urgency=effect.urgency,
    )


def _stopped(incident: Incident) -> Escalation:
    return replace(incident.escalation, state=EscalationState.STOPPED, next_at=None)


def _acknowledged(incident: Incident, effect: fx.Acknowledge, at: datetime) -> Incident:
    return replace(
        incident,
        status=IncidentStatus.ACKNOWLEDGED,
        acknowledged_at=at,
        acknowledged_by=effect.by.name,
        snoozed_until=None,
        escalation=_stopped(incident),
    )


def _resolved(incident: Incident, _effect: fx.Resolve, at: datetime) -> Incident:
    return replace(
        incident,
        status=IncidentStatus.RESOLVED,
        resolved_at=at,
        snoozed_until=None,
        escalation=_stopped(incident),
    )


def _snoozed(incident: Incident, effect: fx.Snooze, _at: datetime) -> Incident:
    return replace(
        incident,
        status=IncidentStatus.SNOOZED,
        snoozed_until=effect.until,
        escalation=_stopped(incident),
    )


def _reopened(incident: Incident, effect: fx.Reopen, _at: datetime) -> Incident:
    return replace(
        incident,
        resolved_at=None,
        urgency=effect.urgency,
        occurrence_count=incident.occurrence_count + 1,
    )


def _restarted(incident: Incident, _effect: fx.Restart, at: datetime) -> Incident:
    return replace(
        incident,
        status=IncidentStatus.TRIGGERED,
        acknowledged_at=None,
        acknowledged_by=None,
        snoozed_until=None,
        escalation=Escalation(next_at=at, cycle=incident.escalation.cycle + 1),
    )


def _prioritised(incident: Incident, effect: fx.SetPriority, _at: datetime) -> Incident:
    return replace(incident, priority=effect.priority, urgency=effect.urgency)


def _reassigned(incident: Incident, effect: fx.Reassign, _at: datetime) -> Incident:
    return replace(incident, assigned_user_id=effect.user_id, assigned_policy_id=effect.policy_id)


def _stepped(incident: Incident, effect: fx.TakeStep, _at: datetime) -> Incident:
    escalation = replace(
        incident.escalation,
        policy_id=effect.policy_id,
        step=effect.step,
        round=effect.round,
        state=EscalationState.RUNNING,
        has_reached=incident.escalation.has_reached or bool(effect.user_ids),
    )
    return replace(incident, escalation=escalation)


def _ended(incident: Incident, effect: fx.EndEscalation, _at: datetime) -> Incident:
    return replace(
        incident, escalation=replace(incident.escalation, state=effect.state, next_at=None)
    )


def _due(incident: Incident, effect: fx.LookAgainAt, _at: datetime) -> Incident:
    return replace(incident, escalation=replace(incident.escalation, next_at=effect.at))


_CHANGES: dict[type, Callable[..., Incident]] = {
    fx.Count: _counted,
    fx.Raise: _raised,
    fx.Acknowledge: _acknowledged,
    fx.Resolve: _resolved,
    fx.Snooze: _snoozed,
    fx.Reopen: _reopened,
    fx.Restart: _restarted,
    fx.SetPriority: _prioritised,
    fx.Reassign: _reassigned,
    fx.TakeStep: _stepped,
    fx.EndEscalation: _ended,
    fx.LookAgainAt: _due,
}
