"""Sentry, connected in a browser: form, plan, step after step, and the first webhook."""

from __future__ import annotations

import base64
import html
import re
from functools import partial

import pytest

from tests.browsing import Browser, signed_in
from tests.fakes import ALL_SCOPES, FakeSentry
from tests.pages.people import told
from tests.world import BASE, World
from tocsin.store import sentry as connections
from tocsin.store.sentry import SentryConnection
from tocsin.web.pages import sentry as page
from tocsin.work.connect import Connector
from tocsin.work.connectplan import RULE_NAME, SERVICE_ACTION


@pytest.fixture(autouse=True)
def without_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers at this world's address whether a rule is right."""
    monkeypatch.setattr(page, "Connector", partial(Connector, schema_of=lambda *_: {}))


@pytest.fixture
def manager(world: World) -> Browser:
    browser = signed_in(world, "manager")
    browser.get("/services")
    return browser


@pytest.fixture
def path(world: World) -> str:
    (integration,) = world.plans.refresh().integrations
    return f"/integrations/{integration}/sentry"


def connection(world: World) -> SentryConnection | None:
    with world.database.read() as opened:
        return next(iter(connections.connections(opened, world.vault)), None)


def plan(browser: Browser, path: str, sentry: FakeSentry, token: str = "", **more: str) -> str:
    """Ask for a plan; return what the form then holds."""
    fields = {"do": "plan", "org": "acme", "host": sentry.url, "projects": "backend"}
    browser.post(path, {**fields, "token": token or sentry.token(), **more})
    found = re.search(r'name="sealed" value="([^"]*)"', browser.text)
    return html.unescape(found[1]) if found else ""


def steps_on(browser: Browser) -> dict[str, str]:
    """Return the steps that a page shows, and whether each is done."""
    return dict(re.findall(r'data-step="([^"]+)" data-done="(\w+)"', browser.text))


def go(browser: Browser, path: str, sealed: str) -> int:
    """Do step after step, as a browser without scripts; return how many there were."""
    for count in range(1, 20):
        browser.post(path, {"do": "step", "sealed": sealed})
        if "data-step" not in browser.text:
            return count
    raise AssertionError(browser.words)


def test_form_then_plan_then_each_step_then_the_webhook(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    sentry.do("webhooks", sending=False)
    sentry.do("clock", now=world.now.isoformat())
    manager.get(path)
    assert "You see what it will do before it does anything" in manager.words
    token = sentry.token()
    sealed = plan(manager, path, sentry, token, test="on")
    assert steps_on(manager) == {
        "integration": "yes", "token": "no", "app": "no", "secret": "no", "rule:backend": "no",
        "test": "no",
    }  # fmt: skip
    assert sentry.requests("POST", "PUT") == []
    assert token not in manager.text
    manager.post(path, {"do": "step", "sealed": sealed})
    assert steps_on(manager)["token"] == "yes"
    assert steps_on(manager)["app"] == "no"
    assert go(manager, path, sealed) == 4
    assert "Waiting for its webhook, for 1 min at most" in manager.words
    for hook in sentry.do("take")["webhooks"]:
        if hook["resource"] == "event_alert":
            headers = {name.lower(): value for name, value in hook["headers"].items()}
            body = base64.b64decode(hook["body_base64"])
            answer = world.post(hook["url"].removeprefix(BASE), body, **{
                name.replace("-", "_"): value for name, value in headers.items()
            })  # fmt: skip
            assert answer.status_code == 202, answer.text
    world.expect("ann")
    manager.get(f"{path}?since={int(world.now.timestamp())}")
    assert "It works" in manager.words
    assert "Waiting for its webhook" not in manager.words
    assert connection(world) is not None
    kinds = [kind for actor, kind, _ in told(world) if actor == "manager@example.com"]
    assert "sentry_connection.added" in kinds


def test_a_webhook_that_does_not_come_says_what_to_look_for(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    go(manager, path, plan(manager, path, sentry, test="on"))
    world.forward(seconds=61)
    manager.get(f"{path}?since={int(world.now.timestamp()) - 61}")
    assert "No webhook came within 1 min" in manager.words
    assert "SENTRY_DISALLOWED_IPS" in manager.words


def test_connected_twice_nothing_is_made_twice(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    go(manager, path, plan(manager, path, sentry))
    first = sentry.state()
    manager.post(path, {"do": "plan", "org": "acme", "host": sentry.url})
    found = re.search(r'name="sealed" value="([^"]*)"', manager.text)
    sealed = html.unescape(found[1]) if found else ""
    assert set(steps_on(manager).values()) <= {"yes", "no"}
    go(manager, path, sealed)
    assert (len(sentry.state()["apps"]), sentry.state()["rules"]) == (1, first["rules"])


def test_a_kept_token_is_told_to_no_other_address(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    """An empty field stands for the token that is kept, but only where it is kept for."""
    go(manager, path, plan(manager, path, sentry))
    before = len(sentry.requests())
    fields = {"do": "plan", "org": "acme", "host": sentry.url.replace("127.0.0.1", "localhost")}
    manager.post(path, fields)
    assert "The token is missing" in manager.words
    manager.post(path, {"do": "plan", "org": "globex", "host": sentry.url})
    assert "The token is missing" in manager.words
    assert len(sentry.requests()) == before
    manager.post(path, {"do": "plan", "org": "acme", "host": sentry.url})
    assert manager.response.status_code == 200


def test_a_script_gets_the_part_that_changes_and_is_led_on_at_the_end(
    manager: Browser, path: str, sentry: FakeSentry
):
    from urllib.parse import urlencode

    sealed = plan(manager, path, sentry)
    fields = {"do": "step", "sealed": sealed, "_csrf_token": manager.token}
    for _ in range(10):
        answer = manager._ask(
            "POST",
            path,
            urlencode(fields).encode(),
            content_type="application/x-www-form-urlencoded",
            hx_request="true",
        )
        if "hx-redirect" in answer.headers:
            break
        assert answer.text.lstrip().startswith("<div")
        assert 'hx-trigger="load delay:1s, submit"' in answer.text
    assert answer.headers["hx-redirect"] == path


def test_a_missing_scope_is_said_with_the_steps_by_hand(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    token = sentry.token(*(one for one in ALL_SCOPES if not one.startswith("alerts")))
    plan(manager, path, sentry, token)
    assert "It has no scope alerts:write" in manager.words
    assert "to create alert rules" in manager.words
    assert "Nothing was done" in manager.words
    assert f"{sentry.url}/settings/acme/developer-settings/" in manager.words
    assert connection(world) is None
    assert sentry.requests("POST") == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"org": ""}, "The slug of the organisation is missing"),
        ({"token": "a b"}, "That is no token"),
        ({"token": "a\r\nb"}, "That is no token"),
        ({"own_token": "a\r\nb"}, "That is no token"),
        ({"host": "ftp://x"}, "is no address"),
        ({"org": "nobody"}, "knows no organisation nobody"),
        ({"projects": "backnd"}, "did you mean backend"),
        ({"token": "sntryu_wrong"}, "The token is not valid"),
        ({"host": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(
    world: World, manager: Browser, path: str, sentry: FakeSentry, fields: dict[str, str], said: str
):
    token = fields.get("token", "")
    typed = {name: value for name, value in fields.items() if name != "token"}
    plan(manager, path, sentry, token, **typed)
    assert manager.response.status_code == 422
    assert said in manager.words
    if "org" not in fields:
        assert 'value="acme"' in manager.text
    assert connection(world) is None


def test_a_fault_in_the_middle_is_shown_and_the_same_form_goes_on(
    manager: Browser, path: str, sentry: FakeSentry
):
    sealed = plan(manager, path, sentry)
    sentry.do("faults", status=500, path="sentry-apps/$", method="POST")
    manager.post(path, {"do": "step", "sealed": sealed})
    manager.post(path, {"do": "step", "sealed": sealed})
    assert "Sentry failed (HTTP 500)" in manager.words
    sentry.do("faults")
    go(manager, path, sealed)
    assert len(sentry.state()["apps"]) == 1


def test_what_sentry_does_not_keep_is_said_and_not_tried_for_ever(
    manager: Browser, path: str, sentry: FakeSentry
):
    sealed = plan(manager, path, sentry)
    sentry.do("faults", drops=["isAlertable"], path="sentry-apps/")
    manager.post(path, {"do": "step", "sealed": sealed})
    manager.post(path, {"do": "step", "sealed": sealed})
    assert "Sentry did not keep the alert rule action" in manager.words
    assert "load delay" not in manager.text
    assert "Try again" in manager.words
    sentry.do("faults")
    go(manager, path, sealed)
    assert sentry.state()["apps"][0]["isAlertable"]


def test_what_sentry_only_claims_to_keep_is_not_tried_for_ever(
    manager: Browser, path: str, sentry: FakeSentry
):
    """The answer has it; whoever looks again does not find it."""
    token = sentry.token()
    plan(manager, path, sentry, token)
    for _ in range(20):
        found = re.search(r'name="sealed" value="([^"]*)"', manager.text)
        assert found is not None
        manager.post(path, {"do": "step", "sealed": html.unescape(found[1])})
        if "load delay" not in manager.text:
            break
        for slug in sentry.slugs():
            path_there = f"/api/0/sentry-apps/{slug}/"
            sentry.ask("PUT", path_there, {"isAlertable": False}, token)
    else:
        raise AssertionError("it goes on for ever")
    assert "Sentry did not keep the alert rule action" in manager.words


def test_a_sealed_plan_is_good_for_its_person_its_integration_and_a_while(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    sealed = plan(manager, path, sentry)
    other = signed_in(world, "admin")
    other.post(path, {"do": "step", "sealed": sealed})
    assert "too old" in other.words
    manager.post(path, {"do": "step", "sealed": "made up"})
    assert "not one of ours" in manager.words
    manager.post(path, {"do": "step", "sealed": world.vault.seal('{"wish":{}}')})
    assert "not one of ours" in manager.words
    world.forward(minutes=16)
    manager.post(path, {"do": "step", "sealed": sealed})
    assert "too old" in manager.words
    assert sentry.requests("POST") == []


def test_how_it_stands_is_asked_at_the_press_of_a_button(
    manager: Browser, path: str, sentry: FakeSentry
):
    token = sentry.token()
    go(manager, path, plan(manager, path, sentry, token))
    manager.post(path, {"do": "check"})
    assert "The integration Tocsin in Sentry is there" in manager.words
    sentry.do("revoke", token=token)
    manager.post(path, {"do": "check"})
    assert "The token is not valid" in manager.words


def test_disconnecting_takes_it_back_or_says_what_the_token_lacks(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    weak = sentry.token(*(one for one in ALL_SCOPES if one != "org:admin"))
    go(manager, path, plan(manager, path, sentry, weak))
    manager.post(path, {"do": "undo"})
    assert "The token has no scope org:admin" in manager.words
    assert len(sentry.state()["apps"]) == 1
    manager.post(path, {"do": "undo", "token": sentry.token()})
    assert "Disconnected" in manager.words
    assert (sentry.state()["apps"], sentry.state()["rules"]) == ([], [])
    assert connection(world) is None


def test_disconnecting_leaves_a_rule_that_was_found_and_names_it(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    go(manager, path, plan(manager, path, sentry, projects=""))
    action = {"id": SERVICE_ACTION, "service": sentry.slugs()[0]}
    said = {"name": "Since years", "actionMatch": "any", "frequency": 30, "actions": [action]}
    rules = "/api/0/projects/acme/backend/rules/"
    assert sentry.ask("POST", rules, said, sentry.token())[0] == 201
    go(manager, path, plan(manager, path, sentry))
    manager.post(path, {"do": "undo"})
    assert "Left for you to do by hand: The alert rule" in manager.words
    assert [one["name"] for one in sentry.state()["rules"]] == ["Since years"]
    assert sentry.state()["apps"] == []


def test_disconnecting_takes_back_a_rule_of_which_no_answer_came(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    """Sentry had made it when the connection broke: the next run finds it, and it is ours."""
    go(manager, path, plan(manager, path, sentry, projects=""))
    action = {"id": SERVICE_ACTION, "service": sentry.slugs()[0]}
    said = {"name": RULE_NAME, "actionMatch": "any", "frequency": 30, "actions": [action]}
    assert sentry.ask("POST", "/api/0/projects/acme/backend/rules/", said, sentry.token())[0] == 201
    go(manager, path, plan(manager, path, sentry))
    manager.post(path, {"do": "undo"})
    assert (sentry.state()["rules"], sentry.state()["apps"]) == ([], [])


def test_disconnecting_with_what_is_no_token_is_refused_and_not_quoted(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    go(manager, path, plan(manager, path, sentry))
    manager.post(path, {"do": "undo", "token": "sntryu_canary\nsntryu_canary"})
    assert manager.response.status_code == 422
    assert "That is no token" in manager.words
    assert "canary" not in manager.text
    assert connection(world) is not None


def test_disconnecting_only_here_leaves_sentry_as_it_is(
    world: World, manager: Browser, path: str, sentry: FakeSentry
):
    go(manager, path, plan(manager, path, sentry))
    manager.post(path, {"do": "undo", "only_here": "on"})
    assert len(sentry.state()["apps"]) == 1
    assert connection(world) is None


def test_whoever_may_not_configure_sees_no_such_tab(world: World, path: str):
    responder = signed_in(world, "responder")
    responder.get(path.removesuffix("/sentry"))
    assert "/sentry" not in re.findall(r'href="([^"]+)"', responder.text)
    assert responder._ask("GET", path).status_code == 403
