"""Schedules: who is on call when, until when, and who is next. C1 to C14 are the known cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tocsin.core.plans import (
    Layer,
    Override,
    OverrideKind,
    Restriction,
    Rotation,
    RotationUnit,
    Schedule,
    Shift,
)
from tocsin.core.schedule import (
    Gap,
    Next,
    OnCall,
    gaps,
    instant,
    layer_shifts,
    next_change,
    on_call,
    shifts,
    standing,
)

HOUR, DAY, WEEK, MONTH = RotationUnit
REPLACE, ADD, REMOVE = OverrideKind

WEEKDAYS = frozenset(range(5))


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text + ":00Z" if len(text) == 16 else text + "Z")


def turns(unit: RotationUnit, start: str, *people: str, **changes: Any) -> Layer:
    """Return a layer of turns; ``A+B`` share one, ``""`` is a turn of nobody."""
    rotation = Rotation(
        unit=unit,
        length=changes.pop("length", 1),
        start=wall(start),
        days=frozenset(changes.pop("days", ())),
    )
    participants = tuple(tuple(filter(None, one.split("+"))) for one in people)
    plain = Layer(name="turns", rotation=rotation, participants=participants)
    return replace(plain, **changes)


def calendar(name: str, *rows: tuple[str, int, int], **changes: Any) -> Layer:
    """Return a layer of shifts on 5 January 2026, in hours of UTC."""
    given = tuple(
        Shift(user_id=user, begins_at=hour(begin), ends_at=hour(end), layer=None)
        for user, begin, end in rows
    )
    return replace(Layer(name=name, calendar="cal", shifts=given), **changes)


def window(begins: str, ends: str, days: frozenset[int] = frozenset()) -> Restriction:
    return Restriction(days=days, begins=time.fromisoformat(begins), ends=time.fromisoformat(ends))


def schedule(*layers: Layer, zone: str = "UTC", overrides: tuple[Override, ...] = ()) -> Schedule:
    return Schedule(id="sch_1", name="primary", time_zone=zone, layers=layers, overrides=overrides)


def override(kind: OverrideKind, user: str, begins: Any, ends: Any, **changes: Any) -> Override:
    begins, ends = (wall(one) if isinstance(one, str) else one for one in (begins, ends))
    return Override(id="ovr_1", kind=kind, user_id=user, begins=begins, ends=ends, **changes)


def hour(number: float) -> datetime:
    """Return an hour of Monday, 5 January 2026."""
    return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(hours=number)


def rows(found: list[Shift]) -> list[tuple[str, float, float]]:
    """Return shifts as (user, begin, end) in hours of 5 January 2026."""
    span = timedelta(hours=1)
    return [
        (one.user_id, (one.begins_at - hour(0)) / span, (one.ends_at - hour(0)) / span)
        for one in found
    ]


def the_day(one: Schedule) -> list[tuple[str, float, float]]:
    return rows(shifts(one, hour(0), hour(24)))


def begins(one: Schedule, begins_at: str, ends_at: str) -> list[datetime]:
    """Return when shifts begin in a window, without the one it cuts."""
    return [shift.begins_at for shift in shifts(one, utc(begins_at), utc(ends_at))][1:]


def test_c1_daily_rotation_wraps():
    one = schedule(turns(HOUR, "2026-01-05", "A", "B", length=2))
    assert on_call(one, utc("2026-01-05T03:59")) == ("B",)
    assert on_call(one, utc("2026-01-05T04:00")) == ("A",)


def test_c2_at_the_hand_off_only_the_next_is_on_call():
    one = schedule(calendar("cal", ("A", 8, 16), ("B", 16, 24)))
    assert on_call(one, utc("2026-01-05T15:59:59")) == ("A",)
    assert on_call(one, utc("2026-01-05T16:00:00")) == ("B",)


def test_c3_a_shift_stays_on_the_wall_clock_when_summer_time_ends():
    daily = turns(DAY, "2023-06-01", "A", restrictions=(window("08:30", "17:30"),))
    one = schedule(daily, zone="Europe/London")
    friday = shifts(one, utc("2023-10-27T00:00"), utc("2023-10-28T00:00"))
    assert [(s.begins_at, s.ends_at) for s in friday] == [
        (utc("2023-10-27T07:30"), utc("2023-10-27T16:30"))
    ]
    monday = shifts(one, utc("2023-10-30T00:00"), utc("2023-10-31T00:00"))
    assert [(s.begins_at, s.ends_at) for s in monday] == [
        (utc("2023-10-30T08:30"), utc("2023-10-30T17:30"))
    ]


def test_c4_weekly_hand_off_over_both_changes_of_the_clock():
    one = schedule(turns(WEEK, "2026-01-05T09:00", "A", "B"), zone="America/New_York")
    assert begins(one, "2026-02-28T00:00", "2026-03-17T00:00") == [
        utc("2026-03-02T14:00"),
        utc("2026-03-09T13:00"),
        utc("2026-03-16T13:00"),
    ]
    assert begins(one, "2026-10-24T00:00", "2026-11-03T00:00") == [
        utc("2026-10-26T13:00"),
        utc("2026-11-02T14:00"),
    ]


def test_c5_a_week_long_shift_has_no_hole_and_no_overlap():
    one = schedule(turns(WEEK, "2024-10-01", "A", "B", "C"), zone="America/Chicago")
    found = shifts(one, utc("2024-10-01T05:00"), utc("2025-04-01T00:00"))
    edges = [(s.begins_at, s.ends_at) for s in found]
    autumn = (utc("2024-10-29T05:00"), utc("2024-11-05T06:00"))
    spring = (utc("2025-03-04T06:00"), utc("2025-03-11T05:00"))
    assert autumn in edges
    assert autumn[1] - autumn[0] == timedelta(hours=169)
    assert spring in edges
    assert spring[1] - spring[0] == timedelta(hours=167)
    assert all(left[1] == right[0] for left, right in pairwise(edges))


def test_c6_a_hand_off_that_does_not_exist_is_when_the_clock_jumps():
    one = schedule(turns(DAY, "2020-03-06T02:30", "A", "B"), zone="America/Chicago")
    assert begins(one, "2020-03-07T00:00", "2020-03-09T12:00") == [
        utc("2020-03-07T08:30"),
        utc("2020-03-08T08:00"),
        utc("2020-03-09T07:30"),
    ]


def test_c7_a_hand_off_that_happens_twice_is_the_first():
    one = schedule(turns(DAY, "2020-10-01T01:30", "A", "B"), zone="America/Chicago")
    assert begins(one, "2020-10-31T00:00", "2020-11-02T12:00") == [
        utc("2020-10-31T06:30"),
        utc("2020-11-01T06:30"),
        utc("2020-11-02T07:30"),
    ]


def test_c8_a_change_of_half_an_hour():
    one = schedule(turns(DAY, "2021-03-01T02:30", "A", "B"), zone="Australia/Lord_Howe")
    assert begins(one, "2021-04-02T00:00", "2021-04-05T00:00") == [
        utc("2021-04-02T15:30"),
        utc("2021-04-03T16:00"),
        utc("2021-04-04T16:00"),
    ]


def test_c9_a_night_shift_across_the_change():
    nightly = turns(DAY, "2026-01-01T12:00", "A", restrictions=(window("22:00", "06:00"),))
    one = schedule(nightly, zone="Europe/Berlin")
    spring = shifts(one, utc("2026-03-28T12:00"), utc("2026-03-29T12:00"))
    assert [(s.begins_at, s.ends_at) for s in spring] == [
        (utc("2026-03-28T21:00"), utc("2026-03-29T04:00"))
    ]
    autumn = shifts(one, utc("2026-10-24T12:00"), utc("2026-10-25T12:00"))
    assert [(s.begins_at, s.ends_at) for s in autumn] == [
        (utc("2026-10-24T20:00"), utc("2026-10-25T05:00"))
    ]


def test_c10_layers_and_priority():
    one = schedule(
        calendar("low", ("A", 10, 15), ("B", 11, 13), ("A", 16, 19), ("A", 21, 22), ("B", 22, 24)),
        calendar("high", ("C", 12, 14), ("D", 14, 15), ("D", 17, 18), ("D", 20, 23), priority=2),
        overrides=(
            override(REPLACE, "E", hour(22), hour(23)),
            override(REPLACE, "A", hour(22), hour(22.5)),
        ),
    )
    assert the_day(one) == [
        ("A", 10, 12), ("B", 11, 12), ("C", 12, 14), ("D", 14, 15), ("A", 16, 17), ("D", 17, 18),
        ("A", 18, 19), ("D", 20, 22), ("A", 22, 22.5), ("E", 22.5, 23), ("B", 23, 24),
    ]  # fmt: skip
    assert gaps(one, hour(0), hour(24)) == [
        Gap(begins_at=hour(0), ends_at=hour(10)),
        Gap(begins_at=hour(15), ends_at=hour(16)),
        Gap(begins_at=hour(19), ends_at=hour(20)),
    ]
    by = {
        (s.user_id, s.begins_at): (s.layer, s.is_override) for s in shifts(one, hour(0), hour(24))
    }
    assert by["A", hour(10)] == ("low", False)
    assert by["C", hour(12)] == ("high", False)
    assert by["A", hour(22)] == (None, True)


def test_c11_an_override_replaces_one_of_two():
    always = turns(DAY, "2026-01-01", "A", name="always")
    by_day = turns(DAY, "2026-01-01", "B", name="by day", restrictions=(window("09:00", "21:00"),))
    change = override(REPLACE, "C", "2026-01-05", "2026-01-06", instead_of="B")
    one = schedule(always, by_day, overrides=(change,))
    assert the_day(one) == [("A", 0, 24), ("C", 9, 21)]
    assert on_call(one, hour(9 - 24)) == ("A", "B")
    assert on_call(one, hour(9 + 24)) == ("A", "B")


def test_c12_an_override_adds_or_removes():
    morning = calendar("cal", ("A", 8, 10))
    added = schedule(morning, overrides=(override(ADD, "B", hour(8.5), hour(8.75)),))
    assert the_day(added) == [("A", 8, 10), ("B", 8.5, 8.75)]
    removed = schedule(morning, overrides=(override(REMOVE, "A", hour(8.5), hour(8.75)),))
    assert the_day(removed) == [("A", 8, 8.5), ("A", 8.75, 10)]
    assert Gap(begins_at=hour(8.5), ends_at=hour(8.75)) in gaps(removed, hour(0), hour(24))


def test_c13_a_part_of_a_shift_is_swapped():
    daily = turns(DAY, "2026-01-01", "A", restrictions=(window("12:00", "15:00"),))
    untaken = schedule(daily)
    assert the_day(untaken) == [("A", 12, 15)]
    taken = override(REPLACE, "B", "2026-01-05T13:00", "2026-01-05T14:00", instead_of="A")
    swapped = schedule(daily, overrides=(taken,))
    assert the_day(swapped) == [("A", 12, 13), ("B", 13, 14), ("A", 14, 15)]
    assert rows(shifts(swapped, hour(-24), hour(0))) == [("A", -12, -9)]


def test_c14_a_rotation_over_chosen_weekdays_advances_on_them():
    one = schedule(turns(DAY, "2026-01-05", "A", "B", days=(0, 2, 4)))
    by_day = [on_call(one, hour(24 * day + 12)) for day in range(10)]
    nobody: tuple[str, ...] = ()
    assert by_day == [
        ("A",), nobody, ("B",), nobody, ("A",), nobody, nobody, ("B",), nobody, ("A",),
    ]  # fmt: skip


def test_chosen_weekdays_may_begin_on_another_day_and_last_over_midnight():
    one = schedule(turns(DAY, "2026-01-06T22:00", "A", "B", days=(0, 2), length=2))
    assert rows(shifts(one, hour(0), hour(24 * 10))) == [
        ("A", 2 * 24 + 22, 3 * 24 + 22),
        ("A", 7 * 24 + 22, 8 * 24 + 22),
        ("B", 9 * 24 + 22, 10 * 24),
    ]


@pytest.mark.parametrize(
    ("zone", "shown", "at"),
    [
        ("Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29T02:59:59", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29T02:30:00.5", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30"),
        ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00"),
        # On these islands 30 December 2011 never was.
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-31T00:00", "2011-12-30T10:00"),
        ("Asia/Tokyo", "2026-03-29T02:30", "2026-03-28T17:30"),
        ("Europe/Berlin", "2026-03-29T02:30+02:00", "2026-03-29T00:30"),
    ],
)
def test_a_time_on_the_wall_is_one_instant(zone: str, shown: str, at: str):
    assert instant(wall(shown), ZoneInfo(zone)) == utc(at)
    assert instant(wall(shown), ZoneInfo(zone)).tzinfo is UTC
    assert instant(wall(shown).replace(fold=1), ZoneInfo(zone)) == utc(at)


def test_nobody_is_on_call_before_the_start_and_from_the_end():
    one = schedule(turns(HOUR, "2026-01-05T08:00", "A", until=wall("2026-01-05T12:00")))
    assert the_day(one) == [("A", 8, 12)]
    assert on_call(one, hour(12)) == ()


def test_a_calendar_is_cut_to_windows_and_to_its_end():
    cut = {"restrictions": (window("09:00", "17:00"),), "until": wall("2026-01-05T16:00")}
    one = schedule(calendar("cal", ("B", 10, 24), ("A", 8, 20), **cut))
    assert the_day(one) == [("A", 9, 16), ("B", 10, 16)]


def test_a_window_has_begun_while_the_clock_is_back_before_midnight():
    """Until 2011 Newfoundland set its clocks back at a minute past midnight."""
    given = (window("00:00", "00:30", frozenset({6})),)
    one = schedule(turns(DAY, "2010-11-01", "A", restrictions=given), zone="America/St_Johns")
    for minute in ("02:30", "02:31", "02:45", "03:59"):
        assert on_call(one, utc(f"2010-11-07T{minute}")) == ("A",)
    assert on_call(one, utc("2010-11-07T04:00")) == ()


def test_people_of_a_calendar_stand_in_the_order_of_their_begins():
    one = schedule(calendar("cal", ("B", 10, 24), ("A", 8, 20), ("C", 8, 20)))
    assert on_call(one, hour(12)) == ("A", "C", "B")


def test_months_are_counted_from_the_day_of_the_start():
    one = schedule(turns(MONTH, "2026-01-31T09:00", "A", "B"))
    assert begins(one, "2026-02-01T00:00", "2026-06-01T00:00") == [
        utc("2026-02-28T09:00"),
        utc("2026-03-31T09:00"),
        utc("2026-04-30T09:00"),
        utc("2026-05-31T09:00"),
    ]


def test_shifts_that_touch_are_one_within_a_layer_and_two_across_layers():
    early = calendar("early", ("A", 0, 4), ("A", 4, 8))
    late = calendar("late", ("A", 8, 12))
    found = shifts(schedule(early, late), hour(0), hour(24))
    assert rows(found) == [("A", 0, 8), ("A", 8, 12)]
    assert [one.layer for one in found] == ["early", "late"]


def test_a_person_in_two_equal_layers_appears_once_with_the_first():
    one = schedule(calendar("one", ("A", 8, 12)), calendar("two", ("B", 8, 10), ("A", 10, 14)))
    found = shifts(one, hour(0), hour(24))
    assert rows(found) == [("A", 8, 12), ("B", 8, 10), ("A", 12, 14)]
    assert on_call(one, hour(11)) == ("A",)


def test_several_share_a_turn_in_the_order_given():
    one = schedule(turns(DAY, "2026-01-05", "B+A+B", "C"))
    assert on_call(one, hour(1)) == ("B", "A")
    assert rows(shifts(one, hour(0), hour(48))) == [("B", 0, 24), ("A", 0, 24), ("C", 24, 48)]


def test_a_turn_of_nobody_lets_a_lower_layer_through():
    high = turns(DAY, "2026-01-05", "A", "", priority=2)
    one = schedule(turns(DAY, "2026-01-05", "B", name="low"), high)
    assert rows(shifts(one, hour(0), hour(72))) == [("A", 0, 24), ("B", 24, 48), ("A", 48, 72)]


def test_overlapping_and_touching_windows_are_one():
    given = (window("08:00", "12:00"), window("11:00", "14:00"), window("14:00", "15:00"))
    one = schedule(turns(DAY, "2026-01-01", "A", restrictions=given))
    assert the_day(one) == [("A", 8, 15)]


def test_a_window_over_midnight_belongs_to_the_day_it_begins():
    given = (window("22:00", "06:00", frozenset({0})),)
    one = schedule(turns(DAY, "2026-01-01", "A", restrictions=given))
    assert rows(shifts(one, hour(-24), hour(72))) == [("A", 22, 30)]


def test_a_window_that_ends_when_it_begins_is_a_whole_day():
    given = (window("09:00", "09:00", frozenset({0})),)
    one = schedule(turns(DAY, "2026-01-01", "A", restrictions=given))
    assert rows(shifts(one, hour(0), hour(72))) == [("A", 9, 33)]


def test_a_replacement_for_everybody_fills_a_gap_too():
    cover = override(REPLACE, "C", hour(6), hour(12))
    one = schedule(calendar("cal", ("A", 8, 10), ("B", 8, 20)), overrides=(cover,))
    assert the_day(one) == [("C", 6, 12), ("B", 12, 20)]


def test_a_replacement_who_is_on_call_already_stays_with_their_layer():
    cover = override(REPLACE, "A", hour(0), hour(24), instead_of="B")
    one = schedule(calendar("cal", ("A", 8, 20), ("B", 9, 21)), overrides=(cover,))
    assert the_day(one) == [("A", 8, 20), ("A", 20, 21)]
    assert on_call(one, hour(12)) == ("A",)


def test_a_later_override_replaces_whom_an_earlier_one_brought():
    changes = (
        override(REPLACE, "B", hour(0), hour(24), instead_of="A"),
        override(REPLACE, "C", hour(9), hour(10), instead_of="B"),
        override(REPLACE, "D", hour(9), hour(10), instead_of="A"),
        override(REMOVE, "B", hour(11), hour(11)),
    )
    one = schedule(calendar("cal", ("A", 8, 12)), overrides=changes)
    assert the_day(one) == [("B", 8, 9), ("C", 9, 10), ("B", 10, 12)]


def test_what_an_override_leaves_as_it_was_is_not_cut():
    nothing = override(ADD, "A", hour(9), hour(10))
    one = schedule(calendar("cal", ("A", 8, 12)), overrides=(nothing,))
    assert the_day(one) == [("A", 8, 12)]
    idle = schedule(overrides=(override(REMOVE, "A", hour(9), hour(10)),))
    assert gaps(idle, hour(0), hour(24)) == [Gap(begins_at=hour(0), ends_at=hour(24))]


def test_a_schedule_without_layers_has_nobody():
    assert on_call(schedule(), hour(0)) == ()
    assert shifts(schedule(), hour(0), hour(1)) == []
    assert standing(schedule(), hour(0)) == []
    assert next_change(schedule(), hour(0)) is None


def test_a_window_that_is_empty_or_turned_round_has_nothing():
    one = schedule(turns(DAY, "2026-01-01", "A"))
    for end in (hour(0), hour(-1)):
        assert shifts(one, hour(0), end) == []
        assert gaps(one, hour(0), end) == []


def test_a_layer_can_be_shown_alone():
    layer = turns(HOUR, "2026-01-05", "A", "B", length=6)
    found = layer_shifts(layer, ZoneInfo("UTC"), hour(3), hour(13))
    assert rows(found) == [("A", 3, 6), ("B", 6, 12), ("A", 12, 13)]
    assert {one.layer for one in found} == {"turns"}


def test_standing_says_since_when_until_when_and_who_is_next():
    one = schedule(turns(WEEK, "2026-01-05T09:00", "A", "B"), zone="Europe/Berlin")
    assert standing(one, utc("2026-03-25T12:00")) == [
        OnCall(
            user_id="B",
            begins_at=utc("2026-03-23T08:00"),
            ends_at=utc("2026-03-30T07:00"),
            then=Next(user_id="A", begins_at=utc("2026-03-30T07:00")),
        )
    ]


def test_standing_does_not_end_where_another_layer_or_an_override_keeps_the_person():
    cover = override(ADD, "A", hour(12), hour(14))
    layers = calendar("one", ("A", 6, 8)), calendar("two", ("A", 8, 12), ("B", 20, 22))
    assert standing(schedule(*layers, overrides=(cover,)), hour(9)) == [
        OnCall(
            user_id="A",
            begins_at=hour(6),
            ends_at=hour(14),
            then=Next(user_id="B", begins_at=hour(20)),
        )
    ]


def test_after_a_break_the_next_may_be_the_same_person():
    one = schedule(calendar("cal", ("A", 8, 12), ("A", 13, 15)))
    assert [each.then for each in standing(one, hour(9))] == [Next(user_id="A", begins_at=hour(13))]


def test_next_is_who_takes_over_in_the_same_layer():
    one = schedule(
        calendar("one", ("A", 8, 12), ("C", 12, 20)), calendar("two", ("B", 8, 12), ("D", 12, 20))
    )
    found = standing(one, hour(8))
    assert [(each.user_id, each.then and each.then.user_id) for each in found] == [
        ("A", "C"),
        ("B", "D"),
    ]


def test_who_stays_on_call_beside_somebody_is_not_next():
    one = schedule(calendar("one", ("A", 8, 12), ("B", 9, 14), ("C", 16, 18)))
    found = standing(one, hour(10))
    assert [(each.ends_at, each.then) for each in found] == [
        (hour(12), Next(user_id="C", begins_at=hour(16))),
        (hour(14), Next(user_id="C", begins_at=hour(16))),
    ]


def test_who_is_always_on_call_has_no_begin_and_no_end():
    one = schedule(turns(HOUR, "2020-01-01", "A"))
    assert standing(one, hour(0)) == [OnCall(user_id="A", begins_at=None, ends_at=None, then=None)]
    assert next_change(one, hour(0)) is None


def test_a_shift_of_a_year_is_found_whole():
    one = schedule(turns(MONTH, "2025-12-01", "A", "B", length=12))
    assert [(each.begins_at, each.ends_at) for each in standing(one, hour(0))] == [
        (utc("2025-12-01T00:00"), utc("2026-12-01T00:00"))
    ]


def test_standing_at_the_first_instant_of_a_shift_begins_there():
    one = schedule(turns(DAY, "2026-01-05", "A", "B"))
    assert [each.begins_at for each in standing(one, hour(0))] == [hour(0)]


def test_the_next_change_is_when_other_people_are_on_call():
    one = schedule(calendar("one", ("A", 8, 10)), calendar("two", ("A", 10, 12), ("B", 14, 16)))
    assert next_change(one, hour(0)) == hour(8)
    assert next_change(one, hour(8)) == hour(12)
    assert next_change(one, hour(12)) == hour(14)
    assert next_change(one, hour(16)) is None


ODD = [
    pytest.param(turns(DAY, "2026-01-01", "A", length=10**6), id="turns of 2,700 years"),
    pytest.param(turns(MONTH, "2026-01-31", "A", length=10**6), id="turns of 80,000 years"),
    pytest.param(turns(WEEK, "2026-01-01", "A", length=10**18), id="turns beyond any number"),
    pytest.param(turns(HOUR, "2026-01-01", "A", length=0), id="turns of nothing"),
    pytest.param(turns(HOUR, "0001-01-01", "A", "B"), id="since year 1"),
    pytest.param(turns(MONTH, "0001-01-31", "A", "B"), id="monthly since year 1"),
    pytest.param(turns(DAY, "0001-01-01", "A", days=(6,)), id="sundays since year 1"),
    pytest.param(turns(DAY, "9999-12-31T23:00", "A", days=(4,)), id="the last friday"),
    pytest.param(turns(MONTH, "9999-12-31T23:00", "A"), id="the last month"),
    pytest.param(turns(DAY, "2026-01-01", "A", days=(9,)), id="no such weekday"),
    pytest.param(turns(DAY, "2026-01-01"), id="no participants"),
    pytest.param(turns(DAY, "2026-01-01", "", ""), id="turns of nobody"),
    pytest.param(turns(DAY, "2026-01-01", *map(str, range(10_000))), id="10,000 participants"),
    pytest.param(turns(DAY, "2026-01-01", "+".join(map(str, range(10_000)))), id="10,000 at once"),
    pytest.param(turns(DAY, "2026-01-01", "A", until=wall("0001-01-01")), id="until year 1"),
    pytest.param(turns(DAY, "2026-01-01", "A", until=wall("9999-12-31")), id="until year 9999"),
    pytest.param(Layer(name="bare"), id="nothing at all"),
]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Adak"])
@pytest.mark.parametrize("layer", ODD)
def test_odd_values_neither_fail_nor_run_for_ever(layer: Layer, zone: str):
    nights = replace(layer, restrictions=(window("22:00", "06:00"),))
    ever = override(REPLACE, "A", "0001-01-01", "9999-12-31T23:59", instead_of="B")
    for one in (schedule(layer, zone=zone), schedule(nights, zone=zone, overrides=(ever,))):
        for year in (1, 2026, 9999):
            begin = datetime(year, 12 if year > 1 else 1, 1, tzinfo=UTC)
            assert len(shifts(one, begin, begin + timedelta(days=3))) < 50_000
            assert on_call(one, begin) is not None
            assert next_change(one, begin) != begin
            gaps(one, begin, begin + timedelta(days=3))
    edges = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for at in edges:
        on_call(schedule(layer, zone=zone), at)
        standing(schedule(layer, zone=zone), at)


def test_the_length_of_a_turn_beyond_the_calendar_is_until_its_end():
    one = schedule(turns(WEEK, "2026-01-05", "A", "B", length=10**18))
    assert on_call(one, hour(0)) == ("A",)
    assert on_call(one, datetime(9999, 12, 31, tzinfo=UTC)) == ("A",)


def test_an_unknown_zone_is_a_key_error():
    with pytest.raises(KeyError):
        on_call(schedule(zone="Europe/Nowhere"), hour(0))
