"""htmx and Pico, as they are built in, keep a policy that allows nothing inline and no eval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import OpenPage
from tests.outside import Shelf, shelf

VENDOR = Path(__file__).parents[2] / "src" / "tocsin" / "web" / "static" / "vendor"

#: Pico draws its arrows and ticks with pictures that its style sheet contains: ``data:``.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'self'"
)

PAGE = """<!doctype html>
<html lang="en">
<title>A page</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/pico.min.css">
<script src="/htmx.min.js"></script>
<main class="container">
  <h1>A page</h1>
  <p id="morphed">before</p>
  <button hx-get="/fragment" hx-target="#morphed" hx-swap="outerMorph">Morph</button>
  <label>Choice <select><option>one</select></label>
  <label>Search <input type="search" aria-invalid="true"></label>
  <label><input type="checkbox" checked> Ticked</label>
  <p>Some text with a <a href="/">link</a>, and <small>some of it small</small>.</p>
</main>
"""


@pytest.fixture
def address() -> Iterator[str]:
    """Give the address of a page that uses what is built in."""
    with shelf() as made:
        put(made, "/page", PAGE.encode(), "text/html", POLICY)
        put(made, "/fragment", b'<p id="morphed">after</p>', "text/html")
        for name, kind in [
            ("htmx.min.js", "text/javascript"),
            ("pico.min.css", "text/css"),
        ]:
            put(made, f"/{name}", (VENDOR / name).read_bytes(), kind)
        yield f"{made.base}/page"


def put(made: Shelf, path: str, body: bytes, kind: str, policy: str = "") -> None:
    made.documents[path] = body
    made.answers[path] = (200, {"Content-Type": kind, "Content-Security-Policy": policy})


def test_htmx_morphs_under_a_strict_policy(address: str, page: Page) -> None:
    page.goto(address)
    page.get_by_role("button", name="Morph").click()
    expect(page.locator("#morphed")).to_have_text("after")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_what_pico_styles(
    address: str, open_page: OpenPage, scheme: str
) -> None:
    page = open_page(color_scheme=scheme)
    page.goto(address)
    assert_accessible(page)
