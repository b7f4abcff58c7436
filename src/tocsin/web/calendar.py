"""Calendars over HTTP: feeds under secret addresses, and the calendars that layers read."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

from litestar import Controller, HttpMethod, Request, Response, delete, get, post, route
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy import Connection

from tocsin.core.access import Action, Caller
from tocsin.core.model import Actor
from tocsin.core.plans import Plans, Schedule, User
from tocsin.store import audit, calendars
from tocsin.store.calendars import Calendar, Feed
from tocsin.store.db import Database
from tocsin.store.lists import ID, MAX_LIMIT, Page, decode_cursor, encode_cursor
from tocsin.store.plans import PlansCache
from tocsin.store.schedules import People
from tocsin.store.views import PersonView
from tocsin.web.back import caller_of
from tocsin.web.problems import Denied, Wrong
from tocsin.web.schemas import CalendarView, FeedView, Named, NewFeed
from tocsin.work.respond import NotFound
from tocsin.work.schedulefile import host_of

_SUFFIX = ".ics"

#: Feeds kept as they were answered: calendar programs ask far more often than anything changes.
_KEPT = 64

#: Names that nobody has, shown of one calendar.
_UNKNOWN = 20


@dataclass(frozen=True, slots=True)
class Answered:
    """A feed as bytes, and what they were made of."""

    revision: int
    day: date
    body: bytes
    etag: str


class Feeds:
    """Makes feeds, and remembers the latest."""

    def __init__(
        self,
        database: Database,
        plans: PlansCache,
        public_url: str,
        clock: Callable[[], datetime],
    ) -> None:
        """Take what it needs; ``public_url`` is the base of every link."""
        self.database = database
        self.plans = plans
        self.clock = clock
        self._public_url = public_url.rstrip("/")
        self._kept: OrderedDict[str, Answered] = OrderedDict()
        self._lock = threading.Lock()

    def url(self, key: str) -> str:
        """Return the address of a feed."""
        return f"{self._public_url}/calendars/{key}{_SUFFIX}"

    def make(
        self, user: User | None, schedule: Schedule | None, by: Actor, now: datetime
    ) -> tuple[Feed, str]:
        """Make a feed of a person's shifts or of a schedule; return it and its address, once."""

        def work(connection: Connection) -> tuple[Feed, str]:
            made, key = calendars.create_feed(
                connection, user.id if user else None, schedule.id if schedule else None, now
            )
            audit.add(connection, now, by, "calendar_feed.added", _of_whom(user, schedule))
            return made, self.url(key)

        return self.database.run(work)

    def revoke(self, feed: Feed, by: Actor, now: datetime) -> None:
        """Let the address of a feed lead nowhere."""

        def work(connection: Connection) -> None:
            plans = self.plans.current(connection)
            calendars.revoke_feed(connection, feed.id, now)
            user = plans.users.get(feed.user_id or "")
            subject = _of_whom(user, plans.schedules.get(feed.schedule_id or ""))
            audit.add(connection, now, by, "calendar_feed.removed", subject)

        self.database.run(work)

    def answer(self, key: str) -> Answered | None:
        """Return the feed of a key; None for one unknown, revoked, or of what is no more."""
        with self.database.read() as connection:
            feed = calendars.find_feed(connection, key)
            if feed is None:
                return None
            plans = self.plans.current(connection)
        now = self.clock()
        with self._lock:
            kept = self._kept.get(feed.id)
        if kept and (kept.revision, kept.day) == (plans.revision, now.date()):
            return kept
        body = _body(feed, plans, now)
        if body is None:
            return None
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        made = Answered(revision=plans.revision, day=now.date(), body=body, etag=etag)
        with self._lock:
            self._kept[feed.id] = made
            self._kept.move_to_end(feed.id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def _of_whom(user: User | None, schedule: Schedule | None) -> str:
    return user.email if user else schedule.name if schedule else "what is no more"


def _body(feed: Feed, plans: Plans, now: datetime) -> bytes | None:
    from tocsin.calendars.feed import duties, render  # noqa: PLC0415 - slow to import

    if feed.schedule_id is not None:
        schedule = plans.schedules.get(feed.schedule_id)
        if schedule is None:
            return None
        return render(f"On call: {schedule.name}", duties([schedule], plans.users, now), now)
    user = plans.users.get(feed.user_id or "")
    if user is None:
        return None
    found = duties(plans.schedules.values(), plans.users, now, user.id)
    return render(f"{user.name} on call", found, now)


@route(
    "/calendars/{name:str}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    include_in_schema=False,
    sync_to_thread=True,
)
def calendar_feed(
    request: Request[Any, Any, State], state: State, name: FromPath[str]
) -> Response[bytes]:
    """Give a feed to whoever knows its address; this changes nothing."""
    feeds: Feeds = state.feeds
    found = feeds.answer(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
    if found is None:
        raise NotFound("there is no such calendar")
    headers = {"ETag": found.etag, "Cache-Control": "private"}
    if _has(request.headers.get("if-none-match", ""), found.etag):
        return Response(b"", status_code=304, headers=headers, media_type=_MEDIA_TYPE)
    if request.method == HttpMethod.HEAD:
        headers["Content-Length"] = str(len(found.body))
        return Response(b"", headers=headers, media_type=_MEDIA_TYPE, status_code=200)
    return Response(found.body, headers=headers, media_type=_MEDIA_TYPE, status_code=200)


#: The framework adds the character set, UTF-8.
_MEDIA_TYPE = "text/calendar"


def _has(tags: str, etag: str) -> bool:
    """Whether ``If-None-Match`` names this one; a weak one is as good here."""
    named = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
    return etag in named or "*" in named


# -- the API --------------------------------------------------------------------------------------


class FeedController(Controller):
    """Secret addresses under which a schedule, or a person's shifts, are read as a calendar.

    Whoever may configure has those of schedules and of everybody; a person has their own.
    """

    path = "/calendar-feeds"
    tags = ("calendars",)

    @get(opt={"action": Action.READ}, sync_to_thread=True)
    def list_feeds(
        self,
        request: Request[Any, Any, State],
        state: State,
        limit: Annotated[
            int, QueryParameter(ge=1, le=MAX_LIMIT, description="Items of one page.")
        ] = 50,
        cursor: Annotated[
            str | None, QueryParameter(description="``next`` of the page before.")
        ] = None,
    ) -> Page[FeedView]:
        """List feeds, the newest first: all of them, or a person's own."""
        feeds: Feeds = state.feeds
        after = decode_cursor(cursor, ID) if cursor else None
        with feeds.database.read() as connection:
            plans = feeds.plans.current(connection)
            caller = caller_of(request, plans)
            # No person has the id "-".
            of = None if caller.may(Action.CONFIGURE) else caller.by.user_id or "-"
            scope = caller.scope
            schedules = None if scope.is_everything else list(scope.seen(plans).schedules)
            rows = calendars.feed_page(connection, of, schedules, after, limit + 1)
        shown = tuple(_view(row, plans) for row in rows[:limit])
        return Page(shown, encode_cursor(shown[-1].id) if len(rows) > limit else None)

    @post(opt={"action": Action.READ}, sync_to_thread=True)
    def create_feed(
        self, request: Request[Any, Any, State], state: State, data: JSONBody[NewFeed]
    ) -> FeedView:
        """Make a feed of a schedule or a person; its ``url`` is told here and never again."""
        feeds: Feeds = state.feeds
        plans = feeds.plans.refresh()
        caller = caller_of(request, plans)
        if (data.schedule is None) == (data.user is None):
            raise Wrong("name exactly one of schedule (a name) and user (an e-mail address)")
        user = next((u for u in plans.users.values() if u.email == data.user), None)
        schedules = caller.scope.seen(plans).schedules.values()
        schedule = next((s for s in schedules if s.name == data.schedule), None)
        _check_may(caller, user.id if user else None)
        if user is None and schedule is None:
            raise Wrong(f"there is no {'user' if data.user else 'schedule'} of that name")
        _must_see_shifts(caller, user, plans)
        made, url = feeds.make(user, schedule, caller.by, feeds.clock())
        view = _view(made, plans)
        view.url = url
        return view

    @delete("/{feed_id:str}", opt={"action": Action.READ}, sync_to_thread=True)
    def revoke_feed(
        self, request: Request[Any, Any, State], state: State, feed_id: FromPath[str]
    ) -> None:
        """Revoke a feed: its address leads nowhere from now on."""
        feeds: Feeds = state.feeds
        with feeds.database.read() as connection:
            plans = feeds.plans.current(connection)
            found = calendars.feed(connection, feed_id)
        caller = caller_of(request, plans)
        if found is None or not _is_seen(found, caller, plans):
            raise NotFound(f"there is no calendar feed {feed_id}")
        _check_may(caller, found.user_id)
        feeds.revoke(found, caller.by, feeds.clock())


def _is_seen(feed: Feed, caller: Caller, plans: Plans) -> bool:
    seen = caller.scope.seen(plans).schedules
    return caller.scope.is_everything or feed.schedule_id is None or feed.schedule_id in seen


def _must_see_shifts(caller: Caller, user: User | None, plans: Plans) -> None:
    """Raise Denied for the feed of somebody who may be on call where the caller sees nothing."""
    is_own = user is None or user.id == caller.by.user_id
    if not is_own and not all(caller.scope.has(one) for one in plans.schedules.values()):
        raise Denied(
            "a person's feed has their shifts in schedules of every team: let them make it"
            " themselves, or ask an admin"
        )


def _check_may(caller: Caller, user_id: str | None) -> None:
    """Let in whoever may configure, and a person for what is theirs. Raises Denied."""
    is_own = user_id is not None and user_id == caller.by.user_id
    if not is_own and not caller.may(Action.CONFIGURE):
        raise Denied(
            f"the role {caller.role} may have calendar feeds only of the person behind its key"
        )


def _view(feed: Feed, plans: Plans) -> FeedView:
    user = plans.users.get(feed.user_id or "")
    schedule = plans.schedules.get(feed.schedule_id or "")
    return FeedView(
        id=feed.id,
        schedule=Named(name=schedule.name) if schedule else None,
        user=PersonView(email=user.email, name=user.name) if user else None,
        created_at=feed.created_at,
    )


@get("/calendars", opt={"action": Action.READ}, sync_to_thread=True, tags=["calendars"])
def list_calendars(request: Request[Any, Any, State], state: State) -> Page[CalendarView]:
    """List the calendars that layers take their shifts from, with what went wrong."""
    feeds: Feeds = state.feeds
    with feeds.database.read() as connection:
        plans = feeds.plans.current(connection)
        rows = calendars.load_all(connection)
    caller = caller_of(request, plans)
    schedules = caller.scope.seen(plans).schedules.values()
    if not caller.scope.is_everything:
        rows = [row for row in rows if any(_uses(one, row) for one in schedules)]
    people = People(plans.users.values())
    shows_url = caller.may(Action.CONFIGURE)
    views = tuple(
        CalendarView(
            url=row.url if shows_url else host_of(row.url),
            schedules=sorted(s.name for s in schedules if _uses(s, row)),
            tried_at=row.tried_at,
            fetched_at=row.fetched_at,
            error=row.error,
            events=len(row.events),
            unknown=_unknown(row.events, people),
        )
        for row in rows
    )
    return Page(views, None)


def _uses(schedule: Schedule, calendar: Calendar) -> bool:
    return any(layer.calendar == calendar.url for layer in schedule.layers)


def _unknown(events: Sequence[Mapping[str, Any]], people: People) -> list[str]:
    """Return names in events that put nobody on call, each once."""
    names = (name for event in events if not people.named(event) for name in event["names"])
    found: dict[str, None] = {}
    for name in names:
        found[name] = None
        if len(found) == _UNKNOWN:
            break
    return list(found)
