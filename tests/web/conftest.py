"""A real server on each database, with an integration for every kind of sender."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ENGINES, fresh_postgres, fresh_sqlite
from tests.outside import Telephones, Tocsin, telephones, until
from tests.web.setup_world import Api
from tests.world import World
from tocsin.store.db import Database
from tocsin.store.vault import Vault

SECRET = "the-client-secret"
OLD_SECRET = "the-client-secret-of-yesterday"

CONFIGURATION = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {{name: hook, channel: webhook, address: "{phones}/ann"}}
teams:
  - {{name: payments, members: [ann@example.com]}}
schedules:
  - name: primary
    time_zone: Europe/Berlin
    layers:
      - name: weekly
        rotation: {{unit: week, start: "2026-01-05T09:00"}}
        participants: [ann@example.com]
escalation_policies:
  - name: default
    steps:
      - {{targets: [{{user: ann@example.com}}], wait: 1h}}
services:
  - {{name: checkout, team: payments, escalation_policy: default}}
  - {{name: billing, escalation_policy: default}}
  - {{name: muted, escalation_policy: default}}
  - {{name: halved, escalation_policy: default}}
integrations:
  - {{name: unsigned, service: checkout, routing_key: key-unsigned}}
  - name: signed
    service: checkout
    routing_key: key-signed
    signing_secrets: ["{secret}", "{old}"]
  - {{name: disabled, service: checkout, routing_key: key-disabled, enabled: false}}
  - name: strict
    service: checkout
    routing_key: key-strict
    signing_secrets: ["{secret}"]
    replay_protection: strict
  - {{name: events, service: checkout, source: events, routing_key: key-events}}
  - name: events-off
    service: muted
    source: events
    routing_key: key-events-off
    enabled: false
  - {{name: halved-off, service: halved, source: events, routing_key: key-halved-1, enabled: false}}
  - {{name: halved-on, service: halved, source: events, routing_key: key-halved-2}}
  - name: routed
    service: checkout
    routing_key: key-routed
    routes:
      - {{project: billing, environment: production, service: billing}}
      - {{environment: staging, verb: none}}
    overrides:
      action: {{issue.assigned: acknowledge}}
      severity: {{error: critical}}
fallback: {{user: ann@example.com}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A running Tocsin, its telephones, and keys to its API."""

    tocsin: Tocsin
    phones: Telephones
    keys: dict[str, str]

    def api(self, path: str) -> Any:
        """Ask the API as its owner."""
        return self.tocsin.api(self.keys["owner"], "GET", path)

    def settled(self, delivery_id: str) -> Any:
        """Return a delivery once it was processed."""

        def processed() -> Any:
            found = self.api(f"/deliveries/{delivery_id}")
            return found if found["status"] != "accepted" else None

        return until(processed, f"{delivery_id} processed")

    def raw(self, delivery: Any) -> bytes:
        """Return the body of a delivery exactly."""
        return base64.b64decode(delivery["body_base64"])

    def latest(self) -> Any:
        """Return the latest delivery in the log, whole."""
        return self.api(f"/deliveries/{self.api('/deliveries?limit=1')['items'][0]['id']}")


@pytest.fixture(scope="session", params=ENGINES)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Give a server that all tests of this process share: each uses issues of its own."""
    folder = tmp_path_factory.mktemp("served")
    with telephones() as phones:
        if request.param == "sqlite":
            url = fresh_sqlite(folder, request.getfixturevalue("sqlite_template"))
            yield from _served(folder, url, phones)
        else:
            server = request.getfixturevalue("postgres_server")
            template = request.getfixturevalue("postgres_template")
            with fresh_postgres(server, template) as url:
                yield from _served(folder, url, phones)


def _served(folder: Path, url: str, phones: Telephones) -> Iterator[Served]:
    tocsin = Tocsin(folder, url)
    tocsin.apply(CONFIGURATION.format(phones=phones.base, secret=SECRET, old=OLD_SECRET))
    keys = {}
    for role in ("owner", "admin", "manager", "responder", "viewer"):
        made = tocsin.run("key", "create", "--name", role, "--role", role)
        assert made.returncode == 0, made.stderr
        keys[role] = made.stdout.strip()
    tocsin.start()
    try:
        yield Served(tocsin, phones, keys)
        assert tocsin.stop() == 0
        log = tocsin.log.read_text()
        assert "Traceback" not in log, log
    finally:
        tocsin.end()


@pytest.fixture
def api(database: Database, vault: Vault) -> Iterator[Api]:
    """Give the API of a world of its own, in this process, on both databases."""
    with World(database, vault) as world:
        yield Api(world)
