"""What Sentry's API says and is told, as far as it concerns us.

Whatever is not named here is let pass, and what may be missing has a default: one program talks to
Sentries that are years apart. Ids are text, whichever type they come in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

#: Sentry always says the zone; a time without one is not understood.
Instant: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]

Plain: TypeAlias = Mapping[str, Any]


#: An identifier. Sentry writes some as numbers; read, they are all text.
if TYPE_CHECKING:
    Id: TypeAlias = str
else:
    Id = str | int


class Shape(msgspec.Struct, kw_only=True, rename="camel"):
    """A part of an answer."""

    def __post_init__(self) -> None:
        """Let ids be text."""
        for name in ("id", "issue_id"):
            if isinstance(number := getattr(self, name, None), int):
                setattr(self, name, str(number))


# -- who and where --------------------------------------------------------------------------------


class Account(Shape):
    """Somebody in Sentry; who only ever wrote commits has no id there."""

    id: Id | None = None
    name: str | None = None
    email: str | None = None
    username: str | None = None


class Authority(Shape):
    """What a token may."""

    scopes: tuple[str, ...] = ()


class Root(Shape):
    """The root of the API, which tells who asks."""

    auth: Authority | None = None
    user: Account | None = None


class Links(Shape):
    """Where an organisation is."""

    organization_url: str | None = None
    region_url: str | None = None


class Organization(Shape):
    """An organisation."""

    id: Id
    slug: str
    name: str = ""
    features: tuple[str, ...] = ()
    #: What whoever asks may there: the token's scopes, as far as their role has them.
    access: tuple[str, ...] = ()
    links: Links = msgspec.field(default_factory=Links)


class Project(Shape):
    """A project."""

    id: Id
    slug: str
    name: str = ""
    platform: str | None = None


class Member(Shape):
    """Somebody in the organisation; without ``user`` they have not accepted yet."""

    id: Id
    email: str = ""
    name: str | None = None
    user: Account | None = None
    pending: bool = False


# -- issues ---------------------------------------------------------------------------------------


class Assignee(Shape):
    """To whom an issue is assigned."""

    type: str = "user"
    id: Id = ""
    name: str | None = None
    email: str | None = None


class StatusDetails(Shape):
    """How an issue came to its status."""

    in_release: str | None = None
    in_next_release: bool | None = None
    auto_resolved: bool | None = None
    ignore_until: Instant | None = None
    ignore_count: int | None = None
    ignore_user_count: int | None = None


class Issue(Shape):
    """An issue; ``raw`` is all that Sentry said of it, as it said it."""

    id: Id
    short_id: str | None = None
    title: str | None = None
    culprit: str | None = None
    level: str | None = None
    #: ``unresolved``, ``resolved``, ``ignored``, and words for what is going or merging.
    status: str = "unresolved"
    substatus: str | None = None
    status_details: StatusDetails | None = None
    priority: str | None = None
    #: A number, written as text.
    count: str | int | None = None
    user_count: int | None = None
    first_seen: Instant | None = None
    last_seen: Instant | None = None
    project: Project | None = None
    assigned_to: Assignee | None = None
    permalink: str | None = None
    metadata: Plain | None = None
    issue_type: str | None = None
    issue_category: str | None = None
    num_comments: int | None = None
    raw: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def events(self) -> int:
        """How many events it has."""
        text = str(self.count or 0)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuePage:
    """Some issues; ``next`` leads on, None at the end."""

    items: tuple[Issue, ...]
    next: str | None


class IssueChange(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    """What shall be different about an issue: what is not set here is left alone."""

    status: str | UnsetType = UNSET
    status_details: Plain | UnsetType = UNSET
    substatus: str | UnsetType | None = UNSET
    #: ``user:ID``, ``team:ID`` or an e-mail address; empty: nobody.
    assigned_to: str | UnsetType = UNSET
    priority: str | UnsetType = UNSET


class NoteData(Shape):
    """What a note says."""

    text: str = ""


class Note(Shape):
    """A note on an issue."""

    id: Id
    type: str = "note"
    data: NoteData = msgspec.field(default_factory=NoteData)
    user: Account | None = None
    date_created: Instant | None = None


class ExternalIssue(Shape):
    """A link in the sidebar of an issue."""

    id: Id
    issue_id: Id = ""
    display_name: str = ""
    web_url: str = ""
    service_type: str = ""


# -- events ---------------------------------------------------------------------------------------


class Tag(Shape):
    """A tag of an event."""

    key: str = ""
    value: str | None = None


class Frame(Shape):
    """One line of a stack trace."""

    filename: str | None = None
    module: str | None = None
    function: str | None = None
    line_no: int | None = None
    in_app: bool | None = None
    #: Pairs of a line's number and its text.
    context: Sequence[Any] | None = None


class Stacktrace(Shape):
    """The frames of an exception, the innermost last."""

    frames: tuple[Frame, ...] | None = None


class Raised(Shape):
    """One exception of a chain."""

    type: str | None = None
    value: str | None = None
    module: str | None = None
    stacktrace: Stacktrace | None = None


class Entry(Shape):
    """A part of an event: ``exception``, ``message``, ``request``, ``breadcrumbs``, …."""

    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class Release(Shape):
    """What the event came from."""

    version: str = ""
    date_created: Instant | None = None


class Event(Shape):
    """An event of an issue."""

    id: Id = ""
    event_id: str = msgspec.field(default="", name="eventID")
    title: str | None = None
    message: str | None = None
    culprit: str | None = None
    platform: str | None = None
    date_created: Instant | None = None
    tags: tuple[Tag, ...] = ()
    entries: tuple[Entry, ...] = ()
    release: Release | None = None
    contexts: Plain | None = None
    metadata: Plain | None = None

    def tag(self, key: str) -> str | None:
        """Return the value of a tag."""
        return next((tag.value for tag in self.tags if tag.key == key), None)

    @property
    def exceptions(self) -> tuple[Raised, ...]:
        """The exceptions, the outermost last; none where they are written as nobody knows."""
        for entry in self.entries:
            if entry.type == "exception":
                try:
                    return msgspec.json.decode(entry.data, type=_Exceptions).values or ()
                except msgspec.DecodeError:
                    return ()
        return ()


class _Exceptions(Shape):
    values: tuple[Raised, ...] | None = None


class Owner(Shape):
    """Who owns the code of an event."""

    type: str = "user"
    id: Id = ""
    name: str | None = None
    email: str | None = None


class Owners(Shape):
    """The owners of an event's code."""

    owners: tuple[Owner, ...] = ()


class Commit(Shape):
    """A commit that Sentry suspects."""

    id: Id = ""
    message: str | None = None
    date_created: Instant | None = None


class Committer(Shape):
    """Who wrote suspect commits."""

    author: Account | None = None
    commits: tuple[Commit, ...] = ()


class Committers(Shape):
    """Everybody who did."""

    committers: tuple[Committer, ...] = ()


# -- integrations and rules -----------------------------------------------------------------------


class App(Shape):
    """An integration as Sentry has it (a *Sentry App*)."""

    slug: str
    uuid: str = ""
    name: str = ""
    status: str = ""
    scopes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    webhook_url: str | None = None
    is_alertable: bool = False
    overview: str | None = None
    schema: Plain | None = None
    #: Masked for who may not see it, absent a day after it was made.
    client_secret: str | None = None

    @property
    def secret(self) -> str | None:
        """The client secret, where it is told."""
        told = self.client_secret or ""
        return told if told.strip("*") else None


class AppName(Shape):
    """Which integration is meant."""

    uuid: str = ""
    slug: str = ""


class Installation(Shape):
    """An integration in an organisation."""

    uuid: str
    app: AppName = msgspec.field(default_factory=AppName)
    status: str = ""


class Secret(Shape):
    """A client secret made anew."""

    client_secret: str


class Rule(Shape):
    """An alert rule of a project."""

    id: Id
    name: str = ""
    actions: tuple[Plain, ...] = ()
    environment: str | None = None
    status: str = ""


class AppForm(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    """What an integration shall be."""

    name: str
    organization: str
    webhook_url: str
    scopes: tuple[str, ...]
    events: tuple[str, ...]
    schema: Plain
    is_alertable: bool = True
    is_internal: bool = True
    verify_install: bool = False
    overview: str | None = None


class RuleForm(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    """What an alert rule shall be."""

    name: str
    conditions: tuple[Plain, ...]
    actions: tuple[Plain, ...]
    filters: tuple[Plain, ...] = ()
    action_match: str = "any"
    filter_match: str = "all"
    #: Minutes in which it fires once per issue.
    frequency: int = 5
    environment: str | None = None
