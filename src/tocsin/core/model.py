"""The nouns of on-call, as frozen values.

Words are those of ``docs/glossary.md``. Instants end in ``_at`` and are aware and in UTC; spans are
``timedelta``; identifiers are text with a prefix that names the kind (``inc_…``, ``del_…``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Self


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
    resolved_at: datetime | None = None
    snoozed_until: datetime | None = None
    suppressed_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the response goes on."""
        return self.status is not IncidentStatus.RESOLVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of an integration's routes: which signals it matches, and what it changes."""

    project: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    level: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    title: tuple[str, ...] = ()
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    service_id: str | None = None
    verb: Verb | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What an integration lays over its dialect's tables; keys are the source's words."""

    action: Mapping[str, Verb] = field(default_factory=dict)
    severity: Mapping[str, Severity] = field(default_factory=dict)
    priority: Mapping[str, Priority] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One configured connection from a source to a service."""

    id: str
    name: str
    service_id: str
    source: str
    #: ``auto`` takes the dialect of the URL a delivery came in by.
    dialect: str
    signing_secrets: tuple[str, ...]
    sentry_url: str | None
    is_enabled: bool
    is_replay_strict: bool
    routes: tuple[Route, ...] = ()
    overrides: Overrides = field(default_factory=Overrides)
    is_deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The thing that is watched and owned."""

    id: str
    name: str
    team_id: str | None
    escalation_policy_id: str | None
    #: Rows by severity (``critical``) and by priority (``priority.critical``); the latter win.
    urgency: Mapping[str, Urgency]
    acknowledge_timeout: timedelta | None = None
    reopen_window: timedelta | None = None
    auto_resolve_after: timedelta | None = None
    is_deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom a step names: ``kind`` is a key of ``core.escalation.REACH``, ``ids`` are of it."""

    kind: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a policy: its targets, and the wait after it."""

    targets: tuple[Target, ...]
    wait: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """An escalation policy: ordered steps, gone through ``repeat + 1`` times."""

    id: str
    name: str
    repeat: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactMethod:
    """One address of a person."""

    id: str
    user_id: str
    name: str
    channel: str
    address: str
    secret: str | None
    is_verified: bool
    is_enabled: bool

    @property
    def is_usable(self) -> bool:
        """Whether a page may go there: an unverified one gets its code and nothing else."""
        return self.is_verified and self.is_enabled


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRule:
    """For this urgency, so long after the page, use this contact method."""

    id: str
    urgency: Urgency
    after: timedelta
    contact_method_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person, with how to reach them in the order they prefer."""

    id: str
    email: str
    name: str
    role: Role
    time_zone: str
    contact_methods: tuple[ContactMethod, ...] = ()
    notification_rules: tuple[NotificationRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """People who own services."""

    id: str
    name: str
    member_ids: tuple[str, ...]


class RotationUnit(StrEnum):
    """What a rotation counts in; all of them on the clock on the wall."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class OverrideKind(StrEnum):
    """What an override does to who is on call."""

    #: The user comes for ``instead_of``; for everybody where that is not given.
    REPLACE = "replace"
    ADD = "add"
    #: The user goes, nobody comes.
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Turns of ``length`` units, from ``start`` on."""

    unit: RotationUnit
    length: int
    #: Naive: a time on the wall clock of the schedule's zone.
    start: datetime
    #: Weekdays (0 is Monday) on which it turns, with nobody on the others; empty: it always turns.
    #: Only with the unit day.
    days: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """A window of the day in which a layer has anybody at all."""

    #: Weekdays (0 is Monday) on which the window begins; empty: every day.
    days: frozenset[int]
    begins: time
    #: Not after ``begins``: it ends on the next day; the same as ``begins``: a whole day.
    ends: time


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A period in which a person is on call, its end excluded."""

    user_id: str
    begins_at: datetime
    ends_at: datetime
    #: The layer it comes from; None for one that an override brings.
    layer: str | None
    is_override: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """People who take turns, or the shifts of a calendar."""

    name: str
    #: A higher one covers a lower one where it has somebody; equal ones add up.
    priority: int = 1
    #: None for a layer whose shifts a calendar gives.
    rotation: Rotation | None = None
    #: Whose turn it is, turn by turn; several people may share one.
    participants: tuple[tuple[str, ...], ...] = ()
    #: Windows it is cut to; none: always.
    restrictions: tuple[Restriction, ...] = ()
    #: Naive, as ``Rotation.start``: nobody from then on.
    until: datetime | None = None
    #: Where its shifts come from, for a calendar's layer.
    calendar: str | None = None
    #: A calendar's shifts, by begin.
    shifts: tuple[Shift, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A change of the finished schedule for a time; of several the later one wins."""

    id: str
    kind: OverrideKind
    user_id: str
    #: Naive: on the wall clock of the schedule's zone; aware: an instant.
    begins: datetime
    ends: datetime
    instead_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Who is on call when."""

    id: str
    name: str
    #: A key of the IANA database.
    time_zone: str
    team_id: str | None = None
    layers: tuple[Layer, ...] = ()
    #: In the order in which they were made.
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """The whole configuration at one revision: what every decision is made against.

    Deleted services, integrations and users stay in it for as long as incidents name them; see
    ``store/plans.py``.
    """

    revision: int
    users: Mapping[str, User]
    teams: Mapping[str, Team]
    policies: Mapping[str, Policy]
    services: Mapping[str, Service]
    integrations: Mapping[str, Integration]
    fallback_user_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who or what did something, for the timeline and ``acknowledged_by``."""

    #: A name for people: an e-mail address, a key's name, ``Sentry``, ``tocsin``.
    name: str
    user_id: str | None = None


#: Tocsin itself, as the actor of what happens by the clock.
TOCSIN = Actor(name="tocsin")
