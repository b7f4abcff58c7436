"""Handoff notices, and holes in schedules told before they come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
import pytest
from sqlalchemy import Connection, update

from tests.scenarios.test_cases_b import policy
from tests.world import PEOPLE, SERVICE, World
from tocsin.core.model import TOCSIN
from tocsin.core.retry import Outcome, Report
from tocsin.core.throttle import PERSONAL, THROTTLES, Throttle
from tocsin.store import jobs
from tocsin.store.audit import Change
from tocsin.store.jobs import Kind
from tocsin.store.plans import changed
from tocsin.store.tables import contact_methods
from tocsin.work.watch import EVERY, Watchman

#: The world begins on Monday 5 January 2026, 12:00 UTC: the first three hours are Ann's.
SCHEDULE = """
schedules:
  - name: primary
    team: payments
    layers:
      - name: daily
        rotation: {unit: hour, length: 8, start: "2026-01-05T07:00"}
        participants: [ann@example.com, bob@example.com]
"""
USED = """
escalation_policies:
  - name: default
    steps: [{targets: [{schedule: primary}], wait: 5m}]
"""
TOLD = PEOPLE.replace("    name: ", "    handoff_notices: true\n    name: ")
#: Nobody from Saturday to Monday; Bob and Cat are the team.
WORKDAYS = SCHEDULE.replace(
    "[ann@example.com, bob@example.com]",
    "[ann@example.com, bob@example.com]\n        restrictions:"
    ' [{days: [mon, tue, wed, thu, fri], from: "00:00", to: "00:00"}]',
)


@pytest.fixture
def watched(blank: World) -> World:
    """A world where everybody wants to know, and it is Ann's turn until 15:00."""
    blank.configure(TOLD, SCHEDULE)
    blank.watch()
    return blank


# -- handoff notices


def test_whose_time_begins_and_ends_is_told_when_it_does(watched: World):
    begins = watched.expect("ann", what="begins")
    assert begins.title == "You are on call for primary until Mon 05 Jan 15:00 (UTC)"
    document = msgspec.json.decode(begins.message.document)
    assert document["type"] == "on_call.begins"
    assert document["data"]["user"]["name"] == "Ann"
    assert document["data"]["reason"] == "on call for primary"
    assert document["data"]["text"].startswith(begins.title)
    watched.forward(hours=2, minutes=59, seconds=59)
    watched.expect_nothing()
    watched.forward(seconds=1)
    ended = watched.expect("ann", what="ends")
    assert ended.title == "You are no longer on call for primary"
    assert "Bob is on call now." in ended.message.text
    watched.expect("bob", what="begins")
    watched.forward(hours=8)
    watched.expect("bob", what="ends")
    watched.expect("ann", what="begins")
    watched.expect_nothing()


def test_who_did_not_ask_is_not_told(blank: World):
    blank.configure(PEOPLE, SCHEDULE)
    blank.watch()
    blank.forward(days=2)
    blank.expect_nothing()


def test_an_override_is_noticed_within_the_minute(watched: World):
    watched.expect("ann", what="begins")
    over = SCHEDULE + (
        "    overrides:\n      - {user: cat@example.com, instead_of: ann@example.com,"
        ' kind: replace, from: "2026-01-05T12:00", to: "2026-01-05T14:00"}\n'
    )
    watched.forward(minutes=10)
    watched.unwatched(TOLD, over)
    watched.forward(seconds=EVERY.total_seconds())
    watched.expect("ann", what="ends")
    watched.expect("cat", what="begins")
    watched.forward(hours=1, minutes=50)
    watched.expect("cat", what="ends")
    watched.expect("ann", what="begins")
    watched.forward(minutes=30)
    watched.expect_nothing()


def test_after_an_outage_people_hear_how_things_stand(watched: World):
    """From Monday noon, Ann's, to Thursday noon, hers again; then to Bob's."""
    watched.expect("ann", what="begins")
    watched.jump(hours=32)
    watched.expect_nothing()
    watched.jump(hours=8 * 3)
    watched.expect("ann", what="ends")
    watched.expect("bob", what="begins")
    watched.expect_nothing()


def test_a_notice_that_comes_too_late_is_not_sent(watched: World):
    watched.expect("ann", what="begins")
    late = Report(outcome=Outcome.RETRY, detail="later", retry_after=timedelta(minutes=15))
    watched.recorders["webhook"].answers = [late] * 200
    watched.forward(hours=3)
    watched.forget()
    watched.forward(hours=8)
    watched.recorders["webhook"].answers = []
    watched.forget()
    watched.forward(minutes=20)
    told = {(heard.who, heard.what) for heard in watched.heard}
    assert told == {("ann", "begins"), ("bob", "ends")}
    watched.forget()


def test_a_restart_tells_nothing_twice(watched: World):
    watched.expect("ann", what="begins")
    for _ in range(3):
        other = Watchman(watched.database, watched.plans)
        watched.now += EVERY
        for kind in (Kind.WATCH, Kind.HANDOFF, Kind.COVERAGE):
            other.work(kind, watched.now)
        watched.settle()
    watched.expect_nothing()


def test_a_failure_in_between_tells_exactly_once(watched: World, monkeypatch: pytest.MonkeyPatch):
    """The notice and the memory of it are one transaction."""
    watched.expect("ann", what="begins")
    put, failures = jobs.put, iter([True, True])

    def fails(connection: Connection, due: Iterable[tuple[Kind, str, datetime]]) -> None:
        rows = list(due)
        put(connection, rows)
        if rows and rows[0][0] is Kind.HANDOFF and next(failures, False):
            raise RuntimeError("the disk is full")

    watched.now += timedelta(hours=3)
    monkeypatch.setattr(jobs, "put", fails)
    watched.settle()
    watched.expect_nothing()
    watched.forward(minutes=1)
    watched.expect("ann", what="ends")
    watched.expect("bob", what="begins")
    watched.expect_nothing()


def test_row_20_a_throttle_on_pages_does_not_delay_a_handoff_notice(
    blank: World, monkeypatch: pytest.MonkeyPatch
):
    """GoAlert 4188: a rate limit held on-call notices back by 16 minutes."""
    day = timedelta(days=1)
    monkeypatch.setitem(
        THROTTLES, "email", Throttle(spans=PERSONAL.spans, caps=((1, day),), hard=((2, day),))
    )
    by_mail = TOLD.replace(
        '      - {name: hook, channel: webhook, address: "https://phones.example.com/ann"}\n', ""
    )
    blank.configure(by_mail, SCHEDULE, policy("ann 4h"), SERVICE)
    blank.watch()
    blank.expect("ann", "email", "begins")
    for number in range(3):
        blank.sentry("issue.created", id_=number)
        blank.forward(minutes=2)
        blank.api("POST", f"/incidents/{number + 1}/acknowledge")
    for _ in range(2):
        blank.expect("ann", "email")
    blank.expect_nothing()
    blank.forward(hours=3)
    blank.expect("ann", "email", "ends")
    blank.expect("bob", what="begins")


# -- coverage


def covered(world: World, *parts: str) -> None:
    world.configure(PEOPLE, USED, SERVICE, *parts)
    world.watch()


def test_holes_ahead_are_told_to_the_team_once_and_again_after_a_week(blank: World):
    covered(blank, WORKDAYS)
    for who in ("bob", "cat"):
        told = blank.expect(who, what="gaps")
        assert told.title == "Pages of primary would reach nobody at times"
        assert "Sat 10 Jan 00:00 to Mon 12 Jan 00:00: nobody on call" in told.message.text
        assert "Sat 17 Jan 00:00 to Mon 19 Jan 00:00: nobody on call" in told.message.text
        assert msgspec.json.decode(told.message.document)["type"] == "schedule.gaps"
    blank.forward(days=6, hours=23)
    blank.expect_nothing()
    blank.forward(hours=1)
    again = blank.expect("bob", what="gaps")
    assert "Sat 10 Jan" not in again.message.text, "never about the past"
    assert "Sat 17 Jan" in again.message.text
    blank.expect("cat", what="gaps")
    blank.forward(days=6)
    blank.expect_nothing()


def test_a_change_that_makes_holes_is_told_at_once_and_one_that_mends_them_is_not(blank: World):
    covered(blank, SCHEDULE)
    blank.forward(days=2)
    blank.expect_nothing()
    blank.configure(PEOPLE, USED, SERVICE, WORKDAYS)
    blank.expect("bob", what="gaps")
    blank.expect("cat", what="gaps")
    blank.configure(PEOPLE, USED, SERVICE, SCHEDULE)
    blank.expect_nothing()
    blank.configure(PEOPLE, USED, SERVICE, WORKDAYS)
    blank.expect("bob", what="gaps")
    blank.forget()


def test_a_turn_of_somebody_who_cannot_be_reached_is_a_hole(blank: World):
    covered(blank, SCHEDULE)
    blank.expect_nothing()
    with blank.database.write() as connection:
        anns = [method.id for method in blank.user("ann", connection).contact_methods]
        connection.execute(
            update(contact_methods)
            .where(contact_methods.c.id.in_(anns))
            .values(disabled_at=blank.now)
        )
        changed(connection, blank.now, TOCSIN, Change(kind="user.changed", subject="a person"))
    blank.watch()
    told = blank.expect("bob", what="gaps")
    assert "Mon 05 Jan 12:00 to Mon 05 Jan 15:00: Ann cannot be reached" in told.message.text
    blank.forget()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((SCHEDULE[: SCHEDULE.index("    layers:")], USED), id="no layers"),
        pytest.param((WORKDAYS, USED.replace("schedule: primary", "team: payments")), id="unused"),
        pytest.param((WORKDAYS.replace("    team: payments\n", ""), USED), id="nobody's"),
        pytest.param((SCHEDULE, USED), id="no holes"),
    ],
)
def test_what_needs_no_coverage_is_not_told(blank: World, parts: tuple[str, str]):
    blank.configure(PEOPLE, SERVICE, *parts)
    blank.watch()
    blank.forward(days=16)
    blank.expect_nothing()


def test_a_hole_that_is_over_is_not_told(blank: World):
    """OnCall 1108: nags about gaps in the past."""
    until = '\n        until: "2026-01-10T00:00"'
    later = SCHEDULE.replace("- name: daily", f"- name: old{until}") + SCHEDULE[
        SCHEDULE.index("      - name: daily") :
    ].replace("2026-01-05", "2026-01-11")
    blank.configure(PEOPLE, USED, SERVICE, later)
    blank.now += timedelta(days=7)
    blank.watch()
    blank.forward(days=20)
    blank.expect_nothing()
