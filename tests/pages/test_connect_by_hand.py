"""How to connect Sentry, the steps by hand: each is done in the fake as it is said for Sentry.

What a person does in Sentry's forms, the fake takes at the addresses those forms send to.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.browsing import Browser, signed_in
from tests.fakes import FakeSentry
from tests.outside import Tocsin, until
from tests.world import BASE, ONE_STEP, World

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "connect-sentry.md"
WHEN_NEW = [{"id": "sentry.rules.conditions.first_seen_event.FirstSeenEventCondition"}]
VIA_INTEGRATION = "sentry.rules.actions.notify_event_service.NotifyEventServiceAction"
VIA_LEGACY = "sentry.rules.actions.notify_event.NotifyEventAction"


def section(title: str) -> str:
    """Return what stands under a heading of the page, without what is below the next."""
    text = PAGE.read_text("utf-8")
    found = re.search(rf"(?ms)^##+ {re.escape(title)}$(.*?)(?=^##|\Z)", text)
    assert found, title
    return " ".join(found[1].split())


@pytest.fixture
def manager(world: World) -> Browser:
    browser = signed_in(world, "manager")
    browser.get("/services")
    return browser


@pytest.fixture
def held(world: World, sentry: FakeSentry) -> FakeSentry:
    """Give a Sentry that lives at the world's time, and whose webhooks are carried by hand."""
    sentry.do("webhooks", sending=False)
    sentry.stop_clock(world.now)
    return sentry


def carry(world: World, sentry: FakeSentry) -> list[int]:
    """Carry each webhook from Sentry to where it is sent; return the answers."""
    answers = []
    for hook in sentry.do("take")["webhooks"]:
        headers = {name.replace("-", "_"): value for name, value in hook["headers"].items()}
        body = base64.b64decode(hook["body_base64"])
        answers.append(world.post(hook["url"].removeprefix(BASE), body, **headers).status_code)
    return answers


def added(browser: Browser, kind: str) -> str:
    """Add an integration as *Add integration* does; return its path."""
    browser.post("/integrations/new", {"service": "checkout", "kind": kind})
    return str(browser.response.url.path)


def shown(browser: Browser, mark: str) -> str:
    """Return what a page gives to copy."""
    found = re.search(rf'id="{mark}"[^>]*>([^<]+)<', browser.text)
    assert found, browser.words
    return found[1]


def save_form(sentry: FakeSentry, url: str, *, alerts: bool = True) -> dict[str, Any]:
    """Save Sentry's form of a new internal integration as the page says to fill it in."""
    status, made = sentry.ask(
        "POST",
        "/api/0/sentry-apps/",
        {
            "organization": "acme", "name": "Tocsin", "isInternal": True, "verifyInstall": False,
            "webhookUrl": url, "isAlertable": alerts, "scopes": ["event:read"],
            "events": ["issue", "comment"],
        },
        sentry.token(),
    )  # fmt: skip
    assert status == 201, made
    return dict(made)


def save_rule(sentry: FakeSentry, action: dict[str, Any]) -> tuple[int, Any]:
    """Save an alert rule of the project with this action under THEN."""
    rule = {"name": "Page", "conditions": WHEN_NEW, "actions": [action], "actionMatch": "any",
            "frequency": 5}  # fmt: skip
    return sentry.ask("POST", "/api/0/projects/acme/backend/rules/", rule, sentry.token())


def connected(world: World, manager: Browser, sentry: FakeSentry) -> tuple[str, dict[str, Any]]:
    """Do steps 1 to 5; return the integration's path, and Sentry's side of it."""
    path = added(manager, "sentry")
    app = save_form(sentry, shown(manager, "url-native"))
    secret = next(one["clientSecret"] for one in sentry.state()["apps"])
    manager.post(f"{path}/secrets", {"do": "add", "secret": secret})
    assert manager.response.status_code == 200, manager.words
    return path, app


def test_the_page_of_tocsin_and_the_document_name_the_same_places(world: World, manager: Browser):
    added(manager, "sentry")
    steps = section("An internal integration by hand (signed)")
    for place in (
        "Settings → Developer Settings → Custom Integrations → Create New Integration",
        "Webhook URL", "Alert Rule Action", "Permissions", "Issue & Event", "Webhooks", "issue",
        "comment", "Save Changes", "Client Secret", "Send a notification via Tocsin",
        "Send Test Notification",
    ):  # fmt: skip
        assert place in steps.replace("*", "")
        assert place in manager.words


def test_six_steps_by_hand_and_it_pages(world: World, manager: Browser, held: FakeSentry):
    path, app = connected(world, manager, held)
    status, rule = save_rule(held, {"id": VIA_INTEGRATION, "service": app["slug"]})
    assert status == 201, rule
    held.do("test_rule", rule=rule["id"])
    assert carry(world, held) == [202, 202]
    world.expect("ann")
    manager.get(path)
    assert "It works" in manager.words
    assert world.incident().is_test
    world.forward(hours=1, minutes=1)
    assert world.incident().status == "resolved"
    world.forget()
    held.stop_clock(world.now)
    held.issue(title="KeyError: order", project="backend")
    assert set(carry(world, held)) == {202}
    assert "KeyError: order" in world.expect("ann").title


def test_without_the_client_secret_what_is_signed_by_it_is_refused(
    world: World, manager: Browser, held: FakeSentry
):
    """Step 5: from then on a request without a right signature is refused with 401."""
    path, app = connected(world, manager, held)
    manager.get(path)
    target = shown(manager, "url-native").removeprefix(BASE)
    assert world.post(target, "{}").status_code == 401
    save_rule(held, {"id": VIA_INTEGRATION, "service": app["slug"]})
    held.issue()
    assert set(carry(world, held)) == {202}
    world.forget()


def test_an_integration_that_alert_rules_cannot_choose_has_its_switch_off(held: FakeSentry):
    """Step 3, and the table's last but two."""
    app = save_form(held, f"{BASE}/in/any", alerts=False)
    action = {"id": VIA_INTEGRATION, "service": app["slug"]}
    assert save_rule(held, action)[0] == 400
    changed = {"isAlertable": True}
    assert held.ask("PUT", f"/api/0/sentry-apps/{app['slug']}/", changed, held.token())[0] == 200
    assert save_rule(held, action)[0] == 201


def test_a_rotated_secret_is_set_beside_the_old_one(
    world: World, manager: Browser, held: FakeSentry
):
    path, app = connected(world, manager, held)
    status, told = held.ask(
        "POST", f"/api/0/sentry-apps/{app['slug']}/rotate-secret/", {}, held.token()
    )
    assert status == 200
    held.issue(title="in between", project="backend")
    assert set(carry(world, held)) == {401}
    manager.post(f"{path}/secrets", {"do": "add", "secret": told["clientSecret"]})
    held.issue(title="afterwards", project="backend")
    assert set(carry(world, held)) == {202}
    assert "afterwards" in world.expect("ann").title
    refused = next(one for one in world.deliveries() if one.status == "rejected")
    manager.get(f"/deliveries/{refused.id}")
    (run,) = re.findall(r'name="run" value="([^"]+)"', manager.text)
    manager.post(f"/deliveries/{refused.id}/replay", {"run": run})
    world.settle()
    assert "in between" in world.expect("ann").title
    for which in re.findall(r'name="which" value="(stored:[^"]+)"', manager.get(path).text)[:1]:
        manager.post(f"{path}/secrets", {"do": "remove", "which": which})
    held.issue(title="at last", project="backend")
    assert set(carry(world, held)) == {202}
    assert "at last" in world.expect("ann").title


def test_the_legacy_plugin_fires_for_rules_and_never_says_that_anything_is_resolved(
    world: World, manager: Browser, held: FakeSentry
):
    said = section("The legacy WebHooks plugin (unsigned)").replace("*", "")
    added(manager, "plugin")
    for place in ("Settings → Legacy Integrations → WebHooks", "Callback URLs",
                  "Send a notification via legacy integrations"):  # fmt: skip
        assert place in said
        assert place in manager.words
    held.do("plugin", project="backend", urls=[shown(manager, "url-native")])
    assert save_rule(held, {"id": VIA_LEGACY})[0] == 201
    made = held.issue(title="OSError: disk", project="backend")
    assert carry(world, held) == [202]
    assert "OSError: disk" in world.expect("ann").title
    held.act(made["id"], "resolve", by="ann")
    assert carry(world, held) == []
    assert world.incident().status == "triggered"


def test_the_legacy_plugin_at_a_signed_integration_is_refused_and_told_so(
    world: World, manager: Browser, held: FakeSentry
):
    path, _ = connected(world, manager, held)
    manager.get(path)
    held.do("plugin", project="backend", urls=[shown(manager, "url-native")])
    save_rule(held, {"id": VIA_LEGACY})
    held.issue(project="backend")
    assert sorted(carry(world, held)) == [202, 401]
    world.forget()
    (refused,) = [one for one in world.deliveries() if one.status == "rejected"]
    assert "there is no signature" in str(refused.reason)


def test_the_wrong_secret_nothing_known_and_what_wakes_nobody_are_told_as_the_table_says(
    world: World, manager: Browser, held: FakeSentry
):
    table = section("If nothing arrives")
    path = added(manager, "sentry")
    save_form(held, shown(manager, "url-native"))
    target = shown(manager, "url-native").removeprefix(BASE)
    world.post(target, '{"odd": true}')
    manager.post(f"{path}/secrets", {"do": "add", "secret": "of-another-integration"})
    held.issue(project="backend")
    assert set(carry(world, held)) == {401}
    reasons = {one.status: str(one.reason) for one in world.deliveries()}
    assert "the signature is wrong" in reasons["rejected"]
    assert "unrecognised" in reasons
    for told in ("the signature is wrong", "there is no signature", "unrecognised", "405"):
        assert told in table
    assert world.raw("GET", target).status_code == 405


def test_routes_of_the_document_say_which_service_and_who_sleeps(
    world: World, held: FakeSentry, manager: Browser
):
    """One integration for the whole organisation."""
    text = PAGE.read_text("utf-8").partition("### One integration for the whole organisation")[2]
    (block,) = re.findall(r"```yaml\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    routes, both = yaml.safe_load(block)["routes"], ("checkout", "billing")
    world.configure(
        ONE_STEP,
        yaml.safe_dump(
            {
                "users": [{"email": "ann@example.com", "name": "Ann"}],
                "services": [{"name": name, "escalation_policy": "default"} for name in both],
                "integrations": [
                    {"name": "whole", "service": "checkout", "routing_key": "whole-organisation",
                     "routes": routes}
                ],
            }
        ),
    )  # fmt: skip
    held.do("organization", slug="shop", projects=["billing", "web"],
            members=[{"email": "ann@example.com", "role": "owner"}])  # fmt: skip
    app = {"organization": "shop", "name": "Tocsin", "isInternal": True, "isAlertable": True,
           "webhookUrl": f"{BASE}/in/whole-organisation", "scopes": ["event:read"]}  # fmt: skip
    token = held.token(organization="shop")
    status, made = held.ask("POST", "/api/0/sentry-apps/", app, token)
    assert status == 201, made
    for project in ("billing", "web"):
        rule = {"name": "Page", "conditions": WHEN_NEW, "actionMatch": "any", "frequency": 5,
                "actions": [{"id": VIA_INTEGRATION, "service": made["slug"]}]}  # fmt: skip
        held.ask("POST", f"/api/0/projects/shop/{project}/rules/", rule, token)
    for project, environment in (
        ("billing", "production"), ("web", "production"), ("web", "staging")
    ):  # fmt: skip
        held.issue(organization="shop", project=project, title=f"{project} {environment}",
                   tags={"environment": environment})  # fmt: skip
    assert set(carry(world, held)) == {202}
    world.forget()
    there = {one.title: one.service and one.service.name for one in world.incidents()}
    assert there == {"billing production": "billing", "web production": "checkout"}


def test_without_a_browser(tmp_path: Path, sqlite_url: str, sentry: FakeSentry):
    """The file, the address it gives, a sample, and Sentry's own test; in this order."""
    text = PAGE.read_text("utf-8").partition("### Without a browser")[2].partition("\n##")[0]
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    for command in (
        "tocsin apply",
        "tocsin urls sentry",
        "tocsin send sentry",
        "tocsin deliveries",
    ):
        assert f"`{command}`" in text
    tocsin = Tocsin(tmp_path, sqlite_url)
    services = "services: [{name: checkout}]\n"
    tocsin.apply(services + block.replace('["the Client Secret"]', "[]"))
    tocsin.start()
    try:
        said = tocsin.run("urls", "sentry").stdout
        url = next(word for word in said.split() if "/in/" in word)
        app = save_form(sentry, url)
        secret = next(one["clientSecret"] for one in sentry.state()["apps"])
        tocsin.apply(services + block.replace("the Client Secret", secret))
        sent = tocsin.run("send", "sentry")
        assert sent.returncode == 0, (sent.stdout, sent.stderr)
        status, rule = save_rule(sentry, {"id": VIA_INTEGRATION, "service": app["slug"]})
        assert status == 201, rule
        sentry.do("test_rule", rule=rule["id"])
        sentry.do("settle")
        assert [hook["answers"] for hook in sentry.webhooks()] == [[202], [202]]
        until(lambda: "event_alert" in tocsin.run("deliveries").stdout, "the test in the log")
    finally:
        tocsin.end()
