"""What is planned for a time and is no part of the file: maintenance windows and absences."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from tocsin.core.access import Action, Caller, concerns
from tocsin.core.plans import AwayKind, Plans
from tocsin.core.times import parse_instant
from tocsin.store import audit, rows, setup
from tocsin.store.db import Database
from tocsin.store.lists import Page
from tocsin.store.plans import PlansCache, changed, route_of
from tocsin.store.tables import absences, maintenance_windows
from tocsin.work.collection import Shown, check, document, merged
from tocsin.work.configfile import ROUTE_FIELDS, Words, checked_route
from tocsin.work.configure import details
from tocsin.work.currentfile import route_table
from tocsin.work.manage import service_named
from tocsin.work.oncall import user_id_of
from tocsin.work.refusals import Forbidden, Invalid
from tocsin.work.respond import NotFound
from tocsin.work.schedulefile import Table, one_of

T = TypeVar("T")


class MatchTable(Table, kw_only=True):
    """Which incidents a maintenance window concerns."""

    #: Names; none: all.
    services: list[str] = []
    #: A route's match fields: what an incident must be like, besides.
    match: dict[str, Words] | None = None

    def __post_init__(self) -> None:
        """Check the match fields; write them as lists."""
        if self.match is not None:
            for field in self.match:
                if not field.startswith("tag."):
                    one_of("match field", field, (*ROUTE_FIELDS, "tag.NAME"))
            self.match = checked_route(self.match) or None


class WindowTable(MatchTable, kw_only=True):
    """A time in which incidents are recorded but page nobody."""

    #: Instants; absent: from now on.
    from_: str | None = msgspec.field(name="from", default=None)
    to: str
    reason: str = ""


class PreviewTable(MatchTable, kw_only=True):
    """A maintenance window that nobody makes; its times and reason do not matter."""

    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    reason: str = ""


class AbsenceTable(Table, kw_only=True):
    """A time in which a person is not to be paged, or only for what is urgent."""

    #: An address; absent: whoever asks.
    user: str | None = None
    kind: AwayKind = AwayKind.AWAY
    #: Instants; absent: from now on.
    from_: str | None = msgspec.field(name="from", default=None)
    to: str
    #: Who is paged instead, while the person is away.
    substitute: str | None = None


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """A maintenance window."""

    id: str
    services: list[str]
    match: dict[str, list[str]] | None
    from_: datetime = msgspec.field(name="from")
    to: datetime
    reason: str
    created_by: str


class AbsenceView(msgspec.Struct, frozen=True, kw_only=True):
    """An absence."""

    id: str
    user: str
    kind: AwayKind
    from_: datetime = msgspec.field(name="from")
    to: datetime
    substitute: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One kind of what is planned for a time."""

    noun: str
    table: sa.Table
    prefix: str
    #: From a row to the table that would make it, and back to columns; the latter raises Invalid.
    written: Callable[[RowMapping, Plans], Table]
    values: Callable[[Any, Plans, Caller], dict[str, Any]]
    #: Raises Forbidden; asked about the columns as they were, and as they shall be.
    allow: Callable[[Mapping[str, Any], Plans, Caller], None]
    #: What people know one by, for the audit log.
    named: Callable[[Any], str]
    #: Whether a row is there for somebody who sees no more of the plans than this.
    sees: Callable[[Mapping[str, Any], Plans], bool] = lambda _values, _seen: True
    #: Columns that are shown as they are, and those that only making one sets.
    shown: Sequence[str] = ()
    made: Callable[[Caller], dict[str, Any]] = lambda _caller: {}


# -- maintenance windows --------------------------------------------------------------------------


def _window(row: RowMapping, plans: Plans) -> WindowTable:
    services = (plans.services.get(id_) for id_ in row["service_ids"])
    return WindowTable(
        # One that is gone, too: without its name the window would be one of all services.
        services=[service.name for service in services if service],
        match=route_table(route_of(row["match"]), plans) if row["match"] else None,
        from_=_text(row["begins_at"]),
        to=_text(row["ends_at"]),
        reason=row["reason"],
    )


def match_values(row: MatchTable, plans: Plans) -> dict[str, Any]:
    """Return the columns that say which incidents a window concerns. Raises Invalid."""
    return {
        "service_ids": [_service_id(name, plans) for name in dict.fromkeys(row.services)],
        "match": _match(row.match) if row.match else None,
    }


def _service_id(name: str, plans: Plans) -> str:
    service = service_named(plans, name)
    if service is None:
        raise Invalid(f"there is no service {name!r}: name one, or none for all services")
    return service.id


def _match(fields: Mapping[str, Words]) -> dict[str, Any]:
    plain = {name: words for name, words in fields.items() if not name.startswith("tag.")}
    tags = {name[4:]: words for name, words in fields.items() if name.startswith("tag.")}
    return plain | {"tags": tags}


def _sees_all_of_it(values: Mapping[str, Any], plans: Plans, caller: Caller) -> None:
    """Raise Forbidden for a window of services that the caller does not see."""
    ids, scope = values["service_ids"], caller.scope
    if not ids and not scope.has_all(plans):
        raise Forbidden(
            "a maintenance window of all services is for those who see all of them: name services,"
            " or ask an admin"
        )
    if not all(scope.has(plans.services[id_]) for id_ in ids if id_ in plans.services):
        raise Forbidden(
            "this maintenance window is of services of other teams too: make one of your own"
            " services, or ask an admin"
        )


WINDOWS = Ledger(
    noun="maintenance window",
    table=maintenance_windows,
    prefix="mw",
    written=_window,
    values=lambda row, plans, caller: (
        match_values(row, caller.scope.seen(plans)) | {"reason": row.reason}
    ),
    allow=_sees_all_of_it,
    named=lambda row: row.reason or ", ".join(row.services),
    sees=lambda values, seen: concerns(values["service_ids"], seen.services),
    shown=("created_by",),
    made=lambda caller: {"created_by": caller.by.name[:320]},
)

# -- absences -------------------------------------------------------------------------------------


def _absence(row: RowMapping, plans: Plans) -> AbsenceTable:
    substitute = plans.users.get(row["substitute_id"] or "")
    return AbsenceTable(
        user=plans.users[row["user_id"]].email,
        kind=AwayKind(row["kind"]),
        from_=_text(row["begins_at"]),
        to=_text(row["ends_at"]),
        substitute=substitute.email if substitute else None,
    )


def _absence_values(row: AbsenceTable, plans: Plans, caller: Caller) -> dict[str, Any]:
    user_id = _user_id(row.user, plans) or caller.by.user_id
    substitute_id = _user_id(row.substitute, plans)
    if user_id is None:
        raise Invalid("this key belongs to no person: name one in `user`")
    if substitute_id is not None and row.kind is not AwayKind.AWAY:
        raise Invalid(f"a substitute is for kind away, not {row.kind}: leave it out")
    if substitute_id == user_id:
        raise Invalid("nobody substitutes for themselves: name somebody else, or nobody")
    return {"user_id": user_id, "kind": row.kind.value, "substitute_id": substitute_id}


def _user_id(name: str | None, plans: Plans) -> str | None:
    try:
        return None if name is None else user_id_of(plans, name)
    except NotFound as error:
        raise Invalid(str(error)) from None


def _own_or_configure(values: Mapping[str, Any], _plans: Plans, caller: Caller) -> None:
    if values["user_id"] != caller.by.user_id and not caller.may(Action.CONFIGURE):
        raise Forbidden(f"the role {caller.role} may only set absences of the person of the key")


ABSENCES = Ledger(
    noun="absence",
    table=absences,
    prefix="abs",
    written=_absence,
    values=_absence_values,
    allow=_own_or_configure,
    named=lambda row: row.user,
)

# -- both -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dated:
    """The things of one ledger; a ``Collection``."""

    ledger: Ledger
    database: Database
    plans: PlansCache

    def page(self, limit: int, cursor: str | None, caller: Caller) -> Page[Shown]:
        """List them, those that are over too, the newest first."""
        with self.database.read() as connection:
            seen = caller.scope.seen(self.plans.current(connection))
            found, more = rows.page_of(
                connection,
                self.ledger.table,
                limit,
                cursor,
                *self._of_people(seen),
                keeps=lambda row: self.ledger.sees(dict(row), seen),
            )
        return Page(tuple(self._shown(row, seen) for row in found), more)

    def one(self, reference: str, caller: Caller) -> Shown:
        """Show one."""
        with self.database.read() as connection:
            seen = caller.scope.seen(self.plans.current(connection))
            return self._shown(self._find(connection, reference, seen), seen)

    def create(self, row: Any, caller: Caller, now: datetime) -> Shown:
        """Make one."""

        def work(connection: Connection, plans: Plans) -> tuple[Shown, audit.Change]:
            values = self._values(copy.deepcopy(row), plans, caller, now)
            made = values | self.ledger.made(caller)
            id_ = setup.add(connection, self.ledger.table, self.ledger.prefix, made, now)
            made_row = self._find(connection, id_, plans)
            return self._shown(made_row, plans), self._told("added", None, made_row, plans)

        return self._change(work, caller, now)

    def replace(self, reference: str, row: Any, caller: Caller, now: datetime) -> Shown:
        """Let one be exactly so."""
        return self._update(reference, lambda _old: copy.deepcopy(row), caller, now)

    def merge(
        self, reference: str, fields: Mapping[str, Any], caller: Caller, now: datetime
    ) -> Shown:
        """Change these fields of one."""
        return self._update(reference, lambda old: merged(old, fields), caller, now)

    def remove(self, reference: str, caller: Caller, now: datetime) -> None:
        """Take one out of use; it ends now if it has begun."""

        def work(connection: Connection, plans: Plans) -> tuple[None, audit.Change]:
            row = self._find(connection, reference, caller.scope.seen(plans))
            self.ledger.allow(dict(row), plans, caller)
            if row["begins_at"] < now < row["ends_at"]:
                setup.change(connection, self.ledger.table, row["id"], {"ends_at": now})
            setup.remove(connection, self.ledger.table, row["id"], now)
            return None, self._told("removed", None, row, plans)

        self._change(work, caller, now)

    def _update(
        self, reference: str, decide: Callable[[Table], Table], caller: Caller, now: datetime
    ) -> Shown:
        def work(connection: Connection, plans: Plans) -> tuple[Shown, audit.Change]:
            old = self._find(connection, reference, caller.scope.seen(plans))
            self.ledger.allow(dict(old), plans, caller)
            row = decide(self.ledger.written(old, plans))
            values = self._values(row, plans, caller, now)
            setup.change(connection, self.ledger.table, old["id"], values)
            new = self._find(connection, old["id"], plans)
            return self._shown(new, plans), self._told("changed", old, new, plans)

        return self._change(work, caller, now)

    def _change(
        self,
        work: Callable[[Connection, Plans], tuple[T, audit.Change]],
        caller: Caller,
        now: datetime,
    ) -> T:
        def locked(connection: Connection) -> T:
            setup.lock(connection)
            done, told = work(connection, self.plans.current(connection))
            changed(connection, now, caller.by, told)
            return done

        return self.database.run(locked)

    def _told(
        self, verb: str, old: RowMapping | None, new: RowMapping, plans: Plans
    ) -> audit.Change:
        """Write a change for the audit log: what differs, or all of it where nothing was."""
        row = self.ledger.written(new, plans)
        if old is None:
            fields = [f"{name}: {value}" for name, value in document(row).items() if value]
        else:
            fields = list(details(self.ledger.written(old, plans), row))
        return audit.Change(
            kind=f"{self.ledger.noun.replace(' ', '_')}.{verb}",
            subject=self.ledger.named(row) or new["id"],
            detail="; ".join(fields),
        )

    def _values(self, row: Any, plans: Plans, caller: Caller, now: datetime) -> dict[str, Any]:
        check(row)
        values = self.ledger.values(row, plans, caller) | _times(row, now)
        self.ledger.allow(values, plans, caller)
        if values["ends_at"] <= now:
            raise Invalid(f"it is over already: a {self.ledger.noun} ends in the future")
        return values

    def _find(self, connection: Connection, id_: str, seen: Plans) -> RowMapping:
        row = rows.living(connection, self.ledger.table, id_, *self._of_people(seen))
        if row is None or not self.ledger.sees(dict(row), seen):
            raise NotFound(f"there is no {self.ledger.noun} {id_}")
        return row

    def _of_people(self, plans: Plans) -> list[sa.ColumnElement[bool]]:
        """Leave out what belongs to people who left."""
        columns = self.ledger.table.c
        return [columns.user_id.in_(plans.users)] if "user_id" in columns else []

    def _shown(self, row: RowMapping, plans: Plans) -> Shown:
        extra = {name: row[name] for name in self.ledger.shown}
        return {"id": row["id"], **document(self.ledger.written(row, plans)), **extra}


def _times(row: Any, now: datetime) -> dict[str, datetime]:
    try:
        begins_at = now if row.from_ is None else parse_instant(row.from_)
        ends_at = parse_instant(row.to)
    except ValueError as error:
        raise Invalid(str(error)) from None
    if ends_at <= begins_at:
        raise Invalid(f"it ends before it begins: {row.to} is not after {_text(begins_at)}")
    return {"begins_at": begins_at, "ends_at": ends_at}


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
