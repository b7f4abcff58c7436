"""The life of a Sentry issue, from webhook to page to resolve and back."""

from __future__ import annotations

from tests.world import World


def test_created_alert_repeat_assigned_resolved_regression_makes_two_incidents(world: World):
    """Each cycle is an incident of its own, linked to the one before, with one page."""
    world.sentry("issue.created")
    world.expect("ann")
    world.sentry("event_alert.triggered")
    world.sentry("event_alert.triggered")
    world.sentry("issue.assigned")
    world.expect_nothing()
    world.sentry("issue.resolved")
    world.expect("ann", what="resolved")
    world.forward(hours=2)
    world.sentry("issue.unresolved")
    world.expect("ann")

    first, second = world.incidents()
    assert (first.status, first.occurrence_count) == ("resolved", 3)
    assert (second.status, second.occurrence_count) == ("triggered", 1)
    assert second.previous_incident == first.id
    assert first.previous_incident is None
    assert world.kinds(1) == [
        "opened", "step", "paged", "repeated", "repeated", "note", "resolved",
    ]  # fmt: skip
    assert world.kinds(2) == ["opened", "step", "paged"]
    assert first.alerts[0].occurrence_count == 4
    assert first.alerts[0].id == second.alerts[0].id


def test_the_timeline_says_what_happened_in_words(world: World):
    """Whoever reads it at night understands it."""
    world.sentry("issue.created")
    world.expect("ann")
    world.sentry("issue.assigned")
    world.sentry("issue.resolved")
    world.expect("ann", what="resolved")
    texts = [entry.text for entry in world.incident().timeline]
    assert texts == [
        "a new issue in Sentry",
        "step 1 of default pages Ann",
        "paged Ann by hook: recorded",
        "assigned in Sentry to Jane Doe",
        "resolved in Sentry",
    ]
    assert [entry.actor for entry in world.incident().timeline] == [
        "Sentry", "tocsin", "tocsin", "Jane Doe", "Jane Doe",
    ]  # fmt: skip
