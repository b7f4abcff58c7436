"""The whole service in one process, on a pretend clock, with channels that only record.

A scenario is a timeline: something is sent, time goes forward, and each message that went out is
expected by the test, or the world fails when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import ipaddress
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Self

import httpx2
import msgspec
from litestar import Litestar
from litestar.datastructures import State
from sqlalchemy import Connection, func, select, update

from tests.builders import NOW
from tocsin.calendars.reading import Event, read
from tocsin.channels.base import REGISTRY, Channel, ChannelKind, Message
from tocsin.channels.fetch import Fetched, Unfetched
from tocsin.core.access import EVERYTHING, Caller
from tocsin.core.model import (
    TOCSIN,
    Actor,
    Role,
)
from tocsin.core.plans import User
from tocsin.core.retry import Outcome, Report
from tocsin.dialects import load_all
from tocsin.sentry.client import Lines, Place, Sentry
from tocsin.sentry.sender import Issue, Webhook, headers_of, webhook
from tocsin.store import contacts, jobs, views
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.deliveries import delivery_page
from tocsin.store.jobs import Kind
from tocsin.store.lists import Filter
from tocsin.store.plans import PlansCache, changed
from tocsin.store.tables import contact_methods
from tocsin.store.tables import jobs as job_table
from tocsin.store.vault import Vault
from tocsin.store.views import IncidentDetail
from tocsin.web.app import Web, WorkerHints
from tocsin.web.metrics import Metrics
from tocsin.work.configfile import File, Source, parse
from tocsin.work.configure import Configurator
from tocsin.work.deliver import Outbox
from tocsin.work.escalate import Clockwork
from tocsin.work.manage import Office
from tocsin.work.respond import Decide, Desk
from tocsin.worker import Worker, build_worker

BASE = "http://tocsin.test"
KEY = "routing-key-of-the-world"

#: Ann has two contact methods, the others one; every page has one way to go unless rules say more.
PEOPLE = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {name: hook, channel: webhook, address: "https://phones.example.com/ann"}
      - {name: mail, channel: email, address: ann@example.com}
  - email: bob@example.com
    name: Bob
    contact_methods:
      - {name: hook, channel: webhook, address: "https://phones.example.com/bob"}
  - email: cat@example.com
    name: Cat
    contact_methods:
      - {name: hook, channel: webhook, address: "https://phones.example.com/cat"}
teams:
  - {name: payments, members: [bob@example.com, cat@example.com]}
"""

SERVICE = f"""
services:
  - {{name: checkout, team: payments, escalation_policy: default}}
integrations:
  - {{name: sentry, service: checkout, routing_key: {KEY}}}
"""

ONE_STEP = """
escalation_policies:
  - name: default
    steps:
      - {targets: [{user: ann@example.com}], wait: 5m}
"""


#: A channel that people answer to, as no real one does yet.
TEXTS = ChannelKind(
    name="texts",
    label="Texts",
    address_hint="+49 151 0000000",
    module="tests.world",
    has_secret=False,
    is_bundled=True,
    takes_replies=True,
)


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that went out."""

    who: str
    channel: str
    what: str
    title: str
    message: Message


@dataclass(slots=True)
class Recorder:
    """A channel that records, and answers as it is told to.

    What a message is, is the last word of its type: ``page``, ``resolved``, ``verification``,
    ``test``, ``begins``, ``ends``, ``gaps``.
    """

    name: str
    heard: list[Heard]
    answers: list[Report] = field(default_factory=list)

    async def send(self, message: Message, address: str, secret: str | None) -> Report:
        """Take a message."""
        document = msgspec.json.decode(message.document)
        who = document["data"]["user"]["email"].partition("@")[0]
        what = message.type.rpartition(".")[2]
        about = document["data"].get("incident")
        title = about["title"] if about else message.subject
        report = (
            self.answers.pop(0)
            if self.answers
            else Report(outcome=Outcome.DELIVERED, detail="recorded")
        )
        self.heard.append(Heard(who, self.name, what, title, message))
        return report


_CHANNELS = (*REGISTRY, TEXTS.name)


async def _expand(body: bytes, now: datetime) -> list[Event]:
    """Read a calendar without a process for it."""
    return read(body, now)


@lru_cache(maxsize=100)
def _parsed(text: str) -> tuple[File, Source]:
    return parse(text, "world.yaml")


#: Frameworks that no world uses now. To build one takes half a second; only its state tells whose
#: it is.
_FRAMEWORKS: dict[tuple[Vault, str], list[Litestar]] = defaultdict(list)


class _Web(Web):
    """The web edge, with the framework of a world that has ended."""

    def _build_framework(self, state: State) -> Litestar:
        free = _FRAMEWORKS[self._vault, self._public_url]
        framework = free.pop() if free else super()._build_framework(State())
        framework.state = state
        return framework

    async def close(self) -> None:
        """End, and leave the framework to the next world."""
        await super().close()
        _FRAMEWORKS[self._vault, self._public_url].append(self._framework)


class World:
    """One service, one clock."""

    def __init__(
        self, database: Database, vault: Vault, *, has_mail: bool = True, base: str = BASE
    ) -> None:
        """Begin at ``NOW``, without any configuration; ``base`` is where browsers find it."""
        self.has_mail = has_mail
        self.base = base
        self.database = database
        self.vault = vault
        self.now = NOW
        self.plans = PlansCache(database, vault)
        self._heard: list[Heard] = []
        self.recorders = {name: Recorder(name, self._heard) for name in _CHANNELS}
        #: Calendars by address; what is not here cannot be had.
        self.calendars: dict[str, bytes] = {}
        self._runner = asyncio.Runner()
        self._web: Web
        self._worker: Worker
        self._client: httpx2.AsyncClient
        self._numbers = itertools.count(1)
        self._api_key = ""
        self._watches = False
        self._is_held = False
        #: How long Sentry may take for an answer, by the real clock.
        self.sentry_deadline = timedelta(seconds=10)
        self._outside: httpx2.AsyncClient | None = None
        self._sentries: Lines | None = None

    def __enter__(self) -> Self:
        """Start."""
        self._runner.run(self._start())
        office = Office(self.database, self.plans, self.vault)
        self._api_key = office.create_api_key("world", Role.OWNER, self.now)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        """Stop; a message that nobody expected fails the test."""
        self._runner.run(self._stop())
        self._runner.close()
        if kind is None:
            unexpected = [f"{h.who} by {h.channel}: {h.what} {h.title!r}" for h in self._heard]
            assert not unexpected, f"nobody expected {unexpected}"

    async def _start(self) -> None:
        dialects = load_all()
        channels: dict[str, Channel] = dict(self.recorders)
        self._worker = build_worker(
            self.database,
            self.plans,
            self.vault,
            dialects,
            channels,
            kinds={**REGISTRY, TEXTS.name: TEXTS},
            public_url=self.base,
            retention=timedelta(days=90),
            clock=lambda: self.now,
            fetch=self._fetch,
            expand=_expand,
            to_sentry=self._to_sentry,
        )
        hints = WorkerHints(
            wake=lambda: None, wait_processed=self._process, ticked_at=lambda: self.now
        )
        self._web = _Web(
            self.database,
            self.plans,
            self.vault,
            dialects,
            hints,
            Metrics(),
            max_body=2 * 2**20,
            clock=lambda: self.now,
            public_url=self.base,
            # Requests may say where they come from, as behind a proxy.
            trusted_proxies=[ipaddress.ip_network("127.0.0.1/32")],
            has_mail=self.has_mail,
            to_sentry=self._to_sentry,
        )
        transport = httpx2.ASGITransport(app=self._web)
        self._client = httpx2.AsyncClient(transport=transport, base_url=self.base)

    def _to_sentry(self, place: Place) -> Sentry:
        if self._sentries is None:
            self._outside = httpx2.AsyncClient(timeout=httpx2.Timeout(10.0))
            self._sentries = Lines(self._outside)
        return self._sentries.to(place, deadline=self.sentry_deadline)

    async def _fetch(self, url: str, etag: str | None, _max_bytes: int) -> Fetched:
        body = self.calendars.get(url)
        if body is None:
            raise Unfetched("HTTP 404")
        made = hashlib.sha256(body).hexdigest()
        return Fetched(body=None if made == etag else body, etag=made)

    async def _process(self, _seconds: float) -> None:
        await self._worker.run_due()

    async def _stop(self) -> None:
        await self._client.aclose()
        if self._outside is not None:
            await self._outside.aclose()
        await self._web.close()
        self._worker.close()

    # -- setting up

    def configure(self, *texts: str) -> None:
        """Apply a configuration file made of these parts."""
        file, source = _parsed("\n".join(texts))
        Configurator(self.database, self.plans, self.vault).apply(
            copy.deepcopy(file), source, self.now, dry_run=False
        )
        self.plans.refresh()
        if self._watches:
            self.watch()

    def unwatched(self, *texts: str) -> None:
        """Apply a configuration, for the watch to notice when its time comes."""
        self._watches, watches = False, self._watches
        self.configure(*texts)
        self._watches = watches

    def give_phone(self, who: str, number: str = "") -> str:
        """Give a person a verified contact method ``phone``, before all others; return its id."""

        def work(connection: Connection) -> str:
            user = self.user(who, connection)
            id_ = contacts.add(
                connection,
                user.id,
                {"name": "phone", "channel": TEXTS.name, "address": number or who},
                self.now,
            )
            connection.execute(
                update(contact_methods).where(contact_methods.c.id == id_).values(position=-1)
            )
            contacts.mark_verified(connection, id_, self.now)
            changed(connection, self.now, TOCSIN, Change(kind="contact_method.added", subject=who))
            return id_

        return self.database.run(work)

    def user(self, who: str, connection: Connection | None = None) -> User:
        """Return a person as they are set up now."""
        if connection is None:
            with self.database.read() as opened:
                return self.user(who, opened)
        users = self.plans.current(connection).users.values()
        return next(user for user in users if user.email == f"{who}@example.com")

    def key_of(self, who: str) -> str:
        """Return an API key that stands for a person."""
        office = Office(self.database, self.plans, self.vault)
        return office.create_api_key(who, Role.RESPONDER, self.now, self.user(who).id)

    def watch(self) -> None:
        """Begin to watch the schedules; every change is seen at once from now on."""
        self._watches = True
        self.database.run(lambda connection: jobs.put(connection, [(Kind.WATCH, "all", self.now)]))
        self.settle()

    # -- what comes in

    def post(self, path: str, body: bytes | str, **headers: str) -> httpx2.Response:
        """Send a request, then let everything happen that follows from it."""
        content = body.encode() if isinstance(body, str) else body
        named = {"content-type": "application/json"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        response = self._runner.run(self._client.post(path, content=content, headers=named))
        self.settle()
        return response

    def send(self, hook: Webhook, path: str = f"/in/{KEY}", **headers: str) -> httpx2.Response:
        """Send a webhook as Sentry does, then let everything happen that follows."""
        named = headers_of(hook, None)
        named.pop("Sentry-Hook-Signature", None)
        response = self._runner.run(
            self._client.post(path, content=hook.body, headers=named | headers)
        )
        self.settle()
        return response

    def sentry(self, event: str, id_: int = 1, path: str = f"/in/{KEY}", **issue: Any) -> None:
        """Let Sentry say something of an issue: ``issue.created``, ``metric_alert.critical``."""
        resource, _, action = event.partition(".")
        hook = webhook(resource, action, Issue(id=str(id_), **{"title": "T", **issue}))
        response = self.send(hook, path)
        assert response.status_code < 300, response.text

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API as its owner, then let everything happen; return the answer's JSON."""
        response = self.call(method, path, body)
        assert response.status_code < 300, response.text
        return response.json()

    def ask(
        self, method: str, path: str, content: bytes, headers: dict[str, str]
    ) -> httpx2.Response:
        """Send a request as a browser would, then let everything happen that follows from it."""
        self._client.cookies.clear()
        response = self._runner.run(
            self._client.request(method, path, content=content, headers=headers)
        )
        self.settle()
        return response

    def call(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> httpx2.Response:
        """Call the API with a key (its owner's), then let everything happen."""
        response = self._runner.run(
            self._client.request(
                method,
                f"/api/v1{path}",
                json=body,
                headers={"authorization": f"Bearer {key or self._api_key}"},
            )
        )
        self.settle()
        return response

    def raw(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send any request at all."""
        return self._runner.run(self._client.request(method, path, **options))

    def act(self, who: str, action: Callable[[Actor], Decide], number: int = 1) -> None:
        """Let a person act on an incident, then let everything happen."""
        desk = Desk(self.database, self.plans)
        desk.act(str(number), action(self.person(who)), self.caller(who), self.now)
        self.settle()

    def person(self, who: str) -> Actor:
        """Return a person as one who acts."""
        users = self.plans.refresh().users.values()
        user = next(one for one in users if one.email == f"{who}@example.com")
        return Actor(name=user.name, user_id=user.id)

    def caller(self, who: str) -> Caller:
        """Return a person as one who asks, and sees everything."""
        return Caller(by=self.person(who), role=Role.OWNER, scope=EVERYTHING)

    # -- time

    def settle(self) -> None:
        """Let everything happen that is due."""
        if not self._is_held:
            self._runner.run(self._worker.run_due())

    def look(self) -> None:
        """Let the steps be taken that are due, on whatever thread this is."""
        Clockwork(self.database, self.plans).work(Kind.ESCALATE, self.now)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody work meanwhile; then let everything happen at once."""
        self._is_held = True
        yield
        self.release()

    def release(self) -> None:
        """Let everything happen that was held."""
        self._is_held = False
        self.settle()

    def forward(self, **span: float) -> None:
        """Let time pass, stopping wherever something is due."""
        target = self.now + timedelta(**span)
        while (due := self._next_due()) is not None and due <= target:
            self.now = max(due, self.now)
            self.settle()
        self.now = target
        self.settle()

    def jump(self, **span: float) -> None:
        """Let time pass with nobody working: an outage. What is due then happens at once."""
        self.now += timedelta(**span)
        self.settle()

    def _next_due(self) -> datetime | None:
        """Return when something else is due than the look at what was changed."""
        query = select(func.min(job_table.c.due_at)).where(
            job_table.c.buried_at.is_(None), job_table.c.kind != Kind.WATCH.value
        )
        with self.database.read() as connection:
            due: datetime | None = connection.scalar(query)
            return due

    def outbox(self) -> Outbox:
        """Return another process's hand on what is due."""
        kinds = {**REGISTRY, TEXTS.name: TEXTS}
        return Outbox(self.database, self.plans, self.vault, BASE, kinds)

    # -- what went out

    def expect(self, who: str, channel: str = "webhook", what: str = "page") -> Heard:
        """Expect that a message went out; it is then no longer unexpected."""
        wanted = (who, channel, what)
        found = next((h for h in self._heard if (h.who, h.channel, h.what) == wanted), None)
        heard = [(h.who, h.channel, h.what) for h in self._heard]
        assert found is not None, f"{who} heard no {what} by {channel}; out went {heard}"
        self._heard.remove(found)
        return found

    def expect_nothing(self) -> None:
        """Expect that nothing went out but what was expected already."""
        assert not self._heard, [(h.who, h.channel, h.what) for h in self._heard]

    @property
    def heard(self) -> list[Heard]:
        """What went out and nobody expected yet."""
        return list(self._heard)

    def take(self) -> list[Heard]:
        """Return all that went out and was not expected yet, and take it as expected."""
        heard = list(self._heard)
        self._heard.clear()
        return heard

    def forget(self) -> None:
        """Take all that went out as expected."""
        self._heard.clear()

    # -- how things stand

    def incidents(self) -> list[IncidentDetail]:
        """Return every incident, the oldest first."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            page = views.incident_page(connection, plans, EVERYTHING, Filter(limit=200))
            return [
                views.incident_detail(connection, plans, one.id) for one in reversed(page.items)
            ]

    def incident(self, number: int = 1) -> IncidentDetail:
        """Return one incident."""
        return next(one for one in self.incidents() if one.number == number)

    def kinds(self, number: int = 1) -> list[str]:
        """Return the kinds of an incident's timeline, in order."""
        return [entry.kind for entry in self.incident(number).timeline]

    def deliveries(self) -> list[views.DeliveryView]:
        """Return every delivery, the oldest first."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            page = delivery_page(connection, plans, EVERYTHING, Filter(limit=200))
            return list(reversed(page.items))
