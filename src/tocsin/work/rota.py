"""Changes of finished schedules: overrides one by one, and shifts that people swap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, RowMapping

from tocsin.core.access import Action, Caller
from tocsin.core.plans import Override, OverrideKind, Plans, Schedule
from tocsin.core.schedule import shifts
from tocsin.store import rows, setup
from tocsin.store import swaps as offers
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.lists import MAX_LIMIT, Page
from tocsin.store.plans import PlansCache, changed
from tocsin.store.schedules import add_override, override_of, remove_overrides
from tocsin.store.tables import overrides, swaps
from tocsin.store.views import PersonView
from tocsin.work.collection import check
from tocsin.work.oncall import LONGEST_WINDOW, moment, person, schedule_named, user_id_of
from tocsin.work.refusals import Conflict, Forbidden, Invalid
from tocsin.work.respond import NotFound
from tocsin.work.schedulefile import OverrideTable

T = TypeVar("T")


class OverrideView(msgspec.Struct, frozen=True, kw_only=True):
    """An override; ``from`` and ``to`` as they were given: local times, or instants."""

    id: str
    user: str
    from_: str = msgspec.field(name="from")
    to: str
    kind: OverrideKind
    instead_of: str | None
    created_by: str


class SwapTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An offer: (part of) a shift of a person; theirs who asks, where none is named."""

    user: str | None = None
    from_: str = msgspec.field(name="from")
    to: str


class TakeTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who takes an offer; whoever asks, where nobody is named."""

    user: str | None = None


class SwapView(msgspec.Struct, frozen=True, kw_only=True):
    """An offer, and who took it."""

    id: str
    user: PersonView
    from_: datetime = msgspec.field(name="from")
    to: datetime
    taken_by: PersonView | None
    taken_at: datetime | None
    override_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer that can still be taken, with the schedule it is of."""

    schedule: Schedule
    user_id: str
    swap: SwapView


@dataclass(frozen=True, slots=True)
class Rota:
    """Where finished schedules are changed. Raises NotFound, and what is in ``refusals``."""

    database: Database
    plans: PlansCache

    # -- overrides

    def overrides(
        self, reference: str, limit: int, cursor: str | None, caller: Caller
    ) -> Page[OverrideView]:
        """List the overrides of a schedule, the newest first."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            schedule = _seen(plans, reference, caller)
            found, more = rows.page_of(
                connection, overrides, limit, cursor, overrides.c.schedule_id == schedule.id
            )
        return Page(tuple(_override_view(row, plans) for row in found), more)

    def add(
        self, reference: str, row: OverrideTable, caller: Caller, now: datetime
    ) -> OverrideView:
        """Lay an override over all that are there."""
        check(row)

        def work(connection: Connection, plans: Plans) -> OverrideView:
            schedule = _seen(plans, reference, caller)
            change = _override(row, schedule, plans)
            concerns_others = change.kind is OverrideKind.REMOVE or change.user_id != (
                caller.by.user_id or ""
            )
            if concerns_others and not caller.may(Action.CONFIGURE):
                raise Forbidden(
                    f"the role {caller.role} may only add overrides by which the person of the key"
                    " comes: offer a swap, or ask a manager"
                )
            id_ = add_override(connection, schedule.id, change, caller.by.name, now)
            view = _override_view(_living(connection, schedule, id_), plans)
            changed(connection, now, caller.by, _told_override("added", schedule, view))
            return view

        return self._change(work)

    def remove(self, reference: str, id_: str, caller: Caller, now: datetime) -> None:
        """Take an override back."""

        def work(connection: Connection, plans: Plans) -> None:
            schedule = _seen(plans, reference, caller)
            row = _living(connection, schedule, id_)
            is_own = row["user_id"] == caller.by.user_id and row["created_by"] == caller.by.name
            if not caller.may(Action.CONFIGURE) and (not is_own or offers.made(connection, id_)):
                raise Forbidden(
                    f"the role {caller.role} may only take back overrides that the person of the"
                    " key added: offer a swap, or ask a manager"
                )
            view = _override_view(row, plans)
            remove_overrides(connection, [id_], now)
            changed(connection, now, caller.by, _told_override("removed", schedule, view))

        self._change(work)

    # -- swaps

    def swaps(
        self, reference: str, limit: int, cursor: str | None, caller: Caller
    ) -> Page[SwapView]:
        """List the offers of a schedule that were not withdrawn, the newest first."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            schedule = _seen(plans, reference, caller)
            found, more = rows.page_of(
                connection,
                swaps,
                limit,
                cursor,
                swaps.c.schedule_id == schedule.id,
                swaps.c.user_id.in_(plans.users),
            )
        return Page(tuple(_swap_view(row, plans) for row in found), more)

    def open_offers(self, caller: Caller, now: datetime) -> list[Offer]:
        """List what can still be taken of every schedule seen, the nearest first; at most 200."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            schedules = caller.scope.seen(plans).schedules
            found = offers.open_offers(connection, list(schedules), now, MAX_LIMIT)
        return [
            Offer(
                schedule=schedules[row["schedule_id"]],
                user_id=row["user_id"],
                swap=_swap_view(row, plans),
            )
            for row in found
            if row["user_id"] in plans.users
        ]

    def offer(self, reference: str, row: SwapTable, caller: Caller, now: datetime) -> SwapView:
        """Offer (part of) a shift; nothing changes until somebody takes it."""

        def work(connection: Connection, plans: Plans) -> SwapView:
            schedule = _seen(plans, reference, caller)
            user_id = _whose(row.user, plans, caller)
            begins_at = moment(row.from_, schedule.time_zone)
            ends_at = moment(row.to, schedule.time_zone)
            _must_be_theirs(schedule, plans, user_id, begins_at, ends_at, now)
            id_ = offers.offer(connection, schedule.id, user_id, begins_at, ends_at, now)
            view = _found(connection, schedule, id_, plans)
            changed(connection, now, caller.by, _told_swap("added", schedule, view))
            return view

        return self._change(work)

    def take(
        self, reference: str, id_: str, row: TakeTable, caller: Caller, now: datetime
    ) -> SwapView:
        """Take an offer: an override puts the taker in the place of who offered it.

        Taken again by the same person it changes nothing; one that another took, or that was
        withdrawn, is a Conflict.
        """

        def work(connection: Connection, plans: Plans) -> SwapView:
            schedule = _seen(plans, reference, caller)
            offered = _found_row(connection, schedule, id_, plans)
            user_id = _whose(row.user, plans, caller)
            if user_id == offered["user_id"]:
                raise Invalid("nobody takes their own shift: withdraw the offer instead")
            if offered["taken_by_id"] is None and offered["ends_at"] <= now:
                raise Conflict("this shift is over: nobody can take it any more")
            if offered["taken_by_id"] is None and offered["deleted_at"] is None:
                _must_still_be_theirs(schedule, plans, offered, now)
            if offers.take(connection, id_, user_id, now):
                change = Override(
                    id="",
                    kind=OverrideKind.REPLACE,
                    user_id=user_id,
                    begins=offered["begins_at"],
                    ends=offered["ends_at"],
                    instead_of=offered["user_id"],
                )
                made = add_override(connection, schedule.id, change, caller.by.name, now)
                offers.set_override(connection, id_, made)
                view = _found(connection, schedule, id_, plans)
                changed(connection, now, caller.by, _told_swap("changed", schedule, view))
            else:
                _must_be_taken_by(user_id, _found_row(connection, schedule, id_, plans), plans)
            return _found(connection, schedule, id_, plans)

        return self._change(work)

    def withdraw(self, reference: str, id_: str, caller: Caller, now: datetime) -> None:
        """Take an offer back that nobody has taken; twice is as good as once."""

        def work(connection: Connection, plans: Plans) -> None:
            schedule = _seen(plans, reference, caller)
            offered = _found_row(connection, schedule, id_, plans)
            if offered["user_id"] != caller.by.user_id and not caller.may(Action.CONFIGURE):
                raise Forbidden(
                    f"the role {caller.role} may only withdraw offers of its own person"
                )
            if offers.withdraw(connection, id_, now):
                view = _found(connection, schedule, id_, plans)
                changed(connection, now, caller.by, _told_swap("removed", schedule, view))
            elif _found_row(connection, schedule, id_, plans)["taken_by_id"] is not None:
                raise Conflict("this offer is taken: offer the shift anew to swap it back")

        self._change(work)

    def _change(self, work: Callable[[Connection, Plans], T]) -> T:
        def locked(connection: Connection) -> T:
            setup.lock(connection)
            return work(connection, self.plans.current(connection))

        return self.database.run(locked)


def _seen(plans: Plans, reference: str, caller: Caller) -> Schedule:
    """Return a schedule that the caller sees. Raises NotFound."""
    return schedule_named(caller.scope.seen(plans), reference)


# -- overrides ------------------------------------------------------------------------------------


def _override(row: OverrideTable, schedule: Schedule, plans: Plans) -> Override:
    """Read an override. Raises Invalid."""
    try:
        change = Override(
            id="",
            kind=row.kind,
            user_id=user_id_of(plans, row.user),
            begins=datetime.fromisoformat(row.from_),
            ends=datetime.fromisoformat(row.to),
            instead_of=user_id_of(plans, row.instead_of) if row.instead_of else None,
        )
    except NotFound as error:
        raise Invalid(str(error)) from None
    _must_last(schedule, row.from_, row.to)
    if change.instead_of == change.user_id:
        raise Invalid(f"{row.user} cannot come instead of themselves: name two people")
    return change


def _must_last(schedule: Schedule, begins: str, ends: str) -> None:
    begins_at, ends_at = (moment(text, schedule.time_zone) for text in (begins, ends))
    if ends_at <= begins_at:
        raise Invalid(
            f"it ends before it begins: in {schedule.time_zone}, {ends} is not after {begins}"
        )


def _living(connection: Connection, schedule: Schedule, id_: str) -> RowMapping:
    of_schedule = overrides.c.schedule_id == schedule.id
    row = rows.living(connection, overrides, id_, of_schedule)
    if row is None:
        raise NotFound(f"there is no override {id_} of schedule {schedule.name}")
    return row


def _override_view(row: RowMapping, plans: Plans) -> OverrideView:
    change = override_of(row)
    table = OverrideTable(
        user=person(plans, change.user_id).email,
        from_=change.begins.isoformat(),
        to=change.ends.isoformat(),
    )
    return OverrideView(
        id=change.id,
        user=table.user,
        from_=table.from_,
        to=table.to,
        kind=change.kind,
        instead_of=person(plans, change.instead_of).email if change.instead_of else None,
        created_by=row["created_by"],
    )


def _told_override(verb: str, schedule: Schedule, view: OverrideView) -> Change:
    """Write a change of an override for the audit log."""
    instead = f" instead of {view.instead_of}" if view.instead_of else ""
    return Change(
        kind=f"override.{verb}",
        subject=schedule.name,
        detail=f"{view.kind}: {view.user}{instead}, from {view.from_} to {view.to}",
    )


# -- swaps ----------------------------------------------------------------------------------------


def _whose(named: str | None, plans: Plans, caller: Caller) -> str:
    """Return who offers or takes. Raises Invalid, Forbidden."""
    own = caller.by.user_id
    if named is None:
        if own is None:
            raise Invalid("this key belongs to no person: name one in `user`")
        return own
    try:
        user_id = user_id_of(plans, named)
    except NotFound as error:
        raise Invalid(str(error)) from None
    if user_id != own and not caller.may(Action.CONFIGURE):
        raise Forbidden(f"the role {caller.role} may only swap shifts of the person of the key")
    return user_id


def _must_be_theirs(
    schedule: Schedule,
    plans: Plans,
    user_id: str,
    begins_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> None:
    """Raise Invalid for what cannot be offered."""
    if ends_at <= begins_at:
        raise Invalid("the offer ends before it begins: exchange `from` and `to`")
    if ends_at <= now:
        raise Invalid("the offer is over already: offer a shift that lies ahead")
    if ends_at - begins_at > LONGEST_WINDOW:
        raise Invalid("the offer is longer than two years: offer it in parts")
    if not any(shift.user_id == user_id for shift in shifts(schedule, begins_at, ends_at)):
        email = plans.users[user_id].email
        raise Invalid(
            f"{email} is not on call in {schedule.name} in that time: see"
            f" /schedules/{schedule.name}/shifts for when"
        )


def _must_still_be_theirs(
    schedule: Schedule, plans: Plans, offered: RowMapping, now: datetime
) -> None:
    """Raise Conflict for an offer of which nothing is left to take."""
    begins_at, ends_at = max(offered["begins_at"], now), offered["ends_at"]
    theirs = (shift.user_id for shift in shifts(schedule, begins_at, ends_at))
    if offered["user_id"] not in theirs:
        email = plans.users[offered["user_id"]].email
        raise Conflict(f"{email} is no longer on call then: there is nothing left to take")


def _must_be_taken_by(user_id: str, offered: RowMapping, plans: Plans) -> None:
    """Raise Conflict unless the offer is this person's already."""
    if offered["deleted_at"] is not None:
        raise Conflict("this offer was withdrawn")
    if offered["taken_by_id"] != user_id:
        taker = plans.users.get(offered["taken_by_id"])
        raise Conflict(f"{taker.email if taker else 'somebody else'} has taken this shift already")


def _found_row(connection: Connection, schedule: Schedule, id_: str, plans: Plans) -> RowMapping:
    row = offers.swap(connection, schedule.id, id_)
    if row is None or row["user_id"] not in plans.users:
        raise NotFound(f"there is no swap {id_} of schedule {schedule.name}")
    return row


def _found(connection: Connection, schedule: Schedule, id_: str, plans: Plans) -> SwapView:
    return _swap_view(_found_row(connection, schedule, id_, plans), plans)


def _swap_view(row: RowMapping, plans: Plans) -> SwapView:
    taker = plans.users.get(row["taken_by_id"] or "")
    return SwapView(
        id=row["id"],
        user=person(plans, row["user_id"]),
        from_=row["begins_at"],
        to=row["ends_at"],
        taken_by=PersonView(email=taker.email, name=taker.name) if taker else None,
        taken_at=row["taken_at"],
        override_id=row["override_id"],
    )


def _told_swap(verb: str, schedule: Schedule, view: SwapView) -> Change:
    """Write a change of an offer for the audit log."""
    taker = f", taken by {view.taken_by.email}" if view.taken_by else ""
    return Change(
        kind=f"swap.{verb}",
        subject=schedule.name,
        detail=f"{view.user.email}, from {view.from_:%Y-%m-%dT%H:%MZ} to {view.to:%Y-%m-%dT%H:%MZ}"
        f"{taker}",
    )
