"""Connections with Sentry as they stand, and how they are taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core.access import Caller
from tocsin.core.plans import Integration
from tocsin.sentry.client import Place, Sentry, SentryError
from tocsin.sentry.shapes import App
from tocsin.store import sentry as connections
from tocsin.store import setup
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache, changed
from tocsin.store.sentry import RuleMade, SentryConnection
from tocsin.store.vault import Vault
from tocsin.work.configure import intake_urls
from tocsin.work.connect import Ask, arrived
from tocsin.work.connectplan import (
    NEEDED_TO_DISCONNECT,
    Missing,
    missing_scopes,
    settings_url,
)
from tocsin.work.respond import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that ought to be so."""

    #: ``token``, ``app``, ``rule:PROJECT``, ``webhook``, ``look``.
    key: str
    is_good: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one connection stands."""

    integration: Integration
    connection: SentryConnection
    checks: tuple[Check, ...]

    @property
    def is_good(self) -> bool:
        """Whether all is well."""
        return all(one.is_good for one in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """What disconnecting would take away."""

    integration: Integration
    connection: SentryConnection
    rules: tuple[RuleMade, ...]
    app_slug: str | None
    missing: tuple[Missing, ...]
    manual: tuple[str, ...]


class Connections:
    """The connections there are."""

    def __init__(
        self, database: Database, plans: PlansCache, vault: Vault, public_url: str, ask: Ask
    ) -> None:
        """Take what it needs; ``ask`` is how Sentry is asked from here."""
        self._database = database
        self._plans = plans
        self._vault = vault
        self._public_url = public_url
        self._ask = ask

    def standing(self, integration: str, caller: Caller) -> Standing:
        """Return how a connection stands, by asking Sentry. Raises NotFound."""
        found, known = self._connected(integration, caller)
        with self._database.read() as connection:
            key = setup.routing_keys(connection, self._vault)[found.id]
            plans = self._plans.current(connection)
            last = arrived(connection, plans, found.id, known.created_at)
        checks = self._asked(intake_urls(self._public_url, key), known)
        heard = "a webhook came since it was connected" if last else "no webhook came yet"
        checks.append(Check(key="webhook", is_good=last is not None, text=heard))
        if known.error is not None:
            checks.append(Check(key="look", is_good=False, text=known.error))
        return Standing(integration=found, connection=known, checks=tuple(checks))

    def _asked(self, urls: Sequence[str], known: SentryConnection) -> list[Check]:
        """Return what Sentry says of it: all, or why it says nothing."""
        where = f"{known.organization} at {known.host}"

        async def work(sentry: Sentry) -> list[Check]:
            await sentry.organization()
            checks = [Check(key="token", is_good=True, text=f"{where} takes the token")]
            apps = await sentry.apps()
            app = next((one for one in apps if one.uuid == known.app_id), None)
            checks.append(_app_check(app, urls))
            for rule in known.rules:
                there = {one.id for one in await sentry.rules(rule.project)}
                is_there = rule.rule_id in there
                text = f"the alert rule of {rule.project} is {'there' if is_there else 'gone'}"
                checks.append(Check(key=f"rule:{rule.project}", is_good=is_there, text=text))
            return checks

        try:
            return self._ask(_place_of(known, None), work)
        except SentryError as error:
            return [Check(key="token", is_good=False, text=str(error))]

    def standings(self, caller: Caller) -> list[tuple[Integration, SentryConnection]]:
        """Return every connection that a caller sees, with its integration."""
        with self._database.read() as connection:
            plans = caller.scope.seen(self._plans.current(connection))
            found = connections.connections(connection, self._vault)
        return [
            (plans.integrations[one.integration_id], one)
            for one in found
            if one.integration_id in plans.integrations
        ]

    def connection_of(self, integration: str, caller: Caller) -> SentryConnection | None:
        """Return the connection of an integration, by the integration's id."""
        found = self.standings(caller)
        return next((one for here, one in found if here.id == integration), None)

    # -- and back

    def undoing(self, integration: str, token: str | None, caller: Caller) -> Undoing:
        """Return what disconnecting takes away. Raises NotFound, sentry.SentryError."""
        found, known = self._connected(integration, caller)
        place = Place(host=known.host, organization=known.organization, token=token or known.token)

        async def work(sentry: Sentry) -> frozenset[str] | None:
            root = await sentry.root()
            scopes = None if root.auth is None else frozenset(root.auth.scopes)
            if scopes is not None and not list(missing_scopes({"org:read": ""}, scopes)):
                organization = await sentry.organization()
                scopes = frozenset(organization.access) or scopes
            return scopes

        needed = {**NEEDED_TO_DISCONNECT} if known.app_slug or known.rules else {}
        scopes = self._ask(place, work)
        return Undoing(
            integration=found,
            connection=known,
            rules=known.rules,
            app_slug=known.app_slug,
            missing=tuple(missing_scopes(needed, scopes)),
            manual=tuple(_undone_by_hand(known)),
        )

    def only_here(self, integration: str, caller: Caller) -> Undoing:
        """Return what disconnecting takes away where Sentry is asked for nothing."""
        found, known = self._connected(integration, caller)
        return Undoing(
            integration=found,
            connection=known,
            rules=(),
            app_slug=None,
            missing=(),
            manual=tuple(_undone_by_hand(known)),
        )

    def take_rule(self, undoing: Undoing, rule: RuleMade, token: str | None) -> None:
        """Delete an alert rule; one that is gone is no fault. Raises sentry.SentryError."""
        place = _place_of(undoing.connection, token)
        self._ask(place, lambda one: one.delete_rule(rule.project, rule.rule_id))

    def take_app(self, undoing: Undoing, token: str | None) -> None:
        """Delete the integration in Sentry; one that is gone is no fault."""
        slug = undoing.app_slug
        if slug is not None:
            place = _place_of(undoing.connection, token)
            self._ask(place, lambda one: one.delete_app(slug))

    def forget(self, integration: str, caller: Caller, now: datetime) -> SentryConnection:
        """Forget the connection and its token; the integration and its secrets stay.

        Without its secret the integration would take what nobody signed.
        """
        found, known = self._connected(integration, caller)

        def work(connection: Connection) -> None:
            setup.lock(connection)
            connections.remove(connection, known.id, now)
            told = Change(
                kind="sentry_connection.removed",
                subject=found.name,
                detail=f"{known.organization} at {known.host}",
            )
            changed(connection, now, caller.by, told)

        self._database.run(work)
        return known

    def _connected(self, integration: str, caller: Caller) -> tuple[Integration, SentryConnection]:
        found = self.standings(caller)
        for here, known in found:
            if integration in (here.id, here.name):
                return here, known
        names = ", ".join(here.name for here, _ in found)
        said = f" (connected: {names})" if names else ""
        raise NotFound(f"there is no integration {integration} that is connected{said}")


def _place_of(known: SentryConnection, token: str | None) -> Place:
    return Place(host=known.host, organization=known.organization, token=token or known.token)


def _app_check(app: App | None, urls: Sequence[str]) -> Check:
    """Say whether the integration in Sentry is as it has to be."""
    wrong = ""
    if app is None:
        wrong = "the integration in Sentry is gone"
    elif app.webhook_url not in urls:
        wrong = f"the integration {app.name} in Sentry tells another address"
    elif not {one.partition(".")[0] for one in app.events} >= {"issue"}:
        wrong = f"the integration {app.name} in Sentry does not tell of issues"
    text = wrong or f"the integration {app.name if app else ''} in Sentry is there"
    return Check(key="app", is_good=not wrong, text=text)


def _undone_by_hand(known: SentryConnection) -> list[str]:
    steps = [
        f"Delete the alert rule {one.rule_id} of {one.project} in Sentry." for one in known.rules
    ]
    if known.app_slug:
        url = settings_url(known.host, known.organization)
        steps.append(f"Open {url}, and delete the integration {known.app_slug}.")
    return steps
