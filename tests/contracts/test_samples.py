"""The sample webhooks of public repositories, read in every dialect and taken at every URL.

What is expected of each was worked out by hand from the contract's table, not from the program:
``sample_expectations.toml``.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.dialect import read
from tocsin.dialects import load
from tocsin.sentry.sender import Webhook, encode
from tocsin.store import views
from tocsin.store.db import Database
from tocsin.store.vault import Vault

EXPECTED = tomllib.loads(Path(__file__).with_name("sample_expectations.toml").read_text("utf-8"))
DIALECTS = ("native", "opsknight", "itoc360", "navi")
FIELDS = ("verb", "severity", "priority", "dedup_key", "title", "link", "source")

#: URL by the dialect it implies, with the status of an accepted delivery.
URLS = {
    "native": ("/in/{}", 202),
    "opsknight": ("/api/integrations/sentry?integrationId={}", 202),
    "itoc360": ("/functions/v1/events?token={}", 200),
    "navi": ("/v1/events/sentry/{}", 202),
}


@dataclass(frozen=True)
class Sample:
    """One body, and the resource its sender names."""

    name: str
    body: Any
    resource: str | None


def sample(shared: Path, name: str) -> Sample:
    folder = shared / "sentry-payloads"
    body = json.loads((folder / f"{name}.json").read_text("utf-8"))
    known = json.loads((folder / f"{name}.headers.json").read_text("utf-8"))
    return Sample(name, body, known["resource"])


def wanted(name: str, dialect: str) -> dict[str, Any]:
    """Return what is expected of a sample; a key left out means none, but for the title."""
    row = EXPECTED[name]
    merged = {key: value for key, value in row.items() if key not in DIALECTS}
    merged |= row.get(dialect, {})
    return {key: merged.get(key) for key in FIELDS if key != "title" or "title" in merged}


def test_every_sample_is_expected(shared: Path):
    names = {
        path.stem
        for path in (shared / "sentry-payloads").glob("*.json")
        if not path.name.endswith(".headers.json") and "-ui-" not in path.name
    }
    assert names == set(EXPECTED)
    assert len(names) == 40


@pytest.mark.parametrize("name", sorted(EXPECTED))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_sample_is_read_as_the_contract_says(shared: Path, name: str, dialect: str):
    one = sample(shared, name)
    signal = read(load(dialect), one.body, one.resource)
    assert signal is not None
    want = wanted(name, dialect)
    assert {key: getattr(signal, key) for key in want} == want


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_sample_is_taken_at_every_url(
    shared: Path, database: Database, vault: Vault, dialect: str
):
    """Each is answered 2xx; the log, the incident and its alert hold what the table says.

    Each has an integration of its own, so that samples of one issue do not meet.
    """
    url, status = URLS[dialect]
    with World(database, vault) as world:
        own = (f"  - {{name: {name}, service: checkout, routing_key: key-of-{name}}}"
               for name in sorted(EXPECTED))  # fmt: skip
        world.configure(PEOPLE, ONE_STEP, SERVICE.rstrip(), *own)
        for name in sorted(EXPECTED):
            one = sample(shared, name)
            hook = Webhook(resource=one.resource, action=None, body=encode(one.body))
            response = world.send(hook, url.format(f"key-of-{name}"))
            assert response.status_code == status, (name, response.text)
            want = wanted(name, dialect)
            if dialect == "itoc360":
                answer = response.json()
                assert answer["type"] == ("RESOLVE" if want["verb"] == "resolve" else "ALERT")
                assert answer["fingerprint"] == (want["dedup_key"] or "")
                assert answer["payload"] == one.body
            delivery = world.deliveries()[-1]
            verb = {"regress": "none"}.get(want["verb"], want["verb"])
            assert (name, delivery.verb) == (name, verb)
            assert delivery.dedup_key == want["dedup_key"]
            assert delivery.status == "processed"
            assert_stored(world, delivery.incident_id, want)
        world.forget()


STORED = ("severity", "priority", "dedup_key", "title", "link", "source")


def assert_stored(world: World, incident_id: str | None, want: dict[str, Any]) -> None:
    """A trigger opened an incident with one alert, and both are as expected; others opened none."""
    if want["verb"] != "trigger":
        assert incident_id is None
        return
    assert incident_id is not None
    with world.database.read() as connection:
        plans = world.plans.current(connection)
        incident = views.incident_detail(connection, plans, incident_id)
    expected = {key: want[key] for key in STORED if key in want}
    for stored in (incident, *incident.alerts):
        assert {key: getattr(stored, key) for key in expected} == expected
    assert len(incident.alerts) == 1
    assert incident.occurrence_count == 1
