"""What a calendar of somebody else's says about who is on call, as values that can be kept.

Everything in it is a stranger's: there is a bound on each dimension of it, and what cannot be read
is an ``Unreadable`` that says why, never half a calendar. Only ``box`` bounds the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias, TypedDict

from tocsin.core.text import clean

#: What is looked at, from the beginning of the day: events before and after it do not matter yet.
BEFORE = timedelta(days=30)
AHEAD = timedelta(days=400)

#: Bytes of a calendar.
MAX_BYTES = 10 * 2**20
#: Occurrences of events in the window.
MAX_OCCURRENCES = 20_000
#: People in one event, and in all occurrences together.
MAX_PEOPLE = 100
MAX_NAMES = 100_000

#: Occurrences of one rule in a day.
_MAX_A_DAY = 24
_TOO_OFTEN = ("SECONDLY", "MINUTELY")

#: What a stranger's calendar has where: a property, a list of them, or a broken one.
Component: TypeAlias = Any

_NAME_LENGTH = 320
_SUMMARY_LENGTH = 1_000

#: ``from`` and ``to`` are ISO 8601: with an offset an instant, without one on the clock of the
#: schedule's zone. ``names`` are e-mail addresses or names; where nobody has one of them, those of
#: the first of ``otherwise`` count that somebody has.
Event = TypedDict(
    "Event", {"names": list[str], "otherwise": list[list[str]], "from": str, "to": str}
)


class Unreadable(Exception):
    """A calendar that cannot be read; the message says why, in one line for people."""


def read(body: bytes, now: datetime) -> list[Event]:
    """Read a calendar: everything between 30 days ago and 400 days ahead. Raises Unreadable.

    1. Parse, and refuse what has no calendar in it.
    2. Refuse what the library would repair in silence, or repeat without end.
    3. Repeat events in the window, without exceptions and cancelled ones.
    4. Take the people and the times out of each.

    The order is by ``from``; the result is the same all day for the same bytes.
    """
    if len(body) > MAX_BYTES:
        raise Unreadable(f"the calendar is larger than {MAX_BYTES // 2**20} MiB")
    try:
        events = list(_events(body, now))
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("the calendar takes too much memory to read") from None
    except Exception as error:  # a stranger's text leads the library to any of them
        said = " ".join(str(error).split())[:200]
        raise Unreadable(f"the calendar cannot be read: {clean(said)}") from error
    return sorted(events, key=lambda event: (event["from"], event["to"], event["names"]))


def _events(body: bytes, now: datetime) -> Iterator[Event]:
    text = body.decode("utf-8-sig", "replace")
    if "BEGIN:VCALENDAR" not in text.upper():
        raise Unreadable("this is not a calendar: it has no BEGIN:VCALENDAR")
    if not text[-1_000:].rstrip().upper().endswith("END:VCALENDAR"):
        # Read on, it would be one with fewer events: people would not be on call who should be.
        raise Unreadable("the calendar is cut off: it does not end with END:VCALENDAR")
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    occurrences = names = 0
    # Slow to import, and only whoever reads a calendar needs it.
    import icalendar  # noqa: PLC0415

    for calendar in icalendar.Calendar.from_ical(text, multiple=True):
        for component in calendar.walk("VEVENT"):
            _check(component)
        for occurrence in _occurrences(calendar, today - BEFORE, today + AHEAD):
            occurrences += 1
            if occurrences > MAX_OCCURRENCES:
                raise Unreadable(f"the calendar has more than {MAX_OCCURRENCES} events to look at")
            event = _event(occurrence)
            if event is None:
                continue
            names += _names_count(event)
            if names > MAX_NAMES:
                raise Unreadable(f"the calendar names people more than {MAX_NAMES} times")
            yield event


def _occurrences(
    calendar: Component, begins_at: datetime, ends_at: datetime
) -> Iterator[Component]:
    """Yield each event in the window, as often as it repeats."""
    import recurring_ical_events  # type: ignore[import-untyped] # noqa: PLC0415 - as above

    query = recurring_ical_events.of(calendar)
    for series in query.series:
        # One at a time: of an endless series no more is made than is counted.
        for occurrence in series.between(begins_at, ends_at):
            yield occurrence.as_component(keep_recurrence_attributes=False)


# -- what is refused ------------------------------------------------------------------------------


def _check(event: Component) -> None:
    """Refuse an event that would be read otherwise than it was meant, or without end."""
    for name, _ in event.errors:
        raise Unreadable(f"{_called(event)}: its {name} cannot be read")
    if "DTSTART" not in event:
        raise Unreadable(f"{_called(event)}: it has no DTSTART")
    for name in ("DTSTART", "DTEND", "EXDATE", "RDATE", "RECURRENCE-ID"):
        for value in _listed(event, name):
            _check_zone(event, value)
    for rule in _listed(event, "RRULE"):
        _check_rule(event, rule)
    _check_order(event)
    if len(_listed(event, "ATTENDEE")) > MAX_PEOPLE:
        raise Unreadable(f"{_called(event)}: it has more than {MAX_PEOPLE} attendees")


def _called(event: Component) -> str:
    """Name an event for people."""
    said = " ".join(str(event.get("SUMMARY", "")).split())[:60]
    return f"an event ({clean(said)})" if said else "an event without a summary"


def _listed(event: Component, name: str) -> list[Any]:
    value = event.get(name)
    return value if isinstance(value, list) else [] if value is None else [value]


def _check_zone(event: Component, value: Any) -> None:
    """Refuse a zone nobody knows: the library would take the time for a floating one."""
    zone = value.params.get("TZID")
    if zone is None:
        return
    moments = [value.dt] if hasattr(value, "dt") else [one.dt for one in value.dts]
    if any(isinstance(moment, datetime) and moment.tzinfo is None for moment in moments):
        raise Unreadable(f"{_called(event)}: the time zone {clean(str(zone), 80)!r} is not known")


def _check_rule(event: Component, rule: Any) -> None:
    """Refuse a rule that repeats within an hour, or never gets anywhere."""
    frequency = str(rule.get("FREQ", [""])[0]).upper()
    times = [len(rule.get(name, ())) or 1 for name in ("BYHOUR", "BYMINUTE", "BYSECOND")]
    a_day = times[0] * times[1] * times[2]
    if frequency == "HOURLY":
        a_day = 24 * times[1] * times[2]
    if frequency in _TOO_OFTEN or a_day > _MAX_A_DAY:
        raise Unreadable(f"{_called(event)}: it repeats more often than once an hour")
    if any(int(step) < 1 for step in rule.get("INTERVAL", ())):
        raise Unreadable(f"{_called(event)}: its INTERVAL is not 1 or more")


def _check_order(event: Component) -> None:
    """Refuse an end before the beginning: the library would exchange the two."""
    begins, ends = event["DTSTART"].dt, event["DTEND"].dt if "DTEND" in event else None
    if ends is None or isinstance(begins, datetime) != isinstance(ends, datetime):
        return
    if isinstance(begins, datetime) and (begins.tzinfo is None) != (ends.tzinfo is None):
        return
    if ends < begins:
        raise Unreadable(f"{_called(event)}: it ends before it begins")


# -- what is taken --------------------------------------------------------------------------------


def _event(occurrence: Component) -> Event | None:
    """Take the people and the time out of an occurrence; None where it puts nobody on call."""
    if str(occurrence.get("STATUS", "")).upper() == "CANCELLED":
        return None
    begins = _moment(occurrence["DTSTART"].dt)
    ends = _moment(occurrence["DTEND"].dt) if "DTEND" in occurrence else begins
    groups = _groups(occurrence)
    if not groups or begins == ends:
        return None
    return {"names": groups[0], "otherwise": groups[1:], "from": begins, "to": ends}


def _moment(at: date) -> str:
    """Write an instant in UTC, and a time or day without a zone as the wall clock has it."""
    if not isinstance(at, datetime):
        return datetime.combine(at, time.min).isoformat()
    at = at.replace(microsecond=0)
    return (at if at.tzinfo is None else at.astimezone(UTC)).isoformat()


def _names_count(event: Event) -> int:
    return len(event["names"]) + sum(len(group) for group in event["otherwise"])


def _groups(event: Component) -> list[list[str]]:
    """Return whom an event may mean, the likeliest first.

    Those who attend; else those whom the summary names; else who made it.
    """
    groups = [
        [mail for one in _listed(event, "ATTENDEE") if _attends(one) and (mail := _mail(one))],
        *_summary_groups(str(event.get("SUMMARY", ""))),
        [mail for one in _listed(event, "ORGANIZER") if (mail := _mail(one))],
    ]
    bounded = (list(_bounded(group)) for group in groups)
    return [list(group) for group in dict.fromkeys(tuple(group) for group in bounded if group)]


def _attends(attendee: Any) -> bool:
    """Whether an attendee is a person who may come."""
    words = {
        name: str(attendee.params.get(name, "")).upper() for name in ("PARTSTAT", "CUTYPE", "ROLE")
    }
    return (
        words["PARTSTAT"] != "DECLINED"
        and words["CUTYPE"] not in ("ROOM", "RESOURCE")
        and words["ROLE"] != "NON-PARTICIPANT"
    )


def _mail(address: Any) -> str | None:
    """Return the e-mail address of a ``mailto:`` URI."""
    scheme, _, mail = str(address).strip().partition(":")
    return mail.partition("?")[0].strip() or None if scheme.lower() == "mailto" else None


def _bounded(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        stripped = name.strip()
        if stripped and len(stripped) <= _NAME_LENGTH:
            yield clean(stripped)


_ON_CALL = r"on[\s-]?call"
_BEFORE_NAMES = re.compile(rf"^{_ON_CALL}\s*[:\u2013\u2014-]\s*", re.IGNORECASE)
_AFTER_NAMES = re.compile(rf"\s(?:is\s|are\s)?{_ON_CALL}\b.*$", re.IGNORECASE)
_BETWEEN_NAMES = re.compile(r"\s*[,;/&]\s*|\s+(?:\+|and)\s+", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>,;:/()\"]{1,64}@[^\s<>,;:/()\"]{1,255}")


def _summary_groups(summary: str) -> Iterator[list[str]]:
    """Yield whom a summary may name: all of it, what is not "on call", each of several."""
    whole = " ".join(summary[:_SUMMARY_LENGTH].split())
    bare = _AFTER_NAMES.sub("", _BEFORE_NAMES.sub("", whole)).strip()
    names = _BETWEEN_NAMES.split(bare)
    if len(names) > MAX_PEOPLE:
        raise Unreadable(f"a summary names more than {MAX_PEOPLE} people")
    yield [whole]
    yield [bare]
    yield [found[0] if (found := _ADDRESS.search(name)) else name for name in names]
