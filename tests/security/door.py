"""Intake by itself, in this process: everything it does but keeping, ten thousand times a second.

What it would keep is counted; whether it is kept is what every other test of intake shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.builders import NOW
from tocsin.dialects import load_all
from tocsin.store.db import Database
from tocsin.store.inbox import Arrival
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault
from tocsin.web.deadlines import Deadlines
from tocsin.web.intake import Intake, Ports
from tocsin.work.configfile import parse
from tocsin.work.configure import Configurator

T = TypeVar("T")

#: Whether the long profiles run.
IS_FULL = os.environ.get("TOCSIN_TEST_FULL") == "1"


def tell(figures: str) -> None:
    """Say what was measured, to whoever runs a test with ``-s``."""
    sys.stdout.write(f"\n{figures}\n")


OURS = "the-client-secret"
THEIRS = "the-client-secret-of-another-tenant"

TENANTS = f"""
users:
  - {{email: ann@example.com, name: Ann}}
escalation_policies:
  - name: default
    steps:
      - {{targets: [{{user: ann@example.com}}], wait: 1h}}
services:
  - {{name: checkout, escalation_policy: default}}
integrations:
  - {{name: ours, service: checkout, routing_key: key-ours, signing_secrets: ["{OURS}"]}}
  - {{name: theirs, service: checkout, routing_key: key-theirs, signing_secrets: ["{THEIRS}"]}}
  - {{name: unsigned, service: checkout, routing_key: key-unsigned}}
  - {{name: hollow, service: checkout, routing_key: key-hollow, signing_secrets: ["to-be-emptied"]}}
  - {{name: events, service: checkout, source: events, routing_key: key-events}}
"""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Answered:
    """What intake answered."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


class Door:
    """Intake with a configuration, on a loop of its own."""

    def __init__(self, database: Database, vault: Vault) -> None:
        """Set up two tenants, one without a secret, and one whose secret is to be emptied."""
        self.plans = PlansCache(database, vault)
        file, source = parse(TENANTS, "tenants.yaml")
        Configurator(database, self.plans, vault).apply(file, source, NOW, dry_run=False)
        self.plans.refresh()
        self.dialects = load_all()
        #: What it would have kept, the latest last; whoever reads it empties it.
        self.kept: list[Arrival] = []
        self._runner = asyncio.Runner()
        self._runner.run(self._open())

    async def _open(self) -> None:
        async def keep(arrival: Arrival) -> str:
            self.kept.append(arrival)
            return arrival.id

        async def nothing(*_asked: object) -> None:
            return None

        self._deadlines = Deadlines(asyncio.get_running_loop())
        ports = Ports(
            plans=self.plans,
            dialects=self.dialects,
            keep=keep,
            stored=nothing,
            outcome=nothing,
            who=nothing,
            events_of=nothing,
            count=lambda _name, _result: None,
            max_body=2 * 2**20,
        )
        self._intake = Intake(ports, lambda: NOW, self._deadlines)

    def close(self) -> None:
        """End."""
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        self._deadlines.close()

    def work(self, job: Coroutine[Any, Any, T]) -> T:
        """Do something on the loop."""
        return self._runner.run(job)

    def post(self, path: str, body: bytes, headers: Headers = ()) -> Answered:
        """Send one request."""
        return self._runner.run(self.ask(path, body, headers))

    async def ask(self, path: str, body: bytes, headers: Headers = ()) -> Answered:
        """Send one request, for whoever is on the loop already."""
        answered = Answered()
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": query.encode("latin-1"),
            "headers": [(b"content-type", b"application/json"), *headers],
        }

        async def receive() -> object:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                answered.status = message["status"]  # type: ignore[assignment]
                answered.headers = dict(message["headers"])  # type: ignore[call-overload]
            else:
                answered.body += message["body"]  # type: ignore[operator]

        await self._intake(scope, receive, send)
        return answered

    def each(self, requests: Iterator[tuple[str, bytes, Headers]]) -> Iterator[Answered]:
        """Send many, a hundred at a time on the loop."""
        while batch := list(itertools.islice(requests, 100)):
            yield from self._runner.run(self._each(batch))

    async def _each(self, batch: list[tuple[str, bytes, Headers]]) -> list[Answered]:
        return [await self.ask(*one) for one in batch]


@contextlib.contextmanager
def door(database: Database, vault: Vault) -> Iterator[Door]:
    """Open intake on a database."""
    made = Door(database, vault)
    try:
        yield made
    finally:
        made.close()
