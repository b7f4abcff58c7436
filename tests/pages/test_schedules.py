"""Schedules on the page: drawn, as a table, taken, swapped, edited and previewed."""

from __future__ import annotations

import html
import re

import pytest

from tests.browsing import Browser, signed_in
from tests.pages.test_oncall import WEEKLY
from tests.pages.things import people as everybody
from tests.world import ONE_STEP, SERVICE, World


@pytest.fixture
def rota(world: World) -> World:
    """Give a world with two schedules: one covered, one with gaps."""
    people = everybody("payments")
    world.configure(people, SERVICE, ONE_STEP, WEEKLY)
    return world


def on_call(world: World, at: str) -> list[str]:
    """Return who is on call in ``primary``."""
    found = world.api("GET", f"/oncall?schedule=primary&at={at}")["items"]
    return [one["user"]["name"] for one in found]


def shift_of(browser: Browser, name: str) -> str:
    """Return where the first shift of a person leads to."""
    rows = re.findall(
        r'<a href="([^"]*/shift[^"]*)" data-dialog aria-label="([^"]*)"', browser.text
    )
    return next(html.unescape(href) for href, label in rows if label.startswith(name))


def fields_of(browser: Browser, path: str) -> dict[str, str]:
    """Return the fields of the form that goes to a path, as they were filled in."""
    form = browser.text.partition(f'action="{path}"')[2].partition("</form>")[0]
    found = re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found if name != "_csrf_token"}


NEW = {
    "name": "nights",
    "time_zone": "Europe/Berlin",
    "layers.0.name": "all",
    "layers.0.priority": "1",
    "layers.0.source": "rotation",
    "layers.0.unit": "day",
    "layers.0.length": "1",
    "layers.0.start": "2026-01-05T09:00",
    "layers.0.turns.0": "ann@example.com",
    "layers.0.turns.1": "bob@example.com",
}


# -- over time ------------------------------------------------------------------------------------


def test_the_list_says_who_is_on_call_and_what_lies_ahead(rota: World):
    viewer = signed_in(rota, "viewer")
    viewer.get("/schedules")
    assert "primary Ann payments UTC no gaps" in viewer.words
    assert "office nobody \u2013 UTC 5 gaps" in viewer.words
    assert "New schedule" not in viewer.words


def test_a_timeline_has_a_row_per_layer_and_what_comes_of_them(rota: World):
    ann = signed_in(rota, "ann")
    assert ann.get("/schedules/primary").status_code == 200
    assert "weekly priority 1" in ann.words
    assert "On call what comes of it" in ann.words
    assert "<title>Ann, Mon 5 Jan 09:00 to Mon 12 Jan 09:00</title>" in ann.text
    assert 'style="' not in ann.text


def test_gaps_are_counted_and_said_in_the_picture(rota: World):
    ann = signed_in(rota, "ann")
    ann.get("/schedules/office")
    assert "3 gaps ahead in these weeks" in ann.words
    assert "<title>Nobody is on call, Tue 6 Jan 17:00 to Tue 13 Jan 09:00</title>" in ann.text


def test_the_table_says_the_same(rota: World):
    ann = signed_in(rota, "ann")
    ann.get("/schedules/office?view=table")
    assert "<figure" not in ann.text
    assert "Nobody is on call Tue 6 Jan 17:00 Tue 13 Jan 09:00 no layer has anybody" in ann.words
    assert "Bob Tue 13 Jan 09:00 Tue 13 Jan 17:00 days" in ann.words


def test_one_goes_to_other_weeks_and_to_another_zone(rota: World):
    people = everybody("payments").replace(
        "    name: Ann\n", "    name: Ann\n    time_zone: Asia/Tokyo\n"
    )
    rota.configure(people, SERVICE, ONE_STEP, WEEKLY)
    ann = signed_in(rota, "ann")
    ann.get("/schedules/primary?from=2026-02-02&weeks=4")
    assert "Mon 2 Feb \u2013 Sun 1 Mar" in ann.words
    assert "from=2026-01-05" in ann.text
    assert "from=2026-03-02" in ann.text
    assert "show yours, Asia/Tokyo" in ann.words
    ann.get("/schedules/primary?zone=mine&view=table")
    assert "Ann now Mon 5 Jan 18:00 Mon 12 Jan 18:00" in ann.words


def test_nonsense_in_the_address_shows_this_week(rota: World):
    ann = signed_in(rota, "ann")
    for query in ("from=nonsense", "from=9999-12-31", "weeks=900", "view=x", "zone=x"):
        assert ann.get(f"/schedules/primary?{query}").status_code == 200, query
        assert "Mon 5 Jan \u2013 Sun 18 Jan" in ann.words, query


def test_the_day_the_clock_changes_is_marked(rota: World):
    berlin = WEEKLY.replace("- name: primary", "- name: primary\n    time_zone: Europe/Berlin")
    people = everybody("payments")
    rota.configure(people, SERVICE, ONE_STEP, berlin)
    ann = signed_in(rota, "ann")
    ann.get("/schedules/primary?from=2026-03-23")
    assert "On Sun 29 Mar the clock in Europe/Berlin is set forward (+1 h)" in ann.words


def test_a_schedule_that_is_not_there_is_not_found(rota: World):
    ann = signed_in(rota, "ann")
    for path in ("/schedules/nothing", "/schedules/nothing/shift", "/schedules/nothing/overrides"):
        assert ann.get(path).status_code == 404, path


# -- take, offer, override ------------------------------------------------------------------------


def test_a_responder_takes_a_shift_in_two_clicks(rota: World):
    bob = signed_in(rota, "bob")
    bob.get("/schedules/primary")
    bob.get(shift_of(bob, "Ann, Mon 5 Jan"))
    assert "Shift of Ann" in bob.words
    path = next(iter(re.findall(r'action="(/schedules/[^"]*/overrides)"', bob.text)))
    bob.post(path, fields_of(bob, path))
    assert "You are on call for that time." in bob.words
    assert "Bob instead of Ann" in bob.words
    assert on_call(rota, "2026-01-06T12:00Z") == ["Bob"]
    assert "override" in bob.text


def test_what_one_added_oneself_one_takes_back(rota: World):
    bob = signed_in(rota, "bob")
    bob.get("/oncall")
    bob.post("/schedules/primary/overrides", {"from": "2026-01-06T09:00", "to": "2026-01-07T09:00"})
    path = next(iter(re.findall(r'action="(/schedules/[^"]*/remove)"', bob.text)))
    cat = signed_in(rota, "cat")
    cat.get("/schedules/primary")
    assert "Remove</button>" not in cat.text
    cat.post(path)
    assert "may only take back overrides" in cat.words
    bob.get("/schedules/primary")
    bob.post(path)
    assert "The override is gone." in bob.words
    assert on_call(rota, "2026-01-06T12:00Z") == ["Ann"]


def test_a_manager_sends_somebody_adds_somebody_and_takes_somebody_out(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/schedules/primary/overrides")
    times = {"from": "2026-01-06T09:00", "to": "2026-01-07T09:00"}
    path = "/schedules/primary/overrides"
    manager.post(path, {**times, "user": "cat@example.com", "kind": "add"})
    assert "Cat is on call besides for that time." in manager.words
    assert sorted(on_call(rota, "2026-01-06T12:00Z")) == ["Ann", "Cat"]
    manager.post(path, {**times, "user": "ann@example.com", "kind": "remove", "instead_of": "x"})
    assert "Ann is not on call for that time." in manager.words
    assert on_call(rota, "2026-01-06T12:00Z") == ["Cat"]


def test_a_responder_does_not_send_others(rota: World):
    bob = signed_in(rota, "bob")
    bob.get("/schedules/primary/overrides")
    times = {"from": "2026-01-06T09:00", "to": "2026-01-07T09:00"}
    response = bob.post("/schedules/primary/overrides", {**times, "user": "cat@example.com"})
    assert response.status_code == 403
    assert "may only add overrides" in bob.words
    assert on_call(rota, "2026-01-06T12:00Z") == ["Ann"]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"from": "2026-01-07T09:00", "to": "2026-01-06T09:00"}, "ends after it begins"),
        ({"from": "", "to": "2026-01-06T09:00"}, "The field from is empty"),
        ({"from": "soon", "to": "2026-01-06T09:00"}, "'soon' is not a time"),
        ({"from": "2026-01-06T09:00", "to": "2026-01-07T09:00", "kind": "x"}, "'x' is not"),
    ],
)
def test_a_wrong_override_is_shown_again_with_its_fault(
    rota: World, fields: dict[str, str], fault: str
):
    manager = signed_in(rota, "manager")
    manager.get("/schedules/primary/overrides")
    assert manager.post("/schedules/primary/overrides", fields).status_code == 422
    assert fault in manager.words
    assert f'value="{fields["to"]}"' in manager.text


def test_ones_own_shift_is_offered_in_part_taken_and_not_taken_twice(rota: World):
    ann = signed_in(rota, "ann")
    ann.get("/schedules/primary")
    ann.get(shift_of(ann, "Ann, Mon 5 Jan"))
    assert "Your shift" in ann.words
    path = next(iter(re.findall(r'action="(/schedules/[^"]*/swaps)"', ann.text)))
    ann.post(path, {**fields_of(ann, path), "to": "2026-01-06T09:00"})
    assert "Your shift is offered." in ann.words
    cat, bob = signed_in(rota, "cat"), signed_in(rota, "bob")
    cat.get("/schedules/primary")
    bob.get("/schedules/primary")
    take = next(iter(re.findall(r'action="(/schedules/[^"]*/take)"', cat.text)))
    cat.post(take)
    assert "The shift is yours." in cat.words
    assert on_call(rota, "2026-01-05T20:00Z") == ["Cat"]
    assert on_call(rota, "2026-01-06T12:00Z") == ["Ann"]
    bob.post(take)
    assert "cat@example.com has taken this shift already" in bob.words.lower()


def test_an_offer_is_withdrawn(rota: World):
    ann = signed_in(rota, "ann")
    ann.get("/schedules/primary")
    times = {"from": "2026-01-06T09:00", "to": "2026-01-07T09:00"}
    ann.post("/schedules/primary/swaps", times)
    ann.post(next(iter(re.findall(r'action="(/schedules/[^"]*/withdraw)"', ann.text))))
    assert "The offer is withdrawn." in ann.words
    assert "Nobody offers a shift." in ann.words


def test_a_shift_of_somebody_else_is_not_offered(rota: World):
    cat = signed_in(rota, "cat")
    cat.get("/schedules/primary")
    times = {"from": "2026-01-06T09:00", "to": "2026-01-07T09:00"}
    assert cat.post("/schedules/primary/swaps", times).status_code == 422
    assert "Cat@example.com is not on call in primary" in cat.words


def test_a_viewer_takes_nothing(rota: World):
    viewer = signed_in(rota, "viewer")
    viewer.get("/schedules/primary")
    assert "data-dialog" not in viewer.text
    for path in ("overrides", "swaps", "swaps/x/take", "overrides/x/remove", "feeds"):
        assert viewer.post(f"/schedules/primary/{path}").status_code == 403, path


# -- calendar links -------------------------------------------------------------------------------


def test_a_calendar_link_is_shown_once_and_revoked(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/schedules/primary")
    feeds = next(iter(re.findall(r'action="(/schedules/[^"#]*/feeds)', manager.text)))
    manager.post(feeds)
    url = next(iter(re.findall(r"http://tocsin.test(/calendars/[^<\"]*)", manager.text)))
    assert rota.raw("GET", url).status_code == 200
    manager.get("/schedules/primary")
    assert "/calendars/" not in manager.text
    manager.post(next(iter(re.findall(r'action="(/schedules/[^"]*/revoke)"', manager.text))))
    assert "The calendar link is revoked." in manager.words
    assert rota.raw("GET", url).status_code == 404
    responder = signed_in(rota, "responder")
    responder.get("/schedules/primary")
    assert "Make a calendar link" not in responder.words


# -- the editor -----------------------------------------------------------------------------------


def test_a_schedule_is_made_with_the_buttons_of_the_form_alone(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/schedules/new")
    manager.post("/schedules/new", {**NEW, "do": "add-turn:0"})
    assert 'name="layers.0.turns.2"' in manager.text
    manager.post("/schedules/new", {**NEW, "do": "add-person:0:1"})
    assert manager.text.count('name="layers.0.turns.1"') == 2
    manager.post("/schedules/new", {**NEW, "do": "add-window:0"})
    assert 'name="layers.0.windows.0.from"' in manager.text
    manager.post("/schedules/new", {**NEW, "do": "add-layer"})
    assert "Layer 2" in manager.words
    manager.post("/schedules/new", {**NEW, "do": "save"})
    assert "The schedule nights is saved." in manager.words
    made = rota.api("GET", "/schedules/nights")
    assert made["layers"][0]["participants"] == ["ann@example.com", "bob@example.com"]


def test_turns_and_layers_change_places_and_go(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/schedules/new")
    two = {**NEW, "layers.1.name": "above", "layers.1.source": "rotation"}
    for do in ("up-turn:0:1", "down-turn:0:0"):
        manager.post("/schedules/new", {**NEW, "do": do})
        assert manager.text.index('value="bob@example.com" selected') < manager.text.index(
            'value="ann@example.com" selected'
        ), do
    manager.post("/schedules/new", {**NEW, "do": "remove-turn:0:0"})
    assert 'value="ann@example.com" selected' not in manager.text
    manager.post("/schedules/new", {**two, "do": "up-layer:1"})
    assert manager.text.index('value="above"') < manager.text.index('value="all"')
    manager.post("/schedules/new", {**two, "do": "remove-layer:0"})
    assert 'value="all"' not in manager.text
    for do in ("remove-turn:7:7", "up-layer:9", "add-turn:", "nonsense:1"):
        assert manager.post("/schedules/new", {**NEW, "do": do}).status_code == 200, do


def test_a_preview_shows_what_would_be_and_saves_nothing(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/schedules/new")
    hours = {"layers.0.windows.0.from": "09:00", "layers.0.windows.0.to": "17:00"}
    manager.post("/schedules/new", {**NEW, **hours, "do": "preview"})
    assert "Preview: nothing is saved yet" in manager.words
    assert "28 gaps ahead in four weeks" in manager.words
    assert "On Sun 29 Mar the clock in Europe/Berlin is set forward (+1 h)" in manager.words
    assert rota.call("GET", "/schedules/nights").status_code == 404


def test_a_preview_of_a_change_keeps_the_overrides(rota: World):
    rota.api(
        "POST",
        "/schedules/primary/overrides",
        {"user": "cat@example.com", "from": "2026-01-06T09:00", "to": "2026-01-07T09:00"},
    )
    manager = signed_in(rota, "manager")
    manager.get("/schedules/primary/edit")
    manager.post("/schedules/primary/edit", {**NEW, "name": "renamed", "do": "preview"})
    assert "<title>Cat, Tue 6 Jan 09:00 to Wed 7 Jan 09:00 (override)</title>" in manager.text


def test_an_edit_that_changes_nothing_changes_nothing(rota: World):
    manager = signed_in(rota, "manager")
    before = rota.api("GET", "/schedules/office")
    manager.get("/schedules/office/edit")
    assert 'value="tue" checked' in manager.text
    fields = {
        "name": "office", "time_zone": "UTC", "layers.0.name": "days", "layers.0.priority": "1",
        "layers.0.unit": "day", "layers.0.length": "1", "layers.0.start": "2026-01-05T09:00",
        "layers.0.turns.0": "bob@example.com", "layers.0.windows.0.days": "tue",
        "layers.0.windows.0.from": "09:00", "layers.0.windows.0.to": "17:00", "do": "save",
    }  # fmt: skip
    manager.post("/schedules/office/edit", fields)
    assert "The schedule office is saved." in manager.words
    assert rota.api("GET", "/schedules/office") == before


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"name": ""}, "A name is not empty"),
        ({"name": "primary"}, "there is"),
        ({"time_zone": "Europe/Berln"}, "did you mean Europe/Berlin?"),
        ({"team": "nobody"}, "There is no team 'nobody'"),
        ({"layers.0.length": "many"}, "The length 'many' is not a whole number"),
        ({"layers.0.length": "0"}, "layer 1: rotation: a rotation's length is between 1"),
        ({"layers.0.start": ""}, "is not a local time"),
        ({"layers.0.turns.0": "eve@example.com"}, "There is no user 'eve@example.com'"),
        ({"layers.0.source": "calendar", "layers.0.calendar": "x"}, "is not an http"),
        ({"name": "x" * 300}, "at most 200 characters"),
    ],
)
def test_a_fault_is_a_sentence_at_the_form_and_nothing_is_lost(
    rota: World, changed: dict[str, str], fault: str
):
    manager = signed_in(rota, "manager")
    manager.get("/schedules/new")
    response = manager.post("/schedules/new", {**NEW, **changed, "do": "save"})
    assert response.status_code in (409, 422)
    assert fault.lower() in manager.words.lower()
    chosen = 'value="bob@example.com" selected'
    kept = 'name="layers.0.turns.1" value="bob@example.com"'
    assert chosen in manager.text or kept in manager.text


def test_only_managers_edit(rota: World):
    for who in ("viewer", "responder"):
        browser = signed_in(rota, who)
        browser.get("/schedules/primary")
        assert "/edit" not in browser.text, who
        assert browser.get("/schedules/primary/edit").status_code == 403, who
        assert browser.get("/schedules/new").status_code == 403, who
        assert browser.post("/schedules/new", NEW).status_code == 403, who
        assert browser.post("/schedules/primary/remove").status_code == 403, who


def test_a_schedule_is_deleted_unless_a_policy_names_it(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/schedules/office/edit")
    manager.post("/schedules/office/remove")
    assert "The schedule office is gone." in manager.words
    rota.api(
        "PATCH", "/escalation-policies/default", {"steps": [{"targets": [{"schedule": "primary"}]}]}
    )
    manager.post("/schedules/primary/remove")
    assert "is still named by escalation policy 'default'" in manager.words


HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\u202e\U0001f98a'


def test_names_are_text_wherever_they_stand(rota: World):
    rota.api("PATCH", "/users/bob@example.com", {"name": HOSTILE})
    manager = signed_in(rota, "manager")
    fields = {**NEW, "name": HOSTILE, "layers.0.name": HOSTILE, "do": "save"}
    manager.get("/schedules/new")
    manager.post("/schedules/new", {**fields, "do": "preview"})
    assert "<script>alert" not in manager.text
    assert manager.post("/schedules/new", fields).status_code == 200
    for path in ("/schedules", "/oncall", "/schedules/primary", "/schedules/primary?view=table"):
        manager.get(path)
        assert "<script>alert" not in manager.text, path
        assert "<img src=x" not in manager.text, path
        assert HOSTILE in manager.words or html.escape(HOSTILE) in manager.text, path
