"""An incident is never silent: ways in which a page could get lost between two rules."""

from __future__ import annotations

from tests.builders import at
from tests.scenarios.test_cases_b import policy
from tests.scenarios.test_engine import HOURS, merged, service, steps
from tests.scenarios.test_maintenance import stamp, window
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.work import respond
from tocsin.work.respond import Desk


def ask(world: World, who: str, by: str, number: int = 1) -> None:
    """Let a person ask another for help."""
    desk = Desk(world.database, world.plans)
    helper = world.person(who).user_id or ""
    desk.add_responder(str(number), helper, world.caller(by), world.now)
    world.settle()


def test_what_comes_back_is_not_kept_quiet_by_the_window_of_the_cycle_before(blank: World):
    blank.configure(PEOPLE, ONE_STEP, service("reopen_window: 2h"))
    id_ = window(blank, 0, 480)
    blank.sentry("issue.created")
    blank.sentry("issue.resolved")
    blank.call("DELETE", f"/maintenance-windows/{id_}")
    blank.forward(minutes=3)
    blank.sentry("issue.unresolved")
    blank.expect("ann")
    assert blank.incident().suppressed_until is None


def test_a_person_who_was_paged_is_paged_by_a_step_that_moved_to_the_same_number(blank: World):
    three = ("{targets: [{user: bob@example.com}], wait: 5m}",
             "{targets: [{user: ann@example.com}], wait: 5m}",
             "{targets: [{user: ann@example.com}, {user: cat@example.com}], wait: 5m}")  # fmt: skip
    blank.configure(PEOPLE, steps(*three), SERVICE)
    blank.sentry("issue.created")
    blank.expect("bob")
    blank.forward(minutes=5)
    blank.expect("ann")
    blank.configure(PEOPLE, steps(*three[1:]), SERVICE)
    blank.forward(minutes=5)
    blank.expect("ann")
    blank.expect("cat")


def test_who_helped_before_is_asked_again(blank: World):
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    ask(blank, "cat", by="ann")
    blank.expect("cat")
    blank.forward(minutes=5)
    blank.expect("bob")
    assert {person.name for person in blank.incident().assignees} == {"Bob", "Cat"}
    ask(blank, "cat", by="bob")
    blank.expect_nothing()  # she has it already


def test_an_acknowledgement_does_not_take_back_a_call_for_help(blank: World):
    later = PEOPLE.replace(
        '"https://phones.example.com/cat"}\n',
        '"https://phones.example.com/cat"}\n'
        "    notification_rules: [{urgency: high, after: 5m, contact_method: hook}]\n",
    )
    blank.configure(later, policy("ann 30m"), SERVICE)
    blank.sentry("issue.created")
    blank.expect("ann")
    ask(blank, "cat", by="ann")
    blank.forward(minutes=1)
    blank.act("ann", respond.acknowledge)
    blank.expect("ann", what="acknowledged")
    blank.forward(minutes=4)
    blank.expect("cat")


def test_escalating_what_nobody_was_notified_of_pages_the_fallback_again(blank: World):
    blank.configure(PEOPLE, policy(), SERVICE, "fallback: {user: cat@example.com}")
    blank.sentry("issue.created")
    blank.expect("cat")
    blank.forward(minutes=5)
    blank.api("POST", "/incidents/1/escalate")
    blank.expect("cat")


def test_support_hours_that_were_moved_begin_when_they_now_begin(blank: World):
    day = HOURS.replace("'09:00'", "'14:00'").replace("'11:00'", "'18:00'")
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), service(day))
    blank.sentry("issue.created")
    blank.forget()
    blank.forward(minutes=30)
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), service(day.replace("14:00", "15:00")))
    blank.forward(hours=2, minutes=29)
    blank.expect_nothing()
    blank.forward(minutes=1)
    blank.expect("ann")
    assert blank.incident().urgency == "high"


def test_without_support_hours_the_table_counts_at_once(blank: World):
    blank.configure(PEOPLE, ONE_STEP, service(HOURS))
    blank.sentry("issue.created")
    blank.forget()
    blank.configure(PEOPLE, ONE_STEP, SERVICE)
    blank.settle()
    blank.expect("ann")
    assert blank.incident().urgency == "high"


def test_merging_a_loud_one_into_a_quiet_one_makes_it_loud(blank: World):
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m"), SERVICE)
    blank.sentry("issue.created", 1, level="warning")
    blank.sentry("issue.created", 2, level="fatal")
    blank.forget()
    blank.api("POST", "/incidents/2/merge", {"into": 1})
    blank.expect("ann", what="resolved")
    blank.expect("ann")
    target = blank.incident(1)
    assert (target.severity, target.urgency) == ("critical", "high")
    blank.forward(minutes=5)
    blank.expect("bob")


def test_merging_into_one_in_maintenance_does_not_silence_it(world: World):
    window(world, 0, 60, match={"title": ["quiet"]})
    world.sentry("issue.created", 1, title="quiet")
    world.sentry("issue.created", 2, title="loud")
    world.forget()
    world.api("POST", "/incidents/2/merge", {"into": 1})
    world.expect("ann", what="resolved")
    world.expect("ann")


def test_a_window_that_covers_something_else_now_lets_go(world: World):
    id_ = window(world, 0, 480)
    world.sentry("issue.created")
    world.api("PATCH", f"/maintenance-windows/{id_}", {"match": {"title": ["something else"]}})
    world.settle()
    world.expect("ann")


def test_of_two_silences_that_match_the_other_goes_on(world: World):
    window(world, 0, 60, match={"title": ["T*"]})
    second = window(world, 0, 120, match={"title": ["*"]})
    world.sentry("issue.created")
    world.call("DELETE", f"/maintenance-windows/{second}")
    world.forward(minutes=59)
    world.expect_nothing()
    assert world.incident().suppressed_until == at(minutes=60)
    world.forward(minutes=1)
    world.expect("ann")


def test_what_is_unmerged_in_maintenance_is_kept_quiet_too(world: World):
    merged(world)
    window(world, 0, 60)
    own = world.api("POST", "/incidents/1/unmerge", {"alert": "sentry:issue:2"})
    world.expect_nothing()
    assert own["suppressed_until"] == stamp(minutes=60).replace("+00:00", "Z")
    world.forward(minutes=60)
    world.expect("ann")


def test_unmerging_takes_along_what_was_counted_of_it(world: World):
    for _ in range(3):
        world.sentry("issue.created", 2)
        world.sentry("issue.resolved", 2)
    world.sentry("issue.created", 1)
    world.sentry("issue.unresolved", 2)
    world.forget()
    world.api("POST", "/incidents/5/merge", {"into": 4})
    world.sentry("issue.unresolved", 2)
    world.forget()
    assert world.incident(4).occurrence_count == 3
    own = world.api("POST", "/incidents/4/unmerge", {"alert": "sentry:issue:2"})
    world.forget()
    assert (world.incident(4).occurrence_count, own["occurrence_count"]) == (1, 2)


def test_what_another_took_can_be_given_back(world: World):
    world.sentry("issue.created")
    world.forget()
    world.api("POST", "/incidents/1/reassign", {"user": "bob@example.com"})
    world.expect("bob")
    world.api("POST", "/incidents/1/reassign", {"user": "bob@example.com"})
    world.expect_nothing()
    world.act("ann", respond.acknowledge)
    world.forget()
    world.api("POST", "/incidents/1/reassign", {"user": "bob@example.com"})
    world.expect("bob")


def test_who_acknowledged_for_a_step_is_not_paged_for_it_in_the_next_round(blank: World):
    everybody = steps(
        "{targets: [{user: ann@example.com}, {user: bob@example.com}], wait: 10m, everybody: true}",
        repeat=1,
    )
    blank.configure(PEOPLE, everybody, SERVICE)
    blank.sentry("issue.created")
    blank.forget()
    blank.act("ann", respond.acknowledge)
    blank.forward(minutes=10)
    blank.expect("bob")
    blank.expect_nothing()
    blank.act("bob", respond.acknowledge)
    assert blank.incident().status == "acknowledged"
    blank.forget()


def test_in_maintenance_the_escalation_is_stopped_whatever_is_done(world: World):
    window(world, 0, 60)
    world.sentry("issue.created")
    world.api("POST", "/incidents/1/reassign", {"user": "bob@example.com"})
    stand = world.incident().escalation
    assert (stand.state, stand.next_at) == ("stopped", None)
    world.forward(minutes=60)
    world.expect("bob")
