"""The list of incidents: tabs, filters, search, and what is done to many at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from tests.browsing import Browser, signed_in
from tests.counting import statements
from tests.world import World
from tocsin.store import lists

HOSTILE = '<script>alert(1)</script> "><img onerror=x> \u202eevil \U0001f98a ' + "long " * 2000


def numbers(browser: Browser) -> list[int]:
    """Return the incidents on the last page."""
    return [int(one) for one in re.findall(r'<tr id="incident-(\d+)"', browser.text)]


@pytest.fixture
def busy(world: World) -> World:
    """Give a world with an acknowledged, a resolved, a triggered and a snoozed incident."""
    for number in range(1, 5):
        world.sentry("issue.created", number, title=f"Trouble {number}")
    world.sentry("issue.created", 5, title="Only a warning", level="warning")
    world.api("POST", "/incidents/1/acknowledge")
    world.api("POST", "/incidents/2/resolve")
    world.api("POST", "/incidents/4/snooze", {"for": "1h"})
    world.forget()
    return world


def test_nothing_ever_leads_to_connecting_sentry(world: World):
    ann = signed_in(world, "ann")
    ann.get("/incidents")
    assert "Nothing has happened yet." in ann.words
    assert 'href="/integrations">Connect Sentry' in ann.text


def test_nothing_open_says_when_it_last_was_not_quiet(world: World):
    world.sentry("issue.created", title="Old trouble")
    world.api("POST", "/incidents/1/resolve")
    world.forget()
    ann = signed_in(world, "ann")
    ann.get("/incidents")
    assert "All quiet." in ann.words
    assert "#1 Old trouble" in ann.words


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [5, 4, 3, 1]),
        ("?tab=resolved", [2]),
        ("?tab=all", [5, 4, 3, 2, 1]),
        ("?status=triggered", [5, 3]),
        ("?service=checkout&status=triggered", [5, 3]),
        ("?service=nothing", []),
        ("?severity=warning", [5]),
        ("?urgency=low", [5]),
        ("?assignee=bob@example.com", []),
        ("?q=trouble", [4, 3, 1]),
        ("?q=%233", [3]),
        ("?q=3", [3]),
        ("?q=sentry:issue:4", [4]),
        ("?tab=all&q=%232", [2]),
    ],
)
def test_the_address_says_which_are_shown(busy: World, query: str, found: list[int]):
    ann = signed_in(busy, "ann")
    assert ann.get(f"/incidents{query}").status_code == 200
    assert numbers(ann) == found
    assert ("Nothing matches these filters." in ann.words) is (not found)


def test_mine_are_those_i_have(busy: World):
    ann, bob = signed_in(busy, "ann"), signed_in(busy, "bob")
    ann.get("/incidents?tab=mine")
    assert numbers(ann) == [5, 4, 3, 1]
    bob.get("/incidents?tab=mine")
    assert "Nothing open is yours." in bob.words


def test_tabs_say_how_many_there_are(busy: World):
    ann = signed_in(busy, "ann")
    ann.get("/incidents")
    assert "Open 4 Mine 4 Resolved 1 All" in ann.words


def test_a_word_that_no_filter_has_is_told_in_one_sentence(busy: World):
    ann = signed_in(busy, "ann")
    assert ann.get("/incidents?severity=loud").status_code == 400
    assert "'loud' is not one of critical, error, warning, info" in ann.words
    assert ann.get("/incidents?before=x").status_code == 400
    assert ann.get("/incidents?tab=x").status_code == 200


def further_back(ann: Browser) -> str | None:
    found = re.search(
        r'href="(/incidents\?[^"]*before=[^"]*)">(?:Older|Look further back)', ann.text
    )
    return found and found[1].replace("&amp;", "&")


def test_a_search_looks_through_so_many_and_goes_on_from_there(
    busy: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lists, "DEPTH", 2)
    ann = signed_in(busy, "ann")
    found, address = [], "/incidents?tab=all&q=trouble+3"
    for _ in range(5):
        ann.get(address)
        found.append(numbers(ann))
        older = further_back(ann)
        if older is None:
            break
        assert "that were looked through" in ann.words or "there may be older ones" in ann.words
        address = older
    assert found == [[], [3], []]


@pytest.mark.parametrize("query", ["q=2", "q=2&severity=error"])
def test_a_number_is_found_however_old_it_is_and_once(
    busy: World, monkeypatch: pytest.MonkeyPatch, query: str
):
    monkeypatch.setattr(lists, "DEPTH", 2)
    ann = signed_in(busy, "ann")
    ann.get(f"/incidents?tab=all&{query}")
    found = numbers(ann)
    while older := further_back(ann):
        ann.get(older)
        found += numbers(ann)
    assert found[0] == 2
    assert sorted(found) == sorted(set(found))


def test_a_number_is_found_also_one_at_a_time(busy: World):
    found: list[int] = []
    more: str | None = ""
    while more is not None:
        page = busy.api("GET", f"/incidents?q=3&limit=1{more and f'&cursor={more}'}")
        found += [one["number"] for one in page["items"]]
        more = page["next"]
    assert found == [3]


def test_older_ones_are_on_the_next_page(world: World):
    with world.held():
        for number in range(55):
            world.sentry("issue.created", number + 1)
    world.forget()
    ann = signed_in(world, "ann")
    ann.get("/incidents")
    first = numbers(ann)
    older = re.search(r'href="(/incidents\?[^"]*before=[^"]*)">Older', ann.text)
    assert older
    ann.get(older[1].replace("&amp;", "&"))
    assert [*first, *numbers(ann)] == list(range(55, 0, -1))


def test_a_hostile_title_is_text(world: World):
    world.sentry("issue.created", title=HOSTILE)
    world.forget()
    ann = signed_in(world, "ann")
    for path in ("/incidents", "/incidents/1", "/notifications"):
        assert ann.get(path).status_code == 200, path
        assert "<script>alert" not in ann.text, path
        assert "<img onerror" not in ann.text, path
        assert "&lt;script&gt;alert(1)" in ann.text, path
        assert "\u202e" not in ann.text, path


def test_many_are_acknowledged_at_once_and_it_says_which_refused(busy: World):
    ann = signed_in(busy, "ann")
    ann.get("/incidents?tab=all")
    fields = [("number", one) for one in ("1", "2", "3", "5", "77", "x")]
    ann.post(
        "/incidents/bulk", [*fields, ("action", "acknowledge"), ("next", "/incidents?tab=all")]
    )
    assert "2 incidents acknowledged. 2 changed nothing (#1, #2)." in ann.words
    assert "1 refused: there is no incident 77." in ann.words
    assert busy.incident(3).acknowledged_by == "ann@example.com"
    assert numbers(ann) == [5, 4, 3, 2, 1]
    busy.forget()


def test_many_are_snoozed_until_tomorrow_morning(busy: World):
    ann = signed_in(busy, "ann")
    ann.get("/incidents")
    fields = [("number", "3"), ("number", "2"), ("action", "snooze"), ("for", "tomorrow")]
    ann.post("/incidents/bulk", fields)
    assert "1 incident snoozed. 1 refused: incident 2 is resolved" in ann.words
    until = busy.incident(3).snoozed_until
    assert until is not None
    assert (until.hour, until.date()) == (9, (busy.now + timedelta(days=1)).date())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([("action", "resolve")], "tick the incidents first"),
        ([("action", "explode"), ("number", "1")], "Choose one of acknowledge, resolve, snooze."),
        ([("action", "snooze"), ("number", "1"), ("for", "soon")], "is not a duration"),
        ([("action", "snooze"), ("number", "1"), ("for", "0s")], "choose a later time"),
    ],
)
def test_a_form_that_asks_for_nothing_says_what_is_missing(
    busy: World, fields: list[tuple[str, str]], said: str
):
    ann = signed_in(busy, "ann")
    ann.get("/incidents")
    ann.post("/incidents/bulk", [*fields, ("next", "//evil.example/")])
    assert said in ann.words
    assert busy.incident(1).status == "acknowledged"


def test_who_only_reads_has_no_buttons_and_is_refused(busy: World):
    viewer = signed_in(busy, "viewer")
    viewer.get("/incidents")
    assert numbers(viewer) == [5, 4, 3, 1]
    assert "Acknowledge" not in viewer.words
    response = viewer.post("/incidents/bulk", [("number", "3"), ("action", "resolve")])
    assert response.status_code == 403
    assert busy.incident(3).status == "triggered"


def test_rows_have_what_scripts_filter_by(busy: World):
    ann = signed_in(busy, "ann")
    ann.get("/incidents?service=checkout")
    row = re.search(r'<tr id="incident-3"[^>]*>', ann.text)
    assert row
    for part in ('data-status="triggered"', 'data-service="checkout"', 'data-severity="error"',
                 'data-urgency="high"', 'data-assignees="ann@example.com"',
                 'data-title="Trouble 3"'):  # fmt: skip
        assert part in row[0]
    rows = re.search(r'<tbody id="incident-rows"[^>]*>', ann.text)
    assert rows
    assert 'data-live="/live/incidents?since=' in rows[0]
    assert 'data-status="triggered,acknowledged,snoozed"' in rows[0]
    assert 'data-service="checkout"' in rows[0]


def test_the_list_costs_the_same_number_of_statements_however_long_it_is(world: World):
    ann = signed_in(world, "ann")
    counts = []
    for size in (2, 40):
        with world.held():
            for number in range(size):
                world.sentry("issue.created", size * 100 + number)
        world.forget()
        with world.held(), statements(world.database) as seen:
            ann.get("/incidents")
        counts.append(len(seen))
    assert counts[0] == counts[1], seen
    assert counts[0] <= 9, seen
