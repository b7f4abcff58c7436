"""One request for a page: who asks, what they may, and how they are answered."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import quote, unquote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from litestar import MediaType, Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, State
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.utils.scope.state import ScopeState

from tocsin.core.access import Action, Caller, Scope, may, scope_of
from tocsin.core.model import Actor
from tocsin.core.plans import Plans, User
from tocsin.core.session import LONGEST, NOTED_EVERY, Preferences, is_over, is_to_rotate
from tocsin.store import sessions
from tocsin.store.db import Database
from tocsin.store.sessions import Session
from tocsin.web.auth import ACTION, address_of, is_asking_for_methods
from tocsin.web.back import Back, back_of
from tocsin.web.pages import look
from tocsin.web.pages.form import Form
from tocsin.web.problems import Denied, Wrong
from tocsin.work.accounts import Entry, Guest

Asking: TypeAlias = Request[Any, Any, State]

#: What was just done, to be said on the next page.
_SAID = "tocsin_said"

#: How long a browser stays known to an account.
_DEVICE_SECONDS = 365 * 86400

#: Longer paths are none of ours.
_LONGEST_PATH = 2000

#: The longest value of a cookie.
_COOKIE = 3000

#: Pages smaller than this are not worth packing.
_PACKED_FROM = 1000


class SignIn(NotAuthorizedException):
    """Nobody is signed in; the page is for somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who is signed in, in which browser, and how they like the page."""

    session: Session
    user: User
    preferences: Preferences


def session_cookie(public_url: str) -> str:
    """Return the name of the cookie; over TLS it is one that no other host can set."""
    return "__Host-tocsin" if is_secure(public_url) else "tocsin"


def device_cookie(public_url: str) -> str:
    """Return the name of the cookie by which a browser is known to an account."""
    return f"{session_cookie(public_url)}-device"


def is_secure(public_url: str) -> bool:
    """Whether browsers come over TLS."""
    return public_url.startswith("https:")


def find_visitor(database: Database, plans: Plans, key: str, now: datetime) -> Visitor | None:
    """Return who holds a session's key; None if it is over, or if they left."""
    with database.read() as connection:
        session = sessions.find(connection, key, now)
        user = plans.users.get(session.user_id) if session else None
        if session is None or user is None or is_over(session.seen_at, session.expires_at, now):
            return None
        preferences = sessions.preferences_of(connection, user.id)
    if session.has_open_old_key and not session.is_old:
        database.run(lambda writing: sessions.end_old_key(writing, session.id, now))
    if now - session.seen_at >= NOTED_EVERY:
        database.run(lambda writing: sessions.touch(writing, session.id, now))
    return Visitor(session=session, user=user, preferences=preferences)


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let in whoever may see the page; None as its action means everybody. Raises SignIn, Denied.

    A request that changes something must come from a page of ours: browsers say where from. The
    token in the form is checked besides, by Litestar.
    """
    if is_asking_for_methods(connection):
        return
    needed: Action | None = handler.opt[ACTION]
    _must_be_ours(connection)
    back = back_of(connection.app.state)
    key = connection.cookies.get(session_cookie(back.public_url))
    visitor = None
    if key:
        visitor = await asyncio.to_thread(
            lambda: find_visitor(
                back.desk.database,
                back.desk.plans.refresh(at_most_every=1.0),
                key,
                back.clock(),
            )
        )
    connection.state.visitor = visitor
    if needed is None:
        return
    if visitor is None:
        raise SignIn
    if not may(visitor.user.role, needed):
        raise Denied(f"the role {visitor.user.role} may not {needed}: ask an owner or admin")


def _must_be_ours(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    if connection.scope.get("method") in ("GET", "HEAD", "OPTIONS"):
        return
    site = connection.headers.get("sec-fetch-site")
    origin = connection.headers.get("origin")
    host = connection.headers.get("host", "")
    is_foreign = (
        site not in ("same-origin", "none")
        if site
        else origin is not None and urlsplit(origin).netloc != host
    )
    if is_foreign:
        raise Denied("this came from another site: open the page here and try again")


class Visit:
    """A request for a page, with everything a handler needs to answer it."""

    def __init__(self, request: Asking, form: Form | None = None) -> None:
        """Take a request that went past the guard."""
        self.request = request
        self.form = form or Form()
        self.back: Back = back_of(request.app.state)
        self.visitor: Visitor | None = getattr(request.state, "visitor", None)
        self.now = self.back.clock()
        #: The whole configuration, for deciding and for showing what may be seen anyway.
        self.all_plans: Plans = self.back.desk.plans.refresh(at_most_every=1.0)

    # -- who asks

    @property
    def user(self) -> User:
        """Who is signed in; only for pages that need somebody."""
        assert self.visitor is not None
        return self.visitor.user

    @property
    def preferences(self) -> Preferences:
        """How they like the page."""
        return self.visitor.preferences if self.visitor else Preferences()

    @property
    def zone(self) -> ZoneInfo:
        """In which time zone they read."""
        return ZoneInfo(self.visitor.user.time_zone if self.visitor else "UTC")

    @staticmethod
    def zone_of(user: User) -> ZoneInfo:
        """In which time zone somebody else is."""
        return ZoneInfo(user.time_zone)

    @property
    def by(self) -> Actor:
        """Whom the timeline names."""
        return Actor(name=self.user.email, user_id=self.user.id, address=self.address)

    @property
    def caller(self) -> Caller:
        """Who asks, in which role, and seeing what."""
        return Caller(by=self.by, role=self.user.role, scope=self.scope)

    @property
    def scope(self) -> Scope:
        """What they see; only for pages that need somebody."""
        return scope_of(self.all_plans, self.user.role, self.user.id)

    @cached_property
    def plans(self) -> Plans:
        """The configuration as far as they see it: for looking up names, and for choices."""
        return self.scope.seen(self.all_plans) if self.visitor else self.all_plans

    def may(self, action: str) -> bool:
        """Whether they have an action; nobody has none."""
        return self.visitor is not None and may(self.visitor.user.role, Action(action))

    # -- what they asked for

    @property
    def query(self) -> Form:
        """The parameters of the URL."""
        return Form.read(self.request.scope["query_string"])

    @property
    def path(self) -> str:
        """The path, without what follows it."""
        return self.request.url.path

    @property
    def address(self) -> str:
        """Where they ask from."""
        return address_of(self.request)

    @property
    def guest(self) -> Guest:
        """The browser, as one that asks to be let in."""
        return Guest(
            address=self.address,
            browser=self.request.headers.get("user-agent", "")[:200],
            device=self.request.cookies.get(device_cookie(self.back.public_url), ""),
            session_id=self.visitor.session.id if self.visitor else None,
        )

    @property
    def is_partial(self) -> bool:
        """Whether a script asked, for a part of the page."""
        return "hx-request" in self.request.headers

    def with_query(self, **changed: str | None) -> str:
        """Return this address with some parameters changed; None takes one away."""
        fields = {name: list(values) for name, values in self.query.fields.items()}
        for name, value in changed.items():
            fields.pop(name, None)
            if value is not None:
                fields[name] = [value]
        query = urlencode(fields, doseq=True)
        return f"{self.path}?{query}" if query else self.path

    # -- how they are answered

    @property
    def csrf_token(self) -> str:
        """What every form must send back."""
        token = ScopeState.from_scope(self.request.scope).csrf_token
        return token if isinstance(token, str) else ""

    def page(self, template: str, status: int = 200, **context: Any) -> Response[bytes]:
        """Show a page."""
        said = self._said()
        whole = look.render(template, visit=self, said=said, **context).encode()
        headers = {"cache-control": "no-store", "vary": "accept-encoding"}
        takes_gzip = "gzip" in self.request.headers.get("accept-encoding", "")
        if takes_gzip and len(whole) >= _PACKED_FROM:
            whole = gzip.compress(whole, 5, mtime=0)
            headers["content-encoding"] = "gzip"
        cookies = [self._cookie(_SAID, "", 0)] if said else []
        return Response(
            whole,
            status_code=status,
            media_type="text/html; charset=utf-8",
            headers=headers,
            cookies=[*cookies, *self._rotated()],
        )

    def go(
        self, path: str, said: str = "", *, is_bad: bool = False, cookies: Sequence[Cookie] = ()
    ) -> Response[bytes]:
        """Send them to another page, which says what was done."""
        if said:
            text = quote(json.dumps([said, is_bad], ensure_ascii=False))
            # Browsers drop cookies above 4 kB, and what was done would not be said at all.
            while len(text) > _COOKIE:
                said = f"{said[: len(said) * 3 // 4]}…"
                text = quote(json.dumps([said, is_bad], ensure_ascii=False))
            cookies = [*cookies, self._cookie(_SAID, text, 60)]
        return Response(
            b"",
            status_code=303,
            media_type=MediaType.TEXT,
            headers={"location": path},
            cookies=list(cookies),
        )

    def let_in(self, entry: Entry, path: str, said: str = "") -> Response[bytes]:
        """Send a browser on that was let in."""
        url = self.back.public_url
        kept = [
            self._cookie(session_cookie(url), entry.key, int(LONGEST.total_seconds())),
            self._cookie(device_cookie(url), entry.device, _DEVICE_SECONDS),
        ]
        return self.go(path, said, cookies=kept)

    def let_out(self, path: str, said: str = "") -> Response[bytes]:
        """Send a browser on that was let out."""
        name = session_cookie(self.back.public_url)
        return self.go(path, said, cookies=[self._cookie(name, "", 0)])

    def _cookie(self, name: str, value: str, seconds: int) -> Cookie:
        return Cookie(
            key=name,
            value=value,
            max_age=seconds,
            path="/",
            httponly=True,
            samesite="lax",
            secure=is_secure(self.back.public_url),
        )

    def _rotated(self) -> list[Cookie]:
        """Give the browser a new key now and then; whole pages carry it, for those arrive."""
        name = session_cookie(self.back.public_url)
        key = self.request.cookies.get(name)
        session = self.visitor.session if self.visitor else None
        if session is None or key is None or self.is_partial:
            return []
        if not is_to_rotate(session.rotated_at, self.now, is_old=session.is_old):
            return []
        new = self.back.desk.database.run(
            lambda connection: sessions.rotate(connection, session, key, self.now)
        )
        left = int((session.expires_at - self.now).total_seconds())
        return [self._cookie(name, new, left)] if new else []

    def _said(self) -> tuple[str, bool] | None:
        try:
            text, is_bad = json.loads(unquote(self.request.cookies.get(_SAID, "")))
        except (ValueError, TypeError):
            return None
        return str(text), bool(is_bad)


def here(path: str | None, otherwise: str = "/") -> str:
    """Return a path of ours to go on to; never one that leads to another site.

    Browsers read backslashes as slashes and skip control characters: such paths are not taken.
    """
    if not path or not path.startswith("/") or path.startswith("//") or len(path) > _LONGEST_PATH:
        return otherwise
    if "\\" in path or any(ord(letter) < 33 or ord(letter) == 127 for letter in path):
        return otherwise
    # Letters that no header may hold.
    return quote(path, safe="!#$%&'()*+,-./:;=?@_~")


def provide_visit(request: Asking, form: NamedDependency[Form]) -> Visit:
    """Give a handler its visit."""
    return Visit(request, form)


#: What every handler of a page takes.
Visiting: TypeAlias = NamedDependency[Visit]


def must(value: str | None, what: str) -> str:
    """Return what was typed. Raises Wrong where nothing was."""
    if not value:
        raise Wrong(f"{what} is missing: type it in")
    return value
