"""Spans and instants as people and programs write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

#: Longer ones mean a mistake, and would leave the calendar when added to a date.
LONGEST = timedelta(days=3653)

#: Instants outside these mean a mistake, and would leave the calendar in another zone.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"([0-9]{1,9})([smhd])")


def parse_span(text: str) -> timedelta:
    """Read a span. Raises ValueError with a sentence that says how to write one."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 30s, 5m, 2h or 7d")
    span = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if span > LONGEST:
        raise ValueError(f"{text!r} is longer than ten years")
    return span


def format_span(span: timedelta) -> str:
    """Write a span in the largest unit that leaves it whole."""
    seconds = int(span.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % _UNITS[unit] == 0 and (seconds or unit == "s"))
    return f"{seconds // _UNITS[unit]}{unit}"


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant, seconds optional, and return it in UTC.

    Raises ValueError with a sentence that says how to write one.
    """
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(
            f"{text!r} is not an instant: write 2026-01-05T09:00:00Z, with Z or an offset"
        )
    return bounded(at)


def bounded(at: datetime) -> datetime:
    """Return an instant in UTC. Raises ValueError for one that can only be a mistake."""
    try:
        found = at.astimezone(UTC)
    except OverflowError:
        found = None
    if found is None or not EARLIEST <= found <= LATEST:
        raise ValueError(f"{at.isoformat()} is not between the years 1970 and 2200")
    return found
