"""``tocsin demo``: a Tocsin of its own, a small fake Sentry, two telephones, and you watch."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import itertools
import json
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tocsin import logs
from tocsin.boot import Parts, Store, free_port, now, open_store, serve
from tocsin.config import load
from tocsin.core.access import EVERYTHING, Caller, scope_of
from tocsin.core.model import (
    Actor,
    Role,
)
from tocsin.sentry.sender import Answer, Issue, Webhook, encode, legacy_webhook, send, webhook
from tocsin.store import views
from tocsin.store.deliveries import delivery_page
from tocsin.store.views import DeliveryView, Filter, IncidentView
from tocsin.work import respond
from tocsin.work.accounts import Accounts
from tocsin.work.configfile import parse
from tocsin.work.configure import Configurator
from tocsin.work.manage import Office
from tocsin.work.respond import Desk

SECRET = "demo-client-secret"  # noqa: S105 - of an integration that lives as long as the demo

#: Who watches waits little. The weeks of ``start``, and every other one, are Ann's.
CONFIGURATION = """
users:
  - email: ann@example.com
    name: Ann
    role: owner
    time_zone: Europe/Berlin
    contact_methods:
      - {{name: phone, channel: webhook, address: "http://127.0.0.1:{phone}/Ann"}}
  - email: bob@example.com
    name: Bob
    time_zone: Europe/Berlin
    contact_methods:
      - {{name: phone, channel: webhook, address: "http://127.0.0.1:{phone}/Bob"}}
  - email: cleo@example.com
    name: Cleo
    role: manager
    time_zone: America/New_York
    contact_methods:
      - {{name: phone, channel: webhook, address: "http://127.0.0.1:{phone}/Cleo"}}
  - email: dan@example.com
    name: Dan
    time_zone: America/New_York
    contact_methods:
      - {{name: phone, channel: webhook, address: "http://127.0.0.1:{phone}/Dan"}}
teams:
  - {{name: payments, members: [ann@example.com, bob@example.com]}}
  - {{name: platform, members: [cleo@example.com, dan@example.com]}}
schedules:
  - name: payments
    team: payments
    time_zone: Europe/Berlin
    layers:
      - name: weeks
        rotation: {{unit: week, start: "{start}"}}
        participants: [ann@example.com, bob@example.com]
  - name: platform
    team: platform
    time_zone: America/New_York
    layers:
      - name: nights
        rotation: {{unit: week, start: "{start}"}}
        participants: [dan@example.com, cleo@example.com]
      - name: days
        rotation: {{unit: day, start: "{start}"}}
        participants: [cleo@example.com, dan@example.com]
        restrictions: [{{days: [mon, tue, wed, thu, fri], from: "08:00", to: "18:00"}}]
escalation_policies:
  - name: payments
    repeat: 1
    steps:
      - {{targets: [{{schedule: payments}}], wait: {wait}}}
      - {{targets: [{{team: payments}}], wait: {long_wait}}}
  - name: platform
    repeat: 2
    steps:
      - {{targets: [{{schedule: platform}}], wait: {wait}}}
      - {{targets: [{{user: cleo@example.com}}, {{user: dan@example.com}}], wait: {long_wait}}}
services:
  - {{name: checkout, team: payments, escalation_policy: payments}}
  - {{name: search, team: platform, escalation_policy: platform}}
  - {{name: website, team: platform, escalation_policy: platform}}
integrations:
  - name: sentry
    service: checkout
    routing_key: demo-routing-key
    signing_secrets: ["{secret}"]
    routes:
      - {{project: search, service: search}}
      - {{project: website, service: website}}
  - name: sentry-legacy
    service: website
    routing_key: demo-legacy-key
fallback: {{user: bob@example.com}}
"""

#: The four URLs a Sentry may be pointed at, by the product they were made for.
URLS = {
    "Tocsin": "/in/{key}",
    "OpsKnight": "/api/integrations/sentry?integrationId={key}",
    "ITOC360": "/functions/v1/events?token={key}",
    "Navi.sh": "/v1/events/sentry/{key}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One thing that happens in the demo."""

    says: str
    #: None: nothing is sent, the responder acknowledges the open incident.
    hook: Webhook | None
    url: str = "Tocsin"
    key: str = "demo-routing-key"
    secret: str | None = SECRET
    #: The status that has to come back.
    status: int = 202
    #: Seconds until the next one.
    pause: float = 1.0


def scenes(number: int) -> list[Scene]:
    """Return one round of the demo; each has issues of its own."""
    issue = Issue(id=str(1000 + number))
    metric = Issue(id=str(5000 + number), title="latency")
    slow = Issue(
        id=str(3000 + number),
        title="ConnectionTimeout: no shard answered within 5 s",
        culprit="search.index.query",
        level="fatal",
        project="search",
    )
    font = replace(issue, id=str(7000 + number), title="404: /fonts/title.woff2", level="warning")
    garbage = Webhook(resource="issue", action=None, body=b'{"action":"created","data":NaN}')
    unknown = Webhook(resource="size_analysis", action=None, body=encode({"action": "completed"}))
    return [
        Scene(says="a new issue: Ann is paged", hook=webhook("issue", "created", issue)),
        Scene(says="the alert rule fires for it", hook=webhook("event_alert", "triggered", issue)),
        Scene(says="and again", hook=webhook("event_alert", "triggered", issue)),
        Scene(says="a comment in Sentry", hook=webhook("comment", "created", issue)),
        Scene(says="Ann acknowledges", hook=None),
        Scene(says="resolved in Sentry", hook=webhook("issue", "resolved", issue)),
        Scene(says="it comes back: a new incident", hook=webhook("issue", "unresolved", issue)),
        Scene(says="a metric warns", hook=webhook("metric_alert", "warning", metric)),
        Scene(says="and turns critical", hook=webhook("metric_alert", "critical", metric)),
        Scene(says="and is over", hook=webhook("metric_alert", "resolved", metric)),
        Scene(
            says="the legacy plugin, unsigned, at OpsKnight's URL",
            hook=legacy_webhook(replace(font, project="website", culprit="/pricing")),
            url="OpsKnight",
            key="demo-legacy-key",
        ),
        Scene(
            says="a fatal issue at Navi.sh's URL",
            hook=webhook("issue", "created", slow),
            url="Navi.sh",
        ),
        Scene(
            says="resolved, at ITOC360's URL",
            hook=webhook("issue", "resolved", slow),
            url="ITOC360",
            status=200,
        ),
        Scene(
            says="a wrong signature: refused, and kept in the log",
            hook=webhook("issue", "created", issue),
            secret="not-the-secret",  # noqa: S106 - that is the point
            status=401,
        ),
        Scene(says="garbage, but signed: kept, not understood", hook=garbage),
        Scene(says="garbage, unsigned: refused", hook=garbage, key="demo-legacy-key", status=400),
        Scene(says="something nobody knows yet", hook=unknown),
        Scene(
            says="nobody acknowledges: Bob is paged too",
            hook=webhook("event_alert", "triggered", issue),
            pause=3.0,
        ),
        Scene(says="resolved in Sentry", hook=webhook("issue", "resolved", issue), pause=2.0),
    ]


@dataclass(slots=True)
class Show:
    """What has happened so far."""

    base: str
    api_key: str = ""
    password: str = ""
    scene: str = ""
    answers: list[tuple[str, Answer, bool]] = field(default_factory=list)
    pages: list[tuple[str, str, str, str]] = field(default_factory=list)
    #: Where whoever was paged last answers without signing in, by the number of the incident.
    links: dict[int, str] = field(default_factory=dict)
    deliveries: tuple[DeliveryView, ...] = ()
    incidents: tuple[IncidentView, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether every answer was the one it had to be."""
        return all(right for _, _, right in self.answers)


@contextlib.contextmanager
def _telephones(show: Show) -> Iterator[int]:
    """Run the server that pages go to; give its port."""

    class Telephone(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            page = json.loads(self.rfile.read(length))
            incident = page["data"]["incident"]
            at = time.strftime("%H:%M:%S")
            kind = page["type"].partition(".")[2]
            show.pages.append((at, self.path.strip("/"), kind, f"#{incident['number']}"))
            if kind == "page":
                show.links[incident["number"]] = page["data"]["acknowledge_url"]
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing: the table does."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Telephone)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a world goes: by which clock, how long steps of escalation wait, and where it is."""

    clock: Callable[[], datetime] = now
    wait: str = "6s"
    long_wait: str = "30s"
    #: What links lead to; the address itself if None.
    public_url: str | None = None


@contextlib.contextmanager
def world(show: Show, pace: Pace) -> Iterator[Store]:
    """Make a Tocsin with people, services and telephones, until the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-demo-") as folder,
        _telephones(show) as phone,
        (Path(folder) / "log").open("w") as log,
    ):
        logs.configure("json", log)
        settings = load(
            {},
            data_dir=folder,
            listen=show.base.removeprefix("http://"),
            outbound_allow="127.0.0.0/8",
            public_url=pace.public_url,
        )
        store = open_store(settings, serves=True)
        try:
            _configure(store, show, phone, pace)
            yield store
        finally:
            store.close()


def run_demo(seconds: int | None) -> Show:
    """Run the demo, for so long or until Ctrl-C; return what happened."""
    show = Show(base=f"http://127.0.0.1:{free_port()}")
    with world(show, Pace()) as store, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_perform(store, show, seconds))
    _say_goodbye(show)
    return show


def _configure(store: Store, show: Show, phone: int, pace: Pace) -> None:
    at = pace.clock()
    # Half a day back: at this instant it may still be Sunday, or the hour before, in a time zone.
    week = (at - timedelta(hours=13)).date()
    text = CONFIGURATION.format(
        phone=phone,
        secret=SECRET,
        start=f"{week - timedelta(days=week.weekday(), weeks=4)}T08:00",
        wait=pace.wait,
        long_wait=pace.long_wait,
    )
    file, source = parse(text, "demo")
    Configurator(store.database, store.plans, store.vault).apply(file, source, at, dry_run=False)
    office = Office(store.database, store.plans, store.vault)
    show.api_key = office.create_api_key("demo", Role.OWNER, at)
    show.password = f"demo-{secrets.token_hex(4)}"
    ann = next(user for user in store.plans.refresh().users.values() if user.role is Role.OWNER)
    accounts = Accounts(store.database, store.plans, store.vault)
    accounts.give_password(ann.id, show.password, at)


async def _perform(store: Store, show: Show, seconds: int | None) -> None:
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(store, Parts(), stop, ready))
    await ready.wait()
    playing = asyncio.create_task(_play(store, show))
    console = Console()
    screen = _Screen(console) if console.is_terminal else _Lines(console)
    try:
        async with asyncio.timeout(seconds):
            with screen:
                while not playing.done():
                    await asyncio.to_thread(_look, store, show)
                    screen.update(show)
                    await asyncio.sleep(0.2)
                await playing
    except TimeoutError:
        pass
    finally:
        playing.cancel()
        await asyncio.to_thread(_look, store, show)
        stop.set()
        await serving


async def _play(store: Store, show: Show) -> None:
    for number in itertools.count():
        for scene in scenes(number):
            show.scene = scene.says
            await asyncio.to_thread(play, store, show, scene, now())
            await asyncio.sleep(scene.pause)


def play(store: Store, show: Show, scene: Scene, at: datetime) -> None:
    """Let a scene happen."""
    if scene.hook is None:
        _acknowledge(store, at)
    else:
        _send(show, scene, scene.hook)


def _send(show: Show, scene: Scene, hook: Webhook) -> None:
    url = show.base + URLS[scene.url].format(key=scene.key)
    answer = send(url, hook, scene.secret)
    show.answers.append((scene.says, answer, answer.status == scene.status))


def _acknowledge(store: Store, at: datetime) -> None:
    with store.database.read() as connection:
        plans = store.plans.current(connection)
        wanted = Filter(equal=(("status", ("triggered",)),), limit=1)
        page = views.incident_page(connection, plans, EVERYTHING, wanted)
    ann = next(user for user in plans.users.values() if user.name == "Ann")
    by = Actor(name=ann.email, user_id=ann.id)
    caller = Caller(by=by, role=ann.role, scope=scope_of(plans, ann.role, ann.id))
    for incident in page.items:
        desk = Desk(store.database, store.plans)
        desk.act(incident.id, respond.acknowledge(by), caller, at)


def _look(store: Store, show: Show) -> None:
    with store.database.read() as connection:
        plans = store.plans.current(connection)
        show.deliveries = delivery_page(connection, plans, EVERYTHING, Filter(limit=10)).items
        show.incidents = views.incident_page(connection, plans, EVERYTHING, Filter(limit=6)).items


_COLOURS = {
    "triggered": "red",
    "acknowledged": "yellow",
    "resolved": "green",
    "rejected": "magenta",
    "unrecognised": "magenta",
}


def _coloured(word: str | None) -> Text:
    return Text(word or "", style=_COLOURS.get(word or "", ""))


class _Screen:
    """The live table of a terminal."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_exc: object) -> None:
        self._live.stop()

    def update(self, show: Show) -> None:
        self._live.update(drawing(show), refresh=True)


def drawing(show: Show) -> RenderableType:
    """Draw what has happened so far."""
    deliveries = Table(
        "delivery", "what Sentry sent", "answer", "became", "incident", "why", box=None
    )
    numbers = {one.id: f"#{one.number}" for one in show.incidents}
    for one in show.deliveries:
        deliveries.add_row(
            f"{one.received_at:%H:%M:%S}",
            f"{one.resource or '?'}.{one.action or ''}".rstrip("."),
            str(one.http_status),
            _coloured(one.became),
            numbers.get(one.incident_id or "", ""),
            Text(one.reason or "", style="dim", no_wrap=True, overflow="ellipsis"),
        )
    incidents = Table("incident", "status", "severity", "seen", "title", box=None)
    for incident in show.incidents:
        incidents.add_row(
            f"#{incident.number}",
            _coloured(incident.status),
            incident.severity,
            str(incident.occurrence_count),
            Text(incident.title, no_wrap=True, overflow="ellipsis"),
        )
    pages = Table("page", "to", "what", "about", box=None)
    for row in show.pages[-6:]:
        pages.add_row(*row)
    head = Text(f"{show.scene}", style="bold")
    return Group(head, "", deliveries, "", incidents, "", pages, "", _help(show))


def _help(show: Show) -> Text:
    return Text(
        f"Page: {show.base}  sign in: ann@example.com  password: {show.password}\n"
        f"API: {show.base}/api/v1/incidents  key: {show.api_key}  end: Ctrl-C",
        style="dim",
        no_wrap=True,
    )


class _Lines:
    """One line per thing, where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_begun = False
        self._answers = 0
        self._pages = 0
        self._became: dict[str, str] = {}

    def __enter__(self) -> None:
        """Nothing has to be begun."""

    def __exit__(self, *_exc: object) -> None:
        """Nor ended."""

    def update(self, show: Show) -> None:
        if not self._is_begun:
            self._say(_help(show).plain)
            self._is_begun = True
        for says, answer, _ in show.answers[self._answers :]:
            self._say(f"sentry   {says}: {answer.status} in {answer.seconds * 1000:.0f} ms")
            self._answers += 1
        for one in reversed(show.deliveries):
            became = one.became
            if became != "accepted" and self._became.get(one.id) != became:
                self._became[one.id] = became
                self._say(f"delivery {one.resource or '?'} {one.action or ''} became {became}")
        for at, who, kind, about in show.pages[self._pages :]:
            self._say(f"phone    {who}: {kind} {about} at {at}")
            self._pages += 1

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _say_goodbye(show: Show) -> None:
    pages = sum(kind == "page" for _, _, kind, _ in show.pages)
    resolved = sum(one.status == "resolved" for one in show.incidents)
    print(
        f"{len(show.answers)} webhooks sent, {len(show.incidents)} incidents shown"
        f" ({resolved} resolved), {pages} pages rang"
    )
    for says, answer, right in show.answers:
        if not right:
            said = answer.body.decode(errors="replace")[:200]
            print(f"wrong answer to “{says}”: {answer.status} {said}", file=sys.stderr)
