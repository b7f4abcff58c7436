"""S15: a mail scanner that is a browser: it opens the link, runs the scripts, and plays with it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.furnished import Furnished

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
):
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
