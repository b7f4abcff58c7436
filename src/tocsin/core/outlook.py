"""What happens next to an incident if nobody does anything: the one line people look for first.

It takes the very look that the incident will take, at the time it will take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tocsin.core import effects as fx
from tocsin.core.escalation import Turns, look
from tocsin.core.model import EscalationState, Incident, IncidentStatus, Urgency
from tocsin.core.noise import held_until
from tocsin.core.plans import Plans


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A page that waits for its time."""

    user_id: str
    channel: str
    due_at: datetime
    #: Attempts that were made already.
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What comes next: ``{before} {in 3 min} {after}``; without a time, ``before`` says it all."""

    before: str
    at: datetime | None = None
    after: str = ""
    #: Whether nothing will happen although nobody has it.
    is_stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An incident, and what is due for it."""

    incident: Incident
    plans: Plans
    now: datetime
    waiting: Sequence[Waiting] = ()
    #: When an acknowledgement times out, if it does.
    wake_at: datetime | None = None
    turns: Turns = field(default_factory=dict)
    #: What people call each channel.
    channels: Mapping[str, str] = field(default_factory=dict)


def outlook(known: Known) -> Outlook:
    """Say what happens next, by itself."""
    return _NEXT[known.incident.status](known)


def _resolved(_known: Known) -> Outlook:
    return Outlook(before="nothing more: it is resolved")


def _snoozed(known: Known) -> Outlook:
    return Outlook(
        before="it wakes", at=known.incident.snoozed_until, after="and pages from the first step"
    )


def _acknowledged(known: Known) -> Outlook:
    if known.wake_at is not None:
        after = "unless it is resolved; then it pages again"
        return Outlook(before="the acknowledgement times out", at=known.wake_at, after=after)
    who = known.plans.users.get(known.incident.acknowledged_by_id or "")
    name = who.name if who else known.incident.acknowledged_by or "somebody"
    return Outlook(before=f"nothing by itself: it waits for {name} to resolve it")


def _triggered(known: Known) -> Outlook:
    until = known.incident.suppressed_until
    if until is not None and until > known.now:
        if held_until(known.incident) == until:
            return Outlook(before="it is held, and pages", at=until, after="unless it is over then")
        return Outlook(before="maintenance ends", at=until, after="and nobody is paged before")
    found = [one for one in (_waiting(known), _step(known)) if one is not None]
    return min(found, key=lambda one: one.at or known.now, default=_ended(known))


def _waiting(known: Known) -> Outlook | None:
    if not known.waiting:
        return None
    at = min(one.due_at for one in known.waiting)
    due = [one for one in known.waiting if (one.due_at - at).total_seconds() < 1]
    again = " again" if any(one.attempts for one in due) else ""
    whom = _whom(known, ((one.user_id, one.channel) for one in due))
    return Outlook(before=f"{whom}{again}", at=at)


def _step(known: Known) -> Outlook | None:
    stand = known.incident.escalation
    if stand.state is not EscalationState.RUNNING or stand.next_at is None:
        return None
    at = max(stand.next_at, known.now)
    effects = look(known.incident, known.plans, at, known.turns)
    pages = [one for one in effects if isinstance(one, fx.Page)]
    taken = [one for one in effects if isinstance(one, fx.TakeStep) and one.user_ids]
    if pages:
        first = min(page.due_at for page in pages)
        due = [page for page in pages if page.due_at == first]
        whom = _whom(known, ((page.user_id, _channel(known, page)) for page in due))
        return Outlook(before=whom, at=first, after=f"({due[0].reason})")
    if taken:
        names = _names(known, taken[-1].user_ids)
        return Outlook(before=f"step {taken[-1].step}: {names} chose not to be notified", at=at)
    return Outlook(before="the escalation ends", at=at, after="and nobody else is paged")


def _ended(known: Known) -> Outlook:
    stand = known.incident.escalation
    if stand.state is EscalationState.STOPPED and known.incident.urgency is Urgency.LOW:
        return Outlook(before="nothing by itself: its urgency is low, nobody else is paged")
    why = _STUCK.get(stand.state, "nobody else is paged")
    return Outlook(before=why, is_stuck=True)


_STUCK = {
    EscalationState.EXHAUSTED: (
        "nothing by itself: no step is left, nobody else is paged; escalate to page them again"
    ),
    EscalationState.NOBODY_NOTIFIED: (
        "nothing by itself: nobody could be notified; reassign it to somebody who can be reached"
    ),
}

_NEXT: Mapping[IncidentStatus, Callable[[Known], Outlook]] = {
    IncidentStatus.TRIGGERED: _triggered,
    IncidentStatus.ACKNOWLEDGED: _acknowledged,
    IncidentStatus.SNOOZED: _snoozed,
    IncidentStatus.RESOLVED: _resolved,
}


def _channel(known: Known, page: fx.Page) -> str:
    methods = known.plans.users[page.user_id].contact_methods
    return next((one.channel for one in methods if one.id == page.contact_method_id), "")


def _whom(known: Known, pairs: Iterable[tuple[str, str]]) -> str:
    """Write ``Cat Carter and 2 others by e-mail and webhook``."""
    found = list(pairs)
    channels = dict.fromkeys(known.channels.get(channel, channel) for _, channel in found)
    return f"{_names(known, [user_id for user_id, _ in found])} by {' and '.join(channels)}"


def _names(known: Known, ids: Iterable[str]) -> str:
    users = known.plans.users
    names = [users[id_].name for id_ in dict.fromkeys(ids) if id_ in users] or ["nobody"]
    if len(names) <= 2:
        return " and ".join(names)
    return f"{names[0]} and {len(names) - 1} others"
