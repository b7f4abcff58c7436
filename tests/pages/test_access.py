"""Who may open which page: every handler there is, for nobody and for every role, of every team."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browsing import Browser, signed_in
from tests.pages.things import FILL, OF_THE_TEAM, SCHEDULE, filled, keys_of, made, people
from tests.world import ONE_STEP, SERVICE, World
from tocsin.core.access import ACCESS, Action
from tocsin.core.model import Role
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.web.pages import PAGES

#: Method, path as the handler has it, and what it needs; None is everybody's.
HANDLERS = sorted(
    (
        (method, path, handler.opt["action"])
        for handler in PAGES
        for path in handler.paths
        for method in handler.http_methods
        if method in ("GET", "POST")
    ),
    key=lambda row: (row[1], row[0]),
)

NEEDY = [row for row in HANDLERS if row[2] is not None]

SEES_ALL = {Role.ADMIN, Role.OWNER}


@pytest.fixture(params=["payments", "others"])
def team(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(database: Database, vault: Vault, team: str) -> Iterator[World]:
    with World(database, vault) as world:
        world.configure(people(team), SERVICE, ONE_STEP, SCHEDULE)
        yield world
        world.forget()


def ask(browser: Browser, method: str, path: str) -> int:
    """Open a page or send an empty form; return the status."""
    if method == "GET":
        return browser._ask("GET", path).status_code
    return browser.post(path, follow=False).status_code


def is_stream(path: str) -> bool:
    """Whether an answer never ends once somebody is let in."""
    return path.startswith("/live/")


def test_every_parameter_has_something_behind_it():
    """A page that is added needs a row in ``things.py``."""
    named = {key for _, path, _ in HANDLERS for key in keys_of(path)}
    assert named == set(FILL)


def test_nobody_is_asked_to_sign_in(world: World):
    nobody, things, wrong = Browser(world), made(world), []
    nobody.get("/login")
    for method, path, _ in NEEDY:
        status = ask(nobody, method, filled(path, things))
        if status != 303 or not nobody.response.headers["location"].startswith("/login"):
            wrong.append((method, path, status))
    assert wrong == []


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_the_table_says_with_what_they_see(
    world: World, role: Role, team: str
):
    """Whoever may not is told so; what is of another team is not there; nothing is our fault."""
    browser, things, wrong = signed_in(world, role.value), made(world), []
    browser.get("/help")
    for method, path, action in NEEDY:
        may = action in ACCESS[role]
        is_foreign = team == "others" and role not in SEES_ALL and _is_of_the_team(path)
        if is_stream(path) and may and not is_foreign:
            continue
        status = ask(browser, method, filled(path, things))
        is_right = (
            status == 403 if not may else status == 404 if is_foreign else status not in (401, 403)
        )
        if not is_right or status >= 500:
            wrong.append((method, path, action, status))
    assert wrong == []


def _is_of_the_team(path: str) -> bool:
    return any(segment in OF_THE_TEAM for segment, _ in keys_of(path))


def test_what_needs_nothing_is_what_lets_people_in():
    """Every other page needs somebody who is signed in."""
    free = {path for _, path, action in HANDLERS if action is None}
    assert free == {
        "/", "/login", "/logout", "/forgot", "/help", "/a/{token:str}", "/setup/{key:str}",
        "/invite/{key:str}", "/reset/{key:str}",
    }  # fmt: skip


def test_lists_show_nothing_of_another_team(world: World, team: str):
    made(world)
    bob = signed_in(world, "responder")
    for path in ("/incidents", "/services", "/integrations", "/deliveries", "/schedules",
                 "/maintenance", "/oncall", "/notifications"):  # fmt: skip
        bob.get(path)
        main = bob.text.partition("<main")[2]
        shown = any(f">{name}<" in main for name in ("checkout", "sentry", "primary"))
        assert shown is (team == "payments") or path in ("/maintenance", "/notifications"), path
        if team == "others":
            assert "upgrade" not in main, path


def test_actions_are_a_ladder():
    assert set(Action) == set(ACCESS[Role.OWNER])
