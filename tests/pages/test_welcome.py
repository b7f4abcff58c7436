"""The first steps: real things, one small form each, in any order, as often as one comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.browsing import Browser, signed_in
from tests.pages.people import PASSWORD, accounts_of
from tests.world import World
from tocsin.store.db import Database
from tocsin.store.vault import Vault


@pytest.fixture
def fresh(database: Database, vault: Vault) -> Iterator[World]:
    """Give a world whose owner was just made."""
    with World(database, vault) as made:
        yield made


def owner_of(world: World) -> Browser:
    path = f"/setup/{accounts_of(world).setup_link(world.now)}"
    zoe = Browser(world)
    zoe.get(path)
    zoe.post(path, {"name": "Zoe", "email": "zoe@example.com", "password": PASSWORD,
                    "time_zone": "Europe/Berlin"})  # fmt: skip
    return zoe


def who(world: World) -> dict[str, str]:
    id_ = world.user("zoe").id
    return {"service": "shop", "people": id_, "fallback": id_}


def test_five_steps_lead_from_nothing_to_a_page_that_rang(fresh: World):
    zoe = owner_of(fresh)
    assert "1 of 5 done" in zoe.words
    zoe.post("/welcome/who", who(fresh))
    assert "2 of 5 done" in zoe.words
    zoe.post("/welcome/how", {"channel": "webhook", "address": "https://phones.example.com/zoe"})
    code = fresh.expect("zoe", "webhook", "verification").message.text[:6]
    assert "Handed over" in zoe.words
    zoe.post(verify_path(zoe), {"code": code})
    assert "3 of 5 done" in zoe.words
    made = zoe.post("/welcome/connect", {"name": "sentry"}, follow=False)
    assert re.fullmatch(r"/integrations/int_\w+", made.headers["location"])
    plans = fresh.plans.refresh()
    assert plans.fallback_user_id == fresh.user("zoe").id
    zoe.get("/welcome")
    assert "4 of 5 done" in zoe.words
    [key] = routing_keys(fresh)
    fresh.sentry("issue.created", 1, f"/in/{key}")
    fresh.expect("zoe", "webhook", "page")
    zoe.get("/welcome")
    assert "You are set up" in zoe.words


def verify_path(browser: Browser) -> str:
    found = re.search(r'action="(/welcome/how/[^"]+/verify)"', browser.text)
    assert found is not None, browser.words
    return found[1]


def routing_keys(world: World) -> list[str]:
    from tocsin.store import setup

    with world.database.read() as connection:
        return list(setup.routing_keys(connection, world.vault).values())


def test_each_step_can_be_skipped_and_taken_up_again(fresh: World):
    zoe = owner_of(fresh)
    for step in ("who", "how", "connect", "arrive"):
        zoe.post(f"/welcome/skip/{step}")
    assert "What you skipped waits here" in zoe.words
    zoe.get("/welcome?step=who")
    assert "What is watched?" in zoe.words
    zoe.post("/welcome/who", who(fresh))
    assert "done" in zoe.words
    zoe.post("/welcome/skip/how", {"again": "1"})
    assert "How you are paged" in zoe.words
    assert zoe.post("/welcome/skip/nonsense").status_code == 404


def test_a_wrong_step_makes_nothing_and_is_shown_again(fresh: World):
    zoe = owner_of(fresh)
    right = who(fresh)
    for wrong, said in (({"service": ""}, "name is missing"), ({"people": ""}, "tick at least")):
        assert zoe.post("/welcome/who", right | wrong).status_code == 422
        assert said in zoe.words
    assert not fresh.plans.refresh().policies, "half a step is none"
    wrong_address = {"channel": "webhook", "address": "nonsense"}
    assert zoe.post("/welcome/how", wrong_address).status_code == 422
    assert 'value="nonsense"' in zoe.text
    assert zoe.post("/welcome/how", {"channel": "pigeon", "address": "x"}).status_code == 422
    assert zoe.post("/welcome/connect", {"name": "sentry"}).status_code == 422
    assert "say who gets paged" in zoe.words


def test_a_wrong_code_another_code_and_another_address(fresh: World):
    zoe = owner_of(fresh)
    zoe.post("/welcome/how", {"channel": "email", "address": "zoe@example.com"})
    fresh.expect("zoe", "email", "verification")
    path = verify_path(zoe)
    assert zoe.post(path, {"code": "x"}).status_code == 422
    assert "not the code" in zoe.words
    assert zoe.post(path.replace("/verify", "/send")).status_code == 422, "one a minute"
    zoe.post(path.replace("/verify", "/remove"))
    assert "By e-mail" in zoe.words
    assert zoe.post(path, {"code": "x"}).status_code == 404


def test_e_mail_is_offered_only_where_a_mail_server_is_set(database: Database, vault: Vault):
    with World(database, vault, has_mail=False) as world:
        zoe = owner_of(world)
        zoe.get("/welcome?step=how")
        assert "By e-mail" not in zoe.words
        assert "TOCSIN_SMTP_URL" in zoe.words


def test_a_service_whose_name_is_taken_is_said_and_leaves_no_policy_behind(world: World):
    owner = signed_in(world, "owner")
    owner.get("/welcome?step=who")
    fields = {"service": "checkout", "people": world.user("ann").id, "fallback": ""}
    before = world.plans.refresh().policies
    assert owner.post("/welcome/who", fields).status_code == 422
    assert "already" in owner.words
    assert world.plans.refresh().policies == before


def test_the_zone_is_changed_on_the_first_step(fresh: World):
    zoe = owner_of(fresh)
    zoe.post("/welcome/you", {"time_zone": "Asia/Tokyo"})
    assert fresh.user("zoe").time_zone == "Asia/Tokyo"
    assert zoe.post("/welcome/you", {"time_zone": "Mars"}).status_code == 422


def test_who_sets_nothing_up_sees_how_far_it_is_and_adds_their_own_way(world: World):
    viewer = signed_in(world, "viewer")
    assert viewer.get("/welcome").status_code == 200
    assert "Save and go on" not in viewer.words
    assert viewer.post("/welcome/who", {"service": "x"}).status_code == 403
    assert viewer.post("/welcome/skip/how").status_code == 403


def test_an_owner_with_steps_left_is_led_to_them(world: World):
    owner = signed_in(world, "owner")
    owner.get("/incidents")
    assert "Go on with the first steps" in owner.words
    viewer = signed_in(world, "viewer")
    viewer.get("/incidents")
    assert "Go on with the first steps" not in viewer.words
