"""S9: no other site changes anything through a browser, and no GET changes anything at all."""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from sqlalchemy import select

from tests.browsing import Browser, signed_in
from tests.pages.test_access import HANDLERS, is_stream
from tests.pages.things import filled, made
from tests.security.door import IS_FULL
from tests.web import operations
from tests.world import BASE, World
from tocsin.store.tables import metadata

FORM = "application/x-www-form-urlencoded"

FORMS = sorted({path for method, path, _ in HANDLERS if method == "POST"})
PAGES = sorted({path for method, path, _ in HANDLERS if method == "GET" and not is_stream(path)})

#: What browsers say of requests that come from elsewhere, or that are made look so.
FOREIGN: Mapping[str, Mapping[str, str]] = {
    "from another site": {"sec_fetch_site": "cross-site", "origin": "https://evil.example"},
    "from a neighbour": {"sec_fetch_site": "same-site", "origin": "http://other.tocsin.test"},
    "of an old browser": {"origin": "https://evil.example"},
    "of a sandboxed frame": {"origin": "null"},
    "from another port": {"origin": "http://tocsin.test:8080"},
    "over a name that begins alike": {"origin": "http://tocsin.test.evil.example"},
    "with a user in it": {"origin": "http://tocsin.test@evil.example"},
}

#: More links than these are the same again with other parameters.
_MOST_LINKS = 700 if IS_FULL else 200


def digest(world: World) -> str:
    """Return a digest of every row there is."""
    found = hashlib.sha256()
    with world.database.read() as connection:
        for table in metadata.sorted_tables:
            rows = sorted(repr(tuple(row)) for row in connection.execute(select(table)))
            found.update("\n".join([table.name, *rows]).encode())
    return found.hexdigest()


def test_the_digest_sees_what_changes(world: World):
    before = digest(world)
    world.api("POST", "/teams", {"name": "another", "members": []})
    assert digest(world) != before


@pytest.mark.parametrize("name", FOREIGN)
def test_s9_no_form_is_taken_that_comes_from_elsewhere(world: World, name: str):
    """Though it has the right token, as if that had been stolen."""
    things, owner, taken = made(world), signed_in(world, "owner"), []
    owner.get("/help")
    before = digest(world)
    body = urlencode({"_csrf_token": owner.token, "name": "x", "do": "remove"}).encode()
    for path in FORMS:
        response = owner._ask(
            "POST", filled(path, things), body, content_type=FORM, **FOREIGN[name]
        )
        if response.status_code != 403:
            taken.append((path, response.status_code))
    assert taken == []
    assert digest(world) == before
    assert len(FORMS) > 60


@pytest.mark.parametrize("kind", [FORM, "text/plain", "application/json", "multipart/form-data"])
def test_s9_no_form_is_taken_without_its_token(world: World, kind: str):
    """Nor with a token in a body that pages do not send."""
    things, owner, taken = made(world), signed_in(world, "owner"), []
    owner.get("/help")
    before = digest(world)
    bodies = [b"", urlencode({"name": "x"}).encode(), b'{"name":"x"}', b"_csrf_token=",
              b"_csrf_token=" + b"0" * 128]  # fmt: skip
    if kind != FORM:
        bodies.append(json.dumps({"_csrf_token": owner.token}).encode())
    with world.held():
        for path, body in itertools.product(FORMS, bodies):
            response = owner._ask("POST", filled(path, things), body, content_type=kind)
            if not 400 <= response.status_code < 500:
                taken.append((path, body[:20], response.status_code))
    assert taken == []
    assert digest(world) == before


def test_s9_the_token_of_another_browser_is_none(world: World):
    things, owner, other, taken = made(world), signed_in(world, "owner"), Browser(world), []
    owner.get("/help")
    other.get("/login")
    before = digest(world)
    body = urlencode({"_csrf_token": other.token}).encode()
    for path in FORMS:
        response = owner._ask("POST", filled(path, things), body, content_type=FORM)
        if response.status_code != 403:
            taken.append((path, response.status_code))
    assert taken == []
    assert digest(world) == before


def test_s9_a_browser_that_is_signed_in_is_nobody_to_the_api(world: World):
    """So that there is no form to forge: it wants a key, which no browser sends by itself."""
    owner, before = signed_in(world, "owner"), digest(world)
    cookie = "; ".join(f"{name}={value}" for name, value in owner.cookies.items())
    rows = {(row.method, row.path) for row in operations.ROWS}
    for method, path in sorted(rows):
        for kind in ("application/json", "text/plain", FORM):
            response = world.raw(
                method, f"/api/v1{path}", content=b"{}", headers={"cookie": cookie,
                "content-type": kind, "origin": BASE, "sec-fetch-site": "same-origin"},
            )  # fmt: skip
            assert response.status_code == 401, (method, path, response.status_code)
    assert digest(world) == before


def links_of(text: str, at: str) -> set[str]:
    """Return the addresses on a page that are ours."""
    found = set()
    for link in re.findall(r'\s(?:href|src|hx-get)="([^"]*)"', text):
        url = urlsplit(urljoin(BASE + at, html.unescape(link)))
        if url.netloc == urlsplit(BASE).netloc and not is_stream(url.path):
            found.add(f"{url.path}?{url.query}".rstrip("?"))
    return found


def test_s9_a_crawler_that_is_an_owner_changes_nothing(world: World):
    """It opens every page there is, and whatever they lead to; and asks for their heads too."""
    things, owner = made(world), signed_in(world, "owner")
    to_open = {filled(path, things) for path in PAGES}
    opened: set[str] = set()
    before = digest(world)
    with world.held():
        while (left := sorted(to_open - opened)) and len(opened) < _MOST_LINKS:
            for path in left[: _MOST_LINKS - len(opened)]:
                opened.add(path)
                response = owner._ask("GET", path)
                assert response.status_code < 500, path
                if "text/html" in response.headers.get("content-type", ""):
                    to_open |= links_of(response.text, path)
                elif "location" in response.headers:
                    to_open |= links_of(f' href="{response.headers["location"]}"', path)
        for path in PAGES:
            assert owner._ask("HEAD", filled(path, things)).status_code < 500, path
    assert digest(world) == before
    assert len(opened) > len(PAGES) + 50
    world.expect_nothing()
