"""What people set up, as frozen values: a ``Plans`` is what every decision is made against.

Words and units are as in ``core/model.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum

from tocsin.core.model import Priority, Role, Severity, Urgency, Verb
from tocsin.core.sentry import Switches


class AwayKind(StrEnum):
    """How much of a person an absence takes away."""

    #: Nobody pages them; a substitute gets what would have been theirs.
    AWAY = "away"
    #: Only high urgency reaches them.
    QUIET = "quiet"


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
    #: Made for the events of API keys; the configuration file knows nothing of it.
    is_made_by_us: bool = False
    is_deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SentryLink:
    """An integration's connection with Sentry, as far as decisions need it: not what opens it."""

    id: str
    integration_id: str
    #: Who we are there, as webhooks name it: ``application`` or ``user``, and an id.
    selves: frozenset[tuple[str, str]]
    switches: Switches


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportHours:
    """When a service has people at their desks, and how loudly it notifies when it has not."""

    #: A key of the IANA database.
    time_zone: str
    hours: Restriction
    outside: Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindow:
    """A time in which some incidents are recorded but page nobody."""

    id: str
    #: Empty: all services.
    service_ids: tuple[str, ...]
    #: What a signal must be like, besides; None: anything.
    match: Route | None
    begins_at: datetime
    ends_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Let what is new and matters little wait before it pages."""

    lasts: timedelta
    #: What matters little.
    priorities: frozenset[Priority] = frozenset({Priority.LOW})
    #: With so many of either it pages at once.
    events: int | None = None
    users: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How a service is spared what its source knows to be noise; ``core/noise.py`` goes by it."""

    hold: Hold | None = None
    #: Whether what is seen for the first time is recorded, and opens no incident.
    records_first_sight: bool = False
    #: Whether all that one release brought is one incident.
    one_per_release: bool = False
    #: Whether what was archived at the source stays quiet until the source takes it up again.
    follows_archive: bool = False
    #: Resolve by itself when the source was quiet for so long.
    quiet_after: timedelta | None = None
    #: Whether a metric alert and what the source made of it are one incident.
    joins_metric_issues: bool = False


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
    support_hours: SupportHours | None = None
    noise: Noise = Noise()
    #: Whether who wrote the commit that Sentry suspects is paged, if they are on call.
    pages_suspect_author: bool = False
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
    #: Stays while the step is the same, wherever in its policy it stands.
    id: str = ""
    #: Whether each person it pages must acknowledge.
    everybody: bool = False


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
class Absence:
    """A time in which a person is not to be paged, or only for what is urgent."""

    id: str
    user_id: str
    kind: AwayKind
    begins_at: datetime
    ends_at: datetime
    #: Who is paged instead; None: the step goes on without them.
    substitute_id: str | None = None


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
    absences: tuple[Absence, ...] = ()
    #: Every day, on the wall clock of their zone: pages of low urgency wait for its end.
    quiet_hours: Restriction | None = None
    #: Whether they are told when their time on call begins and ends.
    handoff_notices: bool = False


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
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    #: Those that are not over.
    maintenance_windows: tuple[MaintenanceWindow, ...] = ()
    #: Connections with Sentry, by the integration.
    sentry: Mapping[str, SentryLink] = field(default_factory=dict)
