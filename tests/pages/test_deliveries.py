"""The delivery log in a browser: listed, searched, explained, replayed."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from tests.browsing import Browser, signed_in
from tests.world import KEY, World
from tocsin.store import db

HOOK = f"/in/{KEY}"


@pytest.fixture(autouse=True)
def _ids_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ids begin at this test's time, whatever other tests made before."""
    monkeypatch.setattr(db, "_ticker", db._Ticker())


@pytest.fixture
def manager(world: World) -> Browser:
    browser = signed_in(world, "manager")
    browser.get("/services")
    return browser


def run_of(browser: Browser) -> str:
    found = re.search(r'name="run" value="([0-9a-f]+)"', browser.text)
    assert found
    return found[1]


def test_the_log_says_what_became_of_everything(world: World, manager: Browser):
    world.sentry("issue.created")
    world.expect("ann")
    world.post(HOOK, "not json")
    manager.get("/deliveries")
    assert "issue.created triggered incident 202" in manager.words
    assert "rejected It is not the JSON object that was expected" in manager.words
    manager.get("/deliveries?status=rejected&integration=sentry")
    assert "issue.created" not in manager.words
    manager.get("/deliveries?q=sentry:issue:1")
    assert "issue.created triggered" in manager.words
    manager.get("/deliveries?incident=1")
    assert "issue.created triggered" in manager.words
    manager.get("/deliveries?incident=99")
    assert "No delivery is like that." in manager.words


def test_filters_that_name_nothing_are_passed_over(world: World, manager: Browser):
    world.post(HOOK, "not json")
    for query in ("status=odd", "outcome=odd", "integration=odd"):
        assert manager.get(f"/deliveries?{query}").status_code == 200
        assert "rejected" in manager.words
    assert manager.get("/deliveries?cursor=odd").status_code == 400


def test_the_log_goes_on_to_older_ones(world: World, manager: Browser):
    with world.held():
        for _ in range(52):
            world.post(HOOK, "not json")
    manager.get("/deliveries?status=rejected")
    older = re.search(r'href="(/deliveries\?status=rejected&amp;cursor=[^"]+)"', manager.text)
    assert older
    manager.get(older[1].replace("&amp;", "&"))
    assert manager.text.count('id="delivery-del_') == 2


def test_a_delivery_says_why_it_was_read_so(world: World, manager: Browser):
    body = '{"action":"ignored","data":{"issue":{"id":"7","title":"T","level":"odd"}}}'
    world.post(HOOK, body, sentry_hook_resource="issue", authorization="Bearer secret")
    manager.get(f"/deliveries/{world.deliveries()[0].id}")
    assert "which counts as issue.archived" in manager.words
    assert "Verb resolve the dialect" in manager.words
    assert "no row fits odd , so the default" in manager.words
    assert "sentry:issue:7 , from sentry:issue:{id}" in manager.words
    assert "Bearer secret" not in manager.text
    assert '"action": "ignored"' in manager.words


def test_a_body_that_turns_letters_around_is_shown_in_its_order(world: World, manager: Browser):
    for body in ('{"a": "\u202eevil"}', '"\\u202eevil"', "no JSON: \u2066evil"):
        world.raw("POST", HOOK, content=body.encode(), headers={"content-type": "application/json"})
        manager.get(f"/deliveries/{world.deliveries()[0].id}")
        assert re.search(r"\\u20(2e|66)evil", manager.text)
        assert not re.search("[\u202e\u2066]", manager.text)


def test_a_body_is_downloaded_exactly(world: World, manager: Browser):
    body = b'{"a": "\xff" }'
    world.raw("POST", HOOK, content=body, headers={"content-type": "application/json"})
    response = manager.get(f"/deliveries/{world.deliveries()[0].id}/body")
    assert response.content == body
    assert "attachment" in response.headers["content-disposition"]


def test_a_replay_pressed_twice_replays_once(world: World, manager: Browser):
    world.sentry("issue.created")
    world.expect("ann")
    first = world.deliveries()[0].id
    manager.get(f"/deliveries/{first}")
    fields = {"run": run_of(manager)}
    manager.post(f"/deliveries/{first}/replay", fields)
    assert "Replayed: this is the new delivery." in manager.words
    manager.post(f"/deliveries/{first}/replay", fields)
    assert len(world.deliveries()) == 2
    assert world.incident().occurrence_count == 2
    manager.get(f"/deliveries/{first}")
    manager.post(f"/deliveries/{first}/replay", {"run": run_of(manager)})
    assert len(world.deliveries()) == 3


def test_a_window_is_counted_first_and_then_replayed_step_by_step(world: World, manager: Browser):
    with world.held():
        for number in range(60):
            world.sentry("issue.created", number % 3)
    world.forget()
    world.post(HOOK, "not json")
    begin = world.now - timedelta(hours=1)
    world.now += timedelta(minutes=5)
    query = f"integration=sentry&from={begin:%Y-%m-%dT%H:%M}&to={world.now:%Y-%m-%dT%H:%M}"
    manager.get(f"/deliveries/replay?{query}&which=taken")
    assert "How many 60 deliveries" in manager.words
    address = str(manager.response.url).removeprefix("http://tocsin.test")
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', manager.text))
    manager.post("/deliveries/replay", fields)
    assert "50 deliveries of 60 replayed" in manager.words
    assert "Go on" in manager.words
    manager.get(address)
    assert "50 deliveries of 60 replayed" in manager.words
    for _ in range(2):
        manager.post("/deliveries/replay", fields)
        assert "All of it is replayed." in manager.words
    assert len(world.deliveries()) == 60 + 60 + 1


def test_a_body_that_was_not_kept_is_told_and_not_replayed(world: World, manager: Browser):
    with world.held():
        for _ in range(60):
            world.sentry("issue.created")
    world.forget()
    gone = world.deliveries()[55].id
    manager.get(f"/deliveries/{gone}")
    assert "Not kept: of an alert that repeats itself" in manager.words
    assert "Replay" not in manager.words
    assert manager.get(f"/deliveries/{gone}/body").content == b""
    assert manager.post(f"/deliveries/{gone}/replay", {"run": "0" * 16}).status_code == 404
    assert "was not kept: replay one that was" in manager.words
    told = world.api("GET", f"/deliveries/{gone}")
    assert (told["is_kept"], told["body_base64"], told["headers"]) == (False, "", [])
    begin = world.now - timedelta(hours=1)
    world.now += timedelta(minutes=5)
    window = f"from={begin:%Y-%m-%dT%H:%M}&to={world.now:%Y-%m-%dT%H:%M}&which=taken"
    manager.get(f"/deliveries/replay?integration=sentry&{window}")
    assert "How many 52 deliveries" in manager.words


def test_a_script_gets_only_the_part_that_changes(world: World, manager: Browser):
    world.sentry("issue.created")
    world.forget()
    world.now += timedelta(minutes=5)
    query = "integration=sentry&from=2026-01-05T00:00&to=2026-01-06T00:00"
    manager.get(f"/deliveries/replay?{query}")
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', manager.text))
    from urllib.parse import urlencode

    manager._ask("POST", "/deliveries/replay", urlencode(fields).encode(),
                 content_type="application/x-www-form-urlencoded", hx_request="true")  # fmt: skip
    assert manager.response.status_code == 200
    assert "<html" not in manager.text
    assert "All of it is replayed." in manager.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("integration=odd&from=2026-01-05T09:00&to=2026-01-05T10:00", "Choose the integration"),
        ("integration=sentry&from=&to=2026-01-05T10:00", "Say from when"),
        ("integration=sentry&from=2026-01-05T10:00&to=2026-01-05T09:00", "ends before it begins"),
        ("integration=sentry&from=9999-01-05T10:00&to=9999-01-06T09:00", "between the years"),
    ],
)
def test_a_window_that_makes_no_sense_is_told(manager: Browser, query: str, said: str):
    assert manager.get(f"/deliveries/replay?{query}").status_code == 422
    assert said in manager.words


def test_who_may_not_replay_sees_no_button_and_is_refused(world: World):
    world.sentry("issue.created")
    world.forget()
    responder = signed_in(world, "responder")
    delivery = world.deliveries()[0].id
    responder.get(f"/deliveries/{delivery}")
    assert "Replay" not in responder.words
    assert responder.post(f"/deliveries/{delivery}/replay", {"run": "0" * 16}).status_code == 403
    assert responder.get("/deliveries/replay").status_code == 403


def test_what_is_not_there_is_a_page_that_says_so(manager: Browser):
    assert manager.get("/deliveries/del_nothing").status_code == 404
    assert "there is no delivery del_nothing" in manager.words
