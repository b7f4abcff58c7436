"""On-call cases B: escalation; and D1, D2: personal rules."""

from __future__ import annotations

import pytest

from tests.world import PEOPLE, SERVICE, World
from tocsin.core.retry import Outcome, Report


def policy(*steps: str, repeat: int = 0, more: str = "") -> str:
    """Write a policy: each step is ``ann 30m`` or ``payments 5m`` (the team)."""
    lines = [f"escalation_policies:\n  - name: default\n    repeat: {repeat}\n    steps:"]
    for step in steps:
        who, wait = step.split()
        target = "{team: payments}" if who == "payments" else f"{{user: {who}@example.com}}"
        lines.append(f"      - {{targets: [{target}], wait: {wait}}}")
    if not steps:
        lines[0] = lines[0].replace("steps:", "steps: []")
    return "\n".join(lines) + more


def test_b1_step_order_and_delays(blank: World):
    blank.configure(PEOPLE, policy("ann 30m", "bob 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=29, seconds=59)
    blank.expect_nothing()
    blank.forward(seconds=1)
    blank.expect("bob")
    blank.expect_nothing()


def test_b2_repeat_n_times(blank: World):
    blank.configure(
        PEOPLE, policy("ann 5m", "bob 5m", repeat=2), SERVICE, "fallback: {user: cat@example.com}"
    )
    blank.sentry("issue.created")
    for round_ in range(3):
        blank.expect("ann")
        assert blank.incident().escalation.round == round_
        blank.forward(minutes=5)
        blank.expect("bob")
        blank.forward(minutes=5)
    blank.forward(hours=5)
    blank.expect_nothing()
    incident = blank.incident()
    assert (incident.status, incident.escalation.state) == ("triggered", "exhausted")
    assert incident.escalation.next_at is None


def test_b3_acknowledgement_stops_escalation(blank: World):
    blank.configure(PEOPLE, policy("ann 30m", "bob 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=10)
    blank.api("POST", "/incidents/1/acknowledge")
    blank.expect("ann", what="acknowledged")
    blank.forward(hours=5)
    blank.expect_nothing()


def test_b4_an_empty_step_does_not_wait(blank: World):
    empty = PEOPLE.replace("members: [bob@example.com, cat@example.com]", "members: []")
    blank.configure(empty, policy("payments 15m", "bob 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("bob")
    texts = [entry.text for entry in blank.incident().timeline]
    assert "step 1 of default reached nobody" in texts


@pytest.mark.parametrize("steps", [[], ["payments 5m"]], ids=["no step", "an empty team"])
def test_b5_nobody_reachable_at_all(blank: World, steps: list[str]):
    empty = PEOPLE.replace("members: [bob@example.com, cat@example.com]", "members: []")
    blank.configure(empty, policy(*steps), SERVICE, "fallback: {user: cat@example.com}")
    blank.sentry("issue.created")
    heard = blank.expect("cat")
    assert "fallback" in heard.message.text
    incident = blank.incident()
    assert (incident.status, incident.escalation.state) == ("triggered", "nobody_notified")
    assert "error" in blank.kinds()


def test_b6_a_person_on_two_targets_of_one_step(blank: World):
    both = (
        "escalation_policies:\n  - name: default\n    steps:\n"
        "      - {targets: [{user: bob@example.com}, {team: payments}], wait: 5m}"
    )
    blank.configure(PEOPLE, both, SERVICE)
    blank.sentry("issue.created")
    blank.expect("bob")
    blank.expect("cat")
    blank.expect_nothing()


def test_b9_restart_in_the_middle(blank: World):
    """Nobody works from 12:03 to 12:09; the step of 12:05 is taken once, then."""
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m", "cat 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.jump(minutes=9)
    blank.expect("bob")
    blank.expect_nothing()
    blank.forward(minutes=4, seconds=59)
    blank.expect_nothing()
    blank.forward(seconds=1)
    blank.expect("cat")
    blank.expect_nothing()


def test_an_outage_of_hours_takes_each_step_once(blank: World):
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m", repeat=3), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.jump(hours=6)
    blank.expect("bob")
    blank.expect_nothing()


RULES = PEOPLE.replace(
    """      - {name: mail, channel: email, address: ann@example.com}
""",
    """      - {name: mail, channel: email, address: ann@example.com}
    notification_rules:
      - {urgency: high, after: 0s, contact_method: mail}
      - {urgency: high, after: 1m, contact_method: hook}
      - {urgency: low, after: 2m, contact_method: mail}
""",
)


def test_d1_delays_count_from_the_page_of_the_step(blank: World):
    blank.configure(RULES, policy("ann 30m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann", "email")
    blank.forward(seconds=59)
    blank.expect_nothing()
    blank.forward(seconds=1)
    blank.expect("ann", "webhook")
    blank.forward(minutes=20)
    blank.expect_nothing()


def test_d2_acknowledgement_by_another_stops_my_later_rules(blank: World):
    blank.configure(RULES, policy("ann 30m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann", "email")
    blank.forward(seconds=30)
    blank.api("POST", "/incidents/1/acknowledge")
    blank.forward(hours=1)
    blank.expect_nothing()
    states = {one.state for one in blank.incident().notifications}
    assert states == {"sent", "cancelled"}


def test_low_urgency_goes_by_the_low_rules_and_no_further(blank: World):
    blank.configure(RULES, policy("ann 5m", "bob 5m"), SERVICE)
    blank.sentry("issue.created", level="warning")
    blank.expect_nothing()
    blank.forward(minutes=2)
    blank.expect("ann", "email")
    blank.forward(hours=2)
    blank.expect_nothing()


def test_the_policy_in_force_when_a_step_fires_counts(blank: World):
    """A policy mended while something burns helps what is burning."""
    blank.configure(PEOPLE, policy("ann 5m", "ann 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=2)
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), SERVICE)
    blank.forward(minutes=3)
    blank.expect("bob")


def test_escalating_by_hand_takes_the_next_step_at_once_and_only_once(blank: World):
    blank.configure(PEOPLE, policy("ann 30m", "bob 30m", "cat 30m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.api("POST", "/incidents/1/escalate", {"step": 1, "round": 0})
    blank.expect("bob")
    second = blank.call("POST", "/incidents/1/escalate", {"step": 1, "round": 0})
    assert second.status_code == 409
    blank.expect_nothing()
    blank.forward(minutes=30)
    blank.expect("cat")


def test_reassigning_pages_whom_it_was_given_to(blank: World):
    blank.configure(PEOPLE, policy("ann 5m", "cat 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.api("POST", "/incidents/1/reassign", {"user": "bob@example.com"})
    blank.expect("bob")
    assert [one.email for one in blank.incident().assignees] == ["bob@example.com"]
    blank.forward(hours=1)
    blank.expect_nothing()


# -- sending


def refuse(world: World, *outcomes: Outcome) -> None:
    world.recorders["webhook"].answers += [
        Report(outcome=outcome, detail=f"said {outcome}") for outcome in outcomes
    ]


def test_a_page_that_fails_is_tried_again_with_the_same_id(blank: World):
    blank.configure(PEOPLE, policy("ann 30m"), SERVICE)
    refuse(blank, Outcome.RETRY, Outcome.RETRY)
    blank.sentry("issue.created")
    first = blank.expect("ann")
    blank.forward(seconds=5)
    second = blank.expect("ann")
    blank.forward(seconds=15)
    third = blank.expect("ann")
    assert first.message.id == second.message.id == third.message.id
    blank.forward(minutes=29)
    blank.expect_nothing()
    (one,) = blank.incident().notifications
    assert one.state == "sent"
    assert [attempt.outcome for attempt in one.attempts] == ["retry", "retry", "delivered"]
    assert blank.kinds() == ["opened", "step", "page_failed", "paged"]


def test_no_retry_goes_out_after_an_acknowledgement(blank: World):
    blank.configure(PEOPLE, policy("ann 30m"), SERVICE)
    refuse(blank, Outcome.RETRY)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.api("POST", "/incidents/1/acknowledge")
    blank.forward(hours=1)
    blank.expect_nothing()


def test_an_address_that_is_gone_is_not_used_again(blank: World):
    blank.configure(PEOPLE, policy("bob 5m", "ann 5m"), SERVICE)
    refuse(blank, Outcome.GONE)
    blank.sentry("issue.created")
    blank.expect("bob")
    assert "page_failed" in blank.kinds()
    blank.sentry("issue.created", id_=2)
    blank.expect("ann")
    assert "step 1 of default reached nobody" in [e.text for e in blank.incident(2).timeline]
    blank.forward(minutes=5)
    blank.expect("ann")


def test_a_page_refused_for_good_is_on_the_timeline(blank: World):
    blank.configure(PEOPLE, policy("ann 5m"), SERVICE)
    refuse(blank, Outcome.REFUSED)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.expect("ann", "email")
    one = min(blank.incident().notifications, key=lambda one: one.id)
    assert one.state == "failed"
    failed = next(e for e in blank.incident().timeline if e.kind == "page_failed")
    assert failed.text == "could not page Ann by hook: said refused"
    blank.forward(hours=1)
    blank.expect_nothing()


def test_who_was_paged_is_told_that_it_is_over_and_nobody_else(blank: World):
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.sentry("issue.resolved")
    told = blank.expect("ann", what="resolved")
    assert told.message.type == "incident.resolved"
    blank.expect_nothing()
