"""What people do to incidents on the command line, and what they ask before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import FILE
from tests.outside import Tocsin
from tocsin.boot import now, open_store
from tocsin.config import load
from tocsin.core.access import EVERYTHING, Caller
from tocsin.core.model import Actor, Role, Severity
from tocsin.work.respond import Desk


@pytest.fixture
def tocsin(tmp_path: Path, sqlite_url: str) -> Tocsin:
    """Give a Tocsin that is not running, with two open incidents."""
    made = Tocsin(tmp_path, sqlite_url)
    made.apply(FILE)
    store = open_store(load(made.environment))
    desk, service = Desk(store.database, store.plans), next(iter(store.plans.refresh().services))
    caller = Caller(by=Actor(name="test"), role=Role.OWNER, scope=EVERYTHING)
    for title in ("one", "two"):
        desk.open(service, title, Severity.ERROR, "", caller, now())
    store.close()
    return made


def test_each_action_prints_the_incident_as_it_is_then(tocsin: Tocsin):
    said = {
        command: tocsin.run(*command.split()).stdout.strip()
        for command in (
            "snooze 1 --for 2h",
            "priority 1 high",
            "note 1 seen",
            "reassign 1 --policy default",
            "escalate 1",
            "add-responder 1 ann@example.com",
            "merge 2 1",
        )
    }
    assert said == {
        "snooze 1 --for 2h": "#1 is snoozed: one",
        "priority 1 high": "#1 is snoozed: one",
        "note 1 seen": "#1 is snoozed: one",
        "reassign 1 --policy default": "#1 is triggered: one",
        "escalate 1": "#1 is triggered: one",
        "add-responder 1 ann@example.com": "#1 is triggered: one",
        "merge 2 1": "#2 is resolved: two",
    }
    shown = json.loads(tocsin.run("incidents", "1", "--json").stdout)
    kinds = [entry["kind"] for entry in shown["timeline"]]
    for kind in ("snoozed", "raised", "note", "reassigned", "merged"):
        assert kind in kinds


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("snooze 1 --for soon", 2, "write 30s, 5m, 2h or 7d"),
        ("snooze 9 --for 1h", 1, "there is no incident 9"),
        ("priority 1 urgent", 2, "'urgent' is not one of critical, high, medium, low, none"),
        ("reassign 1", 2, "exactly one of --user and --policy"),
        ("reassign 1 --user nobody@example.com", 2, "there is no user 'nobody@example.com'"),
        ("escalate 1 --step 3", 1, "step 3 is no longer the current one"),
        ("merge 1 1", 1, "cannot be merged into itself"),
        ("unmerge 1 nothing", 1, "has no alert nothing"),
        ("explain nothing", 1, "there is no service nothing; there are: checkout"),
        ("explain checkout --at yesterday", 2, "write 2026-01-05T09:00:00Z"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tocsin: Tocsin, command: str, code: int, says: str):
    done = tocsin.run(*command.split())
    assert done.returncode == code
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_explain_says_who_is_paged_and_doctor_what_is_wrong(tocsin: Tocsin):
    told = tocsin.run("explain", "checkout")
    assert told.returncode == 0, told.stderr
    assert "At once, step 1 of default pages Ann: hook at once, mail after 5m." in told.stdout
    found = tocsin.run("doctor")
    assert found.returncode == 1
    assert "!!  contact methods" in found.stdout
    assert "→ set TOCSIN_SMTP_URL" in found.stdout
    findings = json.loads(tocsin.run("doctor", "--json").stdout)
    assert all(set(finding) == {"check", "text", "remedy"} for finding in findings)
