"""How often an incident was seen, as bars."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin.store.casefile import MOST_OCCURRENCES, CaseFile

_BARS = 24

#: Fewer would not look like bars: what is missing is the time before.
_FEWEST = 12

#: Lengths that people can read; the first that leaves few enough bars is taken.
_STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One span of time, and how often it was seen in it."""

    begins_at: datetime
    count: int
    place: int
    #: Of a height of 100.
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars from the first to the last time it was seen."""

    bars: tuple[Bar, ...]
    step: timedelta
    total: int
    most: int
    #: Whether only the latest are shown.
    is_cut: bool


def bars_of(case: CaseFile, now: datetime) -> Chart | None:
    """Return the bars of an incident; None where there is nothing to compare."""
    total = sum(count for _, count in case.seen)
    if total < 2:
        return None
    begin, end = case.seen[-1][0], case.incident.resolved_at or now
    length = max(end - begin, timedelta(minutes=1))
    step = next((one for one in _STEPS if length / one <= _BARS), length / _BARS)
    # On whole steps of the clock in UTC, which is what makes bars of two visits the same.
    seconds = step.total_seconds()
    first = int(begin.timestamp() // seconds)
    found: Counter[int] = Counter()
    for at, count in case.seen:
        found[int(at.timestamp() // seconds) - first] += count
    last = int(max(end, case.seen[0][0]).timestamp() // seconds) - first
    before = max(0, _FEWEST - last - 1)
    places = range(-before, last + 1)
    most = max(found.values())
    bars = tuple(
        Bar(
            begins_at=datetime.fromtimestamp((first + place) * seconds, begin.tzinfo),
            count=found[place],
            place=place + before,
            height=-(-100 * found[place] // most),
        )
        for place in places
    )
    is_cut = len(case.seen) >= MOST_OCCURRENCES
    return Chart(bars=bars, step=step, total=total, most=most, is_cut=is_cut)
