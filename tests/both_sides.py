"""A world joined with a fake Sentry: one pretend clock, and webhooks that go when they are let."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Self

from sqlalchemy import Connection, select

from tests.fakes import FakeSentry
from tests.world import KEY, ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.model import TOCSIN
from tocsin.core.sentry import Acknowledging, Switches
from tocsin.sentry.client import Lines
from tocsin.store import sentry as connections
from tocsin.store.audit import Change
from tocsin.store.plans import changed
from tocsin.store.sentry import Opening, RuleMade
from tocsin.store.tables import sentry_tasks
from tocsin.store.vault import Vault, new_secret_key

_ACTION = "sentry.rules.actions.notify_event_service.NotifyEventServiceAction"
_CONDITION = "sentry.rules.conditions"

#: When a rule of ours fires.
CONDITIONS = [
    {"id": f"{_CONDITION}.first_seen_event.FirstSeenEventCondition"},
    {"id": f"{_CONDITION}.regression_event.RegressionEventCondition"},
    {"id": f"{_CONDITION}.reappeared_event.ReappearedEventCondition"},
]

#: How Sentry goes wrong; ``slow`` is longer than the world waits in these tests.
FAULTS: dict[str, dict[str, Any]] = {
    "away": {"away": True},
    "slow": {"slow": 1},
    "HTML": {"html": True},
    "500": {"status": 500},
    "429": {"status": 429, "retry_after": 600},
    "wrong JSON": {"json": "wrong"},
    "cut JSON": {"json": "cut"},
    "another shape": {"json": "list"},
}

#: Everything that can be switched on.
ALL_ON = Switches(acknowledge=Acknowledging.ASSIGN, resolve=True, note=True, snooze=True, link=True)


@dataclass(slots=True)
class BothSides:
    """What happens on either side, and what goes between them."""

    world: World
    sentry: FakeSentry
    app: str = ""
    connection_id: str = ""
    #: Webhooks that Sentry has made and nobody has got yet.
    on_the_way: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def join(
        cls,
        world: World,
        sentry: FakeSentry,
        switches: Switches = ALL_ON,
        *,
        as_person: bool = False,
    ) -> Self:
        """Connect them, as ``tocsin sentry connect`` would."""
        made = cls(world, sentry)
        sentry.stop_clock(world.now)
        sentry.do("webhooks", sending=False)
        person = sentry.token()
        status, app = sentry.ask(
            "POST",
            "/api/0/sentry-apps/",
            {
                "name": "Tocsin",
                "organization": "acme",
                "webhookUrl": f"http://tocsin.test/in/{KEY}",
                "scopes": ["event:read", "event:write", "project:read", "org:read"],
                "events": ["issue", "comment"],
                "isAlertable": True,
                "isInternal": True,
            },
            person,
        )
        assert status == 201, app
        made.app = app["slug"]
        rule = {
            "name": "Tell Tocsin",
            "conditions": CONDITIONS,
            "actions": [{"id": _ACTION, "service": made.app}],
            "actionMatch": "any",
            "frequency": 5,
        }
        status, rule = sentry.ask("POST", "/api/0/projects/acme/backend/rules/", rule, person)
        assert status == 201, rule
        token = person if as_person else sentry.app_token(made.app)
        world.database.run(lambda c: made._connect(c, app, rule, token, switches, as_person))
        world.plans.refresh()
        made.forward(seconds=1)
        return made

    def _connect(
        self,
        connection: Connection,
        app: dict[str, Any],
        rule: dict[str, Any],
        token: str,
        switches: Switches,
        as_person: bool,
    ) -> None:
        now, vault = self.world.now, self.world.vault
        integrations = self.world.plans.current(connection).integrations
        integration = next(one.id for one in integrations.values() if one.name == "sentry")
        ann = next(one for one in self.sentry.state()["members"] if one["name"] == "Ann")
        actor = ("user", ann["user"]["id"]) if as_person else ("application", app["uuid"])
        opening = Opening(
            host=self.sentry.url,
            organization="acme",
            token=token,
            scopes=(),
            actor_type=actor[0],
            actor_id=actor[1],
        )
        id_ = connections.put(connection, vault, integration, opening, now)
        installation = self.sentry.state()["installations"][0]["uuid"]
        connections.set_app(connection, id_, app["slug"], app["uuid"], installation)
        connections.set_rules(connection, id_, [RuleMade(project="backend", rule_id=rule["id"])])
        connections.set_switches(connection, id_, switches)
        changed(connection, now, TOCSIN, Change(kind="sentry.connected", subject="acme"))
        self.connection_id = id_

    def seal_off(self) -> str:
        """Connect a second organisation, by a token that nobody can open; return its id."""
        world = self.world
        extra = "  - {name: other, service: checkout, routing_key: another-routing-key}\n"
        world.configure(PEOPLE, ONE_STEP, SERVICE + extra)
        found = world.plans.refresh().integrations.values()
        integration = next(one.id for one in found if one.name == "other")
        opening = Opening(
            host=self.sentry.url, organization="gone", token="t", scopes=(),
            actor_type=None, actor_id=None,
        )  # fmt: skip
        vault = Vault([new_secret_key()])
        return world.database.run(
            lambda c: connections.put(c, vault, integration, opening, world.now)
        )

    # -- time

    def forward(self, **span: float) -> None:
        """Let time pass on both sides, stopping wherever something is due here."""
        world = self.world
        target = world.now + timedelta(**span)
        while (due := world._next_due()) is not None and due <= target:
            self._at(max(due, world.now))
            world.settle()
        self._at(target)
        world.settle()

    def _at(self, now: Any) -> None:
        self.world.now = now
        self.sentry.stop_clock(now)

    def be_well(self) -> None:
        """Let Sentry be well again; what it wanted us to wait, by the real clock, is over."""
        self.sentry.do("faults")
        if self.world._outside is not None:
            self.world._sentries = Lines(self.world._outside)

    # -- what goes between them

    def fetch(self) -> None:
        """See which webhooks Sentry has made since."""
        self.on_the_way += self.sentry.do("take")["webhooks"]

    def deliver(self, at: int = 0, *, copies: int = 1, is_lost: bool = False) -> None:
        """Let one webhook arrive, or be lost."""
        hook = self.on_the_way.pop(at)
        for _ in range(0 if is_lost else copies):
            headers = {k: v for k, v in hook["headers"].items() if k != "Sentry-Hook-Signature"}
            body = base64.b64decode(hook["body_base64"])
            response = self.world.raw("POST", f"/in/{KEY}", content=body, headers=headers)
            assert response.status_code == 202, response.text
        self.world.settle()

    def deliver_all(self) -> None:
        """Let all arrive that is on its way, and what follows from it, in order."""
        self.fetch()
        while self.on_the_way:
            self.deliver()
            self.fetch()

    def lose_all(self) -> list[str]:
        """Let nothing arrive of what is on its way; return what it was."""
        self.fetch()
        lost = [f"{one['resource']}.{one['action']}" for one in self.on_the_way]
        self.on_the_way.clear()
        return lost

    # -- what happens in Sentry

    def breaks(self, **said: Any) -> str:
        """Let something new break; return the issue's id."""
        return str(self.sentry.issue(**{"project": "backend", **said})["id"])

    def happens_again(self, issue: str) -> None:
        """Let an issue happen again."""
        self.sentry.do("event", issue=issue)

    def issue(self, id_: str) -> dict[str, Any]:
        """Return an issue as Sentry has it."""
        return dict(self.sentry.state()["issues"][id_])

    def writes(self) -> list[tuple[str, str]]:
        """Return what changed anything in Sentry by its API."""
        return self.sentry.requests("PUT", "POST", "DELETE")

    # -- how things stand here

    def tasks(self) -> list[dict[str, Any]]:
        """Return every task, in order."""
        with self.world.database.read() as connection:
            rows = connection.execute(select(sentry_tasks).order_by(sentry_tasks.c.id))
            return [dict(row) for row in rows.mappings()]

    def states(self) -> list[tuple[str, str]]:
        """Return what is asked of Sentry by people, and how far it has come."""
        return [(t["act"], t["state"]) for t in self.tasks() if t["act"] not in ("context", "link")]

    def said(self, number: int = 1) -> list[str]:
        """Return the texts of a timeline, in order."""
        return [entry.text for entry in self.world.incident(number).timeline]

    def outcomes(self) -> Sequence[tuple[str | None, str | None]]:
        """Return what became of every delivery."""
        return [(one.verb, one.outcome) for one in self.world.deliveries()]


def switches(**changes: Any) -> Switches:
    """Return switches that are off but for these."""
    return Switches(**{**asdict(Switches(link=False)), **changes})
