"""How much rings in a storm, however long it lasts, and that nobody is forgotten in it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from tests.scenarios.test_cases_b import policy
from tests.scenarios.test_cases_d import BILLED, BY_MAIL, TWO_SERVICES
from tests.scenarios.test_outbox import open_incidents, statements
from tests.world import World
from tocsin.store.tables import notifications, timeline

QUARTER = timedelta(minutes=15)
STEP = timedelta(seconds=20)


def storm(world: World, lasts: timedelta, begin: int = 0) -> list[datetime]:
    """Let a new issue come at each step; return when messages went out."""
    out: list[datetime] = []
    for number in range(lasts // STEP):
        world.sentry("issue.created", id_=begin + number)
        world.forward(seconds=STEP.total_seconds())
        out += [world.now] * len(world.take())
    return out


def test_a_storm_of_new_issues_is_five_messages_in_any_quarter_of_an_hour(blank: World):
    blank.configure(BY_MAIL, policy("ann 20h"), TWO_SERVICES)
    out = storm(blank, timedelta(minutes=35))
    assert max(sum(at <= other < at + QUARTER for other in out) for at in out) <= 5
    blank.forward(minutes=5)
    assert "unacknowledged on checkout" in blank.expect("ann", "email").message.subject
    blank.expect_nothing()
    with blank.database.read() as connection:
        states = connection.scalars(select(notifications.c.state)).all()
        told = connection.scalars(
            select(timeline.c.incident_id).where(timeline.c.kind == "paged")
        ).all()
    assert len(told) == len(set(told)) == len(states) == timedelta(minutes=35) // STEP
    assert set(states) == {"sent", "bundled"}


def test_a_storm_of_one_service_holds_up_no_message_of_another(blank: World):
    blank.configure(BY_MAIL, policy("ann 20h"), TWO_SERVICES)
    storm(blank, timedelta(minutes=10))
    blank.forget()
    blank.sentry("issue.created", id_=10_000, path=BILLED)
    assert blank.expect("ann", "email").title == blank.incidents()[-1].title
    blank.forward(minutes=5)
    blank.expect("ann", "email")
    blank.expect_nothing()


def test_the_calm_after_a_storm_is_told_at_once(blank: World):
    """What a quarter of an hour went by without is forgotten: the next page is a first one."""
    blank.configure(BY_MAIL, policy("ann 20h"), TWO_SERVICES)
    storm(blank, timedelta(minutes=10))
    blank.forward(minutes=20)
    blank.forget()
    blank.sentry("issue.created", id_=10_000)
    blank.expect("ann", "email")
    blank.sentry("issue.created", id_=10_001)
    blank.expect_nothing()
    blank.forward(minutes=1)
    blank.expect("ann", "email")
    blank.forward(minutes=20)
    blank.expect_nothing()


def test_what_joins_a_lane_that_gathers_does_not_read_what_waits_in_it(blank: World):
    """In a storm thousands wait: to hold a page more costs the same however many they are."""
    blank.configure(BY_MAIL, policy("ann 20h"), TWO_SERVICES)
    blank.sentry("issue.created", id_=1)
    blank.expect("ann", "email")
    open_incidents(blank, 30, begin=100)
    with statements(blank.database.engine) as seen:
        assert blank.outbox().begin(blank.now, 50) == []
    assert not [one for one in seen if "FROM incidents" in one or "was_told" in one], seen
    blank.forward(minutes=1)
    assert blank.expect("ann", "email").message.subject == "30 unacknowledged on checkout"
