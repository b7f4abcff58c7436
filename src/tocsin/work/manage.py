"""Change what people set up, one thing at a time (``configure`` does it from a file)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count

from sqlalchemy import Connection

from tocsin.core.access import Caller, least, scope_of
from tocsin.core.model import (
    COMMAND_LINE,
    TOCSIN,
    Actor,
    Role,
)
from tocsin.core.plans import (
    Integration,
    Plans,
    Service,
    User,
)
from tocsin.core.text import clean
from tocsin.store import inbox, people, setup
from tocsin.store.audit import Change
from tocsin.store.db import Database, new_id
from tocsin.store.deliveries import delivery
from tocsin.store.inbox import Arrival
from tocsin.store.people import ApiKey, KeyRow
from tocsin.store.plans import PlansCache, changed, load
from tocsin.store.tables import integrations
from tocsin.store.vault import Vault, new_key
from tocsin.work.refusals import Conflict, Forbidden, Invalid
from tocsin.work.respond import NotFound

#: As long as the column is.
_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Office:
    """Where single things are set up."""

    database: Database
    plans: PlansCache
    vault: Vault

    def make_key(
        self,
        name: str,
        role: Role,
        now: datetime,
        user_id: str | None = None,
        by: Actor = COMMAND_LINE,
    ) -> tuple[KeyRow, str]:
        """Make an API key, of a person or of nobody; it cannot be shown again. Raises Invalid."""
        if not name.strip() or clean(name, _NAME_LENGTH) != name:
            raise Invalid(f"a name has 1 to {_NAME_LENGTH} characters: say what the key is for")
        return self.database.run(
            lambda connection: people.create_api_key(connection, name, role, now, user_id, by)
        )

    def make_key_for(
        self, caller: Caller, name: str, role: Role, email: str | None, now: datetime
    ) -> tuple[KeyRow, str]:
        """Make a key as somebody who may; it can do no more than they, nor than its person.

        Raises Forbidden, NotFound, Invalid.
        """
        if least(role, caller.role) is not role:
            raise Forbidden(
                f"the role {caller.role} may not make a key with the role {role}: choose"
                f" {caller.role} or a role below it"
            )
        person = _person(self.plans.refresh(), email) if email else None
        if person is not None and least(role, person.role) is not role:
            raise Invalid(
                f"{person.email} is {person.role}: a key of theirs cannot have the role {role}"
            )
        return self.make_key(name, role, now, person.id if person else None, caller.by)

    def api_keys(self, user_id: str | None = None) -> list[KeyRow]:
        """Return the API keys in use, the newest first: all of them, or a person's."""
        with self.database.read() as connection:
            return people.list_api_keys(connection, user_id)

    def revoke_key(
        self, reference: str, caller: Caller, now: datetime, user_id: str | None = None
    ) -> KeyRow:
        """Let the key of an id or a name open nothing any more; of a person's only, if given.

        Raises NotFound, Conflict, Forbidden.
        """

        def work(connection: Connection) -> KeyRow:
            known = people.list_api_keys(connection, user_id)
            found = [key for key in known if key.id == reference] or [
                key for key in known if key.name == reference
            ]
            if not found:
                raise NotFound(f"there is no API key {reference}")
            if len(found) > 1:
                ids = ", ".join(key.id for key in found)
                raise Conflict(f"{len(found)} keys are named {reference!r}: name one by id ({ids})")
            key = found[0]
            if least(key.role, caller.role) is not key.role and user_id is None:
                raise Forbidden(f"the role {caller.role} may not revoke a key with the role"
                                f" {key.role}: ask an owner")  # fmt: skip
            people.revoke_api_key(connection, key, now, caller.by)
            return key

        return self.database.run(work)

    def create_api_key(
        self, name: str, role: Role, now: datetime, user_id: str | None = None
    ) -> str:
        """Make an API key, and return only the key."""
        return self.make_key(name, role, now, user_id)[1]

    def create_key_of(self, email: str, name: str, role: Role | None, now: datetime) -> str:
        """Make an API key of a person; its role is theirs if none is given.

        Raises NotFound, Invalid.
        """
        person = _person(self.plans.refresh(), email)
        chosen = role or person.role
        if least(chosen, person.role) is not chosen:
            raise Invalid(
                f"{person.email} is {person.role}: a key of theirs cannot have the role {chosen};"
                " leave --role out, or make the key without a person"
            )
        return self.create_api_key(name, chosen, now, person.id)

    def who(self, key: str) -> ApiKey | None:
        """Return whom an API key stands for."""
        with self.database.read() as connection:
            return people.find_api_key(connection, key)

    def events_integration(self, service: str, key: ApiKey, now: datetime) -> Integration | None:
        """Return the integration that takes the events of a service, by its id or name.

        The first there is, made on first use; a disabled one only where all are. None where whoever
        has the key sees no such service.
        """
        plans = self.plans.refresh()
        named = service_named(scope_of(plans, key.role, key.user_id).seen(plans), service)
        if named is None:
            return None
        found = _taking_events(plans, named)
        if found is None:
            self.database.run(lambda connection: self._make_events(connection, named, now))
            found = _taking_events(self.plans.refresh(), named)
        return found

    def _make_events(self, connection: Connection, service: Service, now: datetime) -> None:
        setup.lock(connection)
        plans = load(connection, self.vault)
        if _taking_events(plans, service) is None:
            setup.add(
                connection,
                integrations,
                "int",
                {
                    "name": _free_name(plans, f"{service.name} events"),
                    "service_id": service.id,
                    "source": "events",
                    "dialect": "auto",
                    **setup.routing_key_values(self.vault, new_key("rk")),
                    "signing_secrets_encrypted": self.vault.seal_all([]),
                    "is_enabled": True,
                    "is_replay_strict": False,
                    "routes": [],
                    "overrides": {"action": {}, "severity": {}, "priority": {}},
                    "is_made_by_us": True,
                },
                now,
            )
            told = Change(kind="integration.added", subject=f"{service.name} events")
            changed(connection, now, TOCSIN, told)

    def replay(self, delivery_id: str, caller: Caller, now: datetime) -> str | None:
        """Feed a stored delivery in again; return the new one, None if there is no such."""

        def work(connection: Connection) -> str | None:
            plans = self.plans.current(connection)
            is_seen = delivery(connection, plans, caller.scope, delivery_id) is not None
            return _replay(connection, delivery_id, now) if is_seen else None

        return self.database.run(work)


def _person(plans: Plans, email: str) -> User:
    for user in plans.users.values():
        if user.email == email:
            return user
    raise NotFound(f"there is no user {email}")


def service_named(plans: Plans, reference: str) -> Service | None:
    """Return the living service of an id or name."""
    living = (service for service in plans.services.values() if not service.is_deleted)
    return next((one for one in living if reference in (one.id, one.name)), None)


def _taking_events(plans: Plans, service: Service) -> Integration | None:
    found = (
        integration
        for integration in plans.integrations.values()
        if integration.source == "events"
        and integration.service_id == service.id
        and not integration.is_deleted
    )
    return min(found, key=lambda one: (not one.is_enabled, one.id), default=None)


def _free_name(plans: Plans, name: str) -> str:
    taken = {one.name for one in plans.integrations.values() if not one.is_deleted}
    numbered = (f"{name} {number}" for number in count(2))
    return next(one for one in chain((name,), numbered) if one not in taken)


def _replay(connection: Connection, delivery_id: str, now: datetime) -> str | None:
    stored = inbox.stored(connection, delivery_id)
    if stored is None:
        return None
    copy: Arrival = inbox.copy_of(stored, new_id("del", now), now)
    return inbox.put(connection, [copy])[0]
