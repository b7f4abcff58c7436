"""What changes, told to every browser that looks: read once, written once, sent to all.

The database is the truth: a short look at what is new, as often as somebody watches, finds what any
process did. Nothing is read while nobody watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection

from tocsin.core.access import EVERYTHING as ALL
from tocsin.core.access import scope_of
from tocsin.core.plans import Plans
from tocsin.core.session import Preferences
from tocsin.store import sight, views
from tocsin.store.db import Database
from tocsin.store.deliveries import delivery_page
from tocsin.store.lists import Filter
from tocsin.store.plans import PlansCache
from tocsin.store.views import DeliveryView

log = structlog.get_logger("live")

#: Seconds between two looks.
_EVERY = 0.5

#: Seconds between two signs of life, for whatever stands between us and the browser.
_BEAT = 15.0

#: Seconds after which a browser must come again: whoever was let out meanwhile is not let in.
_LONGEST = 120.0

#: Browsers told at once, and the seconds until the next ones are: webhooks that come in meanwhile
#: wait for a few of them, not for hundreds.
_AT_ONCE = 16
_BETWEEN = 0.01

#: Looks for which a change is remembered: one that was made earlier may be seen later, for rows get
#: their numbers before they are committed.
_OVERLAP = 20

#: New incidents told of at one look: a list shows no more of them.
_MOST_NEW = 50

#: Other incidents told of at one look; where more changed, browsers read the list again in a while.
_MOST_CHANGED = 100

#: Messages kept for a browser that is slow; one that is slower still is told to read again.
_QUEUE = 16

#: Deliveries of one integration that are looked at.
_DELIVERIES = 25

#: What a list of incidents watches.
EVERYTHING = "incidents"

_CLOSED = b""
_CHANGED = b"event: changed\ndata: x\n\n"
_AGAIN = b"event: again\ndata: x\n\n"
_MORE = b"event: more\ndata: x\n\n"
_ALIVE = b": alive\n\n"


@dataclass(frozen=True, slots=True)
class Reader:
    """Nobody in particular: what is written for all is written for this one."""

    now: datetime
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    preferences: Preferences = field(default_factory=Preferences)


class Watcher:
    """One browser that looks."""

    def __init__(self, user_id: str | None = None) -> None:
        """Let it see what a person sees; None is everything."""
        self.user_id = user_id
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)
        self._has_lost = False

    def tell(self, message: bytes) -> None:
        """Let it know; if it is too slow, let it know that it missed something."""
        try:
            self._queue.put_nowait(_AGAIN if self._has_lost else message)
        except asyncio.QueueFull:
            self._has_lost = True
        else:
            self._has_lost = False

    def close(self) -> None:
        """Tell it nothing more."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(_CLOSED)

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield what it is told, and signs of life."""
        # Browsers wait so many milliseconds before they come again.
        yield b"retry: 2000\nevent: hello\ndata: x\n\n"
        clock = asyncio.get_running_loop().time
        ends = clock() + _LONGEST
        while clock() < ends:
            try:
                message = await asyncio.wait_for(self._queue.get(), _BEAT)
            except TimeoutError:
                message = _ALIVE
            if message == _CLOSED:
                return
            yield message


@dataclass(slots=True)
class _Changes:
    """Which incidents changed, however the database numbers and commits."""

    #: The number up to which every change was seen, some looks ago.
    floors: list[int] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def start(self, connection: Connection) -> None:
        self.floors, self.seen = [views.last_change(connection)], set()

    def look(self, connection: Connection) -> frozenset[str]:
        """Return the ids of what changed since the last look."""
        floor = self.floors[0]
        rows = views.changes_since(connection, floor)
        changed = frozenset(incident for number, incident in rows if number not in self.seen)
        self.seen = {row[0] for row in rows}
        self.floors.append(max((row[0] for row in rows), default=floor))
        del self.floors[:-_OVERLAP]
        return changed


class Live:
    """Who watches what, and the one task that looks for them."""

    def __init__(
        self,
        database: Database,
        plans: PlansCache,
        clock: Callable[[], datetime],
        render: Callable[..., str],
        *,
        every: float = _EVERY,
    ) -> None:
        """Look at a database every so many seconds; nothing runs until somebody watches.

        ``render`` fills in a template for a ``visit``.
        """
        self._database = database
        self._plans = plans
        self._clock = clock
        self._render = render
        self._every = every
        #: By what they watch: everything, the id of an incident, the id of an integration.
        self._watchers: dict[str, set[Watcher]] = {}
        #: What became of the deliveries that were told of, by integration.
        self._known: dict[str, Mapping[str, str]] = {}
        self._changes = _Changes()
        #: The latest incident's id when last looked; ids sort by when they were made.
        self._newest = ""
        self._looking: asyncio.Task[None] | None = None
        #: Set once changes are noticed.
        self._has_begun = asyncio.Event()
        #: What somebody began to watch since the last look: they are told how it is.
        self._joined: set[str] = set()

    # -- watching

    async def watch(
        self, subject: str, watcher: Watcher, since: int | None = None
    ) -> AsyncIterator[bytes]:
        """Tell of what changes: of an incident, of an integration's deliveries, or of EVERYTHING.

        ``since`` is the change up to which the browser knows already; what came after it and before
        the watch began is told at once.
        """
        self._watchers.setdefault(subject, set()).add(watcher)
        self._joined.add(subject)
        # Nothing is awaited before there is a task: of many that come at once, one begins it.
        if self._looking is None or self._looking.done():
            self._has_begun = asyncio.Event()
            self._looking = asyncio.create_task(self._look_forever(self._has_begun))
        try:
            await self._has_begun.wait()
            if since is not None and await asyncio.to_thread(self._latest, subject) > since:
                watcher.tell(_AGAIN if subject == EVERYTHING else _CHANGED)
            async for message in watcher.messages():
                yield message
        finally:
            self._leave(subject, watcher)

    def _leave(self, subject: str, watcher: Watcher) -> None:
        group = self._watchers.get(subject, set())
        group.discard(watcher)
        if not group:
            self._watchers.pop(subject, None)

    def _latest(self, subject: str) -> int:
        with self._database.read() as connection:
            return views.last_change(connection, None if subject == EVERYTHING else subject)

    @property
    def count(self) -> int:
        """How many browsers look."""
        return sum(len(group) for group in self._watchers.values())

    def close(self) -> None:
        """Let every browser go."""
        for group in self._watchers.values():
            for watcher in group:
                watcher.close()
        if self._looking is not None:
            self._looking.cancel()

    # -- looking

    async def _look_forever(self, has_begun: asyncio.Event) -> None:
        """Look while somebody watches; whoever comes later begins anew."""
        has_failed = False
        while self._watchers:
            try:
                if not has_begun.is_set():
                    await asyncio.to_thread(self._start)
                    has_begun.set()
                await self._look()
            except Exception as error:  # noqa: BLE001 - the database may be away, for instance
                if not has_failed:
                    log.warning("cannot see what changes", error=type(error).__name__)
                has_failed = True
            else:
                if has_failed:
                    self._tell_all()
                has_failed = False
            await asyncio.sleep(self._every)

    def _tell_all(self) -> None:
        """Let everybody read again, after looks that found nothing out."""
        for subject, group in self._watchers.items():
            self._joined.add(subject)
            for watcher in group:
                watcher.tell(_AGAIN if subject == EVERYTHING else _CHANGED)

    def _start(self) -> None:
        with self._database.read() as connection:
            self._changes.start(connection)
            self._newest = views.latest_incident(connection)

    async def _look(self) -> None:
        joined, self._joined = self._joined, set()
        news = await asyncio.to_thread(self._read, joined)
        for number, watcher in enumerate(tuple(self._watchers.get(EVERYTHING, ()))):
            message = news.message(watcher.user_id)
            if message:
                watcher.tell(message)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(_BETWEEN)
        for id_ in news.changed & set(self._watchers):
            for watcher in self._watchers[id_]:
                watcher.tell(_CHANGED)
        for id_, message in news.deliveries.items():
            for watcher in self._watchers.get(id_, ()):
                watcher.tell(message)

    def _read(self, joined: AbstractSet[str]) -> News:
        for id_ in joined:
            self._known.pop(id_, None)
        with self._database.read() as connection:
            changed = self._changes.look(connection)
            plans = self._plans.current(connection)
            told, is_more = self._worth_telling(changed)
            shown = views.incidents_shown(connection, plans, told)
            sights = self._sights(plans)
            whose = sight.whose(connection, told) if told and sights else {}
            pages = {
                # Whoever watches them sees their integration.
                id_: delivery_page(connection, plans, ALL, _latest_of(id_)).items
                for id_ in set(self._watchers) & plans.integrations.keys()
            }
        reader = Reader(self._clock())
        deliveries = {id_: self._told(id_, page, reader) for id_, page in pages.items()}
        return News(
            changed=changed,
            is_more=is_more,
            rows=[
                Row(
                    html=self._render("incident_row.html", visit=reader, one=one),
                    service_id=whose[one.id][0] if one.id in whose else "",
                    people=whose[one.id][1] if one.id in whose else frozenset(),
                )
                for one in shown
            ],
            sights=sights,
            deliveries={id_: message for id_, message in deliveries.items() if message},
        )

    def _sights(self, plans: Plans) -> dict[str, frozenset[str] | None]:
        """Return the services that each person who watches sees now; None for all of them."""
        found: dict[str, frozenset[str] | None] = {}
        for watcher in tuple(self._watchers.get(EVERYTHING, ())):
            user = plans.users.get(watcher.user_id or "")
            if user is not None and user.id not in found:
                scope = scope_of(plans, user.role, user.id)
                seen = None if scope.is_everything else frozenset(scope.seen(plans).services)
                found[user.id] = seen
        return found

    def _worth_telling(self, changed: AbstractSet[str]) -> tuple[list[str], bool]:
        """Return what lists are told of, the oldest first, and whether there was more."""
        if EVERYTHING not in self._watchers or not changed:
            return [], False
        latest_first = sorted(changed, reverse=True)
        new = [id_ for id_ in latest_first if id_ > self._newest]
        old = latest_first[len(new) :]
        self._newest = max(self._newest, latest_first[0])
        told = [*new[:_MOST_NEW], *old[:_MOST_CHANGED]]
        return told[::-1], len(old) > _MOST_CHANGED

    def _told(self, id_: str, page: Sequence[DeliveryView], reader: Reader) -> bytes:
        """Return what to tell of an integration's deliveries; empty where nothing changed."""
        now = {one.id: one.became for one in page}
        before = self._known.get(id_, {})
        self._known[id_] = now
        if now == before:
            return b""
        fresh = [one for one in page if before.get(one.id) != one.became]
        rows = "".join(
            self._render("delivery_row.html", visit=reader, one=one) for one in reversed(fresh)
        )
        check = self._render("live_check.html", visit=reader, deliveries=page)
        return event("check", check) + (event("rows", rows) if rows else b"")


def _latest_of(integration_id: str) -> Filter:
    return Filter(equal=(("integration_id", (integration_id,)),), limit=_DELIVERIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An incident as it is now, and who sees it."""

    html: str
    service_id: str
    #: Who has it, or was paged for it.
    people: frozenset[str]


@dataclass(slots=True, kw_only=True)
class News:
    """What one look found."""

    changed: AbstractSet[str]
    #: Whether more changed than is told of.
    is_more: bool
    #: Incidents as they are now, the oldest first: browsers put each on top.
    rows: Sequence[Row]
    deliveries: Mapping[str, bytes]
    #: Person to the services they see; None is all of them.
    sights: Mapping[str, frozenset[str] | None]
    #: What was written already: those who see the same are told the same bytes.
    _written: dict[tuple[int, ...], bytes] = field(default_factory=dict)

    def message(self, user_id: str | None) -> bytes:
        """Return what to tell a person (None: who sees everything); empty if nothing."""
        if user_id is not None and user_id not in self.sights:
            return _AGAIN if self.rows else b""  # who came during the look, or has left
        seen = None if user_id is None else self.sights[user_id]
        picked = tuple(
            number
            for number, row in enumerate(self.rows)
            if seen is None or row.service_id in seen or user_id in row.people
        )
        if picked not in self._written:
            rows = [self.rows[number].html for number in picked]
            message = event("rows", "".join(rows)) if rows else b""
            self._written[picked] = message + _MORE if self.is_more else message
        return self._written[picked]


def event(name: str, html: str) -> bytes:
    """Write a server-sent event (WHATWG HTML, section 9.2)."""
    lines = "\n".join(f"data: {line}" for line in html.splitlines() if line.strip())
    return f"event: {name}\n{lines}\n\n".encode()
