"""Who is on call, and how people change that, through the API, on both databases."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.web.setup_world import Api
from tocsin.core.access import EVERYTHING, Caller
from tocsin.core.model import (
    Actor,
    Role,
)
from tocsin.work.refusals import Conflict
from tocsin.work.rota import Rota, TakeTable

ANN = {"email": "ann@example.com", "name": "Ann"}
BOB = {"email": "bob@example.com", "name": "Bob"}
CAT = {"email": "cat@example.com", "name": "Cat"}

#: Ann every day from 12 to 15 o'clock: the schedule of case C13.
DAILY = {
    "name": "daily",
    "layers": [
        {
            "name": "l",
            "rotation": {"unit": "day", "start": "2026-01-01T12:00"},
            "participants": ["ann@example.com"],
            "restrictions": [{"from": "12:00", "to": "15:00"}],
        }
    ],
}


def oncall(api: Api, query: str = "") -> list[Any]:
    items: list[Any] = api.ok("GET", f"/oncall{query}")["items"]
    return items


def shifts(api: Api, name: str, begins: str, ends: str) -> list[tuple[str, str, str]]:
    """Return who is on call from when to when, in hours."""
    items = api.ok("GET", f"/schedules/{name}/shifts?from={begins}&to={ends}")["items"]
    return [(one["user"]["name"], one["from"][5:16], one["to"][5:16]) for one in items]


# -- asking


def test_c15_who_is_on_call_until_when_and_who_then(api: Api):
    """Schedule, service and user agree, and say until when and who is next."""
    expected = [
        {
            "schedule": "primary",
            "user": ANN,
            "from": "2026-01-05T08:00:00Z",
            "to": "2026-01-12T08:00:00Z",
            "then": {"user": BOB, "from": "2026-01-12T08:00:00Z"},
        }
    ]
    for query in ("", "?schedule=primary", "?service=checkout", "?user=ann@example.com",
                  "?schedule=primary&service=checkout&user=ann@example.com",
                  "?at=2026-01-05T12:00:00Z", "?at=2026-01-05T13:00%2B01:00",
                  "?at=2026-01-05T13:00+01:00"):  # fmt: skip
        assert oncall(api, query) == expected, query
    assert oncall(api, "?user=bob@example.com") == []
    assert oncall(api, "?at=2026-01-12T07:59:59Z")[0]["user"] == ANN
    assert oncall(api, "?at=2026-01-12T08:00:00Z")[0]["user"] == BOB


def test_c15_in_a_gap_nobody_is_on_call_and_that_is_no_error(api: Api):
    """C15: for a gap the list is empty."""
    api.ok("POST", "/schedules", DAILY)
    assert oncall(api, "?schedule=daily&at=2026-01-05T15:00Z") == []
    now = oncall(api, "?schedule=daily&at=2026-01-05T14:59Z")[0]
    assert now["then"] == {"user": ANN, "from": "2026-01-06T12:00:00Z"}
    assert oncall(api, "?service=checkout&schedule=daily") == []


def test_who_is_on_call_for_ever_has_no_end(api: Api):
    layer = {"name": "l", "rotation": {"unit": "week", "start": "2020-01-06T00:00"},
             "participants": ["cat@example.com"]}  # fmt: skip
    api.ok("POST", "/schedules", {"name": "always", "layers": [layer]})
    assert oncall(api, "?schedule=always") == [
        {"schedule": "always", "user": CAT, "from": None, "to": None, "then": None}
    ]


@pytest.mark.parametrize(
    ("status", "query", "says"),
    [
        (404, "?schedule=no", "there is no schedule no"),
        (404, "?service=no", "there is no service no"),
        (404, "?user=no@example.com", "there is no user no@example.com"),
        (400, "?at=tomorrow", "is not a time"),
        (400, "?at=9999-12-31T23:59:59-14:00", "1970 and 2200"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_why(api: Api, status: int, query: str, says: str):
    assert says in api.no(status, "GET", f"/oncall{query}")


def test_shifts_are_cut_to_the_window_and_gaps_are_told(api: Api):
    api.ok("POST", "/schedules", DAILY)
    path = "/schedules/daily/shifts?from=2026-01-05T13:00:00Z&to=2026-01-06T13:00:00Z"
    assert api.ok("GET", path) == {
        "items": [
            {
                "user": ANN,
                "from": "2026-01-05T13:00:00Z",
                "to": "2026-01-05T15:00:00Z",
                "layer": "l",
                "override": False,
            },
            {
                "user": ANN,
                "from": "2026-01-06T12:00:00Z",
                "to": "2026-01-06T13:00:00Z",
                "layer": "l",
                "override": False,
            },
        ],
        "gaps": [{"from": "2026-01-05T15:00:00Z", "to": "2026-01-06T12:00:00Z"}],
    }


def test_local_times_are_those_of_the_schedules_zone(api: Api):
    assert shifts(api, "primary", "2026-01-12T08:00", "2026-01-12T10:00") == [
        ("Ann", "01-12T07:00", "01-12T08:00"),
        ("Bob", "01-12T08:00", "01-12T09:00"),
    ]


@pytest.mark.parametrize(
    ("window", "says"),
    [
        ("from=2026-01-05T00:00Z&to=2028-06-01T00:00Z", "longer than two years"),
        ("from=2026-01-05T00:00Z&to=2026-01-05T00:00Z", "before it begins"),
        ("to=2025-01-05T00:00Z", "before it begins"),
        ("from=now", "is not a time"),
        ("from=0001-01-01T00:00Z", "1970 and 2200"),
    ],
)
def test_a_window_that_makes_no_sense_is_told_why(api: Api, window: str, says: str):
    assert says in api.no(400, "GET", f"/schedules/primary/shifts?{window}")
    assert says in api.no(400, "POST", f"/schedules/preview?{window}", DAILY)


def test_a_preview_saves_nothing(api: Api):
    before = api.export(), api.revision()
    window = "from=2026-01-05T12:00Z&to=2026-01-06T12:00Z"
    seen = api.ok("POST", f"/schedules/preview?{window}", DAILY, who="viewer")
    assert [(one["user"], one["from"]) for one in seen["items"]] == [(ANN, "2026-01-05T12:00:00Z")]
    assert len(seen["gaps"]) == 1
    assert (api.export(), api.revision()) == before
    api.ok("POST", "/schedules", DAILY)
    assert api.ok("GET", f"/schedules/daily/shifts?{window}") == seen


def test_a_preview_of_a_schedule_that_is_there_has_its_overrides(api: Api):
    change = {"user": "cat@example.com", "from": "2026-01-05T12:00Z", "to": "2026-01-05T13:00Z"}
    api.ok("POST", "/schedules/primary/overrides", change)
    body = api.ok("GET", "/schedules/primary")
    del body["id"], body["overrides"]
    window = "from=2026-01-05T12:00Z&to=2026-01-05T14:00Z"
    seen = api.ok("POST", f"/schedules/preview?{window}", body)
    assert seen == api.ok("GET", f"/schedules/primary/shifts?{window}")
    assert [one["override"] for one in seen["items"]] == [True, False]


def test_coverage_tells_what_lies_ahead_and_nothing_else(api: Api):
    body = {**DAILY, "layers": [{**DAILY["layers"][0], "participants": ["ann@example.com", []]}]}
    api.ok("POST", "/schedules", body)
    seen = api.ok("GET", "/schedules/daily/coverage?days=3")
    assert (
        seen["empty_turns"]
        == [
            {"layer": "l", "from": "2026-01-06T12:00:00Z", "to": "2026-01-06T15:00:00Z"},
            {"layer": "l", "from": "2026-01-08T12:00:00Z", "to": "2026-01-08T12:00:00Z"},
        ][:1]
    )
    assert [gap["from"] for gap in seen["gaps"]] == ["2026-01-05T15:00:00Z", "2026-01-07T15:00:00Z"]
    assert seen["gaps"][-1]["to"] == "2026-01-08T12:00:00Z"
    everything = str(api.ok("GET", "/schedules/daily/coverage"))
    assert "2026-01-04" not in everything
    assert api.ok("GET", "/schedules/primary/coverage") == {"gaps": [], "empty_turns": []}
    assert "days" in api.no(400, "GET", "/schedules/primary/coverage?days=0")


# -- overrides


def test_overrides_one_by_one(api: Api):
    sent = {
        "user": "cat@example.com",
        "from": "2026-01-06T00:00",
        "to": "2026-01-07T00:00",
        "kind": "replace",
        "instead_of": "ann@example.com",
    }
    made = api.call("POST", "/schedules/primary/overrides", sent)
    assert made.status_code == 201
    first = made.json()
    assert first == {"id": first["id"], **sent, "created_by": "API key owner"}
    instant = {**sent, "from": "2026-01-06T10:00:00+01:00", "kind": "add", "instead_of": None}
    second = api.ok("POST", "/schedules/primary/overrides", instant)
    assert second["from"] == "2026-01-06T10:00:00+01:00"
    listed = api.ok("GET", "/schedules/primary/overrides?limit=1")
    assert listed["items"] == [second]
    rest = api.ok("GET", f"/schedules/primary/overrides?cursor={listed['next']}")
    assert rest == {"items": [first], "next": None}
    assert oncall(api, "?at=2026-01-06T12:00Z")[0]["user"] == CAT
    for one in (first, second):
        path = f"/schedules/primary/overrides/{one['id']}"
        assert api.call("DELETE", path).status_code == 204
        api.no(404, "DELETE", path)
    assert oncall(api, "?at=2026-01-06T12:00Z")[0]["user"] == ANN


def test_of_overlapping_overrides_the_later_one_wins(api: Api):
    window = {"from": "2026-01-06T00:00", "to": "2026-01-07T00:00"}
    for who in ("bob", "cat"):
        api.ok("POST", "/schedules/primary/overrides", {"user": f"{who}@example.com", **window})
    assert [one["user"] for one in oncall(api, "?at=2026-01-06T12:00Z")] == [CAT]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"user": "no@example.com"}, "there is no user no@example.com"),
        ({"instead_of": "no@example.com"}, "there is no user no@example.com"),
        ({"instead_of": "cat@example.com"}, "name two people"),
        ({"kind": "add", "instead_of": "ann@example.com"}, "is for kind replace"),
        ({"kind": "swap"}, "unknown word 'swap'"),
        ({"from": "2026-01-08T00:00"}, "is not after"),
        ({"to": "soon"}, "is not a time"),
        ({"to": "2300-01-01T00:00"}, "1970 and 2200"),
        ({"for": "1h"}, "unknown key 'for'"),
    ],
)
def test_an_override_that_makes_no_sense_is_told_why(api: Api, change: dict[str, Any], says: str):
    sent = {"user": "cat@example.com", "from": "2026-01-06T00:00", "to": "2026-01-07T00:00"}
    assert says in api.no(400, "POST", "/schedules/primary/overrides", {**sent, **change})


def test_a_responder_may_come_but_send_nobody(api: Api):
    path, window = "/schedules/primary/overrides", {"from": "2026-01-06T00:00",
                                                    "to": "2026-01-07T00:00"}  # fmt: skip
    mine = {"user": "cat@example.com", **window}
    made = api.ok("POST", path, {**mine, "instead_of": "ann@example.com"}, who="cat")
    assert made["created_by"] == "cat@example.com"
    for who, body in (
        ("cat", {**mine, "kind": "remove"}),
        ("cat", {"user": "bob@example.com", **window}),
        ("responder", mine),
        ("viewer", mine),
    ):
        assert api.no(403, "POST", path, body, who=who)
    assert api.no(403, "DELETE", f"{path}/{made['id']}", who="bob")
    api.ok("DELETE", f"{path}/{made['id']}", who="cat")
    theirs = api.ok("POST", path, mine, who="manager")
    assert api.no(403, "DELETE", f"{path}/{theirs['id']}", who="cat")


# -- swaps


def test_c13_a_partly_swapped_shift(api: Api):
    """C13: until it is taken nothing changes; then B has 13 to 14, and today is untouched."""
    api.ok("POST", "/schedules", DAILY)
    whole = [("Ann", "01-06T12:00", "01-06T15:00")]
    today = shifts(api, "daily", "2026-01-05T00:00Z", "2026-01-06T00:00Z")
    offer = api.ok(
        "POST", "/schedules/daily/swaps",
        {"from": "2026-01-06T13:00", "to": "2026-01-06T14:00"}, who="ann",
    )  # fmt: skip
    assert (offer["user"], offer["taken_by"]) == (ANN, None)
    assert shifts(api, "daily", "2026-01-06T00:00Z", "2026-01-07T00:00Z") == whole
    taken = api.ok("POST", f"/schedules/daily/swaps/{offer['id']}/take", who="bob")
    assert taken["taken_by"] == BOB
    assert shifts(api, "daily", "2026-01-06T00:00Z", "2026-01-07T00:00Z") == [
        ("Ann", "01-06T12:00", "01-06T13:00"),
        ("Bob", "01-06T13:00", "01-06T14:00"),
        ("Ann", "01-06T14:00", "01-06T15:00"),
    ]
    assert shifts(api, "daily", "2026-01-05T00:00Z", "2026-01-06T00:00Z") == today


@pytest.fixture
def offered(api: Api) -> str:
    """Give the path of an offer of Ann's."""
    window = {"from": "2026-01-06T00:00", "to": "2026-01-07T00:00"}
    made = api.ok("POST", "/schedules/primary/swaps", window, who="ann")
    assert api.ok("GET", "/schedules/primary/swaps") == {"items": [made], "next": None}
    return f"/schedules/primary/swaps/{made['id']}"


def test_taking_again_changes_nothing_and_another_is_too_late(api: Api, offered: str):
    first = api.ok("POST", f"{offered}/take", who="bob")
    revision = api.revision()
    assert api.ok("POST", f"{offered}/take", {}, who="bob") == first
    assert api.ok("POST", f"{offered}/take", {"user": "bob@example.com"}, who="manager") == first
    assert api.revision() == revision
    assert "bob@example.com has taken" in api.no(409, "POST", f"{offered}/take", who="cat")
    assert "is taken" in api.no(409, "DELETE", offered, who="ann")
    overrides = api.ok("GET", "/schedules/primary/overrides")["items"]
    assert [one["id"] for one in overrides] == [first["override_id"]]
    assert api.no(403, "DELETE", f"/schedules/primary/overrides/{overrides[0]['id']}", who="bob")


def test_a_withdrawn_offer_cannot_be_taken(api: Api, offered: str):
    assert api.no(403, "DELETE", offered, who="bob")
    api.ok("DELETE", offered, who="ann")
    api.ok("DELETE", offered, who="ann")
    assert "withdrawn" in api.no(409, "POST", f"{offered}/take", who="bob")
    assert api.ok("GET", "/schedules/primary/swaps")["items"] == []


def test_an_offer_that_is_over_cannot_be_taken(api: Api, offered: str):
    api.world.forward(days=3)
    assert "is over" in api.no(409, "POST", f"{offered}/take", who="bob")


def test_of_many_who_take_at_once_one_has_it(api: Api, offered: str):
    """Race: of eight takers one has it, and there is one override."""
    world = api.world
    rota, plans = Rota(world.database, world.plans), world.plans.refresh()
    people = [(user.id, user.email) for user in plans.users.values() if user.name != "Ann"]
    id_, results = offered.rsplit("/", maxsplit=1)[-1], list[str]()
    start = threading.Barrier(8)

    def take(user_id: str, email: str) -> None:
        by = Actor(name=email, user_id=user_id)
        caller = Caller(by=by, role=Role.RESPONDER, scope=EVERYTHING)
        start.wait()
        try:
            taken = rota.take("primary", id_, TakeTable(), caller, world.now)
            assert taken.taken_by is not None
            results.append(taken.taken_by.email)
        except Conflict:
            results.append("")

    threads = [threading.Thread(target=take, args=people[n % len(people)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(results) - {""}) == 1
    assert results.count("") == 4
    assert len(api.ok("GET", "/schedules/primary/overrides")["items"]) == 1


@pytest.mark.parametrize(
    ("who", "status", "body", "says"),
    [
        ("bob", 400, {}, "bob@example.com is not on call in primary"),
        ("owner", 400, {}, "belongs to no person"),
        ("bob", 403, {"user": "ann@example.com"}, "may only swap"),
        ("viewer", 403, {}, "viewer"),
        ("manager", 400, {"user": "no@example.com"}, "there is no user"),
        ("ann", 400, {"to": "2026-01-05T00:00"}, "before it begins"),
        ("ann", 400, {"from": "2025-01-01T00:00", "to": "2025-01-02T00:00"}, "over already"),
        ("ann", 400, {"to": "2029-01-02T00:00"}, "longer than two years"),
        ("ann", 400, {"to": "later"}, "is not a time"),
    ],
)
def test_an_offer_that_makes_no_sense_is_told_why(
    api: Api, who: str, status: int, body: dict[str, Any], says: str
):
    sent = {"from": "2026-01-06T00:00", "to": "2026-01-07T00:00", **body}
    assert says in api.no(status, "POST", "/schedules/primary/swaps", sent, who=who)


def test_nobody_takes_their_own_shift(api: Api, offered: str):
    assert "withdraw" in api.no(400, "POST", f"{offered}/take", who="ann")
    assert api.no(404, "POST", "/schedules/primary/swaps/swp_none/take", who="bob")
    assert api.no(404, "POST", offered.replace("primary", "none") + "/take", who="bob")


# -- absences


def test_absences_of_ones_own_and_of_others(api: Api):
    sent = {"from": "2026-01-06T00:00:00Z", "to": "2026-01-07T00:00:00Z"}
    made = api.ok("POST", "/absences", sent, who="ann")
    expected = {"user": "ann@example.com", "kind": "away", **sent, "substitute": None}
    assert made == {"id": made["id"], **expected}
    path = f"/absences/{made['id']}"
    changed = api.ok("PATCH", path, {"substitute": "bob@example.com"}, who="ann")
    assert changed == {**made, "substitute": "bob@example.com"}
    put = {"kind": "quiet", "to": "2026-02-01T00:00:00Z"}
    assert api.ok("PUT", path, put, who="ann")["from"] == "2026-01-05T12:00:00Z"
    for method, body in (("PUT", put), ("PATCH", {"kind": "quiet"}), ("DELETE", None)):
        assert api.no(403, method, path, body, who="bob")
    assert api.no(403, "POST", "/absences", {"user": "bob@example.com", **sent}, who="ann")
    assert api.no(403, "PATCH", path, {"user": "bob@example.com"}, who="ann")
    theirs = api.ok("POST", "/absences", {"user": "bob@example.com", **sent}, who="manager")
    assert [one["id"] for one in api.ok("GET", "/absences")["items"]] == [theirs["id"], made["id"]]
    user = next(u for u in api.world.plans.refresh().users.values() if u.name == "Ann")
    assert [one.id for one in user.absences] == [made["id"]]
    api.ok("DELETE", path, who="ann")
    api.no(404, "GET", path)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"user": None}, "belongs to no person"),
        ({"user": "no@example.com"}, "there is no user"),
        ({"substitute": "no@example.com"}, "there is no user"),
        ({"substitute": "ann@example.com"}, "nobody substitutes for themselves"),
        ({"kind": "quiet", "substitute": "bob@example.com"}, "is for kind away"),
        ({"kind": "gone"}, "unknown word 'gone'"),
        ({"from": "2026-03-01T00:00Z"}, "ends before it begins"),
        ({"from": "2025-03-01T00:00Z", "to": "2025-03-02T00:00Z"}, "ends in the future"),
        ({"to": "2026-03-02T00:00"}, "with Z or an offset"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "1970 and 2200"),
    ],
)
def test_an_absence_that_makes_no_sense_is_told_why(api: Api, body: dict[str, Any], says: str):
    sent = {"user": "ann@example.com", "to": "2026-02-01T00:00Z", **body}
    assert says in api.no(400, "POST", "/absences", sent)


# -- maintenance windows


def test_maintenance_windows(api: Api):
    sent = {
        "services": ["checkout"],
        "match": {"title": ["*timeout*"], "tag.team": ["web"], "environment": ["staging"]},
        "from": "2026-01-05T10:00:00Z",
        "to": "2026-01-05T14:00:00Z",
        "reason": "upgrade",
    }
    made = api.ok("POST", "/maintenance-windows", sent)
    assert made == {"id": made["id"], **sent, "created_by": "API key owner"}
    window = api.world.plans.refresh().maintenance_windows[0]
    assert window.match is not None
    assert (window.match.title, window.match.tags) == (("*timeout*",), (("team", ("web",)),))
    path = f"/maintenance-windows/{made['id']}"
    changed = api.ok("PATCH", path, {"match": None, "services": []})
    assert changed == {**made, "match": None, "services": []}
    assert api.ok("PUT", path, {"to": sent["to"]})["from"] == "2026-01-05T12:00:00Z"
    api.ok("PATCH", path, {"from": sent["from"]})
    assert api.ok("DELETE", path) is None
    assert api.world.plans.refresh().maintenance_windows == ()
    api.no(404, "GET", path)


def test_a_window_without_a_match_leaves_it_null(api: Api):
    made = api.ok("POST", "/maintenance-windows", {"to": "2026-01-06T00:00Z", "match": {}})
    assert (made["services"], made["match"], made["reason"]) == ([], None, "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"services": ["no"]}, "there is no service 'no'"),
        ({"match": {"titel": "x"}}, "did you mean title?"),
        ({"match": {"verb": "none"}}, "match field 'verb' is not known"),
        ({"match": {"service": "checkout"}}, "match field 'service' is not known"),
        ({"reason": "x" * 501}, "at most 500"),
        ({"to": "2026-01-05T11:00Z"}, "before it begins"),
        ({"to": None}, "expected text"),
        ({"from": "2025-01-05T11:00Z", "to": "2025-01-06T11:00Z"}, "in the future"),
    ],
)
def test_a_maintenance_window_that_makes_no_sense_is_told_why(
    api: Api, body: dict[str, Any], says: str
):
    sent = {"to": "2026-01-06T00:00Z", **body}
    assert says in api.no(400, "POST", "/maintenance-windows", sent)


def test_a_window_that_is_ended_pages_for_what_it_kept_quiet(api: Api):
    made = api.ok("POST", "/maintenance-windows", {"to": "2026-01-05T14:00Z"})
    api.world.sentry("issue.created")
    incident = api.ok("GET", "/incidents/1")
    assert (incident["status"], incident["suppressed_until"]) == ("triggered", made["to"])
    api.world.expect_nothing()
    api.ok("DELETE", f"/maintenance-windows/{made['id']}")
    api.world.settle()
    api.world.expect("ann")
    assert api.ok("GET", "/incidents/1")["suppressed_until"] is None


def test_whoever_takes_a_shift_is_paged(api: Api):
    api.ok("PATCH", "/escalation-policies/default", {
        "steps": [{"targets": [{"schedule": "primary"}]}]
    })  # fmt: skip
    window = {"from": "2026-01-05T12:00Z", "to": "2026-01-05T13:00Z"}
    offer = api.ok("POST", "/schedules/primary/swaps", window, who="ann")
    api.world.sentry("issue.created", 1)
    api.world.expect("ann")
    api.ok("POST", f"/schedules/primary/swaps/{offer['id']}/take", who="cat")
    api.world.sentry("issue.created", 2)
    api.world.expect("cat")


def preview(api: Api, **body: Any) -> list[int]:
    """Return the numbers of the incidents that a window would have matched."""
    items = api.ok("POST", "/maintenance-windows/preview", body, who="viewer")["items"]
    return [one["number"] for one in items]


def test_a_window_is_tried_on_what_was(api: Api):
    world = api.world
    api.ok("POST", "/services", {"name": "quiet"})
    world.sentry("issue.created", 1, title="Timeout in A", project="a")
    world.forward(days=8)
    world.sentry("issue.created", 2, title="Timeout in B")
    world.sentry("issue.created", 3, title="Other", level="warning")
    api.ok("POST", "/incidents", {"service": "quiet", "title": "Timeout by hand"})
    world.settle()
    world.forget()
    assert preview(api) == [4, 3, 2], "the first is too old"
    assert preview(api, services=["checkout"]) == [3, 2]
    assert preview(api, match={"title": "Timeout*"}) == [4, 2]
    assert preview(api, services=["quiet"], match={"title": "Timeout*"}) == [4]
    assert preview(api, match={"level": "warning"}) == [3]
    assert preview(api, match={"resource": "issue", "action": ["created"]}) == [3, 2]
    assert preview(api, match={"environment": "moon"}) == []
    sent = {"to": "2026-02-01T00:00Z", "reason": "r", "match": {"title": ["Other"]}}
    assert preview(api, **sent) == [3]
    assert "did you mean" in api.no(
        400, "POST", "/maintenance-windows/preview", {"match": {"titel": "x"}}
    )
