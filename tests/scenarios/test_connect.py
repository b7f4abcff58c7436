"""Connecting with Sentry, against the fake: what is made, what is not, and that it is made once."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.builders import NOW
from tests.fakes import ALL_SCOPES, FakeSentry
from tests.outside import telephones
from tests.world import ONE_STEP, PEOPLE
from tocsin.channels.guard import Guard, guarded_client
from tocsin.core.access import EVERYTHING, Caller
from tocsin.core.model import COMMAND_LINE, Role
from tocsin.sentry.client import Lines, Place, Sentry, SentryError
from tocsin.store import audit
from tocsin.store import sentry as connections
from tocsin.store.audit import Wanted
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache
from tocsin.store.sentry import SentryConnection
from tocsin.store.tables import sentry_connections
from tocsin.store.vault import Vault
from tocsin.work.configfile import parse
from tocsin.work.configure import Configurator
from tocsin.work.connect import Connector
from tocsin.work.connected import Connections
from tocsin.work.connectplan import NEEDED, SERVICE_ACTION, Plan, Wish
from tocsin.work.refusals import Invalid
from tocsin.work.respond import NotFound
from tocsin.work.things import within

CALLER = Caller(by=COMMAND_LINE, role=Role.OWNER, scope=EVERYTHING)
SERVICES = """
services:
  - {name: checkout, escalation_policy: default}
  - {name: search, escalation_policy: default}
"""
URL = "https://tocsin.example.com"


class Died(Exception):
    """The process died here."""


@dataclass
class Company:
    """A Tocsin and a Sentry, and what connects them."""

    database: Database
    vault: Vault
    sentry: FakeSentry
    runner: asyncio.Runner
    lines: Lines
    #: Steps after which the process dies.
    dies_after: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.plans = PlansCache(self.database, self.vault)
        # Nobody answers at that address whether a rule is right.
        self.connector = Connector(
            self.database, self.plans, self.vault, URL, self.ask, schema_of=lambda *_: {}
        )
        self.connections = Connections(self.database, self.plans, self.vault, URL, self.ask)

    def ask(self, place: Place, work: Callable[[Sentry], Awaitable[Any]]) -> Any:
        async def go() -> Any:
            return await work(self.lines.to(place))

        return self.runner.run(go())

    def wish(self, **said: Any) -> Wish:
        asked: dict[str, Any] = {
            "integration": "sentry",
            "service": "checkout",
            "host": self.sentry.url,
            "organization": "acme",
            "token": said.pop("token", None) or self.sentry.token(),
            "projects": ("backend",),
            "tests": False,
        }
        return Wish(**(asked | said))

    def plan(self, wish: Wish) -> Plan:
        here = self.connector.here(wish, CALLER)
        return self.connector.plan(wish, here, self.connector.look(wish, here))

    def connect(self, wish: Wish) -> Plan:
        """Do all that is left, as the command line does."""
        here = self.connector.here(wish, CALLER)
        there = self.connector.look(wish, here)
        plan = self.connector.plan(wish, here, there)
        while (step := plan.next) is not None:
            there = self.connector.perform(step, wish, here, there, CALLER, NOW)
            if step.key in self.dies_after:
                raise Died(step.key)
            here = self.connector.here(wish, CALLER)
            plan = self.connector.plan(wish, here, there)
        return plan

    def connection(self) -> SentryConnection | None:
        with self.database.read() as connection:
            return next(iter(connections.connections(connection, self.vault)), None)

    def secrets(self) -> tuple[str, ...]:
        found = self.plans.refresh().integrations.values()
        return next((one.signing_secrets for one in found), ())

    def told(self) -> list[str]:
        """Return what the audit log says since the beginning."""
        with self.database.read() as connection:
            rows = audit.page(connection, Wanted(), 100).items
        return [f"{row.kind} {row.detail}" for row in reversed(rows)]


@pytest.fixture
def company(database: Database, vault: Vault, sentry: FakeSentry) -> Iterator[Company]:
    with asyncio.Runner() as runner:
        http = guarded_client(Guard([ipaddress.ip_network("127.0.0.0/8")]))
        made = Company(database, vault, sentry, runner, Lines(http))
        file, source = parse(PEOPLE + ONE_STEP + SERVICES, "company.yaml")
        Configurator(database, made.plans, vault).apply(file, source, NOW, dry_run=False)
        yield made
        runner.run(http.aclose())


# -- what is made ---------------------------------------------------------------------------------


def test_everything_is_made_as_people_would_make_it_by_hand(company: Company):
    company.connect(company.wish(projects=("backend", "search")))
    state = company.sentry.state()
    (app,) = state["apps"]
    (integration,) = company.plans.refresh().integrations.values()
    urls = Configurator(company.database, company.plans, company.vault).urls(URL, "sentry")
    assert (app["name"], app["status"]) == ("Tocsin", "internal")
    assert [app["webhookUrl"]] == (urls or [])[:1]
    assert app["isAlertable"]
    assert app["events"] == ["comment", "issue"]
    assert {"event:read", "event:write"} <= set(app["scopes"])
    assert company.secrets() == (app["clientSecret"],)
    rules = {rule["projects"][0]: rule for rule in state["rules"]}
    assert set(rules) == {"backend", "search"}
    assert rules["backend"]["actions"][0]["service"] == app["slug"]
    assert integration.sentry_url == f"{company.sentry.url}/organizations/acme"
    known = company.connection()
    assert known is not None
    assert (known.app_slug, known.app_id) == (app["slug"], app["uuid"])
    assert known.installation_id == state["installations"][0]["uuid"]
    assert {rule.project: rule.rule_id for rule in known.rules} == {
        slug: rule["id"] for slug, rule in rules.items()
    }
    assert known.actor_type == "user"


def test_the_second_run_makes_nothing(company: Company):
    wish = company.wish()
    company.connect(wish)
    before, told = company.sentry.state(), company.told()
    company.sentry.do("forget")
    assert company.plan(wish).left == ()
    company.connect(wish)
    after = company.sentry.state()
    assert {**after, "now": 0} == {**before, "now": 0}
    assert company.sentry.requests("POST", "PUT", "DELETE") == []
    assert company.told() == told


def test_another_project_later_is_added_and_none_is_lost(company: Company):
    company.connect(company.wish(projects=("backend",)))
    company.connect(company.wish(projects=("frontend",)))
    assert sorted(rule["projects"][0] for rule in company.sentry.state()["rules"]) == [
        "backend", "frontend",
    ]  # fmt: skip
    known = company.connection()
    assert known is not None
    assert {rule.project: rule.since for rule in known.rules} == {"backend": NOW, "frontend": NOW}


def test_a_dry_run_writes_nothing_anywhere(company: Company):
    before, told = company.sentry.state(), company.told()
    plan = company.plan(company.wish())
    assert [step.key for step in plan.left] == [
        "integration", "token", "app", "secret", "rule:backend",
    ]  # fmt: skip
    assert {**company.sentry.state(), "now": 0} == {**before, "now": 0}
    assert company.told() == told
    assert company.sentry.requests("POST", "PUT", "DELETE") == []


@pytest.mark.parametrize("step", ["integration", "token", "app", "secret", "rule:backend"])
def test_a_run_that_dies_is_finished_by_the_next(company: Company, step: str):
    """Whatever was made is found again, and nothing is made twice."""
    wish = company.wish()
    company.dies_after = {step}
    with pytest.raises(Died):
        company.connect(wish)
    company.dies_after = set()
    # What Sentry has made, it may have answered to nobody.
    company.connect(wish)
    state = company.sentry.state()
    assert len(state["apps"]) == len(state["rules"]) == len(state["installations"]) == 1
    assert company.secrets() == (state["apps"][0]["clientSecret"],)
    assert company.plan(wish).left == ()


def test_a_secret_that_sentry_no_longer_shows_is_rotated(company: Company):
    wish = company.wish()
    company.dies_after = {"app"}
    with pytest.raises(Died):
        company.connect(wish)
    company.dies_after = set()
    first = company.sentry.state()["apps"][0]["clientSecret"]
    company.sentry.do("clock", forward=2 * 86_400)
    assert any("rotate" in step.text for step in company.plan(wish).left)
    company.connect(wish)
    second = company.sentry.state()["apps"][0]["clientSecret"]
    assert first != second
    assert company.secrets() == (second,)
    assert company.plan(wish).left == ()


def app_by_hand(company: Company, wish: Wish) -> list[str]:
    """Make an integration in Sentry as people do, for one that is here; return its URLs here."""
    company.dies_after = {"integration"}
    with pytest.raises(Died):
        company.connect(wish)
    company.dies_after = set()
    urls = Configurator(company.database, company.plans, company.vault).urls(URL, "sentry") or []
    said = {
        "name": "By hand", "organization": "acme", "webhookUrl": urls[1], "isInternal": True,
        "scopes": ["event:read", "team:read"], "events": ["issue", "error"], "isAlertable": False,
    }  # fmt: skip
    token = company.sentry.token(*ALL_SCOPES, "team:read")
    status, _ = company.sentry.ask("POST", "/api/0/sentry-apps/", said, token)
    assert status == 201
    return urls


def rule_by_hand(company: Company, wish: Wish, app_slug: str, project: str = "backend") -> str:
    """Make an alert rule in Sentry that tells an integration; return its id."""
    said = {
        "name": "Ours since years", "actionMatch": "any", "frequency": 30, "conditions": [],
        "actions": [{"id": SERVICE_ACTION, "service": app_slug}],
    }  # fmt: skip
    path = f"/api/0/projects/acme/{project}/rules/"
    status, told = company.sentry.ask("POST", path, said, wish.token)
    assert status == 201, told
    return str(told["id"])


def test_what_was_made_by_hand_is_taken_over_by_its_address(company: Company):
    wish = company.wish()
    urls = app_by_hand(company, wish)
    company.connect(wish)
    (app,) = company.sentry.state()["apps"]
    assert (app["name"], app["webhookUrl"], app["isAlertable"]) == ("By hand", urls[0], True)
    assert set(app["events"]) == {"issue", "error", "comment"}
    assert "team:read" in app["scopes"]


def test_a_name_that_is_taken_is_left_to_whoever_has_it(company: Company):
    company.connect(company.wish())
    company.connect(company.wish(integration="second", service="search"))
    names = sorted(app["name"] for app in company.sentry.state()["apps"])
    assert names == ["Tocsin", "Tocsin second"]


def test_a_second_integration_for_one_organisation_is_warned_of_with_the_remedy(company: Company):
    def warnings(wish: Wish) -> str:
        return " ".join(company.plan(wish).warnings)

    first = company.wish()
    company.connect(first)
    assert "connected with" not in warnings(first)
    second = company.wish(integration="second", service="search")
    assert "acme is connected with sentry already" in warnings(second)
    assert "its routes" in warnings(second)
    company.connect(second)
    assert "acme is connected with second already" in warnings(first)


def test_what_somebody_deleted_in_sentry_is_made_again(company: Company):
    wish = company.wish()
    company.connect(wish)
    state = company.sentry.state()
    rule = state["rules"][0]["id"]
    path = f"/api/0/projects/acme/backend/rules/{rule}/"
    assert company.sentry.ask("DELETE", path, token=wish.token)[0] == 202
    path = f"/api/0/sentry-apps/{state['apps'][0]['slug']}/"
    assert company.sentry.ask("DELETE", path, token=wish.token)[0] == 204
    company.connect(wish)
    after = company.sentry.state()
    assert len(after["apps"]) == len(after["rules"]) == 1
    assert after["apps"][0]["clientSecret"] in company.secrets()
    assert company.plan(wish).left == ()


def test_a_token_of_the_integration_takes_the_place_of_the_persons(company: Company):
    wish = company.wish()
    company.connect(wish)
    (app,) = company.sentry.state()["apps"]
    own = company.sentry.app_token(app["slug"])
    company.connect(replace(wish, own_token=own))
    known = company.connection()
    assert known is not None
    assert (known.token, known.actor_type, known.actor_id) == (own, "application", app["uuid"])
    assert "org:write" not in known.scopes
    # Somebody who adds a project later does not put their own in its place.
    company.connect(company.wish(projects=("search",)))
    known = company.connection()
    assert known is not None
    assert (known.token, known.actor_type) == (own, "application")
    assert sorted(rule.project for rule in known.rules) == ["backend", "search"]


def test_a_token_of_the_integration_that_opens_nothing_takes_no_place(company: Company):
    wish = company.wish()
    company.connect(wish)
    with pytest.raises(SentryError, match="not valid"):
        company.connect(replace(wish, own_token="sntryi_wrong"))
    known = company.connection()
    assert known is not None
    assert known.token == wish.token


def test_tokens_are_encrypted_and_in_no_log(company: Company):
    wish = company.wish()
    company.connect(wish)
    with company.database.read() as connection:
        row = connection.execute(sentry_connections.select()).mappings().one()
    assert wish.token not in str(dict(row))
    assert wish.token not in " ".join(company.told())
    assert wish.token not in repr(company.connection())
    assert wish.token not in repr(wish)
    assert "sentry_connection.added" in " ".join(company.told())
    assert "integration.added" in " ".join(company.told())


def test_another_organisation_is_another_connection(company: Company):
    company.sentry.do(
        "organization",
        slug="globex",
        projects=["backend"],
        members=[{"email": "ann@example.com", "role": "owner"}],
    )
    company.connect(company.wish())
    first = company.connection()
    company.connect(
        company.wish(organization="globex", token=company.sentry.token(organization="globex"))
    )
    second = company.connection()
    assert first is not None
    assert second is not None
    assert (second.organization, second.id == first.id) == ("globex", False)
    assert len(company.connections.standings(CALLER)) == 1


# -- what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", NEEDED)
def test_with_any_scope_missing_nothing_is_made_and_it_is_said_which(company: Company, scope: str):
    kind, _, level = scope.partition(":")
    stronger = {"read": ("write", "admin"), "write": ("admin",)}[level]
    others = [
        one
        for one in ALL_SCOPES
        if one != scope and not (kind in ("alerts", "org") and one in
                                 [f"{kind}:{better}" for better in stronger])
    ]  # fmt: skip
    wish = company.wish(token=company.sentry.token(*others))
    before, told = company.sentry.state(), company.told()
    plan = company.plan(wish)
    assert scope in [one.scope for one in plan.missing]
    assert all(one.why for one in plan.missing)
    assert plan.next is None
    assert any("developer-settings" in line for line in plan.manual)
    assert company.connect(wish).missing
    assert {**company.sentry.state(), "now": 0} == {**before, "now": 0}
    assert company.told() == told
    assert company.connection() is None
    assert company.sentry.requests("POST", "PUT", "DELETE") == []


def test_a_role_that_may_not_is_said_before_anything_is_made(company: Company):
    """The token has every scope; its person is a mere member."""
    plan = company.plan(company.wish(token=company.sentry.token(person="cat")))
    assert [one.scope for one in plan.missing] == ["org:write"]
    assert company.sentry.requests("POST") == []


def test_a_token_of_nobody_is_said_so(company: Company):
    """Organisation tokens create no integrations, whatever they may."""
    token = company.sentry.do("token", scopes=list(ALL_SCOPES))["token"]
    plan = company.plan(company.wish(token=token))
    assert "only a person" in plan.missing[0].why


def test_manual_steps_name_the_address_and_the_projects(company: Company):
    wish = company.wish()
    company.dies_after = {"integration"}
    with pytest.raises(Died):
        company.connect(wish)
    lines = " ".join(company.plan(replace(wish, token=company.sentry.token("org:read"))).manual)
    urls = Configurator(company.database, company.plans, company.vault).urls(URL, "sentry") or []
    assert urls[0] in lines
    assert "alert rules of backend" in lines


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"organization": "nobody"}, "knows no organisation nobody"),
        ({"projects": ("backnd",)}, "did you mean backend"),
        ({"service": None}, "say for which service"),
        ({"service": "nothing"}, "there is no service nothing"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_made(
    company: Company, said: dict[str, Any], sentence: str
):
    with pytest.raises(Invalid, match=sentence):
        company.connect(company.wish(**said))
    assert company.sentry.state()["apps"] == []
    assert company.connection() is None


@pytest.mark.parametrize(
    "fault",
    [
        {"away": True},
        {"html": True},
        {"status": 500},
        {"status": 429, "reset": 90},
        {"json": "cut"},
    ],
    ids=str,
)
@pytest.mark.parametrize("at", ["sentry-apps/$", "rules/$"])
def test_a_fault_in_the_middle_is_told_and_the_next_run_goes_on(
    company: Company, fault: dict[str, Any], at: str
):
    wish = company.wish()
    company.sentry.do("faults", **fault, path=at, method="POST")
    with pytest.raises(SentryError) as failed:
        company.connect(wish)
    assert wish.token not in str(failed.value)
    company.sentry.do("faults")
    company.lines = Lines(company.lines._http)
    company.connect(wish)
    state = company.sentry.state()
    assert len(state["apps"]) == len(state["rules"]) == 1
    assert company.plan(wish).left == ()


# -- how it stands, and back ----------------------------------------------------------------------


def test_a_connection_stands_well_until_something_is_gone(company: Company):
    wish = company.wish()
    company.connect(wish)

    def bad() -> list[str]:
        checks = company.connections.standing("sentry", CALLER).checks
        return [one.key for one in checks if not one.is_good]

    assert bad() == ["webhook"]
    rule = company.sentry.state()["rules"][0]["id"]
    path = f"/api/0/projects/acme/backend/rules/{rule}/"
    company.sentry.ask("DELETE", path, token=wish.token)
    assert bad() == ["rule:backend", "webhook"]
    slug = company.sentry.slugs()[0]
    said = {"webhookUrl": "http://elsewhere.example.com/"}
    company.sentry.ask("PUT", f"/api/0/sentry-apps/{slug}/", said, wish.token)
    assert bad() == ["app", "rule:backend", "webhook"]
    company.sentry.do("revoke", token=wish.token)
    assert bad() == ["token", "webhook"]


def test_a_connection_stands_with_the_integrations_own_token(company: Company):
    wish = company.wish()
    company.connect(wish)
    own = company.sentry.app_token(company.sentry.slugs()[0])
    company.connect(replace(wish, own_token=own))
    checks = company.connections.standing("sentry", CALLER).checks
    assert [one.key for one in checks if one.is_good] == [
        "token", "app", "rule:backend", "secret",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"status": "disabled"}, "of backend is disabled"),
        ({"actions": [{"id": "sentry.mail.actions.NotifyEmailAction"}]}, "no longer has the"),
    ],
    ids=str,
)
def test_a_rule_that_tells_no_more_is_said(company: Company, changed: dict[str, Any], said: str):
    wish = company.wish()
    company.connect(wish)
    (rule,) = company.sentry.state()["rules"]
    path = f"/api/0/projects/acme/backend/rules/{rule['id']}/"
    assert company.sentry.ask("PUT", path, {**rule, **changed}, wish.token)[0] == 200
    checks = {one.key: one for one in company.connections.standing("sentry", CALLER).checks}
    assert said in checks["rule:backend"].text
    assert not checks["rule:backend"].is_good
    assert checks["token"].is_good


def test_a_project_that_is_gone_is_not_the_tokens_fault(company: Company):
    company.connect(company.wish(projects=("backend", "search")))
    company.sentry.do("faults", status=404, path="projects/acme/backend/rules")
    checks = {one.key: one for one in company.connections.standing("sentry", CALLER).checks}
    assert "the project backend is gone" in checks["rule:backend"].text
    bad = [one.key for one in checks.values() if not one.is_good]
    assert bad == ["rule:backend", "webhook"]


def without_secrets(company: Company) -> None:
    """Take the client secrets out of the integration here."""
    (integration,) = company.plans.refresh().integrations
    company.database.run(
        lambda connection: within(connection, company.vault)["integrations"].merge(
            integration, {"signing_secrets": []}, CALLER, NOW
        )
    )
    company.plans.refresh()


def test_an_integration_without_its_client_secret_is_said(company: Company):
    company.connect(company.wish())
    without_secrets(company)
    checks = {one.key: one for one in company.connections.standing("sentry", CALLER).checks}
    assert "what nobody signed is taken" in checks["secret"].text
    assert not checks["secret"].is_good


def disconnect(company: Company, token: str | None = None) -> None:
    undoing = company.connections.undoing("sentry", token, CALLER)
    assert undoing.missing == ()
    for rule in undoing.rules:
        company.connections.take_rule(undoing, rule, token)
    company.connections.take_app(undoing, token)
    company.connections.forget("sentry", CALLER, NOW)


def test_disconnecting_takes_away_what_was_made_and_the_token(company: Company):
    company.connect(company.wish(projects=("backend", "search")))
    secrets = company.secrets()
    disconnect(company)
    state = company.sentry.state()
    assert (state["apps"], state["rules"], state["installations"]) == ([], [], [])
    assert company.connection() is None
    # Without a secret the integration would take what nobody signed.
    assert company.secrets() == secrets
    with company.database.read() as connection:
        row = connection.execute(sentry_connections.select()).mappings().one()
    assert row["token_encrypted"] == ""
    with pytest.raises(NotFound, match="no integration sentry that is connected"):
        company.connections.undoing("sentry", None, CALLER)


def test_disconnecting_leaves_a_rule_that_was_there_before_and_names_it(company: Company):
    company.connect(company.wish(projects=()))
    wish = company.wish(projects=("backend", "search"))
    rule = rule_by_hand(company, wish, company.sentry.slugs()[0])
    company.connect(wish)
    known = company.connection()
    assert known is not None
    assert {one.project: one.was_made for one in known.rules} == {"backend": False, "search": True}
    undoing = company.connections.undoing("sentry", None, CALLER)
    assert [one.project for one in undoing.rules] == ["search"]
    (left,) = undoing.left
    assert f"rule {rule} of backend in Sentry was not made by Tocsin" in left
    disconnect(company)
    state = company.sentry.state()
    assert [one["id"] for one in state["rules"]] == [rule]
    assert state["apps"] == []


def test_disconnecting_leaves_an_integration_that_was_there_before_and_names_it(company: Company):
    wish = company.wish(token=company.sentry.token(*ALL_SCOPES, "team:read"))
    app_by_hand(company, wish)
    company.connect(wish)
    # Nothing of the integration is deleted: the scope for that is not asked for.
    weak = company.sentry.token(*(one for one in ALL_SCOPES if one != "org:admin"))
    undoing = company.connections.undoing("sentry", weak, CALLER)
    (left,) = undoing.left
    assert "was not made by Tocsin" in left
    disconnect(company, weak)
    state = company.sentry.state()
    assert [one["name"] for one in state["apps"]] == ["By hand"]
    assert state["rules"] == []


def test_a_rule_that_was_noted_stays_the_one_beside_another_made_by_hand(company: Company):
    wish = company.wish()
    company.connect(wish)
    rule_by_hand(company, wish, company.sentry.slugs()[0])
    assert company.plan(wish).left == ()
    disconnect(company)
    assert [one["name"] for one in company.sentry.state()["rules"]] == ["Ours since years"]


def test_rules_noted_before_it_was_noted_who_made_them_are_ours(company: Company):
    company.connect(company.wish())
    with company.database.write() as connection:
        (row,) = connection.execute(sentry_connections.select()).mappings()
        old = [{name: one[name] for name in ("project", "rule_id")} for one in row["rules"]]
        connection.execute(sentry_connections.update().values(rules=old))
    disconnect(company)
    assert company.sentry.state()["rules"] == []


def test_connecting_again_after_that_works(company: Company):
    company.connect(company.wish())
    disconnect(company)
    company.connect(company.wish())
    assert len(company.sentry.state()["apps"]) == 1
    assert company.sentry.state()["apps"][0]["clientSecret"] in company.secrets()


def test_connecting_again_after_only_here_keeps_the_secret_and_what_was_made_is_ours(
    company: Company,
):
    company.connect(company.wish())
    (secret,) = company.secrets()
    company.connections.forget("sentry", CALLER, NOW)
    company.sentry.do("clock", forward=2 * 86_400)
    assert "rotate" not in " ".join(step.text for step in company.plan(company.wish()).left)
    assert company.connect(company.wish()).left == ()
    assert "rotate" not in str(company.sentry.requests("POST"))
    assert company.sentry.state()["apps"][0]["clientSecret"] == secret
    assert company.secrets() == (secret,)
    disconnect(company)
    assert (company.sentry.state()["apps"], company.sentry.state()["rules"]) == ([], [])


def test_a_secret_that_was_taken_out_here_meanwhile_is_rotated(company: Company):
    company.connect(company.wish())
    (secret,) = company.secrets()
    company.connections.forget("sentry", CALLER, NOW)
    without_secrets(company)
    company.sentry.do("clock", forward=2 * 86_400)
    company.connect(company.wish())
    assert company.sentry.state()["apps"][0]["clientSecret"] != secret
    assert company.secrets() == (company.sentry.state()["apps"][0]["clientSecret"],)


def test_disconnecting_what_is_gone_in_sentry_is_no_fault(company: Company):
    wish = company.wish()
    company.connect(wish)
    undoing = company.connections.undoing("sentry", None, CALLER)
    for _ in range(2):
        for rule in undoing.rules:
            company.connections.take_rule(undoing, rule, None)
        company.connections.take_app(undoing, None)
    company.connections.forget("sentry", CALLER, NOW)


@pytest.mark.parametrize("scope", ["org:admin", "alerts:write"])
def test_disconnecting_without_the_scope_takes_nothing_away(company: Company, scope: str):
    company.connect(company.wish())
    others = [one for one in ALL_SCOPES if one != scope]
    undoing = company.connections.undoing("sentry", company.sentry.token(*others), CALLER)
    assert [one.scope for one in undoing.missing] == [scope]
    assert any("delete the integration" in line for line in undoing.manual)
    assert company.sentry.requests("DELETE") == []


def test_a_connection_of_an_integration_that_is_gone_is_none(company: Company):
    company.connect(company.wish())
    file, source = parse(PEOPLE + ONE_STEP + SERVICES, "company.yaml")
    configurator = Configurator(company.database, company.plans, company.vault)
    configurator.apply(file, source, NOW, dry_run=False)
    assert company.connection() is None


# -- with components ------------------------------------------------------------------------------


def schema_of(_public_url: str, integration_id: str) -> dict[str, Any]:
    field = {"type": "text", "label": "Service", "name": "service"}
    settings = {
        "type": "alert-rule-settings",
        "uri": f"/components/{integration_id}/rule",
        "required_fields": [field],
    }
    return {"elements": [{"type": "alert-rule-action", "title": "Page", "settings": settings}]}


def test_with_components_a_rule_chooses_the_service_and_tocsin_is_asked(company: Company):
    with telephones() as phones:
        company.connector = Connector(
            company.database, company.plans, company.vault, phones.base, company.ask, schema_of
        )
        wish = company.wish()
        phones.answers.append((400, {}, b'{"message":"there is no service checkout"}'))
        with pytest.raises(SentryError, match="there is no service checkout"):
            company.connect(wish)
        company.connect(wish)
        state = company.sentry.state()
        (integration,) = company.plans.refresh().integrations
        assert state["apps"][0]["schema"] == schema_of("", integration)
        assert len(state["rules"]) == 1
        assert state["rules"][0]["actions"][0]["settings"] == [
            {"name": "service", "value": "checkout"}
        ]
        assert phones.rings[-1].path == f"/components/{integration}/rule"
        assert company.plan(wish).left == ()
