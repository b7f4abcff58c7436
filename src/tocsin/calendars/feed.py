"""Who is on call, as a calendar that phones and calendar programs subscribe to.

The bytes depend only on the configuration and on the day, so that a client which has them is told
so (``ETag``). A shift keeps its UID for as long as it keeps its beginning: a calendar program then
moves the event it knows, and shows none twice.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import icalendar

from tocsin.core.plans import Schedule, Shift, User
from tocsin.core.schedule import shifts
from tocsin.core.text import one_line

#: How far a feed reaches from the beginning of the day.
BEFORE = timedelta(days=30)
AHEAD = timedelta(days=180)

#: Events in one feed; the shifts furthest ahead are left out of a longer one.
MAX_EVENTS = 5_000

#: How often a calendar program should look again.
REFRESH = timedelta(hours=1)

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A shift, with the names that a reader knows."""

    schedule: Schedule
    shift: Shift
    user_name: str
    #: Longer ago than we look: ``shift.begins_at`` is not when it began.
    is_open: bool = False

    @property
    def uid(self) -> str:
        """What the event is known by, for ever."""
        shift = self.shift
        began = "" if self.is_open else shift.begins_at.astimezone(UTC).isoformat()
        parts = (self.schedule.id, repr(shift.layer), shift.user_id, began)
        return f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:40]}@tocsin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time that a feed tells of; its ends move once a day."""

    begins_at: datetime
    ends_at: datetime
    #: How far back we look for the beginning of a shift; it moves once a year.
    looks_from: datetime

    @classmethod
    def at(cls, now: datetime) -> Window:
        """Return the window of a day (in UTC)."""
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        begins_at = today - BEFORE
        return cls(
            begins_at=begins_at,
            ends_at=today + _DAY + AHEAD,
            looks_from=datetime(begins_at.year - 1, 1, 1, tzinfo=UTC),
        )


def duties(
    schedules: Iterable[Schedule],
    users: Mapping[str, User],
    now: datetime,
    user_id: str | None = None,
) -> list[Duty]:
    """Return the shifts of schedules around a time, of one person or of all: by begin.

    A shift that the beginning of the window cuts is given whole; the window's end cuts.
    """
    window = Window.at(now)
    found = [
        Duty(
            schedule=schedule,
            shift=shift,
            user_name=users[shift.user_id].name,
            is_open=shift.begins_at <= window.looks_from,
        )
        for schedule in schedules
        if user_id is None or _may_name(schedule, user_id)
        for shift in shifts(schedule, window.looks_from, window.ends_at)
        if shift.ends_at > window.begins_at
        and shift.user_id in users
        and user_id in (None, shift.user_id)
    ]
    found.sort(key=lambda duty: (duty.shift.begins_at, duty.schedule.name, duty.uid))
    return found[:MAX_EVENTS]


def _may_name(schedule: Schedule, user_id: str) -> bool:
    """Whether a schedule names a person anywhere: most do not, and need no arithmetic."""
    return any(override.user_id == user_id for override in schedule.overrides) or any(
        any(user_id in turn for turn in layer.participants)
        or any(shift.user_id == user_id for shift in layer.shifts)
        for layer in schedule.layers
    )


def render(name: str, found: Sequence[Duty], now: datetime) -> bytes:
    """Write duties as a calendar of this name."""
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Tocsin//on call//EN")
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("x-wr-calname", icalendar.vText(one_line(name)))
    calendar.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", icalendar.vDuration(REFRESH))
    # Not the time of the request: the bytes would never be the same again.
    stamp = Window.at(now).begins_at + BEFORE
    events = [_event(duty, stamp) for duty in found]
    for zone in _zones(found):
        calendar.add_component(zone)
    for event in events:
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written


def _event(duty: Duty, stamp: datetime) -> icalendar.Event:
    shift, schedule = duty.shift, duty.schedule
    zone = ZoneInfo(schedule.time_zone)
    event = icalendar.Event()
    event.add("uid", duty.uid)
    event.add("dtstamp", stamp)
    event.add("dtstart", _local(shift.begins_at, zone))
    event.add("dtend", _local(shift.ends_at, zone))
    event.add("summary", one_line(f"{duty.user_name} on call: {schedule.name}"))
    brought = "an override" if shift.layer is None else f"layer {shift.layer}"
    event.add("description", one_line(f"Schedule {schedule.name}, {brought}"))
    # Being on call keeps nobody from having a meeting.
    event.add("transp", "TRANSPARENT")
    return event


def _local(at: datetime, zone: ZoneInfo) -> datetime:
    """Return an instant on the wall clock, or in UTC where that shows the time a second time.

    RFC 5545 takes a time that is shown twice for the first: the second cannot be written with a
    zone.
    """
    local = at.astimezone(zone)
    return at.astimezone(UTC) if local.fold else local


def _zones(found: Sequence[Duty]) -> Iterator[icalendar.Timezone]:
    """Yield the zones that events name, each for all the time between the first and the last."""
    if not found:
        return
    first = min(duty.shift.begins_at for duty in found) - _DAY
    last = max(duty.shift.ends_at for duty in found) + _DAY
    for name in sorted({duty.schedule.time_zone for duty in found}):
        yield timezone(name, first, last)


def timezone(name: str, first: datetime, last: datetime) -> icalendar.Timezone:
    """Describe a zone between two instants: its offset at the first, and each change of it."""
    zone = ZoneInfo(name)
    described = icalendar.Timezone()
    described.add("tzid", name)
    described.add_component(_observance(zone, first, first))
    for at in changes(zone, first, last):
        described.add_component(_observance(zone, at - _SECOND, at))
    return described


def _observance(zone: ZoneInfo, before: datetime, at: datetime) -> icalendar.Component:
    """Describe what the clock shows from an instant on; it begins by the offset before it."""
    old, new = before.astimezone(zone), at.astimezone(zone)
    kind = icalendar.TimezoneDaylight if new.dst() else icalendar.TimezoneStandard
    observance = kind()
    offset = old.utcoffset() or timedelta()
    observance.add("dtstart", (at.astimezone(UTC) + offset).replace(tzinfo=None, microsecond=0))
    observance.add("tzoffsetfrom", offset)
    observance.add("tzoffsetto", new.utcoffset() or timedelta())
    observance.add("tzname", new.tzname() or zone.key)
    return observance


def changes(zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the instants between two at which a zone's offset from UTC changes, to the second."""
    day = first.astimezone(UTC).replace(microsecond=0)
    seconds = range(_DAY // _SECOND)
    while day < last:
        has_changed = partial(_has_changed, zone, day)
        if has_changed(seconds[-1]):
            yield day + _SECOND * (bisect_left(seconds, True, key=has_changed) + 1)
        day += _DAY


def _has_changed(zone: ZoneInfo, since: datetime, seconds: int) -> bool:
    """Whether the second after so many seconds has another offset than the beginning."""
    then = since + _SECOND * (seconds + 1)
    return then.astimezone(zone).utcoffset() != since.astimezone(zone).utcoffset()
