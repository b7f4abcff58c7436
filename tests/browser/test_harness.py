"""The browser shows Tocsin, and hears whatever a page complains of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.browser.accessibility import assert_accessible
from tests.browser.complaints import Complaints
from tests.outside import Shelf, Tocsin, shelf

STRICT = "default-src 'self'; img-src 'self' data:"


@pytest.fixture
def papers() -> Iterator[Shelf]:
    """Give a server of pages that are not Tocsin's."""
    with shelf() as made:
        yield made


def put(papers: Shelf, body: str, **headers: str) -> str:
    """Put a page on the shelf; return its address."""
    html = (
        '<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,">'
        f"<main>{body}</main></html>"
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    papers.documents["/page"] = html.encode()
    papers.answers["/page"] = (200, {"Content-Type": "text/html; charset=utf-8", **named})
    return f"{papers.base}/page"


def heard(browser: Browser, address: str) -> list[str]:
    """Return what a page complains of."""
    complaints = Complaints()
    context = browser.new_context()
    complaints.listen(context)
    context.new_page().goto(address)
    left = complaints.left()
    context.close()
    return left


def test_the_browser_reads_what_tocsin_serves(
    page: Page, served: Tocsin, complaints: Complaints
) -> None:
    complaints.allow("/favicon.ico")  # which a browser asks for where no page names an icon
    answer = page.goto(f"{served.base}/healthz")
    assert answer is not None
    assert answer.status == 200
    expect(page.locator("body")).not_to_be_empty()


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        ("<img src='/not-there.png' alt=''>", {}, r"console: .* 404 .*/not-there\.png"),
        ("<script>console.error('as I feared')</script>", {}, "console: as I feared"),
        ("<script>nonsense()</script>", {}, "uncaught: .*nonsense is not defined"),
        (
            "<script>1</script>",
            {"Content_Security_Policy": STRICT},
            r"console: policy: script-src-elem \(enforce\)",
        ),
        (
            "<p style='color: red'>Red",
            {"Content_Security_Policy": STRICT},
            "console: policy: style-",
        ),
        (
            "<script>1</script>",
            {"Content_Security_Policy_Report_Only": STRICT},
            r"console: policy: script-src-elem \(report\)",
        ),
        (
            "<img src='http://elsewhere.example/dot.png' alt=''>",
            {},
            "another host: GET http://elsewhere.example/dot.png",
        ),
    ],
)
def test_a_complaint_is_heard(
    browser: Browser, papers: Shelf, body: str, headers: dict[str, str], words: str
) -> None:
    found = heard(browser, put(papers, body, **headers))
    assert any(re.match(words, one) for one in found), found


def test_a_page_in_order_is_not_complained_of(browser: Browser, papers: Shelf) -> None:
    assert heard(browser, put(papers, "<p>Fine", Content_Security_Policy=STRICT)) == []


def test_a_complaint_that_a_test_provokes_can_be_allowed(
    page: Page, papers: Shelf, complaints: Complaints
) -> None:
    complaints.allow("as I feared")
    page.goto(put(papers, "<script>console.error('as I feared')</script>"))


def test_without_javascript_a_page_is_shown_too(
    open_page: Callable[..., Page], papers: Shelf
) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(put(papers, "<p>Without</p><script>document.querySelector('p').remove()</script>"))
    expect(page.locator("main")).to_contain_text("Without")


def test_axe_finds_what_not_everybody_can_use(page: Page, papers: Shelf) -> None:
    page.goto(put(papers, "<h1>Page</h1><button></button>", Content_Security_Policy=STRICT))
    with pytest.raises(AssertionError, match=r"critical: .*\(button-name\)\n  <button></button>"):
        assert_accessible(page)


def test_axe_passes_what_everybody_can_use(page: Page, papers: Shelf) -> None:
    page.goto(put(papers, "<h1>Page</h1><button>Go</button>", Content_Security_Policy=STRICT))
    assert_accessible(page)


def test_where_no_browser_starts_it_says_what_to_do(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_TEST_CHROMIUM", "/nowhere/chromium")
    with pytest.raises(
        chromium.NoChromiumError, match=r"install one .*\n  /nowhere/chromium: "
    ) as no:
        chromium.launch(browser.browser_type)
    assert len(str(no.value).splitlines()) == 2
