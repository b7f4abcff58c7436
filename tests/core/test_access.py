"""Who sees what: by roles, keys and teams."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import NOW, a_service, an_integration, some_plans
from tocsin.core.access import EVERYTHING, Scope, scope_of
from tocsin.core.model import Role
from tocsin.core.plans import MaintenanceWindow, Plans, Schedule

#: Ann is of team payments, Bob of team search, Cat of none.
TEAMS = {"payments": ("ann",), "search": ("bob",)}


def window(id_: str, *service_ids: str) -> MaintenanceWindow:
    return MaintenanceWindow(
        id=id_,
        service_ids=service_ids,
        match=None,
        begins_at=NOW,
        ends_at=NOW + timedelta(hours=1),
        reason="",
    )


def plans() -> Plans:
    """Return a service, an integration and a schedule of each team and of none; and windows."""
    teams = {"p": "tea_payments", "s": "tea_search", "n": None}
    return replace(
        some_plans(teams=TEAMS),
        services={f"svc_{n}": a_service(id=f"svc_{n}", team_id=id_) for n, id_ in teams.items()},
        integrations={
            f"int_{n}": an_integration(id=f"int_{n}", service_id=f"svc_{n}") for n in teams
        },
        schedules={
            f"sch_{n}": Schedule(id=f"sch_{n}", name=n, time_zone="UTC", team_id=id_)
            for n, id_ in teams.items()
        },
        maintenance_windows=(
            window("mw_all"),
            window("mw_p", "svc_p"),
            window("mw_ps", "svc_p", "svc_s"),
            window("mw_s", "svc_s"),
        ),
    )


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
def test_admins_and_owners_see_everything(role: Role):
    assert scope_of(plans(), role, "usr_cat") is EVERYTHING


@pytest.mark.parametrize("role", list(Role))
def test_a_key_that_is_nobodys_sees_everything(role: Role):
    assert scope_of(plans(), role, None) is EVERYTHING


@pytest.mark.parametrize("role", [Role.VIEWER, Role.RESPONDER, Role.MANAGER])
def test_anybody_else_sees_what_is_of_their_teams_and_of_none(role: Role):
    seen = scope_of(plans(), role, "usr_ann").seen(plans())
    assert set(seen.services) == {"svc_p", "svc_n"}
    assert set(seen.integrations) == {"int_p", "int_n"}
    assert set(seen.schedules) == {"sch_p", "sch_n"}
    assert {one.id for one in seen.maintenance_windows} == {"mw_all", "mw_p", "mw_ps"}
    assert (seen.users, seen.teams, seen.policies) == (
        plans().users, plans().teams, plans().policies,
    )  # fmt: skip


def test_who_is_of_no_team_sees_what_is_of_none():
    seen = scope_of(plans(), Role.MANAGER, "usr_cat").seen(plans())
    assert set(seen.services) == {"svc_n"}
    assert {one.id for one in seen.maintenance_windows} == {"mw_all"}


def test_who_sees_everything_sees_the_plans_as_they_are():
    everything = plans()
    assert EVERYTHING.seen(everything) is everything


def test_what_was_of_a_team_that_is_gone_is_for_those_who_see_everything():
    gone = replace(plans(), teams={})
    assert not scope_of(gone, Role.MANAGER, "usr_ann").has(gone.services["svc_p"])
    assert EVERYTHING.has(gone.services["svc_p"])


def test_all_services_are_those_in_use():
    one = scope_of(plans(), Role.MANAGER, "usr_ann")
    assert not one.has_all(plans())
    retired = replace(plans().services["svc_s"], is_deleted=True)
    assert one.has_all(replace(plans(), services=plans().services | {"svc_s": retired}))


def test_without_any_team_there_is_still_a_scope():
    nothing = Scope(team_ids=frozenset(), user_id="usr_cat")
    assert not nothing.is_everything
    assert nothing.has_team(None)
    assert not nothing.has_team("tea_payments")
