"""The closed set of things the core can ask for.

Deciding returns effects; ``work`` saves them in the transaction that consumed their cause. The
timeline of an incident is the list of its effects: each that people should see carries a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from tocsin.core.model import (
    TOCSIN,
    Actor,
    EscalationState,
    MessageType,
    Priority,
    Severity,
    Signal,
    TimelineKind,
    Urgency,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What every effect that stands on the timeline has."""

    text: str
    by: Actor = TOCSIN
    data: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeeAlert:
    """The alert fired: count it, and keep what the signal says of it now."""

    signal: Signal
    service_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseAlert:
    """The condition is over, whether or not an incident was open for it."""

    signal: Signal
    service_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident(Said):
    """A new cycle begins."""

    signal: Signal
    service_id: str
    urgency: Urgency
    previous_incident_id: str | None
    occurrence_count: int = 1
    #: Chosen by the rule that sent it, and kept through whatever the service's tables say.
    is_urgency_chosen: bool = False
    policy_id: str | None = None
    #: What becomes part of it while it is open, as ``core.noise.group_key`` says.
    group_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(Said):
    """Another alert becomes part of an incident that is open."""

    incident_id: str
    title: str
    severity: Severity
    urgency: Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """From now on others become part of it, as ``core.noise.group_key`` says."""

    group_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitle:
    """Its title says what it is about now."""

    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkTest(Said):
    """It is a test of its source, and nothing that broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Said):
    """The same condition again; nobody is paged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise(Said):
    """More severe or more urgent than before."""

    severity: Severity
    urgency: Urgency
    #: Whether people must hear of it again: triggered once more, escalation from step one.
    pages_again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge(Said):
    """Somebody has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Said):
    """One of those who all must acknowledge has; the step still waits for others."""

    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excuse(Said):
    """A person has left: nothing waits for their acknowledgement any more."""

    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve(Said):
    """The condition is over; the cycle ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze(Said):
    """Quiet until a time, then triggered again."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake(Said):
    """A snooze or an acknowledgement ended: triggered again, from step one."""

    kind: TimelineKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopen(Said):
    """The condition came back within the re-open window: the same incident goes on."""

    urgency: Urgency
    is_urgency_chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseUrgency(Said):
    """Support hours begin: it is now as urgent as the service's table says."""

    urgency: Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress(Said):
    """Something keeps it from paging until a time: a maintenance window, or a hold."""

    until: datetime
    #: Every window that does, as ``core.suppress.window_key`` names them, and the hold.
    windows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsuppress(Said):
    """Nothing keeps it from paging any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeInto(Said):
    """It ends, and another incident has its alerts from now on."""

    into_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeAlerts(Said):
    """It has the alerts of another incident from now on."""

    occurrence_count: int
    alert_count: int
    severity: Severity
    urgency: Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseAlert(Said):
    """One of its alerts goes its own way."""

    alert_id: str
    occurrence_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddResponder(Said):
    """A person asks another for help, besides those who have it."""

    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAuthor(Said):
    """Who wrote the commit that the source suspects is paged, besides those who have it."""

    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPriority(Said):
    """A person says how much it matters."""

    priority: Priority | None
    urgency: Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class Reassign(Said):
    """A person gives it to a user or to another policy."""

    user_id: str | None
    policy_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Said):
    """Something to read, without any change of state."""

    kind: TimelineKind = TimelineKind.NOTE
    #: Whether these are a person's own words.
    is_written: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeStep(Said):
    """A step of the escalation was taken."""

    policy_id: str | None
    step: int
    round: int
    step_id: str
    #: The run it belongs to; a new one where the escalation began anew with it.
    cycle: int
    #: Whom it reached, silent or not.
    user_ids: tuple[str, ...]
    #: Whether the run has reached anybody, this step included.
    has_reached: bool
    #: Who must acknowledge, where everybody must.
    awaiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndEscalation(Said):
    """Nothing more is due by itself."""

    state: EscalationState
    kind: TimelineKind
    policy_id: str | None
    cycle: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeTurn:
    """A step that goes round was taken: the next one is somebody else's."""

    step_id: str
    #: How many places it went on: past those who could not be reached, and past who was taken.
    by: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAgainAt:
    """Look at the escalation of this incident at a time (now included)."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Start the escalation from step one, now; a new cycle of pages."""

    #: People to page with the first step, besides those it names.
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Triggered once more, and the escalation goes on where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Notify one person through one contact method at a time."""

    user_id: str
    contact_method_id: str
    #: The notification rule that asks for it, or ``default``.
    rule_id: str
    due_at: datetime
    #: ``step 1 of default``.
    reason: str
    step: int
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Tell those who were paged what became of it."""

    type: MessageType


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPages:
    """No notification that is still waiting shall be sent."""

    #: Only those of this person; None: of everybody.
    user_id: str | None = None
    #: Not those of people who were asked for help.
    spares_help: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """End a snooze or an acknowledgement at a time; None takes the wake-up call back."""

    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseAt:
    """Look at the urgency again at a time, when support hours begin."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveAt:
    """Resolve by itself at a time."""

    at: datetime


Effect: TypeAlias = (
    SeeAlert
    | CloseAlert
    | OpenIncident
    | Join
    | Gather
    | Entitle
    | MarkTest
    | Count
    | Raise
    | Acknowledge
    | Answer
    | Excuse
    | Resolve
    | Snooze
    | Wake
    | Reopen
    | RaiseUrgency
    | Suppress
    | Unsuppress
    | MergeInto
    | TakeAlerts
    | LoseAlert
    | AddResponder
    | PageAuthor
    | SetPriority
    | Reassign
    | Note
    | TakeStep
    | EndEscalation
    | TakeTurn
    | LookAgainAt
    | Restart
    | Resume
    | Page
    | Tell
    | CancelPages
    | WakeAt
    | RaiseAt
    | ResolveAt
)
