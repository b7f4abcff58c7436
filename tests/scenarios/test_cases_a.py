"""On-call cases A: de-duplication and the state machine."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from tests.world import KEY, ONE_STEP, PEOPLE, SERVICE, World

TWO_SERVICES = f"""
services:
  - {{name: checkout, escalation_policy: default}}
  - {{name: billing, escalation_policy: bobs}}
integrations:
  - {{name: one, service: checkout, source: events, routing_key: {KEY}}}
  - {{name: two, service: billing, source: events, routing_key: key-of-the-second}}
"""

POLICIES = """
escalation_policies:
  - name: default
    steps:
      - {targets: [{user: ann@example.com}], wait: 5m}
      - {targets: [{user: bob@example.com}], wait: 5m}
  - name: bobs
    steps:
      - {targets: [{user: bob@example.com}], wait: 5m}
"""


def events(world: World) -> None:
    """Let both integrations take events."""
    world.configure(PEOPLE, POLICIES, TWO_SERVICES)


def event(
    world: World, action: str, key: str | None = "a", routing: str = KEY, **payload: Any
) -> Any:
    body = {
        "routing_key": routing,
        "event_action": action,
        "payload": {"summary": "disk 91%", "source": "db1", "severity": "error", **payload},
    }
    if key is not None:
        body["dedup_key"] = key
    response = world.post("/v2/enqueue", json.dumps(body))
    assert response.status_code == 202, response.text
    return response.json()


def test_a1_repeat_while_triggered(blank: World):
    """Five times within a minute: one incident, five occurrences, one page."""
    events(blank)
    keys = set()
    for _ in range(5):
        keys.add(event(blank, "trigger")["dedup_key"])
        blank.forward(seconds=10)
    blank.expect("ann")
    blank.expect_nothing()
    assert keys == {"a"}
    (incident,) = blank.incidents()
    assert (incident.occurrence_count, len(incident.alerts)) == (5, 1)


def test_a2_repeat_while_acknowledged(blank: World):
    events(blank)
    event(blank, "trigger")
    blank.expect("ann")
    event(blank, "acknowledge")
    blank.expect("ann", what="acknowledged")
    blank.forward(minutes=1)
    event(blank, "trigger")
    blank.expect_nothing()
    (incident,) = blank.incidents()
    assert (incident.status, incident.occurrence_count) == ("acknowledged", 2)
    assert incident.alerts[0].last_seen_at == blank.now
    assert blank.kinds()[-1] == "repeated"


def test_a3_trigger_after_resolve_outside_any_reopen_window(blank: World):
    events(blank)
    event(blank, "trigger")
    blank.expect("ann")
    event(blank, "resolve")
    blank.expect("ann", what="resolved")
    blank.forward(hours=2)
    event(blank, "trigger")
    blank.expect("ann")
    first, second = blank.incidents()
    assert (first.status, second.status) == ("resolved", "triggered")
    assert second.previous_incident == first.id
    assert second.escalation.step == 1


def test_a4_the_scope_of_a_key_is_its_integration(blank: World):
    events(blank)
    event(blank, "trigger")
    event(blank, "trigger", routing="key-of-the-second")
    blank.expect("ann")
    blank.expect("bob")
    event(blank, "resolve")
    blank.expect("ann", what="resolved")
    assert [(i.service.name, i.status) for i in blank.incidents() if i.service] == [
        ("checkout", "resolved"),
        ("billing", "triggered"),
    ]


def test_a5_automatic_key_from_the_content(blank: World):
    events(blank)
    for text in ("x", "x", "y"):
        event(blank, "trigger", key=None, custom_details={"text": text})
    assert sorted(one.occurrence_count for one in blank.incidents()) == [1, 2]
    blank.forget()


def test_a6_an_explicit_key_beats_the_content(blank: World):
    events(blank)
    event(blank, "trigger", summary="disk 91%")
    blank.expect("ann")
    event(blank, "trigger", summary="disk 97%")
    blank.expect_nothing()
    (incident,) = blank.incidents()
    assert incident.title == "disk 91%"
    assert incident.alerts[0].title == "disk 97%"


def test_a7_resolve_closes_and_stops_everything(blank: World):
    """A second step and a second rule are due; nothing of it goes out."""
    rules = PEOPLE.replace(
        """      - {name: mail, channel: email, address: ann@example.com}
""",
        """      - {name: mail, channel: email, address: ann@example.com}
    notification_rules:
      - {urgency: high, after: 0s, contact_method: hook}
      - {urgency: high, after: 10m, contact_method: mail}
""",
    )
    blank.configure(rules, POLICIES, TWO_SERVICES)
    event(blank, "trigger")
    blank.expect("ann")
    blank.forward(minutes=1)
    event(blank, "resolve")
    blank.expect("ann", what="resolved")
    blank.forward(hours=3)
    blank.expect_nothing()
    assert blank.incident().status == "resolved"


def test_a8_resolve_of_something_unknown(blank: World):
    events(blank)
    event(blank, "resolve", key="never-seen")
    assert blank.incidents() == []
    assert blank.deliveries()[-1].outcome == "recorded"


def test_a9_acknowledge_of_something_already_resolved(blank: World):
    events(blank)
    event(blank, "trigger")
    event(blank, "resolve")
    blank.forget()
    event(blank, "acknowledge")
    blank.expect_nothing()
    assert blank.incident().status == "resolved"


def test_a12_acknowledgement_timeout(blank: World):
    """At 10:30 it is triggered again, and whoever is next by the policy of now is paged."""
    service = SERVICE.replace(
        "escalation_policy: default}", "escalation_policy: default, acknowledge_timeout: 30m}"
    )
    blank.configure(PEOPLE, ONE_STEP, service)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.api("POST", "/incidents/1/acknowledge")
    blank.expect("ann", what="acknowledged")
    blank.forward(minutes=29)
    blank.expect_nothing()
    blank.forward(minutes=1)
    blank.expect("ann")
    incident = blank.incident()
    assert (incident.status, incident.escalation.step) == ("triggered", 1)
    assert incident.acknowledged_by is None
    timed_out = next(e for e in incident.timeline if e.kind == "acknowledge_timeout")
    assert timed_out.text == "acknowledgement timed out"


def test_an_archived_issue_ends_its_incident_and_says_so(world: World):
    world.sentry("issue.created")
    world.expect("ann")
    world.sentry("issue.ignored")
    world.expect("ann", what="resolved")
    assert world.incident().timeline[-1].text == "archived in Sentry"


def test_a_metric_alert_goes_from_warning_to_critical_to_resolved(world: World):
    """Low urgency first, then raised and paged again, on one incident."""
    world.sentry("metric_alert.warning")
    world.expect("ann")
    assert world.incident().urgency == "low"
    assert world.incident().escalation.state == "stopped"
    world.sentry("metric_alert.critical")
    world.expect("ann")
    assert (world.incident().severity, world.incident().urgency) == ("critical", "high")
    assert world.incident().escalation.state == "running"
    world.sentry("metric_alert.resolved")
    world.expect("ann", what="resolved")
    assert world.kinds() == [
        "opened", "step", "paged", "raised", "step", "paged", "resolved",
    ]  # fmt: skip


def test_an_error_after_the_resolve_is_a_regression(world: World):
    """Older Sentry sends no issue.unresolved: the next error says it."""
    from tocsin.sentry.sender import encode

    def error(at: Any) -> Any:
        data = {"error": {"issue_id": "1", "title": "T", "datetime": at.isoformat()}}
        return world.post(
            f"/in/{KEY}",
            encode({"action": "created", "data": data}),
            sentry_hook_resource="error",
        )

    world.sentry("issue.created")
    world.sentry("issue.resolved")
    world.forget()
    error(world.now + timedelta(seconds=30))
    assert len(world.incidents()) == 1, "it was on its way when somebody resolved"
    error(world.now + timedelta(minutes=5))
    world.expect("ann")
    assert [one.status for one in world.incidents()] == ["resolved", "triggered"]
    assert world.deliveries()[-1].verb == "trigger"
    assert world.deliveries()[-2].verb == "none"


def test_sentrys_test_notification_pages_and_resolves_itself(world: World):
    from tocsin.sentry.sender import encode

    data = {"event": {"issue_id": "9", "title": "example", "tags": [["sample_event", "yes"]]}}
    world.post(
        f"/in/{KEY}",
        encode({"action": "triggered", "data": data}),
        sentry_hook_resource="event_alert",
    )
    world.expect("ann")
    assert world.incident().is_test
    world.api("POST", "/incidents/1/acknowledge")
    world.expect("ann", what="acknowledged")
    world.forward(minutes=59)
    assert world.incident().status == "acknowledged"
    world.forward(minutes=1)
    world.expect("ann", what="resolved")
    assert world.incident().status == "resolved"
    world.forward(hours=1)


def test_a_service_resolves_by_itself_after_its_time(blank: World):
    service = SERVICE.replace(
        "escalation_policy: default}", "escalation_policy: default, auto_resolve_after: 7d}"
    )
    blank.configure(PEOPLE, ONE_STEP, service)
    blank.sentry("issue.created")
    blank.forget()
    blank.forward(days=7)
    blank.expect("ann", what="resolved")
    assert blank.incident().status == "resolved"


def test_within_the_reopen_window_the_same_incident_goes_on(blank: World):
    service = SERVICE.replace(
        "escalation_policy: default}", "escalation_policy: default, reopen_window: 10m}"
    )
    blank.configure(PEOPLE, ONE_STEP, service)
    blank.sentry("issue.created")
    blank.sentry("issue.resolved")
    blank.forget()
    blank.forward(minutes=9)
    blank.sentry("issue.unresolved")
    blank.expect("ann")
    (incident,) = blank.incidents()
    assert (incident.status, incident.resolved_at, incident.occurrence_count) == (
        "triggered", None, 2,
    )  # fmt: skip
    assert "reopened" in blank.kinds()
    blank.sentry("issue.resolved")
    blank.expect("ann", what="resolved")
    blank.forward(minutes=11)
    blank.sentry("issue.unresolved")
    blank.expect("ann")
    assert len(blank.incidents()) == 2


def test_a_snooze_ends(world: World):
    world.sentry("issue.created")
    world.expect("ann")
    world.api("POST", "/incidents/1/snooze", {"for": "1h"})
    world.forward(minutes=59)
    world.expect_nothing()
    world.sentry("event_alert.triggered")
    world.expect_nothing()
    world.forward(minutes=1)
    world.expect("ann")
    assert world.incident().status == "triggered"
    assert world.kinds() == [
        "opened", "step", "paged", "snoozed", "repeated", "woke", "step", "paged",
    ]  # fmt: skip
