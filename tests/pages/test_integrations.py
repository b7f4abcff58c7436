"""Integrations in a browser: added, connected, checked, tuned."""

from __future__ import annotations

import hmac
import re
import subprocess
from datetime import timedelta
from typing import Any

import pytest

from tests.browsing import Browser, signed_in
from tests.world import BASE, KEY, World

SECRET = "0123456789abcdef"
CREATED = '{"action":"created","data":{"issue":{"id":"7","title":"T","level":"odd"}}}'


@pytest.fixture
def manager(world: World) -> Browser:
    browser = signed_in(world, "manager")
    browser.get("/services")
    return browser


def added(browser: Browser, **fields: str) -> str:
    """Add an integration; return where its pages are."""
    browser.post("/integrations/new", {"service": "checkout", "kind": "sentry", **fields})
    assert browser.response.status_code == 200, browser.words
    return str(browser.response.url.path)


def url_on(browser: Browser, style: str = "native") -> str:
    """Return the webhook URL that a page shows."""
    found = re.search(rf'id="url-{style}"[^>]*>([^<]+)<', browser.text)
    assert found
    return found[1]


def path_of(url: str) -> str:
    return url.removeprefix(BASE)


def signed(secret: str, body: str) -> dict[str, str]:
    return {
        "sentry_hook_resource": "issue",
        "sentry_hook_signature": hmac.digest(secret.encode(), body.encode(), "sha256").hex(),
    }


def test_the_steps_that_opsknight_documents_work_here(world: World, manager: Browser):
    """Services → the service → Integrations → Add integration → Sentry → ID → signing secret."""
    manager.get("/services")
    service = re.search(r'href="(/services/svc_[^"]+)">checkout', manager.text)
    assert service
    manager.get(service[1])
    manager.get(f"{service[1]}/integrations")
    add = re.search(r'href="(/integrations/new\?service=checkout)"', manager.text)
    assert add
    manager.get(add[1])
    path = added(manager)
    routing = re.search(r'id="routing-key"[^>]*>([^<]+)<', manager.text)
    assert routing
    manager.post(f"{path}/secrets", {"do": "generate"})
    secret = re.search(r'id="made-secret"[^>]*>([^<]+)<', manager.text)
    assert secret
    target = f"/api/integrations/sentry?integrationId={routing[1]}"
    assert world.post(target, CREATED).status_code == 401
    assert world.post(target, CREATED, **signed(secret[1], CREATED)).status_code == 202
    world.forget()
    manager.get(path)
    assert secret[1] not in manager.text
    assert "It works" in manager.words


def test_every_style_of_the_address_is_one_that_is_taken(world: World, manager: Browser):
    added(manager)
    urls = [url_on(manager, style) for style in ("native", "opsknight", "itoc360", "navi")]
    for url in urls:
        assert world.post(path_of(url), CREATED).status_code in (200, 202), url
    world.forget()


def test_the_live_check_waits_then_says_what_became_of_it(world: World, manager: Browser):
    path = added(manager)
    url = url_on(manager)
    assert "Waiting for the first webhook" in manager.words
    assert 'data-state="waiting"' in manager.text
    assert f'data-live="/live{path}"' in manager.text
    world.post(path_of(url), CREATED, sentry_hook_resource="issue")
    world.expect("ann")
    manager.get(path)
    assert 'data-state="ok"' in manager.text
    assert "and triggered an incident" in manager.words


def test_what_is_refused_is_shown_with_its_remedy(world: World, manager: Browser):
    path = added(manager)
    url = url_on(manager)
    manager.post(f"{path}/secrets", {"do": "add", "secret": SECRET})
    assert world.post(path_of(url), CREATED, **signed("another", CREATED)).status_code == 401
    manager.get(path)
    assert 'data-state="bad"' in manager.text
    assert "Signature wrong: is this the Client Secret of this integration?" in manager.words
    world.post(path_of(url), CREATED)
    manager.get(path)
    assert "The legacy plugin cannot sign" in manager.words
    assert world.post(path_of(url), CREATED, **signed(SECRET, CREATED)).status_code == 202
    world.expect("ann")


def test_two_secrets_stand_during_a_rotation_and_each_can_go(world: World, manager: Browser):
    path = added(manager)
    target = path_of(url_on(manager))
    for secret in ("old-secret-1", "new-secret-2"):
        manager.post(f"{path}/secrets", {"do": "add", "secret": secret})
    for secret in ("old-secret-1", "new-secret-2"):
        assert world.post(target, CREATED, **signed(secret, CREATED)).status_code == 202
    world.forget()
    first = re.search(r'name="which" value="(stored:[^"]+)"', manager.text)
    assert first
    manager.post(f"{path}/secrets", {"do": "remove", "which": first[1]})
    assert world.post(target, CREATED, **signed("old-secret-1", CREATED)).status_code == 401
    assert world.post(target, CREATED, **signed("new-secret-2", CREATED)).status_code == 202


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("", "Nothing was pasted"),
        ("sntrys_abc", "That is an auth token"),
        ("abc def", "There is a space in it"),
    ],
)
def test_what_is_no_client_secret_is_told_at_once(manager: Browser, pasted: str, said: str):
    path = added(manager)
    assert manager.post(f"{path}/secrets", {"do": "add", "secret": pasted}).status_code == 422
    assert said in manager.words


@pytest.mark.parametrize("kind", ["sentry", "plugin", "events"])
def test_a_sample_goes_through_the_intake(world: World, manager: Browser, kind: str):
    path = added(manager, kind=kind)
    manager.post(f"{path}/sample", {"what": "trigger", "kind": kind})
    assert "Sent, answered 202: triggered." in manager.words
    world.expect("ann")
    assert world.incident().title == "A sample from Tocsin"
    if kind != "events":
        assert world.incident().is_test
    if kind != "plugin":
        manager.post(f"{path}/sample", {"what": "resolve", "kind": kind})
        assert world.incident().status == "resolved"
        world.forget()


def test_a_sample_is_signed_where_a_secret_is_set(world: World, manager: Browser):
    path = added(manager)
    manager.post(f"{path}/secrets", {"do": "add", "secret": SECRET})
    manager.post(f"{path}/sample", {"what": "trigger", "kind": "sentry"})
    assert "Sent, answered 202: triggered." in manager.words
    world.expect("ann")


def test_a_sample_to_a_disabled_integration_says_that_it_is(manager: Browser):
    path = added(manager)
    manager.post(f"{path}/settings", {"name": "x", "service": "checkout"})
    manager.post(f"{path}/sample", {"what": "trigger", "kind": "sentry"})
    assert "Refused with 403" in manager.words


@pytest.mark.parametrize("has_secret", [False, True])
def test_the_curl_command_is_one_that_is_taken(world: World, manager: Browser, has_secret: bool):
    import html

    path = added(manager)
    if has_secret:
        manager.post(f"{path}/secrets", {"do": "add", "secret": SECRET})
    manager.get(path)
    shown = re.search(r'id="curl"[^>]*>(.*?)</code>', manager.text, re.DOTALL)
    assert shown
    command = html.unescape(shown[1]).replace("paste the Client Secret here", SECRET)
    assert SECRET not in shown[1]
    script = f"curl() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    words = ran.stdout.decode().split("\0")
    rows = (words[at + 1].partition(": ") for at, word in enumerate(words) if word == "-H")
    headers = {name.lower().replace("-", "_"): value for name, _, value in rows}
    url = next(word for word in words if word.startswith(BASE))
    body = words[words.index("--data-raw") + 1]
    assert ("sentry_hook_signature" in headers) is has_secret
    assert world.post(path_of(url), body, **headers).status_code == 202
    world.expect("ann")


def test_the_link_into_sentry_is_made_of_the_slug(manager: Browser):
    path = added(manager)
    manager.get(f"{path}?org=acme")
    assert 'href="https://acme.sentry.io/settings/developer-settings/new-internal/"' in manager.text
    manager.get(f"{path}?org=%22%3E%3Cscript%3E")
    assert "<script>" not in manager.text.replace("<script type=", "").replace("<script src=", "")
    settings = {"name": "own", "service": "checkout", "sentry_url": "https://s.example.com",
                "enabled": "on"}  # fmt: skip
    manager.post(f"{path}/settings", settings)
    manager.get(f"{path}?org=acme")
    assert 'href="https://s.example.com/settings/acme/developer-settings/new-internal/"' in (
        manager.text
    )


def test_the_legacy_plugin_is_said_to_be_unsigned(manager: Browser):
    added(manager, kind="plugin")
    assert "cannot sign what it sends" in manager.words


def test_an_integration_that_fell_silent_is_told_of(world: World, manager: Browser):
    for number in range(12):
        world.sentry("issue.created", number)
        world.now += timedelta(hours=2)
    world.forget()
    manager.get("/integrations")
    assert "about 12 deliveries a day well" in manager.words
    world.now += timedelta(days=4)
    session = signed_in(world, "manager")
    session.get("/integrations")
    assert "quiet usually every 2 h, quiet for 4 d 2 h" in session.words


def test_sources_lead_to_the_integrations(manager: Browser):
    manager.get("/sources")
    assert manager.response.url.path == "/integrations"


def test_an_integration_needs_a_service_that_is_there(manager: Browser):
    assert manager.post("/integrations/new", {"kind": "sentry"}).status_code == 422
    assert "Choose the service" in manager.words
    fields = {"kind": "sentry", "service": "nothing"}
    assert manager.post("/integrations/new", fields).status_code == 422
    assert "nothing" in manager.words


# -- tuning ---------------------------------------------------------------------------------------


def test_settings_are_changed_and_a_wrong_form_is_shown_again(world: World, manager: Browser):
    path = added(manager)
    wrong = {"name": "shop", "service": "checkout", "sentry_url": "sentry", "enabled": "on"}
    assert manager.post(f"{path}/settings", wrong).status_code == 422
    assert 'value="shop"' in manager.text
    right = {**wrong, "sentry_url": "https://acme.sentry.io", "strict": "on", "dialect": "navi",
             "routing_key": "a-token-of-before"}  # fmt: skip
    assert manager.post(f"{path}/settings", right).status_code == 200
    shown = world.api("GET", "/integrations/shop")
    assert (shown["dialect"], shown["replay_protection"]) == ("navi", "strict")
    assert world.post("/v1/events/sentry/a-token-of-before", CREATED).status_code == 202
    world.expect("ann")


def test_routes_are_edited_in_their_order(world: World, manager: Browser):
    path = added(manager)
    manager.post("/services/new", {"name": "billing"})
    rows = {
        "r0.project": "", "r0.environment": "staging", "r0.level": "", "r0.resource": "",
        "r0.action": "", "r0.title": "", "r0.tags": "", "r0.service": "", "r0.verb": "none",
        "r0.order": "2",
        "r1.project": "billing, bills", "r1.environment": "", "r1.level": "", "r1.resource": "",
        "r1.action": "", "r1.title": "", "r1.tags": "team=a|b", "r1.service": "billing",
        "r1.verb": "", "r1.order": "1",
        "r2.project": "gone", "r2.service": "", "r2.gone": "on",
    }  # fmt: skip
    assert manager.post(f"{path}/routes", rows).status_code == 200, manager.words
    shown = world.api("GET", f"/integrations/{path.rpartition('/')[2]}")
    assert shown["routes"] == [
        {"project": ["billing", "bills"], "tag.team": ["a", "b"], "service": "billing"},
        {"environment": ["staging"], "verb": "none"},
    ]
    manager.get(f"{path}/routes")
    assert 'value="billing, bills"' in manager.text
    assert 'value="team=a|b"' in manager.text
    assert manager.post(f"{path}/routes", {"r0.service": "nothing"}).status_code == 422


def test_overrides_are_saved_and_taken_away(world: World, manager: Browser):
    path = added(manager)
    name = path.rpartition("/")[2]
    chosen = {
        "action|issue.assigned": "acknowledge", "severity|error": "critical",
        "severity|warning": "", "new.severity": "odd", "new.severity.is": "info", "do": "save",
    }  # fmt: skip
    manager.post(f"{path}/mapping", chosen)
    overrides = world.api("GET", f"/integrations/{name}")["overrides"]
    assert overrides["action"] == {"issue.assigned": "acknowledge"}
    assert overrides["severity"] == {"error": "critical", "odd": "info"}
    manager.post(f"{path}/mapping", {"do": "save"})
    assert world.api("GET", f"/integrations/{name}")["overrides"].get("severity", {}) == {}


def test_trying_shows_what_would_become_of_a_delivery_and_saves_nothing(
    world: World, manager: Browser
):
    path = added(manager)
    world.post(path_of(url_on(manager)), CREATED, sentry_hook_resource="issue")
    world.forget()
    before = world.api("GET", "/integrations/" + path.rpartition("/")[2])
    delivery = world.deliveries()[-1].id
    chosen = {"action|issue.created": "note", "new.severity": "odd", "new.severity.is": "critical",
              "delivery": delivery, "do": "try"}  # fmt: skip
    assert manager.post(f"{path}/mapping", chosen).status_code == 200
    assert "Verb note your override for issue.created" in manager.words
    assert "Severity critical your override for odd" in manager.words
    assert "Dedup key sentry:issue:7" in manager.words
    assert world.api("GET", "/integrations/" + path.rpartition("/")[2]) == before
    assert len(world.deliveries()) == 1


def test_a_pasted_body_can_be_tried(manager: Browser):
    path = added(manager)
    manager.post(f"{path}/mapping", {"do": "try", "body": CREATED})
    assert "Verb trigger the dialect" in manager.words
    manager.post(f"{path}/mapping", {"do": "try", "body": "{"})
    assert "It is not read" in manager.words
    assert manager.post(f"{path}/mapping", {"do": "try"}).status_code == 422
    bad: dict[str, Any] = {"do": "try", "body": CREATED, "action|issue.created": "explode"}
    assert manager.post(f"{path}/mapping", bad).status_code == 422


def test_a_delivery_of_another_integration_is_not_tried(world: World, manager: Browser):
    world.sentry("issue.created")
    world.forget()
    path = added(manager)
    fields = {"do": "try", "delivery": world.deliveries()[0].id}
    assert manager.post(f"{path}/mapping", fields).status_code == 422


def test_an_integration_is_deleted(world: World, manager: Browser):
    path = added(manager)
    target = path_of(url_on(manager))
    manager.post(f"{path}/remove")
    assert "is deleted" in manager.words
    assert world.post(target, CREATED).status_code == 401


# -- who may not ----------------------------------------------------------------------------------


def test_who_may_not_configure_sees_neither_address_nor_secret(world: World):
    viewer = signed_in(world, "viewer")
    viewer.get("/integrations/sentry")
    assert KEY not in viewer.text
    assert "somebody with the role manager" in viewer.words
    for tab in ("mapping", "routes", "settings"):
        assert viewer.get(f"/integrations/sentry/{tab}").status_code == 200
        assert KEY not in viewer.text


@pytest.mark.parametrize(
    "path", ["secrets", "sample", "settings", "routes", "remove", "mapping", "../new"]
)
def test_who_may_not_configure_is_refused(world: World, path: str):
    viewer = signed_in(world, "viewer")
    viewer.get("/services")
    target = "/integrations/new" if path == "../new" else f"/integrations/sentry/{path}"
    assert viewer.post(target, {"do": "save", "name": "x"}).status_code == 403


def test_hostile_words_are_text(world: World, manager: Browser):
    nasty = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    path = added(manager, name=nasty)
    body = CREATED.replace('"T"', '"<script>alert(1)</script>\\u202e🦊' + "x" * 10_000 + '"')
    world.post(path_of(url_on(manager)), body.replace("odd", "<script>alert(1)</script>"))
    world.forget()
    delivery = world.deliveries()[-1].id
    fields = {"do": "try", "delivery": delivery}
    for page in (path, f"{path}/mapping", f"{path}/routes", f"{path}/settings", "/integrations",
                 "/deliveries", f"/deliveries/{delivery}"):  # fmt: skip
        manager.get(page)
        assert "<script>alert" not in manager.text, page
        assert "<img" not in manager.text, page
    manager.post(f"{path}/mapping", fields)
    assert "<script>alert" not in manager.text
