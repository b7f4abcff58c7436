"""Change the configuration one thing at a time, by the rules and messages of the file.

A change is the file as it stands with one row of it changed: the same checks, the same writer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from tocsin.core.access import Action, Caller
from tocsin.core.model import (
    Role,
)
from tocsin.core.plans import Plans
from tocsin.core.schedule import instant
from tocsin.store import accounts, setup
from tocsin.store.db import Database
from tocsin.store.lists import NAME, Page, decode_cursor, encode_cursor
from tocsin.store.plans import PlansCache, changed
from tocsin.store.vault import Vault
from tocsin.work.bounds import Bounds
from tocsin.work.collection import Shown, check, document, merged
from tocsin.work.configfile import (
    NOWHERE,
    BadFile,
    File,
    IntegrationTable,
    Path,
    PolicyTable,
    ServiceTable,
    TeamTable,
    UserTable,
    dangling,
    references,
)
from tocsin.work.configure import (
    SECTIONS,
    Change,
    Writer,
    audited,
    completed,
    differences,
    intake_urls,
    mask,
    secrets_of,
)
from tocsin.work.currentfile import ROWS, THINGS, current_file
from tocsin.work.refusals import Conflict, Forbidden
from tocsin.work.respond import NotFound
from tocsin.work.schedulefile import ScheduleTable, Table

#: Given a row as it is (None: there is none yet), what it shall be (None: gone).
Decide: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What things of one section of the file are."""

    section: str
    #: As in ``configure.SECTIONS``: what one is called, and the field that names it.
    noun: str
    key: str
    body: type[Table]


_BODIES: Mapping[str, type[Table]] = {
    "users": UserTable,
    "teams": TeamTable,
    "schedules": ScheduleTable,
    "escalation_policies": PolicyTable,
    "services": ServiceTable,
    "integrations": IntegrationTable,
}

KINDS = {section: Kind(section, noun, key, _BODIES[section]) for section, noun, key in SECTIONS}


@dataclass(frozen=True, slots=True)
class Section:
    """The things of one section; a ``Collection``."""

    kind: Kind
    database: Database
    plans: PlansCache
    vault: Vault
    #: Base of the addresses that a new integration is told.
    public_url: str

    def page(self, limit: int, cursor: str | None, caller: Caller) -> Page[Shown]:
        """List them by name; secrets are references."""
        after = decode_cursor(cursor, NAME) if cursor else None
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            keys = self._keys(connection)
        things = [
            thing
            for thing in THINGS[self.kind.section](caller.scope.seen(plans))
            if after is None or self._name(thing) > after
        ]
        shown = [self._shown(thing, plans, keys) for thing in things[:limit]]
        more = len(things) > limit
        return Page(tuple(shown), encode_cursor(shown[-1][self.kind.key]) if more else None)

    def one(self, reference: str, caller: Caller) -> Shown:
        """Show one, its secrets as references."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            keys = self._keys(connection)
        return self._shown(self._find(caller.scope.seen(plans), reference), plans, keys)

    def create(self, row: Any, caller: Caller, now: datetime) -> Shown:
        """Make one; secrets that are made for it are shown, this once."""
        shown = self._change(None, lambda _old: copy.deepcopy(row), caller, now)
        key = shown.get("routing_key")
        if row.__class__ is IntegrationTable and row.routing_key is None and key:
            shown["urls"] = intake_urls(self.public_url, key)
        return shown

    def replace(self, reference: str, row: Any, caller: Caller, now: datetime) -> Shown:
        """Let one be exactly so; under another name it is still the same."""
        return self._change(reference, lambda _old: copy.deepcopy(row), caller, now)

    def merge(
        self, reference: str, fields: Mapping[str, Any], caller: Caller, now: datetime
    ) -> Shown:
        """Change these fields of one."""
        return self._change(reference, lambda old: merged(old, fields), caller, now)

    def remove(self, reference: str, caller: Caller, now: datetime) -> None:
        """Take one out of use. Raises Conflict while anything names it."""
        self._change(reference, lambda _old: None, caller, now)

    def _change(
        self, reference: str | None, decide: Decide, caller: Caller, now: datetime
    ) -> Shown:
        """Change one row.

        1. Read the file as it stands, under the lock of everybody who changes it.
        2. Let the row be as decided, and everything call it by its new name.
        3. Check and complete the whole as ``apply`` does.
        4. Write what differs, and count the change.
        """

        def work(connection: Connection) -> Shown:
            setup.lock(connection)
            plans = self.plans.current(connection)
            base = current_file(plans, setup.routing_keys(connection, self.vault))
            writer = Writer(connection, plans, self.vault, now)
            thing = reference and self._find(caller.scope.seen(plans), reference)
            edit = _Edit(self.kind, base, thing, Bounds(caller, plans))
            changes = edit.to(decide, caller, now)
            if edit.was_renamed:
                writer.rename(self.kind.section, edit.old_name, edit.name)
                if self.kind.section == "users":
                    # Links that let in were sent to the old address.
                    accounts.end_links(connection, writer.id_of("users", edit.name), now)
            if changes:
                writer.write(edit.wanted, changes)
                changed(connection, now, caller.by, *(audited(one) for one in changes))
            if edit.row is None:
                return {}
            mask(edit.row, edit.made)
            return {"id": writer.id_of(self.kind.section, edit.name), **document(edit.row)}

        return self.database.run(work)

    def _keys(self, connection: Connection) -> Mapping[str, str]:
        has_keys = self.kind.section == "integrations"
        return setup.routing_keys(connection, self.vault) if has_keys else {}

    def _name(self, thing: Any) -> str:
        name: str = getattr(thing, self.kind.key)
        return name

    def _find(self, plans: Plans, reference: str) -> Any:
        things = THINGS[self.kind.section](plans)
        for name in (lambda one: one.id, self._name):
            for thing in things:
                if name(thing) == reference:
                    return thing
        raise NotFound(f"there is no {self.kind.noun} {reference}")

    def _shown(self, thing: Any, plans: Plans, keys: Mapping[str, str]) -> Shown:
        row = ROWS[self.kind.section](thing, plans, keys)
        mask(row)
        return {"id": thing.id, **document(row)}


class _Edit:
    """One row of a file, before and after."""

    def __init__(self, kind: Kind, base: File, thing: Any, bounds: Bounds) -> None:
        self._kind = kind
        self._base = base
        self._bounds = bounds
        self.old_name = getattr(thing, kind.key) if thing else ""
        rows = getattr(base, kind.section)
        self._at = next(
            (at for at, row in enumerate(rows) if self._named(row) == self.old_name), len(rows)
        )
        self._old = rows[self._at] if thing else None
        self.row: Any = None
        self.name = ""
        #: Secrets that were made for the row.
        self.made: set[str] = set()
        self.wanted = base

    def _named(self, row: Any) -> str:
        name: str = getattr(row, self._kind.key)
        return name

    @property
    def was_renamed(self) -> bool:
        """Whether it was there, and is now called otherwise."""
        return self._old is not None and self.row is not None and self.name != self.old_name

    def to(self, decide: Decide, caller: Caller, now: datetime) -> list[Change]:
        """Make the row as decided; return what that changes. Raises what ``Section`` does."""
        self.row = decide(self._old)
        if self.row is not None:
            check(self.row)
            self.name = self._named(self.row)
        _may_change(self._old, self.row, caller)
        self._bounds.check(self._kind.section, self._old, self.row, self._base)
        if self.row is None:
            self._forget_what_is_over(now)
            self._must_be_unused()
        elif self.name != self.old_name:
            self._must_be_free()
        known = {secret for section in _SECRET for row in getattr(self._base, section)
                 for secret in secrets_of(row)}  # fmt: skip
        known |= set(secrets_of(self.row))
        if self.was_renamed:
            self._rename()
        self.wanted = self._changed()
        findings = list(dangling(self.wanted, NOWHERE))
        if findings:
            raise BadFile(findings)
        keys = {row.name: row.routing_key or "" for row in self._base.integrations}
        completed(self.wanted, self._base, keys, NOWHERE)
        _must_have_owner(self._base, self.wanted)
        self.made = set(secrets_of(self.row)) - known
        changes = list(differences(self._base, self.wanted))
        return self._with_rename(changes) if self.was_renamed else changes

    def _with_rename(self, changes: list[Change]) -> list[Change]:
        """Tell of the new name besides what else changes of the row."""
        told = f"{self._kind.key}: {self.old_name} → {self.name}"
        own = Change(sign="~", kind=self._kind.noun, name=self.name)
        for change in changes:
            if (change.kind, change.name) == (own.kind, own.name):
                own = change
        others = [change for change in changes if change is not own]
        return [replace(own, details=(told, *own.details)), *others]

    def _changed(self) -> File:
        rows = list(getattr(self._base, self._kind.section))
        rows[self._at : self._at + 1] = [] if self.row is None else [self.row]
        wanted = copy.copy(self._base)
        setattr(wanted, self._kind.section, rows)
        return wanted

    def _must_be_free(self) -> None:
        if any(self._named(row) == self.name for row in getattr(self._base, self._kind.section)):
            raise Conflict(f"there is a {self._kind.noun} {self.name!r} already: take another name")

    def _forget_what_is_over(self, now: datetime) -> None:
        """Let overrides that are over hold nobody back from leaving."""
        if self._kind.section != "users":
            return
        for schedule in self._base.schedules:
            zone = ZoneInfo(schedule.time_zone)
            schedule.overrides = [
                change
                for change in schedule.overrides or ()
                if self.old_name not in change.people()
                or instant(datetime.fromisoformat(change.to), zone) > now
            ]

    def _must_be_unused(self) -> None:
        users = list(dict.fromkeys(self._users()))
        if users:
            raise Conflict(
                f"{self._kind.noun} {self.old_name!r} is still named by {', '.join(users[:10])}"
                f"{' and others' if len(users) > 10 else ''}: change that first"
            )

    def _users(self) -> Iterator[str]:
        """Yield what names the row."""
        nouns = {section: (noun, key) for section, noun, key in SECTIONS}
        for path, kind, name in references(self._base):
            if (kind, name) != (self._kind.noun, self.old_name):
                continue
            section, at = path[0], path[1]
            if section == "fallback":
                yield "the fallback (set with tocsin apply)"
            else:
                noun, key = nouns[str(section)]
                user = getattr(getattr(self._base, str(section))[at], key)
                where = " (an override)" if "overrides" in path else ""
                is_hidden = self._bounds.hides(noun, user)
                yield _HIDDEN if is_hidden else f"{noun} {user!r}{where}"

    def _rename(self) -> None:
        """Let everything in the file as it stands call the thing by its new name."""
        for path, kind, name in list(references(self._base)):
            if (kind, name) == (self._kind.noun, self.old_name):
                _put(self._base, path, self.name)
        setattr(self._old, self._kind.key, self.name)


#: What somebody is told of things they do not see.
_HIDDEN = "things of another team (ask an admin)"

#: Sections whose rows hold secrets.
_SECRET = ("users", "integrations")


def _put(value: Any, path: Path, new: str) -> None:
    """Write a name where a path leads."""
    *way, last = path
    for part in way:
        value = getattr(value, part) if isinstance(part, str) and isinstance(value, Table) else (
            value[part]
        )  # fmt: skip
    if isinstance(value, Table):
        setattr(value, str(last), new)
    else:
        value[last] = new


def _may_change(old: Any, new: Any, caller: Caller) -> None:
    """Raise Forbidden where an owner is made or changed by somebody who is none."""
    roles = {row.role for row in (old, new) if isinstance(row, UserTable)}
    if Role.OWNER in roles and not caller.may(Action.OWN):
        raise Forbidden(f"the role {caller.role} may not make or change an owner: ask an owner")


def _must_have_owner(before: File, after: File) -> None:
    """Raise Conflict where the last owner would go."""
    owners = [user.email for user in before.users if user.role is Role.OWNER]
    if owners and not any(user.role is Role.OWNER for user in after.users):
        raise Conflict(f"{owners[0]} is the last owner: make somebody else an owner first")
