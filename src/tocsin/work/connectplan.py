"""What is to be done to connect an integration with Sentry: decided from what is here and there.

Deciding asks nobody and writes nothing: a plan is shown before anything is done, and the second run
has the same one, but for what the first has done.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from tocsin.core.plans import Integration
from tocsin.sentry.place import is_own
from tocsin.sentry.shapes import (
    Account,
    App,
    AppForm,
    Installation,
    Organization,
    Plain,
    Project,
    Rule,
    RuleForm,
)
from tocsin.store.sentry import Noted, SentryConnection
from tocsin.work.refusals import Invalid

#: What the integration in Sentry is called.
APP_NAME = "Tocsin"

#: How the overview begins of those that Tocsin made: by this they are known as its own.
_MADE = "Pages whoever is on call. Made by Tocsin"

#: What it hears of, and what it may.
EVENTS = ("comment", "issue")
APP_SCOPES = ("event:read", "event:write", "member:read", "org:read", "project:read")

#: What the token must be allowed to, and for what.
NEEDED: Mapping[str, str] = {
    "org:read": "to see which integrations there are",
    "org:write": "to create the integration",
    "project:read": "to see the projects",
    "member:read": "to know people by their e-mail addresses",
    "event:read": "to hear of issues, and to ask for those that no webhook told of",
    "event:write": "to resolve, assign and annotate issues",
    "alerts:write": "to create alert rules",
}

#: What the token must be allowed to besides, to take it all away again.
NEEDED_TO_DISCONNECT: Mapping[str, str] = {
    "org:read": "to see which integrations there are",
    "org:admin": "to delete the integration",
    "alerts:write": "to delete alert rules",
}

SERVICE_ACTION = "sentry.rules.actions.notify_event_service.NotifyEventServiceAction"
APP_ACTION = "sentry.rules.actions.notify_event_sentry_app.NotifyEventSentryAppAction"

RULE_NAME = "Page by Tocsin"

_CONDITIONS = tuple(
    {"id": f"sentry.rules.conditions.{name}"}
    for name in (
        "first_seen_event.FirstSeenEventCondition",
        "regression_event.RegressionEventCondition",
        "reappeared_event.ReappearedEventCondition",
    )
)

#: The longest name that Sentry takes.
_NAME = 57


#: The schema of the UI components that an integration brings along, by the address of Tocsin and
#: the id of the integration here.
SchemaOf = Callable[[str, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants connected."""

    #: The name of the integration here; made if there is none.
    integration: str
    #: Its service, where it is made.
    service: str | None
    host: str
    organization: str
    #: What everything is set up with.
    token: str = field(repr=False)
    #: What everything is done with afterwards, if not with the same.
    own_token: str | None = field(default=None, repr=False)
    #: The projects that get an alert rule.
    projects: tuple[str, ...] = ()
    #: Whether Sentry is asked for a test notification.
    tests: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What there is in Tocsin."""

    integration: Integration | None
    service: str
    #: Where the webhooks shall go; empty while there is no integration.
    webhook_url: str
    #: Every address that is this integration's, whoever's style it is.
    urls: tuple[str, ...]
    connection: SentryConnection | None
    public_url: str
    #: Whether a webhook came since it was connected.
    has_heard: bool
    #: The UI components of the integration in Sentry.
    schema: Mapping[str, Any] = field(default_factory=dict)
    #: The names of other integrations that are connected with the same organisation.
    beside: tuple[str, ...] = ()
    #: What was noted of the organisation, also by connections that were taken back.
    noted: Noted = field(default_factory=Noted)

    @property
    def has_action(self) -> bool:
        """Whether alert rules choose settings: then the plain action is not offered."""
        return any(one["type"] == "alert-rule-action" for one in self.schema.get("elements", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """What there is in Sentry, as far as the token sees it."""

    user: Account | None
    #: None where Sentry does not tell.
    scopes: frozenset[str] | None
    #: None while scopes are missing: then nothing more was asked.
    organization: Organization | None = None
    projects: tuple[Project, ...] = ()
    apps: tuple[App, ...] = ()
    installations: tuple[Installation, ...] = ()
    #: By the slug of their project: of those projects that matter.
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    #: A test was asked for, in this run.
    was_tested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that has to be so."""

    #: ``integration``, ``token``, ``app``, ``secret``, ``rule:PROJECT``, ``test``.
    key: str
    #: ``+`` made, ``~`` changed.
    sign: str
    #: What will be done.
    text: str
    #: What is so once it is done.
    done: str
    is_done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A scope that the token has not."""

    scope: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that has to be so, in order; or why nothing can be done."""

    steps: tuple[Step, ...]
    missing: tuple[Missing, ...] = ()
    #: What to do by hand, where scopes are missing.
    manual: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def left(self) -> tuple[Step, ...]:
        """What is not done yet."""
        return tuple(step for step in self.steps if not step.is_done)

    @property
    def next(self) -> Step | None:
        """What is to be done now."""
        return None if self.missing else next(iter(self.left), None)

    def is_stuck(self, done: str) -> bool:
        """Whether the step that was just done is the next again: it would be for ever."""
        return self.next is not None and self.next.key == done


def plan_of(wish: Wish, here: Here, there: There) -> Plan:
    """Return what is to be done. Raises Invalid for what cannot be."""
    missing = tuple(missing_scopes(NEEDED, there.scopes))
    if there.user is None and there.scopes is not None and not missing:
        missing = (Missing(scope="", why=_NO_PERSON),)
    if missing or there.organization is None:
        manual = tuple(manual_steps(wish, here))
        return Plan(steps=(), missing=missing, manual=manual, warnings=_warnings(wish, here))
    steps = [_integration_step(wish, here), _token_step(wish, here, there)]
    steps += _app_steps(wish, here, there)
    steps += [_rule_step(slug, here, there) for slug in wanted_projects(wish, here, there)]
    if wish.tests:
        steps += _test_step(wish, here, there)
    return Plan(steps=tuple(steps), warnings=_warnings(wish, here))


_NO_PERSON = (
    "this is the token of an organisation or integration: only a person creates integrations."
    " Make a personal token, in Sentry under your picture, User settings, Personal Tokens"
)


def missing_scopes(needed: Mapping[str, str], scopes: frozenset[str] | None) -> Iterator[Missing]:
    """Yield what is needed and not there; where Sentry does not tell, calls will."""
    if scopes is None:
        return
    for scope, why in needed.items():
        if not scopes & _implying(scope):
            yield Missing(scope=scope, why=why)


def _implying(scope: str) -> frozenset[str]:
    """Return the scopes that are as good: whoever may write may read."""
    kind, _, level = scope.partition(":")
    levels = ("read", "write", "admin")
    found = {f"{kind}:{one}" for one in levels[levels.index(level) :]}
    if scope in APP_SCOPES:
        # Given on to the integration, which needs just this one.
        return frozenset({scope})
    if kind == "alerts":
        found |= {"project:write", "project:admin"}
    return frozenset(found)


# -- the steps ------------------------------------------------------------------------------------


def _called(wish: Wish, here: Here) -> str:
    """Return the name of the integration here."""
    return here.integration.name if here.integration else wish.integration


def _integration_step(wish: Wish, here: Here) -> Step:
    return Step(
        key="integration",
        sign="+",
        text=f"add the integration {wish.integration} for {here.service}",
        done=f"the integration {_called(wish, here)} is there, for {here.service}",
        is_done=here.integration is not None,
    )


def _token_step(wish: Wish, here: Here, there: There) -> Step:
    known = here.connection
    is_there = known is not None and (known.host, known.organization) == (
        wish.host,
        wish.organization,
    )
    is_same = (
        known is not None
        and is_there
        and (
            known.token == (wish.own_token or wish.token)
            # A person who adds a project does not take the integration's own token away.
            or (wish.own_token is None and _acts_itself(here))
        )
    )
    is_its = wish.own_token is not None or (is_there and _acts_itself(here))
    who = "the integration" if is_its else _name(there.user)
    return Step(
        key="token",
        sign="~" if known is not None else "+",
        text=f"keep the token of {who}, encrypted, to ask {wish.organization} at {wish.host}",
        done=f"{wish.organization} at {wish.host} is asked with the token of {who}",
        is_done=is_same,
    )


def _acts_itself(here: Here) -> bool:
    """Whether what is done in Sentry is done in the integration's own name."""
    return here.connection is not None and here.connection.actor_type == "application"


def _name(user: Account | None) -> str:
    return (user and (user.email or user.name or user.username)) or "a person"


def found_app(here: Here, there: There) -> App | None:
    """Return the integration in Sentry that is this one's: by what was noted, else by its URL."""
    known = here.connection
    for app in there.apps:
        if known is not None and known.app_id is not None and app.uuid == known.app_id:
            return app
    for app in there.apps:
        if app.webhook_url and app.webhook_url in here.urls:
            return app
    return None


def installation_of(app: App, there: There) -> str | None:
    """Return where an integration is installed."""
    return next((one.uuid for one in there.installations if one.app.slug == app.slug), None)


def app_form(wish: Wish, here: Here, there: There, known: App | None) -> AppForm:
    """Return what the integration shall be; what somebody gave it besides is left to it."""
    return AppForm(
        name=known.name if known else _free_name(_called(wish, here), there),
        organization=wish.organization,
        webhook_url=here.webhook_url,
        scopes=tuple(sorted({*APP_SCOPES, *(known.scopes if known else ())})),
        events=tuple(sorted({*EVENTS, *(known.events if known else ())})),
        schema=here.schema or (known.schema if known else None) or {},
        overview=(
            known.overview
            if known is not None and not was_made(known)
            else f"{_MADE} at {here.public_url}."
        ),
    )


def was_made(app: App) -> bool:
    """Whether Tocsin made an integration in Sentry; else somebody did by hand."""
    return (app.overview or "").startswith(_MADE)


def _free_name(called: str, there: There) -> str:
    taken = {app.name for app in there.apps}
    return APP_NAME if APP_NAME not in taken else f"{APP_NAME} {called}"[:_NAME]


def _app_steps(wish: Wish, here: Here, there: There) -> Iterator[Step]:
    app = found_app(here, there)
    form = app_form(wish, here, there, app)
    name = form.name
    differs = list(differences(app, form)) if app else []
    what = f" ({', '.join(differs)})" if differs else ""
    yield Step(
        key="app",
        sign="~" if app else "+",
        text=(
            f"change the integration {name} in Sentry{what}"
            if app
            else f"create the internal integration {name} in Sentry, which tells of"
            f" {' and '.join(sorted(EVENTS))}"
        ),
        done=f"the integration {name} is in Sentry",
        is_done=app is not None and not differs,
    )
    known = here.connection
    is_kept = (
        app is not None
        and known is not None
        and known.app_id == app.uuid
        and known.installation_id == installation_of(app, there)
        and here.integration is not None
        and bool(here.integration.signing_secrets)
        and (app.secret is None or app.secret in here.integration.signing_secrets)
    )
    rotates = app is not None and app.secret is None and not is_kept and not holds_secret(app, here)
    yield Step(
        key="secret",
        sign="~" if rotates else "+",
        text=(
            "rotate the client secret, which Sentry shows for a day only, and keep the new one"
            if rotates
            else "keep the client secret, encrypted: from then on only what Sentry signs is taken"
        ),
        done="the client secret is kept: only what Sentry signs is taken",
        is_done=is_kept,
    )


def holds_secret(app: App, here: Here) -> bool:
    """Whether the client secret was kept already, by a connection that was taken back here only."""
    is_kept = here.integration is not None and bool(here.integration.signing_secrets)
    return is_kept and app.uuid in here.noted.app_ids


def differences(app: App, form: AppForm) -> Iterator[str]:
    """Yield what of an integration is not as it shall be."""
    if app.webhook_url != form.webhook_url:
        yield "webhook URL"
    if not set(form.scopes) <= set(app.scopes):
        yield "permissions"
    if not set(form.events) <= set(app.events):
        yield "webhooks"
    if not app.is_alertable:
        yield "alert rule action"
    if (app.schema or {}) != form.schema:
        yield "components"


def wanted_projects(wish: Wish, here: Here, there: There) -> tuple[str, ...]:
    """Return the projects that shall have a rule. Raises Invalid for one that is not there."""
    slugs = [project.slug for project in there.projects]
    for one in wish.projects:
        if one not in slugs:
            close = difflib.get_close_matches(one, slugs, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise Invalid(f"{wish.organization} has no project {one} that the token sees{hint}")
    connected = [rule.project for rule in here.connection.rules] if here.connection else []
    return tuple(dict.fromkeys([*wish.projects, *(one for one in connected if one in slugs)]))


def rule_form(here: Here, app: App, installation: str | None) -> RuleForm:
    """Return what an alert rule shall be."""
    action: Plain
    if here.has_action:
        action = {
            "id": APP_ACTION,
            "sentryAppInstallationUuid": installation or "",
            "hasSchemaFormConfig": True,
            "settings": [{"name": "service", "value": here.service}],
        }
    else:
        action = {"id": SERVICE_ACTION, "service": app.slug}
    return RuleForm(name=RULE_NAME, conditions=_CONDITIONS, actions=(action,))


def tells(rule: Rule, app_slug: str | None, installation: str | None) -> bool:
    """Whether a rule has the integration as its action."""
    return any(
        (action.get("id"), action.get("service")) == (SERVICE_ACTION, app_slug)
        or (installation is not None and action.get("sentryAppInstallationUuid") == installation)
        for action in rule.actions
    )


def found_rule(slug: str, here: Here, there: There) -> Rule | None:
    """Return the rule of a project that tells: the one that was noted, else whoever made it."""
    app = found_app(here, there)
    if app is None:
        return None
    installation = installation_of(app, there)
    telling = [one for one in there.rules.get(slug, ()) if tells(one, app.slug, installation)]
    noted = noted_rules(here).get(slug)
    return next((one for one in telling if one.id == noted), next(iter(telling), None))


def is_ours(rule: Rule) -> bool:
    """Whether a rule that tells is one that Tocsin makes: its name, and nobody else is told.

    The answer to the request that made it may have been lost on the way.
    """
    return rule.name == RULE_NAME and len(rule.actions) == 1


def noted_rules(here: Here) -> dict[str, str]:
    """Return the ids of the rules that are noted, by the slugs of their projects."""
    rules = here.connection.rules if here.connection else ()
    return {rule.project: rule.rule_id for rule in rules}


def _rule_step(slug: str, here: Here, there: There) -> Step:
    found, known = found_rule(slug, here, there), noted_rules(here)
    name = found.name if found else RULE_NAME
    return Step(
        key=f"rule:{slug}",
        sign="~" if found else "+",
        text=(
            f"note the alert rule “{name}” of {slug}"
            if found
            else f"create the alert rule “{name}” in {slug}: for new issues, and those that come"
            " back"
        ),
        done=f"the alert rule “{name}” of {slug} tells Tocsin",
        is_done=found is not None and known.get(slug) == found.id,
    )


def _test_step(wish: Wish, here: Here, there: There) -> Iterator[Step]:
    projects = wanted_projects(wish, here, there)
    if not projects:
        return
    yield Step(
        key="test",
        sign="+",
        text=f"let Sentry send a test notification from {projects[0]}: it makes a sample issue"
        " there, and pages whoever is on call, marked as a test",
        done="a webhook came" if here.has_heard else "Sentry was asked for a test notification",
        is_done=here.has_heard or there.was_tested,
    )


# -- what is said besides -------------------------------------------------------------------------


def _warnings(wish: Wish, here: Here) -> tuple[str, ...]:
    found = [address_warning(here.public_url)]
    if here.beside:
        found.append(
            f"{wish.organization} is connected with {' and '.join(here.beside)} already: Sentry"
            " tells each of every issue of the whole organisation, so each new one pages once for"
            " each. Better keep one integration, and let its routes say which service what is for"
        )
    if wish.own_token is None and not _acts_itself(here):
        found.append(
            "what Tocsin does in Sentry will be done in the name of whoever's token this is; with a"
            " token of the integration (in Sentry: its page, Tokens) it is done in its own name"
        )
    return tuple(one for one in found if one)


def address_warning(public_url: str) -> str:
    """Return what keeps Sentry from the address it is told; empty where nothing does."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        is_local, is_private = host == "localhost" or host.endswith(".localhost"), False
    else:
        is_local, is_private = address.is_loopback or address.is_unspecified, address.is_private
    if is_local:
        return (
            f"Nobody but this machine reaches {public_url}: set TOCSIN_PUBLIC_URL to the address"
            " by which Sentry reaches it, and start again."
        )
    if is_private:
        return (
            f"{host} is a private address: sentry.io does not reach it, and a Sentry of your own"
            " (25.9 and newer) refuses it until its SENTRY_DISALLOWED_IPS allows it."
        )
    if parts.scheme != "https":
        return (
            "This address is not https: what Sentry sends can be read on its way. Put TLS in front,"
            " and set TOCSIN_PUBLIC_URL to the https address."
        )
    return ""


def settings_url(host: str, organization: str) -> str:
    """Return where the integrations of an organisation are managed, in a browser."""
    if is_own(host):
        return f"{host}/settings/{organization}/developer-settings/"
    return f"https://{organization}.sentry.io/settings/developer-settings/"


def sentry_url(host: str, organization: str) -> str:
    """Return the address that issues are linked below."""
    if is_own(host):
        return f"{host}/organizations/{organization}"
    return f"https://{organization}.sentry.io"


def manual_steps(wish: Wish, here: Here) -> Iterator[str]:
    """Yield what to do in Sentry by hand, instead."""
    if here.webhook_url:
        url = here.webhook_url
    else:
        yield (
            f"Add the integration {wish.integration} in Tocsin: Integrations, Add integration,"
            " Sentry. Its page shows the webhook URL."
        )
        url = "the one that the page shows"
    yield (
        f"Open {settings_url(wish.host, wish.organization)} and choose Create New Integration,"
        " Internal Integration."
    )
    yield (
        f"Name: {APP_NAME}. Webhook URL: {url}. Alert Rule Action: on. Permissions: Issue & Event,"
        " Read & Write; Organization, Project and Member, Read. Webhooks: issue and comment."
    )
    yield (
        "Save, and paste the Client Secret from the same page into Tocsin: Integrations,"
        f" {_called(wish, here)}."
    )
    for slug in wish.projects:
        yield (
            f"In the alert rules of {slug}: When a new issue is created, Then Send a notification"
            f" via {APP_NAME}. Send Test Notification, and save."
        )


def with_app(there: There, app: App, installations: Sequence[Installation]) -> There:
    """Return what there is after an integration was made or changed."""
    others = tuple(one for one in there.apps if one.slug != app.slug)
    return replace(there, apps=(*others, app), installations=tuple(installations))
