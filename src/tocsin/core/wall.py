"""The clock on the wall of a zone, and when it shows what.

Nothing in here fails at the ends of the calendar (years 1 and 9999): what lies past one is the end.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

#: The ends of the calendar, as the clock on a wall shows them.
FIRST = datetime.combine(date.min, time.min)
LAST = datetime.combine(date.max, time.max)

_ZERO_AT = datetime(2000, 1, 1, tzinfo=UTC)


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clock on the wall shows this, in UTC; an aware time is only converted.

    A time that the clock skips is the first instant after the jump, one that it shows twice the
    first. So of two times the later is never the earlier instant.
    """
    if wall.tzinfo is not None:
        return utc(wall)
    zero = _zero(zone, wall.toordinal())
    if zero is not None:
        return _ZERO_AT + (wall - zero)
    before, after = _offsets(wall, zone)
    if before >= after:
        return moved(wall, -before).replace(tzinfo=UTC)
    return _jump(moved(wall, -after), after - before, zone)


@lru_cache(maxsize=8192)
def _zero(zone: ZoneInfo, ordinal: int) -> datetime | None:
    """Return what the clock would show at ``_ZERO_AT`` by the offset of this whole local day.

    None where the offset changes on that day or next to it. Nearly all days have one, and taking
    it from here is several times as fast as asking the zone.
    """
    day = datetime.fromordinal(ordinal)
    around = (moved(day, timedelta(days=days)) for days in (-1, 0, 1, 2))
    offsets = {offset for wall in around for offset in _offsets(wall, zone)}
    is_at_an_end = not 2 < ordinal < LAST.toordinal() - 2
    return (
        None if len(offsets) > 1 or is_at_an_end else _ZERO_AT.replace(tzinfo=None) + offsets.pop()
    )


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """Return the offset before a change of the clock that this time lies in, and after it."""
    before, after = (zone.utcoffset(wall.replace(fold=fold)) for fold in (0, 1))
    return before or timedelta(), after or timedelta()


def _jump(low: datetime, size: timedelta, zone: ZoneInfo) -> datetime:
    """Return when the clock jumps: after ``low`` (naive UTC), and at most ``size`` after it."""
    low = low.replace(microsecond=0, tzinfo=UTC)
    offset = low.astimezone(zone).utcoffset()
    seconds = range(int(size.total_seconds()) + 1)
    passed = bisect_left(
        seconds,
        True,
        key=lambda second: (low + timedelta(seconds=second)).astimezone(zone).utcoffset() != offset,
    )
    return low + timedelta(seconds=passed)


def utc(at: datetime) -> datetime:
    """Return an aware time in UTC, which compares fastest with its like."""
    return moved(at.replace(tzinfo=None), -(at.utcoffset() or timedelta())).replace(tzinfo=UTC)


def wall_time(at: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clock on the wall shows at an instant: naive."""
    try:
        return at.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return at.replace(tzinfo=None)


def moved(moment: datetime, by: timedelta) -> datetime:
    """Return the moment moved, or the end of the calendar that lies in between."""
    try:
        return moment + by
    except OverflowError:
        end = LAST if by > timedelta() else FIRST
        return end.replace(tzinfo=moment.tzinfo)
