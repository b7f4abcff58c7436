"""A schedule drawn over time: bars in percent of the window, the same for pages and previews."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tocsin.core.plans import Layer, Plans, Schedule, Shift
from tocsin.core.schedule import gaps, layer_shifts, shifts
from tocsin.web.pages.wallclock import ClockChange, Wall

#: So many colours there are for people, ``who-0`` and so on.
COLOURS = 12

#: How high one line of bars is.
_LINE = 34

#: So many letters go on one percent of the window on a laptop; a bar's rim takes one.
_LETTERS = 1.35

#: A shift is told whole, as far as it reaches no further than this out of the window.
_AROUND = timedelta(days=35)

#: Rotations by the hour give more bars than anybody can tell apart.
_MOST = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One shift, or one gap, in a row. ``x`` and ``width`` are percent of the window."""

    x: str
    width: str
    #: Pixels from the top of its row.
    y: int
    text: str
    #: All of it, in words.
    title: str
    #: ``who-3``, ``gap``; with ``override`` besides, for one that an override brings.
    kind: str
    href: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One layer, or what comes of all of them."""

    name: str
    hint: str
    bars: tuple[Bar, ...]
    height: int
    is_result: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day on the axis."""

    x: str
    width: str
    name: str
    text: str
    #: Where another month begins.
    month: str
    is_weekend: bool
    is_today: bool
    change: ClockChange | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the table: a shift, or a gap, which is nobody's."""

    begins_at: datetime
    ends_at: datetime
    email: str | None
    name: str
    layer: str
    is_override: bool = False
    kind: str = "gap"
    href: str | None = None
    is_now: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A schedule in a window."""

    wall: Wall
    begins_at: datetime
    ends_at: datetime
    days: tuple[Day, ...]
    rows: tuple[Row, ...]
    lines: tuple[Line, ...]
    #: How many gaps there are that are not over, and how long they are together.
    gap_count: int
    gap_for: timedelta
    changes: tuple[ClockChange, ...]
    #: Where now is, in percent; None where it is outside.
    now_x: str | None

    @property
    def last_day(self) -> datetime:
        """An instant on the last day shown."""
        return self.ends_at - timedelta(hours=2)


def colours(plans: Plans) -> Mapping[str, str]:
    """Give each person of any schedule a colour, the same on every page."""
    people: set[str] = set()
    for schedule in plans.schedules.values():
        people |= _people(schedule)
    return {id_: f"who-{at % COLOURS}" for at, id_ in enumerate(sorted(people))}


def _people(schedule: Schedule) -> set[str]:
    named = {id_ for layer in schedule.layers for turn in layer.participants for id_ in turn}
    named |= {shift.user_id for layer in schedule.layers for shift in layer.shifts}
    return named | {change.user_id for change in schedule.overrides}


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What every bar is drawn by."""

    plans: Plans
    wall: Wall
    begins_at: datetime
    ends_at: datetime
    colours: Mapping[str, str]
    link: Callable[[Shift], str | None]

    def x(self, at: datetime) -> float:
        whole = (self.ends_at - self.begins_at) / timedelta(seconds=1)
        return 100 * ((at - self.begins_at) / timedelta(seconds=1)) / whole

    def place(self, begins_at: datetime, ends_at: datetime) -> tuple[str, str, float]:
        """Return where a stretch lies, how wide it is, and that as a number."""
        left = max(self.x(begins_at), 0.0)
        wide = min(self.x(ends_at), 100.0) - left
        return percent(left), percent(wide), wide

    def name(self, user_id: str) -> str:
        user = self.plans.users.get(user_id)
        return user.name if user else "somebody who left"

    def said(self, who: str, begins_at: datetime, ends_at: datetime, more: str = "") -> str:
        return f"{who}, {self.wall.text(begins_at)} to {self.wall.text(ends_at)}{more}"


def percent(value: float) -> str:
    """Write a share of the window as SVG takes it."""
    return f"{value:.3f}%"


def timeline(
    plans: Plans,
    schedule: Schedule,
    wall: Wall,
    begins_at: datetime,
    ends_at: datetime,
    link: Callable[[Shift], str | None] = lambda _shift: None,
) -> Timeline:
    """Draw a schedule in a window, as a clock shows it; ``link`` is where a shift leads to."""
    named = {**colours(plans)}
    for user_id in sorted(_people(schedule) - set(named)):
        named[user_id] = f"who-{len(named) % COLOURS}"
    drawing = _Drawing(plans, wall, begins_at, ends_at, named, link)
    now = wall.visit.now
    changes = tuple(wall.changes(begins_at, ends_at))
    around = shifts(schedule, begins_at - _AROUND, ends_at + _AROUND)
    result = [one for one in around if one.begins_at < ends_at and one.ends_at > begins_at]
    empty = gaps(schedule, begins_at, ends_at)
    in_order = sorted(schedule.layers, key=lambda layer: -layer.priority)
    zone = ZoneInfo(schedule.time_zone)
    rows = [_layer_row(drawing, layer, zone) for layer in in_order]
    nobody = [(gap.begins_at, gap.ends_at) for gap in empty]
    ahead = [(max(begin, now), end) for begin, end in nobody if end > now]
    rows.append(_row(drawing, "On call", "what comes of it", result, nobody))
    return Timeline(
        wall=wall,
        begins_at=begins_at,
        ends_at=ends_at,
        days=tuple(_days(drawing, now, changes)),
        rows=tuple(rows),
        lines=_lines(drawing, result, nobody, now),
        gap_count=len(ahead),
        gap_for=sum((end - begin for begin, end in ahead), timedelta()),
        changes=changes,
        now_x=percent(drawing.x(now)) if begins_at <= now < ends_at else None,
    )


def _layer_row(drawing: _Drawing, layer: Layer, zone: ZoneInfo) -> Row:
    found = layer_shifts(layer, zone, drawing.begins_at, drawing.ends_at)
    return _row(drawing, layer.name, f"priority {layer.priority}", found, None)


def _row(
    drawing: _Drawing,
    name: str,
    hint: str,
    found: Sequence[Shift],
    nobody: Sequence[tuple[datetime, datetime]] | None,
) -> Row:
    """Draw a row; ``nobody`` is None for a layer, which is no result."""
    is_result = nobody is not None
    bars, lines = _bars(drawing, found[:_MOST], is_result=is_result)
    bars += [_gap(drawing, begin, end) for begin, end in (nobody or ())[:_MOST]]
    return Row(
        name=name, hint=hint, bars=tuple(bars), height=max(lines, 1) * _LINE, is_result=is_result
    )


def _bars(drawing: _Drawing, found: Iterable[Shift], *, is_result: bool) -> tuple[list[Bar], int]:
    """Draw shifts, those of one time below each other; return them and how many lines they take."""
    bars: list[Bar] = []
    free_from: list[datetime] = []
    for shift in found:
        at = next((at for at, end in enumerate(free_from) if end <= shift.begins_at), None)
        if at is None:
            at = len(free_from)
            free_from.append(shift.ends_at)
        free_from[at] = shift.ends_at
        x, width, wide = drawing.place(shift.begins_at, shift.ends_at)
        name = drawing.name(shift.user_id)
        more = " (override)" if shift.is_override else ""
        bars.append(
            Bar(
                x=x,
                width=width,
                y=at * _LINE,
                text=_fitting(name, wide),
                title=drawing.said(name, shift.begins_at, shift.ends_at, more),
                kind=drawing.colours.get(shift.user_id, "who-0")
                + (" override" if shift.is_override else ""),
                href=drawing.link(shift) if is_result else None,
            )
        )
    return bars, len(free_from)


def _fitting(name: str, wide: float) -> str:
    """Return as much of a name as there is room for; nothing where it would say nothing."""
    room = int(wide * _LETTERS) - 1
    if room >= len(name):
        return name
    return f"{name[: room - 1].rstrip()}…" if room >= 3 else name[:room] if room == 2 else ""


def _gap(drawing: _Drawing, begins_at: datetime, ends_at: datetime) -> Bar:
    x, width, wide = drawing.place(begins_at, ends_at)
    return Bar(
        x=x,
        width=width,
        y=0,
        text=_fitting("Nobody", wide),
        title=drawing.said("Nobody is on call", begins_at, ends_at),
        kind="gap",
    )


def _days(drawing: _Drawing, now: datetime, changes: Sequence[ClockChange]) -> Iterable[Day]:
    wall, day = drawing.wall, drawing.wall.midnight(drawing.begins_at)
    changed = {change.at: change for change in changes}
    while day < drawing.ends_at:
        following = wall.after(day, 1)
        local = wall.local(day + timedelta(hours=3))
        x, width, _ = drawing.place(day, following)
        is_first = day <= drawing.begins_at or local.day == 1
        yield Day(
            x=x,
            width=width,
            name=f"{local:%a}",
            text=str(local.day),
            month=f"{local:%b}" if is_first else "",
            is_weekend=local.weekday() >= 5,
            is_today=day <= now < following,
            change=changed.get(day),
        )
        day = following


def _lines(
    drawing: _Drawing,
    found: Iterable[Shift],
    nobody: Iterable[tuple[datetime, datetime]],
    now: datetime,
) -> tuple[Line, ...]:
    users = drawing.plans.users
    lines = [
        Line(
            begins_at=shift.begins_at,
            ends_at=shift.ends_at,
            email=users[shift.user_id].email if shift.user_id in users else None,
            name=drawing.name(shift.user_id),
            layer=shift.layer or "",
            is_override=shift.is_override,
            kind=drawing.colours.get(shift.user_id, "who-0"),
            href=drawing.link(shift),
            is_now=shift.begins_at <= now < shift.ends_at,
        )
        for shift in found
    ]
    lines += [
        Line(begins_at=begin, ends_at=end, email=None, name="Nobody is on call", layer="",
             is_now=begin <= now < end)
        for begin, end in nobody
    ]  # fmt: skip
    return tuple(sorted(lines, key=lambda line: line.begins_at)[:_MOST])
