"""Who is on call now: cards by team, one's own line, gaps, and shifts on offer."""

from __future__ import annotations

import pytest

from tests.browsing import signed_in
from tests.pages.things import people as everybody
from tests.world import ONE_STEP, SERVICE, World

#: Ann and Bob week by week; it is Monday 5 January 2026, 12:00 UTC.
WEEKLY = """
schedules:
  - name: primary
    team: payments
    layers:
      - name: weekly
        rotation: {unit: week, start: "2026-01-05T09:00"}
        participants: [ann@example.com, bob@example.com]
  - name: office
    layers:
      - name: days
        rotation: {unit: day, start: "2026-01-05T09:00"}
        participants: [bob@example.com]
        restrictions: [{days: [tue], from: "09:00", to: "17:00"}]
"""


@pytest.fixture
def rota(world: World) -> World:
    """Give a world with two schedules: one covered, one with gaps."""
    people = everybody("payments")
    world.configure(people, SERVICE, ONE_STEP, WEEKLY)
    return world


def test_it_says_who_is_on_call_until_when_and_who_comes_next(rota: World):
    bob = signed_in(rota, "bob")
    assert bob.get("/oncall").status_code == 200
    assert "payments primary Ann until Mon 12 Jan 09:00" in bob.words
    assert "Then Bob" in bob.words


def test_whoever_reads_sees_whether_they_are_on_call(rota: World):
    ann = signed_in(rota, "ann")
    ann.get("/oncall")
    assert "You are on call in primary until Mon 12 Jan 09:00" in ann.words
    bob = signed_in(rota, "bob")
    bob.get("/oncall")
    assert "You are not on call now. Next: office from Tue 6 Jan 09:00" in bob.words
    cat = signed_in(rota, "cat")
    cat.get("/oncall")
    assert "nor within the next four weeks" in cat.words


def test_whoever_is_on_call_for_another_team_sees_that_and_not_the_schedule(rota: World):
    rota.api("PATCH", "/teams/payments", {"members": ["bob@example.com"]})
    ann = signed_in(rota, "ann")
    ann.get("/oncall")
    assert "You are on call in primary until Mon 12 Jan 09:00" in ann.words
    id_ = rota.api("GET", "/schedules/primary")["id"]
    assert f"/schedules/{id_}" not in ann.text
    assert "Then Bob" not in ann.words


def test_a_gap_now_and_gaps_ahead_are_told_with_a_way_to_the_schedule(rota: World):
    ann = signed_in(rota, "ann")
    ann.get("/oncall")
    assert "Nobody is on call until Tue 6 Jan 09:00" in ann.words
    assert "5 gaps in the next 4 weeks" in ann.words
    assert "2 more; see the schedule of office" in ann.words


def test_without_a_schedule_a_manager_is_shown_the_way_to_one(world: World):
    manager = signed_in(world, "manager")
    manager.get("/oncall")
    assert "Make a schedule" in manager.words
    viewer = signed_in(world, "viewer")
    viewer.get("/oncall")
    assert "There is no schedule yet" in viewer.words
    assert "Make a schedule" not in viewer.words


def test_a_shift_on_offer_is_taken_with_one_press(rota: World):
    offer = {"user": "ann@example.com", "from": "2026-01-07T09:00", "to": "2026-01-08T09:00"}
    rota.api("POST", "/schedules/primary/swaps", offer)
    bob = signed_in(rota, "bob")
    bob.get("/oncall")
    assert "Shifts on offer" in bob.words
    address = bob.text.partition('action="/schedules/')[2].partition('"')[0]
    bob.post(f"/schedules/{address}", {"back": "oncall"})
    assert "The shift is yours." in bob.words
    assert "Shifts on offer" not in bob.words
    shifts = rota.api("GET", "/schedules/primary/shifts?from=2026-01-07T10:00&to=2026-01-07T11:00")
    assert [one["user"]["email"] for one in shifts["items"]] == ["bob@example.com"]


def test_a_viewer_sees_offers_and_no_button(rota: World):
    offer = {"user": "ann@example.com", "from": "2026-01-07T09:00", "to": "2026-01-08T09:00"}
    rota.api("POST", "/schedules/primary/swaps", offer)
    viewer = signed_in(rota, "viewer")
    viewer.get("/oncall")
    assert "Shifts on offer" in viewer.words
    assert "Take it" not in viewer.words
