"""What is in the fake Sentry: organisations and all that is theirs."""

from __future__ import annotations

import itertools
import secrets
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

#: A JSON object.
Json = dict[str, Any]

READER = {"org:read", "project:read", "team:read", "member:read", "event:read", "alerts:read"}
WRITER = READER | {"event:write", "event:admin", "alerts:write", "project:releases"}
MANAGER = WRITER | {
    "org:write", "org:integrations", "project:write", "project:admin", "team:write", "team:admin",
    "member:write", "member:admin", "member:invite",
}  # fmt: skip

#: What a role may at most, whatever the token says.
ROLES = {
    "member": WRITER,
    "admin": WRITER | {"org:integrations", "project:write", "project:admin", "team:write"},
    "manager": MANAGER,
    "owner": MANAGER | {"org:admin"},
}


class Refusal(Exception):
    """An answer that is no good one."""

    def __init__(self, status: int, body: Any) -> None:
        """Say it as Sentry words it."""
        super().__init__(status, body)
        self.status = status
        self.body = body if isinstance(body, dict | list) else {"detail": body}


@dataclass(eq=False, slots=True)
class Person:
    """A member of an organisation."""

    id: int
    email: str
    name: str
    role: str = "member"
    #: Slugs of projects whose teams they have joined; None for all there are.
    joined: frozenset[str] | None = None


@dataclass(eq=False, slots=True)
class App:
    """An integration of the integration platform."""

    id: int
    uuid: str
    slug: str
    name: str
    scopes: list[str]
    events: list[str]
    webhook_url: str
    schema: Json
    is_alertable: bool
    client_secret: str
    made_at: datetime
    status: str = "internal"
    overview: str | None = None
    author: str | None = None
    verify_install: bool = False

    def component(self, kind: str) -> Json | None:
        """Return the UI component of a kind, if the schema has one."""
        elements = self.schema.get("elements", ())
        return next((one for one in elements if one.get("type") == kind), None)

    def hears(self, resource: str, action: str) -> bool:
        """Whether it subscribed to this: to the whole resource, or to the one event."""
        return resource in self.events or f"{resource}.{action}" in self.events


@dataclass(eq=False, slots=True)
class Installation:
    """An integration in an organisation."""

    uuid: str
    app: App
    status: str = "installed"


@dataclass(eq=False, slots=True)
class Token:
    """What opens the API."""

    token: str
    scopes: set[str]
    person: Person | None = None
    app: App | None = None


@dataclass(eq=False, slots=True)
class Project:
    """A project."""

    id: int
    slug: str
    name: str
    platform: str = "python"
    #: Where the legacy WebHooks plugin sends to.
    callback_urls: list[str] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Event:
    """An event of an issue."""

    id: str
    at: datetime
    tags: dict[str, str]
    said: Json


@dataclass(eq=False, slots=True)
class Note:
    """A note on an issue."""

    id: int
    text: str
    by: Person | App
    at: datetime


@dataclass(eq=False, slots=True)
class Past:
    """Something that happened to an issue: Sentry calls it an activity."""

    id: int
    kind: str
    by: Person | App | None
    at: datetime


@dataclass(eq=False, slots=True)
class Issue:
    """An issue."""

    id: int
    number: int
    project: Project
    title: str
    culprit: str
    level: str
    priority: str | None
    category: str
    type: str
    first_seen: datetime
    last_seen: datetime
    status: str = "unresolved"
    substatus: str | None = "new"
    details: Json = field(default_factory=dict)
    assignee: Person | None = None
    count: int = 0
    users: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    links: list[Json] = field(default_factory=list)
    #: When it was archived until, if it was.
    ignored_until: datetime | None = None
    #: What happened to it, the newest first.
    past: list[Past] = field(default_factory=list)

    @property
    def short_id(self) -> str:
        """What people call it."""
        return f"{self.project.slug.upper()}-{self.number:X}"


@dataclass(eq=False, slots=True)
class Rule:
    """An alert rule of a project."""

    id: int
    project: Project
    name: str
    said: Json
    made_at: datetime
    #: Issue to when it last fired for it.
    fired: dict[int, datetime] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Organization:
    """An organisation, and all that is its own."""

    id: int
    slug: str
    name: str
    people: list[Person] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)
    issues: dict[int, Issue] = field(default_factory=dict)
    #: Issues that were merged into another, to which.
    merged: dict[int, int] = field(default_factory=dict)
    apps: list[App] = field(default_factory=list)
    installations: list[Installation] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    features: list[str] = field(default_factory=lambda: ["integrations-event-hooks"])

    def person(self, reference: str | int) -> Person | None:
        """Return a member by e-mail address or id."""
        return next((p for p in self.people if reference in (p.email, p.id, str(p.id))), None)

    def project(self, reference: str) -> Project:
        """Return a project by slug or id."""
        for one in self.projects:
            if reference in (one.slug, str(one.id)):
                return one
        raise Refusal(404, "The requested resource does not exist")

    def successor(self, issue: int) -> int:
        """Return what an issue was merged into in the end: itself where it was not."""
        while issue in self.merged:
            issue = self.merged[issue]
        return issue

    def app(self, slug: str) -> App | None:
        """Return one of its own integrations."""
        return next((app for app in self.apps if app.slug == slug), None)

    def installation_of(self, app: App) -> Installation | None:
        """Return where an integration is installed."""
        return next((one for one in self.installations if one.app is app), None)


class Clock:
    """The time as Sentry knows it: the real one, one behind it, or one that stands."""

    def __init__(self) -> None:
        """Begin with the real time."""
        self._at: datetime | None = None
        self._behind = timedelta()
        self._ticks = 0

    def set(self, at: datetime) -> None:
        """Stop at a time."""
        self._at, self._ticks = at, 0

    def forward(self, span: timedelta) -> None:
        """Go on by so much; the clock stands from then on."""
        self.set((self._at or self.now()) + span)

    def lag(self, span: timedelta) -> None:
        """Go on from now, so much behind the real time."""
        self._at, self._behind = None, span

    def now(self) -> datetime:
        """Read it; no two readings are the same."""
        if self._at is None:
            return datetime.now(UTC) - self._behind
        self._ticks += 1
        return self._at + timedelta(microseconds=self._ticks)


class World:
    """Everything there is, behind one lock."""

    def __init__(self) -> None:
        """Begin empty."""
        self.lock = threading.RLock()
        self.clock = Clock()
        self.organizations: list[Organization] = []
        self.tokens: list[Token] = []
        self._ids: Iterator[int] = itertools.count(1)
        #: Where people open it in a browser.
        self.url = ""
        #: Whether activities tell applications from people, as they do since June 2025.
        self.tells_apps = True
        #: Things on a page of a list, at most.
        self.page_size = 100

    def new_id(self) -> int:
        """Return an id that nothing has."""
        return next(self._ids)

    def organization(self, slug: str) -> Organization:
        """Return an organisation by slug or id."""
        for one in self.organizations:
            if slug in (one.slug, str(one.id)):
                return one
        raise Refusal(404, "The requested resource does not exist")

    def home_of(self, app: App) -> Organization:
        """Return whose integration this is."""
        return next(one for one in self.organizations if app in one.apps)

    def app(self, slug: str) -> App:
        """Return an integration, whoever's it is."""
        for organization in self.organizations:
            if (found := organization.app(slug)) is not None:
                return found
        raise Refusal(404, "Could not find the requested sentry app")

    def add_organization(self, slug: str, name: str = "") -> Organization:
        """Add an organisation."""
        made = Organization(self.new_id(), slug, name or slug.title())
        self.organizations.append(made)
        return made

    def add_person(self, home: Organization, email: str, name: str, role: str) -> Person:
        """Add a member."""
        made = Person(self.new_id(), email, name, role)
        home.people.append(made)
        return made

    def add_project(self, home: Organization, slug: str, name: str = "") -> Project:
        """Add a project."""
        made = Project(self.new_id(), slug, name or slug.title())
        home.projects.append(made)
        return made

    def add_token(
        self,
        *,
        person: Person | None = None,
        app: App | None = None,
        scopes: set[str] | None = None,
    ) -> Token:
        """Make a token, as its page in Sentry does."""
        prefix = "sntryu_" if person else "sntryi_" if app else "sntrys_"
        allowed = set(app.scopes) if app else set()
        made = Token(prefix + secrets.token_hex(32), scopes or allowed, person, app)
        self.tokens.append(made)
        return made

    def furnish(self) -> None:
        """Put in what a small company has."""
        acme = self.add_organization("acme", "Acme")
        for email, name, role in (
            ("ann@example.com", "Ann", "owner"),
            ("bob@example.com", "Bob", "manager"),
            ("cat@example.com", "Cat", "member"),
        ):
            self.add_person(acme, email, name, role)
        for slug in ("backend", "frontend", "search"):
            self.add_project(acme, slug)


def new_uuid() -> str:
    """Return a new uuid, as Sentry writes them."""
    return str(uuid.uuid4())
