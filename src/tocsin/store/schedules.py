"""Schedules as rows: layers as one document, overrides and calendars apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from operator import attrgetter
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, RowMapping, insert, or_, select, update

from tocsin.core.plans import (
    Layer,
    Override,
    OverrideKind,
    Restriction,
    Rotation,
    RotationUnit,
    Schedule,
    Shift,
    User,
)
from tocsin.core.wall import instant
from tocsin.store.db import new_id
from tocsin.store.tables import calendars, overrides, schedules


def load_schedules(connection: Connection, users: Mapping[str, User]) -> dict[str, Schedule]:
    """Read every living schedule; people who left are on none."""
    changes = _overrides(connection, users)
    events = {row.url: row.events for row in connection.execute(select(calendars))}
    people = People(users.values())
    query = select(schedules).where(schedules.c.deleted_at.is_(None))
    return {
        row["id"]: Schedule(
            id=row["id"],
            name=row["name"],
            time_zone=row["time_zone"],
            team_id=row["team_id"],
            layers=tuple(
                _layer(layer, users, _Events(events, people, row["time_zone"]))
                for layer in row["layers"]
            ),
            overrides=tuple(changes[row["id"]]),
        )
        for row in connection.execute(query).mappings()
    }


class People:
    """Finds people as calendars name them: by e-mail address or by name, in any case."""

    def __init__(self, users: Collection[User]) -> None:
        by_name = {user.name.casefold(): user.id for user in users}
        self._ids = by_name | {user.email.casefold(): user.id for user in users}

    def find(self, name: str) -> str | None:
        """Return the id of whom a calendar calls so."""
        return self._ids.get(name.strip().casefold())

    def named(self, event: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the ids of whom an event names: of its groups the first that has anybody."""
        for group in (event["names"], *event.get("otherwise", ())):
            found = dict.fromkeys(id_ for name in group if (id_ := self.find(name)))
            if found:
                return tuple(found)
        return ()


@dataclass(frozen=True, slots=True)
class _Events:
    """The events of calendars, as one schedule takes them."""

    of: Mapping[str, Iterable[Mapping[str, Any]]]
    people: People
    time_zone: str

    def shifts(self, calendar: str, layer: str) -> list[Shift]:
        """Return what a calendar says, by begin; what it tells of people nobody knows is left out.

        A time without an offset, or a whole day, is on the wall clock of the schedule's zone.
        """
        zone = ZoneInfo(self.time_zone)
        found = [
            Shift(user_id=user_id, begins_at=begins_at, ends_at=ends_at, layer=layer)
            for event in self.of.get(calendar, ())
            if (begins_at := instant(datetime.fromisoformat(event["from"]), zone))
            < (ends_at := instant(datetime.fromisoformat(event["to"]), zone))
            for user_id in self.people.named(event)
        ]
        return sorted(found, key=attrgetter("begins_at"))


def _overrides(connection: Connection, users: Mapping[str, User]) -> dict[str, list[Override]]:
    found: dict[str, list[Override]] = defaultdict(list)
    query = select(overrides).where(overrides.c.deleted_at.is_(None)).order_by(overrides.c.id)
    for row in connection.execute(query).mappings():
        # Without the one it stands in for it would replace everybody.
        if {row["user_id"], row["instead_of_id"]} - {None} <= users.keys():
            found[row["schedule_id"]].append(override_of(row))
    return found


def override_of(row: RowMapping) -> Override:
    """Read an override from its row."""
    return Override(
        id=row["id"],
        kind=OverrideKind(row["kind"]),
        user_id=row["user_id"],
        begins=datetime.fromisoformat(row["begins"]),
        ends=datetime.fromisoformat(row["ends"]),
        instead_of=row["instead_of_id"],
    )


def _layer(document: Mapping[str, Any], users: Mapping[str, User], events: _Events) -> Layer:
    rotation, until = document.get("rotation"), document.get("until")
    name, calendar = document["name"], document.get("calendar")
    return Layer(
        name=name,
        priority=document["priority"],
        rotation=rotation_of(rotation) if rotation else None,
        participants=tuple(
            tuple(id_ for id_ in turn if id_ in users) for turn in document["participants"]
        ),
        restrictions=tuple(restriction_of(one) for one in document["restrictions"]),
        until=datetime.fromisoformat(until) if until else None,
        calendar=calendar,
        shifts=tuple(events.shifts(calendar, name)) if calendar else (),
    )


def rotation_of(document: Mapping[str, Any]) -> Rotation:
    """Read a rotation from its document."""
    return Rotation(
        unit=RotationUnit(document["unit"]),
        length=document["length"],
        start=datetime.fromisoformat(document["start"]),
        days=frozenset(document["days"]),
    )


def restriction_of(document: Mapping[str, Any]) -> Restriction:
    """Read a window of the day from its document."""
    return Restriction(
        days=frozenset(document["days"]),
        begins=time.fromisoformat(document["from"]),
        ends=time.fromisoformat(document["to"]),
    )


def restriction_document(window: Restriction) -> dict[str, Any]:
    """Write a window of the day as ``restriction_of`` reads it."""
    return {
        "days": sorted(window.days),
        "from": window.begins.isoformat(),
        "to": window.ends.isoformat(),
    }


def layer_document(layer: Layer) -> dict[str, Any]:
    """Write a layer, but for a calendar's shifts, which are rows of their own."""
    rotation = layer.rotation
    return {
        "name": layer.name,
        "priority": layer.priority,
        "rotation": rotation
        and {
            "unit": rotation.unit.value,
            "length": rotation.length,
            "start": rotation.start.isoformat(),
            "days": sorted(rotation.days),
        },
        "participants": [list(turn) for turn in layer.participants],
        "restrictions": [restriction_document(one) for one in layer.restrictions],
        "until": layer.until.isoformat() if layer.until else None,
        "calendar": layer.calendar,
    }


def add_override(
    connection: Connection, schedule_id: str, change: Override, by: str, now: datetime
) -> str:
    """Add an override over all that are there; return its id (the one given does not count)."""
    id_ = new_id("ovr", now)
    connection.execute(
        insert(overrides).values(
            id=id_,
            schedule_id=schedule_id,
            kind=change.kind.value,
            user_id=change.user_id,
            begins=change.begins.isoformat(),
            ends=change.ends.isoformat(),
            instead_of_id=change.instead_of,
            created_by=by,
            created_at=now,
        )
    )
    return id_


def set_overrides(
    connection: Connection, schedule_id: str, wanted: Sequence[Override], by: str, now: datetime
) -> None:
    """Let a schedule have these overrides, in this order; those that are there already stay."""
    query = (
        select(overrides)
        .where(overrides.c.schedule_id == schedule_id, overrides.c.deleted_at.is_(None))
        .order_by(overrides.c.id)
    )
    known = [override_of(row) for row in connection.execute(query).mappings()]
    same = 0
    while same < min(len(known), len(wanted)) and _equal(known[same], wanted[same]):
        same += 1
    remove_overrides(connection, [one.id for one in known[same:]], now)
    for change in wanted[same:]:
        add_override(connection, schedule_id, change, by, now)


def _equal(one: Override, other: Override) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("kind", "user_id", "begins", "ends", "instead_of")
    )


def remove_overrides(connection: Connection, ids: Sequence[str], now: datetime) -> None:
    """Take overrides back."""
    if ids:
        connection.execute(update(overrides).where(overrides.c.id.in_(ids)).values(deleted_at=now))


def forget_person(connection: Connection, user_id: str, now: datetime) -> None:
    """Take back every override that somebody who leaves comes or goes by."""
    columns = overrides.c
    theirs = or_(columns.user_id == user_id, columns.instead_of_id == user_id)
    connection.execute(
        update(overrides).where(theirs, columns.deleted_at.is_(None)).values(deleted_at=now)
    )
