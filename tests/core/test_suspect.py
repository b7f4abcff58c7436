"""Whether the author of a suspect commit is paged, and who that is."""

from __future__ import annotations

from dataclasses import replace
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
from tocsin.core.context import Suspect
from tocsin.core.model import Escalation, EscalationState, IncidentStatus, Urgency
from tocsin.core.plans import Absence, AwayKind, Plans
from tocsin.core.suspect import AUTHOR_STEP, Suspicion, page_author

SERVICE = a_service(pages_suspect_author=True)
PLANS = some_plans(a_step("ann"), a_step("bob"), service=SERVICE, teams={"all": ("cat",)})
BEGUN = an_incident(escalation=Escalation(step=1, policy_id="pol_1", cycle=2))


def by(*names: str) -> Suspicion:
    """Return a suspicion of commits by these people."""
    return Suspicion(
        suspects=[
            Suspect(name=name, email=f"{name}@example.com", commit="a1b2c3d", message="Round")
            for name in names
        ]
    )


def paged(effects: tuple[fx.Effect, ...]) -> list[str]:
    return [effect.user_id[4:] for effect in effects if isinstance(effect, fx.Page)]


def away(name: str, **changes: Any) -> Plans:
    """Return the plans with somebody away, and perhaps a substitute."""
    absence = Absence(
        id="abs_1",
        user_id=f"usr_{name}",
        kind=AwayKind.AWAY,
        begins_at=NOW,
        ends_at=at(hours=1),
        **changes,
    )
    users = {**PLANS.users, f"usr_{name}": a_user(name, absences=(absence,))}
    return replace(PLANS, users=users)


def test_the_author_is_paged_at_once_and_it_is_said_why():
    told, page = page_author(BEGUN, PLANS, by("bob"), NOW)
    assert isinstance(told, fx.PageAuthor)
    assert told.text == "pages Bob, who wrote the commit that Sentry suspects (a1b2c3d: Round)"
    assert isinstance(page, fx.Page)
    assert page.reason == "you wrote the commit that Sentry suspects"
    assert (page.user_id, page.due_at) == ("usr_bob", NOW)
    assert (page.step, page.round) == (AUTHOR_STEP, 0)


def test_an_address_is_the_same_in_capitals():
    shouted = Suspicion(suspects=[Suspect(name="Bob", email="BOB@Example.com")])
    assert paged(page_author(BEGUN, PLANS, shouted, NOW)) == ["bob"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param(("nobody", "bob", "ann"), ["bob"], id="the first whom we know"),
        pytest.param(("cat", "ann"), ["ann"], id="the first who is on call"),
        pytest.param(("cat",), [], id="a team of the policy is not on call"),
        pytest.param((), [], id="nobody is suspected"),
    ],
)
def test_one_author_is_paged(names: tuple[str, ...], found: list[str]):
    plans = replace(
        PLANS,
        policies={
            "pol_1": replace(
                PLANS.policies["pol_1"],
                steps=(*PLANS.policies["pol_1"].steps, a_step("team:all")),
            )
        },
    )
    assert paged(page_author(BEGUN, plans, by(*names), NOW)) == found


def test_nobody_is_paged_where_the_service_does_not_ask_for_it():
    plans = some_plans(a_step("bob"))
    assert page_author(BEGUN, plans, by("bob"), NOW) == ()


@pytest.mark.parametrize(
    "incident",
    [
        pytest.param(replace(BEGUN, status=IncidentStatus.ACKNOWLEDGED), id="somebody has it"),
        pytest.param(replace(BEGUN, status=IncidentStatus.SNOOZED), id="it is snoozed"),
        pytest.param(replace(BEGUN, status=IncidentStatus.RESOLVED), id="it is over"),
        pytest.param(replace(BEGUN, suppressed_until=at(minutes=1)), id="it is kept quiet"),
        pytest.param(replace(BEGUN, escalation=Escalation(cycle=2)), id="no step was taken yet"),
    ],
)
def test_nobody_is_paged_while(incident: Any):
    assert page_author(incident, PLANS, by("bob"), NOW) == ()


def test_an_escalation_that_has_ended_is_no_reason_not_to():
    ended = Escalation(cycle=2, state=EscalationState.NOBODY_NOTIFIED)
    assert paged(page_author(replace(BEGUN, escalation=ended), PLANS, by("bob"), NOW)) == ["bob"]


@pytest.mark.parametrize(
    ("who", "run", "found"),
    [
        pytest.param("bob", 2, [], id="the author, in this run"),
        pytest.param("ann", 2, [], id="another of the authors"),
        pytest.param("cat", 2, ["bob"], id="somebody else"),
        pytest.param("bob", 1, ["bob"], id="the author, in an earlier run"),
    ],
)
def test_one_page_in_a_run_is_enough(who: str, run: int, found: list[str]):
    known = replace(by("bob", "ann"), paged=frozenset({(f"usr_{who}", run)}))
    assert paged(page_author(BEGUN, PLANS, known, NOW)) == found


def test_who_is_away_is_not_on_call_and_their_substitute_is():
    gone = away("bob", substitute_id="usr_cat")
    assert paged(page_author(BEGUN, gone, by("bob"), NOW)) == []
    assert paged(page_author(BEGUN, gone, by("cat"), NOW)) == ["cat"]


def test_they_are_paged_by_their_rules_for_its_urgency():
    rules = (a_rule("bob", Urgency.LOW, "mail"), a_rule("bob", Urgency.HIGH, minutes=2))
    bob = a_user(
        "bob",
        contact_methods=(a_method("bob"), a_method("bob", "mail")),
        notification_rules=rules,
    )
    plans = replace(PLANS, users={**PLANS.users, "usr_bob": bob})
    _, loud = page_author(BEGUN, plans, by("bob"), NOW)
    assert isinstance(loud, fx.Page)
    assert (loud.contact_method_id, loud.due_at) == ("cm_bob_hook", NOW + timedelta(minutes=2))
    _, low = page_author(replace(BEGUN, urgency=Urgency.LOW), plans, by("bob"), NOW)
    assert isinstance(low, fx.Page)
    assert (low.contact_method_id, low.due_at) == ("cm_bob_mail", NOW)


def test_who_chose_silence_is_passed_over():
    bob = a_user("bob", notification_rules=(a_rule("bob", Urgency.LOW),))
    plans = replace(PLANS, users={**PLANS.users, "usr_bob": bob})
    assert paged(page_author(BEGUN, plans, by("bob", "ann"), NOW)) == ["ann"]
