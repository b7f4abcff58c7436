"""The whole web edge: intake URLs straight to intake, everything else to the framework."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from tocsin import __version__
from tocsin.channels.guard import IpNetwork
from tocsin.core.access import EVERYTHING
from tocsin.core.dialect import Dialect
from tocsin.core.plans import Integration
from tocsin.sentry.client import Place, Sentry, Unreachable
from tocsin.store import inbox, incidents, jobs
from tocsin.store.db import Database
from tocsin.store.deliveries import delivery
from tocsin.store.inbox import Arrival, Stored
from tocsin.store.kept import KeptKeys
from tocsin.store.people import ApiKey
from tocsin.store.plans import PlansCache
from tocsin.store.room import Room
from tocsin.store.spool import Load, Spool
from tocsin.store.vault import Vault
from tocsin.web.api import build_router
from tocsin.web.back import Back
from tocsin.web.calendar import Feeds, calendar_feed
from tocsin.web.commit import Away, GroupCommit
from tocsin.web.components import ComponentRequests
from tocsin.web.deadlines import Deadlines
from tocsin.web.headers import Guarded
from tocsin.web.intake import Intake, Outcome, Ports
from tocsin.web.live import Live
from tocsin.web.metrics import Metrics
from tocsin.web.pages import build_pages, look
from tocsin.web.pages.problems import problem_for_whom
from tocsin.web.pages.static import static_file
from tocsin.web.problems import refuse
from tocsin.web.reader import Hold, Reader, Unread
from tocsin.work.components import Linker
from tocsin.work.foresee import Hindsight
from tocsin.work.manage import Office
from tocsin.work.respond import Desk
from tocsin.work.rota import Rota
from tocsin.work.things import collections

T = TypeVar("T")
log = structlog.get_logger("web")

#: How often the configuration in memory is compared with the database's.
_REFRESH_SECONDS = 0.5

#: How often it is looked for spools of processes that died.
_ADOPT_SECONDS = 5.0

#: A worker that has not looked for work for so long is not well.
_MAX_TICK_AGE = timedelta(seconds=30)

#: The largest body of an API request.
_API_BODY = 2**20

#: The largest form, and the most fields in one: forms are read on the loop that answers webhooks.
_FORM_BODY = 2**17
_FORM_FIELDS = 2000
_TOO_MANY = f"the form has more than {_FORM_FIELDS:,} fields: send fewer at once"

#: Webhooks at once from which on processing goes slow.
_BUSY = 4

#: SQLite would keep a NUL in a text and PostgreSQL refuse it: for the framework there is none.
_NUL = "the request holds the character NUL, which no text here has"
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

#: Whoever stands between may have gone by the other.
_HOSTS = "the request names more than one host"

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


def _holds_nul(scope: Any) -> bool:
    """Whether the address does; servers differ in whether they have decoded its path."""
    path, query = scope["path"], scope["query_string"]
    return "\0" in path or "%00" in path or b"%00" in query or b"\0" in query


def no_sentry(place: Place) -> Sentry:
    """Be the way to Sentry of a process that has none."""
    raise Unreachable(f"this process asks nothing of {place.host}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelter:
    """What intake has for bad times: most of it for a PostgreSQL that is away."""

    spool: Spool | None = None
    kept: KeptKeys | None = None
    #: The disk of an SQLite file: while it is short, what is left is for what was accepted.
    room: Room | None = None
    #: Whether the database may be written to: not before its schema is this program's.
    is_open: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHints:
    """What the web edge knows of the worker of this process, if there is one."""

    #: Something may be due: look now.
    wake: Callable[[], None]
    #: Return when deliveries were processed, or after so many seconds.
    wait_processed: Callable[[float], Awaitable[None]]
    ticked_at: Callable[[], datetime | None]


class Web:
    """The ASGI application, and what runs beside it."""

    def __init__(
        self,
        database: Database,
        plans: PlansCache,
        vault: Vault,
        dialects: Mapping[str, Dialect],
        hints: WorkerHints | None,
        metrics: Metrics,
        *,
        max_body: int,
        clock: Callable[[], datetime],
        public_url: str = "",
        trusted_proxies: Sequence[IpNetwork] = (),
        has_mail: bool = False,
        data_dir: Path = Path(),
        ring: Callable[[], None] = lambda: None,
        to_sentry: Callable[[Place], Sentry] = no_sentry,
        shelter: Shelter | None = None,
    ) -> None:
        """Connect the parts; needs a running event loop. ``ring`` wakes workers elsewhere."""
        self._ring, self._to_sentry = ring, to_sentry
        self._shelter = shelter or Shelter()
        self._trusted_proxies = trusted_proxies
        self._has_mail = has_mail
        self._data_dir = data_dir
        self._vault = vault
        self._dialects = dialects
        self._database = database
        self._plans = plans
        self._clock = clock
        self._public_url = public_url
        self._hints = hints
        self._metrics = metrics
        self._office = Office(database, plans, vault)
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._loop)
        self._commit = GroupCommit(self._put, self._loop, self._wake, self._shelter.spool)
        self._intake = Intake(
            Ports(
                plans=plans,
                dialects=dialects,
                keep=self._commit.keep,
                stored=self._stored,
                outcome=self._outcome,
                who=self._who,
                events_of=self._events_of,
                count=metrics.count_intake,
                max_body=max_body,
            ),
            clock,
            self._deadlines,
        )
        self._components = ComponentRequests(
            plans, Linker(database, plans, dialects, public_url), clock, self._deadlines, self._wake
        )
        self._reader = Reader(_API_BODY, self._deadlines)
        self._form_reader = Reader(_FORM_BODY, self._deadlines)
        self._live = Live(database, plans, clock, look.render)
        self._framework = self._build_framework(self._state())
        self._refreshing = asyncio.gather(self._refresh_forever(), self._adopt_forever())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._framework(scope, receive, send)
            return
        if self._intake.takes(scope["path"]):
            began = time.perf_counter()
            await self._intake(scope, receive, send)
            self._metrics.intake_seconds.observe(time.perf_counter() - began)
            return
        if self._components.takes(scope["path"]):
            await self._components(scope, receive, send)
            return
        send = Guarded(send, is_secure=self._public_url.startswith("https:"))
        if _holds_nul(scope):
            await refuse(send, 400, _NUL)
        elif sum(name == b"host" for name, _ in scope["headers"]) > 1:
            await refuse(send, 400, _HOSTS)
        elif scope["method"] in _WITHOUT_BODY:
            await self._framework(scope, receive, send)
        else:
            await self._with_body(scope, receive, send)

    async def _with_body(self, scope: Any, receive: Any, send: Any) -> None:
        """Let the framework answer a request whose body was read within our own bounds."""
        is_api = scope["path"].startswith("/api/")
        reader = self._reader if is_api else self._form_reader
        with Hold(reader) as hold:
            try:
                body = await reader.read(scope, receive, hold)
            except Unread as error:
                await refuse(send, error.status, error.reason, error.headers)
                return
            if is_api and _ESCAPED_NUL.search(body):
                await refuse(send, 400, _NUL)
                return
            if not is_api and body.count(b"&") >= _FORM_FIELDS:
                await refuse(send, 413, _TOO_MANY)
                return

            async def whole() -> Any:
                return {"type": "http.request", "body": body, "more_body": False}

            await self._framework(scope, whole, send)

    def is_busy(self) -> bool:
        """Whether several webhooks are being taken at this moment.

        Not those whose body is still on its way, nor those that wait for an outcome: half-open
        requests must not slow down what pages people.
        """
        return self._intake.at_work >= _BUSY

    def part(self) -> None:
        """Let go of browsers that would stay for ever, so that the server can end."""
        self._live.close()

    async def close(self) -> None:
        """Keep what was handed in, then end."""
        self._live.close()
        self._deadlines.close()
        self._refreshing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._refreshing
        await asyncio.to_thread(self._commit.close)

    def _wake(self) -> None:
        if self._hints is not None:
            self._hints.wake()
        else:
            self._ring()

    def _wake_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _put(self, arrivals: Sequence[Arrival]) -> list[str]:
        """Keep arrivals; once more if the connection broke, for keeping twice keeps once."""
        if self._shelter.room is not None and self._shelter.room.is_short:
            raise Away("the disk is full")
        if not self._shelter.is_open():
            raise Away("the database was not there when this process began")
        try:
            return self._put_once(arrivals)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._put_once(arrivals)

    def _put_once(self, arrivals: Sequence[Arrival]) -> list[str]:
        return self._database.run(
            lambda connection: inbox.put(connection, arrivals),
            is_urgent=True,
            is_one=inbox.is_plain(arrivals),
        )

    async def _stored(self, delivery_id: str) -> Stored | None:
        def look() -> Stored | None:
            with self._database.read() as connection:
                return inbox.stored(connection, delivery_id)

        return await asyncio.to_thread(look)

    async def _outcome(self, delivery_id: str, seconds: float) -> Outcome | None:
        """Look for the outcome of a delivery until it is there or time is up."""
        ends = time.monotonic() + seconds
        while True:
            if self._commit.is_spooling:
                return None
            try:
                found = await asyncio.to_thread(self._outcome_now, delivery_id)
            except (DBAPIError, NoConnection):
                return None  # it is kept, which is what counts
            left = ends - time.monotonic()
            if found is not None or left <= 0:
                return found
            if self._hints is not None:
                await self._hints.wait_processed(min(left, 0.1))
            else:
                await asyncio.sleep(min(left, 0.1))

    def _outcome_now(self, delivery_id: str) -> Outcome | None:
        with self._database.read() as connection:
            plans = self._plans.current(connection)
            found = delivery(connection, plans, EVERYTHING, delivery_id)
        if found is None or found.status == "accepted":
            return None
        return Outcome(outcome=found.outcome, incident_id=found.incident_id)

    async def _who(self, key: str) -> ApiKey | None:
        return await asyncio.to_thread(self._office.who, key)

    async def _events_of(self, service: str, key: ApiKey) -> Integration | None:
        return await asyncio.to_thread(self._office.events_integration, service, key, self._clock())

    async def _refresh_forever(self) -> None:
        kept = -1
        while True:
            # The database may be away: what was known goes on serving.
            with contextlib.suppress(Exception):
                kept = await asyncio.to_thread(self._refresh, kept)
            await asyncio.sleep(_REFRESH_SECONDS)

    def _refresh(self, kept: int) -> int:
        """See whether the plans changed, and keep the keys if so; return whose were kept."""
        if not self._shelter.is_open():
            return kept
        plans = self._plans.refresh()
        if plans.revision != kept and self._shelter.kept is not None:
            self._plans.keep(self._shelter.kept)
        return plans.revision

    async def _adopt_forever(self) -> None:
        while self._shelter.spool is not None:
            try:
                await asyncio.to_thread(self._commit.adopt)
            except Exception as error:  # noqa: BLE001 - the disk may be full; it is tried again
                log.warning("cannot take over a spool", error=type(error).__name__)
            await asyncio.sleep(_ADOPT_SECONDS)

    # -- everything that is not intake

    def _build_framework(self, state: State) -> Litestar:
        pages = build_pages(self._vault, self._public_url)
        return build_framework(pages, static_file, state=state)

    def _state(self) -> State:
        """Return what handlers find of this installation."""
        back = Back(
            desk=Desk(self._database, self._plans),
            office=self._office,
            rota=Rota(self._database, self._plans),
            hindsight=Hindsight(self._database, self._plans, self._dialects),
            collections=collections(
                self._database, self._plans, self._vault, public_url=self._public_url
            ),
            clock=self._clock,
            wake=self._wake_from_thread,
            vault=self._vault,
            dialects=self._dialects,
            public_url=self._public_url,
            trusted_proxies=self._trusted_proxies,
            has_mail=self._has_mail,
            data_dir=self._data_dir,
            ask_sentry=self._ask_sentry,
        )
        return State(
            {
                "back": back,
                "intake": self._intake,
                "office": self._office,
                "health": self,
                "live": self._live,
                "feeds": Feeds(self._database, self._plans, self._public_url, self._clock),
            }
        )

    def _ask_sentry(self, place: Place, work: Callable[[Sentry], Awaitable[T]]) -> T:
        """Let the loop ask Sentry, and wait for it here; never on the loop itself."""

        async def go() -> T:
            return await work(self._to_sentry(place))

        return asyncio.run_coroutine_threadsafe(go(), self._loop).result()

    def ticked_at(self) -> datetime | None:
        """Return when the worker of this process last looked for work; None if there is none."""
        return self._hints.ticked_at() if self._hints is not None else None

    def readiness(self) -> dict[str, str]:
        """Return what is not well, by name; empty when ready."""
        wrong: dict[str, str] = {}
        try:
            with self._database.read() as connection:
                self._plans.current(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
            wrong["database"] = type(error).__name__
        if self._hints is not None:
            ticked_at = self._hints.ticked_at()
            if ticked_at is None or self._clock() - ticked_at > _MAX_TICK_AGE:
                wrong["worker"] = "has not looked for work lately"
        return wrong

    @property
    def spooled(self) -> Load:
        """How much waits in the spool of this process."""
        return self._commit.spooled

    def metrics(self) -> bytes:
        """Return the metrics, with the gauges measured now; as they were, if that cannot be."""
        self._metrics.spool_depth.set(self.spooled.waiting)
        try:
            with self._database.read() as connection:
                self._metrics.inbox_depth.set(inbox.waiting_count(connection))
                minute_ago = self._clock() - timedelta(minutes=1)
                self._metrics.overdue_jobs.set(jobs.overdue_count(connection, minute_ago))
                self._metrics.overdue_steps.set(incidents.overdue_count(connection, minute_ago))
        except (DBAPIError, NoConnection):
            self._metrics.database_up.set(0)
        else:
            self._metrics.database_up.set(1)
        return self._metrics.text()


@get("/healthz", include_in_schema=False, sync_to_thread=False)
def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "ok"}


@get("/readyz", include_in_schema=False, sync_to_thread=True)
def readyz(state: State) -> Response[dict[str, Any]]:
    """Say whether it can work, and what is wrong if not."""
    wrong = state.health.readiness()
    answer = {"status": "not ready", "wrong": wrong} if wrong else {"status": "ready"}
    answer["spool_depth"] = state.health.spooled.waiting
    return Response(answer, status_code=503 if wrong else 200)


@get("/metrics", include_in_schema=False, sync_to_thread=True)
def metrics(state: State) -> Response[bytes]:
    """Give the numbers to Prometheus."""
    return Response(state.health.metrics(), media_type="text/plain; version=0.0.4")


@get("/openapi.json", include_in_schema=False, sync_to_thread=True)
def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Give the description of the API."""
    return Response(described(request.app), media_type=MediaType.JSON)


@lru_cache(maxsize=1)
def described(app: Litestar) -> bytes:
    """Describe the API. A tenth of a start would go into what few starts are asked for."""
    return msgspec.json.format(msgspec.json.encode(app.openapi_schema.to_schema()))


class _Framework(Litestar):
    """Litestar without its plugins for Pydantic and attrs: their import is a tenth of a start."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def build_framework(*pages: Any, state: State) -> Litestar:
    """Return the framework's part of the edge: the API, and these pages."""
    return _Framework(
        route_handlers=[
            build_router(),
            *pages,
            calendar_feed,
            healthz,
            readyz,
            metrics,
            openapi,
        ],
        state=state,
        logging_config=None,
        exception_handlers={Exception: problem_for_whom},
        request_max_body_size=None,
        openapi_config=OpenAPIConfig(
            title="Tocsin",
            version=__version__,
            description="Incidents, deliveries and notifications of a Tocsin installation.",
            components=Components(
                security_schemes={"apiKey": SecurityScheme(type="http", scheme="bearer")}
            ),
            path="/_openapi",
            render_plugins=[],
        ),
    )
