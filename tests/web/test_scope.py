"""What is of another team: whoever was paged for it, what it takes to name it, and lists."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import event

from tests.web.operations import SPAN
from tests.web.setup_world import Api
from tests.web.two_teams import PEOPLE, email_of, set_up
from tocsin.core.access import scope_of
from tocsin.core.model import Role
from tocsin.store import views
from tocsin.store.deliveries import delivery_page
from tocsin.store.lists import Filter


@pytest.fixture
def teams(api: Api) -> Api:
    """Give an API of two teams; the outsider, a manager, is of ``search``, the others of the other.

    ``walrus shop`` is a service of the others, ``zebra shop`` one of the outsider's team, and
    ``checkout`` is made one of no team.
    """
    set_up(api)
    api.ok("PATCH", "/services/checkout", {"team": None}, who="root")
    return api


def fire(api: Api, word: str, id_: str = "1") -> str:
    """Let an issue of a team fire; return the incident's id."""
    body = json.dumps({"action": "created", "data": {"issue": {"id": id_, "title": "T"}}})
    path = "/in/routing-key-of-the-world" if word == "nobody" else f"/in/key-of-{word}"
    told: dict[str, str] = api.world.post(path, body, prefer="wait=10").json()
    api.world.forget()
    return told["incident_id"]


def ids(api: Api, path: str, who: str = "outsider") -> list[str]:
    """Return what a list shows, page by page."""
    found: list[str] = []
    cursor = ""
    while True:
        page = api.ok("GET", f"{path}{cursor}", who=who)
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            return found
        cursor = f"{'&' if '?' in path else '?'}cursor={page['next']}"


# -- whoever has an incident, or was paged for it


def test_who_was_paged_for_an_incident_of_another_team_sees_it_and_may_answer(teams: Api):
    before, incident, after = (fire(teams, "walrus", id_) for id_ in "123")
    teams.no(404, "GET", f"/incidents/{incident}", who="outsider")
    teams.ok(
        "POST", f"/incidents/{incident}/responders", {"user": email_of("outsider")}, who="root"
    )
    teams.world.settle()
    teams.world.expect("outsider")
    shown = teams.ok("GET", f"/incidents/{incident}", who="outsider")
    assert shown["service"] == {"name": "walrus shop"}
    assert ids(teams, "/incidents") == [incident]
    assert ids(teams, "/incidents?status=triggered&q=T") == [incident]
    mine = teams.ok("GET", f"/notifications?incident={incident}", who="outsider")["items"]
    assert {one["user"]["email"] for one in mine} >= {email_of("outsider"), "ann@example.com"}
    deliveries = ids(teams, "/deliveries")
    assert [teams.ok("GET", f"/deliveries/{id_}", who="outsider")["incident_id"]
            for id_ in deliveries] == [incident]  # fmt: skip
    for action, body in (("acknowledge", None), ("notes", {"text": "mine"}), ("resolve", None)):
        teams.ok("POST", f"/incidents/{incident}/{action}", body, who="outsider")
    # It is over, and they were paged for it all the same.
    assert ids(teams, "/incidents?status=resolved") == [incident]
    for other in (before, after):
        teams.no(404, "POST", f"/incidents/{other}/acknowledge", who="outsider")
    # The service, and who else is paged for it, stay what they are: of another team.
    teams.no(404, "GET", "/services/walrus%20shop", who="outsider")
    teams.world.forget()


def test_who_was_given_an_incident_of_another_team_sees_it(teams: Api):
    incident = fire(teams, "walrus")
    teams.ok("POST", f"/incidents/{incident}/reassign", {"user": email_of("outsider")}, who="root")
    teams.world.settle()
    teams.ok("POST", f"/incidents/{incident}/acknowledge", who="outsider")
    assert ids(teams, "/incidents") == [incident]
    teams.world.settle()
    teams.world.forget()


# -- lists


def test_lists_of_a_team_go_page_by_page_without_missing_or_repeating(teams: Api):
    made = [fire(teams, ("walrus", "zebra", "nobody")[n % 3], str(n)) for n in range(12)]
    own = [id_ for n, id_ in enumerate(made) if n % 3 != 0]
    for incident in (made[3], made[6]):
        body = {"user": email_of("outsider")}
        teams.ok("POST", f"/incidents/{incident}/reassign", body, who="root")
        teams.world.settle()
    teams.world.forget()
    seen = [id_ for id_ in reversed(made) if id_ in own or id_ in (made[3], made[6])]
    for path in ("/incidents?limit=2", "/incidents?limit=3&q=T"):
        assert ids(teams, path) == seen
    assert ids(teams, "/incidents?limit=5", who="root") == made[::-1]
    deliveries = ids(teams, "/deliveries?limit=200", who="root")
    hidden = [one for one, id_ in zip(deliveries, reversed(made), strict=True) if id_ not in seen]
    assert ids(teams, "/deliveries?limit=3") == [one for one in deliveries if one not in hidden]
    assert ids(teams, "/deliveries?limit=3&status=processed") == ids(teams, "/deliveries")
    about = {
        one["incident_id"] for one in teams.ok("GET", "/notifications", who="outsider")["items"]
    }
    assert about == set(seen)
    assert len(ids(teams, "/notifications?limit=2")) == len(set(ids(teams, "/notifications")))


def test_who_sees_everything_is_asked_for_nothing_more(teams: Api):
    """No statement of theirs is narrowed."""
    world, said = teams.world, list[str]()
    event.listen(
        world.database.engine if not world.database.is_sqlite else world.database._reader,
        "before_cursor_execute",
        lambda _c, _u, statement, *_more: said.append(statement),
    )
    plans = world.plans.refresh()
    for role, expected in ((Role.OWNER, False), (Role.MANAGER, True)):
        user = next(one for one in plans.users.values() if one.email == email_of("outsider"))
        said.clear()
        with world.database.read() as connection:
            scope = scope_of(plans, role, user.id)
            views.incident_page(connection, plans, scope, Filter())
            delivery_page(connection, plans, scope, Filter())
            views.notification_page(connection, plans, scope, Filter())
        lists = [one for one in said if "ORDER BY" in one and "LIMIT" in one]
        assert len(lists) == 3
        assert ["UNION" in one for one in lists] == [expected] * 3


def test_messages_about_a_schedule_of_another_team_are_not_listed(teams: Api):
    layer = {"name": "l", "rotation": {"unit": "week", "start": "2025-01-06T00:00"},
             "participants": [email_of("outsider")]}  # fmt: skip
    teams.world.watch()
    teams.ok("PUT", "/me/handoff-notices", {"enabled": True}, who="outsider")
    for who, team in (("walrus", "payments"), ("zebra", "search")):
        body = {"name": f"{who} rota", "team": team, "layers": [layer]}
        teams.ok("POST", "/schedules", body, who="root")
    teams.world.watch()
    teams.world.forget()

    def reasons(who: str) -> set[str]:
        return {one["reason"] for one in teams.ok("GET", "/notifications", who=who)["items"]}

    both = {"on call for walrus rota", "on call for zebra rota"}
    assert reasons("owner") >= both
    # What was told to oneself is one's own.
    assert reasons("outsider") >= both
    assert reasons("manager") & both == {"on call for walrus rota"}


# -- keys


def test_a_key_that_is_nobodys_sees_what_is_of_any_team(teams: Api):
    incident = fire(teams, "walrus")
    teams.keys["nobody"] = teams.nobodys_key(Role.VIEWER)
    assert ids(teams, "/incidents", who="nobody") == [incident]


def test_a_lesser_key_of_an_admin_sees_what_is_of_their_teams(teams: Api):
    incident, other = fire(teams, "walrus"), fire(teams, "zebra")
    teams.keys["lesser"] = teams.person_key("admin", Role.MANAGER)
    assert ids(teams, "/incidents", who="lesser") == [incident]
    assert ids(teams, "/incidents", who="admin") == [other, incident]


def test_who_joins_a_team_sees_what_is_of_it_and_who_leaves_does_not(teams: Api):
    incident = fire(teams, "walrus")
    members = [email_of(who) for who in PEOPLE]
    teams.ok("PATCH", "/teams/payments", {"members": members}, who="root")
    assert ids(teams, "/incidents") == [incident]
    teams.ok("PATCH", "/teams/payments", {"members": members[:-1]}, who="root")
    assert ids(teams, "/incidents") == []


@pytest.mark.parametrize("who", ["outsider", "owner"])
def test_events_by_an_api_key_reach_the_services_its_person_sees(teams: Api, who: str):
    def send(service: str) -> tuple[int, Any]:
        body = {
            "service_id": service, "event_action": "trigger", "dedup_key": "k",
            "payload": {"summary": "disk full", "source": "db1", "severity": "error"},
        }  # fmt: skip
        key = f"Bearer {teams.keys[who]}"
        answer = teams.world.post("/api/events", json.dumps(body), authorization=key)
        teams.world.forget()
        return answer.status_code, answer.text.replace(service, "…")

    assert send("zebra shop")[0] == 202
    assert send("checkout")[0] == 202
    walrus, nothing = send("walrus shop"), send("no shop")
    if who == "owner":
        assert walrus[0] == 202
    else:
        assert walrus == nothing
        assert nothing[0] == 400


# -- changing what others have


def test_what_hidden_things_hold_back_is_told_without_their_names(teams: Api):
    said = teams.no(409, "DELETE", "/teams/payments", who="outsider")
    assert "things of another team" in said
    assert "walrus" not in said
    assert "walrus shop" in teams.no(409, "DELETE", "/teams/payments", who="root")
    key = {"name": "i", "service": "zebra shop", "routing_key": "key-of-walrus"}
    assert "another integration has this key" in teams.no(
        400, "POST", "/integrations", key, who="outsider"
    )


def test_a_name_that_is_not_seen_is_no_suggestion(teams: Api):
    for name in ("walrus shop", "walrus shp"):
        body = {"name": "i", "service": name}
        assert teams.no(400, "POST", "/integrations", body, who="outsider") == (
            f"there is no service {name!r}"
        )
    body = {"name": "i", "service": "zebra shp"}
    assert "did you mean 'zebra shop'?" in teams.no(
        400, "POST", "/integrations", body, who="outsider"
    )


def test_what_a_thing_names_already_it_may_go_on_naming(teams: Api):
    """An integration whose routes lead to two teams, and a policy with a schedule of one."""
    routes = [{"level": ["fatal"], "service": "walrus shop"}]
    teams.ok("PATCH", "/integrations/zebra%20sentry", {"routes": routes}, who="root")
    shown = teams.ok("GET", "/integrations/zebra%20sentry", who="outsider")
    assert shown["routes"] == routes
    teams.ok("PATCH", "/integrations/zebra%20sentry", {"enabled": False}, who="outsider")
    teams.ok("PATCH", "/integrations/zebra%20sentry", {"routes": routes * 2}, who="outsider")
    teams.ok("POST", "/schedules", {"name": "walrus rota", "team": "payments"}, who="root")
    steps = [{"targets": [{"schedule": "walrus rota"}], "wait": "5m", "everybody": False}]
    teams.ok("POST", "/escalation-policies", {"name": "shared", "steps": steps}, who="root")
    teams.ok("PATCH", "/escalation-policies/shared", {"repeat": 1}, who="outsider")
    shown = teams.ok("GET", "/escalation-policies/shared", who="outsider")
    assert (shown["repeat"], shown["steps"]) == (1, steps)
    other = {"name": "o", "steps": steps}
    assert "no schedule 'walrus rota'" in teams.no(
        400, "POST", "/escalation-policies", other, who="outsider"
    )


def test_a_thing_may_be_given_to_nobody_but_not_to_others(teams: Api):
    path = "/services/zebra%20shop"
    said = teams.no(403, "PATCH", path, {"team": "payments"}, who="outsider")
    assert said == (
        "nobody gives things to a team they are no member of: become a member of 'payments' first,"
        " or ask an admin"
    )
    teams.ok("PATCH", path, {"team": None}, who="outsider")
    teams.ok("PATCH", path, {"team": "search"}, who="outsider")


def test_a_preview_of_a_schedule_knows_nothing_of_one_that_is_hidden(teams: Api):
    away = {"user": "ann@example.com", "from": "2026-01-05T00:00", "to": "2026-01-09T00:00"}
    rota = {"name": "walrus rota", "team": "payments", "overrides": [away]}
    teams.ok("POST", "/schedules", rota, who="root")
    draft = {"name": "walrus rota"}
    assert teams.ok("POST", "/schedules/preview", draft, who="manager")["items"]
    assert teams.ok("POST", "/schedules/preview", draft, who="outsider")["items"] == []


# -- maintenance windows


def test_a_window_of_several_teams_is_seen_by_each_and_changed_by_who_sees_all(teams: Api):
    body = {"services": ["walrus shop", "zebra shop"], "reason": "both", **SPAN}
    window = teams.ok("POST", "/maintenance-windows", body, who="root")["id"]
    path = f"/maintenance-windows/{window}"
    assert teams.ok("GET", path, who="outsider")["services"] == ["zebra shop"]
    assert ids(teams, "/maintenance-windows") == [window]
    for method, change in (("PATCH", {"reason": "mine"}), ("DELETE", None), ("PUT", body)):
        said = teams.no(403, method, path, change, who="outsider")
        assert "other teams" in said
    teams.ok("PATCH", path, {"reason": "ours"}, who="admin")


def test_a_window_of_all_services_is_made_by_who_sees_all(teams: Api):
    body = {"reason": "all", **SPAN}
    assert "name services" in teams.no(403, "POST", "/maintenance-windows", body, who="outsider")
    window = teams.ok("POST", "/maintenance-windows", body, who="root")["id"]
    assert ids(teams, "/maintenance-windows") == [window]
    teams.no(403, "DELETE", f"/maintenance-windows/{window}", who="outsider")
    for name in ("walrus shop",):
        teams.ok("PATCH", f"/services/{name}", {"team": None}, who="root")
    teams.ok("POST", "/maintenance-windows", body, who="outsider")


def test_windows_of_others_leave_no_holes_in_pages(teams: Api):
    made = [
        teams.ok(
            "POST", "/maintenance-windows", {"services": [f"{word} shop"], **SPAN}, who="root"
        )["id"]
        for word in ("zebra", "walrus", "walrus", "walrus", "walrus", "zebra", "walrus")
    ]
    assert ids(teams, "/maintenance-windows?limit=1") == [made[5], made[0]]
    assert len(teams.ok("GET", "/maintenance-windows?limit=2", who="outsider")["items"]) == 2


# -- calendars


def test_the_feed_of_a_person_has_shifts_of_any_team(teams: Api):
    teams.ok("POST", "/schedules", {"name": "walrus rota", "team": "payments"}, who="root")
    other = {"user": "ann@example.com"}
    said = teams.no(403, "POST", "/calendar-feeds", other, who="outsider")
    assert "let them make it" in said
    teams.ok("POST", "/calendar-feeds", {"user": email_of("outsider")}, who="outsider")
    teams.ok("POST", "/calendar-feeds", other, who="admin")
    teams.ok("PATCH", "/schedules/walrus%20rota", {"team": None}, who="root")
    teams.ok("POST", "/calendar-feeds", other, who="outsider")
