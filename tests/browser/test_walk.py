"""A new user walks through it: from the link that was printed to a page that rang."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.furnished import Furnished, setup_link
from tests.outside import Telephones, Tocsin, telephones, until
from tocsin.sentry.sender import Issue, send, webhook

#: What the longest way may take.
MOST_CLICKS = 25

CLIPBOARD = ["clipboard-read", "clipboard-write"]

NEVER_RELOADED = "window.isTheSame === true"


class Hand:
    """A hand on a mouse; what it types into, it clicks into first."""

    def __init__(self) -> None:
        """Begin without a click."""
        self.clicks: list[str] = []

    def click(self, what: Locator) -> None:
        """Click."""
        self.clicks.append(str(what))
        what.click()

    def type(self, where: Locator, text: str) -> None:
        """Type into a field."""
        self.clicks.append(str(where))
        where.fill(text)

    def copy(self, page: Page, label: str) -> str:
        """Copy by the button that a text has; return what the clipboard holds then."""
        button = page.get_by_role("button", name=f"Copy {label}", exact=True)
        self.click(button)
        expect(button).to_contain_text("Copied")
        held: str = page.evaluate("navigator.clipboard.readText()")
        return held


def watch(page: Page) -> None:
    """Mark a page, to see later that it was never loaded again."""
    page.evaluate("window.isTheSame = true")


def saw_it_all(page: Page) -> bool:
    """Whether a page was never loaded again since it was marked."""
    return page.evaluate(NEVER_RELOADED) is True


@pytest.fixture
def phones() -> Iterator[Telephones]:
    """Give telephones."""
    with telephones() as made:
        yield made


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Tocsin]:
    """Give a Tocsin on a database in which nothing is, not even a table."""
    tocsin = Tocsin(tmp_path, f"sqlite:///{tmp_path / 'tocsin.db'}")
    tocsin.start()
    try:
        yield tocsin
    finally:
        tocsin.end()


def test_from_the_printed_link_to_a_page_that_rang(
    empty: Tocsin, phones: Telephones, open_page: OpenPage
) -> None:
    hand = Hand()
    page = open_page(permissions=CLIPBOARD, timezone_id="Europe/Berlin")
    page.goto(setup_link(empty))
    become_owner(hand, page)
    say_who(hand, page)
    say_how(hand, page, phones)
    url, secret = connect_sentry(hand, page)

    incidents = page.context.new_page()
    incidents.goto(f"{empty.base}/incidents")
    expect(incidents.get_by_text("Nothing has happened yet")).to_be_visible()
    hand.clicks.append("the list of incidents, in another tab")
    watch(page)
    watch(incidents)

    issue = Issue(id="4711", title="TypeError: the cart is empty")
    assert send(url, webhook("issue", "created", issue), secret).status == 202
    expect(page.locator("#live-check")).to_have_attribute("data-state", "ok")
    expect(page.locator("#live-check")).to_contain_text("It works")
    row = incidents.get_by_role("row", name=issue.title)
    expect(row).to_contain_text("triggered")
    assert saw_it_all(page)
    assert saw_it_all(incidents)
    until(lambda: phones.pages("/zoe"), "the page rang")
    assert phones.pages("/zoe")[0]["data"]["incident"]["title"] == issue.title

    hand.click(row.get_by_role("link", name=issue.title))
    hand.click(incidents.get_by_role("button", name="Acknowledge"))
    shown = incidents.locator("#incident")
    expect(shown).to_have_attribute("data-status", "acknowledged")
    expect(shown).to_contain_text("Zoe")
    watch(incidents)
    assert send(url, webhook("issue", "resolved", issue), secret).status == 202
    expect(shown).to_have_attribute("data-status", "resolved")
    assert saw_it_all(incidents)

    assert len(hand.clicks) <= MOST_CLICKS, f"{len(hand.clicks)} clicks: {hand.clicks}"


def become_owner(hand: Hand, page: Page) -> None:
    hand.type(page.get_by_label("Your name"), "Zoe")
    hand.type(page.get_by_label("E-mail address"), "zoe@example.com")
    hand.type(page.get_by_label("Password"), "three odd words")
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    hand.click(page.get_by_role("button", name="Create the owner"))
    expect(page.get_by_text("1 of 5 done")).to_be_visible()


def say_who(hand: Hand, page: Page) -> None:
    """Make a service and its policy; what the form proposes will do."""
    hand.click(page.get_by_role("button", name="Save and go on"))
    expect(page.get_by_text("2 of 5 done")).to_be_visible()


def say_how(hand: Hand, page: Page, phones: Telephones) -> None:
    """Add a contact method, and type the code that came back."""
    hand.type(page.get_by_label("By webhook"), f"{phones.base}/zoe")
    hand.click(page.get_by_role("button", name="Send a code there"))
    rung = until(lambda: phones.rings, "the code came")
    code = re.search(r"\b\d{6}\b", rung[0].page["data"]["code"])
    assert code is not None
    hand.type(page.get_by_label("Code"), code[0])
    hand.click(page.get_by_role("button", name="Verify"))
    expect(page.get_by_text("3 of 5 done")).to_be_visible()


def connect_sentry(hand: Hand, page: Page) -> tuple[str, str]:
    """Make the integration, take its URL to Sentry, and bring the secret back."""
    secret = "what-sentry-calls-the-client-secret"
    hand.click(page.get_by_role("button", name="Connect Sentry"))
    expect(page.locator("#live-check")).to_have_attribute("data-state", "waiting")
    url = hand.copy(page, "the webhook URL")
    hand.type(page.get_by_label("Client Secret", exact=True), secret)
    hand.click(page.get_by_role("button", name="Set it"))
    expect(page.get_by_text("set", exact=True)).to_be_visible()
    return url, secret


def test_the_steps_of_the_opsknight_page_lead_to_an_incident(
    furnished: Furnished, open_page: OpenPage
) -> None:
    hand = Hand()
    page = open_page(permissions=CLIPBOARD)
    furnished.sign_in(page.context)
    page.goto(f"{furnished.base}/services")
    hand.click(page.get_by_role("table").get_by_role("link", name="checkout", exact=True))
    hand.click(page.get_by_label("This service").get_by_role("link", name="Integrations"))
    hand.click(page.get_by_role("button", name="Add integration"))
    hand.click(page.get_by_role("radio", name=re.compile("^Sentry An internal")))
    hand.click(page.get_by_role("button", name="Add", exact=True))
    hand.click(page.get_by_text("The same in the style of OpsKnight"))
    integration_id = hand.copy(page, "the Integration ID")
    hand.click(page.get_by_role("button", name="Generate a signing secret"))
    secret = hand.copy(page, "the signing secret")

    incidents = page.context.new_page()
    incidents.goto(f"{furnished.base}/incidents")
    watch(page)
    watch(incidents)
    check = page.locator("#live-check")
    url = f"{furnished.base}/api/integrations/sentry?integrationId={integration_id}"
    hook = webhook("issue", "created", Issue(id="42", title="As OpsKnight would have it"))
    assert send(url, hook, "another secret").status == 401
    expect(check).to_have_attribute("data-state", "bad")
    expect(check).to_contain_text("Client Secret")
    assert send(url, hook, secret).status == 202
    expect(check).to_have_attribute("data-state", "ok")
    expect(incidents.get_by_role("row", name="As OpsKnight would have it")).to_be_visible()
    assert saw_it_all(page)
    assert saw_it_all(incidents)
    assert len(hand.clicks) <= MOST_CLICKS, f"{len(hand.clicks)} clicks: {hand.clicks}"
