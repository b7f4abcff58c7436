"""Windows of the day: support hours and quiet hours, on the clock on the wall of a zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tocsin.core.layer import windows
from tocsin.core.plans import Restriction

#: A window of the day comes again within a week; the rest is for what a change of clock does.
_AHEAD = timedelta(days=9)


def end_of(window: Restriction, time_zone: str, at: datetime) -> datetime | None:
    """Return when the window that is open now ends; None when none is open.

    Windows that touch are one: it may end some days from now, and at ``_AHEAD`` at the latest.
    """
    for begins_at, ends_at in _around(window, time_zone, at):
        if begins_at <= at < ends_at:
            return ends_at
    return None


def next_begin(window: Restriction, time_zone: str, at: datetime) -> datetime | None:
    """Return when the window opens next, after now."""
    begins = (begin for begin, _ in _around(window, time_zone, at) if begin > at)
    return next(begins, None)


def _around(window: Restriction, time_zone: str, at: datetime) -> list[tuple[datetime, datetime]]:
    zone = ZoneInfo(time_zone)
    return windows((window,), zone, at - timedelta(days=2), at + _AHEAD)
