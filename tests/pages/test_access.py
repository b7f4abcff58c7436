"""Who may open which page: every handler there is, for nobody and for every role."""

from __future__ import annotations

import re

import pytest

from tests.browsing import Browser, signed_in
from tests.pages.things import GONE, THINGS, path_of
from tests.world import World
from tocsin.core.access import ACCESS
from tocsin.core.model import Role
from tocsin.web.pages import PAGES

_PARAMETER = re.compile(r"\{([a-z_]+):[a-z]+\}")

#: Method, path as the handler has it, and what it needs.
HANDLERS = sorted(
    (method, path, handler.opt["action"])
    for handler in PAGES
    for path in handler.paths
    for method in handler.http_methods
    if method in ("GET", "POST")
)

NEEDY = [row for row in HANDLERS if row[2] is not None]


def ask(browser: Browser, method: str, path: str) -> int:
    """Open a page or send an empty form; return the status."""
    if method == "GET":
        if path.startswith("/live/"):
            # Its answer never ends: the guard is what is asked about.
            return browser._ask("HEAD", path).status_code
        return browser._ask("GET", path).status_code
    return browser.post(path, follow=False).status_code


def test_every_path_with_a_thing_in_it_has_one_here():
    """A page that is added needs a row in ``things.py``."""
    named = {path for _, path, _ in HANDLERS if _PARAMETER.search(path)}
    assert named == set(THINGS)


def test_nobody_is_asked_to_sign_in(world: World):
    nobody = Browser(world)
    nobody.get("/login")
    wrong = [
        (method, path, nobody.response.status_code)
        for method, path, _ in NEEDY
        if ask(nobody, method, path_of(world, path)) != 303
        or not nobody.response.headers["location"].startswith("/login")
    ]
    assert wrong == []


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_the_table_says(world: World, role: Role):
    """Whoever may not is told so; for others anything but that, and never a fault of ours."""
    browser, wrong = signed_in(world, role.value), []
    for method, path, action in NEEDY:
        if path in GONE:
            continue
        status = ask(browser, method, path_of(world, path))
        is_let_in = status not in (401, 403)
        if is_let_in is not (action in ACCESS[role]) or status >= 500:
            wrong.append((method, path, action, status))
    assert wrong == []
    world.forget()
