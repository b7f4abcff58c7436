"""Maintenance windows on the page: listed, made, previewed, changed and ended."""

from __future__ import annotations

import re

import pytest

from tests.browsing import Browser, signed_in
from tests.world import World

NEW = {"which": "some", "services": "checkout", "span": "1h", "reason": "database move"}


def made(browser: Browser) -> str:
    """Return the address of the first window on the page."""
    return next(iter(re.findall(r'href="(/maintenance/mw_[^"/]*)/edit"', browser.text)))


def test_without_any_a_manager_is_shown_the_way(world: World):
    manager = signed_in(world, "manager")
    manager.get("/maintenance")
    assert "No maintenance is planned. Plan a window" in manager.words
    viewer = signed_in(world, "viewer")
    viewer.get("/maintenance")
    assert "Plan a window" not in viewer.words
    assert viewer.get("/maintenance/new").status_code == 403
    assert viewer.post("/maintenance/new", NEW).status_code == 403


def test_a_window_from_now_on_keeps_pages_back(world: World):
    manager = signed_in(world, "manager")
    manager.get("/maintenance/new?service=checkout")
    assert 'value="checkout" checked' in manager.text
    manager.post("/maintenance/new", {**NEW, "do": "save"})
    assert "The maintenance window is saved" in manager.words
    assert "checkout Mon 5 Jan 12:00 Mon 5 Jan 13:00 in 1 h database move" in manager.words
    world.sentry("issue.created")
    assert world.api("GET", "/incidents/1")["suppressed_until"] == "2026-01-05T13:00:00Z"


def test_a_window_is_ended_early_and_pages_again(world: World):
    manager = signed_in(world, "manager")
    manager.get("/maintenance/new")
    manager.post("/maintenance/new", {**NEW, "which": "all", "do": "save"})
    assert "All services" in manager.words
    world.sentry("issue.created")
    manager.post(f"{made(manager)}/end")
    assert "The maintenance is over: incidents page again." in manager.words
    assert "No maintenance is planned." in manager.words
    world.expect("ann")


def test_times_are_on_the_clock_of_whoever_types(world: World):
    world.api("PATCH", "/users/manager@example.com", {"time_zone": "Asia/Tokyo"})
    manager = signed_in(world, "manager")
    manager.get("/maintenance/new")
    assert "On the clock in Asia/Tokyo" in manager.words
    times = {"from": "2026-01-10T09:00", "span": "", "to": "2026-01-10T11:30"}
    manager.post("/maintenance/new", {**NEW, **times, "do": "save"})
    assert "Planned" in manager.words
    row = world.api("GET", "/maintenance-windows")["items"][0]
    assert (row["from"], row["to"]) == ("2026-01-10T00:00:00Z", "2026-01-10T02:30:00Z")


def test_a_planned_window_is_changed_and_called_off(world: World):
    manager = signed_in(world, "manager")
    manager.get("/maintenance/new")
    times = {"from": "2026-01-10T09:00", "span": "4h"}
    match = {"match.title": "*timeout*\n*broken*", "match.tags": "browser = Chrome"}
    manager.post("/maintenance/new", {**NEW, **times, **match, "do": "save"})
    assert "title: *timeout* or *broken*" in manager.words
    path = made(manager)
    manager.get(f"{path}/edit")
    assert 'value="2026-01-10T13:00"' in manager.text
    assert "browser = Chrome" in manager.text
    same = {"from": "2026-01-10T09:00", "span": "", "to": "2026-01-10T13:00"}
    manager.post(f"{path}/edit", {**NEW, **same, "reason": "later", "do": "save"})
    row = world.api("GET", "/maintenance-windows")["items"][0]
    assert (row["reason"], row["to"], row["match"]) == ("later", "2026-01-10T13:00:00Z", None)
    manager.post(f"{path}/end")
    assert "It is called off." in manager.words


def test_a_preview_shows_what_it_would_have_matched_and_saves_nothing(world: World):
    world.sentry("issue.created", 1, title="<script>alert(1)</script> timeout")
    world.expect("ann")
    world.sentry("issue.created", 2, title="something else")
    world.expect("ann")
    manager = signed_in(world, "manager")
    manager.get("/maintenance/new")
    manager.post("/maintenance/new", {**NEW, "match.title": "*timeout*", "do": "preview"})
    assert "#1 <script>alert(1)</script> timeout" in manager.words
    assert "<script>alert" not in manager.text
    assert "something else" not in manager.words
    manager.post("/maintenance/new", {**NEW, "match.title": "*nothing*", "do": "preview"})
    assert "no incident of the last 7 days is like that" in manager.words
    assert world.api("GET", "/maintenance-windows")["items"] == []


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"services": ""}, "No service is ticked"),
        ({"services": "gone"}, "There is no service 'gone'"),
        ({"span": ""}, "It has no end"),
        ({"span": "x"}, "'x' is not a duration"),
        ({"from": "soon"}, "'soon' is not a time"),
        ({"from": "2025-01-05T12:00"}, "It is over already"),
        ({"span": "", "from": "2026-01-07T09:00", "to": "2026-01-06T09:00"}, "ends before it"),
        ({"match.tags": "browser"}, "is not of the form name = value"),
        ({"reason": "x" * 600}, "at most 500 characters"),
    ],
)
def test_a_fault_is_a_sentence_at_the_form(world: World, changed: dict[str, str], fault: str):
    manager = signed_in(world, "manager")
    manager.get("/maintenance/new")
    assert manager.post("/maintenance/new", {**NEW, **changed, "do": "save"}).status_code == 422
    assert fault.lower() in manager.words.lower()
    assert changed.get("reason", "database move") in manager.text
    assert world.api("GET", "/maintenance-windows")["items"] == []


def test_a_window_that_is_not_there_is_not_found(world: World):
    manager = signed_in(world, "manager")
    manager.get("/maintenance")
    assert manager.get("/maintenance/mw_x/edit").status_code == 404
    assert manager.post("/maintenance/mw_x/end").status_code == 404
