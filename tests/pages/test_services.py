"""Services in a browser: listed, made, changed, deleted."""

from __future__ import annotations

import pytest

from tests.browsing import Browser, signed_in
from tests.world import World

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


@pytest.fixture
def manager(world: World) -> Browser:
    browser = signed_in(world, "manager")
    browser.get("/services")
    return browser


def made(browser: Browser, **fields: str) -> str:
    """Make a service; return where its pages are."""
    response = browser.post("/services/new", {"name": "website", **fields})
    assert response.status_code == 200, browser.words
    return browser.response.url.path.removesuffix("/integrations")


def test_the_list_says_what_is_open_and_what_to_look_at(world: World, manager: Browser):
    world.sentry("issue.created")
    world.forget()
    made(manager)
    manager.get("/services")
    assert "checkout 1 incident payments default sentry nothing" in manager.words
    assert "website none none none none" in manager.words
    assert "no escalation policy: only the fallback is paged" in manager.words


def test_a_service_is_made_with_all_it_can_have(world: World, manager: Browser):
    path = made(
        manager,
        **{
            "team": "payments",
            "escalation_policy": "default",
            "urgency.warning": "high",
            "urgency.priority.low": "low",
            "acknowledge_timeout": "30m",
            "has_hours": "on",
            "days": "mon",
            "from": "09:00",
            "to": "17:00",
            "time_zone": "Europe/Berlin",
            "outside": "low",
        },
    )
    service = world.api("GET", "/services/website")
    assert service["urgency"] == {"warning": "high", "priority.low": "low"}
    assert service["support_hours"]["days"] == ["mon"]
    assert service["acknowledge_timeout"] == "30m"
    manager.get(path)
    assert "09:00 to 17:00, Europe/Berlin; outside them low" in manager.words


def test_a_form_that_is_wrong_is_shown_again_as_it_was_typed(manager: Browser):
    fields = {"name": "website", "acknowledge_timeout": "soon", "reopen_window": "10m"}
    response = manager.post("/services/new", fields)
    assert response.status_code == 422
    assert "'soon' is not a duration" in manager.words
    assert 'value="soon"' in manager.text
    assert 'value="10m"' in manager.text


def test_a_name_that_is_taken_is_refused(manager: Browser):
    assert manager.post("/services/new", {"name": "checkout"}).status_code == 422
    assert "take another name" in manager.words


def test_settings_change_a_service_and_the_rest_stays(world: World, manager: Browser):
    path = made(manager, escalation_policy="default")
    manager.get(f"{path}/settings")
    assert (
        manager.post(
            f"{path}/settings", {"name": "shop", "escalation_policy": "default"}
        ).status_code
        == 200
    )
    assert "Saved." in manager.words
    assert world.api("GET", "/services/shop")["escalation_policy"] == "default"


def test_a_service_that_is_named_is_not_deleted_and_it_is_told_by_what(manager: Browser):
    response = manager.post("/services/checkout/remove")
    assert response.status_code == 409
    assert "still named by integration 'sentry'" in manager.words


def test_a_service_that_nothing_names_is_deleted(world: World, manager: Browser):
    path = made(manager)
    manager.post(f"{path}/remove")
    assert "website is deleted" in manager.words
    assert world.call("GET", "/services/website").status_code == 404


def test_the_first_service_is_one_button_away(world: World):
    world.configure("users: [{email: ann@example.com, name: Ann, role: owner}]")
    ann = signed_in(world, "ann")
    ann.get("/services")
    assert "Make the first one. New service" in ann.words


def test_who_may_not_change_sees_no_button_and_is_refused(world: World):
    viewer = signed_in(world, "viewer")
    viewer.get("/services/checkout/settings")
    assert "Delete this service" not in viewer.words
    viewer.get("/services")
    assert "New service" not in viewer.words
    for path in ("/services/new", "/services/checkout/settings", "/services/checkout/remove"):
        assert viewer.post(path, {"name": "x"}).status_code == 403, path


def test_hostile_names_are_text(world: World, manager: Browser):
    path = made(manager, name=HOSTILE)
    for page in (
        "/services",
        path,
        f"{path}/integrations",
        f"{path}/settings",
        "/integrations/new",
    ):
        manager.get(page)
        assert "<script>alert" not in manager.text, page
        assert "<img" not in manager.text, page


def test_what_is_not_there_is_a_page_that_says_so(manager: Browser):
    assert manager.get("/services/nothing").status_code == 404
    assert "there is no service nothing" in manager.words
