"""What one layer gives: the turns of its rotation or its calendar, cut to its windows."""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

from tocsin.core.plans import (
    Layer,
    Restriction,
    Rotation,
    RotationUnit,
)
from tocsin.core.wall import LAST, instant, moved, utc, wall_time

#: From when, until when, who.
Span = tuple[datetime, datetime, tuple[str, ...]]

_STEPS = {
    RotationUnit.HOUR: timedelta(hours=1),
    RotationUnit.DAY: timedelta(days=1),
    RotationUnit.WEEK: timedelta(weeks=1),
}
_DAY = timedelta(days=1)


def spans(layer: Layer, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[Span]:
    """Yield what a layer gives in a window, cut to it, to its restrictions and to its end."""
    if layer.until is not None:
        end = min(end, instant(layer.until, zone))
    if begin >= end:
        return
    given = _turns(layer, zone, begin, end) if layer.rotation else _calendar(layer, begin, end)
    cut = (
        (max(begins_at, begin), min(ends_at, end), users)
        for begins_at, ends_at, users in given
        if users and begins_at < ends_at and begins_at < end and ends_at > begin
    )
    if not layer.restrictions:
        yield from cut
        return
    open_hours = windows(layer.restrictions, zone, begin, end)
    for begins_at, ends_at, users in cut:
        for index in range(bisect_right(open_hours, begins_at, key=itemgetter(1)), len(open_hours)):
            opens_at, closes_at = open_hours[index]
            if opens_at >= ends_at:
                break
            yield max(begins_at, opens_at), min(ends_at, closes_at), users


def _calendar(layer: Layer, begin: datetime, end: datetime) -> Iterable[Span]:
    near = [one for one in layer.shifts if one.begins_at < end and one.ends_at > begin]
    near.sort(key=lambda one: one.begins_at)
    return ((utc(one.begins_at), utc(one.ends_at), (one.user_id,)) for one in near)


def _turns(layer: Layer, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[Span]:
    """Yield the turns of a rotation up to ``end``, from the one of ``begin`` or one before it."""
    rotation, people = layer.rotation, layer.participants
    if rotation is None or not people:
        return
    walk = _weekdays if rotation.days and rotation.unit is RotationUnit.DAY else _steady
    for begins, ends, number in walk(rotation, wall_time(begin, zone)):
        begins_at = instant(begins, zone)
        if begins_at >= end:
            return
        yield begins_at, instant(ends, zone), people[number % len(people)]


def _steady(rotation: Rotation, wall: datetime) -> Iterator[tuple[datetime, datetime, int]]:
    """Yield begin, end and number of each turn on the wall clock, from that of ``wall`` on."""
    number = max(_number(rotation, wall), 0)
    begins = _begin(rotation, number)
    while begins < LAST:
        ends = _begin(rotation, number + 1)
        yield begins, ends, number
        begins, number = ends, number + 1


def _number(rotation: Rotation, wall: datetime) -> int:
    """Return the number of the turn that holds this time on the wall clock; before all: below 0."""
    start, length = rotation.start, max(rotation.length, 1)
    if rotation.unit is not RotationUnit.MONTH:
        return (wall - start) // _STEPS[rotation.unit] // length
    number = ((wall.year - start.year) * 12 + wall.month - start.month) // length
    return number if _begin(rotation, number) <= wall else number - 1


def _begin(rotation: Rotation, number: int) -> datetime:
    """Return when a turn begins on the wall clock; the end of the calendar for any past it."""
    start, units = rotation.start, number * max(rotation.length, 1)
    try:
        if rotation.unit is not RotationUnit.MONTH:
            return start + units * _STEPS[rotation.unit]
        year, month = divmod(start.year * 12 + start.month - 1 + units, 12)
        # A month without that day has its last one; the next month has that day again.
        day = min(start.day, monthrange(year, month + 1)[1])
        return start.replace(year=year, month=month + 1, day=day)
    except (OverflowError, ValueError):
        return LAST


def _weekdays(rotation: Rotation, wall: datetime) -> Iterator[tuple[datetime, datetime, int]]:
    """Yield as ``_steady`` does, but only active days, each of which is one unit of the count."""
    active = [weekday in rotation.days for weekday in range(7)]
    # 1 January of year 1, ordinal 1, was a Monday.
    earlier = [sum(active[:weekday]) for weekday in range(7)]

    def counted(ordinal: int) -> int:
        weeks, weekday = divmod(ordinal - 1, 7)
        return weeks * sum(active) + earlier[weekday]

    if not any(active):
        return
    start = rotation.start.toordinal()
    time = rotation.start.time()
    for ordinal in range(max(start, wall.toordinal() - 1), date.max.toordinal() + 1):
        if active[(ordinal - 1) % 7]:
            begins = datetime.combine(date.fromordinal(ordinal), time)
            number = (counted(ordinal) - counted(start)) // max(rotation.length, 1)
            yield begins, moved(begins, _DAY), number


def windows(
    restrictions: Sequence[Restriction], zone: ZoneInfo, begin: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """Return the union of the windows of each day as stretches that neither touch nor overlap."""
    # A window of the day before may run into the first day; and where the clock was set back over
    # midnight and shows its hour for the second time, windows of the next day have begun.
    runs_over = any(one.ends <= one.begins for one in restrictions)
    last = wall_time(end, zone)
    days = range(wall_time(begin, zone).toordinal() - runs_over, last.toordinal() + last.fold + 1)
    found = []
    for ordinal in days:
        if not 1 <= ordinal <= LAST.toordinal():
            continue
        day = datetime.fromordinal(ordinal)
        for one in restrictions:
            if one.days and day.weekday() not in one.days:
                continue
            closes = datetime.combine(day, one.ends)
            if one.ends <= one.begins:
                closes = moved(closes, _DAY)
            opens = datetime.combine(day, one.begins)
            found.append((instant(opens, zone), instant(closes, zone)))
    return _union(sorted(found))


def _union(windows: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for opens_at, closes_at in windows:
        if joined and opens_at <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], closes_at))
        elif opens_at < closes_at:
            joined.append((opens_at, closes_at))
    return joined
