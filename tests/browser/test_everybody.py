"""Every page, for everybody: light and dark, on a phone, without scripts, whatever a title is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import CONTRAST, EVERY_RULE, grave_findings
from tests.browser.complaints import Complaints
from tests.browser.conftest import OpenPage
from tests.browser.furnished import HOSTILE, PASSWORD, Furnished
from tocsin.web.pages import PAGES

#: Answers to GET that are no pages: files.
NO_PAGES = {"/audit.csv", "/deliveries/{delivery_id:str}/body"}

#: What some paths are asked with.
ASKED: dict[str, str] = {
    "/schedules/{reference:str}/shift": (
        "?from=2031-01-06T08:00Z&to=2031-01-13T08:00Z&user=bob%40example.com"
    ),
}

#: Pages in other states than those that their paths alone lead to.
MORE = (
    "/incidents?tab=all",
    "/incidents?tab=mine",
    "/incidents?q=nothing+is+called+so&status=triggered",
    "/incidents/2",
    "/incidents/3",
    "/integrations/plugin",
    "/integrations/plugin?kind=plugin",
    "/integrations/events",
    "/welcome?step=how",
    "/welcome?step=who",
)

PATHS = sorted(
    path
    for handler in PAGES
    for path in handler.paths
    if "GET" in handler.http_methods and path not in NO_PAGES and not path.startswith("/live/")
)

#: What nobody needs to sign in for.
DOORS = sorted(
    path
    for handler in PAGES
    for path in handler.paths
    if "GET" in handler.http_methods and handler.opt["action"] is None
)

NOWHERE = "/nothing-is-here"

#: Hardly anybody has a smaller phone than this one.
PHONE = {"width": 360, "height": 740}
LAPTOP = {"width": 1280, "height": 800}

#: Nothing moves, so that a colour is not on its way to another.
STILL: dict[str, Any] = {"reduced_motion": "reduce", "viewport": LAPTOP}

OPEN_ALL = "document.querySelectorAll('details:not(.menu)').forEach(one => { one.open = true })"

WIDTH = "document.documentElement.scrollWidth"

#: What sticks out to the right.
WIDEST = """[...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        && one.checkVisibility())
    .slice(0, 3).map(one => one.outerHTML.slice(0, 120))"""

#: What would turn letters around.
TURNED = re.compile(r"[\u202a-\u202e\u2066-\u2069]")

#: What one page may send, packed, with all its files.
MOST_BYTES = 150_000


def wrong_with(page: Page, rules: str) -> list[str]:
    """Return what keeps somebody from using a page as it is shown now."""
    found = []
    path = urlsplit(page.url).path
    for size in (LAPTOP, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        where = f"{path} at {size['width']} px"
        found += [f"{where}: {line}" for line in grave_findings(page, rules)]
        width = page.evaluate(WIDTH)
        if width > size["width"]:
            found.append(f"{where} is {width} px wide, by {page.evaluate(WIDEST)}")
    return found


def walk(page: Page, addresses: Iterator[str], rules: str) -> list[str]:
    """Open every page; return what is wrong with any."""
    found = []
    for address in addresses:
        answer = page.goto(address)
        expected = 404 if address.endswith(NOWHERE) else 200
        if answer is None or answer.status != expected:
            found.append(f"{address} answers {answer and answer.status}")
            continue
        page.evaluate(OPEN_ALL)
        found += wrong_with(page, rules)
    return found


def for_an_owner(furnished: Furnished) -> Iterator[str]:
    """Yield the address of every page, as the owner sees it."""
    yield from (furnished.path(path) + ASKED.get(path, "") for path in PATHS)
    yield from (furnished.base + path for path in (*MORE, NOWHERE))


def for_anybody(furnished: Furnished) -> Iterator[str]:
    """Yield the address of every page that is shown to who is not signed in."""
    yield from (furnished.path(path) for path in DOORS)
    yield furnished.base + NOWHERE


#: In the dark nothing but colours is different.
both_themes = pytest.mark.parametrize(
    ("scheme", "rules"), [("light", EVERY_RULE), ("dark", CONTRAST)], ids=["light", "dark"]
)


@both_themes
def test_every_page_can_be_read_and_fits_on_a_phone(
    furnished: Furnished, open_page: OpenPage, complaints: Complaints, scheme: str, rules: str
) -> None:
    complaints.allow(NOWHERE)
    mine, anybody = (open_page(color_scheme=scheme, **STILL) for _ in range(2))
    furnished.sign_in(mine.context)
    found = walk(mine, for_an_owner(furnished), rules)
    found += walk(anybody, for_anybody(furnished), rules)
    assert not found, f"{scheme}:\n" + "\n".join(found)


@both_themes
def test_what_opens_over_a_page_can_be_read_and_fits_on_a_phone(
    furnished: Furnished, open_page: OpenPage, scheme: str, rules: str
) -> None:
    page = open_page(color_scheme=scheme, **STILL)
    furnished.sign_in(page.context)
    page.goto(f"{furnished.base}/incidents/2")
    found = []
    menus = page.locator("details.menu > summary")
    for number in range(menus.count()):
        page.set_viewport_size(LAPTOP)  # type: ignore[arg-type]
        menu = menus.nth(number)
        if not menu.is_visible():
            page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        menu.click()
        found += wrong_with(page, rules)
        page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    found += wrong_with(page, rules)
    page.goto(furnished.path("/schedules/{reference:str}"))
    page.locator("table a[data-dialog]").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found += wrong_with(page, rules)
    assert not found, f"{scheme}:\n" + "\n".join(found)


@pytest.mark.parametrize("path", ["/login", "/incidents"])
def test_a_first_page_is_small(furnished: Furnished, page: Page, path: str) -> None:
    if path != "/login":
        furnished.sign_in(page.context)
    sizes: dict[str, int] = {}
    names: dict[str, str] = {}
    network = page.context.new_cdp_session(page)
    network.on("Network.requestWillBeSent", lambda event: names.update(
        {event["requestId"]: event["request"]["url"]}))  # fmt: skip
    network.on("Network.loadingFinished", lambda event: sizes.update(
        {names[event["requestId"]]: int(event["encodedDataLength"])}))  # fmt: skip
    network.send("Network.enable")
    page.goto(furnished.base + path)
    network.send("Network.disable")  # what came before has been told when this is answered
    kinds = {name.rpartition(".")[2] for name in sizes}
    assert {"css", "js"} <= kinds, sizes
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_without_javascript_an_incident_is_found_read_and_acknowledged(
    furnished: Furnished, open_page: OpenPage
) -> None:
    furnished.sentry("5001", title="Found without a script")
    page = open_page(java_script_enabled=False)
    page.goto(f"{furnished.base}/incidents")
    page.get_by_label("E-mail address").fill("bob@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    row = page.get_by_role("row", name="Found without a script")
    expect(row).to_contain_text("triggered")
    row.get_by_role("link", name="Found without a script").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Found without a script")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Acknowledged: it is yours.")).to_be_visible()
    page.get_by_role("link", name="Incidents", exact=True).first.click()
    expect(page.get_by_role("row", name="Found without a script")).to_contain_text("acknowledged")


#: Pages that show the beginning of a title.
CUT = ("/services/checkout", "/notifications")


@pytest.mark.parametrize(
    "path",
    ["/incidents", "/incidents?q=onerror", "/incidents/2", "/services/checkout", "/a/{token:str}",
     "/deliveries/{delivery_id:str}", "/notifications"],
)  # fmt: skip
def test_whatever_a_title_is_it_is_shown_as_text(
    furnished: Furnished, page: Page, path: str
) -> None:
    furnished.sign_in(page.context)
    page.goto(furnished.path(path))
    main = page.locator("main")
    for part in HOSTILE[:2] if path in CUT else HOSTILE:
        expect(main).to_contain_text(part)
    assert not TURNED.search(main.text_content() or "")
    assert page.locator("img").count() == 0
    assert page.evaluate("window.ran") is None


# -- S15: a mail scanner that is a browser: it opens the link, runs the scripts, and plays with it

#: What scripts could take for a person: each is sent to everything on the page.
PLAY = """() => {
    const kinds = ["mouseover", "mouseenter", "mousemove", "pointerover", "focus", "focusin",
                   "touchstart", "scroll", "visibilitychange", "pageshow", "load", "resize"];
    for (const one of [window, document, ...document.querySelectorAll("*")])
        for (const kind of kinds) one.dispatchEvent(new Event(kind, {bubbles: true}));
    for (const one of document.querySelectorAll("a, button, input, summary")) one.focus();
    window.scrollTo(0, document.body.scrollHeight);
}"""


def status_of(furnished: Furnished, number: str) -> str:
    status: str = furnished.api("GET", f"/incidents/{number}")["status"]
    return status


def latest(furnished: Furnished) -> str:
    return str(furnished.api("GET", "/incidents?limit=1")["items"][0]["number"])


def test_s15_whoever_runs_the_scripts_acknowledges_nothing_until_they_press(
    furnished: Furnished, page: Page
) -> None:
    furnished.sentry("scanned", title="Cart is broken")
    number = latest(furnished)
    link = furnished.answer_link(int(number))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    for _ in range(3):
        page.goto(link)
        page.wait_for_load_state("networkidle")
        page.evaluate(PLAY)
        for _ in range(10):
            page.keyboard.press("Tab")
        page.mouse.move(200, 300)
        page.wait_for_load_state("networkidle")
    assert set(asked) == {"GET"}
    assert status_of(furnished, number) == "triggered"
    # One that presses buttons acknowledges: told as such, and taken back by the same link.
    page.get_by_role("button", name="Acknowledge as").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    assert status_of(furnished, number) == "acknowledged"
    timeline = furnished.api("GET", f"/incidents/{number}")["timeline"]
    assert "acknowledged by link" in [entry["text"] for entry in timeline]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Taken back: it pages again.")).to_be_visible()
    assert status_of(furnished, number) == "triggered"
