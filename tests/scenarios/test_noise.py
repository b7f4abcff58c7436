"""What Sentry knows to be noise does not ring, and nothing that is held is ever forgotten."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOW
from tests.scenarios.test_maintenance import window
from tests.world import KEY, ONE_STEP, PEOPLE, SERVICE, World
from tocsin.sentry.sender import Issue, encode, webhook
from tocsin.work import respond


def with_rules(world: World, rules: str, service: str = "") -> World:
    """Let the service have these noise rules."""
    more = f"name: checkout, noise: {{{rules}}}, {service}"
    world.configure(PEOPLE, ONE_STEP, SERVICE.replace("name: checkout, ", more))
    return world


def say(world: World, event: str, id_: int = 1, *, of_issue: Any = None, **issue: Any) -> None:
    """Let Sentry say something of an issue, with what else its body has."""
    resource, _, action = event.partition(".")
    hook = webhook(resource, action, Issue(id=str(id_), **{"title": f"T{id_}", **issue}))
    body = json.loads(hook.body)
    body["data"].get("issue", {}).update(of_issue or {})
    body["data"].get("event", {}).update(of_issue or {})
    raw = encode(body)
    headers = {"Sentry-Hook-Resource": resource}
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    assert world.post(f"/in/{KEY}", raw, **named).status_code == 202


def texts(world: World, number: int = 1) -> list[str]:
    """Return what the timeline of an incident says."""
    return [entry.text for entry in world.incident(number).timeline]


HOLD = "hold: {for: 10m, priorities: [low], events: 100, users: 10}"


@pytest.fixture
def holding(blank: World) -> World:
    return with_rules(blank, HOLD)


# -- a new issue of low priority is held ---------------------------------------------------------


def test_a_new_issue_of_low_priority_pages_when_its_hold_is_over(holding: World):
    say(holding, "issue.created", priority="low")
    holding.expect_nothing()
    incident = holding.incident()
    assert (incident.status, incident.is_held) == ("triggered", True)
    assert incident.suppressed_until == NOW + timedelta(minutes=10)
    assert holding.deliveries()[-1].outcome == "suppressed"
    assert (
        "held for 10m: new, and of low priority; nobody is paged before 2026-01-05 12:10 UTC"
        " or 100 events or 10 users" in texts(holding)
    )
    holding.forward(minutes=10)
    holding.expect("ann")
    assert "held long enough: it is not over" in texts(holding)
    assert not holding.incident().is_held


def test_what_is_over_before_its_hold_is_pages_nobody(holding: World):
    say(holding, "issue.created", priority="low")
    say(holding, "issue.resolved", priority="low")
    holding.forward(hours=1)
    holding.expect_nothing()
    assert holding.incident().status == "resolved"


@pytest.mark.parametrize(
    ("now", "why"),
    [
        pytest.param({"count": "100"}, "100 events", id="events"),
        pytest.param({"userCount": 10}, "10 users", id="users"),
        pytest.param({"priority": "high"}, "it is of high priority now", id="its priority"),
        pytest.param({"substatus": "escalating"}, "it is escalating", id="it escalates"),
    ],
)
def test_what_becomes_too_much_pages_before_its_hold_is_over(
    holding: World, now: dict[str, Any], why: str
):
    say(holding, "issue.created", priority="low")
    holding.forward(minutes=3)
    holding.expect_nothing()
    say(holding, "issue.unresolved", of_issue={"priority": "low", "substatus": "new", **now})
    holding.expect("ann")
    assert f"held no longer: {why}" in texts(holding)
    holding.forward(minutes=7)
    holding.forget()
    assert texts(holding).count("held long enough: it is not over") == 0


@pytest.mark.parametrize(
    "issue",
    [
        pytest.param({"priority": "high"}, id="another priority"),
        pytest.param({"priority": "low", "count": "100"}, id="too much from the start"),
        pytest.param({"priority": "low", "substatus": "regressed"}, id="a regression"),
    ],
)
def test_what_the_rule_is_not_for_pages_at_once(holding: World, issue: dict[str, Any]):
    say(holding, "issue.created", of_issue=issue)
    holding.expect("ann")


def test_a_source_that_says_no_priority_is_judged_by_severity(holding: World):
    say(holding, "event_alert.triggered", 1, level="info")
    holding.expect_nothing()
    say(holding, "event_alert.triggered", 2, level="error")
    holding.expect("ann")
    holding.forward(minutes=10)
    holding.expect("ann")


def test_the_second_cycle_of_an_issue_is_not_new(holding: World):
    say(holding, "issue.created", priority="low")
    say(holding, "issue.resolved", priority="low")
    say(holding, "event_alert.triggered", level="info")
    holding.expect("ann")


def test_the_test_of_sentry_rings_whatever_the_rules_say(holding: World):
    tags = [["sample_event", "yes"], ["level", "info"]]
    say(holding, "event_alert.triggered", level="info", of_issue={"tags": tags})
    holding.expect("ann")


def test_a_hold_survives_whatever_happens_to_the_process(holding: World):
    """It is a job: who looks after an outage finds it due."""
    say(holding, "issue.created", priority="low")
    holding.jump(hours=2)
    holding.expect("ann")


def test_who_takes_it_meanwhile_is_not_paged_when_the_hold_is_over(holding: World):
    say(holding, "issue.created", priority="low")
    holding.act("ann", respond.acknowledge)
    holding.forward(minutes=30)
    holding.expect_nothing()
    assert (holding.incident().status, holding.incident().is_held) == ("acknowledged", False)


def test_escalating_by_hand_pages_in_spite_of_a_hold(holding: World):
    say(holding, "issue.created", priority="low")
    holding.api("POST", "/incidents/1/escalate")
    holding.expect("ann")


def test_maintenance_and_a_hold_both_have_to_be_over(holding: World):
    window(holding, 0, 5)
    say(holding, "issue.created", priority="low")
    holding.forward(minutes=5)
    holding.expect_nothing()
    holding.forward(minutes=5)
    holding.expect("ann")


def test_what_is_too_much_waits_for_the_end_of_maintenance_all_the_same(holding: World):
    window(holding, 0, 60)
    say(holding, "issue.created", priority="low")
    say(holding, "issue.unresolved", of_issue={"priority": "low", "count": "500"})
    holding.forward(minutes=59)
    holding.expect_nothing()
    assert not holding.incident().is_held
    holding.forward(minutes=1)
    holding.expect("ann")


def test_another_change_of_configuration_ends_no_hold(holding: World):
    say(holding, "issue.created", priority="low")
    with_rules(holding, HOLD, "reopen_window: 5m,")
    holding.forward(minutes=9)
    holding.expect_nothing()
    holding.forward(minutes=1)
    holding.expect("ann")


def test_a_rule_that_is_taken_away_lets_go_of_what_it_held(holding: World):
    say(holding, "issue.created", priority="low")
    holding.configure(PEOPLE, ONE_STEP, SERVICE)
    holding.settle()
    holding.expect("ann")


# -- not on first sight ---------------------------------------------------------------------------


@pytest.fixture
def wary(blank: World) -> World:
    return with_rules(blank, "first_sight: record")


def test_what_is_seen_for_the_first_time_is_recorded_and_the_delivery_says_why(wary: World):
    say(wary, "issue.created")
    say(wary, "event_alert.triggered")
    wary.expect_nothing()
    assert wary.incidents() == []
    for delivery in wary.deliveries():
        assert (delivery.verb, delivery.outcome) == ("trigger", "recorded")
        assert delivery.reason == (
            "seen for the first time: checkout pages when it regresses or escalates"
        )


@pytest.mark.parametrize("substatus", ["regressed", "escalating"])
def test_what_regresses_or_escalates_pages(wary: World, substatus: str):
    say(wary, "issue.created")
    say(wary, "issue.unresolved", of_issue={"substatus": substatus})
    wary.expect("ann")
    assert f"unresolved in Sentry ({substatus})" in texts(wary)


def test_a_rule_that_fires_after_a_resolve_tells_of_a_regression(wary: World):
    say(wary, "issue.created")
    say(wary, "issue.resolved")
    say(wary, "event_alert.triggered")
    wary.expect("ann")


def test_a_metric_alert_is_no_issue_that_is_seen_for_the_first_time(wary: World):
    say(wary, "metric_alert.critical")
    wary.expect("ann")


# -- one incident per release ---------------------------------------------------------------------


@pytest.fixture
def releasing(blank: World) -> World:
    return with_rules(blank, "one_per_release: true")


def test_all_that_one_release_brought_is_one_incident_and_one_page(releasing: World):
    for number in range(1, 32):
        say(releasing, "event_alert.triggered", number, release="backend@2.4.1")
    releasing.expect("ann")
    releasing.expect_nothing()
    (incident,) = releasing.incidents()
    assert incident.title == "31 issues since backend@2.4.1: T1"
    assert (incident.occurrence_count, len(incident.alerts)) == (31, 31)
    assert "of backend@2.4.1 too: T31" in texts(releasing)


def test_in_one_batch_it_is_the_same(releasing: World):
    with releasing.held():
        for number in range(1, 6):
            say(releasing, "event_alert.triggered", number, release="backend@2.4.1")
    releasing.expect("ann")
    (incident,) = releasing.incidents()
    assert len(incident.alerts) == 5


def test_it_is_over_when_the_last_of_its_issues_is(releasing: World):
    for number in (1, 2):
        say(releasing, "event_alert.triggered", number, release="backend@2.4.1")
    releasing.expect("ann")
    say(releasing, "issue.resolved", 1)
    assert releasing.incident().status == "triggered"
    say(releasing, "issue.resolved", 2)
    assert releasing.incident().status == "resolved"
    releasing.expect("ann", what="resolved")
    say(releasing, "event_alert.triggered", 3, release="backend@2.4.1")
    releasing.expect("ann")
    assert releasing.incident(2).status == "triggered"


def test_another_release_and_another_project_are_other_incidents(releasing: World):
    say(releasing, "event_alert.triggered", 1, release="2.4.1", project="backend")
    say(releasing, "event_alert.triggered", 2, release="2.4.2", project="backend")
    say(releasing, "event_alert.triggered", 3, release="2.4.1", project="web")
    assert len(releasing.incidents()) == 3
    releasing.forget()


def test_what_was_there_before_the_release_is_not_its_doing(releasing: World):
    say(releasing, "event_alert.triggered", 1, release="1.0")
    say(releasing, "issue.resolved", 1)
    say(releasing, "event_alert.triggered", 2, release="2.0")
    say(releasing, "event_alert.triggered", 1, release="2.0")
    assert [one.title for one in releasing.incidents()] == ["T1", "T2", "T1"]
    releasing.forget()


def test_what_is_more_urgent_pages_as_part_of_it_too(releasing: World):
    say(releasing, "event_alert.triggered", 1, level="warning")
    releasing.expect("ann")
    say(releasing, "event_alert.triggered", 2, level="fatal")
    releasing.expect("ann")
    (incident,) = releasing.incidents()
    assert (incident.severity, incident.urgency) == ("critical", "high")


def test_a_release_that_is_told_with_the_second_webhook_only_joins_then(releasing: World):
    """``issue.created`` names no release; the alert rule's webhook of the same issue does."""
    say(releasing, "event_alert.triggered", 1, release="2.4.1")
    releasing.expect("ann")
    with releasing.held():
        say(releasing, "issue.created", 2)
        say(releasing, "event_alert.triggered", 2, release="2.4.1")
    releasing.expect_nothing()
    first, second = releasing.incidents()
    assert (first.title, len(first.alerts)) == ("2 issues since 2.4.1: T1", 2)
    assert second.merged_into == 1
    assert first.occurrence_count == 3


def test_the_first_may_be_told_of_in_that_order_too(releasing: World):
    say(releasing, "issue.created", 1)
    say(releasing, "event_alert.triggered", 1, release="2.4.1")
    say(releasing, "event_alert.triggered", 2, release="2.4.1")
    releasing.expect("ann")
    (incident,) = releasing.incidents()
    assert len(incident.alerts) == 2


def test_one_of_them_can_be_taken_out_again(releasing: World):
    for number in (1, 2):
        say(releasing, "event_alert.triggered", number, release="2.4.1")
    releasing.expect("ann")
    releasing.api("POST", "/incidents/1/unmerge", {"alert": "sentry:issue:2"})
    releasing.expect("ann")
    assert [len(one.alerts) for one in releasing.incidents()] == [1, 1]
    say(releasing, "event_alert.triggered", 3, release="2.4.1")
    assert len(releasing.incident(1).alerts) == 2


def test_what_came_back_gathers_nothing_beside_what_was_opened_since(blank: World):
    with_rules(blank, "one_per_release: true", "reopen_window: 1h,")
    say(blank, "event_alert.triggered", 1, release="2.4.1")
    say(blank, "issue.resolved", 1)
    say(blank, "event_alert.triggered", 2, release="2.4.1")
    say(blank, "event_alert.triggered", 1, release="2.4.1")
    assert [one.status for one in blank.incidents()] == ["triggered", "triggered"]
    say(blank, "event_alert.triggered", 3, release="2.4.1")
    assert [len(one.alerts) for one in blank.incidents()] == [1, 2]
    blank.forget()


def test_a_held_incident_swallows_nothing_that_is_loud(blank: World):
    with_rules(blank, f"one_per_release: true, {HOLD}")
    say(blank, "event_alert.triggered", 1, level="info")
    blank.expect_nothing()
    say(blank, "event_alert.triggered", 2, level="error")
    blank.expect("ann")
    (incident,) = blank.incidents()
    assert not incident.is_held
    assert len(incident.alerts) == 2


def test_what_is_held_joins_without_ringing(blank: World):
    with_rules(blank, f"one_per_release: true, {HOLD}")
    say(blank, "event_alert.triggered", 1, level="info")
    say(blank, "event_alert.triggered", 2, level="info")
    blank.expect_nothing()
    blank.forward(minutes=10)
    blank.expect("ann")
    assert len(blank.incidents()) == 1


# -- archived until it escalates ------------------------------------------------------------------


@pytest.fixture
def following(blank: World) -> World:
    return with_rules(blank, "follow_archive: true")


def archive(world: World, id_: int = 1) -> None:
    say(world, "issue.ignored", id_)


def error(world: World, minutes: int) -> None:
    """Let an error of issue 1 happen so long after the beginning."""
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    resource, action = "error", "created"
    body = json.loads(webhook(resource, action, Issue(id="1", title="T1")).body)
    body["data"]["error"]["datetime"] = at
    world.post(f"/in/{KEY}", encode(body), Sentry_Hook_Resource=resource)


def test_what_is_archived_is_resolved_and_its_errors_page_nobody(following: World):
    say(following, "issue.created")
    following.expect("ann")
    archive(following)
    following.expect("ann", what="resolved")
    assert "archived in Sentry until Sentry takes it up again" in texts(following)
    following.forward(minutes=30)
    error(following, 30)
    following.expect_nothing()
    assert following.deliveries()[-1].outcome == "ignored"


@pytest.mark.parametrize("substatus", ["escalating", "regressed", "ongoing"])
def test_when_sentry_takes_it_up_again_it_pages(following: World, substatus: str):
    say(following, "issue.created")
    archive(following)
    following.forget()
    say(following, "issue.unresolved", of_issue={"substatus": substatus})
    following.expect("ann")


def test_an_alert_rule_that_fires_is_never_swallowed(following: World):
    say(following, "issue.created")
    archive(following)
    following.forget()
    say(following, "event_alert.triggered")
    following.expect("ann")


def test_an_error_after_a_resolve_is_still_a_regression(following: World):
    say(following, "issue.created")
    archive(following)
    say(following, "issue.resolved")
    following.forget()
    following.forward(minutes=30)
    error(following, 30)
    following.expect("ann")


def test_without_the_rule_archiving_is_what_the_dialect_says(world: World):
    say(world, "issue.created")
    archive(world)
    world.forget()
    world.forward(minutes=30)
    error(world, 30)
    world.expect("ann")


def test_a_dialect_that_only_acknowledges_what_is_archived_resolves_it_too(following: World):
    path = f"/api/integrations/sentry?integrationId={KEY}"
    following.sentry("issue.created", path=path)
    following.expect("ann")
    following.sentry("issue.ignored", path=path)
    following.expect("ann", what="resolved")
    assert following.incident().status == "resolved"


# -- quiet ----------------------------------------------------------------------------------------


@pytest.fixture
def ending(blank: World) -> World:
    return with_rules(blank, "resolve_when_quiet_for: 6h")


def test_what_sentry_was_quiet_about_for_so_long_resolves_by_itself(ending: World):
    say(ending, "issue.created")
    ending.expect("ann")
    ending.forward(hours=5, minutes=59)
    assert ending.incident().status == "triggered"
    ending.forward(minutes=1)
    ending.expect("ann", what="resolved")
    assert "Sentry was quiet about it for 6h" in texts(ending)


def test_whatever_sentry_says_of_it_begins_the_time_anew(ending: World):
    say(ending, "issue.created")
    ending.forward(hours=4)
    say(ending, "event_alert.triggered")
    ending.forward(hours=5)
    assert ending.incident().status == "triggered"
    ending.forward(hours=1)
    assert ending.incident().status == "resolved"
    ending.forget()


def test_a_metric_alert_is_waited_for(ending: World):
    """It says by itself that it is over, and nothing before that."""
    say(ending, "metric_alert.critical")
    ending.expect("ann")
    ending.forward(days=3)
    assert ending.incident().status == "triggered"


def test_a_rule_that_comes_later_counts_for_what_is_open_already(world: World):
    say(world, "issue.created")
    world.expect("ann")
    world.forward(hours=2)
    with_rules(world, "resolve_when_quiet_for: 6h")
    world.forward(hours=3, minutes=59)
    assert world.incident().status == "triggered"
    world.forward(minutes=1)
    assert world.incident().status == "resolved"
    world.forget()


def test_its_time_to_resolve_by_itself_still_counts(blank: World):
    with_rules(blank, "resolve_when_quiet_for: 6h", "auto_resolve_after: 8h,")
    say(blank, "issue.created")
    for _ in range(2):
        blank.forward(hours=3)
        say(blank, "event_alert.triggered")
    blank.forward(hours=1, minutes=59)
    assert blank.incident().status == "triggered"
    blank.forward(minutes=1)
    assert blank.incident().status == "resolved"
    assert "resolved by itself after its time" in texts(blank)
    blank.forget()


# -- a metric alert and its issue -----------------------------------------------------------------

METRIC = {"issueType": "metric_issue", "issueCategory": "metric"}
LATENCY = "p95 latency of checkout"


@pytest.fixture
def joining(blank: World) -> World:
    return with_rules(blank, "join_metric_issues: true")


@pytest.mark.parametrize("first", ["metric", "issue"])
def test_a_metric_alert_and_the_issue_it_makes_are_one_incident(joining: World, first: str):
    def metric() -> None:
        say(joining, "metric_alert.critical", 900)

    def issue() -> None:
        say(joining, "issue.created", 7, of_issue={"title": LATENCY, "level": "fatal", **METRIC})

    for happens in (metric, issue) if first == "metric" else (issue, metric):
        happens()
    joining.expect("ann")
    joining.expect_nothing()
    (incident,) = joining.incidents()
    assert (incident.title, len(incident.alerts)) == (LATENCY, 2)
    say(joining, "metric_alert.resolved", 900)
    assert joining.incident().status == "triggered"
    say(joining, "issue.resolved", 7)
    joining.expect("ann", what="resolved")


def test_the_event_of_a_metric_issue_is_known_by_its_number(joining: World):
    say(joining, "metric_alert.critical", 900)
    more = {"title": LATENCY, "occurrence": {"type": 8001}}
    say(joining, "event_alert.triggered", 7, of_issue=more)
    joining.forget()
    assert len(joining.incidents()) == 1


def test_an_issue_of_the_same_title_that_is_no_metric_is_its_own(joining: World):
    say(joining, "metric_alert.critical", 900)
    say(joining, "issue.created", 7, of_issue={"title": LATENCY})
    assert len(joining.incidents()) == 2
    joining.forget()


def test_without_rules_everything_is_its_own_incident(world: World):
    say(world, "metric_alert.critical", 900)
    say(world, "issue.created", 7, of_issue={"title": LATENCY, **METRIC})
    say(world, "event_alert.triggered", 8, release="2.4.1")
    say(world, "event_alert.triggered", 9, release="2.4.1")
    assert len(world.incidents()) == 4
    world.forget()


# -- what is old news, and what is not -----------------------------------------------------------


@pytest.mark.parametrize("is_rule_first", [True, False])
@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_a_regression_that_a_release_has_not_brought_pages_for_itself(
    releasing: World, is_rule_first: bool, is_acknowledged: bool
):
    """An issue of before the release, unknown here; whichever of its two webhooks is first."""
    say(releasing, "event_alert.triggered", 1, release="2.4.1")
    releasing.expect("ann")
    if is_acknowledged:
        releasing.act("ann", respond.acknowledge)
        releasing.forget()
    releasing.jump(minutes=2)
    webhooks = [
        lambda: say(releasing, "event_alert.triggered", 2, release="2.4.1"),
        lambda: say(releasing, "issue.unresolved", 2, of_issue={"substatus": "regressed"}),
    ]
    for tell in webhooks if is_rule_first else reversed(webhooks):
        tell()
    releasing.expect("ann")
    apart = releasing.incident(2)
    assert (apart.status, apart.title, len(apart.alerts)) == ("triggered", "T2", 1)
    first = releasing.incident(1)
    status = "acknowledged" if is_acknowledged else "triggered"
    assert (first.status, len(first.alerts)) == (status, 1)
    assert ("T2 is no longer part of this: it was there before" in texts(releasing)) is (
        is_rule_first
    )


def test_what_a_release_brought_and_a_person_took_up_again_stays_part_of_it(releasing: World):
    """Resolved in Sentry by mistake, and back a moment later: nothing of before the release."""
    say(releasing, "event_alert.triggered", 1, release="2.4.1")
    releasing.expect("ann")
    say(releasing, "event_alert.triggered", 2, release="2.4.1")
    say(releasing, "issue.resolved", 2)
    say(releasing, "issue.unresolved", 2, of_issue={"substatus": "ongoing"})
    say(releasing, "event_alert.triggered", 3, release="2.4.1")
    say(releasing, "issue.created", 3, of_issue={"substatus": "new"})
    say(releasing, "issue.unresolved", 3, of_issue={"substatus": "escalating"})
    releasing.expect_nothing()
    assert len(releasing.incidents()) == 1
    assert len(releasing.incident().alerts) == 3


def test_a_regression_after_all_others_of_its_release_are_over_is_left_alone(releasing: World):
    say(releasing, "event_alert.triggered", 1, release="2.4.1")
    releasing.expect("ann")
    say(releasing, "event_alert.triggered", 2, release="2.4.1")
    say(releasing, "issue.resolved", 1)
    say(releasing, "issue.unresolved", 2, of_issue={"substatus": "escalating"})
    releasing.expect("ann")
    assert [one.status for one in releasing.incidents()] == ["resolved", "triggered"]
    releasing.forget()


def test_a_rule_that_fires_again_for_what_was_only_recorded_pages(wary: World):
    """A rule such as "more than 1,000 events an hour" says nothing of how an issue comes."""
    say(wary, "event_alert.triggered", 5, level="fatal")
    wary.forward(minutes=4)
    say(wary, "event_alert.triggered", 5, level="fatal")
    wary.expect_nothing()
    wary.forward(days=1)
    say(wary, "event_alert.triggered", 5, level="fatal")
    wary.expect("ann")


def test_a_test_rings_whatever_holds_its_issue(blank: World):
    """The webhook of the sample issue may come before that of the rule, which has the tag."""
    with_rules(blank, "hold: {for: 10m, priorities: [low, medium, high]}")
    say(blank, "issue.created", 1)
    blank.expect_nothing()
    say(blank, "event_alert.triggered", 1, of_issue={"tags": [["sample_event", "yes"]]})
    blank.expect("ann")
    assert blank.incident().is_test


def test_who_has_it_in_sentry_says_nothing_of_its_archive(following: World):
    """A snooze archives the issue in Sentry, and whatever is told of it from then on says so."""
    say(following, "issue.created", 1)
    following.expect("ann")
    following.act("ann", lambda by: respond.snooze(by, following.now + timedelta(hours=1)))
    say(following, "issue.assigned", 1, of_issue={"substatus": "archived_until_condition_met"})
    assert following.incident().status == "snoozed"
    following.forward(hours=1)
    following.expect("ann")
