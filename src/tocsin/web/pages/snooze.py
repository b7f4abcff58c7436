"""Until when a person wants something quiet, as a form says it."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tocsin.core.times import bounded, parse_span
from tocsin.core.wall import instant
from tocsin.web.pages.form import Form
from tocsin.web.problems import Wrong

#: When tomorrow begins.
_MORNING = time(9)

#: What the buttons offer: value and label.
SPANS = (("1h", "1 hour"), ("4h", "4 hours"), ("tomorrow", "until tomorrow 9:00"))


def end_of_snooze(form: Form, now: datetime, zone: ZoneInfo) -> datetime:
    """Read ``for`` (a span, or ``tomorrow``) or ``until`` (a time on the reader's clock).

    Raises Wrong with a sentence that says how to write it.
    """
    span, until = form.text("for"), form.text("until")
    try:
        end = _read(span, until, now, zone)
    except (ValueError, OverflowError) as error:
        raise Wrong(str(error)) from None
    if end <= now:
        raise Wrong("a snooze ends in the future: choose a later time")
    return end


def _read(span: str, until: str, now: datetime, zone: ZoneInfo) -> datetime:
    if span == "tomorrow":
        day = now.astimezone(zone).date() + timedelta(days=1)
        return instant(datetime.combine(day, _MORNING), zone)
    if span and span != "until":
        return bounded(now + parse_span(span))
    try:
        wall = datetime.fromisoformat(until)
    except ValueError:
        raise ValueError("say until when: choose a day and a time") from None
    return bounded(instant(wall, zone))
