"""Events sent with an API key: the integration made for them, and the configuration file."""

from __future__ import annotations

import json

from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.work.configfile import dump, parse
from tocsin.work.configure import Configurator


def send(world: World, key: str, service: str = "checkout") -> int:
    """Send an event with an API key; return the status."""
    body = {
        "service_id": service, "event_action": "trigger", "dedup_key": key,
        "payload": {"summary": "disk full", "source": "db1", "severity": "error"},
    }  # fmt: skip
    authorization = f"Bearer {world._api_key}"
    return world.post("/api/events", json.dumps(body), authorization=authorization).status_code


def apply(world: World, *texts: str) -> list[str]:
    """Apply a file; return its plan."""
    file, source = parse("\n".join(texts), "world.yaml")
    configurator = Configurator(world.database, world.plans, world.vault)
    applied = configurator.apply(file, source, world.now, dry_run=False)
    return [f"{one.sign} {one.kind} {one.name}" for one in applied.changes]


def made_for(world: World) -> list[str | None]:
    """Return the integration of every incident."""
    return [one.integration and one.integration.name for one in world.incidents()]


def test_the_integration_made_for_an_api_key_is_no_business_of_the_file(world: World):
    """Applied again, the file changes nothing, and exported it names nothing new."""
    assert send(world, "a") == 202
    assert apply(world, PEOPLE, ONE_STEP, SERVICE) == []
    assert send(world, "b") == 202
    assert made_for(world) == ["checkout events"] * 2
    exported = Configurator(world.database, world.plans, world.vault).export()
    assert [one.name for one in exported.integrations] == ["sentry"]
    assert apply(world, dump(exported)) == []
    world.forget()


def test_a_file_that_names_the_made_integration_takes_it_over(world: World):
    """It stays the same one, with its key; from then on the file may remove it."""
    send(world, "a")
    before = Configurator(world.database, world.plans, world.vault).integration("checkout events")
    named = SERVICE + "  - {name: checkout events, service: checkout, source: events}\n"
    assert apply(world, PEOPLE, ONE_STEP, named) == ["+ integration checkout events"]
    after = Configurator(world.database, world.plans, world.vault).integration("checkout events")
    assert before is not None
    assert after is not None
    assert (before[0].id, before[1]) == (after[0].id, after[1])
    assert apply(world, PEOPLE, ONE_STEP, named) == []
    assert apply(world, PEOPLE, ONE_STEP, SERVICE) == ["- integration checkout events"]
    world.forget()


def test_with_its_service_the_made_integration_goes(world: World):
    """Nothing may page for a service that is gone."""
    other = SERVICE.replace("integrations:", "  - {name: other}\nintegrations:")
    apply(world, PEOPLE, ONE_STEP, other)
    assert send(world, "a", "other") == 202
    assert apply(world, PEOPLE, ONE_STEP, SERVICE) == ["- service other"]
    found = Configurator(world.database, world.plans, world.vault).integration("other events")
    assert found is None
    world.forget()


def test_a_name_that_is_taken_gets_a_number(world: World):
    taken = SERVICE + "  - {name: checkout events, service: checkout}\n"
    apply(world, PEOPLE, ONE_STEP, taken)
    assert send(world, "a") == 202
    assert made_for(world) == ["checkout events 2"]
    world.forget()
