"""What the API hides, limits and refuses: calendar addresses, tests, moot swaps, odd names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.model import Role
from tocsin.work.manage import Office
from tocsin.work.schedulefile import host_of

SECRET = "https://user:word@calendar.example.com/private-3f1/basic.ics"

SCHEDULE = f"""
schedules:
  - name: primary
    layers:
      - {{name: read, calendar: "{SECRET}"}}
  - name: weekly
    layers:
      - name: turns
        rotation: {{unit: week, start: "2026-01-05T09:00"}}
        participants: [ann@example.com]
"""


@pytest.fixture
def world(blank: World) -> World:
    blank.configure(PEOPLE, SCHEDULE, ONE_STEP, SERVICE)
    return blank


def key(world: World, role: Role) -> str:
    return Office(world.database, world.plans, world.vault).create_api_key(
        role.value, role, world.now
    )


def calendar_of(row: dict[str, Any]) -> str:
    found: str = row["layers"][0]["calendar"]
    return found


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        (Role.VIEWER, "https://calendar.example.com/…"),
        (Role.RESPONDER, "https://calendar.example.com/…"),
        (Role.MANAGER, SECRET),
    ],
)
def test_the_address_of_a_calendar_is_shown_to_who_configures(world: World, role: Role, shown: str):
    mine = key(world, role)
    one = world.call("GET", "/schedules/primary", key=mine).json()
    listed = world.call("GET", "/schedules", key=mine).json()["items"]
    assert calendar_of(one) == shown
    assert calendar_of(next(row for row in listed if row["name"] == "primary")) == shown
    assert (SECRET in world.call("GET", "/calendars", key=mine).text) is (shown == SECRET)


@pytest.mark.parametrize(
    "url", ["http://[::1", "https://", "https://host:99999/x", "https://host:x/", "https://a b/c"]
)
def test_a_calendar_that_is_no_url_is_refused(world: World, url: str):
    body = {"name": "other", "layers": [{"name": "read", "calendar": url}]}
    refused = world.call("POST", "/schedules", body)
    assert refused.status_code == 400
    assert "is not a URL" in refused.json()["detail"]
    assert host_of(url).endswith("/…")


@pytest.mark.parametrize("zone", ["localtime", "Factory"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/schedules", {"name": "other"}),
        ("/users", {"email": "dan@example.com", "name": "Dan"}),
    ],
)
def test_a_zone_that_is_no_place_is_refused(
    world: World, zone: str, path: str, body: dict[str, Any]
):
    refused = world.call("POST", path, {**body, "time_zone": zone})
    assert refused.status_code == 400, refused.text
    assert world.call("POST", path, {**body, "time_zone": "CET"}).status_code == 201


def test_an_offer_that_gives_nothing_any_more_cannot_be_taken(world: World):
    window = {"from": "2026-02-02T10:00", "to": "2026-02-02T12:00"}
    offer = world.api("POST", "/schedules/weekly/swaps", {"user": "ann@example.com", **window})
    taker = {"user": "bob@example.com"}
    world.api(
        "POST",
        "/schedules/weekly/overrides",
        {"user": "cat@example.com", **window},
    )
    refused = world.call("POST", f"/schedules/weekly/swaps/{offer['id']}/take", taker)
    assert refused.status_code == 409
    assert "ann@example.com is no longer on call then" in refused.json()["detail"]
    assert len(world.api("GET", "/schedules/weekly/overrides")["items"]) == 1


def test_five_tests_an_hour_go_to_one_contact_method(world: World):
    for _ in range(5):
        world.api("POST", "/users/bob@example.com/page")
        world.now += timedelta(minutes=1)
        world.expect("bob", what="test")
    refused = world.call("POST", "/users/bob@example.com/page")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == str(55 * 60)
    assert "at most 5 tests an hour" in refused.json()["detail"]
    id_ = world.user("bob").contact_methods[0].id
    mine = world.key_of("bob")
    own = world.call("POST", f"/me/contact-methods/{id_}/test", key=mine)
    assert own.status_code == 429
    world.now += timedelta(minutes=56)
    world.api("POST", "/users/bob@example.com/page")
    world.expect("bob", what="test")


def test_a_thing_with_a_slash_in_its_name_is_found_by_its_id(world: World):
    made = world.api("POST", "/teams", {"name": "a/b", "members": []})
    lost = world.call("GET", "/teams/a%2Fb")
    assert lost.status_code == 404
    assert lost.headers["content-type"].startswith("application/problem+json")
    assert "by its id" in lost.json()["detail"]
    assert world.api("GET", f"/teams/{made['id']}")["name"] == "a/b"


def test_an_incident_opened_by_hand_may_have_a_priority(world: World):
    world.api("PATCH", "/services/checkout", {"urgency": {"priority.critical": "high"}})
    body = {"service": "checkout", "title": "T", "severity": "info"}
    made = world.api("POST", "/incidents", {**body, "priority": "critical"})
    assert (made["priority"], made["urgency"]) == ("critical", "high")
    world.expect("ann")


def test_no_hint_suggests_the_key_that_is_unknown(world: World):
    refused = world.call("POST", "/teams", {"name": "x", "members": [], "time_zone": "UTC"})
    detail = refused.json()["detail"]
    assert "unknown key 'time_zone'" in detail
    assert "mean 'time_zone'" not in detail
