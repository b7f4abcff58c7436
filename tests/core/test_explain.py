"""Who would be paged, in sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time

import pytest

from tests.builders import NOW, a_method, a_rule, a_service, a_step, a_user, at, some_plans
from tocsin.core.explain import Explanation, explain
from tocsin.core.model import (
    Severity,
    Urgency,
)
from tocsin.core.plans import (
    Layer,
    MaintenanceWindow,
    Plans,
    Restriction,
    Rotation,
    RotationUnit,
    Route,
    Schedule,
    Step,
    SupportHours,
    Target,
)


def told(plans: Plans, severity: Severity = Severity.ERROR) -> Explanation:
    return explain(plans, plans.services["svc_1"], severity, None, NOW)


def rota(*people: str) -> Schedule:
    rotation = Rotation(unit=RotationUnit.DAY, length=1, start=datetime(2026, 1, 5))  # noqa: DTZ001
    layer = Layer(
        name="daily", rotation=rotation, participants=tuple((f"usr_{name}",) for name in people)
    )
    return Schedule(id="sch_1", name="primary", time_zone="UTC", layers=(layer,))


def test_each_step_is_a_sentence_with_its_time_and_ways():
    methods = (a_method("ann"), a_method("ann", "mail", channel="email"))
    rules = (a_rule("ann", Urgency.HIGH), a_rule("ann", Urgency.HIGH, "mail", minutes=5))
    ann = a_user("ann", contact_methods=methods, notification_rules=rules)
    plans = some_plans(
        a_step("ann"), a_step("bob", minutes=10), users=(ann, a_user("bob")), fallback="bob"
    )
    assert told(plans).sentences == (
        "An incident of checkout with severity error has high urgency.",
        "At once, step 1 of default pages Ann: hook at once, mail after 5m.",
        "After 5m, step 2 of default pages Bob: hook at once.",
        "After 15m, no step is left: it stays triggered, and nobody else is paged.",
    )
    assert told(plans).warnings == ()


def test_rounds_are_told_once():
    plans = some_plans(a_step("ann"), repeat=2, fallback="ann")
    assert told(plans).sentences[-1] == "After 5m: all of it again, 2 times more."


def test_a_schedule_says_until_when():
    step = Step(targets=(Target(kind="schedule", ids=("sch_1",)),), wait=at(minutes=5) - NOW)
    plans = replace(some_plans(step, fallback="cat"), schedules={"sch_1": rota("ann", "bob")})
    assert (
        "At once, step 1 of default pages Ann (on call for primary until 2026-01-06 00:00 UTC):"
        " hook at once." in told(plans).sentences
    )


def test_a_gap_is_flagged_and_the_next_step_taken_at_once():
    step = Step(targets=(Target(kind="schedule", ids=("sch_1",)),), wait=at(minutes=5) - NOW)
    plans = replace(some_plans(step, a_step("bob"), fallback="cat"), schedules={"sch_1": rota()})
    said = told(plans)
    gap, then = said.sentences[1:3]
    assert gap.startswith("At once, step 1 of default reaches nobody (primary: nobody is on call)")
    assert gap.endswith("and goes on at once.")
    assert then == "At once, step 2 of default pages Bob: hook at once."
    assert said.warnings == ("step 1 reaches nobody at that time: primary: nobody is on call",)


def test_a_round_robin_names_all_of_its_people():
    step = Step(
        targets=(Target(kind="round_robin", ids=("usr_ann", "usr_bob")),), wait=at(minutes=5) - NOW
    )
    assert told(some_plans(step, fallback="cat")).sentences[1] == (
        "At once, step 1 of default pages Ann (or the next in turn of Ann, Bob): hook at once."
    )


def test_low_urgency_goes_no_further():
    plans = some_plans(a_step("ann"), a_step("bob"), fallback="cat")
    assert told(plans, Severity.WARNING).sentences == (
        "An incident of checkout with severity warning has low urgency.",
        "At once, step 1 of default pages Ann: hook at once.",
        "Urgency is low: nobody else is paged.",
    )


@pytest.mark.parametrize(
    ("fallback", "sentence", "warning"),
    [
        ("cat", "At once, nobody was notified; Cat is paged as the fallback.", None),
        (
            None,
            "At once, nobody was notified; and no fallback can be reached.",
            "no fallback is set: name a person under `fallback` who is paged when nobody else is",
        ),
    ],
)
def test_an_empty_policy_says_who_hears_of_it(
    fallback: str | None, sentence: str, warning: str | None
):
    said = told(some_plans(fallback=fallback))
    assert said.sentences[-1] == sentence
    assert said.warnings[0] == "default has no step: add one"
    assert (warning in said.warnings) is (warning is not None)


def test_a_person_without_a_way_is_flagged():
    bare = a_user("bob", contact_methods=(a_method("bob", is_verified=False),))
    said = told(some_plans(a_step("bob"), users=(bare, a_user("cat")), fallback="cat"))
    assert any("Bob, who has no contact method" in warning for warning in said.warnings)


def test_maintenance_and_support_hours_are_said_first():
    hours = Restriction(days=frozenset({1}), begins=time(9), ends=time(17))
    support = SupportHours(time_zone="UTC", hours=hours, outside=Urgency.LOW)
    window = MaintenanceWindow(
        id="mw_1", service_ids=(), match=None, begins_at=NOW, ends_at=at(hours=1), reason="move"
    )
    plans = some_plans(a_step("ann"), service=a_service(support_hours=support), fallback="ann")
    said = told(replace(plans, maintenance_windows=(window,)))
    hours_said, raised, maintained = said.sentences[:3]
    assert hours_said.endswith("has low urgency; it is outside support hours.")
    assert raised.startswith("When support hours begin, it is raised to high urgency")
    assert maintained.endswith("nobody is paged before 2026-01-05 13:00 UTC.")


def a_window(begins: int, ends: int, **more: object) -> MaintenanceWindow:
    window = MaintenanceWindow(
        id=f"mw_{begins}", service_ids=(), match=None, begins_at=at(hours=begins),
        ends_at=at(hours=ends), reason="move",
    )  # fmt: skip
    return replace(window, **more)  # type: ignore[arg-type]


def test_in_maintenance_the_course_begins_when_it_ends():
    plans = some_plans(a_step("ann"), a_step("bob", minutes=10), fallback="bob")
    windows = (a_window(0, 1), a_window(1, 2), a_window(3, 4))
    said = told(replace(plans, maintenance_windows=windows)).sentences
    assert said[2:] == (
        (
            "When maintenance ends, at 2026-01-05 14:00 UTC, step 1 of default pages Ann:"
            " hook at once."
        ),
        "After 5m, step 2 of default pages Bob: hook at once.",
        "After 15m, no step is left: it stays triggered, and nobody else is paged.",
    )


def test_in_maintenance_it_is_said_who_is_on_call_at_its_end():
    step = Step(targets=(Target(kind="schedule", ids=("sch_1",)),), wait=at(minutes=5) - NOW)
    plans = replace(
        some_plans(step, users=(a_user("ann"), a_user("bob"))),
        schedules={"sch_1": rota("ann", "bob")},
        maintenance_windows=(a_window(-1, 20),),
    )
    assert "pages Bob (on call for primary" in told(plans).sentences[2]


def test_a_window_for_some_incidents_holds_up_nothing_that_is_told():
    window = a_window(0, 1, match=Route(title=("x",)))
    plans = replace(some_plans(a_step("ann")), maintenance_windows=(window,))
    assert told(plans).sentences[2].startswith("At once, step 1")
