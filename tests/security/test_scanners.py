"""S15: programs that open every link in a mail, and some that press every button they find.

What one that runs scripts does is in ``tests/browser/test_everybody.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

import msgspec
import pytest

from tests.browsing import Browser, signed_in
from tests.pages.things import SCHEDULE, people
from tests.security.door import IS_FULL
from tests.world import BASE, ONE_STEP, SERVICE, World

#: Who asks, and how, when a mail has come.
SCANNERS: Sequence[dict[str, str]] = (
    {"user-agent": "Mozilla/5.0 (compatible; a mail scanner)"},
    {"user-agent": "Slackbot-LinkExpanding 1.0"},
    {"purpose": "prefetch"},
    {"sec-purpose": "prefetch;prerender"},
    {"x-http-method-override": "POST"},
    {"x-http-method": "POST"},
    {"accept": "*/*", "range": "bytes=0-1023"},
    {"hx-request": "true"},
    {"origin": BASE, "sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"},
    {"accept": "application/json"},
)

#: What else stands behind the address.
QUERIES = ("", "?", "?do=acknowledge", "?do=acknowledge&_method=POST", "?_csrf_token=x", "?utm=1")


@pytest.fixture
def link(world: World) -> str:
    """Give the link in the page that Ann got for incident 1."""
    world.sentry("issue.created", title="Cart is broken")
    document = msgspec.json.decode(world.expect("ann").message.document)
    url: str = document["data"]["acknowledge_url"]
    return url.removeprefix(BASE)


class Forms(HTMLParser):
    """Finds the forms of a page, each with its method, its address and all its fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        had = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((had.get("method", "get"), had.get("action", ""), {}))
        elif tag in ("input", "button", "select", "textarea") and self.found and "name" in had:
            self.found[-1][2][had["name"]] = had.get("value", "")


@dataclass(slots=True)
class Bot:
    """Opens a link, and presses every button once; it keeps cookies, as browsers do."""

    browser: Browser
    pressed: list[str] = field(default_factory=list)

    def press_all(self, link: str) -> None:
        """Press all that the page has, as it is when it is opened."""
        self.browser.get(link)
        for method, address, fields in Forms(self.browser.text).found:
            self.pressed.append(fields.get("do", address))
            if method == "post":
                fields.pop("_csrf_token")
                self.browser.post(address, fields)


def test_s15_a_thousand_looks_acknowledge_nothing(world: World, link: str):
    """By whatever method that asks to look, with whatever headers, and whatever follows a ``?``."""
    count = 1000 if IS_FULL else 300 if world.database.is_sqlite else 50
    before, seen = (world.incident(), world.deliveries()), set()
    ways = itertools.cycle(itertools.product(QUERIES, SCANNERS, ("GET", "HEAD")))
    with world.held():
        for (query, headers, method), _ in zip(ways, range(count), strict=False):
            seen.add((method, world.raw(method, link + query, headers=headers).status_code))
    assert seen == {("GET", 200), ("HEAD", 200)}
    assert (world.incident(), world.deliveries()) == before
    assert world.incident().status == "triggered"
    world.expect_nothing()


def test_s15_it_goes_on_escalating_while_it_is_looked_at(world: World, link: str):
    for _ in range(20):
        world.raw("GET", link)
        world.raw("HEAD", link)
    world.configure(people("payments"), SERVICE, SCHEDULE, ONE_STEP.replace(
        "wait: 5m}", "wait: 5m}\n      - {targets: [{user: bob@example.com}], wait: 5m}"
    ))  # fmt: skip
    world.forward(minutes=5)
    world.raw("GET", link)
    assert world.incident().status == "triggered"
    world.forget()


def test_s15_a_form_that_is_sent_without_the_page_before_it_does_nothing(world: World, link: str):
    """A program that keeps no cookies presses no button here."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    page = Browser(world)
    page.get(link)
    token = page.token
    for body in ("do=acknowledge", f"do=acknowledge&_csrf_token={token}", f"_csrf_token={token}"):
        assert world.ask("POST", link, body.encode(), form).status_code == 403
    assert world.incident().status == "triggered"


def test_s15_what_a_bot_presses_is_told_and_can_be_taken_back(world: World, link: str):
    """As what it is: somebody had Ann's link. Then it pages again from the first step."""
    bot = Bot(Browser(world))
    bot.press_all(link)
    assert bot.pressed == ["acknowledge"]
    incident = world.incident()
    assert (incident.status, incident.acknowledged_by) == ("acknowledged", "ann@example.com")
    assert incident.timeline[-1].text == "acknowledged by link"
    world.forget()
    bob = signed_in(world, "viewer")
    bob.get("/incidents/1")
    assert "acknowledged by link" in bob.words
    ann = Browser(world)
    ann.get(link)
    assert "Not you? Undo puts it back to triggered" in ann.words
    ann.post(link, {"do": "undo"})
    assert "Taken back: it pages again." in ann.words
    told = [entry.text for entry in world.incident().timeline]
    assert told.index("acknowledged by link") < told.index("acknowledgement undone")
    assert world.incident().status == "triggered"
    world.expect("ann")
    world.forward(minutes=4)
    assert world.incident().status == "triggered"
    world.forget()


def test_s15_a_bot_that_comes_again_presses_undo(world: World, link: str):
    """It leaves things as they were: triggered, and somebody is paged."""
    bot = Bot(Browser(world))
    bot.press_all(link)
    bot.press_all(link)
    assert bot.pressed == ["acknowledge", "undo"]
    assert world.incident().status == "triggered"
    world.expect("ann")
    world.forget()


def test_s15_what_stays_acknowledged_comes_back_where_the_service_says_so(world: World):
    """Whoever acknowledged: nobody has to find out that it was nobody."""
    timed = SERVICE.replace("escalation_policy: default", "escalation_policy: default, "
                            "acknowledge_timeout: 10m")  # fmt: skip
    world.configure(people("payments"), timed, ONE_STEP, SCHEDULE)
    world.sentry("issue.created", title="Cart is broken")
    document = msgspec.json.decode(world.expect("ann").message.document)
    Bot(Browser(world)).press_all(document["data"]["acknowledge_url"].removeprefix(BASE))
    assert world.incident().status == "acknowledged"
    world.forget()
    world.forward(minutes=9)
    world.expect_nothing()
    world.forward(minutes=2)
    assert world.incident().status == "triggered"
    world.expect("ann")
    world.forget()
