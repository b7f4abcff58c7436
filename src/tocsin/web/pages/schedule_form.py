"""The form of a schedule: what was typed, changed by its buttons, and the table that it makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Self, TypeVar

import msgspec

from tocsin.web.pages.form import Form
from tocsin.web.pages.refused import sentence
from tocsin.work.configfile import BadFile, explained
from tocsin.work.schedulefile import DAYS, ScheduleTable

T = TypeVar("T")

#: More than this of anything in one form is a mistake, or somebody's joke.
_MOST = 100

_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

#: Every day with its name, for check boxes.
WEEKDAYS = tuple(zip(DAYS, _DAY_NAMES, strict=True))


@dataclass(slots=True, kw_only=True)
class WindowRow:
    """A restriction, as typed."""

    days: list[str] = field(default_factory=list)
    begins: str = "09:00"
    ends: str = "17:00"


@dataclass(slots=True, kw_only=True)
class LayerRow:
    """A layer, as typed."""

    name: str = ""
    priority: str = "1"
    #: ``rotation`` or ``calendar``.
    source: str = "rotation"
    unit: str = "week"
    length: str = "1"
    start: str = ""
    days: list[str] = field(default_factory=list)
    #: Addresses, turn by turn; an empty turn is nobody's.
    turns: list[list[str]] = field(default_factory=list)
    windows: list[WindowRow] = field(default_factory=list)
    until: str = ""
    calendar: str = ""

    def table(self) -> dict[str, Any]:
        """Write it as the configuration file has it."""
        common: dict[str, Any] = {
            "name": self.name,
            "priority": number(self.priority, "priority"),
            "restrictions": [
                {"days": one.days, "from": one.begins, "to": one.ends} for one in self.windows
            ],
            "until": self.until or None,
        }
        if self.source == "calendar":
            return common | {"calendar": self.calendar}
        rotation = {
            "unit": self.unit,
            "length": number(self.length, "length"),
            "start": self.start,
            "days": self.days if self.unit == "day" else [],
        }
        people = [[email for email in turn if email] for turn in self.turns]
        return common | {
            "rotation": rotation,
            "participants": [turn[0] if len(turn) == 1 else turn for turn in people],
        }

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """Read one that is there, as the API shows it."""
        rotation = table.get("rotation") or {}
        turns = table.get("participants") or []
        return cls(
            name=table["name"],
            priority=str(table.get("priority", 1)),
            source="calendar" if table.get("calendar") else "rotation",
            unit=rotation.get("unit", "week"),
            length=str(rotation.get("length", 1)),
            start=rotation.get("start", ""),
            days=list(rotation.get("days", ())),
            turns=[[turn] if isinstance(turn, str) else list(turn) for turn in turns],
            windows=[
                WindowRow(days=list(one.get("days", ())), begins=one["from"], ends=one["to"])
                for one in table.get("restrictions") or ()
            ],
            until=table.get("until") or "",
            calendar=table.get("calendar") or "",
        )


@dataclass(slots=True, kw_only=True)
class ScheduleForm:
    """A schedule, as typed."""

    name: str = ""
    time_zone: str = "UTC"
    team: str = ""
    layers: list[LayerRow] = field(default_factory=list)

    @classmethod
    def new(cls, zone: str, email: str, now: datetime) -> Self:
        """Begin with one layer: a week each, from this week's Monday at nine."""
        layer = first_layer(now)
        layer.turns = [[email]]
        return cls(time_zone=zone, layers=[layer])

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Self:
        """Read a schedule as the API shows it."""
        return cls(
            name=shown["name"],
            time_zone=shown["time_zone"],
            team=shown.get("team") or "",
            layers=[LayerRow.of(layer) for layer in shown.get("layers") or ()],
        )

    @classmethod
    def read(cls, form: Form) -> Self:
        """Read what was typed."""
        return cls(
            name=form.text("name"),
            time_zone=form.text("time_zone"),
            team=form.text("team"),
            layers=[_layer(form, f"layers.{at}") for at in indices(form, "layers")],
        )

    def table(self) -> ScheduleTable:
        """Return the table it makes; the overrides that are there stay. Raises BadFile."""
        return converted(
            {
                "name": self.name,
                "time_zone": self.time_zone,
                "team": self.team or None,
                "layers": [layer.table() for layer in self.layers],
            },
            ScheduleTable,
        )

    def do(self, what: str, emails: list[str], now: datetime) -> bool:
        """Do what a button of the form says; return whether it was one of these."""
        verb, *path = what.split(":")
        act = _BUTTONS.get(verb)
        if act is None or not all(part.isdigit() for part in path):
            return False
        try:
            act(self, [int(part) for part in path], emails, now)
        except IndexError:
            # A second press of a button whose row is gone already.
            return True
        return True


def first_layer(now: datetime) -> LayerRow:
    """Return a layer that begins on this week's Monday."""
    monday = now.date().toordinal() - now.weekday()
    return LayerRow(name="weekly", start=f"{datetime.fromordinal(monday):%Y-%m-%d}T09:00")


def _layer(form: Form, at: str) -> LayerRow:
    return LayerRow(
        name=form.text(f"{at}.name"),
        priority=form.text(f"{at}.priority"),
        source=form.text(f"{at}.source") or "rotation",
        unit=form.text(f"{at}.unit"),
        length=form.text(f"{at}.length"),
        start=form.text(f"{at}.start"),
        days=list(form.many(f"{at}.days")),
        turns=[
            [email.strip() for email in form.fields.get(f"{at}.turns.{turn}", ())][:_MOST]
            for turn in indices(form, f"{at}.turns")
        ],
        windows=[
            WindowRow(
                days=list(form.many(f"{at}.windows.{nth}.days")),
                begins=form.text(f"{at}.windows.{nth}.from"),
                ends=form.text(f"{at}.windows.{nth}.to"),
            )
            for nth in indices(form, f"{at}.windows")
        ],
        until=form.text(f"{at}.until"),
        calendar=form.text(f"{at}.calendar"),
    )


def indices(form: Form, prefix: str) -> list[int]:
    """Return the numbers that fields of a list have, in their order."""
    pattern = re.compile(re.escape(prefix) + r"\.([0-9]{1,3})(?:\.|$)")
    found = {int(match[1]) for name in form.fields if (match := pattern.match(name))}
    return sorted(found)[:_MOST]


def number(text: str, what: str) -> int:
    """Read a whole number. Raises BadFile."""
    try:
        return int(text[:20])
    except ValueError:
        raise BadFile([f"the {what} {text!r} is not a whole number"]) from None


def converted(fields: Mapping[str, Any], kind: type[T]) -> T:
    """Make a table of what was typed. Raises BadFile, which says where in the form it is wrong."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        path, message = explained(str(error))
        where = ", ".join(_place(path))
        raise BadFile([f"{where}: {message}" if where else sentence(message)]) from None


_ONE_OF = {
    "layers": "layer", "restrictions": "hours", "participants": "turn",
    "steps": "step", "targets": "target",
}  # fmt: skip


def _place(path: tuple[str | int, ...]) -> list[str]:
    """Say where in a form something is: ``layer 2``, ``hours 1``."""
    found = []
    for part, at in pairwise(path):
        if isinstance(part, str) and isinstance(at, int):
            found.append(f"{_ONE_OF.get(part, part)} {at + 1}")
    return found


# -- buttons: each gets the form, where it stands, everybody's address, and now --------------------


def _add_layer(form: ScheduleForm, _path: list[int], _emails: list[str], now: datetime) -> None:
    layer = first_layer(now)
    taken = {one.name for one in form.layers}
    names = (f"layer {at}" for at in range(len(form.layers) + 1, _MOST * 2))
    layer.name = next(name for name in ("weekly", *names) if name not in taken)
    layer.priority = str(len(form.layers) + 1)
    layer.turns = [[""]]
    form.layers = [*form.layers, layer][:_MOST]


def _add_turn(form: ScheduleForm, path: list[int], emails: list[str], _now: datetime) -> None:
    turns = form.layers[path[0]].turns
    there = {email for turn in turns for email in turn}
    turns.append([next((email for email in emails if email not in there), "")])


def _add_person(form: ScheduleForm, path: list[int], emails: list[str], _now: datetime) -> None:
    turn = form.layers[path[0]].turns[path[1]]
    turn.append(next((email for email in emails if email not in turn), ""))


def _add_window(form: ScheduleForm, path: list[int], _emails: list[str], _now: datetime) -> None:
    form.layers[path[0]].windows.append(WindowRow(days=list(DAYS[:5])))


def moved(rows: list[Any], at: int, by: int) -> None:
    """Let a row change places with its neighbour."""
    there = at + by
    if 0 <= there < len(rows):
        rows[at], rows[there] = rows[there], rows[at]


_Act = Callable[[ScheduleForm, list[int], list[str], datetime], None]

_BUTTONS: Mapping[str, _Act] = {
    "add-layer": _add_layer,
    "remove-layer": lambda form, path, _emails, _now: _gone(form.layers, path[0]),
    "up-layer": lambda form, path, _emails, _now: moved(form.layers, path[0], -1),
    "down-layer": lambda form, path, _emails, _now: moved(form.layers, path[0], 1),
    "add-turn": _add_turn,
    "remove-turn": lambda form, path, _emails, _now: _gone(form.layers[path[0]].turns, path[1]),
    "up-turn": lambda form, path, _emails, _now: moved(form.layers[path[0]].turns, path[1], -1),
    "down-turn": lambda form, path, _emails, _now: moved(form.layers[path[0]].turns, path[1], 1),
    "add-person": _add_person,
    "add-window": _add_window,
    "remove-window": lambda form, path, _emails, _now: _gone(form.layers[path[0]].windows, path[1]),
    # Shows the fields of the source that was chosen, and nothing else.
    "show": lambda _form, _path, _emails, _now: None,
}


def _gone(rows: list[Any], at: int) -> None:
    del rows[at]
