"""The schedule engine against a second one that is slow, simple and shares no code with it.

The oracle never asks when a time on the wall is. It watches the clock minute by minute and keeps
the latest time that the clock has shown so far: an edge has passed once that is not before it. That
makes an edge which the clock skips pass at the jump, and one which it shows twice pass the first
time. Turns are counted one by one from the first.

``TOCSIN_TEST_FULL=1`` tries 10,000 schedules, other ones each time, instead of the same 500.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.core import schedule as engine
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

IS_FULL = os.environ.get("TOCSIN_TEST_FULL") == "1"

MINUTE = timedelta(minutes=1)
PEOPLE = "ABCDEF"
#: How far back rotations begin, in units: few enough to count from the first.
OLDEST = {
    RotationUnit.HOUR: 500,
    RotationUnit.DAY: 400,
    RotationUnit.WEEK: 200,
    RotationUnit.MONTH: 120,
}


def examples(quick: int) -> settings:
    return settings(
        max_examples=quick * 20 if IS_FULL else quick,
        derandomize=not IS_FULL,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# --- the oracle ---------------------------------------------------------------------------------


class Turn(NamedTuple):
    begins: datetime
    ends: datetime
    people: tuple[str, ...]


def all_turns(layer: Layer, last: datetime) -> list[Turn]:
    """Count the turns of a rotation one by one, from the first to the last that can matter."""
    rotation = layer.rotation
    if rotation is None or not layer.participants:
        return []
    found = []
    for number, (begins, ends) in enumerate(units(rotation)):
        if begins > last:
            return found
        turn = number // rotation.length
        found.append(Turn(begins, ends, layer.participants[turn % len(layer.participants)]))
    raise AssertionError("rotations have no end")


def units(rotation: Rotation) -> Iterator[tuple[datetime, datetime]]:
    """Walk from unit to unit for ever; on chosen weekdays a unit of another day does not count."""
    begins, months = rotation.start, 0
    while True:
        if rotation.unit is RotationUnit.MONTH:
            months += 1
            ends = months_later(rotation.start, months)
        else:
            ends = begins + timedelta(**{f"{rotation.unit}s": 1})
        if not rotation.days or begins.weekday() in rotation.days:
            yield begins, ends
        begins = ends


def months_later(start: datetime, months: int) -> datetime:
    year, month = start.year, start.month
    for _ in range(months):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return datetime.combine(
        date(year, month, min(start.day, monthrange(year, month)[1])), start.time()
    )


def is_open(restrictions: tuple[Restriction, ...], shown: datetime) -> bool:
    if not restrictions:
        return True
    today = shown.date()
    for day in (today, today - timedelta(days=1)):
        for one in restrictions:
            ends_on = day if one.ends > one.begins else day + timedelta(days=1)
            begins, ends = datetime.combine(day, one.begins), datetime.combine(ends_on, one.ends)
            if (not one.days or day.weekday() in one.days) and begins <= shown < ends:
                return True
    return False


def in_layer(layer: Layer, turns: list[Turn], at: datetime, shown: datetime) -> list[str]:
    if layer.until is not None and shown >= layer.until:
        return []
    if layer.rotation is None:
        near = [one for one in layer.shifts if one.begins_at <= at < one.ends_at]
        people = [one.user_id for one in sorted(near, key=lambda one: one.begins_at)]
    else:
        while turns and turns[0].ends <= shown:
            del turns[0]
        people = list(turns[0].people) if turns and turns[0].begins <= shown else []
    return people if people and is_open(layer.restrictions, shown) else []


def overridden(
    who: dict[str, str | None], one: Override, at: datetime, shown: datetime
) -> dict[str, str | None]:
    clock = shown if one.begins.tzinfo is None else at
    if not one.begins <= clock < one.ends:
        return who
    if one.kind is OverrideKind.REMOVE:
        return {user: layer for user, layer in who.items() if user != one.user_id}
    if one.kind is OverrideKind.ADD:
        return who if one.user_id in who else {**who, one.user_id: None}
    if one.instead_of is None:
        return {one.user_id: None}
    if one.instead_of not in who:
        return who
    after: dict[str, str | None] = {}
    for user, layer in who.items():
        if user != one.instead_of:
            after[user] = layer
        elif one.user_id not in who or one.user_id == user:
            after[one.user_id] = None
    return after


def watch(one: Schedule, begins_at: datetime, minutes: int) -> list[dict[str, str | None]]:
    """Return who is on call in each minute, in order, and the layer they come from."""
    zone = ZoneInfo(one.time_zone)
    before = (begins_at - MINUTE * back for back in range(1, 27 * 60))
    shown = max(at.astimezone(zone).replace(tzinfo=None) for at in before)
    turns = [all_turns(layer, shown + MINUTE * (minutes + 48 * 60)) for layer in one.layers]
    found = []
    for minute in range(minutes):
        at = begins_at + MINUTE * minute
        shown = max(shown, at.astimezone(zone).replace(tzinfo=None))
        ranks: dict[int, dict[str, str | None]] = {}
        for layer, its_turns in zip(one.layers, turns, strict=True):
            for user in in_layer(layer, its_turns, at, shown):
                ranks.setdefault(layer.priority, {}).setdefault(user, layer.name)
        who = ranks[max(ranks)] if ranks else {}
        for override in one.overrides:
            who = overridden(who, override, at, shown)
        found.append(who)
    return found


# --- schedules around changes of the clock ------------------------------------------------------


@cache
def zones() -> tuple[list[str], list[str]]:
    """Return the zones whose clock changes in the years looked at, and the others."""
    changing, steady = [], []
    for key in sorted(available_timezones()):
        try:
            (changing if changes(key) else steady).append(key)
        except (ValueError, OSError):  # not every file in that folder is a zone
            continue
    return changing, steady


@cache
def changes(key: str) -> list[datetime]:
    """Return the minutes from 2024 to 2037 in which the offset of a zone is a new one."""
    zone = ZoneInfo(key)
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(0, 14 * 365, 5)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    return [
        first_minute(zone, low, high)
        for (low, high), (old, new) in zip(pairwise(days), pairwise(offsets), strict=True)
        if old != new
    ]


def first_minute(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the first minute after ``low`` with another offset; ``high`` has it."""
    offset = low.astimezone(zone).utcoffset()
    minutes = range((high - low) // MINUTE)
    return low + MINUTE * bisect_left(
        minutes,
        True,
        key=lambda minute: (low + MINUTE * minute).astimezone(zone).utcoffset() != offset,
    )


class Case(NamedTuple):
    schedule: Schedule
    begins_at: datetime
    minutes: int

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + MINUTE * self.minutes


users = st.sampled_from(PEOPLE)
weekdays = st.frozensets(st.integers(0, 6), min_size=1)
single = st.lists(users.map(lambda user: (user,)), min_size=1, max_size=4).map(tuple)
several = st.lists(st.lists(users, max_size=3).map(tuple), max_size=4).map(tuple)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """Draw a zone and a minute; mostly one in which its clock changes."""
    changing, steady = zones()
    if draw(st.integers(0, 9)):
        key = draw(st.sampled_from(changing))
        return key, draw(st.sampled_from(changes(key)))
    minutes = st.integers(0, 13 * 365 * 1440)
    return draw(st.sampled_from(steady)), datetime(2024, 1, 3, tzinfo=UTC) + MINUTE * draw(minutes)


@st.composite
def rotations(draw: st.DrawFn, near: st.SearchStrategy[datetime]) -> Rotation:
    unit = draw(st.sampled_from(RotationUnit))
    ago = draw(st.integers(0, OLDEST[unit]))
    start = draw(near) - ago * timedelta(
        hours={"hour": 1, "day": 24, "week": 168, "month": 744}[unit]
    )
    if unit is RotationUnit.MONTH and draw(st.booleans()):
        start = start.replace(month=1, day=31)
    chosen = draw(st.just(frozenset()) | weekdays) if unit is RotationUnit.DAY else frozenset()
    length = draw(st.sampled_from([1, 1, 2, 3, 7, 12, 40]))
    return Rotation(unit=unit, length=length, start=start, days=chosen)


@st.composite
def restrictions(draw: st.DrawFn, near: st.SearchStrategy[datetime]) -> Restriction:
    times = st.times().map(lambda one: time(one.hour, one.minute)) | near.map(datetime.time)
    begins = draw(times)
    return Restriction(
        days=draw(st.just(frozenset()) | weekdays),
        begins=begins,
        ends=draw(times | st.just(begins)),
    )


@st.composite
def layers(draw: st.DrawFn, near: st.SearchStrategy[datetime], name: str) -> Layer:
    given_by_calendar = draw(st.integers(0, 5)) == 0
    until = st.none() | st.none() | st.none() | near
    layer = Layer(
        name=name,
        priority=draw(st.sampled_from([1, 1, 2, 3])),
        restrictions=tuple(draw(st.lists(restrictions(near), max_size=2))),
        until=draw(until),
    )
    if given_by_calendar:
        spans = st.tuples(users, near, st.integers(0, 2000))
        drawn = draw(st.lists(spans, max_size=4))
        return replace(layer, shifts=tuple(calendar_shift(*one) for one in drawn))
    return replace(layer, rotation=draw(rotations(near)), participants=draw(single | several))


def calendar_shift(user: str, begins: datetime, minutes: int) -> Shift:
    begins_at = begins.replace(tzinfo=UTC)
    return Shift(
        user_id=user, begins_at=begins_at, ends_at=begins_at + MINUTE * minutes, layer=None
    )


@st.composite
def overrides(draw: st.DrawFn, near: st.SearchStrategy[datetime]) -> Override:
    zone = UTC if draw(st.booleans()) else None
    return Override(
        id="ovr_1",
        kind=draw(st.sampled_from(OverrideKind)),
        user_id=draw(users),
        begins=draw(near).replace(tzinfo=zone),
        ends=draw(near).replace(tzinfo=zone),
        instead_of=draw(st.none() | users),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a schedule whose edges crowd around a minute, and a window around that minute."""
    key, at = draw(moments())
    wall = at.astimezone(ZoneInfo(key)).replace(tzinfo=None)
    close, wide = st.integers(-150, 150), st.integers(-1500, 1500)
    near = (close | close | wide).map(lambda minutes: wall + MINUTE * minutes)
    count = draw(st.integers(1, 4))
    schedule = Schedule(
        id="sch_1",
        name="generated",
        time_zone=key,
        layers=tuple(draw(layers(near, f"layer {number}")) for number in range(count)),
        overrides=tuple(draw(st.lists(overrides(near), max_size=3))),
    )
    begins_at = at - MINUTE * draw(st.integers(0, 900) | st.integers(0, 300))
    return Case(schedule, begins_at, draw(st.integers(120, 1200)))


# --- what must agree ----------------------------------------------------------------------------


def check_order(found: list[Shift]) -> None:
    """Shifts go by begin, and those of one seat that touch are one."""
    assert [one.begins_at for one in found] == sorted(one.begins_at for one in found)
    by_seat: dict[tuple[str, str | None], list[Shift]] = {}
    for one in found:
        by_seat.setdefault((one.user_id, one.layer), []).append(one)
    for row in by_seat.values():
        assert all(left.ends_at < right.begins_at for left, right in pairwise(row))


def minute_by_minute(found: list[Shift], case: Case) -> list[set[tuple[str, str | None]]]:
    """Return who is on call in each minute, as shifts have it; their edges are whole minutes."""
    minutes: list[set[tuple[str, str | None]]] = [set() for _ in range(case.minutes)]
    for one in found:
        assert case.begins_at <= one.begins_at < one.ends_at <= case.ends_at
        first, second = divmod(one.begins_at - case.begins_at, MINUTE)
        last, other = divmod(one.ends_at - case.begins_at, MINUTE)
        assert not second
        assert not other
        assert one.is_override == (one.layer is None)
        for minute in range(first, last):
            assert (one.user_id, one.layer) not in minutes[minute], "one person twice at a time"
            minutes[minute].add((one.user_id, one.layer))
    return minutes


@examples(500)
@given(case=cases())
def test_the_engine_agrees_with_the_oracle_in_every_minute(case: Case):
    oracle = watch(case.schedule, case.begins_at, case.minutes)
    found = engine.shifts(case.schedule, case.begins_at, case.ends_at)
    check_order(found)
    assert minute_by_minute(found, case) == [set(who.items()) for who in oracle]
    edges = {minute for minute in range(1, case.minutes) if oracle[minute] != oracle[minute - 1]}
    step = 7 if IS_FULL else 61
    for minute in {*edges, *(edge - 1 for edge in edges), *range(0, case.minutes, step)}:
        at = case.begins_at + MINUTE * minute
        assert engine.on_call(case.schedule, at) == tuple(oracle[minute])
    gaps = engine.gaps(case.schedule, case.begins_at, case.ends_at)
    empty = {minute for minute, who in enumerate(oracle) if not who}
    assert empty == {
        minute
        for gap in gaps
        for minute in range(
            (gap.begins_at - case.begins_at) // MINUTE, (gap.ends_at - case.begins_at) // MINUTE
        )
    }


@examples(150)
@given(case=cases(), people=single)
def test_a_plain_rotation_leaves_no_minute_uncovered_and_none_to_two(
    case: Case, people: tuple[tuple[str, ...], ...]
):
    for layer in case.schedule.layers:
        if layer.rotation is None:
            continue
        start = layer.rotation.start - timedelta(days=60)
        rotation = replace(layer.rotation, days=frozenset(), start=start)
        plain = Layer(name="plain", rotation=rotation, participants=people)
        alone = replace(case.schedule, layers=(plain,), overrides=())
        found = engine.shifts(alone, case.begins_at, case.ends_at)
        assert engine.gaps(alone, case.begins_at, case.ends_at) == []
        assert (found[0].begins_at, found[-1].ends_at) == (case.begins_at, case.ends_at)
        assert all(left.ends_at == right.begins_at for left, right in pairwise(found))


@examples(100)
@given(case=cases())
def test_until_when_and_the_next_change_agree_with_the_oracle(case: Case):
    oracle = watch(case.schedule, case.begins_at, case.minutes)
    middle = case.minutes // 2
    at = case.begins_at + MINUTE * middle

    changed = engine.next_change(case.schedule, at)
    later = (m for m in range(middle, case.minutes) if set(oracle[m]) != set(oracle[middle]))
    expected = next((case.begins_at + MINUTE * minute for minute in later), None)
    if expected is None:
        assert changed is None or changed >= case.ends_at
    else:
        assert changed == expected

    found = engine.standing(case.schedule, at)
    assert [one.user_id for one in found] == list(oracle[middle])
    for one in found:
        gone = [minute for minute, who in enumerate(oracle) if one.user_id not in who]
        since = max((minute for minute in gone if minute < middle), default=None)
        if since is None:
            assert one.begins_at is None or one.begins_at <= case.begins_at
        else:
            assert one.begins_at == case.begins_at + MINUTE * (since + 1)
        until = min((minute for minute in gone if minute > middle), default=None)
        if until is None:
            assert one.ends_at is None or one.ends_at >= case.ends_at
            continue
        assert one.ends_at == case.begins_at + MINUTE * until
        coming = (
            (minute, set(oracle[minute]) - set(oracle[minute - 1]))
            for minute in range(until, case.minutes)
        )
        minute, users_coming = next(((m, who) for m, who in coming if who), (None, set()))
        if minute is None:
            assert one.then is None or one.then.begins_at >= case.ends_at
        else:
            assert one.then is not None
            assert one.then.begins_at == case.begins_at + MINUTE * minute
            assert one.then.user_id in users_coming
