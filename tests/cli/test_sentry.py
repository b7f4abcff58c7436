"""``tocsin sentry``: by one command, against a Sentry and a server that really run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ALL_SCOPES, FakeSentry
from tests.outside import Telephones, Tocsin, telephones, until
from tocsin.work.connectplan import APP_ACTION

CONFIGURATION = """
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {{name: hook, channel: webhook, address: "{phones}/ann"}}
escalation_policies:
  - name: default
    steps:
      - {{targets: [{{user: ann@example.com}}], wait: 5m}}
services:
  - {{name: checkout, escalation_policy: default}}
"""


@pytest.fixture
def phones() -> Iterator[Telephones]:
    with telephones() as made:
        yield made


@pytest.fixture
def tocsin(tmp_path: Path, sqlite_url: str, phones: Telephones) -> Iterator[Tocsin]:
    made = Tocsin(tmp_path, sqlite_url)
    made.apply(CONFIGURATION.format(phones=phones.base))
    yield made
    made.end()


def arguments(sentry: FakeSentry, *more: str) -> list[str]:
    return ["sentry", "connect", "--org", "acme", "--host", sentry.url, *more]


def rule_by_hand(sentry: FakeSentry) -> str:
    """Make an alert rule in Sentry that tells Tocsin, as people do; return its id."""
    action = {
        "id": APP_ACTION, "sentryAppInstallationUuid": sentry.state()["installations"][0]["uuid"],
        "hasSchemaFormConfig": True, "settings": [{"name": "service", "value": "checkout"}],
    }  # fmt: skip
    said = {
        "name": "Since years", "actionMatch": "any", "frequency": 30, "conditions": [],
        "actions": [action],
    }  # fmt: skip
    path = "/api/0/projects/acme/backend/rules/"
    status, told = sentry.ask("POST", path, said, sentry.token())
    assert status == 201, told
    return str(told["id"])


def connect(tocsin: Tocsin, sentry: FakeSentry, *more: str, token: str = "") -> Any:
    tocsin.environment["TOCSIN_SENTRY_TOKEN"] = token or sentry.token()
    return tocsin.run(*arguments(sentry, *more))


def test_one_command_and_the_telephone_rings(
    tocsin: Tocsin, sentry: FakeSentry, phones: Telephones
):
    """Connect, and the webhook that Sentry really sends is waited for; then again: nothing."""
    tocsin.start()
    done = connect(tocsin, sentry, "--project", "backend")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "✓ the webhook: " in done.stdout
    until(lambda: phones.pages("/ann"), "a page")
    assert "example Python exception" in phones.pages("/ann")[0]["data"]["incident"]["title"]
    again = connect(tocsin, sentry, "--project", "backend", "--json")
    told = json.loads(again.stdout)
    assert again.returncode == 0
    assert all(step["done"] for step in told["steps"])
    state = sentry.state()
    assert (len(state["apps"]), len(state["rules"])) == (1, 1)
    assert len(state["issues"]) == 1
    status = json.loads(tocsin.run("sentry", "status", "--json").stdout)
    assert status[0]["good"], status
    assert status[0]["acts_as"] == "user"


def test_a_webhook_that_never_comes_is_told_with_what_to_do(tocsin: Tocsin, sentry: FakeSentry):
    tocsin.start()
    sentry.do("webhooks", sending=False)
    done = connect(tocsin, sentry, "--project", "backend", "--wait", "0")
    assert done.returncode == 1
    assert "no webhook came within 0 s" in done.stderr
    assert "must answer 405" in done.stderr
    assert "SENTRY_DISALLOWED_IPS" in done.stderr
    assert len(sentry.state()["rules"]) == 1


def test_a_tocsin_that_sentry_does_not_reach_is_told_with_what_to_do(
    tocsin: Tocsin, sentry: FakeSentry
):
    """Nobody listens: Sentry cannot ask whether the rule is right."""
    done = connect(tocsin, sentry, "--project", "backend")
    assert done.returncode == 1
    assert "Sentry must reach http://127.0.0.1" in done.stderr
    assert sentry.state()["rules"] == []


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tocsin: Tocsin, sentry: FakeSentry):
    done = connect(tocsin, sentry, "--project", "backend", "--dry-run")
    assert done.returncode == 0
    assert "+ create the internal integration Tocsin in Sentry" in done.stdout
    assert "+ create the alert rule “Page by Tocsin” in backend" in done.stdout
    assert "6 steps would be done" in done.stdout
    assert sentry.requests("POST", "PUT", "DELETE") == []
    assert json.loads(tocsin.run("sentry", "status", "--json").stdout) == []


def test_a_scope_that_is_missing_is_named_and_the_steps_by_hand_are_printed(
    tocsin: Tocsin, sentry: FakeSentry
):
    token = sentry.token(*(one for one in ALL_SCOPES if not one.startswith("alerts")))
    done = connect(tocsin, sentry, "--project", "backend", token=token)
    assert done.returncode == 1
    assert "the token has no scope alerts:write, to create alert rules" in done.stderr
    assert "Nothing was done" in done.stderr
    assert f"{sentry.url}/settings/acme/developer-settings/" in done.stderr
    assert token not in done.stderr + done.stdout
    assert sentry.state()["apps"] == []


def test_the_token_is_read_from_a_file_and_is_shown_nowhere(
    tocsin: Tocsin, sentry: FakeSentry, tmp_path: Path
):
    token = sentry.token()
    path = tmp_path / "token"
    path.write_text(f"{token}\n", "utf-8")
    done = tocsin.run(*arguments(sentry, "--token-file", str(path), "--no-test"))
    assert done.returncode == 0, done.stderr
    assert "asked with the token of ann@example.com" in done.stdout
    shown = done.stdout + done.stderr + tocsin.run("sentry", "status").stdout
    assert token not in shown
    tocsin.environment["TOCSIN_SENTRY_TOKEN"] = token
    assert token not in tocsin.run("config", "show").stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "TOCSIN_SENTRY_TOKEN"),
        (("--token", "a", "--token-file", "b"), "only one of"),
        (("--token", "with space"), "that is no token"),
        (("--token", "t", "--host", "ftp://x"), "is no address"),
    ],
)
def test_wrong_usage_is_said_and_ends_with_2(
    tocsin: Tocsin, sentry: FakeSentry, options: tuple[str, ...], said: str
):
    done = tocsin.run(*arguments(sentry, *options))
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--token-file", "--integration-token-file"])
@pytest.mark.parametrize("held", [b"sntryu_canary\nsntryu_canary\n", b"\xff\xfecanary"])
def test_a_file_that_holds_no_token_is_refused_and_not_quoted(
    tocsin: Tocsin, sentry: FakeSentry, tmp_path: Path, option: str, held: bytes
):
    path = tmp_path / "held"
    path.write_bytes(held)
    if option != "--token-file":
        tocsin.environment["TOCSIN_SENTRY_TOKEN"] = sentry.token()
    done = tocsin.run(*arguments(sentry, option, str(path)))
    assert done.returncode == 2
    assert "no token" in " ".join(done.stderr.replace("│", " ").split())
    assert "canary" not in done.stderr + done.stdout
    assert sentry.requests() == []


def test_a_token_that_opens_nothing_is_one_sentence(tocsin: Tocsin, sentry: FakeSentry):
    done = connect(tocsin, sentry, token="sntryu_wrong")
    assert done.returncode == 1
    assert done.stderr.startswith("tocsin: the token is not valid")
    assert "Traceback" not in done.stderr


def test_a_private_sentry_that_was_not_opened_is_refused_with_the_remedy(
    tocsin: Tocsin, sentry: FakeSentry
):
    tocsin.environment["TOCSIN_OUTBOUND_ALLOW"] = ""
    done = connect(tocsin, sentry)
    assert done.returncode == 1
    assert "TOCSIN_OUTBOUND_ALLOW" in done.stderr


def test_what_sentry_does_not_keep_is_said_once_with_what_to_do_by_hand(
    tocsin: Tocsin, sentry: FakeSentry
):
    sentry.do("faults", drops=["isAlertable", "schema"], path="sentry-apps/")
    done = connect(tocsin, sentry, "--no-test")
    assert done.returncode == 1
    assert "Sentry did not keep the alert rule action and components" in done.stderr
    assert f"open {sentry.url}/settings/acme/developer-settings/" in done.stderr
    assert "Alert Rule Action: on" in done.stderr
    assert len(sentry.requests("POST", "PUT")) == 1
    sentry.do("faults")
    assert connect(tocsin, sentry, "--no-test").returncode == 0


def test_without_a_project_there_is_no_rule_and_no_test(tocsin: Tocsin, sentry: FakeSentry):
    done = connect(tocsin, sentry)
    assert done.returncode == 0, done.stderr
    assert sentry.state()["rules"] == []
    assert sentry.state()["issues"] == {}


def test_a_sentry_too_old_for_the_test_says_how_by_hand(tocsin: Tocsin, sentry: FakeSentry):
    tocsin.start()
    sentry.do("faults", status=404, path="rule-actions")
    done = connect(tocsin, sentry, "--project", "backend")
    assert done.returncode == 1
    assert "press Send Test Notification" in done.stderr
    assert len(sentry.state()["rules"]) == 1


def test_disconnecting_takes_it_all_back(tocsin: Tocsin, sentry: FakeSentry):
    connect(tocsin, sentry, "--project", "backend", "--no-test")
    del tocsin.environment["TOCSIN_SENTRY_TOKEN"]
    plan = tocsin.run("sentry", "disconnect", "--dry-run")
    assert "delete the integration" in plan.stdout
    assert len(sentry.state()["apps"]) == 1
    done = tocsin.run("sentry", "disconnect")
    assert done.returncode == 0, done.stderr
    assert (sentry.state()["apps"], sentry.state()["rules"]) == ([], [])
    twice = tocsin.run("sentry", "disconnect")
    assert twice.returncode == 1
    assert "no integration sentry that is connected" in twice.stderr


def test_disconnecting_leaves_what_it_found_and_names_it(tocsin: Tocsin, sentry: FakeSentry):
    tocsin.start()
    connect(tocsin, sentry, "--no-test")
    rule = rule_by_hand(sentry)
    done = connect(tocsin, sentry, "--no-test", "--project", "backend")
    assert done.returncode == 0, done.stderr
    plan = tocsin.run("sentry", "disconnect", "--dry-run")
    assert "delete the alert rule" not in plan.stdout
    assert f"left for you to do by hand: The alert rule {rule} of backend" in plan.stderr
    told = json.loads(tocsin.run("sentry", "disconnect", "--json").stdout)
    assert [step["step"] for step in told["steps"]] == ["app", "token"]
    assert len(told["by_hand"]) == 1
    assert [one["id"] for one in sentry.state()["rules"]] == [rule]


def test_disconnecting_without_the_scope_says_how_by_hand_and_can_be_only_here(
    tocsin: Tocsin, sentry: FakeSentry
):
    token = sentry.token(*(one for one in ALL_SCOPES if one != "org:admin"))
    connect(tocsin, sentry, "--project", "backend", "--no-test", token=token)
    done = tocsin.run("sentry", "disconnect")
    assert done.returncode == 1
    assert "no scope org:admin" in done.stderr
    assert "delete the integration" in done.stderr
    assert len(sentry.state()["apps"]) == 1
    here = tocsin.run("sentry", "disconnect", "--only-here")
    assert here.returncode == 0
    assert "by hand" in here.stderr
    assert len(sentry.state()["apps"]) == 1
    assert json.loads(tocsin.run("sentry", "status", "--json").stdout) == []


def test_status_ends_with_1_when_anything_is_gone(tocsin: Tocsin, sentry: FakeSentry):
    connect(tocsin, sentry, "--no-test")
    sentry.do("revoke", token=tocsin.environment["TOCSIN_SENTRY_TOKEN"])
    done = tocsin.run("sentry", "status")
    assert done.returncode == 1
    assert "the token is not valid" in done.stdout


def test_what_is_done_in_sentry_is_switched_by_command(tocsin: Tocsin, sentry: FakeSentry):
    tocsin.start()
    connect(tocsin, sentry, "--no-test")
    shown = tocsin.run("sentry", "switch").stdout
    assert "acknowledge off" in shown
    assert "webhooks lost in the last 7 days: 0" in shown
    done = tocsin.run(
        "sentry", "switch", "--acknowledge", "both", "--resolve", "--no-link", "--json"
    )
    assert json.loads(done.stdout)["switches"] == {
        "acknowledge": "both", "resolve": True, "note": False, "snooze": False, "link": False,
    }  # fmt: skip
    wrong = tocsin.run("sentry", "switch", "--acknowledge", "loudly")
    assert wrong.returncode == 2
    assert "off" in wrong.stderr
