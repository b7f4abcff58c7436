"""Sentry's Web API, as far as Tocsin asks it.

Every path ends with a slash, for Sentry redirects what does not, and no redirect is followed. Lists
are followed by the cursor in ``Link``, never by its address, which somebody else writes. To one
organisation there is one line: one call at a time, and the rest that Sentry asks for is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from tocsin.sentry.errors import (
    Broken,
    NotPermitted,
    NotThere,
    RateLimited,
    Refused,
    SentryError,
    Unreachable,
)
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
    read_odd,
)

__all__ = [
    "Broken", "Line", "Lines", "NotPermitted", "NotThere", "Place", "RateLimited", "Refused",
    "Sentry", "SentryError", "Unreachable", "host_of", "is_own",
]  # fmt: skip

T = TypeVar("T")

#: From the first byte of a request to the last of its answer.
DEADLINE = timedelta(seconds=10)

#: The most that is read of an answer.
MAX_BYTES = 2 * 2**20

#: How long a call waits where Sentry wants fewer requests; longer waits are the caller's.
PATIENCE = timedelta(seconds=5)

#: The longest wait that is believed.
_LONGEST_WAIT = timedelta(minutes=15)

#: Pages of a list, and things on a page, at most.
MAX_PAGES = 50
_PER_PAGE = 100

#: Calls in all where the first was told to wait, or (to read) met a fault of a moment.
_TRIES = 3
_TRY_AGAIN = frozenset({502, 503, 504})

_SAID = 200

#: Where everything that belongs to no region is: integrations, tokens.
_CONTROL = "https://sentry.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an organisation lives, and what opens it."""

    #: ``https://sentry.io``, ``https://de.sentry.io``, ``http://sentry.internal:9000``.
    host: str
    #: Its slug.
    organization: str
    token: str = field(repr=False)

    @property
    def control(self) -> str:
        """Where integrations are managed: the regions of sentry.io know nothing of them."""
        return self.host if is_own(self.host) else _CONTROL


def host_of(typed: str) -> str:
    """Return the address of a Sentry from what somebody typed. Raises ValueError with a sentence.

    An address of a page will do: only its host counts. The address of an organisation at sentry.io
    (``https://acme.sentry.io``) is that of sentry.io.
    """
    text = typed.strip()
    text = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(text)
        name, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        name, port = "", None
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[a-z0-9_.:-]+", name):
        raise ValueError(f"{typed!r} is no address: write https://sentry.io, or that of your own")
    if parts.username is not None:
        raise ValueError("the address of Sentry holds a name or password: leave it out")
    if name == "sentry.io" or (name.endswith(".sentry.io") and name not in _REGIONS):
        return _CONTROL
    host = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


_REGIONS = frozenset({"us.sentry.io", "de.sentry.io"})


def is_own(host: str) -> bool:
    """Whether this is a Sentry that somebody runs themselves."""
    name = urlsplit(host).hostname or ""
    return name != "sentry.io" and not name.endswith(".sentry.io")


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


@dataclass(frozen=True, slots=True)
class _Call:
    """One kind of request: what it is called for people, and which scope it needs."""

    method: str
    what: str
    scope: str
    #: Integrations are managed elsewhere than issues.
    is_control: bool = False


_ROOT = _Call("GET", "see whose token this is", "", is_control=True)
_ORGANIZATION = _Call("GET", "read the organisation", "org:read")
_PROJECTS = _Call("GET", "list projects", "project:read")
_MEMBERS = _Call("GET", "list members", "member:read")
_ISSUE = _Call("GET", "read an issue", "event:read")
_ISSUES = _Call("GET", "list issues", "event:read")
_CHANGE_ISSUE = _Call("PUT", "change an issue", "event:write")
_NOTES = _Call("GET", "read notes", "event:read")
_ADD_NOTE = _Call("POST", "write a note", "event:write")
_EVENT = _Call("GET", "read an event", "event:read")
_OWNERS = _Call("GET", "read code owners", "project:read")
_COMMITTERS = _Call("GET", "read suspect commits", "project:read")
_LINK = _Call("POST", "link an issue", "event:write")
_UNLINK = _Call("DELETE", "take a link away", "event:write")
_APPS = _Call("GET", "list integrations", "org:read", is_control=True)
_CREATE_APP = _Call("POST", "create an integration", "org:write", is_control=True)
_CHANGE_APP = _Call("PUT", "change an integration", "org:write", is_control=True)
_ROTATE = _Call("POST", "rotate the client secret", "org:write", is_control=True)
_DELETE_APP = _Call("DELETE", "delete an integration", "org:admin", is_control=True)
_RULES = _Call("GET", "list alert rules", "alerts:read")
_CREATE_RULE = _Call("POST", "create an alert rule", "alerts:write")
_CHANGE_RULE = _Call("PUT", "change an alert rule", "alerts:write")
_DELETE_RULE = _Call("DELETE", "delete an alert rule", "alerts:write")


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

    async def _get(self, call: _Call, path: str, kind: type[T]) -> T:
        return (await self._ask(call, path)).read(kind)

    async def _raw(self, call: _Call, path: str) -> msgspec.Raw:
        return (await self._ask(call, path)).read(msgspec.Raw)

    async def _gone(self, call: _Call, path: str) -> None:
        with contextlib.suppress(NotThere):
            await self._ask(call, path)

    async def _all(self, call: _Call, path: str, kind: type[T]) -> list[T]:
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
        self, call: _Call, path: str, asked: Mapping[str, str] | None = None, body: Any = None
    ) -> _Answer:
        """Ask once, and again where that is right: never twice where it might be done twice."""
        async with self._line.lock:
            for last in (*[False] * (_TRIES - 1), True):
                rest = self._line.rest
                if rest > PATIENCE:
                    raise RateLimited(rest)
                await asyncio.sleep(rest.total_seconds())
                answer = await self._once(call, path, asked, body)
                self._line.note(_rest_of(answer.headers, is_over=answer.status == 429))
                if answer.status == 429 and (last or self._line.rest > PATIENCE):
                    raise RateLimited(self._line.rest)
                is_faulty = answer.status in _TRY_AGAIN and call.method == "GET"
                if last or not (answer.status == 429 or is_faulty):
                    break
        return _checked(call, answer)

    async def _once(
        self, call: _Call, path: str, asked: Mapping[str, str] | None, body: Any
    ) -> _Answer:
        host = self.place.control if call.is_control else self.place.host
        # What is packed may be any size unpacked.
        headers = {
            "Authorization": f"Bearer {self.place.token}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
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
                return _Answer(response.status_code, response.headers, await _body(response))
        except TimeoutError:
            seconds = self._deadline.total_seconds()
            raise Unreachable(f"Sentry did not answer within {seconds:.0f} s") from None
        except httpx2.TimeoutException:
            raise Unreachable(f"there was no connection to {host} in time") from None
        except httpx2.HTTPError as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise Unreachable(f"{host} cannot be reached: {said[:_SAID]}") from None
        except (httpx2.InvalidURL, ValueError, ExceptionGroup):
            raise Unreachable(f"{host} is not an address that can be asked") from None


# -- answers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx2.Headers
    body: bytes

    def read(self, kind: type[T]) -> T:
        """Return what the body says. Raises Broken."""
        try:
            return msgspec.json.decode(self.body, type=kind, dec_hook=read_odd)
        except msgspec.ValidationError as error:
            raise Broken(f"Sentry's answer is not as we know it: {str(error)[:_SAID]}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Broken(_no_json(self)) from None

    @property
    def next(self) -> str | None:
        """The cursor of the page that follows."""
        for part in _LINK_PART.findall(self.headers.get("link", "")):
            said = dict(_LINK_WORD.findall(part))
            if said.get("rel") == "next":
                more = said.get("results") == "true"
                return said.get("cursor") if more else None
        return None


_LINK_PART = re.compile(r"<[^>]*>([^<]*)")
_LINK_WORD = re.compile(r'(\w+)="([^"]*)"')


def _issue(raw: msgspec.Raw) -> Issue:
    """Read an issue, and keep what it was read from. Raises Broken."""
    whole = bytes(raw)
    read = _Answer(200, httpx2.Headers(), whole).read(Issue)
    return msgspec.structs.replace(read, raw=msgspec.Raw(whole))


def _path(*parts: str) -> str:
    """Return a path below the API's root: each part is a name, the end is a slash."""
    return "".join(f"{quote(part, safe='')}/" for part in parts)


async def _body(response: httpx2.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Broken("Sentry's answer is packed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Broken(f"Sentry's answer is larger than {MAX_BYTES // 2**20} MiB")
    return bytes(body)


def _checked(call: _Call, answer: _Answer) -> _Answer:
    """Return an answer that is a good one. Raises what is in ``sentry.errors``."""
    status = answer.status
    if 200 <= status < 300:
        return answer
    if 300 <= status < 400:
        raise Refused(
            f"Sentry leads elsewhere (HTTP {status}), which is not followed: give the address it"
            " leads to",
            status=status,
            detail="",
        )
    if status >= 500:
        raise Broken(f"Sentry failed (HTTP {status}) when asked to {call.what}")
    detail = _detail(answer)
    said = f" (Sentry says: {detail})" if detail else ""
    if detail is None:
        raise Broken(_no_json(answer))
    if status == 401 and call.scope != "org:write":
        raise NotPermitted(f"the token is not valid{said}: make a new one", status=401, scope="")
    if status in (401, 403):
        needed = f": it needs the scope {call.scope}" if call.scope else ""
        raise NotPermitted(
            f"the token may not {call.what}{needed}{said}", status=status, scope=call.scope
        )
    if status == 404:
        raise NotThere(f"Sentry does not find what was asked for, to {call.what}{said}")
    raise Refused(
        f"Sentry refused (HTTP {status}) to {call.what}{said}", status=status, detail=detail
    )


def _detail(answer: _Answer) -> str | None:
    """Return Sentry's own words for a refusal, bounded; None where it is no answer of Sentry's."""
    if not answer.body:
        return ""
    try:
        told = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return "; ".join(_words(told))[:_SAID]


def _words(told: Any, name: str = "", depth: int = 0) -> list[str]:
    """Return the sentences in a refusal: of a detail, or field by field."""
    if isinstance(told, str):
        plain = " ".join(told.split())
        return [f"{name}: {plain}" if name else plain] if plain else []
    if depth > 3:
        return []
    if isinstance(told, Mapping):
        return [
            words
            for key, value in told.items()
            for words in _words(value, "" if key in _UNNAMED else str(key), depth + 1)
        ]
    if isinstance(told, Sequence):
        return [words for value in told for words in _words(value, name, depth + 1)]
    return []


_UNNAMED = frozenset({"detail", "message", "non_field_errors"})


def _no_json(answer: _Answer) -> str:
    kind = answer.headers.get("content-type", "").partition(";")[0] or "nothing"
    return (
        f"the answer is not Sentry's (HTTP {answer.status}, {kind[:40]} where JSON belongs): is"
        " this the address of a Sentry?"
    )


def _rest_of(headers: httpx2.Headers, *, is_over: bool) -> timedelta:
    """Return how long Sentry wants us to rest; ``is_over`` where it has refused already."""
    remaining = headers.get("x-sentry-rate-limit-remaining", "")
    if not is_over and remaining != "0":
        return timedelta()
    after = _seconds(headers.get("retry-after"))
    reset = _seconds(headers.get("x-sentry-rate-limit-reset"))
    if after is None and reset is not None:
        after = reset - _date_of(headers)
    least = 1.0 if is_over else 0.0
    waited = max(least if after is None else after, least)
    return min(timedelta(seconds=waited), _LONGEST_WAIT)


def _date_of(headers: httpx2.Headers) -> float:
    """Return when Sentry answered, by its own clock where it says so."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return time.time()


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e11 else None
