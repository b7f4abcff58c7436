"""One look at an escalation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import (
    NOW,
    a_method,
    a_rule,
    a_service,
    a_step,
    a_user,
    an_incident,
    at,
    some_plans,
)
from tocsin.core import effects as fx
from tocsin.core.escalation import call, look
from tocsin.core.incident import evolve
from tocsin.core.model import (
    EscalationState,
    Incident,
    IncidentStatus,
    Urgency,
)
from tocsin.core.plans import (
    Plans,
    Step,
    Target,
)


def paged(effects: list[fx.Effect]) -> list[str]:
    return [effect.user_id[4:] for effect in effects if isinstance(effect, fx.Page)]


def after(incident: Incident, effects: list[fx.Effect]) -> Incident:
    for effect in effects:
        incident = evolve(incident, effect, NOW)
    return incident


def looks(incident: Incident, plans: Plans, times: int) -> list[list[str]]:
    """Look so often and say whom each look pages."""
    found = []
    for _ in range(times):
        effects = look(incident, plans, NOW)
        incident = after(incident, effects)
        found.append(paged(effects))
    return found


def test_a_step_pages_its_targets_and_waits():
    effects = look(an_incident(), some_plans(a_step("ann", minutes=5), a_step("bob")), NOW)
    assert paged(effects) == ["ann"]
    assert fx.LookAgainAt(at=at(minutes=5)) in effects


def test_a_page_says_why():
    effects = look(an_incident(), some_plans(a_step("ann")), NOW)
    page = next(effect for effect in effects if isinstance(effect, fx.Page))
    assert page.reason == "step 1 of default"


def test_steps_follow_each_other_and_repeat():
    plans = some_plans(a_step("ann"), a_step("bob"), repeat=2)
    rounds = [["ann"], ["bob"]] * 3
    assert looks(an_incident(), plans, 7) == [*rounds, []]


def test_past_the_last_round_it_is_exhausted_and_nobody_else_is_paged():
    plans = some_plans(a_step("ann"), fallback="bob")
    incident = after(an_incident(), look(an_incident(), plans, NOW))
    effects = look(incident, plans, NOW)
    assert paged(effects) == []
    assert after(incident, effects).escalation.state is EscalationState.EXHAUSTED


def test_an_empty_step_goes_on_at_once_and_says_so():
    plans = some_plans(a_step("team:empty"), a_step("bob"), teams={"empty": ()})
    effects = look(an_incident(), plans, NOW)
    assert paged(effects) == ["bob"]
    assert [e.text for e in effects if isinstance(e, fx.TakeStep)] == [
        "step 1 of default reached nobody",
        "step 2 of default pages Bob",
    ]


def test_a_person_on_two_targets_of_a_step_is_paged_once():
    plans = some_plans(a_step("ann", "team:both"), teams={"both": ("ann", "bob")})
    assert paged(look(an_incident(), plans, NOW)) == ["ann", "bob"]


@pytest.mark.parametrize(
    "plans",
    [
        pytest.param(some_plans(fallback="cat"), id="a policy without steps"),
        pytest.param(some_plans(a_step("gone"), fallback="cat"), id="somebody who left"),
        pytest.param(
            some_plans(a_step("team:none"), repeat=3, teams={"none": ()}, fallback="cat"),
            id="nobody in any round",
        ),
        pytest.param(
            some_plans(
                a_step("ann"),
                users=(a_user("ann", contact_methods=()), a_user("cat")),
                fallback="cat",
            ),
            id="a person without contact methods",
        ),
        pytest.param(
            some_plans(
                a_step("ann"),
                users=(
                    a_user("ann", contact_methods=(a_method("ann", is_verified=False),)),
                    a_user("cat"),
                ),
                fallback="cat",
            ),
            id="only an unverified contact method",
        ),
        pytest.param(
            some_plans(a_step("ann"), service=a_service(escalation_policy_id=None), fallback="cat"),
            id="a service without a policy",
        ),
    ],
)
def test_if_nobody_is_reached_the_fallback_is_paged(plans: Plans):
    incident = an_incident()
    effects = look(incident, plans, NOW)
    assert paged(effects) == ["cat"]
    assert after(incident, effects).escalation.state is EscalationState.NOBODY_NOTIFIED


def test_without_a_fallback_the_timeline_says_what_to_do():
    effects = look(an_incident(), some_plans(), NOW)
    ended = next(effect for effect in effects if isinstance(effect, fx.EndEscalation))
    assert "set one under `fallback`" in ended.text


def test_the_fallback_rings_whatever_its_rules_say():
    silent = a_user("cat", notification_rules=(a_rule("cat", Urgency.LOW),))
    plans = some_plans(users=(silent,), fallback="cat")
    assert paged(look(an_incident(), plans, NOW)) == ["cat"]


def test_who_chose_silence_was_reached_and_calls_no_fallback():
    silent = a_user("ann", notification_rules=(a_rule("ann", Urgency.LOW),))
    plans = some_plans(a_step("ann"), users=(silent, a_user("cat")), fallback="cat")
    incident = an_incident()
    effects = look(incident, plans, NOW)
    assert paged(effects) == []
    taken = next(effect for effect in effects if isinstance(effect, fx.TakeStep))
    assert "Ann chose not to be notified" in taken.text
    second = look(after(incident, effects), plans, NOW)
    assert after(after(incident, effects), second).escalation.state is EscalationState.EXHAUSTED


def test_low_urgency_notifies_the_first_step_and_goes_no_further():
    plans = some_plans(a_step("ann"), a_step("bob"))
    low = an_incident(urgency=Urgency.LOW)
    effects = look(low, plans, NOW)
    assert paged(effects) == ["ann"]
    assert not any(isinstance(effect, fx.LookAgainAt) for effect in effects)
    assert after(low, effects).escalation.state is EscalationState.STOPPED


def test_rules_say_by_what_and_how_long_after_the_page():
    ann = a_user(
        "ann",
        contact_methods=(a_method("ann"), a_method("ann", "mail")),
        notification_rules=(
            a_rule("ann", Urgency.HIGH),
            a_rule("ann", Urgency.HIGH, "mail", minutes=5),
            a_rule("ann", Urgency.LOW, "mail"),
        ),
    )
    effects = look(an_incident(), some_plans(a_step("ann"), users=(ann,)), NOW)
    pages = [effect for effect in effects if isinstance(effect, fx.Page)]
    assert [(page.contact_method_id, page.due_at) for page in pages] == [
        ("cm_ann_hook", NOW),
        ("cm_ann_mail", at(minutes=5)),
    ]


@pytest.mark.parametrize("status", [s for s in IncidentStatus if s is not IncidentStatus.TRIGGERED])
def test_only_a_triggered_incident_is_looked_at(status: IncidentStatus):
    assert look(an_incident(status=status), some_plans(a_step("ann")), NOW) == []


def test_another_policy_than_before_starts_at_its_first_step():
    plans = some_plans(a_step("ann"), a_step("bob"))
    incident = after(an_incident(), look(an_incident(), plans, NOW))
    moved: Any = an_incident(assigned_policy_id="pol_2", escalation=incident.escalation)
    other = some_plans(a_step("cat"))
    both = some_plans(a_step("ann"), a_step("bob"))
    policies = {**both.policies, "pol_2": _renamed(other)}
    from dataclasses import replace

    effects = look(moved, replace(both, policies=policies), NOW)
    assert paged(effects) == ["cat"]


def _renamed(plans: Plans) -> Any:
    from dataclasses import replace

    return replace(plans.policies["pol_1"], id="pol_2", name="other")


def test_a_person_it_was_given_to_is_paged_alone():
    plans = some_plans(a_step("ann"), fallback="cat")
    effects = look(an_incident(assigned_user_id="usr_bob"), plans, NOW)
    assert paged(effects) == ["bob"]


def test_steps_that_were_deleted_meanwhile_end_it_without_error():
    long = some_plans(*(a_step("ann") for _ in range(3)))
    incident = an_incident()
    for _ in range(3):
        incident = after(incident, look(incident, long, NOW))
    short = some_plans(a_step("ann"), repeat=0)
    effects = look(incident, short, NOW + timedelta(minutes=1))
    assert after(incident, effects).escalation.state is EscalationState.EXHAUSTED


def test_round_robins_of_one_step_go_on_together_and_pass_over_nobody():
    """One passes over Ann each time; for her sake the other leaves nobody out."""
    users = (a_user("ann", contact_methods=()), *map(a_user, ("bob", "cat", "dan")))
    rounds = (("usr_ann", "usr_bob"), ("usr_cat", "usr_dan"))
    targets = tuple(Target(kind="round_robin", ids=ids) for ids in rounds)
    step, plans = Step(targets=targets, wait=timedelta(minutes=5)), some_plans(users=users)
    taken, turn = [], 0
    for _ in range(4):
        called = call(step, plans, Urgency.HIGH, turn, NOW)
        taken.append([person.user.name for person in called.people])
        turn += called.moves
    assert taken == [["Bob", "Cat"], ["Bob", "Dan"]] * 2
