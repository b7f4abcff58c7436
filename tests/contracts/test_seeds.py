"""The pages of OpsKnight, Navi.sh and ITOC360: what they print works, host and ids replaced."""

from __future__ import annotations

import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.world import ONE_STEP, PEOPLE, World

KEY = "routing-key-of-the-world"
SERVICES = """
services:
  - {{name: checkout, escalation_policy: default}}
integrations:
  - {{name: sentry, service: checkout, routing_key: {key}{signing}}}
"""


@pytest.fixture
def world(blank: World) -> World:
    blank.configure(PEOPLE, ONE_STEP, SERVICES.format(key=KEY, signing=""))
    return blank


def sign(world: World) -> None:
    world.configure(PEOPLE, ONE_STEP, SERVICES.format(key=KEY, signing=', signing_secrets: ["s"]'))


def post(world: World, path: str, body: str, **headers: str) -> Any:
    return world.post(path, body, prefer="wait=5", **headers)


# The pages are not copied: the same requests, written down by us. Where the pages are at hand, the
# tests at the end take the examples out of them literally.

OPSKNIGHT = "/api/integrations/sentry?integrationId=" + KEY
NAVI = "/v1/events/sentry/" + KEY
ITOC360 = "/functions/v1/events?token=" + KEY


def opsknight_issue(action: str = "created", status: str = "unresolved", **changes: Any) -> str:
    issue = {
        "id": "test-001", "shortId": "TEST-001", "title": "Test Error from Sentry",
        "culprit": "test/file.js", "level": "error", "status": status,
        "permalink": "https://sentry.example.com/test", **changes,
    }  # fmt: skip
    project = {"name": "Test Project", "slug": "test-project"}
    return json.dumps({"action": action, "issue": issue, "project": project})


def test_opsknights_flat_issue(world: World):
    answer = post(world, OPSKNIGHT, opsknight_issue())
    assert (answer.status_code, answer.json()["result"]["action"]) == (202, "triggered")
    world.expect("ann")
    incident = world.incident()
    assert incident.dedup_key == "sentry-test-001"
    assert incident.title == "Test Error from Sentry"
    assert incident.source == "Sentry - Test Project"
    assert incident.link == "https://sentry.example.com/test"


@pytest.mark.parametrize(
    ("action", "status", "becomes"),
    [
        ("created", "unresolved", "triggered"),
        ("resolved", "unresolved", "resolved"),
        ("ignored", "unresolved", "acknowledged"),
        ("created", "resolved", "resolved"),
        ("created", "ignored", "acknowledged"),
        ("anything", "ignored", "acknowledged"),
    ],
)
def test_opsknights_event_mapping(world: World, action: str, status: str, becomes: str):
    """A status in the body decides, whatever the action."""
    post(world, OPSKNIGHT, opsknight_issue())
    world.forget()
    post(world, OPSKNIGHT, opsknight_issue(action, status))
    assert world.incident().status == becomes
    world.forget()


@pytest.mark.parametrize(
    ("level", "severity"),
    [("fatal", "critical"), ("error", "error"), ("warning", "warning"), ("info", "info"),
     ("debug", "info")],
)  # fmt: skip
def test_opsknights_severity_mapping(world: World, level: str, severity: str):
    post(world, OPSKNIGHT, opsknight_issue(level=level))
    assert world.incident().severity == severity
    world.forget()


def test_opsknights_legacy_event(world: World):
    event = {
        "event_id": "abc123def456", "message": "Failed to process payment", "level": "error",
        "timestamp": 1705312800, "platform": "javascript", "tags": {"environment": "production"},
    }  # fmt: skip
    body = json.dumps({"event": event, "project": {"name": "My Project"}})
    assert post(world, OPSKNIGHT, body).json()["result"]["action"] == "triggered"
    world.forget()
    incident = world.incident()
    assert (incident.dedup_key, incident.title) == (
        "sentry-abc123def456", "Failed to process payment",
    )  # fmt: skip


def test_navis_metric_alert_with_a_status_in_words(world: World):
    alert = {"id": "987", "status": "critical", "title": "High Error Rate"}
    body = {"action": "critical", "data": {"description_text": "8.3%", "metric_alert": alert}}
    assert post(world, NAVI, json.dumps(body)).status_code == 202
    world.expect("ann")
    assert (world.incident().severity, world.incident().title) == ("critical", "High Error Rate")
    body["data"]["metric_alert"]["status"] = "resolved"  # type: ignore[index]
    post(world, NAVI, json.dumps(body))
    assert world.incident().status == "resolved"
    world.forget()


@pytest.mark.parametrize(
    ("level", "severity"),
    [("fatal", "critical"), ("critical", "critical"), ("error", "error"), ("warning", "warning"),
     ("info", "info"), ("debug", "info"), ("other", "info")],
)  # fmt: skip
def test_navis_severity_mapping(world: World, level: str, severity: str):
    body = {"action": "created", "data": {"issue": {"id": "1234567", "level": level}}}
    post(world, NAVI, json.dumps(body))
    assert world.incident().severity == severity
    world.forget()


@pytest.mark.parametrize("body", ["", "{", "[1]"])
def test_navis_answer_to_malformed_json(world: World, body: str):
    assert post(world, NAVI, body).status_code == 400


def test_navis_answer_to_a_wrong_content_type_and_an_unknown_token(world: World):
    good = '{"action":"created","data":{"issue":{"id":"1"}}}'
    assert post(world, NAVI, good, content_type="text/plain").status_code == 400
    assert post(world, NAVI + "x", good).status_code == 401


@pytest.mark.parametrize(
    ("action", "type_"),
    [("created", "ALERT"), ("assigned", "ALERT"), ("unresolved", "ALERT"), ("archived", "ALERT"),
     ("ignored", "ALERT"), ("resolved", "RESOLVE")],
)  # fmt: skip
def test_itoc360s_event_mapping(world: World, action: str, type_: str):
    body = {"action": action, "data": {"issue": {"id": "5", "title": "T"}}}
    answer = post(world, ITOC360, json.dumps(body))
    assert answer.status_code == 200
    assert answer.json()["type"] == type_
    assert answer.json()["fingerprint"] == "sentry:issue:5"
    assert len(world.incidents()) == (type_ == "ALERT")
    world.forget()


@pytest.mark.parametrize("priority", ["low", "medium", "high", "critical"])
def test_itoc360s_priority_mapping(world: World, priority: str):
    body = {"action": "created", "data": {"issue": {"id": "5", "priority": priority}}}
    post(world, ITOC360, json.dumps(body))
    assert world.incident().priority == priority
    world.forget()


def test_itoc360s_cycles(world: World):
    """Triggered, resolved and triggered again: each cycle is a new incident, none is doubled."""
    for action in ("created", "created", "resolved", "unresolved", "unresolved"):
        post(world, ITOC360, json.dumps({"action": action, "data": {"issue": {"id": "5"}}}))
    assert [one.status for one in world.incidents()] == ["resolved", "triggered"]
    world.forget()


@pytest.mark.parametrize("path", [OPSKNIGHT, NAVI, ITOC360, f"/in/{KEY}"])
def test_once_there_is_a_secret_a_signature_is_needed(world: World, path: str):
    sign(world)
    body = opsknight_issue()
    assert post(world, path, body).status_code == 401
    signature = hmac.digest(b"s", body.encode(), "sha256").hex()
    answer = post(world, path, body, sentry_hook_signature=signature)
    assert answer.status_code in (200, 202)
    world.forget()


# -- the examples as they are printed


def seed(shared: Path, name: str) -> str:
    return (shared / "seeds" / f"{name}.md").read_text("utf-8")


def test_the_curl_example_of_opsknights_page_literally(world: World, shared: Path):
    text = seed(shared, "opsknight")
    command = re.search(r"curl -X POST \"(.*?)\"(.*?)-d '(.*?)'\n", text, re.DOTALL)
    assert command is not None
    url, headers, body = command[1], command[2], command[3]
    path = url.replace("https://YOUR_OPSKNIGHT_URL", "").replace("YOUR_ID", KEY)
    assert "Content-Type: application/json" in headers
    answer = world.post(path, body)
    assert answer.status_code == 202
    world.expect("ann")
    assert world.incident().dedup_key == "sentry-test-001"
    sign(world)
    assert world.post(path, body).status_code == 401


def test_the_json_examples_of_opsknights_page_literally(world: World, shared: Path):
    bodies = re.findall(r"```json\n(.*?)```", seed(shared, "opsknight"), re.DOTALL)
    assert len(bodies) == 2
    for body in bodies:
        assert world.post(OPSKNIGHT, body).status_code == 202
    assert [one.dedup_key for one in world.incidents()] == ["sentry-12345", "sentry-abc123def456"]
    assert world.incident(2).title == "Failed to process payment"
    world.forget()


def test_the_examples_of_navis_page_literally(world: World, shared: Path):
    bodies = [balanced(part) for part in seed(shared, "navi").split("\njson\n")[1:]]
    assert len(bodies) == 2
    for body in bodies:
        assert world.post(NAVI, body).status_code == 202
    first, second = world.incidents()
    assert (first.dedup_key, first.severity) == ("sentry:issue:1234567", "error")
    assert first.link == "https://sentry.io/organizations/acme/issues/1234567/"
    assert (second.dedup_key, second.severity) == ("sentry:metric:987", "critical")
    world.forget()


def balanced(text: str) -> str:
    """Return the object that a text begins with, whatever follows it."""
    value, end = json.JSONDecoder().raw_decode(text)
    assert isinstance(value, dict)
    return text[:end]


def test_the_tables_of_itoc360s_page_literally(world: World, shared: Path):
    rows = re.findall(r"^\| `(\w+)`\s+\| (\w+)", seed(shared, "itoc360"), re.MULTILINE)
    actions = [(word, becomes) for word, becomes in rows if becomes in ("ALERT", "RESOLVE")]
    priorities = [(word, becomes) for word, becomes in rows if becomes.lower() == word]
    assert (len(actions), len(priorities)) == (5, 4)
    for action, becomes in actions:
        body = {"action": action, "data": {"issue": {"id": "5"}}}
        assert world.post(ITOC360, json.dumps(body)).json()["type"] == becomes
    for at, (word, _) in enumerate(priorities):
        body = {"action": "created", "data": {"issue": {"id": f"p{at}", "priority": word}}}
        world.post(ITOC360, json.dumps(body))
        assert world.incidents()[-1].priority == word
    world.forget()
