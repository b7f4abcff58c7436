"""The nouns of on-call, as frozen values.

Words are those of ``docs/glossary.md``. Instants end in ``_at`` and are aware and in UTC; spans are
``timedelta``; identifiers are text with a prefix that names the kind (``inc_…``, ``del_…``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

from tocsin.core.repeats import Repeats


class Verb(StrEnum):
    """What a signal asks of us."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    NOTE = "note"
    NONE = "none"
    #: Trigger if the alert is resolved and the event is newer than that, else nothing. Only
    #: dialects say it; a delivery ends with TRIGGER or NONE.
    REGRESS = "regress"


class Ranked(StrEnum):
    """Words in an order: the first is the highest."""

    def is_above(self, other: Self) -> bool:
        """Whether this one is higher than the other."""
        order = list(type(self))
        return order.index(self) < order.index(other)


class Severity(Ranked):
    """How bad the source says it is."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Priority(Ranked):
    """How much the business cares, as a source or a person says."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Urgency(Ranked):
    """How loudly we notify."""

    HIGH = "high"
    LOW = "low"


class IncidentStatus(StrEnum):
    """The four states of an incident."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


class EscalationState(StrEnum):
    """Whether the escalation of an incident still has something to do."""

    RUNNING = "running"
    STOPPED = "stopped"
    EXHAUSTED = "exhausted"
    NOBODY_NOTIFIED = "nobody_notified"


class DeliveryStatus(StrEnum):
    """How far a delivery has come."""

    ACCEPTED = "accepted"
    PROCESSED = "processed"
    REJECTED = "rejected"
    UNRECOGNISED = "unrecognised"
    FAILED = "failed"


class DeliveryOutcome(StrEnum):
    """What became of a delivery that was understood."""

    TRIGGERED = "triggered"
    DEDUPLICATED = "deduplicated"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    IGNORED = "ignored"
    RECORDED = "recorded"
    SUPPRESSED = "suppressed"
    DUPLICATE = "duplicate"


class NotificationState(StrEnum):
    """How far a notification has come."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BUNDLED = "bundled"


class MessageType(StrEnum):
    """What a notification says (the ``type`` of the webhook channel)."""

    PAGE = "incident.page"
    ACKNOWLEDGED = "incident.acknowledged"
    RESOLVED = "incident.resolved"
    VERIFICATION = "contact_method.verification"
    TEST = "test"
    ON_CALL_BEGINS = "on_call.begins"
    ON_CALL_ENDS = "on_call.ends"
    #: To the team of a schedule: nobody is on call in some of the next weeks.
    COVERAGE = "schedule.gaps"
    #: To an address of a person, with a link to choose a password.
    INVITATION = "account.invitation"
    RESET = "account.reset"
    #: To the fallback: Tocsin itself is in trouble.
    WARNING = "tocsin.warning"


class TimelineKind(StrEnum):
    """What a timeline entry is about."""

    OPENED = "opened"
    REPEATED = "repeated"
    RAISED = "raised"
    ACKNOWLEDGED = "acknowledged"
    ACKNOWLEDGE_TIMEOUT = "acknowledge_timeout"
    SNOOZED = "snoozed"
    WOKE = "woke"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    STEP = "step"
    PAGED = "paged"
    PAGE_FAILED = "page_failed"
    NOTE = "note"
    MERGED = "merged"
    UNMERGED = "unmerged"
    REASSIGNED = "reassigned"
    SUPPRESSED = "suppressed"
    ERROR = "error"


class Role(StrEnum):
    """What a person or an API key may do; ``core/access.py`` has the table."""

    OWNER = "owner"
    ADMIN = "admin"
    MANAGER = "manager"
    RESPONDER = "responder"
    VIEWER = "viewer"


class Sight(StrEnum):
    """How a condition comes before us, as its source tells it."""

    NEW = "new"
    #: It was over, and is there again.
    REGRESSED = "regressed"
    #: It happens much more often than it did.
    ESCALATING = "escalating"
    #: A person took it up again.
    BACK = "back"
    #: The source has put it away, until it tells otherwise.
    ARCHIVED = "archived"
    #: What is told is about something else, whatever state it names.
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What a source knows of a condition beside how bad it is: noise rules go by it."""

    #: The dialect's row for dedup keys: ``issue``, ``metric``; empty for what concerns no alert.
    about: str = ""
    #: None where the source does not say.
    sight: Sight | None = None
    event_count: int | None = None
    user_count: int | None = None
    release: str | None = None
    #: Whether it is a metric alert, or what the source made of one.
    is_metric: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One request, read by a dialect. It has no life of its own."""

    #: What the body is about, in the source's words (``issue``, ``event_alert``, …).
    resource: str
    #: The action as the body words it, or None where the shape has none.
    action: str | None
    verb: Verb
    #: None only where the verb touches no alert.
    dedup_key: str | None
    title: str
    severity: Severity
    priority: Priority | None = None
    #: For people: ``Sentry - backend``.
    source: str = ""
    link: str | None = None
    level: str | None = None
    environment: str | None = None
    #: Name and slug, whichever are known: routes match on either.
    projects: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    is_test: bool = False
    #: When it happened at the source, as far as the body says.
    occurred_at: datetime | None = None
    #: One sentence for the timeline: why this was sent.
    text: str = ""
    #: Who did it at the source, for the timeline.
    actor: str = ""
    #: Named facts for people (culprit, release, …), never used in a decision.
    details: Mapping[str, str] = field(default_factory=dict)
    known: Knowledge = Knowledge()
    #: What the rule that sent it chose, by name: ``core.choice`` reads it.
    choices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One condition at a source: one per (integration, dedup key), for ever."""

    id: str
    integration_id: str
    service_id: str
    dedup_key: str
    title: str
    severity: Severity
    priority: Priority | None
    source: str
    link: str | None
    details: Mapping[str, str]
    occurrence_count: int
    first_seen_at: datetime
    last_seen_at: datetime
    #: When it was last resolved; None while it was never resolved or fires again.
    resolved_at: datetime | None
    #: The latest incident of this alert, open or not.
    incident_id: str | None
    #: Whether it was resolved because the source said so, and not by a person or the clock.
    is_over_at_source: bool = False
    #: As ``Knowledge.about``.
    about: str = ""
    #: Whether the source has put it away: what it says of its own accord is no regression.
    is_archived: bool = False
    #: How often it said the same lately.
    repeats: Repeats | None = None
    #: When its source last saw it, as it said when it was asked; webhooks say less often.
    source_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Where the escalation of an incident stands."""

    #: The policy that ``step`` counts in; None before the first look.
    policy_id: str | None = None
    #: The last step taken, from 1; 0 before the first.
    step: int = 0
    round: int = 0
    next_at: datetime | None = None
    state: EscalationState = EscalationState.RUNNING
    #: Counts the runs from step one, so that a second run may page the same people again.
    cycle: int = 0
    #: Whether this run has reached anybody yet.
    has_reached: bool = False
    #: Which step ``step`` was: steps before it may come and go while the incident waits.
    step_id: str | None = None
    #: People to page with the first step of this run, besides those it names.
    also: tuple[str, ...] = ()
    #: Whom the step waits for, where everybody must acknowledge.
    awaiting: tuple[str, ...] = ()
    #: (step id, user id) of who has acknowledged in this run, while the step waited for others.
    answered: tuple[tuple[str, str], ...] = ()

    @property
    def have_answered(self) -> frozenset[str]:
        """Who has acknowledged for the step that was taken last."""
        return frozenset(user for step, user in self.answered if step == self.step_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One period of human response, from trigger to resolve."""

    id: str
    #: None until the store has given one.
    number: int | None
    service_id: str
    integration_id: str | None
    dedup_key: str
    title: str
    status: IncidentStatus
    severity: Severity
    priority: Priority | None
    urgency: Urgency
    source: str
    link: str | None
    occurrence_count: int
    previous_incident_id: str | None
    is_test: bool
    escalation: Escalation
    #: The person or policy it was given to by hand, instead of the service's policy.
    assigned_user_id: str | None
    assigned_policy_id: str | None
    triggered_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_by_id: str | None = None
    resolved_at: datetime | None = None
    snoozed_until: datetime | None = None
    suppressed_until: datetime | None = None
    #: The maintenance windows that keep it from paging, as ``core.suppress.window_key`` names them.
    suppressed_by: tuple[str, ...] = ()
    #: The incident that has its alerts now.
    merged_into_id: str | None = None
    #: More than one after a merge: it then resolves with the last of them.
    alert_count: int = 1
    #: What else becomes part of it while it is open, as ``core.noise.group_key`` says.
    group_key: str | None = None
    #: Whether its urgency was chosen, and no table of the service changes it.
    is_urgency_chosen: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the response goes on."""
        return self.status is not IncidentStatus.RESOLVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who or what did something, for the timeline and ``acknowledged_by``."""

    #: A name for people: an e-mail address, a key's name, ``Sentry``, ``tocsin``.
    name: str
    user_id: str | None = None
    #: Where from, for the audit log.
    address: str = field(default="", compare=False)
    #: Whether a source says that they did it: they are somebody there, not here.
    is_source: bool = field(default=False, compare=False)


#: Tocsin itself, as the actor of what happens by the clock.
TOCSIN = Actor(name="tocsin")

#: Whoever can open the database may change everything in it.
COMMAND_LINE = Actor(name="command line")
