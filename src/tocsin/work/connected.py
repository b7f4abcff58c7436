"""Connections with Sentry as they stand, and how they are taken back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core.access import Caller
from tocsin.core.plans import Integration
from tocsin.sentry.client import NotThere, Place, Sentry, SentryError
from tocsin.sentry.shapes import App, Rule
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
    tells,
    was_made,
)
from tocsin.work.respond import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that ought to be so."""

    #: ``token``, ``app``, ``rule:PROJECT``, ``secret``, ``webhook``, ``look``.
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
    """What disconnecting would take away: of what is in Sentry, only what Tocsin made."""

    integration: Integration
    connection: SentryConnection
    rules: tuple[RuleMade, ...]
    app_slug: str | None
    missing: tuple[Missing, ...]
    #: All of it by hand, where scopes are missing.
    manual: tuple[str, ...]
    #: What stays in Sentry, and is for somebody to do by hand.
    left: tuple[str, ...]


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
        checks.append(_secret_check(found))
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
            for made in known.rules:
                try:
                    rules = await sentry.rules(made.project)
                except NotThere:
                    rules = None
                checks.append(_rule_check(made, rules, app, known))
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

        async def work(sentry: Sentry) -> tuple[frozenset[str] | None, bool]:
            root = await sentry.root()
            scopes = None if root.auth is None else frozenset(root.auth.scopes)
            if list(missing_scopes({"org:read": ""}, scopes)):
                return scopes, True
            if scopes is not None:
                organization = await sentry.organization()
                scopes = frozenset(organization.access) or scopes
            apps = await sentry.apps() if known.app_slug else ()
            # One that is gone is nobody's; taking it away is no fault.
            return scopes, all(was_made(one) for one in apps if one.uuid == known.app_id)

        scopes, takes_app = self._ask(place, work)
        rules = tuple(one for one in known.rules if one.was_made)
        found_there = tuple(one for one in known.rules if not one.was_made)
        slug = known.app_slug if takes_app else None
        return Undoing(
            integration=found,
            connection=known,
            rules=rules,
            app_slug=slug,
            missing=tuple(missing_scopes(_needed(slug, rules), scopes)),
            manual=(*_by_hand(known, rules, slug), *_found_by_hand(known, found_there, None)),
            left=tuple(_found_by_hand(known, found_there, None if takes_app else known.app_slug)),
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
            manual=(),
            left=(
                *_by_hand(known, [one for one in known.rules if one.was_made], known.app_slug),
                *_found_by_hand(known, [one for one in known.rules if not one.was_made], None),
            ),
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


def _rule_check(
    made: RuleMade, rules: Sequence[Rule] | None, app: App | None, known: SentryConnection
) -> Check:
    """Say whether the alert rule of a project tells; without ``rules`` there is no project."""
    found = next((one for one in rules or () if one.id == made.rule_id), None)
    slug = app.slug if app else known.app_slug
    if rules is None:
        wrong = f"the project {made.project} is gone, or the token does not see it"
    elif found is None:
        wrong = f"the alert rule of {made.project} is gone"
    elif found.status == "disabled":
        wrong = f"the alert rule of {made.project} is disabled: enable it in Sentry"
    elif not tells(found, slug, known.installation_id):
        wrong = (
            f"the alert rule of {made.project} no longer has the integration as its action: connect"
            " again"
        )
    else:
        wrong = ""
    text = wrong or f"the alert rule of {made.project} is there"
    return Check(key=f"rule:{made.project}", is_good=not wrong, text=text)


def _secret_check(integration: Integration) -> Check:
    """Say whether only what Sentry signs is taken."""
    is_kept = bool(integration.signing_secrets)
    text = (
        "the client secret is kept: only what Sentry signs is taken"
        if is_kept
        else "there is no client secret here, so what nobody signed is taken: connect again"
    )
    return Check(key="secret", is_good=is_kept, text=text)


def _needed(app_slug: str | None, rules: Sequence[RuleMade]) -> dict[str, str]:
    """Return the scopes that taking this away needs."""
    unneeded = {"org:admin": app_slug is None, "alerts:write": not rules}
    if all(unneeded.values()):
        return {}
    return {
        scope: why for scope, why in NEEDED_TO_DISCONNECT.items() if not unneeded.get(scope, False)
    }


def _by_hand(
    known: SentryConnection, rules: Sequence[RuleMade], app_slug: str | None
) -> Iterator[str]:
    """Yield how to take away what Tocsin made."""
    for one in rules:
        yield f"Delete the alert rule {one.rule_id} of {one.project} in Sentry."
    if app_slug:
        url = settings_url(known.host, known.organization)
        yield f"Open {url}, and delete the integration {app_slug}."


def _found_by_hand(
    known: SentryConnection, rules: Sequence[RuleMade], app_slug: str | None
) -> Iterator[str]:
    """Yield what to do about what Tocsin found in Sentry, and did not make."""
    for one in rules:
        yield (
            f"The alert rule {one.rule_id} of {one.project} in Sentry was not made by Tocsin: take"
            " its action out, or delete it."
        )
    if app_slug:
        url = settings_url(known.host, known.organization)
        yield (
            f"The integration {app_slug} in Sentry was not made by Tocsin, and goes on sending:"
            f" open {url}, and delete it or change its webhook URL."
        )
