"""Who is on call when: rotations, calendars, restrictions, layers and overrides.

A schedule lives on the clock on the wall of its zone. Every edge (of a turn, a window, an override)
is a time on that clock first, and ``instant`` alone says when it is; so shifts touch each other
exactly when the clocks change, and a turn that the change swallows vanishes.

In here a stretch of time is a *line*: what holds from each instant on, up to the next. Layers are
laid over each other into one line, overrides change it, and every question is read off it.

Nothing in here fails on odd values: what lies outside the calendar (years 1 to 9999) is cut off.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby, pairwise
from operator import itemgetter
from zoneinfo import ZoneInfo

from tocsin.core.layer import spans
from tocsin.core.plans import (
    Layer,
    Override,
    OverrideKind,
    Schedule,
    Shift,
)
from tocsin.core.wall import instant, moved, utc

__all__ = [
    "HORIZONS",
    "Gap",
    "Next",
    "OnCall",
    "gaps",
    "instant",
    "layer_shifts",
    "next_change",
    "on_call",
    "shifts",
    "standing",
]

#: How far ``standing`` and ``next_change`` look, each way; nearly always the first is enough.
HORIZONS = tuple(timedelta(days=days) for days in (2, 16, 100, 400))

#: One person on call: the user's id, and the layer's name (None: an override brings them).
_Seat = tuple[str, str | None]
#: Who is on call from each instant on, by time; the first is where the line begins.
_Line = list[tuple[datetime, tuple[_Seat, ...]]]

_TICK = timedelta.resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time in which nobody is on call, its end excluded."""

    begins_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """Who comes when somebody's time ends, and when."""

    user_id: str
    begins_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCall:
    """One person on call, for as long as they are without a break, whatever brings them."""

    user_id: str
    #: None: longer ago than the last of ``HORIZONS``.
    begins_at: datetime | None
    #: None: further ahead than the last of ``HORIZONS``.
    ends_at: datetime | None
    #: None: nobody comes within the last of ``HORIZONS``.
    then: Next | None


def on_call(schedule: Schedule, at: datetime) -> tuple[str, ...]:
    """Return the ids of who is on call at an instant: layer by layer, then whom overrides add.

    It takes time by the number of layers, of overrides and of a calendar's shifts, not by how long
    ago a rotation began. Raises KeyError where the zone is unknown, as all of these functions do.
    """
    line = _line(schedule, at, moved(at, _TICK))
    return tuple(user_id for user_id, _ in line[0][1])


def shifts(schedule: Schedule, begins_at: datetime, ends_at: datetime) -> list[Shift]:
    """Return the finished schedule in a window, cut to it: by begin, then as ``on_call`` does.

    Shifts of one person that touch are one where the same layer gives them. A person whom several
    layers name at a time appears once, with the first.
    """
    return _shifts(_line(schedule, begins_at, ends_at), utc(ends_at))


def gaps(schedule: Schedule, begins_at: datetime, ends_at: datetime) -> list[Gap]:
    """Return when nobody is on call in a window, cut to it."""
    line = [*_line(schedule, begins_at, ends_at), (utc(ends_at), ())]
    return [
        Gap(begins_at=at, ends_at=until)
        for (at, seats), (until, _) in pairwise(line)
        if not seats and at < until
    ]


def standing(schedule: Schedule, at: datetime) -> list[OnCall]:
    """Return who is on call at an instant, since when, until when, and who comes next.

    Next is who comes first at that person's end or after it, be it the same person after a break;
    of several who come at once it is the one from the layer the person leaves.
    """
    found: list[OnCall] = []
    for horizon in HORIZONS:
        line = _line(schedule, moved(at, -horizon), moved(at, horizon))
        here = bisect_right(line, utc(at), key=itemgetter(0)) - 1
        stretch = _Stretch(line)
        found = [stretch.standing(here, user_id) for user_id, _ in line[here][1]]
        if all(one.begins_at and one.then for one in found):
            break
    return found


def next_change(schedule: Schedule, at: datetime) -> datetime | None:
    """Return the first instant after this one at which other people are on call.

    None where there is none within the last of ``HORIZONS``.
    """
    for horizon in HORIZONS:
        line = _line(schedule, at, moved(at, horizon))
        users = _users(line[0])
        for step in line[1:]:
            if _users(step) != users:
                return step[0]
    return None


def layer_shifts(
    layer: Layer, zone: ZoneInfo, begins_at: datetime, ends_at: datetime
) -> list[Shift]:
    """Return what one layer alone gives in a window, as ``shifts`` does for a schedule."""
    return _shifts(_laid((layer,), zone, utc(begins_at), utc(ends_at)), utc(ends_at))


def _users(step: tuple[datetime, tuple[_Seat, ...]]) -> set[str]:
    return {user_id for user_id, _ in step[1]}


class _Stretch:
    """A line to read people off: when each step begins, each person's layer in it, who comes."""

    def __init__(self, line: _Line) -> None:
        self.begins = [begins_at for begins_at, _ in line]
        self.people = [dict(seats) for _, seats in line]
        self.coming = [
            [user_id for user_id in after if user_id not in before]
            for before, after in pairwise([self.people[0], *self.people])
        ]

    def standing(self, here: int, user_id: str) -> OnCall:
        """Return how long a person is on call who is so in step ``here``."""
        first, last = here, here
        while first >= 0 and user_id in self.people[first]:
            first -= 1
        while last < len(self.people) and user_id in self.people[last]:
            last += 1
        return OnCall(
            user_id=user_id,
            begins_at=self.begins[first + 1] if first >= 0 else None,
            ends_at=self.begins[last] if last < len(self.begins) else None,
            then=self._then(last, self.people[last - 1][user_id]),
        )

    def _then(self, end: int, layer: str | None) -> Next | None:
        for step in range(end, len(self.begins)):
            coming, layers = self.coming[step], self.people[step]
            if coming:
                user_id = next((one for one in coming if layers[one] == layer), coming[0])
                return Next(user_id=user_id, begins_at=self.begins[step])
        return None


def _shifts(line: _Line, ends_at: datetime) -> list[Shift]:
    """Cut a line into shifts; the order of its seats is that of shifts that begin together."""
    rows: list[tuple[_Seat, datetime]] = []
    ends: list[datetime] = []
    running: dict[_Seat, int] = {}
    for at, seats in line:
        for seat in running.keys() - set(seats):
            ends[running.pop(seat)] = at
        for seat in seats:
            if seat not in running:
                running[seat] = len(rows)
                rows.append((seat, at))
                ends.append(ends_at)
    return [
        Shift(user_id=user_id, begins_at=at, ends_at=until, layer=layer, is_override=layer is None)
        for ((user_id, layer), at), until in zip(rows, ends, strict=True)
    ]


def _line(schedule: Schedule, begins_at: datetime, ends_at: datetime) -> _Line:
    """Return the finished schedule; it has a first step even where the window is empty."""
    zone, begin, end = _zone(schedule.time_zone), utc(begins_at), utc(ends_at)
    line = _laid(schedule.layers, zone, begin, end)
    for override in schedule.overrides:
        _apply(override, line, zone, end)
    return [step for index, step in enumerate(line) if not index or step[1] != line[index - 1][1]]


# Kept for good, because zoneinfo itself keeps no more than eight.
_zone = cache(ZoneInfo)


def _replace(seats: tuple[_Seat, ...], override: Override) -> tuple[_Seat, ...]:
    users = [user_id for user_id, _ in seats]
    if override.instead_of is None:
        return ((override.user_id, None),)
    if override.instead_of not in users:
        return seats
    if override.user_id in users and override.user_id != override.instead_of:
        return tuple(seat for seat in seats if seat[0] != override.instead_of)
    return tuple(
        (override.user_id, None) if seat[0] == override.instead_of else seat for seat in seats
    )


def _add(seats: tuple[_Seat, ...], override: Override) -> tuple[_Seat, ...]:
    if any(user_id == override.user_id for user_id, _ in seats):
        return seats
    return (*seats, (override.user_id, None))


def _remove(seats: tuple[_Seat, ...], override: Override) -> tuple[_Seat, ...]:
    return tuple(seat for seat in seats if seat[0] != override.user_id)


#: What each kind makes of who is on call.
_CHANGES: Mapping[OverrideKind, Callable[[tuple[_Seat, ...], Override], tuple[_Seat, ...]]] = {
    OverrideKind.REPLACE: _replace,
    OverrideKind.ADD: _add,
    OverrideKind.REMOVE: _remove,
}


def _apply(override: Override, line: _Line, zone: ZoneInfo, end: datetime) -> None:
    """Change the line, which ends at ``end``, as the override says."""
    ends_at = min(instant(override.ends, zone), end)
    if ends_at <= line[0][0]:
        return
    begins_at = max(instant(override.begins, zone), line[0][0])
    if begins_at >= ends_at:
        return
    change = _CHANGES[override.kind]
    first, last = _split(line, begins_at, end), _split(line, ends_at, end)
    line[first:last] = [(at, change(seats, override)) for at, seats in line[first:last]]


def _split(line: _Line, at: datetime, end: datetime) -> int:
    """Return the index of the step that begins at an instant, made where there is none."""
    index = bisect_left(line, at, key=itemgetter(0))
    if at < end and (index == len(line) or line[index][0] != at):
        line.insert(index, (at, line[index - 1][1]))
    return index


def _laid(layers: Sequence[Layer], zone: ZoneInfo, begin: datetime, end: datetime) -> _Line:
    """Lay the layers over each other: walk all edges of their spans by time."""
    edges: list[tuple[datetime, int, int, tuple[str, ...]]] = []
    for slot, layer in enumerate(layers):
        for number, (begins_at, ends_at, users) in enumerate(spans(layer, zone, begin, end)):
            edges += ((begins_at, slot, number, users), (ends_at, slot, number, ()))
    edges.sort(key=itemgetter(0))
    tiers = [
        [slot for slot, layer in enumerate(layers) if layer.priority == priority]
        for priority in sorted({layer.priority for layer in layers}, reverse=True)
    ]
    running: list[dict[int, tuple[str, ...]]] = [{} for _ in layers]
    line: _Line = [(begin, ())]
    for at, changes in groupby(edges, key=itemgetter(0)):
        for _, slot, number, users in changes:
            if users:
                running[slot][number] = users
            else:
                del running[slot][number]
        if at == begin:
            line.clear()
        if at < end:
            line.append((at, _seats(layers, tiers, running)))
    return line


def _seats(
    layers: Sequence[Layer], tiers: list[list[int]], running: list[dict[int, tuple[str, ...]]]
) -> tuple[_Seat, ...]:
    """Return the people of the highest priority that has any, each once."""
    for tier in tiers:
        seats: dict[str, str] = {}
        for slot in tier:
            for users in running[slot].values():
                for user_id in users:
                    seats.setdefault(user_id, layers[slot].name)
        if seats:
            return tuple(seats.items())
    return ()
