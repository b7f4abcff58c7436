"""The world of the demo: a Tocsin with people, services and telephones."""

from __future__ import annotations

import contextlib
import http.server
import json
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tocsin import logs
from tocsin.boot import Store, now, open_store
from tocsin.cli.demo.show import Show
from tocsin.config import load
from tocsin.core.access import Caller, scope_of
from tocsin.core.model import Actor, Role
from tocsin.work.accounts import Accounts
from tocsin.work.configfile import parse
from tocsin.work.configure import Configurator
from tocsin.work.manage import Office

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


@contextlib.contextmanager
def _telephones(show: Show, clock: Callable[[], datetime]) -> Iterator[int]:
    """Run the server that pages go to; give its port."""

    class Telephone(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            page = json.loads(self.rfile.read(length))
            incident = page["data"]["incident"]
            at = f"{clock().astimezone():%H:%M:%S}"
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
        _telephones(show, pace.clock) as phone,
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


def caller_of(store: Store, name: str) -> Caller:
    """Return a person of the world, as who calls."""
    plans = store.plans.refresh()
    user = next(one for one in plans.users.values() if one.name == name)
    by = Actor(name=user.email, user_id=user.id)
    return Caller(by=by, role=user.role, scope=scope_of(plans, user.role, user.id))
