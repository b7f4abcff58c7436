"""The on-call engine: who is paged, and what happens when things change meanwhile."""

from __future__ import annotations

import pytest

from tests.scenarios.test_cases_b import policy
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.model import (
    Severity,
)
from tocsin.store.incidents import leavers
from tocsin.work import respond
from tocsin.work.respond import Desk

FALLBACK = "fallback: {user: cat@example.com}"


def service(*lines: str, policy: str = "default") -> str:
    """Write the service with more lines."""
    more = "".join(f", {line}" for line in lines)
    return SERVICE.replace("escalation_policy: default", f"escalation_policy: {policy}{more}")


def steps(*lines: str, repeat: int = 0, name: str = "default") -> str:
    """Write a policy of steps given as they stand in the file."""
    rows = "".join(f"      - {line}\n" for line in lines)
    return f"escalation_policies:\n  - name: {name}\n    repeat: {repeat}\n    steps:\n{rows}"


def texts(world: World, number: int = 1) -> list[str]:
    """Return what an incident's timeline says."""
    return [entry.text for entry in world.incident(number).timeline]


# -- acknowledgement time-out (A12)


def test_a12_acknowledgement_timeout(blank: World):
    """Who let it time out hears of it, besides who is on call at the first step now."""
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), service("acknowledge_timeout: 30m"))
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=5)
    blank.expect("bob")
    blank.act("bob", respond.acknowledge)
    blank.forget()
    blank.forward(minutes=29, seconds=59)
    blank.expect_nothing()
    blank.forward(seconds=1)
    blank.expect("ann")
    blank.expect("bob")
    blank.expect_nothing()
    incident = blank.incident()
    assert (incident.status, incident.escalation.step) == ("triggered", 1)
    assert "acknowledge_timeout" in blank.kinds()
    blank.forward(minutes=5)
    blank.expect("bob")


def test_a_timeout_of_one_who_has_step_one_pages_them_once(blank: World):
    blank.configure(PEOPLE, ONE_STEP, service("acknowledge_timeout: 30m"))
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.act("ann", respond.acknowledge)
    blank.forget()
    blank.forward(minutes=30)
    blank.expect("ann")
    blank.expect_nothing()


def test_a_timeout_pages_its_person_though_the_policy_reaches_nobody_else(blank: World):
    blank.configure(PEOPLE, policy("ann 5m"), service("acknowledge_timeout: 30m"), FALLBACK)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.act("bob", respond.acknowledge)
    blank.forget()
    blank.configure(PEOPLE, policy(), service("acknowledge_timeout: 30m"), FALLBACK)
    blank.forward(minutes=30)
    blank.expect("bob")
    blank.expect_nothing()


# -- what is in force when a step fires (B7, B8, D9)


TWO_POLICIES = (
    steps("{targets: [{user: ann@example.com}], wait: 20m}", "{targets: [{user: cat@example.com}]}")
    + steps("{targets: [{user: bob@example.com}], wait: 20m}", name="other").partition("\n")[2]
)


def test_b7_policy_changed_while_escalating(blank: World):
    blank.configure(PEOPLE, TWO_POLICIES, service())
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=5)
    blank.configure(PEOPLE, TWO_POLICIES, service(policy="other"))
    blank.settle()
    blank.expect("bob")
    blank.forward(minutes=16)
    blank.expect_nothing()  # nothing of the first policy
    blank.configure(PEOPLE, TWO_POLICIES, service())
    blank.settle()
    blank.expect("ann")
    blank.forward(minutes=20)
    blank.expect("cat")


def test_b7_the_later_rules_of_the_old_policy_are_silent(blank: World):
    later = PEOPLE.replace(
        "      - {name: mail, channel: email, address: ann@example.com}\n",
        "      - {name: mail, channel: email, address: ann@example.com}\n"
        "    notification_rules:\n"
        "      - {urgency: high, contact_method: hook}\n"
        "      - {urgency: high, after: 10m, contact_method: mail}\n",
    )
    blank.configure(later, TWO_POLICIES, service())
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.configure(later, TWO_POLICIES, service(policy="other"))
    blank.settle()
    blank.expect("bob")
    blank.forward(minutes=15)
    blank.expect_nothing()


def test_b8_step_deleted_while_it_is_current(blank: World):
    three = policy("ann 5m", "bob 10m", "cat 5m")
    blank.configure(PEOPLE, three, SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=5)
    blank.expect("bob")
    blank.configure(PEOPLE, policy("ann 5m", "cat 5m"), SERVICE)
    blank.settle()
    blank.forward(minutes=10)
    blank.expect("cat")
    blank.expect_nothing()
    assert blank.incident().escalation.step == 2


def test_b8_though_the_next_step_is_the_same_person(blank: World):
    blank.configure(PEOPLE, policy("ann 5m", "bob 10m", "bob 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=5)
    blank.expect("bob")
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), SERVICE)
    blank.forward(minutes=10)
    blank.expect("bob")


def test_a_step_put_in_before_the_current_one_is_not_taken_later(blank: World):
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.configure(PEOPLE, policy("cat 5m", "ann 5m", "bob 5m"), SERVICE)
    blank.forward(minutes=5)
    blank.expect("bob")
    blank.expect_nothing()


def test_a_policy_that_is_mended_helps_what_nobody_was_paged_for(blank: World):
    blank.configure(PEOPLE, policy(), SERVICE, FALLBACK)
    blank.sentry("issue.created")
    blank.expect("cat")
    assert blank.incident().escalation.state == "nobody_notified"
    blank.configure(PEOPLE, policy("ann 5m"), SERVICE, FALLBACK)
    blank.settle()
    blank.expect("ann")
    assert blank.incident().escalation.state == "running"


def test_a_change_that_helps_nobody_says_nothing(blank: World):
    blank.configure(PEOPLE, policy(), SERVICE, FALLBACK)
    blank.sentry("issue.created")
    blank.expect("cat")
    before = texts(blank)
    blank.configure(PEOPLE.replace("name: Ann", "name: Anna"), policy(), SERVICE, FALLBACK)
    blank.settle()
    assert texts(blank) == before


def test_a_step_added_to_an_exhausted_policy_is_taken(blank: World):
    blank.configure(PEOPLE, policy("ann 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(minutes=5)
    assert blank.incident().escalation.state == "exhausted"
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), SERVICE)
    blank.settle()
    blank.expect("bob")


# -- people who leave


WITHOUT_BOB = PEOPLE.replace(
    "  - email: bob@example.com\n    name: Bob\n    contact_methods:\n"
    '      - {name: hook, channel: webhook, address: "https://phones.example.com/bob"}\n',
    "",
).replace("bob@example.com, ", "")


def test_the_next_step_is_taken_when_the_only_one_leaves(blank: World):
    blank.configure(PEOPLE, policy("bob 30m", "ann 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("bob")
    blank.configure(
        WITHOUT_BOB, steps("{targets: [], wait: 30m}", "{targets: [{user: ann@example.com}]}"),
        SERVICE,
    )  # fmt: skip
    blank.settle()
    blank.expect("ann")
    assert "Bob has left: the next step is taken now" in texts(blank)
    with blank.database.read() as connection:
        assert leavers(connection) == {}


def test_one_who_had_acknowledged_and_left_leaves_it_to_the_others(blank: World):
    blank.configure(PEOPLE, policy("ann 30m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.act("bob", respond.acknowledge)
    blank.forget()
    blank.configure(WITHOUT_BOB, policy("ann 30m"), SERVICE)
    blank.settle()
    blank.expect("ann")
    assert "Bob, who had acknowledged, has left" in texts(blank)


# -- round robin


ROUND = steps(
    "{targets: [{round_robin: [ann@example.com, bob@example.com, cat@example.com]}], wait: 5m}",
    repeat=1,
)


def test_a_round_robin_is_fair_over_incidents_and_rounds(blank: World):
    blank.configure(PEOPLE, ROUND, SERVICE)
    for number, who in enumerate(("ann", "bob", "cat", "ann"), 1):
        blank.sentry("issue.created", number)
        blank.expect(who)
        blank.expect_nothing()
    blank.forward(minutes=5)  # the second round of all four
    assert sorted(blank.expect(who).who for who in ("bob", "cat", "ann", "bob")) == [
        "ann", "bob", "bob", "cat",
    ]  # fmt: skip


def test_a_round_robin_passes_over_who_cannot_be_reached(blank: World):
    mute = PEOPLE.replace(
        '    contact_methods:\n      - {name: hook, channel: webhook, address: "https://phones'
        '.example.com/bob"}\n',
        "",
    )
    blank.configure(mute, ROUND, SERVICE)
    for number, who in enumerate(("ann", "cat", "ann", "cat"), 1):
        blank.sentry("issue.created", number)
        blank.expect(who)


def test_a_round_robin_stays_fair_to_those_after_one_who_cannot_be_reached(blank: World):
    """Nobody inherits the turns of another: of nine, Bob has five and Cat four."""
    mute = PEOPLE.replace(
        """    contact_methods:
      - {name: hook, channel: webhook, address: "https://phones.example.com/ann"}
      - {name: mail, channel: email, address: ann@example.com}
""",
        "",
    )
    assert mute != PEOPLE
    blank.configure(mute, ROUND, SERVICE)
    for number in range(1, 10):
        blank.sentry("issue.created", number)
    assert [heard.who for heard in blank.take()] == ["bob", "cat"] * 4 + ["bob"]


def test_who_is_away_keeps_their_place_in_the_round(blank: World):
    """Ann leaves after Bob was paged, and is back after he is again: Cat is next both times."""
    blank.configure(PEOPLE, ROUND, SERVICE)
    for number, who in enumerate(("ann", "bob", "cat", "bob", "cat"), 1):
        if number == 3:
            span = {"from": "2026-01-01T00:00Z", "to": "2027-01-01T00:00Z"}
            body = {"user": "ann@example.com", "kind": "away", **span}
            away = blank.api("POST", "/absences", body)["id"]
        if number == 5:
            assert blank.call("DELETE", f"/absences/{away}").status_code == 204
        blank.sentry("issue.created", number)
        assert [heard.who for heard in blank.take()] == [who]


# -- everybody must acknowledge


EVERYBODY = steps(
    "{targets: [{user: ann@example.com}, {user: bob@example.com}], wait: 10m, everybody: true}",
    "{targets: [{user: cat@example.com}], wait: 10m}",
)


def test_everybody_must_acknowledge(blank: World):
    blank.configure(PEOPLE, EVERYBODY, SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.expect("bob")
    blank.act("ann", respond.acknowledge)
    assert blank.incident().status == "triggered"
    blank.act("ann", respond.acknowledge)  # a repeat changes nothing
    assert blank.kinds().count("acknowledged") == 1
    blank.act("bob", respond.acknowledge)
    assert blank.incident().status == "acknowledged"
    blank.expect("ann", what="acknowledged")
    blank.expect("bob", what="acknowledged")
    blank.forward(hours=1)
    blank.expect_nothing()


def test_the_wait_runs_on_while_one_has_not_acknowledged(blank: World):
    blank.configure(PEOPLE, EVERYBODY, SERVICE)
    blank.sentry("issue.created")
    blank.forget()
    blank.act("ann", respond.acknowledge)
    blank.forward(minutes=10)
    blank.expect("cat")
    blank.act("cat", respond.acknowledge)
    assert blank.incident().status == "acknowledged"
    blank.forget()


def test_who_has_acknowledged_is_paged_no_more_for_that_step(blank: World):
    rules = "".join(
        "    notification_rules:\n"
        "      - {urgency: high, contact_method: hook}\n"
        "      - {urgency: high, after: 5m, contact_method: mail}\n"
        for _ in range(1)
    )
    people = PEOPLE.replace(
        "      - {name: mail, channel: email, address: ann@example.com}\n",
        f"      - {{name: mail, channel: email, address: ann@example.com}}\n{rules}",
    )
    blank.configure(people, EVERYBODY, SERVICE)
    blank.sentry("issue.created")
    blank.forget()
    blank.act("ann", respond.acknowledge)
    blank.forward(minutes=6)
    blank.expect_nothing()


def test_a_key_without_a_person_acknowledges_for_all(blank: World):
    blank.configure(PEOPLE, EVERYBODY, SERVICE)
    blank.sentry("issue.created")
    blank.api("POST", "/incidents/1/acknowledge")
    assert blank.incident().status == "acknowledged"
    blank.forget()


def test_when_the_last_one_waited_for_leaves_it_is_acknowledged(blank: World):
    blank.configure(PEOPLE, EVERYBODY, SERVICE)
    blank.sentry("issue.created")
    blank.forget()
    blank.act("ann", respond.acknowledge)
    alone = EVERYBODY.replace(", {user: bob@example.com}", "")
    blank.configure(WITHOUT_BOB, alone, SERVICE)
    blank.settle()
    assert blank.incident().status == "acknowledged"
    blank.forget()


# -- urgency and support hours


HOURS = (
    "support_hours: {time_zone: UTC, days: [mon, tue, wed, thu, fri], from: '09:00',"
    " to: '11:00', outside: low}"
)


def test_outside_support_hours_it_is_low_and_raised_when_they_begin(blank: World):
    """The world begins on a Monday at 12:00: the hours begin on Tuesday at 09:00."""
    low = PEOPLE.replace(
        "      - {name: mail, channel: email, address: ann@example.com}\n",
        "      - {name: mail, channel: email, address: ann@example.com}\n"
        "    notification_rules:\n"
        "      - {urgency: high, contact_method: hook}\n"
        "      - {urgency: low, contact_method: mail}\n",
    )
    blank.configure(low, policy("ann 5m", "bob 5m"), service(HOURS))
    blank.sentry("issue.created")
    blank.expect("ann", "email")
    assert (blank.incident().urgency, blank.incident().escalation.state) == ("low", "stopped")
    blank.forward(hours=20, minutes=59)
    blank.expect_nothing()
    blank.forward(minutes=1)
    blank.expect("ann", "webhook")
    assert blank.incident().urgency == "high"
    blank.forward(minutes=5)
    blank.expect("bob")


def test_one_that_was_taken_is_raised_without_a_page(blank: World):
    blank.configure(PEOPLE, ONE_STEP, service(HOURS))
    blank.sentry("issue.created")
    blank.forget()
    blank.act("ann", respond.acknowledge)
    blank.forget()
    blank.forward(days=1)
    blank.expect_nothing()
    assert (blank.incident().urgency, blank.incident().status) == ("high", "acknowledged")


def test_what_is_low_by_the_table_stays_low(blank: World):
    blank.configure(PEOPLE, ONE_STEP, service(HOURS))
    blank.sentry("issue.created", level="warning")
    blank.forget()
    blank.forward(days=2)
    blank.expect_nothing()
    assert blank.incident().urgency == "low"


# -- merge, unmerge, responders


def merged(world: World) -> Desk:
    """Let two issues fire and merge the second into the first; return the desk."""
    world.sentry("issue.created", 1, title="one")
    world.sentry("issue.created", 2, title="two")
    world.forget()
    world.api("POST", "/incidents/2/merge", {"into": 1})
    world.forget()
    return Desk(world.database, world.plans)


def test_after_a_merge_the_source_is_resolved_and_its_alerts_count_on_the_target(world: World):
    merged(world)
    source, target = world.incident(2), world.incident(1)
    assert (source.status, source.merged_into) == ("resolved", 1)
    assert {alert.title for alert in target.alerts} == {"one", "two"}
    assert target.occurrence_count == 2
    world.sentry("issue.unresolved", 2, title="two")
    world.expect_nothing()
    assert world.incident(1).occurrence_count == 3
    assert ("merged" in world.kinds(1), "merged" in world.kinds(2)) == (True, True)


def test_a_merged_incident_resolves_with_the_last_of_its_alerts(world: World):
    merged(world)
    world.sentry("issue.resolved", 1)
    assert world.incident(1).status == "triggered"
    world.sentry("issue.resolved", 2)
    assert world.incident(1).status == "resolved"
    world.expect("ann", what="resolved")


def test_a_merge_repeated_changes_nothing_and_resolved_ones_cannot_be_merged(world: World):
    merged(world)
    before = world.kinds(1)
    world.api("POST", "/incidents/2/merge", {"into": 1})
    assert world.kinds(1) == before
    assert world.call("POST", "/incidents/1/merge", {"into": 1}).status_code == 409
    assert world.call("POST", "/incidents/1/merge", {"into": 2}).status_code == 409
    assert world.call("POST", "/incidents/1/merge", {"into": 9}).status_code == 404


def test_an_alert_that_is_unmerged_has_an_incident_of_its_own_and_pages(world: World):
    merged(world)
    own = world.api("POST", "/incidents/1/unmerge", {"alert": "sentry:issue:2"})
    world.expect("ann")
    assert (own["number"], own["status"], own["title"]) == (3, "triggered", "two")
    assert [alert.title for alert in world.incident(1).alerts] == ["one"]
    world.sentry("issue.resolved", 1)
    world.expect("ann", what="resolved")
    assert (world.incident(1).status, world.incident(3).status) == ("resolved", "triggered")
    world.sentry("issue.resolved", 2)
    assert world.incident(3).status == "resolved"
    world.forget()


def test_the_only_alert_cannot_be_unmerged(world: World):
    world.sentry("issue.created", 1)
    world.forget()
    answer = world.call("POST", "/incidents/1/unmerge", {"alert": "sentry:issue:1"})
    assert answer.status_code == 409


def test_unmerging_the_last_that_fires_ends_what_is_left(world: World):
    merged(world)
    world.sentry("issue.resolved", 1)
    world.api("POST", "/incidents/1/unmerge", {"alert": "sentry:issue:2"})
    assert world.incident(1).status == "resolved"
    world.forget()


def test_a_responder_is_paged_besides_whatever_the_state(world: World):
    world.sentry("issue.created")
    world.expect("ann")
    world.act("ann", respond.acknowledge)
    world.expect("ann", what="acknowledged")
    world.api("POST", "/incidents/1/responders", {"user": "bob@example.com"})
    world.expect("bob")
    world.api("POST", "/incidents/1/responders", {"user": "bob@example.com"})
    world.expect_nothing()
    assert [person.name for person in world.incident().assignees] == ["Ann", "Bob"]
    assert world.incident().status == "acknowledged"
    answer = world.call("POST", "/incidents/1/responders", {"user": "nobody@example.com"})
    assert answer.status_code == 400


# -- escalate by hand


def test_escalating_what_was_acknowledged_takes_the_next_step(blank: World):
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m", "cat 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.act("ann", respond.acknowledge)
    blank.forget()
    blank.api("POST", "/incidents/1/escalate", {"step": 1})
    blank.expect("bob")
    assert blank.incident().status == "triggered"
    assert blank.call("POST", "/incidents/1/escalate", {"step": 1}).status_code == 409
    blank.expect_nothing()
    blank.forward(minutes=5)
    blank.expect("cat")


def test_escalating_past_the_last_step_begins_anew(blank: World):
    blank.configure(PEOPLE, policy("ann 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.api("POST", "/incidents/1/escalate")
    blank.expect("ann")


# -- schedules as targets


ROTA = """
schedules:
  - name: primary
    time_zone: UTC
    layers:
      - name: weekly
        rotation: {unit: day, start: "2026-01-05T00:00"}
        participants: [ann@example.com, bob@example.com]
        restrictions: [{from: "08:00", to: "20:00"}]
"""


def test_a_schedule_pages_who_is_on_call_when_the_step_fires(blank: World):
    on_call = steps(
        "{targets: [{schedule: primary}], wait: 21h}", "{targets: [{schedule: primary}], wait: 5m}"
    )
    blank.configure(PEOPLE, ROTA, on_call, SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.forward(hours=21)  # Tuesday at 09:00
    blank.expect("bob")
    blank.expect_nothing()


def test_a_gap_goes_on_to_the_next_step_at_once(blank: World):
    on_call = steps(
        "{targets: [{schedule: primary}], wait: 15m}", "{targets: [{user: cat@example.com}]}"
    )
    blank.configure(PEOPLE, ROTA, on_call, SERVICE)
    blank.forward(hours=10)  # 22:00: nobody
    blank.sentry("issue.created")
    blank.expect("cat")
    assert "step 1 of default reached nobody" in texts(blank)


# -- by hand


@pytest.mark.parametrize("severity", list(Severity))
def test_an_incident_opened_by_hand_follows_the_same_rules(world: World, severity: Severity):
    body = {"service": "checkout", "title": "by hand", "severity": severity.value}
    world.api("POST", "/incidents", body)
    world.expect("ann")
