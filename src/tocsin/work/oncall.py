"""Who is on call, when, and when nobody is: questions to schedules, as the API answers them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from tocsin.core.plans import Layer, Plans, Schedule, Shift
from tocsin.core.schedule import Next, gaps, instant, layer_shifts, shifts, standing
from tocsin.core.times import bounded
from tocsin.store.views import PersonView
from tocsin.work.collection import check
from tocsin.work.configfile import NOWHERE, BadFile, dangling
from tocsin.work.currentfile import current_file
from tocsin.work.manage import service_named
from tocsin.work.refusals import Invalid
from tocsin.work.respond import NotFound
from tocsin.work.schedulefile import ScheduleTable, layers_of, overrides_of

#: The longest window that shifts are worked out for.
LONGEST_WINDOW = timedelta(days=2 * 366)

#: How much of the future is shown where nobody says how much.
USUAL_WINDOW = timedelta(days=28)


class NextView(msgspec.Struct, frozen=True, kw_only=True):
    """Who comes next, and when."""

    user: PersonView
    from_: datetime = msgspec.field(name="from")


class OnCallView(msgspec.Struct, frozen=True, kw_only=True):
    """One person on call in one schedule.

    ``from`` and ``to`` are null where the person has been, or will be, on call for more than 400
    days without a break; ``then`` where nobody follows within as long.
    """

    schedule: str
    user: PersonView
    from_: datetime | None = msgspec.field(name="from")
    to: datetime | None
    then: NextView | None


class ShiftView(msgspec.Struct, frozen=True, kw_only=True):
    """A period in which a person is on call; ``layer`` is null for one that an override brings."""

    user: PersonView
    from_: datetime = msgspec.field(name="from")
    to: datetime
    layer: str | None
    override: bool


class GapView(msgspec.Struct, frozen=True, kw_only=True):
    """A period in which nobody is on call."""

    from_: datetime = msgspec.field(name="from")
    to: datetime


class EmptyTurnView(msgspec.Struct, frozen=True, kw_only=True):
    """A turn of a layer that has nobody in it; others may cover it."""

    layer: str
    from_: datetime = msgspec.field(name="from")
    to: datetime


class ShiftsView(msgspec.Struct, frozen=True, kw_only=True):
    """The finished schedule in a window."""

    items: tuple[ShiftView, ...]
    gaps: tuple[GapView, ...]


class CoverageView(msgspec.Struct, frozen=True, kw_only=True):
    """What lies ahead that nobody covers."""

    gaps: tuple[GapView, ...]
    empty_turns: tuple[EmptyTurnView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whose time on call is asked for: names, addresses or ids; None: anybody's."""

    schedule: str | None = None
    service: str | None = None
    user: str | None = None


# -- questions ------------------------------------------------------------------------------------


def schedule_named(plans: Plans, reference: str) -> Schedule:
    """Return the schedule of an id or name. Raises NotFound."""
    found = plans.schedules.get(reference) or next(
        (one for one in plans.schedules.values() if one.name == reference), None
    )
    if found is None:
        raise NotFound(f"there is no schedule {reference}")
    return found


def user_id_of(plans: Plans, reference: str) -> str:
    """Return the id of a person named by e-mail address or id. Raises NotFound."""
    if reference in plans.users:
        return reference
    for user in plans.users.values():
        if user.email == reference:
            return user.id
    raise NotFound(f"there is no user {reference}")


def who_is_on_call(plans: Plans, asked: Asked, at: datetime) -> list[OnCallView]:
    """Return who is on call at an instant, schedule by schedule. Raises NotFound."""
    user_id = None if asked.user is None else user_id_of(plans, asked.user)
    return [
        OnCallView(
            schedule=schedule.name,
            user=person(plans, one.user_id),
            from_=one.begins_at,
            to=one.ends_at,
            then=_next(plans, one.then) if one.then else None,
        )
        for schedule in asked_schedules(plans, asked)
        for one in standing(schedule, at)
        if user_id in (None, one.user_id)
    ]


def _next(plans: Plans, one: Next) -> NextView:
    return NextView(user=person(plans, one.user_id), from_=one.begins_at)


def asked_schedules(plans: Plans, asked: Asked) -> list[Schedule]:
    """Return the schedules a question is about, by name. Raises NotFound."""
    found = sorted(plans.schedules.values(), key=lambda one: one.name)
    if asked.schedule is not None:
        found = [schedule_named(plans, asked.schedule)]
    if asked.service is None:
        return found
    service = service_named(plans, asked.service)
    if service is None:
        raise NotFound(f"there is no service {asked.service}")
    policy = plans.policies.get(service.escalation_policy_id or "")
    targets = [target for step in (policy.steps if policy else ()) for target in step.targets]
    ids = {id_ for target in targets if target.kind == "schedule" for id_ in target.ids}
    return [schedule for schedule in found if schedule.id in ids]


def shifts_of(
    plans: Plans, schedule: Schedule, begins_at: datetime, ends_at: datetime
) -> ShiftsView:
    """Return the finished schedule in a window. Raises Invalid."""
    if ends_at <= begins_at:
        raise Invalid(f"the window ends before it begins: give a `to` after {_text(begins_at)}")
    if ends_at - begins_at > LONGEST_WINDOW:
        raise Invalid("the window is longer than two years: ask for it in parts")
    return ShiftsView(
        items=tuple(
            ShiftView(
                user=person(plans, shift.user_id),
                from_=shift.begins_at,
                to=shift.ends_at,
                layer=shift.layer,
                override=shift.is_override,
            )
            for shift in shifts(schedule, begins_at, ends_at)
        ),
        gaps=_gaps(schedule, begins_at, ends_at),
    )


def coverage(schedule: Schedule, begins_at: datetime, ends_at: datetime) -> CoverageView:
    """Return what nobody covers in a window."""
    zone = ZoneInfo(schedule.time_zone)
    return CoverageView(
        gaps=_gaps(schedule, begins_at, ends_at),
        empty_turns=tuple(
            EmptyTurnView(layer=layer.name, from_=shift.begins_at, to=shift.ends_at)
            for layer in schedule.layers
            for shift in _empty_turns(layer, zone, begins_at, ends_at)
        ),
    )


def _empty_turns(
    layer: Layer, zone: ZoneInfo, begins_at: datetime, ends_at: datetime
) -> list[Shift]:
    """Return when it is the turn of nobody: the shifts of the layer's negative."""
    if all(layer.participants):
        return []
    negative = tuple(() if turn else ("nobody",) for turn in layer.participants)
    return layer_shifts(replace(layer, participants=negative), zone, begins_at, ends_at)


def _gaps(schedule: Schedule, begins_at: datetime, ends_at: datetime) -> tuple[GapView, ...]:
    return tuple(
        GapView(from_=gap.begins_at, to=gap.ends_at) for gap in gaps(schedule, begins_at, ends_at)
    )


def person(plans: Plans, user_id: str) -> PersonView:
    """Show a person."""
    user = plans.users[user_id]
    return PersonView(email=user.email, name=user.name)


# -- what is not saved ----------------------------------------------------------------------------


def draft(plans: Plans, row: ScheduleTable) -> Schedule:
    """Return the schedule that a table would make, by the rules of the file. Raises BadFile.

    One that leaves its overrides out, and has the name of one that is there, has that one's.
    """
    check(row)
    base = current_file(replace(plans, integrations={}), {})
    known = {schedule.name: schedule for schedule in base.schedules}
    if row.overrides is None and row.name in known:
        row.overrides = known[row.name].overrides
    base.schedules = [*(one for one in base.schedules if one.name != row.name), row]
    findings = list(dangling(base, NOWHERE))
    if findings:
        raise BadFile(findings)
    ids = {user.email: user.id for user in plans.users.values()}
    return Schedule(
        id="",
        name=row.name,
        time_zone=row.time_zone,
        layers=tuple(_with_calendars(layers_of(row, ids), plans.schedules.values())),
        overrides=tuple(overrides_of(row, ids)),
    )


def _with_calendars(layers: Sequence[Layer], known: Collection[Schedule]) -> Iterator[Layer]:
    """Give layers the shifts of calendars that were read already, for other layers."""
    read: Mapping[str, Layer] = {
        layer.calendar: layer for schedule in known for layer in schedule.layers if layer.calendar
    }
    for layer in layers:
        source = read.get(layer.calendar or "")
        if source is None:
            yield layer
        else:
            named = tuple(replace(shift, layer=layer.name) for shift in source.shifts)
            yield replace(layer, shifts=named)


# -- times ----------------------------------------------------------------------------------------


def moment(text: str, time_zone: str) -> datetime:
    """Read an instant, or a time on the clock of a zone, as an instant. Raises Invalid."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(
            f"{text!r} is not a time: write 2026-01-05T09:00 (local) or 2026-01-05T09:00:00Z"
        ) from None
    try:
        return bounded(instant(at, ZoneInfo(time_zone)))
    except ValueError as error:
        raise Invalid(str(error)) from None


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
