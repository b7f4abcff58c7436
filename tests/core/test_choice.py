"""What a rule at the source chose, and what is offered to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import a_service, an_integration, some_plans
from tocsin.core.choice import choose, offered
from tocsin.core.model import Urgency
from tocsin.core.place import keys_of, values_at
from tocsin.core.plans import Plans, Policy, Route


def plans() -> Plans:
    services = [
        a_service(team_id="tea_1"),
        a_service(id="svc_2", name="billing", team_id="tea_1"),
        a_service(id="svc_3", name="website"),
        a_service(id="svc_4", name="routed", team_id="tea_2"),
        a_service(id="svc_5", name="hidden", team_id="tea_2"),
        a_service(id="svc_6", name="deleted", is_deleted=True),
    ]
    return replace(some_plans(), services={one.id: one for one in services})


ROUTED = an_integration(routes=(Route(service_id="svc_4"),))


def test_an_integration_of_a_team_offers_what_the_team_sees_and_what_it_leads_to():
    assert [one.name for one in offered(plans(), ROUTED)] == [
        "billing", "checkout", "routed", "website",
    ]  # fmt: skip


def test_one_of_no_team_offers_everything_in_use():
    of_all = an_integration(service_id="svc_3")
    assert "hidden" in [one.name for one in offered(plans(), of_all)]
    assert "deleted" not in [one.name for one in offered(plans(), of_all)]


@pytest.mark.parametrize(
    ("choices", "chosen", "missing"),
    [
        ([], (None, None, None), 0),
        ([("service", "billing")], ("billing", None, None), 0),
        ([("urgency", "low"), ("escalation_policy", "default")], (None, "low", "default"), 0),
        ([("service", " billing "), ("urgency", "")], ("billing", None, None), 0),
        ([("title", "x"), ("userId", "1")], (None, None, None), 0),
        ([("service", "hidden")], (None, None, None), 1),
        ([("service", "no"), ("urgency", "no"), ("escalation_policy", "no")], (None,) * 3, 3),
    ],
)
def test_what_was_chosen_as_far_as_it_is_there(
    choices: list[tuple[str, str]], chosen: tuple[Any, ...], missing: int
):
    found = choose(choices, plans(), ROUTED)
    names = (
        found.service and found.service.name,
        found.urgency,
        found.policy and found.policy.name,
    )
    assert names == chosen
    assert len(found.missing) == missing


def test_what_was_chosen_in_words():
    two = replace(plans(), policies={"p": Policy(id="p", name="night", repeat=0, steps=())})
    found = choose([("urgency", "high"), ("escalation_policy", "night")], two, ROUTED)
    assert found.urgency is Urgency.HIGH
    assert found.text == "the rule chose high urgency, policy night"


BODY = {
    "action": "critical",
    "rule": {
        "triggers": [
            {"label": "warning", "actions": [{"of": "us", "settings": 1}]},
            {"label": "critical", "actions": [{"of": "them", "settings": 2},
                                              {"of": "us", "settings": 3}]},
        ]
    },
    "me": {"id": "us"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("rule.triggers[label=/action].actions[of=/me.id].settings", [3]),
        ("rule.triggers[].actions[of=/me.id].settings", [1, 3]),
        ("rule.triggers[].label", ["warning", "critical"]),
        ("rule.triggers[label=/nothing].label", []),
        ("rule.nothing[].label", []),
        ("action[].label", []),
        ("action", ["critical"]),
    ],
)
def test_places_within_lists(path: str, values: list[Any]):
    assert list(values_at(BODY, BODY, keys_of(path))) == values
