"""Schedules as the configuration file writes them, and what all tables of the file are."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, time
from functools import cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from tocsin.core.model import (
    Urgency,
)
from tocsin.core.plans import (
    Layer,
    Override,
    OverrideKind,
    Plans,
    Restriction,
    Rotation,
    RotationUnit,
    Schedule,
    SupportHours,
)
from tocsin.core.schedule import instant
from tocsin.core.times import format_span, parse_span
from tocsin.store.schedules import restriction_document

#: Where something stands in the file: keys and list positions from the top.
Path: TypeAlias = tuple[str | int, ...]

#: As the file writes weekdays; the position is Python's number of the day.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: More units than this in one turn mean a mistake.
LONGEST_TURN = 1000


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What all tables of the file are: no unknown key, and defaults are not written out."""


def one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    """Check that a word is one of some. Raises ValueError with a suggestion."""
    allowed = tuple(allowed)
    if value not in allowed:
        close = difflib.get_close_matches(value, allowed, n=1)
        few = f": {', '.join(allowed)}" if len(allowed) <= 12 else ""
        hint = f"; did you mean {close[0]}?" if close else few
        raise ValueError(f"{name} {value!r} is not known{hint}")


def span(text: str) -> str:
    """Check a span; write it in one way."""
    return format_span(parse_span(text))


def unique(kind: str, names: Iterable[str]) -> None:
    """Check that no name is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {kind}s are named {name!r}")
        seen.add(name)


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(zoneinfo.available_timezones()))


def known_zone(name: str) -> None:
    """Check that a zone is one of the IANA database. Raises ValueError with a suggestion."""
    one_of("time zone", name, _zones())


def _days(names: Iterable[str]) -> list[str]:
    """Check weekdays; write them in the order of the week."""
    for name in names:
        one_of("day", name, DAYS)
    return sorted(set(names), key=DAYS.index)


def _wall(text: str) -> str:
    """Check a time on the wall clock; write it in one way."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None:
        raise ValueError(
            f"{text!r} is not a local time: write 2026-01-05T09:00, without an offset,"
            " as the clock on the wall shows it in the schedule's zone"
        )
    return _short(at)


def _moment(text: str) -> str:
    """Check a local time or an instant; write it in one way."""
    try:
        return _short(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time: write 2026-01-05T09:00 (local) or 2026-01-05T09:00:00Z"
        ) from None


def _short(at: datetime) -> str:
    whole = at.second == 0 and at.microsecond == 0 and at.tzinfo is None
    return at.isoformat(timespec="minutes" if whole else "auto")


def _clock(text: str) -> str:
    """Check a time of day; write it in one way. Midnight may be written 24:00."""
    try:
        at = time.fromisoformat("00:00" if text in ("24:00", "24:00:00") else text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None:
        raise ValueError(f"{text!r} is not a time of day: write 09:00") from None
    return at.isoformat(timespec="auto" if at.second or at.microsecond else "minutes")


class HoursTable(Table, kw_only=True):
    """A window of every day; `to` before `from` runs over midnight."""

    from_: str = msgspec.field(name="from")
    to: str

    def __post_init__(self) -> None:
        """Check the times."""
        self.from_, self.to = _clock(self.from_), _clock(self.to)


class RestrictionTable(HoursTable, kw_only=True):
    """A window in which a layer has anybody; it belongs to the day it begins."""

    days: list[str] = []

    def __post_init__(self) -> None:
        """Check the days and times."""
        super().__post_init__()
        self.days = _days(self.days)


class SupportHoursTable(RestrictionTable, kw_only=True):
    """When a service's people are at their desks, and the urgency when they are not."""

    time_zone: str = "UTC"
    outside: Urgency = Urgency.LOW

    def __post_init__(self) -> None:
        """Check the zone."""
        super().__post_init__()
        known_zone(self.time_zone)


class RotationTable(Table, kw_only=True):
    """Turns of so many units, from a time on."""

    unit: RotationUnit
    length: int = 1
    start: str
    #: With unit day: it turns on these days only, with nobody on the others.
    days: list[str] = []

    def __post_init__(self) -> None:
        """Check the length, the start and the days."""
        if not 1 <= self.length <= LONGEST_TURN:
            raise ValueError(
                f"a rotation's length is between 1 and {LONGEST_TURN}, not {self.length}"
            )
        self.start = _wall(self.start)
        self.days = _days(self.days)
        if self.days and self.unit is not RotationUnit.DAY:
            raise ValueError("a rotation's days need the unit day")


class LayerTable(Table, kw_only=True):
    """People who take turns, or a calendar that says whose shift it is."""

    name: str
    priority: int = 1
    rotation: RotationTable | None = None
    #: An entry may be a list: several at once.
    participants: list[str | list[str]] = []
    #: The address of an iCalendar whose events name people.
    calendar: str | None = None
    restrictions: list[RestrictionTable] = []
    until: str | None = None

    def __post_init__(self) -> None:
        """Check that it has a rotation or a calendar."""
        if (self.rotation is None) == (self.calendar is None):
            raise ValueError("a layer has either a rotation, with participants, or a calendar")
        if self.calendar is not None and not self.calendar.startswith(("https://", "http://")):
            raise ValueError(f"calendar {self.calendar!r} is not an http:// or https:// URL")
        if self.calendar is not None and self.participants:
            raise ValueError("a calendar names its people itself: leave participants out")
        if not -1000 <= self.priority <= 1000:
            raise ValueError(f"priority {self.priority} is not between -1000 and 1000")
        if self.until is not None:
            self.until = _wall(self.until)

    def turns(self) -> list[list[str]]:
        """Return whose turns there are, each as a list."""
        return [[turn] if isinstance(turn, str) else turn for turn in self.participants]


class OverrideTable(Table, kw_only=True):
    """A change of the finished schedule for a time."""

    user: str
    from_: str = msgspec.field(name="from")
    to: str
    kind: OverrideKind = OverrideKind.REPLACE
    instead_of: str | None = None

    def __post_init__(self) -> None:
        """Check that it ends after it begins."""
        self.from_, self.to = _moment(self.from_), _moment(self.to)
        begins, ends = datetime.fromisoformat(self.from_), datetime.fromisoformat(self.to)
        if (begins.tzinfo is None) == (ends.tzinfo is None) and ends <= begins:
            raise ValueError(
                f"an override ends after it begins: {self.to} is not after {self.from_}"
            )
        if self.instead_of is not None and self.kind is not OverrideKind.REPLACE:
            raise ValueError(f"instead_of is for kind replace, not {self.kind}")

    def people(self) -> set[str]:
        """Return every address it names."""
        return {self.user} | ({self.instead_of} if self.instead_of else set())


class ScheduleTable(Table, kw_only=True):
    """Who is on call when."""

    name: str
    time_zone: str = "UTC"
    #: Who is told of gaps.
    team: str | None = None
    layers: list[LayerTable] = []
    #: Absent: those that are there stay.
    overrides: list[OverrideTable] | None = None

    def __post_init__(self) -> None:
        """Check the zone, and that layers can be told apart."""
        known_zone(self.time_zone)
        unique("layer", (layer.name for layer in self.layers))

    def people(self) -> Iterator[tuple[Path, str]]:
        """Yield every address it names, with its place in the table."""
        for at, layer in enumerate(self.layers):
            for number, turn in enumerate(layer.participants):
                if isinstance(turn, str):
                    yield ("layers", at, "participants", number), turn
                else:
                    for nth, email in enumerate(turn):
                        yield ("layers", at, "participants", number, nth), email
        for at, change in enumerate(self.overrides or ()):
            yield ("overrides", at, "user"), change.user
            if change.instead_of is not None:
                yield ("overrides", at, "instead_of"), change.instead_of


# -- what only the whole shows --------------------------------------------------------------------

#: The longest text of a field; a field that names something is a line of its own, too.
LONGEST = {
    "address": 2000,
    "calendar": 2000,
    "email": 320,
    "name": 200,
    "reason": 500,
    "routing_key": 500,
    "sentry_url": 500,
    "time_zone": 100,
}

#: Names of the IANA database that are no place: what the machine is set to, and nothing at all.
_NO_PLACE = frozenset({"localtime", "posixrules", "Factory"})


def faults(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong in a table (or list) and all below it that no field shows by itself.

    Not checked when a table is made: what is stored must be readable whatever the rules are now.
    """
    if isinstance(value, msgspec.Struct):
        for name, written in zip(
            value.__struct_fields__, value.__struct_encode_fields__, strict=True
        ):
            inner = getattr(value, name)
            if isinstance(inner, str) and name in LONGEST:
                yield from ((((*path, written)), fault) for fault in _text_faults(name, inner))
            elif isinstance(inner, list | msgspec.Struct):
                yield from faults(inner, (*path, written))
        if isinstance(value, ScheduleTable):
            yield from _override_faults(value, path)
    elif isinstance(value, list) and value and not isinstance(value[0], str):
        for at, inner in enumerate(value):
            yield from faults(inner, (*path, at))


def _text_faults(name: str, text: str) -> Iterator[str]:
    if len(text) > LONGEST[name]:
        yield f"{name}: at most {LONGEST[name]} characters, not {len(text)}"
    if any(ord(letter) < 32 or letter == "\x7f" for letter in text):
        yield f"{name}: there is a control character in it: write one line of plain text"
    if name == "name" and not text.strip():
        yield "name: a name is not empty"
    if name == "calendar" and not _is_url(text):
        yield f"calendar: {text!r} is not a URL: write https://host/path"
    if name == "time_zone" and text in _NO_PLACE:
        yield f"time_zone: {text!r} is the time of no place: name one, for instance Europe/Berlin"


def _is_url(text: str) -> bool:
    """Whether an address names a host, and a port if any that there can be."""
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0 and not any(map(str.isspace, text))
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Return as much of an address as is no secret, whatever it is."""
    scheme, _, rest = url.partition("://")
    netloc = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    return f"{scheme}://{netloc.rpartition('@')[2]}/…"


def _override_faults(schedule: ScheduleTable, path: Path) -> Iterator[tuple[Path, str]]:
    zone = ZoneInfo(schedule.time_zone)
    for at, change in enumerate(schedule.overrides or ()):
        begins, ends = (datetime.fromisoformat(text) for text in (change.from_, change.to))
        if instant(ends, zone) <= instant(begins, zone):
            where, when = schedule.time_zone, f"{change.to} is not after {change.from_}"
            message = f"an override ends after it begins: in {where}, {when}"
            yield (*path, "overrides", at), message


# -- between the file and values ------------------------------------------------------------------


def restriction_table(window: Restriction) -> RestrictionTable:
    """Write a window as the file has it."""
    return RestrictionTable(
        days=[DAYS[day] for day in sorted(window.days)],
        from_=window.begins.isoformat(),
        to=window.ends.isoformat(),
    )


def hours_table(window: Restriction) -> HoursTable:
    """Write a window of every day as the file has it."""
    return HoursTable(from_=window.begins.isoformat(), to=window.ends.isoformat())


def support_hours_table(hours: SupportHours) -> SupportHoursTable:
    """Write support hours as the file has them."""
    window = restriction_table(hours.hours)
    return SupportHoursTable(
        time_zone=hours.time_zone,
        days=window.days,
        from_=window.from_,
        to=window.to,
        outside=hours.outside,
    )


def restriction_of(row: RestrictionTable) -> Restriction:
    """Read a window."""
    return Restriction(
        days=frozenset(DAYS.index(day) for day in row.days),
        begins=time.fromisoformat(row.from_),
        ends=time.fromisoformat(row.to),
    )


def hours_document(row: HoursTable) -> dict[str, Any]:
    """Write a window of every day as the store keeps it."""
    window = RestrictionTable(from_=row.from_, to=row.to)
    return restriction_document(restriction_of(window))


def support_hours_document(row: SupportHoursTable) -> dict[str, Any]:
    """Write support hours as the store keeps them."""
    return {
        "time_zone": row.time_zone,
        "hours": restriction_document(restriction_of(row)),
        "outside": row.outside.value,
    }


def schedule_table(schedule: Schedule, plans: Plans) -> ScheduleTable:
    """Write a schedule as the file has it."""
    team = plans.teams.get(schedule.team_id or "")
    return ScheduleTable(
        name=schedule.name,
        time_zone=schedule.time_zone,
        team=team.name if team else None,
        layers=[_layer_table(layer, plans) for layer in schedule.layers],
        overrides=[
            OverrideTable(
                user=plans.users[change.user_id].email,
                from_=change.begins.isoformat(),
                to=change.ends.isoformat(),
                kind=change.kind,
                instead_of=_email(change.instead_of, plans),
            )
            for change in schedule.overrides
        ],
    )


def _email(user_id: str | None, plans: Plans) -> str | None:
    user = plans.users.get(user_id or "")
    return user.email if user else None


def _rotation_table(rotation: Rotation) -> RotationTable:
    return RotationTable(
        unit=rotation.unit,
        length=rotation.length,
        start=rotation.start.isoformat(),
        days=[DAYS[day] for day in sorted(rotation.days)],
    )


def _rotation_of(row: RotationTable) -> Rotation:
    return Rotation(
        unit=row.unit,
        length=row.length,
        start=datetime.fromisoformat(row.start),
        days=frozenset(DAYS.index(day) for day in row.days),
    )


def _layer_table(layer: Layer, plans: Plans) -> LayerTable:
    rotation = layer.rotation
    turns = [[plans.users[id_].email for id_ in turn] for turn in layer.participants]
    return LayerTable(
        name=layer.name,
        priority=layer.priority,
        rotation=_rotation_table(rotation) if rotation else None,
        participants=[turn[0] if len(turn) == 1 else turn for turn in turns],
        calendar=layer.calendar,
        restrictions=[restriction_table(one) for one in layer.restrictions],
        until=layer.until.isoformat() if layer.until else None,
    )


def layers_of(row: ScheduleTable, user_ids: Mapping[str, str]) -> list[Layer]:
    """Read a schedule's layers; ``user_ids`` has the id of each address."""
    return [
        Layer(
            name=layer.name,
            priority=layer.priority,
            rotation=_rotation_of(layer.rotation) if layer.rotation else None,
            participants=tuple(tuple(user_ids[email] for email in turn) for turn in layer.turns()),
            restrictions=tuple(restriction_of(one) for one in layer.restrictions),
            until=datetime.fromisoformat(layer.until) if layer.until else None,
            calendar=layer.calendar,
        )
        for layer in row.layers
    ]


def overrides_of(row: ScheduleTable, user_ids: Mapping[str, str]) -> list[Override]:
    """Read a schedule's overrides."""
    return [
        Override(
            id="",
            kind=change.kind,
            user_id=user_ids[change.user],
            begins=datetime.fromisoformat(change.from_),
            ends=datetime.fromisoformat(change.to),
            instead_of=user_ids[change.instead_of] if change.instead_of else None,
        )
        for change in row.overrides or ()
    ]
