"""Escalation policies on the page, what they would do, and who would be paged for a service."""

from __future__ import annotations

import pytest

from tests.browsing import signed_in
from tests.pages.test_oncall import WEEKLY
from tests.pages.things import people as everybody
from tests.world import ONE_STEP, SERVICE, World

#: A schedule first, then people in turn.
NEW = {
    "name": "nights",
    "repeat": "1",
    "steps.0.targets.0.what": "schedule:primary",
    "steps.0.wait": "5m",
    "steps.1.targets.0.people": "bob@example.com",
    "steps.1.wait": "10m",
    "steps.1.everybody": "yes",
}


@pytest.fixture
def rota(world: World) -> World:
    """Give a world with two schedules: one covered, one with gaps."""
    people = everybody("payments")
    world.configure(people, SERVICE, ONE_STEP, WEEKLY)
    return world


def test_the_list_says_what_uses_a_policy(rota: World):
    viewer = signed_in(rota, "viewer")
    viewer.get("/policies")
    assert "default 1 Ann checkout reaches somebody" in viewer.words
    assert "New policy" not in viewer.words


def test_a_policy_is_told_in_sentences_for_a_moment_and_a_severity(rota: World):
    viewer = signed_in(rota, "viewer")
    assert viewer.get("/policies/default").status_code == 200
    assert "Used by checkout" in viewer.words
    assert "At once, step 1 of default pages Ann: hook at once." in viewer.words
    viewer.get("/policies/default?severity=info&at=2026-01-07T03:00")
    assert "with severity info has low urgency" in viewer.words
    viewer.get("/policies/default?at=soon&severity=x&priority=x&service=x")
    assert "'soon' is not a time" in viewer.words


def test_a_step_that_reaches_nobody_is_flagged(rota: World):
    steps = [{"targets": [{"schedule": "office"}]}, {"targets": [{"user": "viewer@example.com"}]}]
    rota.api("PATCH", "/escalation-policies/default", {"steps": steps})
    viewer = signed_in(rota, "viewer")
    viewer.get("/policies/default")
    assert "Step 1 does not work" in viewer.words
    assert "Step 1 reaches nobody at that time: office: nobody is on call." in viewer.words
    assert "Step 2 names Viewer, who has no contact method" in viewer.words
    viewer.get("/policies")
    assert "2 steps with a fault" in viewer.words


def test_a_policy_is_made_with_the_buttons_of_the_form_alone(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/policies/new")
    manager.post("/policies/new", {**NEW, "do": "add-step"})
    assert "Step 3" in manager.words
    manager.post("/policies/new", {**NEW, "do": "add-target:0"})
    assert 'name="steps.0.targets.1.what"' in manager.text
    manager.post("/policies/new", {**NEW, "do": "add-turns:0"})
    assert 'name="steps.0.targets.1.people"' in manager.text
    manager.post("/policies/new", {**NEW, "do": "add-person:1:0"})
    assert manager.text.count('name="steps.1.targets.0.people"') == 2
    manager.post("/policies/new", {**NEW, "do": "up-step:1"})
    assert 'name="steps.0.targets.0.people"' in manager.text
    manager.post("/policies/new", {**NEW, "do": "remove-step:1"})
    assert "Step 2" not in manager.words.partition("What it would do")[0]
    for do in ("remove-target:9:9", "add-person:0:0", "up-step:", "nonsense"):
        assert manager.post("/policies/new", {**NEW, "do": do}).status_code == 200, do
    manager.post("/policies/new", {**NEW, "do": "save"})
    assert "The policy nights is saved." in manager.words
    made = rota.api("GET", "/escalation-policies/nights")
    assert made["repeat"] == 1
    assert made["steps"][0]["targets"] == [{"schedule": "primary"}]
    assert made["steps"][1] == {
        "targets": [{"round_robin": ["bob@example.com"]}], "wait": "10m", "everybody": True,
    }  # fmt: skip


def test_a_preview_says_what_an_unsaved_policy_would_do(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/policies/default/edit")
    manager.post("/policies/default/edit", {**NEW, "do": "preview"})
    assert "step 1 of nights pages Ann (on call for primary until 2026-01-12 09:00 UTC)" in (
        manager.words
    )
    assert "After 5m, step 2 of nights pages Bob" in manager.words
    assert "all of it again, once more" in manager.words
    assert rota.call("GET", "/escalation-policies/nights").status_code == 404
    fields = {**NEW, "steps.0.targets.0.what": "schedule:office", "do": "preview"}
    manager.post("/policies/default/edit", fields)
    assert "Step 1 reaches nobody at that time" in manager.words
    assert "faulty" in manager.text


def test_an_edit_changes_the_policy_and_its_name_everywhere(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/policies/default/edit")
    assert 'value="user:ann@example.com" selected' in manager.text
    manager.post("/policies/default/edit", {**NEW, "do": "save"})
    assert "The policy nights is saved." in manager.words
    assert rota.api("GET", "/services/checkout")["escalation_policy"] == "nights"


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"name": ""}, "A name is not empty"),
        ({"name": "default"}, "there is"),
        ({"repeat": "often"}, "The number of repeats 'often' is not a whole number"),
        ({"repeat": "101"}, "Repeat 101 is not between 0 and 100"),
        ({"steps.0.wait": "soon"}, "'soon' is not a duration: write 30s, 5m, 2h or 7d"),
        ({"steps.0.targets.0.what": ""}, "Step 1, target 1"),
        ({"steps.0.targets.0.what": "schedule:gone"}, "There is no schedule 'gone'"),
        ({"steps.0.targets.0.what": "nonsense:gone"}, "Step 1, target 1"),
    ],
)
def test_a_fault_is_a_sentence_at_the_form(rota: World, changed: dict[str, str], fault: str):
    manager = signed_in(rota, "manager")
    manager.get("/policies/new")
    response = manager.post("/policies/new", {**NEW, **changed, "do": "save"})
    assert response.status_code in (409, 422)
    assert fault.lower() in manager.words.lower()
    assert 'value="bob@example.com" selected' in manager.text


def test_only_managers_edit(rota: World):
    for who in ("viewer", "responder"):
        browser = signed_in(rota, who)
        browser.get("/policies/default")
        assert "/edit" not in browser.text, who
        assert browser.get("/policies/new").status_code == 403, who
        assert browser.post("/policies/default/edit", NEW).status_code == 403, who
        assert browser.post("/policies/default/remove").status_code == 403, who


def test_a_policy_that_a_service_uses_is_not_deleted(rota: World):
    manager = signed_in(rota, "manager")
    manager.get("/policies/default/edit")
    manager.post("/policies/default/remove")
    assert "is still named by service 'checkout'" in manager.words
    manager.post("/policies/new", {**NEW, "do": "save"})
    manager.post("/policies/nights/remove")
    assert "The policy nights is gone." in manager.words


def test_a_service_is_explained_at_a_moment(rota: World):
    viewer = signed_in(rota, "viewer")
    viewer.get("/services/checkout/explain?severity=critical&at=2026-01-07T03:00")
    assert "Who is paged for checkout" in viewer.words
    assert "with severity critical has high urgency" in viewer.words
    assert "No fallback is set" in viewer.words
    assert viewer.get("/services/nothing/explain").status_code == 404


def test_names_are_text(rota: World):
    hostile = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    manager = signed_in(rota, "manager")
    manager.get("/policies/new")
    manager.post("/policies/new", {**NEW, "name": hostile, "do": "preview"})
    assert "<script>alert" not in manager.text
    manager.post("/policies/new", {**NEW, "name": hostile, "do": "save"})
    for path in ("/policies", "/policies/default"):
        manager.get(path)
        assert "<script>alert" not in manager.text, path
        assert "<img src=x" not in manager.text, path
