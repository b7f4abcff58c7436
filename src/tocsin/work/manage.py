"""Change what people set up, one thing at a time (``configure`` does it from a file)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core.access import Action, may
from tocsin.core.model import (
    Role,
)
from tocsin.core.plans import (
    Integration,
    Plans,
    Service,
)
from tocsin.store import inbox, people, setup
from tocsin.store.db import Database, new_id
from tocsin.store.inbox import Arrival
from tocsin.store.people import ApiKey
from tocsin.store.plans import PlansCache, changed, load
from tocsin.store.tables import integrations
from tocsin.store.vault import Vault, new_key


@dataclass(frozen=True, slots=True)
class Office:
    """Where single things are set up."""

    database: Database
    plans: PlansCache
    vault: Vault

    def create_api_key(
        self, name: str, role: Role, now: datetime, user_id: str | None = None
    ) -> str:
        """Make an API key, of a person or of nobody; it cannot be shown again."""
        return self.database.run(
            lambda connection: people.create_api_key(connection, name, role, now, user_id)
        )

    def who(self, key: str) -> ApiKey | None:
        """Return whom an API key stands for."""
        with self.database.read() as connection:
            return people.find_api_key(connection, key)

    def events_integration(
        self, key: str, service: str, now: datetime
    ) -> tuple[bool | None, Integration | None]:
        """Return whether an API key may send events, and the integration that takes them.

        The first of the service's that takes events, made on first use. The key is None-known,
        the service None where there is none of that id or name.
        """
        caller = self.who(key)
        if caller is None:
            return None, None
        if not may(caller.role, Action.RESPOND):
            return False, None
        plans = self.plans.refresh()
        named = service_named(plans, service)
        if named is None:
            return True, None
        found = _taking_events(plans, named)
        if found is None:
            self.database.run(lambda connection: self._make_events(connection, named, now))
            found = _taking_events(self.plans.refresh(), named)
        return True, found

    def _make_events(self, connection: Connection, service: Service, now: datetime) -> None:
        setup.lock(connection)
        if _taking_events(load(connection, self.vault), service) is None:
            setup.add(
                connection,
                integrations,
                "int",
                {
                    "name": f"{service.name} events",
                    "service_id": service.id,
                    "source": "events",
                    "dialect": "auto",
                    **setup.routing_key_values(self.vault, new_key("rk")),
                    "signing_secrets_encrypted": self.vault.seal_all([]),
                    "is_enabled": True,
                    "is_replay_strict": False,
                    "routes": [],
                    "overrides": {"action": {}, "severity": {}, "priority": {}},
                },
                now,
            )
            changed(connection, now)

    def replay(self, delivery_id: str, now: datetime) -> str | None:
        """Feed a stored delivery in again; return the new one, None if there is no such."""
        return self.database.run(lambda connection: _replay(connection, delivery_id, now))


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
    return min(found, key=lambda one: one.id, default=None)


def _replay(connection: Connection, delivery_id: str, now: datetime) -> str | None:
    stored = inbox.stored(connection, delivery_id)
    if stored is None:
        return None
    copy: Arrival = inbox.copy_of(stored, new_id("del", now), now)
    return inbox.put(connection, [copy])[0]
