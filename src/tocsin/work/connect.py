"""Connect an integration with an organisation of Sentry.

A run is a loop: look what is there, decide what is left (``connectplan``), do the first of it, keep
what came of it. Calls are made at the edge, by ``Ask``; between two calls there is at most one
short transaction. A run that dies anywhere is finished by the next: what it made is found again, by
the uuid that was noted, else by the webhook URL, which is this integration's alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from tocsin.core.access import EVERYTHING, Caller
from tocsin.core.plans import Integration, Plans
from tocsin.core.times import whole_seconds
from tocsin.sentry.client import (
    NotPermitted,
    NotThere,
    Place,
    Refused,
    Sentry,
)
from tocsin.sentry.components import component_schema
from tocsin.sentry.shapes import Rule, RuleForm
from tocsin.store import sentry as connections
from tocsin.store import setup
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.deliveries import LogFilter, log_page
from tocsin.store.plans import PlansCache, changed
from tocsin.store.sentry import Noted, Opening, RuleMade
from tocsin.store.vault import Vault
from tocsin.store.views import DeliveryView
from tocsin.work.configfile import IntegrationTable
from tocsin.work.configure import intake_urls
from tocsin.work.connectplan import (
    APP_SCOPES,
    NEEDED,
    Here,
    Plan,
    SchemaOf,
    Step,
    There,
    Wish,
    app_form,
    differences,
    found_app,
    found_rule,
    holds_secret,
    installation_of,
    is_ours,
    missing_scopes,
    plan_of,
    rule_form,
    sentry_url,
    settings_url,
    wanted_projects,
    with_app,
)
from tocsin.work.currentfile import living
from tocsin.work.refusals import Conflict, Invalid
from tocsin.work.things import within

T = TypeVar("T")

#: So many of the latest deliveries are looked at.
_LATEST = 20

#: What Sentry says where it asked the integration, which is us, and got no answer.
_ASKED_US = "went wrong"

#: What a delivery is read as, that no webhook brought.
_NOT_BROUGHT = frozenset({"reconcile"})


class Ask(Protocol):
    """Asks Sentry something, at the edge, and waits for what comes of it."""

    def __call__(self, place: Place, work: Callable[[Sentry], Awaitable[T]]) -> T:
        """Do ``work`` with a client for a place. Raises sentry.SentryError."""


class Connector:
    """Connects and disconnects."""

    def __init__(
        self,
        database: Database,
        plans: PlansCache,
        vault: Vault,
        public_url: str,
        ask: Ask,
        schema_of: SchemaOf = component_schema,
    ) -> None:
        """Take what it needs; ``ask`` is how Sentry is asked from here."""
        self._database = database
        self._plans = plans
        self._vault = vault
        self._public_url = public_url
        self._ask = ask
        self._schema_of = schema_of

    # -- what there is

    def here(self, wish: Wish, caller: Caller) -> Here:
        """Return what there is in Tocsin. Raises NotFound, Invalid."""
        with self._database.read() as connection:
            plans = caller.scope.seen(self._plans.current(connection))
            found = _integration(plans, wish.integration)
            if found is not None and found.source != "sentry":
                raise Invalid(
                    f"{found.name} takes {found.source}, not what Sentry sends: name an integration"
                    " with source sentry, or another name for a new one"
                )
            urls: tuple[str, ...] = ()
            known, noted = None, Noted()
            if found is not None:
                noted = connections.noted(connection, found.id, wish.host, wish.organization)
                key = setup.routing_keys(connection, self._vault)[found.id]
                urls = tuple(intake_urls(self._public_url, key))
                known = connections.of_integration(connection, self._vault, found.id)
            beside = tuple(
                plans.integrations[one.integration_id].name
                for one in connections.connections(connection, self._vault)
                if (one.host, one.organization) == (wish.host, wish.organization)
                and one.integration_id in plans.integrations
                and (found is None or one.integration_id != found.id)
            )
            has_heard = known is not None and bool(
                arrived(connection, plans, known.integration_id, known.created_at)
            )
        return Here(
            integration=found,
            service=_service(plans, wish, found),
            webhook_url=urls[0] if urls else "",
            urls=urls,
            connection=known,
            public_url=self._public_url,
            has_heard=has_heard,
            schema=self._schema_of(self._public_url, found.id) if found else {},
            beside=beside,
            noted=noted,
        )

    def look(self, wish: Wish, here: Here) -> There:
        """Return what there is in Sentry. Raises Invalid, sentry.SentryError."""

        async def work(sentry: Sentry) -> There:
            root = await sentry.root()
            scopes = None if root.auth is None else frozenset(root.auth.scopes)
            there = There(user=root.user, scopes=scopes)
            if list(missing_scopes(NEEDED, scopes)) or (root.user is None and scopes is not None):
                return there
            organization = await sentry.organization()
            if organization.access:
                # What the person's role leaves of the token's scopes.
                there = replace(there, scopes=frozenset(organization.access))
                if list(missing_scopes(NEEDED, there.scopes)):
                    return there
            there = replace(
                there,
                organization=organization,
                projects=tuple(await sentry.projects()),
                apps=tuple(await sentry.apps()),
                installations=tuple(await sentry.installations()),
            )
            rules = {
                slug: tuple(await sentry.rules(slug)) for slug in wanted_projects(wish, here, there)
            }
            return replace(there, rules=rules)

        try:
            return self._ask(_place(wish), work)
        except NotThere:
            raise Invalid(
                f"{wish.host} knows no organisation {wish.organization}, or the token does not see"
                " it: write its slug, as its address has it"
            ) from None

    def plan(self, wish: Wish, here: Here, there: There) -> Plan:
        """Return what is to be done. Raises Invalid."""
        return plan_of(wish, here, there)

    # -- what is done

    def perform(
        self, step: Step, wish: Wish, here: Here, there: There, caller: Caller, now: datetime
    ) -> There:
        """Do one step; return what there is in Sentry then. Raises sentry.SentryError."""
        kind, _, about = step.key.partition(":")
        deeds: Mapping[str, Callable[[], There]] = {
            "integration": lambda: self._add_integration(wish, here, there, caller, now),
            "token": lambda: self._keep_token(wish, here, there, caller, now),
            "app": lambda: self._make_app(wish, here, there),
            "secret": lambda: self._keep_secret(wish, here, there, caller, now),
            "rule": lambda: self._make_rule(about, wish, here, there, caller, now),
            "test": lambda: self._test(wish, here, there),
        }
        return deeds[kind]()

    def _add_integration(
        self, wish: Wish, here: Here, there: There, caller: Caller, now: datetime
    ) -> There:
        def work(connection: Connection) -> None:
            row = IntegrationTable(
                name=wish.integration,
                service=here.service,
                sentry_url=sentry_url(wish.host, wish.organization),
            )
            within(connection, self._vault)["integrations"].create(row, caller, now)

        self._database.run(work)
        return there

    def _keep_token(
        self, wish: Wish, here: Here, there: There, caller: Caller, now: datetime
    ) -> There:
        integration, known = _there(here.integration), here.connection
        scopes = APP_SCOPES if wish.own_token else sorted(there.scopes or ())
        user = there.user.id if there.user else None
        app = found_app(here, there)
        opening = Opening(
            host=wish.host,
            organization=wish.organization,
            token=wish.own_token or wish.token,
            scopes=scopes,
            actor_type="application" if wish.own_token else "user",
            actor_id=(app.uuid if app else None) if wish.own_token else user,
        )

        def work(connection: Connection) -> None:
            setup.lock(connection)
            connections.put(connection, self._vault, integration.id, opening, now)
            told = Change(
                kind=f"sentry_connection.{'changed' if known else 'added'}",
                subject=integration.name,
                detail=f"{wish.organization} at {wish.host}" + ("; another token" if known else ""),
            )
            changed(connection, now, caller.by, told)

        if wish.own_token is not None:
            # A token that opens nothing is told before it takes the place of one that does.
            self._ask(replace(_place(wish), token=wish.own_token), lambda one: one.organization())
        self._database.run(work)
        return there

    def _make_app(self, wish: Wish, here: Here, there: There) -> There:
        known = found_app(here, there)
        form = app_form(wish, here, there, known)

        async def work(sentry: Sentry) -> There:
            if known is None:
                app = await sentry.create_app(form)
            else:
                app = await sentry.change_app(known.slug, form)
            return with_app(there, app, await sentry.installations())

        return self._ask(_place(wish), work)

    def _keep_secret(
        self, wish: Wish, here: Here, there: There, caller: Caller, now: datetime
    ) -> There:
        app = found_app(here, there)
        if app is None:
            raise Conflict("the integration in Sentry is gone: connect again")
        secret, slug = app.secret, app.slug
        if secret is None and not holds_secret(app, here):
            secret = self._ask(_place(wish), lambda one: one.rotate_secret(slug))

        def work(connection: Connection) -> None:
            setup.lock(connection)
            if secret is not None:
                self._write_secret(connection, here, secret, caller, now)
            connection_id = _there(here.connection).id
            connections.set_app(
                connection, connection_id, app.slug, app.uuid, installation_of(app, there)
            )
            if wish.own_token is not None:
                connections.set_actor(connection, connection_id, "application", app.uuid)
            told = Change(
                kind="sentry_connection.changed",
                subject=_there(here.integration).name,
                detail=f"the integration {app.slug} in Sentry",
            )
            changed(connection, now, caller.by, told)

        self._database.run(work)
        return there

    def _write_secret(
        self, connection: Connection, here: Here, secret: str, caller: Caller, now: datetime
    ) -> None:
        """Let the integration take what is signed with it, beside what it takes already."""
        integration = _there(here.integration)
        things = within(connection, self._vault)["integrations"]
        if secret in integration.signing_secrets:
            return
        stored: list[str] = things.one(integration.id, caller)["signing_secrets"]
        things.merge(integration.id, {"signing_secrets": [*stored, secret]}, caller, now)

    def _make_rule(
        self, slug: str, wish: Wish, here: Here, there: There, caller: Caller, now: datetime
    ) -> There:
        app, known = _there(found_app(here, there)), _there(here.connection)
        rule = found_rule(slug, here, there)
        was_made = (
            rule is None
            or RuleMade(project=slug, rule_id=rule.id) in here.noted.rules_made
            or is_ours(rule)
        )
        if rule is None:
            form = rule_form(here, app, installation_of(app, there))
            rule = self._create_rule(wish, slug, form)
            there = replace(there, rules={**there.rules, slug: (*there.rules[slug], rule)})
        since = next((one.since for one in known.rules if one.project == slug), now)
        made = RuleMade(project=slug, rule_id=rule.id, was_made=was_made, since=since)
        others = [one for one in known.rules if one.project != slug]

        def work(connection: Connection) -> None:
            setup.lock(connection)
            connections.set_rules(connection, known.id, [*others, made])
            told = Change(
                kind="sentry_connection.changed",
                subject=_there(here.integration).name,
                detail=f"the alert rule {made.rule_id} of {slug}",
            )
            changed(connection, now, caller.by, told)

        self._database.run(work)
        return there

    def _create_rule(self, wish: Wish, slug: str, form: RuleForm) -> Rule:
        try:
            return self._ask(_place(wish), lambda one: one.create_rule(slug, form))
        except Refused as error:
            if _ASKED_US not in str(error):
                raise
            raise Untested(
                f"{error}. Sentry asks Tocsin whether a rule is right before it saves it: Tocsin"
                f" must run, and Sentry must reach {self._public_url}"
            ) from None

    def _test(self, wish: Wish, here: Here, there: There) -> There:
        slug = wanted_projects(wish, here, there)[0]
        app = _there(found_app(here, there))
        form = rule_form(here, app, installation_of(app, there))
        try:
            self._ask(_place(wish), lambda one: one.test_actions(slug, form))
        except (NotThere, NotPermitted, Refused) as error:
            raise Untested(
                f"{error}. Let Sentry send one by hand: open an alert rule of {slug} and press Send"
                " Test Notification"
            ) from None
        return replace(there, was_tested=True)

    def unkept(self, step: Step, wish: Wish, here: Here, there: There) -> str:
        """Say that a step is to be done again right after it was done, and what to do by hand."""
        app = found_app(here, there)
        if step.key != "app" or app is None:
            return f"Sentry did not keep what was sent: do it by hand: {step.text}"
        form = app_form(wish, here, there, app)
        fields = {
            "webhook URL": f"Webhook URL: {form.webhook_url}",
            "permissions": f"Permissions: {', '.join(form.scopes)}",
            "webhooks": f"Webhooks: {', '.join(form.events)}",
            "alert rule action": "Alert Rule Action: on",
            "components": f"Schema: {msgspec.json.encode(form.schema).decode()}",
        }
        lost = list(differences(app, form))
        return (
            f"Sentry did not keep the {' and '.join(lost)} of the integration {app.name}: do it by"
            f" hand: open {settings_url(wish.host, wish.organization)}, the integration, and set"
            f" {'; '.join(fields[one] for one in lost)}"
        )

    # -- whether it works

    def arrived(self, integration_id: str, since: datetime) -> DeliveryView | None:
        """Return the first webhook since then, whatever became of it."""
        with self._database.read() as connection:
            return arrived(connection, self._plans.current(connection), integration_id, since)


def arrived(
    connection: Connection, plans: Plans, integration_id: str, since: datetime
) -> DeliveryView | None:
    """Return the first webhook since then, of the latest."""
    wanted = LogFilter(integration_id=integration_id, limit=_LATEST)
    found = [
        one
        for one in log_page(connection, plans, EVERYTHING, wanted).items
        # What is shown has whole seconds: one that comes in the second in which we began counts.
        if one.received_at >= whole_seconds(since) and one.url_style not in _NOT_BROUGHT
    ]
    return next(iter(reversed(found)), None)


class Untested(Exception):
    """Sentry and Tocsin do not reach each other yet; what came before this is done."""


def _place(wish: Wish) -> Place:
    return Place(host=wish.host, organization=wish.organization, token=wish.token)


def _integration(plans: Plans, name: str) -> Integration | None:
    found = (one for one in living(plans.integrations) if name in (one.id, one.name))
    return next(found, None)


def _service(plans: Plans, wish: Wish, found: Integration | None) -> str:
    """Return the name of the service that it is for. Raises Invalid."""
    if found is not None:
        return plans.services[found.service_id].name
    names: list[str] = [one.name for one in living(plans.services)]
    if wish.service is None and len(names) == 1:
        return names[0]
    if wish.service is None:
        there = f": {', '.join(names[:10])}" if names else " (there is none yet: add one first)"
        raise Invalid(
            f"there is no integration {wish.integration} yet: say for which service it shall be"
            f"{there}"
        )
    if wish.service not in names:
        raise Invalid(f"there is no service {wish.service}")
    return wish.service


def _there(thing: T | None) -> T:
    """Return what an earlier step made. Raises Conflict where somebody took it away meanwhile."""
    if thing is None:
        raise Conflict("what an earlier step made is gone: connect again")
    return thing
