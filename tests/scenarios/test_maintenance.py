"""Maintenance windows, silences and absences: who is not paged, and when they are after all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.builders import NOW
from tests.scenarios.test_cases_b import policy
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.work import respond


def stamp(**span: float) -> str:
    """Write the instant so long after the beginning, as the API does."""
    return (NOW + timedelta(**span)).isoformat()


def window(world: World, begin: float, end: float, **more: Any) -> str:
    """Make a window from so many minutes after the beginning to so many; return its id."""
    body = {"services": ["checkout"], "from": stamp(minutes=begin), "to": stamp(minutes=end)}
    made: str = world.api("POST", "/maintenance-windows", body | {"reason": "move"} | more)["id"]
    return made


def test_in_maintenance_it_is_recorded_and_marked_and_pages_when_that_ends(world: World):
    window(world, 0, 60)
    world.sentry("issue.created")
    world.expect_nothing()
    incident = world.incident()
    assert (incident.status, incident.escalation.state) == ("triggered", "stopped")
    assert incident.suppressed_until == NOW + timedelta(minutes=60)
    assert world.deliveries()[-1].outcome == "suppressed"
    assert "suppressed" in world.kinds()
    world.forward(minutes=60)
    world.expect("ann")
    assert world.incident().suppressed_until is None


def test_what_was_resolved_meanwhile_pages_nobody(world: World):
    window(world, 0, 60)
    world.sentry("issue.created")
    world.sentry("issue.resolved")
    world.forward(minutes=90)
    world.expect_nothing()


def test_a_window_that_is_planned_does_nothing_before_it_begins(world: World):
    window(world, 30, 60)
    world.sentry("issue.created")
    world.expect("ann")
    world.forward(minutes=90)
    world.forget()
    assert world.incident().suppressed_until is None


def test_another_service_is_not_suppressed(world: World):
    more = "  - {name: other, service: other, routing_key: routing-key-of-the-other}\n"
    other = SERVICE + more
    other = other.replace(
        "integrations:", "  - {name: other, escalation_policy: default}\nintegrations:"
    )
    world.configure(PEOPLE, ONE_STEP, other)
    window(world, 0, 60)
    world.sentry("issue.created", path="/in/routing-key-of-the-other")
    world.expect("ann")


def test_a_silence_suppresses_what_it_matches_and_nothing_else(world: World):
    window(world, 0, 60, match={"title": ["*flaky*"]})
    world.sentry("issue.created", 1, title="a flaky test")
    world.expect_nothing()
    world.sentry("issue.created", 2, title="a real one")
    world.expect("ann")
    world.forward(minutes=60)
    world.expect("ann")


def test_a_window_that_is_made_longer_goes_on(world: World):
    id_ = window(world, 0, 60)
    world.sentry("issue.created")
    world.api("PATCH", f"/maintenance-windows/{id_}", {"to": stamp(minutes=120)})
    world.forward(minutes=119)
    world.expect_nothing()
    assert world.incident().suppressed_until == NOW + timedelta(minutes=120)
    world.forward(minutes=1)
    world.expect("ann")


def test_a_window_that_is_ended_early_pages_at_once(world: World):
    id_ = window(world, 0, 60)
    world.sentry("issue.created")
    world.forward(minutes=5)
    assert world.call("DELETE", f"/maintenance-windows/{id_}").status_code == 204
    world.settle()
    world.expect("ann")


def test_of_two_windows_the_later_end_counts(world: World):
    window(world, 0, 30)
    window(world, 0, 60)
    world.sentry("issue.created")
    world.forward(minutes=59)
    world.expect_nothing()
    world.forward(minutes=1)
    world.expect("ann")


def test_escalating_by_hand_pages_in_spite_of_it(world: World):
    window(world, 0, 60)
    world.sentry("issue.created")
    world.api("POST", "/incidents/1/escalate")
    world.expect("ann")
    assert world.incident().suppressed_until is None
    world.forward(minutes=90)
    world.expect_nothing()


def test_what_somebody_took_meanwhile_is_not_paged_when_it_ends(world: World):
    window(world, 0, 60)
    world.sentry("issue.created")
    world.act("ann", respond.acknowledge)
    world.forward(minutes=90)
    world.expect_nothing()
    assert world.incident().status == "acknowledged"


def away(world: World, who: str, **more: Any) -> None:
    """Let a person be away for an hour from now."""
    body = {"user": f"{who}@example.com", "kind": "away", "from": stamp(), "to": stamp(hours=1)}
    world.api("POST", "/absences", body | more)


def test_who_is_away_is_not_paged_and_the_next_step_is_taken_at_once(blank: World):
    blank.configure(PEOPLE, policy("ann 30m", "bob 5m"), SERVICE)
    away(blank, "ann")
    blank.sentry("issue.created")
    blank.expect("bob")
    texts = [entry.text for entry in blank.incident().timeline]
    assert "step 1 of default reached nobody; Ann is away" in texts
    blank.forward(hours=2)
    blank.sentry("issue.created", 2)
    blank.expect("ann")
    blank.forget()


def test_a_substitute_is_paged_instead_and_the_timeline_says_for_whom(world: World):
    away(world, "ann", substitute="bob@example.com")
    world.sentry("issue.created")
    world.expect("bob")
    texts = [entry.text for entry in world.incident().timeline]
    assert "step 1 of default pages Bob (for Ann)" in texts


def test_substitutes_of_substitutes_end_somewhere(world: World):
    away(world, "ann", substitute="bob@example.com")
    away(world, "bob", substitute="ann@example.com")
    world.sentry("issue.created")
    world.expect_nothing()
    assert world.incident().escalation.state == "nobody_notified"


def test_a_quiet_time_holds_back_what_is_not_urgent(world: World):
    away(world, "ann", kind="quiet")
    world.sentry("issue.created", 1, level="warning")
    world.expect_nothing()
    world.sentry("issue.created", 2, level="fatal")
    world.expect("ann")
    world.forward(hours=1)
    world.expect("ann")


def test_quiet_hours_hold_back_what_is_not_urgent_every_day(blank: World):
    quiet = PEOPLE.replace(
        "    name: Ann\n", "    name: Ann\n    quiet_hours: {from: '11:00', to: '13:00'}\n"
    )
    blank.configure(quiet, ONE_STEP, SERVICE)
    blank.sentry("issue.created", 1, level="warning")
    blank.expect_nothing()
    blank.forward(minutes=59)
    blank.expect_nothing()
    blank.forward(minutes=1)
    blank.expect("ann")
