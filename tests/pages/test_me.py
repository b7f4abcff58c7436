"""One's own page: how one is reached, when one is away, how one likes it, and ways in."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.browsing import Browser, signed_in
from tests.world import World
from tocsin.core.plans import ContactMethod
from tocsin.store import audit
from tocsin.store.audit import Entry, Wanted

HOOK = "https://phones.example.com/new"


def method(world: World, who: str, name: str) -> ContactMethod:
    return next(one for one in world.user(who).contact_methods if one.name == name)


def told(world: World, **wanted: str) -> list[Entry]:
    with world.database.read() as connection:
        return list(audit.page(connection, Wanted(**wanted), 50).items)


def code_of(message: Any) -> str:
    found = re.search(r"\b[0-9]{6}\b", message.text)
    assert found, message.text
    return found[0]


def test_a_contact_method_is_added_its_code_typed_and_a_test_sent(world: World):
    ann = signed_in(world, "ann")
    ann.get("/me")
    ann.post("/me/methods", {"name": "night phone", "channel": "webhook", "address": HOOK})
    secret = re.search(r'id="the-secret"[^>]*>([^<]+)<', ann.text)
    assert secret
    assert secret[1].startswith("whsec_")
    assert "good until" in ann.words
    assert "5 tries" in ann.words
    at = f"/me/methods/{method(world, 'ann', 'night phone').id}"
    code = code_of(world.expect("ann", "webhook", "verification").message)
    wrong = "000000" if code != "000000" else "111111"
    assert ann.post(f"{at}/verify", {"code": wrong}).status_code == 422
    assert "That is not the code; 4 tries are left." in ann.words
    ann.post(f"{at}/verify", {"code": f" {code[:3]} {code[3:]} "})
    assert "night phone is verified" in ann.words
    assert secret[1] not in ann.text
    ann.post(f"{at}/test")
    world.expect("ann", "webhook", "test")
    ann.get(at)
    assert "a test you asked for" in ann.words
    assert "recorded" in ann.words


def test_a_wrong_address_is_shown_again_with_what_is_wrong(world: World):
    ann = signed_in(world, "ann")
    typed = {"name": '"><img onerror=x>', "channel": "email", "address": "not an address"}
    assert ann.post("/me/methods", typed).status_code == 422
    assert 'value="not an address"' in ann.text
    assert "<img" not in ann.text
    assert len(world.user("ann").contact_methods) == 2


def test_codes_are_not_sent_all_the_time(world: World):
    ann = signed_in(world, "ann")
    ann.post("/me/methods", {"name": "m", "channel": "email", "address": "a@example.com"})
    world.expect("ann", "email", "verification")
    ann.post(f"/me/methods/{method(world, 'ann', 'm').id}/code")
    assert "Enough codes were sent for now" in ann.words


def test_contact_methods_are_ordered_and_removed(world: World):
    ann = signed_in(world, "ann")
    ann.post(f"/me/methods/{method(world, 'ann', 'mail').id}/up")
    assert [one.name for one in world.user("ann").contact_methods] == ["mail", "hook"]
    ann.post(f"/me/methods/{method(world, 'ann', 'mail').id}/remove")
    assert [one.name for one in world.user("ann").contact_methods] == ["hook"]
    assert told(world, kind="contact_method")[0].detail == ""


def test_nobody_sees_or_changes_what_is_anothers(world: World):
    ann, bob = signed_in(world, "ann"), method(world, "bob", "hook").id
    assert ann.get(f"/me/methods/{bob}").status_code == 404
    for what in ("remove", "test", "code", "up", "verify"):
        assert ann.post(f"/me/methods/{bob}/{what}", {"code": "1"}).status_code == 404, what
    assert len(world.user("bob").contact_methods) == 1


def test_everything_is_tested_at_once(world: World):
    ann = signed_in(world, "ann")
    ann.post("/me/test")
    assert "A test is on its way to hook, mail" in ann.words
    world.expect("ann", "webhook", "test")
    world.expect("ann", "email", "test")


def test_rules_are_rows_that_are_added_dropped_and_saved_without_scripts(world: World):
    ann = signed_in(world, "ann")
    ann.get("/me")
    assert "When it is urgent: at once by the first that works." in ann.words
    ann.post("/me/rules", [("do", "add high")])
    row = [("urgency", "high"), ("after", "0s"), ("method", "mail")]
    ann.post("/me/rules", [*row, ("do", "add low")])
    assert ann.text.count('name="urgency"') == 2
    assert world.user("ann").notification_rules == ()
    second = [("urgency", "high"), ("after", "5m"), ("method", "hook")]
    ann.post("/me/rules", [*row, *second, *row, ("do", "drop 2")])
    assert ann.text.count('name="urgency"') == 2
    ann.post("/me/rules", [*row, *second, ("do", "save")])
    assert "When it is urgent: at once by mail; after 5m by hook." in ann.words
    assert "When it is not urgent: nothing: no rule says anything." in ann.words
    assert told(world, kind="user.changed")[0].actor == "ann@example.com"


@pytest.mark.parametrize("after", ["soon", "", "-1s", "99999999999999d"])
def test_a_wrong_delay_is_shown_again(world: World, after: str):
    ann = signed_in(world, "ann")
    row = [("urgency", "high"), ("after", after), ("method", "mail"), ("do", "save")]
    assert ann.post("/me/rules", row).status_code == 422
    assert world.user("ann").notification_rules == ()


def test_whoever_no_page_can_reach_is_warned(world: World):
    ann = signed_in(world, "ann")
    for name in ("hook", "mail"):
        ann.post(f"/me/methods/{method(world, 'ann', name).id}/remove")
    ann.get("/me")
    assert "No page can reach you" in ann.words


def test_quiet_hours_are_set_and_taken_away(world: World):
    ann = signed_in(world, "ann")
    ann.post("/me/quiet", {"from": "22:00", "to": "07:30"})
    assert "Every day from 22:00 to 07:30" in ann.words
    assert (
        told(world, kind="user")[0].detail
        == "quiet_from: nothing → 22:00; quiet_to: nothing → 07:30"
    )
    assert ann.post("/me/quiet", {"from": "25:00", "to": "x"}).status_code == 422
    ann.post("/me/quiet", {"none": "1", "from": "22:00", "to": "07:30"})
    assert world.user("ann").quiet_hours is None


def test_handoff_notices_are_switched_on_and_off(world: World):
    ann = signed_in(world, "ann")
    ann.post("/me/handoff", {"wanted": "1"})
    assert world.user("ann").handoff_notices
    ann.post("/me/handoff")
    assert not world.user("ann").handoff_notices


def test_an_absence_is_noted_on_ones_own_clock_and_ends(world: World):
    ann = signed_in(world, "ann")
    ann.post("/me/profile", {"name": "Ann", "time_zone": "Asia/Tokyo"})
    day = f"{world.now.year + 1}-03-01"
    ann.post("/me/absences", {"from": f"{day}T09:00", "to": f"{day}T18:00", "kind": "away",
                              "substitute": "bob@example.com"})  # fmt: skip
    [absence] = world.user("ann").absences
    assert f"{absence.begins_at:%H:%M}" == "00:00"
    assert absence.substitute_id == world.user("bob").id
    ann.post(f"/me/absences/{absence.id}/remove")
    assert world.user("ann").absences == ()


@pytest.mark.parametrize(
    "typed",
    [{"to": ""}, {"to": "later"}, {"to": "2001-01-01T00:00"}, {"to": "2099-01-01T00:00",
     "kind": "quiet", "substitute": "bob@example.com"}],
)  # fmt: skip
def test_a_wrong_absence_is_shown_again(world: World, typed: dict[str, str]):
    ann = signed_in(world, "ann")
    assert ann.post("/me/absences", typed).status_code == 422
    assert world.user("ann").absences == ()


def test_name_and_zone_are_ones_own(world: World):
    ann = signed_in(world, "ann")
    ann.post("/me/profile", {"name": "<script>Ann", "time_zone": "Europe/Berlin"})
    assert world.user("ann").name == "<script>Ann"
    assert "<script>Ann" not in ann.text
    assert ann.post("/me/profile", {"name": "A", "time_zone": "Mars/Base"}).status_code == 422
    assert ann.post("/me/profile", {"name": "", "time_zone": "UTC"}).status_code == 422


def test_the_page_looks_as_one_likes_it(world: World):
    ann = signed_in(world, "ann")
    ann.post("/me/preferences", {"theme": "dark", "clock": "12"})
    assert 'data-theme="dark"' in ann.text
    assert 'data-clock="12"' in ann.text
    assert "data-shortcuts" not in ann.text
    ann.post("/me/preferences", {"theme": "pink", "clock": "24", "shortcuts": "1"})
    assert "data-theme" not in ann.text
    assert "data-shortcuts" in ann.text


def test_browsers_are_let_out_one_by_one_and_all_at_once(world: World):
    here, there, third = (signed_in(world, "ann") for _ in range(3))
    here.get("/me/access")
    assert here.words.count("this one") == 1
    ends = re.findall(r'action="(/me/sessions/[^"]+/end)"', here.text)
    assert len(ends) == 2
    here.post(ends[0])
    signed_out = [one for one in (there, third) if "Sign in" in _seen(one)]
    assert len(signed_out) == 1
    here.post("/me/sessions/end-others")
    assert "Sign in" in _seen(there)
    assert "Sign in" in _seen(third)
    assert "Where you are signed in" in here.words
    assert len(told(world, kind="session.ended")) == 2


def _seen(browser: Browser) -> str:
    browser.get("/me/access")
    return browser.words


def test_nobody_lets_out_anothers_browser(world: World):
    ann, bob = signed_in(world, "ann"), signed_in(world, "bob")
    signed_in(world, "ann")
    ann.get("/me/access")
    [end] = re.findall(r'action="(/me/sessions/[^"]+/end)"', ann.text)
    assert bob.post(end).status_code == 404


def test_a_calendar_address_is_shown_once_and_revoked(world: World):
    ann = signed_in(world, "ann")
    ann.post("/me/calendar")
    shown = re.search(r"http://tocsin\.test(/calendars/[^<\s]+)", ann.text)
    assert shown
    assert world.raw("GET", shown[1]).status_code == 200
    ann.get("/me/access")
    assert shown[1] not in ann.text
    [revoke] = re.findall(r'action="(/me/calendar/[^"]+/revoke)"', ann.text)
    assert signed_in(world, "bob").post(revoke).status_code == 404
    ann.post(revoke)
    assert world.raw("GET", shown[1]).status_code == 404
    assert [one.kind for one in told(world, kind="calendar_feed")] == [
        "calendar_feed.removed", "calendar_feed.added",
    ]  # fmt: skip


def test_a_key_of_ones_own_does_no_more_than_one_may(world: World):
    viewer = signed_in(world, "viewer")
    assert viewer.post("/me/keys", {"name": "k", "role": "owner"}).status_code == 422
    viewer.post("/me/keys", {"name": "k", "role": "viewer"})
    key = re.search(r'id="made-key"[^>]*>([^<]+)<', viewer.text)
    assert key is not None
    assert world.call("GET", "/me", key=key[1]).json()["role"] == "viewer"
    viewer.get("/me/access")
    assert key[1] not in viewer.text
    [revoke] = re.findall(r'action="(/me/keys/[^"]+/revoke)"', viewer.text)
    assert signed_in(world, "ann").post(revoke).status_code == 404
    viewer.post(revoke)
    assert world.call("GET", "/me", key=key[1]).status_code == 401


def test_a_viewer_reads_their_page_and_changes_nothing_that_pages(world: World):
    viewer = signed_in(world, "viewer")
    for path in ("/me", "/me/times", "/me/page", "/me/access"):
        assert viewer.get(path).status_code == 200, path
    viewer.get("/me")
    assert "Add a contact method" not in viewer.words
    for path in (
        "/me/methods",
        "/me/rules",
        "/me/quiet",
        "/me/absences",
        "/me/handoff",
        "/me/test",
    ):
        assert viewer.post(path).status_code == 403, path
