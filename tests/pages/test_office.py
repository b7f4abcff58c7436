"""Teams, API keys, the audit log, health and help."""

from __future__ import annotations

import csv
import io
import re

import pytest

from tests.browsing import Browser, signed_in
from tests.world import World
from tocsin.core.model import Actor
from tocsin.store import audit, jobs
from tocsin.store.jobs import Kind

HOSTILE = '<script>alert(1)</script>"><img onerror=x> \N{FOX FACE}'


# -- teams


def test_a_team_is_made_renamed_filled_and_removed(world: World):
    boss = signed_in(world, "manager")
    boss.post("/teams", {"name": "search"})
    assert "search was made" in boss.words
    at = boss.response.request.url.path
    boss.post(at, [("name", "find"), ("member", "bob@example.com"), ("member", "ann@example.com")])
    team = next(one for one in world.plans.refresh().teams.values() if one.name == "find")
    assert team.member_ids == (world.user("bob").id, world.user("ann").id)
    boss.post(at, [("name", "find"), ("member", "bob@example.com"), ("member", "ann@example.com"),
                   ("up", "ann@example.com")])  # fmt: skip
    team = world.plans.refresh().teams[team.id]
    assert team.member_ids == (world.user("ann").id, world.user("bob").id)
    boss.post(f"{at}/remove")
    assert "find was removed" in boss.words
    assert team.id not in world.plans.refresh().teams


def test_a_team_that_something_names_stays_and_says_why(world: World):
    boss = signed_in(world, "manager")
    team = next(one for one in world.plans.refresh().teams.values() if one.name == "payments")
    assert boss.post(f"/teams/{team.id}/remove").status_code == 422
    assert "is still named by service 'checkout'" in boss.words


def test_a_wrong_team_is_shown_again(world: World):
    boss = signed_in(world, "manager")
    assert boss.post("/teams", {"name": "payments"}).status_code == 422
    assert 'value="payments"' in boss.text
    boss.post("/teams", {"name": HOSTILE})
    assert "<script>alert" not in boss.text
    assert "<img" not in boss.text
    assert boss.get("/teams/nothing").status_code == 404


@pytest.mark.parametrize("who", ["viewer", "responder"])
def test_who_may_not_configure_reads_teams(world: World, who: str):
    reader = signed_in(world, who)
    reader.get("/teams")
    assert "payments" in reader.words
    assert "Make the team" not in reader.words
    assert reader.post("/teams", {"name": "x"}).status_code == 403


# -- API keys


def test_a_key_is_shown_once_works_and_is_revoked(world: World):
    boss = signed_in(world, "admin")
    boss.post("/keys", {"name": "deploy", "role": "responder", "user": "bob@example.com"})
    key = re.search(r'id="made-key"[^>]*>([^<]+)<', boss.text)
    assert key is not None
    assert world.call("GET", "/me", key=key[1]).json()["user"]["email"] == "bob@example.com"
    boss.get("/keys")
    assert key[1] not in boss.text
    assert "deploy" in boss.words
    row = re.search(r'action="(/keys/[^"]+/revoke)" data-confirm="Revoke deploy', boss.text)
    assert row is not None
    boss.post(row[1])
    assert world.call("GET", "/me", key=key[1]).status_code == 401


@pytest.mark.parametrize(
    "typed",
    [{"name": "", "role": "viewer"}, {"name": "n", "role": "king"}, {"name": "n", "role": "owner"},
     {"name": "n", "role": "manager", "user": "bob@example.com"},
     {"name": "n", "role": "viewer", "user": "nobody@example.com"}, {"name": "n" * 201}],
)  # fmt: skip
def test_a_wrong_key_is_shown_again(world: World, typed: dict[str, str]):
    boss = signed_in(world, "admin")
    assert boss.post("/keys", typed).status_code == 422
    assert "made-key" not in boss.text


def test_a_key_above_ones_own_role_stays(world: World):
    boss = signed_in(world, "admin")
    boss.get("/keys")
    row = re.search(r'action="(/keys/[^"]+/revoke)" data-confirm="Revoke world', boss.text)
    assert row is not None
    assert boss.post(row[1]).status_code == 422
    assert world.call("GET", "/me").status_code == 200


# -- the audit log


def test_the_log_is_newest_first_and_narrowed(world: World):
    boss = signed_in(world, "admin")
    boss.post("/teams", {"name": HOSTILE})
    boss.get("/audit")
    assert "<script>alert" not in boss.text
    first = boss.words.partition(" How ")[2]
    assert "admin@example.com" in first
    assert first.index("team: added") < first.index("service")
    boss.get("/audit?actor=ADMIN@&kind=team&q=fox")
    assert "Nothing in the log is like that" in boss.words
    boss.get("/audit?actor=ADMIN@&kind=team.added&q=ALERT")
    assert "admin@example.com" in boss.words


def test_the_log_goes_on_page_by_page(world: World):
    def fill(connection):
        for number in range(120):
            audit.add(connection, world.now, Actor(name="x"), "team.added", f"number {number}.")

    world.database.run(fill)
    boss, seen = signed_in(world, "admin"), []
    path: str | None = "/audit?actor=x&kind=team"
    while path:
        boss.get(path)
        seen += re.findall(r"number (\d+)\.", boss.text)
        older = re.search(r'href="([^"]+cursor=[^"]+)">Older', boss.text)
        path = older[1].replace("&amp;", "&") if older else None
    assert seen == [str(number) for number in range(119, -1, -1)]
    assert boss.get("/audit?cursor=nonsense").status_code == 400


def test_the_log_as_a_table_holds_no_formula(world: World):
    def fill(connection):
        for subject in ("=1+1", "+1", "-1", "@x", 'fine, "quoted"'):
            audit.add(connection, world.now, Actor(name="x"), "team.added", subject)

    world.database.run(fill)
    boss = signed_in(world, "admin")
    response = boss.get("/audit.csv?actor=x")
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == ["at", "actor", "kind", "subject", "detail", "address"]
    assert [row[3] for row in rows[1:]] == ['fine, "quoted"', "'@x", "'-1", "'+1", "'=1+1"]


@pytest.mark.parametrize("path", ["/audit", "/audit.csv", "/keys"])
@pytest.mark.parametrize("who", ["viewer", "responder", "manager"])
def test_only_who_administers_reads_it(world: World, path: str, who: str):
    assert signed_in(world, who).get(path).status_code == 403


# -- health


def test_health_says_what_could_stop_a_page_and_what_to_do(world: World):
    world.configure(
        "users: [{email: ann@example.com, name: Ann, role: owner}]",
        "services: [{name: lonely}]",
    )
    boss = signed_in(world, "ann")
    boss.get("/health")
    assert "There are no integrations" in boss.words
    assert "could stop a page" in boss.words
    assert "looked for work" in boss.words


def test_work_that_was_given_up_is_shown_with_its_error(world: World):
    def bury(connection):
        jobs.put(connection, [(Kind.SWEEP, "it", world.now)])
        [job] = jobs.take(connection, Kind.SWEEP, world.now, 1)
        jobs.bury(connection, job, world.now, f"boom {HOSTILE}")

    world.database.run(bury)
    boss = signed_in(world, "admin")
    boss.get("/health")
    assert "boom <script>" in boss.words
    assert "<script>alert" not in boss.text
    viewer = signed_in(world, "viewer")
    viewer.get("/health")
    assert "boom" not in viewer.words
    assert "Not all is well" in viewer.words


# -- help


def test_everybody_reads_the_help(world: World):
    nobody = Browser(world)
    assert nobody.get("/help").status_code == 200
    for word in (
        "Connect Sentry in five steps",
        "acknowledged",
        "Escalation policy",
        "/openapi.json",
    ):
        assert word in nobody.words
    assert "checkout" not in nobody.words
    assert "example.com" not in nobody.words
