"""Sentry's Web API, as far as Tocsin asks it.

Every path ends with a slash, for Sentry redirects what does not, and no redirect is followed. Lists
are followed by the cursor in ``Link``, never by its address, which somebody else writes. To one
organisation there is one line: one call at a time, and the rest that Sentry asks for is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from tocsin.sentry.answers import SAID, Answer, Call, body_of, checked, rest_of
from tocsin.sentry.errors import (
    Broken,
    NotPermitted,
    NotThere,
    RateLimited,
    Refused,
    SentryError,
    Unreachable,
)
from tocsin.sentry.place import Place, host_of, is_own
from tocsin.sentry.shapes import (
    App,
    AppForm,
    Committer,
    Committers,
    Event,
    ExternalIssue,
    Installation,
    Issue,
    IssueChange,
    IssuePage,
    Member,
    Note,
    Organization,
    Owner,
    Owners,
    Project,
    Root,
    Rule,
    RuleForm,
    Secret,
)

__all__ = [
    "Broken", "Line", "Lines", "NotPermitted", "NotThere", "Place", "RateLimited", "Refused",
    "Sentry", "SentryError", "Unreachable", "host_of", "is_own",
]  # fmt: skip

T = TypeVar("T")

#: From the first byte of a request to the last of its answer.
DEADLINE = timedelta(seconds=10)

#: How long a call waits where Sentry wants fewer requests; longer waits are the caller's.
PATIENCE = timedelta(seconds=5)

#: Pages of a list, and things on a page, at most.
MAX_PAGES = 50
_PER_PAGE = 100

#: Every project that the token may see, as a list of issues is asked for them.
_ALL_PROJECTS = "-1"

#: Calls in all where the first was told to wait, or (to read) met a fault of a moment.
_TRIES = 3
_TRY_AGAIN = frozenset({502, 503, 504})


@dataclass(slots=True)
class Line:
    """The one line to an organisation: one call at a time, and the rest that Sentry asks for."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: By ``time.monotonic``: nothing is asked before.
    rests_until: float = 0.0

    @property
    def rest(self) -> timedelta:
        """How long nothing should be asked."""
        return timedelta(seconds=max(0.0, self.rests_until - time.monotonic()))

    def note(self, wait: timedelta) -> None:
        """Ask nothing for so long."""
        self.rests_until = max(self.rests_until, time.monotonic() + wait.total_seconds())


class Lines:
    """Clients by where they ask: all of one process for one organisation share its line."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        """Take the one client that everything outgoing goes through."""
        self._http = http
        self._lines: dict[tuple[str, str], Line] = {}

    def to(self, place: Place, *, deadline: timedelta = DEADLINE) -> Sentry:
        """Return a client for a place."""
        line = self._lines.setdefault((place.host, place.organization), Line())
        return Sentry(self._http, place, deadline=deadline, line=line)


_UNSENDABLE = "the token holds a character that no token has: give it again, in one line"

_ROOT = Call("GET", "see whose token this is", "", is_control=True)
_ORGANIZATION = Call("GET", "read the organisation", "org:read")
_PROJECTS = Call("GET", "list projects", "project:read")
_MEMBERS = Call("GET", "list members", "member:read")
_ISSUE = Call("GET", "read an issue", "event:read")
_ISSUES = Call("GET", "list issues", "event:read")
_CHANGE_ISSUE = Call("PUT", "change an issue", "event:write")
_NOTES = Call("GET", "read notes", "event:read")
_ADD_NOTE = Call("POST", "write a note", "event:write")
_EVENT = Call("GET", "read an event", "event:read")
_OWNERS = Call("GET", "read code owners", "project:read")
_COMMITTERS = Call("GET", "read suspect commits", "project:read")
_LINK = Call("POST", "link an issue", "event:write")
_UNLINK = Call("DELETE", "take a link away", "event:write")
_APPS = Call("GET", "list integrations", "org:read", is_control=True)
_CREATE_APP = Call("POST", "create an integration", "org:write", is_control=True)
_CHANGE_APP = Call("PUT", "change an integration", "org:write", is_control=True)
_ROTATE = Call("POST", "rotate the client secret", "org:write", is_control=True)
_DELETE_APP = Call("DELETE", "delete an integration", "org:admin", is_control=True)
_RULES = Call("GET", "list alert rules", "alerts:read")
_CREATE_RULE = Call("POST", "create an alert rule", "alerts:write")
_CHANGE_RULE = Call("PUT", "change an alert rule", "alerts:write")
_TEST_ACTIONS = Call("POST", "send a test notification", "alerts:write")
_DELETE_RULE = Call("DELETE", "delete an alert rule", "alerts:write")


class Sentry:
    """One organisation, asked with one token. Every method raises what is in ``sentry.errors``."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        place: Place,
        *,
        deadline: timedelta = DEADLINE,
        line: Line | None = None,
    ) -> None:
        """Take the guarded client; without a line this client has one of its own."""
        self._http = http
        self.place = place
        self._deadline = deadline
        self._line = line or Line()

    # -- who and where

    async def root(self) -> Root:
        """Return whose token this is, and what it may."""
        return await self._get(_ROOT, "", Root)

    async def organization(self) -> Organization:
        """Return the organisation."""
        return await self._get(_ORGANIZATION, self._in_organization(), Organization)

    async def projects(self) -> list[Project]:
        """Return every project that the token sees."""
        return await self._all(_PROJECTS, self._in_organization("projects"), Project)

    async def members(self) -> list[Member]:
        """Return everybody in the organisation."""
        return await self._all(_MEMBERS, self._in_organization("members"), Member)

    # -- issues

    async def issue(self, id_: str) -> Issue:
        """Return an issue."""
        return _issue(await self._raw(_ISSUE, self._issue(id_)))

    async def issues(
        self,
        query: str,
        *,
        cursor: str | None = None,
        stats_period: str = "14d",
        sort: str = "date",
        limit: int = _PER_PAGE,
    ) -> IssuePage:
        """Return one page of the issues that a search finds."""
        asked: dict[str, str] = {
            "query": query,
            # Unasked, Sentry leaves out projects whose teams a token's person has not joined.
            "project": _ALL_PROJECTS,
            "statsPeriod": stats_period,
            "sort": sort,
            "limit": str(limit),
        }
        if cursor is not None:
            asked["cursor"] = cursor
        answer = await self._ask(_ISSUES, self._in_organization("issues"), asked)
        items = tuple(_issue(one) for one in answer.read(list[msgspec.Raw]))
        return IssuePage(items=items, next=answer.next)

    async def change_issue(self, id_: str, change: IssueChange) -> Issue:
        """Change what is set in ``change``; return the issue as Sentry then tells it.

        Sentry tells only some of an issue here: what it leaves out has its default.
        """
        answer = await self._ask(_CHANGE_ISSUE, self._issue(id_), body=change)
        told = answer.read(dict[str, Any])
        return _issue(msgspec.Raw(msgspec.json.encode({"id": id_, **told})))

    async def add_note(self, id_: str, text: str) -> Note:
        """Write a note. Sentry refuses the same text within an hour."""
        answer = await self._ask(_ADD_NOTE, self._issue(id_, "notes"), body={"text": text})
        return answer.read(Note)

    async def notes(self, id_: str) -> list[Note]:
        """Return the notes on an issue, the newest first."""
        return await self._all(_NOTES, self._issue(id_, "notes"), Note)

    async def latest_event(self, id_: str) -> Event:
        """Return the newest event of an issue."""
        return await self._get(_EVENT, self._issue(id_, "events", "latest"), Event)

    async def owners(self, project: str, event_id: str) -> Sequence[Owner]:
        """Return who owns the code that an event comes from; nobody where nothing says so."""
        path = self._in_project(project, "events", event_id, "owners")
        try:
            return (await self._get(_OWNERS, path, Owners)).owners
        except NotThere:
            return ()

    async def committers(self, project: str, event_id: str) -> Sequence[Committer]:
        """Return whose commits Sentry suspects; nobody's where it suspects none."""
        path = self._in_project(project, "events", event_id, "committers")
        try:
            return (await self._get(_COMMITTERS, path, Committers)).committers
        except NotThere:
            return ()

    async def link_issue(
        self, installation: str, issue_id: str, web_url: str, project: str, identifier: str
    ) -> ExternalIssue:
        """Show a link in the sidebar of an issue; one that is there is changed."""
        body = {
            "issueId": issue_id,
            "webUrl": web_url,
            "project": project,
            "identifier": identifier,
        }
        path = _path("sentry-app-installations", installation, "external-issues")
        return (await self._ask(_LINK, path, body=body)).read(ExternalIssue)

    async def unlink_issue(self, installation: str, id_: str) -> None:
        """Take such a link away; one that is gone is no fault."""
        path = _path("sentry-app-installations", installation, "external-issues", id_)
        await self._gone(_UNLINK, path)

    # -- integrations

    async def apps(self) -> list[App]:
        """Return the integrations that are the organisation's own."""
        return await self._all(_APPS, self._in_organization("sentry-apps"), App)

    async def app(self, slug: str) -> App:
        """Return an integration."""
        return await self._get(_APPS, _path("sentry-apps", slug), App)

    async def create_app(self, form: AppForm) -> App:
        """Make an integration."""
        return (await self._ask(_CREATE_APP, _path("sentry-apps"), body=form)).read(App)

    async def change_app(self, slug: str, form: AppForm) -> App:
        """Let an integration be so."""
        return (await self._ask(_CHANGE_APP, _path("sentry-apps", slug), body=form)).read(App)

    async def rotate_secret(self, slug: str) -> str:
        """Let an integration have another client secret, at once; return it."""
        answer = await self._ask(_ROTATE, _path("sentry-apps", slug, "rotate-secret"), body={})
        return answer.read(Secret).client_secret

    async def delete_app(self, slug: str) -> None:
        """Delete an integration; one that is gone is no fault."""
        await self._gone(_DELETE_APP, _path("sentry-apps", slug))

    async def installations(self) -> list[Installation]:
        """Return what is installed in the organisation."""
        path = self._in_organization("sentry-app-installations")
        return await self._all(_APPS, path, Installation)

    # -- rules

    async def rules(self, project: str) -> list[Rule]:
        """Return the alert rules of a project."""
        return await self._all(_RULES, self._in_project(project, "rules"), Rule)

    async def create_rule(self, project: str, form: RuleForm) -> Rule:
        """Make an alert rule."""
        path = self._in_project(project, "rules")
        return (await self._ask(_CREATE_RULE, path, body=form)).read(Rule)

    async def change_rule(self, project: str, id_: str, form: RuleForm) -> Rule:
        """Let an alert rule be so."""
        path = self._in_project(project, "rules", id_)
        return (await self._ask(_CHANGE_RULE, path, body=form)).read(Rule)

    async def test_actions(self, project: str, form: RuleForm) -> None:
        """Do what a rule would do, for a sample event: *Send Test Notification*.

        It makes a real issue in the project. Sentries of before 2023 do not know it.
        """
        body = {"name": form.name, "actions": form.actions}
        await self._ask(_TEST_ACTIONS, self._in_project(project, "rule-actions"), body=body)

    async def delete_rule(self, project: str, id_: str) -> None:
        """Delete an alert rule; one that is gone is no fault."""
        await self._gone(_DELETE_RULE, self._in_project(project, "rules", id_))

    # -- how it is asked

    def _in_organization(self, *parts: str) -> str:
        return _path("organizations", self.place.organization, *parts)

    def _in_project(self, project: str, *parts: str) -> str:
        return _path("projects", self.place.organization, project, *parts)

    def _issue(self, id_: str, *parts: str) -> str:
        return self._in_organization("issues", id_, *parts)

    async def _get(self, call: Call, path: str, kind: type[T]) -> T:
        return (await self._ask(call, path)).read(kind)

    async def _raw(self, call: Call, path: str) -> msgspec.Raw:
        return (await self._ask(call, path)).read(msgspec.Raw)

    async def _gone(self, call: Call, path: str) -> None:
        with contextlib.suppress(NotThere):
            await self._ask(call, path)

    async def _all(self, call: Call, path: str, kind: type[T]) -> list[T]:
        """Return the things on all pages of a list, as far as is bounded."""
        found: list[T] = []
        asked: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            answer = await self._ask(call, path, asked)
            found += answer.read(list[kind])  # type: ignore[valid-type]
            if answer.next is None:
                break
            asked = {"cursor": answer.next}
        return found

    async def _ask(
        self, call: Call, path: str, asked: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        """Ask once, and again where that is right: never twice where it might be done twice."""
        async with self._line.lock:
            for last in (*[False] * (_TRIES - 1), True):
                rest = self._line.rest
                if rest > PATIENCE:
                    raise RateLimited(rest)
                await asyncio.sleep(rest.total_seconds())
                answer = await self._once(call, path, asked, body)
                self._line.note(rest_of(answer.headers, is_over=answer.status == 429))
                if answer.status == 429 and (last or self._line.rest > PATIENCE):
                    raise RateLimited(self._line.rest)
                is_faulty = answer.status in _TRY_AGAIN and call.method == "GET"
                if last or not (answer.status == 429 or is_faulty):
                    break
        return checked(call, answer)

    async def _once(
        self, call: Call, path: str, asked: Mapping[str, str] | None, body: Any
    ) -> Answer:
        host = self.place.control if call.is_control else self.place.host
        # What is packed may be any size unpacked.
        headers = {
            "Authorization": f"Bearer {self.place.token}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if not (self.place.token.isascii() and self.place.token.isprintable()):
            raise NotPermitted(_UNSENDABLE, status=401, scope="")
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(body)
        try:
            async with (
                asyncio.timeout(self._deadline.total_seconds()),
                self._http.stream(
                    call.method,
                    f"{host}/api/0/{path}",
                    params=asked or None,
                    content=content,
                    headers=headers,
                ) as response,
            ):
                return Answer(response.status_code, response.headers, await body_of(response))
        except TimeoutError:
            seconds = self._deadline.total_seconds()
            raise Unreachable(f"Sentry did not answer within {seconds:.0f} s") from None
        except httpx2.TimeoutException:
            raise Unreachable(f"there was no connection to {host} in time") from None
        except httpx2.LocalProtocolError:
            # Its own words may quote a header, and so the token.
            raise Unreachable("what Sentry is asked cannot be written as a request") from None
        except httpx2.HTTPError as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise Unreachable(f"{host} cannot be reached: {said[:SAID]}") from None
        except (httpx2.InvalidURL, ValueError, ExceptionGroup):
            raise Unreachable(f"{host} is not an address that can be asked") from None


def _issue(raw: msgspec.Raw) -> Issue:
    """Read an issue, and keep what it was read from. Raises Broken."""
    whole = bytes(raw)
    read = Answer(200, httpx2.Headers(), whole).read(Issue)
    return msgspec.structs.replace(read, raw=msgspec.Raw(whole))


def _path(*parts: str) -> str:
    """Return a path below the API's root: each part is a name, the end is a slash."""
    return "".join(f"{quote(part, safe='')}/" for part in parts)
