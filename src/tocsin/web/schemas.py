"""What the API takes; what it gives is in ``store/views.py``."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tocsin.core.model import (
    Priority,
    Severity,
)
from tocsin.store.views import PersonView


class _In(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What all bodies are: no unknown key."""


class OpenIncident(_In, kw_only=True):
    """Open an incident by hand."""

    service: str
    title: str
    severity: Severity = Severity.ERROR
    priority: Priority | None = None
    details: str = ""


class Snooze(_In, kw_only=True):
    """For a span (``1h``), or until an instant."""

    for_: str | None = msgspec.field(name="for", default=None)
    until: str | None = None


class Escalate(_In, kw_only=True):
    """The step (and round) the person saw, so that a second press skips none."""

    step: int | None = None
    round: int | None = None


class Reassign(_In, kw_only=True):
    """To a person (e-mail address) or to a policy (name)."""

    user: str | None = None
    policy: str | None = None


class NoteText(_In, kw_only=True):
    """A note for the timeline."""

    text: str


class Merge(_In, kw_only=True):
    """The incident that gets the alerts: its id or number."""

    into: str | int


class Unmerge(_In, kw_only=True):
    """The alert that leaves: its id or dedup key."""

    alert: str


class AddResponder(_In, kw_only=True):
    """One more person, by e-mail address."""

    user: str


class SetPriority(_In, kw_only=True):
    """A priority, or null for none."""

    priority: Priority | None


class NewFeed(_In, kw_only=True):
    """Of a schedule (name), or of a person (e-mail address)."""

    schedule: str | None = None
    user: str | None = None


class Named(msgspec.Struct, kw_only=True):
    """What is named, as contract section 5 writes it."""

    name: str


class FeedView(msgspec.Struct, kw_only=True):
    """A calendar feed; ``url`` is told once, when it is made."""

    id: str
    schedule: Named | None
    user: PersonView | None
    created_at: datetime
    url: str | None = None


class CalendarView(msgspec.Struct, kw_only=True):
    """A calendar that layers take their shifts from."""

    #: Only its host for those who may not change schedules: the path may be a secret.
    url: str
    #: Names of the schedules that use it.
    schedules: list[str]
    #: When it was last asked for.
    tried_at: datetime | None
    #: When the events were read that are in use now.
    fetched_at: datetime | None
    #: Why the last try failed; null when it did not.
    error: str | None
    events: int
    #: Whom events name whom nobody here is (some of them).
    unknown: list[str]


class Me(msgspec.Struct, kw_only=True):
    """Who asks."""

    name: str
    role: str
    user: PersonView | None


class Replayed(msgspec.Struct, kw_only=True):
    """The new delivery."""

    delivery_id: str
