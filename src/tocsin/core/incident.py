"""The state machine of an incident, and how each effect changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
    Urgency,
)
from tocsin.core.notify import Reach, pages, raise_later, urgency
from tocsin.core.plans import Service


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
    """Somebody takes it: escalation stops, who was paged is told. A repeat changes nothing.

    While everybody must acknowledge, each person does so for themselves; a source, or a key that
    stands for no person, does so for all.
    """
    if TRANSITIONS[incident.status, Move.ACKNOWLEDGE] is not Cell.ACKNOWLEDGED:
        return ()
    stand = incident.escalation
    if by.user_id is not None and incident.status is IncidentStatus.TRIGGERED and stand.awaiting:
        if by.user_id in stand.have_answered:
            return ()
        if left := set(stand.awaiting) - {*stand.have_answered, by.user_id}:
            mine = by.user_id in stand.awaiting
            more = f"{len(left)} more must" if mine else f"but {len(left)} others must"
            said = text or f"acknowledged; {more}"
            return (
                fx.Answer(text=said, by=by, user_id=by.user_id),
                fx.CancelPages(user_id=by.user_id),
            )
    timeout = service.acknowledge_timeout if service else None
    return (
        fx.Acknowledge(text=text or "acknowledged", by=by),
        fx.CancelPages(spares_help=True),
        *((fx.CancelPages(user_id=by.user_id),) if by.user_id else ()),
        fx.WakeAt(at=now + timeout if timeout else None),
        fx.Tell(type=MessageType.ACKNOWLEDGED),
    )


#: What follows when an incident ends, however that came about.
ENDING: tuple[fx.Effect, ...] = (
    fx.CancelPages(),
    fx.WakeAt(at=None),
    fx.Tell(type=MessageType.RESOLVED),
)


def resolve(incident: Incident, by: Actor, text: str = "") -> tuple[fx.Effect, ...]:
    """The cycle ends: nothing more is sent but that it ended. A repeat changes nothing."""
    if TRANSITIONS[incident.status, Move.RESOLVE] is not Cell.RESOLVED:
        return ()
    return (fx.Resolve(text=text or "resolved", by=by), *ENDING)


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
    # Who let an acknowledgement time out hears of it, besides who is on call now.
    also = incident.acknowledged_by_id if kind is TimelineKind.ACKNOWLEDGE_TIMEOUT else None
    return (fx.Wake(text=text, kind=kind), fx.Restart(also=(also,) if also else ()))


#: How long an acknowledgement by link can be taken back by whoever gave it.
UNDO_FOR = timedelta(minutes=5)


def can_undo(incident: Incident, user_id: str, now: datetime) -> bool:
    """Whether a person may take back that they acknowledged."""
    return (
        incident.status is IncidentStatus.ACKNOWLEDGED
        and incident.acknowledged_by_id == user_id
        and incident.acknowledged_at is not None
        and now - incident.acknowledged_at < UNDO_FOR
    )


def undo(incident: Incident, by: Actor, now: datetime) -> tuple[fx.Effect, ...]:
    """Take an acknowledgement back: triggered again, from step one, as if it had timed out.

    Raises Refused where it was somebody else's, is too long ago, or is no more.
    """
    if by.user_id is None or not can_undo(incident, by.user_id, now):
        minutes = int(UNDO_FOR.total_seconds() / 60)
        raise Refused(
            f"there is nothing to undo: only an acknowledgement of your own can be taken back,"
            f" within {minutes} minutes"
        )
    woke = fx.Wake(text="acknowledgement undone", by=by, kind=TimelineKind.WOKE)
    return (woke, fx.WakeAt(at=None), fx.Restart())


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaver:
    """A person who was removed while an incident was theirs."""

    user_id: str
    name: str
    #: Whether somebody else still has it.
    others_have_it: bool


def leave(incident: Incident, who: Leaver, now: datetime) -> tuple[fx.Effect, ...]:
    """A person has left: nothing waits for them, and nothing rests on them alone."""
    stand = incident.escalation
    gone = fx.Excuse(text=f"{who.name} has left", user_id=who.user_id)
    if incident.acknowledged_by_id == who.user_id:
        text = f"{who.name}, who had acknowledged, has left"
        return (replace(gone, text=text), fx.WakeAt(at=None), fx.Restart())
    if incident.status is not IncidentStatus.TRIGGERED:
        return (gone,)
    left = set(stand.awaiting) - {*stand.have_answered, who.user_id}
    if stand.have_answered and who.user_id in stand.awaiting and not left:
        taken = fx.Acknowledge(text="acknowledged by everybody else")
        return (gone, taken, fx.CancelPages(), fx.Tell(type=MessageType.ACKNOWLEDGED))
    if who.others_have_it or stand.state is not EscalationState.RUNNING:
        return (gone,)
    text = f"{who.name} has left: the next step is taken now"
    return (replace(gone, text=text), fx.LookAgainAt(at=now))


def raise_urgency(
    incident: Incident, service: Service | None, now: datetime
) -> tuple[fx.Effect, ...]:
    """Support hours may have begun, or are others now: be as urgent as the service says.

    What waited pages if nobody has taken it. If it is not time yet, it is looked at again then.
    """
    if not incident.is_open or incident.is_urgency_chosen or service is None:
        return ()
    derived = urgency(service, incident.severity, incident.priority, now)
    if not derived.is_above(incident.urgency):
        return raise_later(service, incident.severity, incident.priority, now)
    raised = fx.RaiseUrgency(text=f"urgency is {derived} now: support hours", urgency=derived)
    if incident.status is not IncidentStatus.TRIGGERED:
        return (raised,)
    return (raised, fx.CancelPages(), fx.Restart())


def merge(source: Incident, target: Incident, by: Actor) -> tuple[list[fx.Effect], list[fx.Effect]]:
    """Give the alerts of one open incident to another; return what happens to each.

    Raises Refused where one of them is resolved or they are the same. A repeat changes nothing.
    """
    if source.merged_into_id == target.id:
        return [], []
    if source.id == target.id:
        raise Refused(f"incident {source.number} cannot be merged into itself")
    for one in (source, target):
        if not one.is_open:
            raise Refused(f"incident {one.number} is resolved and cannot be merged")
    gone = fx.MergeInto(text=f"merged into {_name(target)}", by=by, into_id=target.id)
    name = _name(source)
    worse = source.severity.is_above(target.severity)
    louder = source.urgency.is_above(target.urgency)
    taken: list[fx.Effect] = [
        fx.TakeAlerts(
            text=f"{name} was merged into this: {source.title}",
            by=by,
            occurrence_count=source.occurrence_count,
            alert_count=source.alert_count,
            severity=source.severity if worse else target.severity,
            urgency=source.urgency if louder else target.urgency,
        )
    ]
    # What is loud stays so: neither a quiet incident nor one in maintenance may swallow it.
    freed = target.suppressed_until is not None and source.suppressed_until is None
    if freed:
        taken.append(fx.Unsuppress(text=f"{name} was not kept quiet", by=by))
    if (louder and target.status in PAGES_AGAIN) or (
        freed and target.status is IncidentStatus.TRIGGERED
    ):
        taken += [fx.CancelPages(), fx.Restart()]
    return [gone, *ENDING], taken


def _name(incident: Incident) -> str:
    """Name an incident; one that is opened and merged at once has no number yet."""
    return f"#{incident.number}" if incident.number else "another incident"


def add_responder(
    incident: Incident, person: Reach, by: Actor, now: datetime, *, has_it: bool
) -> tuple[fx.Effect, ...]:
    """Ask another person for help: they are paged now, whatever the state of the incident.

    Raises Refused where it is resolved or they cannot be reached.
    """
    if not incident.is_open:
        raise Refused(f"incident {incident.number} is resolved: nobody is needed any more")
    if has_it:
        return ()
    if not person.is_reached:
        raise Refused(f"{person.user.name} has no contact method that can be used")
    asked = fx.AddResponder(
        text=f"{person.user.name} was asked to help", by=by, user_id=person.user.id
    )
    why = f"{by.name} asks for your help"
    # Told apart by when it was asked: who was asked before is asked again.
    asked_at = int((now - incident.triggered_at).total_seconds())
    return (asked, *pages(person, Urgency.HIGH, now, why, HELP_STEP, asked_at))


#: No step of any policy, and not the fallback's: people who were asked for help.
HELP_STEP = -1


def set_priority(
    incident: Incident,
    by: Actor,
    priority: Priority | None,
    service: Service | None,
    now: datetime,
) -> tuple[fx.Effect, ...]:
    """A person says how much it matters; a higher urgency that follows pages again."""
    if priority is incident.priority:
        return ()
    derived = urgency(service, incident.severity, priority, now)
    raised = derived.is_above(incident.urgency)
    change = fx.SetPriority(
        text=f"priority set to {priority or 'none'}",
        by=by,
        priority=priority,
        urgency=derived if raised else incident.urgency,
    )
    later = raise_later(service, incident.severity, priority, now) if service else ()
    pages_again = raised and incident.status in PAGES_AGAIN
    again = (fx.CancelPages(), fx.Restart()) if pages_again else ()
    return (change, *later, *again)


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
        acknowledged_by_id=effect.by.user_id,
        snoozed_until=None,
        escalation=_stopped(incident),
    )


def _resolved(incident: Incident, _effect: fx.Resolve, at: datetime) -> Incident:
    return replace(
        incident,
        status=IncidentStatus.RESOLVED,
        resolved_at=at,
        snoozed_until=None,
        # The windows that kept this cycle quiet say nothing of the next.
        suppressed_until=None,
        suppressed_by=(),
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
        is_urgency_chosen=effect.is_urgency_chosen,
        occurrence_count=incident.occurrence_count + 1,
        # What was opened since has the others, if anything was.
        group_key=None,
    )


def _triggered(incident: Incident, escalation: Escalation) -> Incident:
    if incident.suppressed_until is not None:
        escalation = replace(escalation, state=EscalationState.STOPPED, next_at=None)
    return replace(
        incident,
        status=IncidentStatus.TRIGGERED,
        acknowledged_at=None,
        acknowledged_by=None,
        acknowledged_by_id=None,
        snoozed_until=None,
        escalation=escalation,
    )


def _restarted(incident: Incident, effect: fx.Restart, at: datetime) -> Incident:
    cycle = incident.escalation.cycle + 1
    return _triggered(incident, Escalation(next_at=at, cycle=cycle, also=effect.also))


def _resumed(incident: Incident, _effect: fx.Resume, at: datetime) -> Incident:
    going = replace(incident.escalation, state=EscalationState.RUNNING, next_at=at)
    return _triggered(incident, going)


def _answered(incident: Incident, effect: fx.Answer, _at: datetime) -> Incident:
    stand = incident.escalation
    answer = (stand.step_id or "", effect.user_id)
    return replace(incident, escalation=replace(stand, answered=(*stand.answered, answer)))


def _excused(incident: Incident, effect: fx.Excuse, _at: datetime) -> Incident:
    stand = incident.escalation
    left = tuple(id_ for id_ in stand.awaiting if id_ != effect.user_id)
    return replace(incident, escalation=replace(stand, awaiting=left))


def _urgent(incident: Incident, effect: fx.RaiseUrgency, _at: datetime) -> Incident:
    return replace(incident, urgency=effect.urgency)


def _suppressed(incident: Incident, effect: fx.Suppress, _at: datetime) -> Incident:
    return replace(
        incident,
        suppressed_until=effect.until,
        suppressed_by=effect.windows,
        escalation=_stopped(incident),
    )


def _unsuppressed(incident: Incident, _effect: fx.Unsuppress, _at: datetime) -> Incident:
    return replace(incident, suppressed_until=None, suppressed_by=())


def _merged(incident: Incident, effect: fx.MergeInto, at: datetime) -> Incident:
    gone = replace(incident, merged_into_id=effect.into_id)
    return _resolved(gone, fx.Resolve(text=""), at)


def _grown(incident: Incident, effect: fx.TakeAlerts, _at: datetime) -> Incident:
    return replace(
        incident,
        occurrence_count=incident.occurrence_count + effect.occurrence_count,
        alert_count=incident.alert_count + effect.alert_count,
        severity=effect.severity,
        urgency=effect.urgency,
    )


def _joined(incident: Incident, effect: fx.Join, _at: datetime) -> Incident:
    return replace(
        incident,
        title=effect.title,
        occurrence_count=incident.occurrence_count + 1,
        alert_count=incident.alert_count + 1,
        severity=effect.severity,
        urgency=effect.urgency,
    )


def _gathering(incident: Incident, effect: fx.Gather, _at: datetime) -> Incident:
    return replace(incident, group_key=effect.group_key)


def _entitled(incident: Incident, effect: fx.Entitle, _at: datetime) -> Incident:
    return replace(incident, title=effect.title)


def _marked(incident: Incident, _effect: fx.MarkTest, _at: datetime) -> Incident:
    return replace(incident, is_test=True)


def _shrunk(incident: Incident, effect: fx.LoseAlert, _at: datetime) -> Incident:
    return replace(
        incident,
        occurrence_count=max(1, incident.occurrence_count - effect.occurrence_count),
        alert_count=incident.alert_count - 1,
    )


def _prioritised(incident: Incident, effect: fx.SetPriority, _at: datetime) -> Incident:
    return replace(incident, priority=effect.priority, urgency=effect.urgency)


def _reassigned(incident: Incident, effect: fx.Reassign, _at: datetime) -> Incident:
    return replace(incident, assigned_user_id=effect.user_id, assigned_policy_id=effect.policy_id)


def _stepped(incident: Incident, effect: fx.TakeStep, _at: datetime) -> Incident:
    stand = incident.escalation
    same_run = stand.cycle == effect.cycle
    escalation = Escalation(
        answered=stand.answered if same_run else (),
        policy_id=effect.policy_id,
        step=effect.step,
        step_id=effect.step_id,
        round=effect.round,
        cycle=effect.cycle,
        state=EscalationState.RUNNING,
        has_reached=effect.has_reached,
        awaiting=effect.awaiting,
    )
    return replace(incident, escalation=escalation)


def _ended(incident: Incident, effect: fx.EndEscalation, _at: datetime) -> Incident:
    ended = replace(
        incident.escalation,
        state=effect.state,
        next_at=None,
        policy_id=effect.policy_id,
        cycle=effect.cycle,
    )
    return replace(incident, escalation=ended)


def _due(incident: Incident, effect: fx.LookAgainAt, _at: datetime) -> Incident:
    return replace(incident, escalation=replace(incident.escalation, next_at=effect.at))


_CHANGES: dict[type, Callable[..., Incident]] = {
    fx.Count: _counted,
    fx.Join: _joined,
    fx.Gather: _gathering,
    fx.Entitle: _entitled,
    fx.MarkTest: _marked,
    fx.Raise: _raised,
    fx.Acknowledge: _acknowledged,
    fx.Resolve: _resolved,
    fx.Snooze: _snoozed,
    fx.Reopen: _reopened,
    fx.Restart: _restarted,
    fx.Resume: _resumed,
    fx.Answer: _answered,
    fx.Excuse: _excused,
    fx.RaiseUrgency: _urgent,
    fx.Suppress: _suppressed,
    fx.Unsuppress: _unsuppressed,
    fx.MergeInto: _merged,
    fx.TakeAlerts: _grown,
    fx.LoseAlert: _shrunk,
    fx.SetPriority: _prioritised,
    fx.Reassign: _reassigned,
    fx.TakeStep: _stepped,
    fx.EndEscalation: _ended,
    fx.LookAgainAt: _due,
}
