"""Layers that take their shifts from a calendar: read, read again, and never lost to an error."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.calendars.test_reading import calendar
from tests.world import PEOPLE, SERVICE, World
from tocsin.core.schedule import on_call
from tocsin.store.jobs import Kind
from tocsin.store.plans import revision
from tocsin.store.tables import calendars, jobs

URL = "https://calendars.example.com/on-call.ics?secret"

SCHEDULES = f"""
schedules:
  - name: primary
    time_zone: Europe/Berlin
    layers: [{{name: rota, calendar: "{URL}"}}]
"""

WEEK = ("DTSTART:20260105T080000Z", "DTEND:20260112T080000Z")


def who(world: World, at: datetime | None = None, name: str = "primary") -> list[str]:
    """Return the names of who is on call."""
    plans = world.plans.refresh()
    schedule = next(one for one in plans.schedules.values() if one.name == name)
    return [plans.users[id_].name for id_ in on_call(schedule, at or world.now)]


def shown(world: World) -> Any:
    (one,) = world.api("GET", "/calendars")["items"]
    return one


def the_revision(world: World) -> int:
    with world.database.read() as connection:
        return revision(connection)


def rows(world: World) -> tuple[list[str], list[str]]:
    """Return the calendars there are, and the jobs about them."""
    with world.database.read() as connection:
        urls = connection.scalars(select(calendars.c.url)).all()
        keys = connection.scalars(select(jobs.c.key).where(jobs.c.kind == Kind.CALENDAR)).all()
    return list(urls), list(keys)


@pytest.fixture
def world(blank: World) -> World:
    """Give a world where Ann is on call this week by a calendar."""
    blank.calendars[URL] = calendar((*WEEK, "SUMMARY:On call: Ann"))
    blank.configure(PEOPLE, SCHEDULES)
    blank.settle()
    return blank


def test_whom_a_calendar_names_is_on_call_at_once(world: World):
    assert who(world) == ["Ann"]
    assert who(world, world.now + timedelta(days=8)) == []
    one = shown(world)
    assert one == {
        "url": URL,
        "schedules": ["primary"],
        "tried_at": "2026-01-05T12:00:00Z",
        "fetched_at": "2026-01-05T12:00:00Z",
        "error": None,
        "events": 1,
        "unknown": [],
    }


def test_whom_a_calendar_names_is_paged(world: World):
    policy = """
escalation_policies:
  - {name: default, steps: [{targets: [{schedule: primary}], wait: 1h}]}
"""
    world.configure(PEOPLE, SCHEDULES, policy, SERVICE)
    world.sentry("issue.created", id_=1)
    world.expect("ann")
    world.calendars[URL] = calendar((*WEEK, "SUMMARY:Bob"))
    world.forward(minutes=10)
    world.sentry("issue.created", id_=2)
    world.expect("bob")


def test_a_changed_calendar_is_seen_within_ten_minutes(world: World):
    world.calendars[URL] = calendar((*WEEK, "ATTENDEE:mailto:bob@example.com"))
    world.forward(minutes=9, seconds=59)
    assert who(world) == ["Ann"]
    world.forward(seconds=1)
    assert who(world) == ["Bob"]


def test_only_other_events_are_a_change_of_configuration(world: World):
    before = the_revision(world)
    world.forward(hours=1)
    world.calendars[URL] += b"\r\n"  # other bytes, the same events
    world.forward(hours=1)
    assert the_revision(world) == before
    assert shown(world)["tried_at"] == "2026-01-05T14:00:00Z"
    world.calendars[URL] = calendar((*WEEK, "SUMMARY:Bob"))
    world.forward(hours=1)
    assert the_revision(world) == before + 1


@pytest.mark.parametrize(
    ("body", "says"), [(None, "HTTP 404"), (b"<html>", "not a calendar: it has no")]
)
def test_an_error_leaves_what_was_and_is_shown_until_it_is_over(
    world: World, body: bytes | None, says: str
):
    good = world.calendars.pop(URL)
    if body is not None:
        world.calendars[URL] = body
    world.forward(minutes=10)
    assert who(world) == ["Ann"]
    one = shown(world)
    assert says in one["error"]
    assert (one["events"], one["fetched_at"]) == (1, "2026-01-05T12:00:00Z")
    world.calendars[URL] = good
    world.forward(minutes=1)
    assert shown(world)["error"] is None


def test_errors_are_tried_again_ever_more_slowly_and_never_given_up(world: World):
    good = world.calendars.pop(URL)
    waits = []
    for _ in range(7):
        due = world._next_due()
        assert due is not None
        waits.append((due - world.now) / timedelta(minutes=1))
        world.jump(minutes=waits[-1])
        assert shown(world)["error"] == "HTTP 404"
    assert waits == [10, 1, 5, 10, 30, 60, 60]
    world.jump(days=30)
    world.calendars[URL] = good
    world.jump(hours=1)
    assert shown(world)["error"] is None


def test_a_calendar_nobody_uses_any_more_is_let_go(world: World):
    assert [len(one) for one in rows(world)] == [1, 1]
    world.configure(PEOPLE)
    world.settle()
    assert rows(world) == ([], [])
    world.forward(hours=1)
    world.configure(PEOPLE, SCHEDULES)
    world.settle()
    assert who(world) == ["Ann"]


def test_two_schedules_share_a_calendar_and_each_reads_days_in_its_own_zone(blank: World):
    blank.calendars[URL] = calendar(("DTSTART;VALUE=DATE:20260106", "SUMMARY:Ann"))
    other = f"""
  - name: secondary
    time_zone: Asia/Kolkata
    layers: [{{name: rota, calendar: "{URL}"}}]
"""
    blank.configure(PEOPLE, SCHEDULES + other)
    blank.settle()
    assert [len(one) for one in rows(blank)] == [1, 1]

    def edge(name: str, instant: str) -> bool:
        at = datetime.fromisoformat(instant)
        before = at - timedelta(seconds=1)
        return (who(blank, before, name), who(blank, at, name)) == ([], ["Ann"])

    assert edge("primary", "2026-01-05T23:00:00+00:00")
    assert edge("secondary", "2026-01-05T18:30:00+00:00")
    assert who(blank, datetime.fromisoformat("2026-01-06T23:00:00+00:00")) == []


def test_the_window_moves_with_the_days_though_the_calendar_stays_the_same(blank: World):
    """An endless event is worked out some way ahead: again every day, not only when it changes."""
    blank.calendars[URL] = calendar(
        ("DTSTART:20260101T000000Z", "DURATION:P1D", "RRULE:FREQ=DAILY", "SUMMARY:Ann")
    )
    blank.configure(PEOPLE, SCHEDULES)
    blank.settle()
    blank.jump(days=390)
    assert who(blank, blank.now + timedelta(days=300)) == ["Ann"]


def test_people_nobody_knows_are_shown_and_put_nobody_on_call(blank: World):
    blank.calendars[URL] = calendar(
        (*WEEK, "SUMMARY:Zoe"),
        (*WEEK, "ATTENDEE:mailto:ann@example.com", "ATTENDEE:mailto:guest@example.org"),
        (*WEEK, "SUMMARY:Zoe"),
    )
    blank.configure(PEOPLE, SCHEDULES)
    blank.settle()
    assert who(blank) == ["Ann"]
    assert shown(blank)["unknown"] == ["Zoe"]


def test_of_the_groups_an_event_names_the_first_counts_that_somebody_is_in(blank: World):
    blank.calendars[URL] = calendar(
        (*WEEK, "ATTENDEE:mailto:bot@example.org", "SUMMARY:Ann & CAT",
         "ORGANIZER:mailto:bob@example.com"),
    )  # fmt: skip
    blank.configure(PEOPLE, SCHEDULES)
    blank.settle()
    assert sorted(who(blank)) == ["Ann", "Cat"]


def test_a_person_who_comes_later_is_found_in_what_was_read(world: World):
    world.calendars[URL] = calendar((*WEEK, "SUMMARY:Dora"))
    world.forward(minutes=10)
    assert who(world) == []
    dora = "  - {email: dora@example.com, name: Dora}\nteams:"
    world.configure(PEOPLE.replace("teams:", dora), SCHEDULES)
    assert who(world) == ["Dora"]


def test_a_calendar_that_is_gone_while_it_is_read_stays_gone(world: World):
    """The schedule is changed between the question and its answer."""
    librarian = world._worker._librarian
    world.now += timedelta(minutes=10)
    (errand,) = librarian.begin(world.now)
    world.configure(PEOPLE)
    world.settle()
    from tocsin.work.calendars import Result

    librarian.finish([Result(errand=errand, events=[], etag=None)], world.now)
    assert rows(world) == ([], [])


def test_a_worker_that_dies_while_it_reads_leaves_it_to_another(world: World):
    world.now += timedelta(minutes=10)
    assert len(world._worker._librarian.begin(world.now)) == 1
    world.calendars[URL] = calendar((*WEEK, "SUMMARY:Bob"))
    world.settle()
    assert who(world) == ["Ann"]
    world.forward(minutes=5)
    assert who(world) == ["Bob"]


def test_the_sweep_finds_calendars_that_came_another_way(world: World):
    """Whatever writes a schedule need not know that calendars are read."""
    from tocsin.store import setup
    from tocsin.store.tables import schedules
    from tocsin.work import sweep

    other = "https://calendars.example.com/other.ics"
    world.calendars[other] = calendar((*WEEK, "SUMMARY:Bob"))

    def change(connection: Any) -> None:
        layers = connection.scalar(select(schedules.c.layers))
        id_ = connection.scalar(select(schedules.c.id))
        setup.change(connection, schedules, id_, {"layers": [layers[0] | {"calendar": other}]})

    world.database.run(change)
    world.database.run(lambda connection: sweep.arm(connection, world.now))
    world._worker._sweeper.work(world.now)
    world.settle()
    assert shown(world)["url"] == other
