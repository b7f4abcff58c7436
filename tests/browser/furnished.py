"""A Tocsin with something of every kind in it, in which an owner is signed in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import BrowserContext

from tests.outside import Tocsin, until
from tests.pages.things import filled
from tocsin.core.access import EVERYTHING
from tocsin.core.model import Role
from tocsin.core.plans import Plans, User
from tocsin.sentry.sender import Issue, headers_of, legacy_webhook, webhook
from tocsin.store import incidents, sessions, views
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault
from tocsin.work.accounts import COMMAND_LINE, Accounts
from tocsin.work.answer import answer_url
from tocsin.work.configfile import parse
from tocsin.work.configure import Configurator
from tocsin.work.manage import Office

SECRET = "the-client-secret"

PASSWORD = "three odd words"

#: Whatever would run, sets ``window.ran``.
HOSTILE = (
    "<script>window.ran = 1</script>",
    "><img src=x onerror='window.ran = 1'>",
    "{{ 7 * 7 }}",
    "🦊\u200d🔥",
)

#: It ends the attribute that it may stand in, turns letters around, and is long.
TITLE = '"'.join((*HOSTILE, "\u202eevil\u2066 ")).ljust(10_000, "W")

CONFIGURATION = """
users:
  - {email: ann@example.com, name: Ann Archer, role: owner, time_zone: Europe/Berlin,
     contact_methods: [{name: mail, channel: email, address: ann@example.com},
                       {name: hook, channel: webhook, address: "http://127.0.0.1:9/ann"}]}
  - {email: bob@example.com, name: Bob Baker, time_zone: America/New_York,
     contact_methods: [{name: hook, channel: webhook, address: "http://127.0.0.1:9/bob"}]}
  - {email: cat@example.com, name: Cat Carter, role: manager}
  - {email: a.person.with.quite.a.long.name@a-long-name-of-a-host.example.com,
     name: Bartholomew Featherstonehaugh-Cholmondeley, role: viewer}
teams:
  - {name: payments, members: [ann@example.com, bob@example.com, cat@example.com]}
schedules:
  - name: primary
    time_zone: Europe/Berlin
    team: payments
    layers:
      - {name: weekly, rotation: {unit: week, start: "2026-01-05T09:00"},
         participants: [ann@example.com, bob@example.com, cat@example.com]}
      - {name: nights, rotation: {unit: day, start: "2026-01-05T20:00"},
         participants: [bob@example.com, cat@example.com],
         restrictions: [{days: [mon, tue, wed], from: "20:00", to: "06:00"}]}
  - {name: with a gap, time_zone: America/New_York,
     layers: [{name: days, rotation: {unit: day, start: "2026-01-05T09:00"},
               participants: [bob@example.com],
               restrictions: [{days: [mon, fri], from: "09:00", to: "17:00"}]}]}
escalation_policies:
  - name: default
    repeat: 1
    steps:
      - {targets: [{schedule: primary}], wait: 5m}
      - {targets: [{user: cat@example.com}, {team: payments}], wait: 15m}
services:
  - {name: checkout, team: payments, escalation_policy: default, acknowledge_timeout: 30m}
  - {name: a-service-with-quite-a-long-name-without-any-space-in-it, escalation_policy: default}
integrations:
  - {name: sentry, service: checkout, routing_key: the-routing-key,
     signing_secrets: [the-client-secret]}
  - {name: plugin, service: checkout, routing_key: the-key-of-the-plugin}
  - {name: events, source: events, service: checkout, routing_key: the-key-of-events}
fallback: {user: ann@example.com}
"""


@dataclass(slots=True)
class Furnished:
    """A Tocsin that runs, what is in it, and who may look."""

    tocsin: Tocsin
    database: Database
    vault: Vault
    #: The key of a session of Ann, who is the owner.
    session: str
    api_key: str
    #: Something for every parameter of a path, as ``tests/pages/things.py`` names it.
    things: Mapping[str, str]

    @property
    def base(self) -> str:
        """Its address."""
        return self.tocsin.base

    def path(self, pattern: str) -> str:
        """Return the address of a page, with a thing behind every parameter."""
        return self.base + filled(pattern, self.things)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API, as an owner."""
        return self.tocsin.api(self.api_key, method, path, body)

    def sentry(self, id_: str, action: str = "created", **issue: Any) -> None:
        """Send what Sentry sends, and wait until it is processed."""
        hook = webhook("issue", action, Issue(id=id_, **issue))
        answer = self.tocsin.request(
            "POST", "/in/the-routing-key", hook.body, headers_of(hook, SECRET)
        )
        assert answer.status == 202, answer.body
        self.settle()

    def settle(self) -> None:
        """Wait until all that was sent is processed."""
        waiting = "/deliveries?status=accepted"
        until(lambda: not self.api("GET", waiting)["items"], "every delivery is processed")

    def sign_in(self, context: BrowserContext) -> BrowserContext:
        """Let a browser in, as Ann."""
        context.add_cookies([{"name": "tocsin", "value": self.session, "url": self.base}])
        return context

    def answer_link(self, number: int) -> str:
        """Return the link in Ann's message about an incident."""
        with self.database.read() as connection:
            plans = PlansCache(self.database, self.vault).current(connection)
            id_ = views.incident_id(connection, plans, EVERYTHING, str(number))
            assert id_ is not None
            incident = incidents.load(connection, [id_])[id_]
        ann = _person(plans, "ann").id
        return answer_url(self.vault, self.base, incident, ann, datetime.now(UTC))


def furnish(tocsin: Tocsin, vault: Vault) -> Furnished:
    """Set up, before it starts, who is there; then start it, and let things happen."""
    database = Database(tocsin.environment["TOCSIN_DATABASE_URL"])
    plans = PlansCache(database, vault)
    now = datetime.now(UTC)
    file, source = parse(CONFIGURATION, "furnished.yaml")
    Configurator(database, plans, vault).apply(file, source, now, dry_run=False)
    ann, bob = (_person(plans.refresh(), who) for who in ("ann", "bob"))
    api_key = Office(database, plans, vault).create_api_key("tests", Role.OWNER, now)
    accounts = Accounts(database, plans, vault)
    invited = accounts.invite(COMMAND_LINE, "dan@example.com", "Dan", "responder", now)
    accounts.give_password(bob.id, PASSWORD, now)
    reset = accounts.link(COMMAND_LINE, bob.id, now)
    session = database.run(
        lambda connection: sessions.begin(connection, ann.id, "Firefox on Linux", "127.0.0.1", now)
    )
    tocsin.start()
    made = Furnished(tocsin, database, vault, session, api_key, {})
    made.things = {
        **_happened(made),
        **_arranged(made, now),
        "person": bob.id,
        "method": ann.contact_methods[0].id,
        "invitation": invited.key,
        "reset": reset.key,
        "setup": setup_link(tocsin).rpartition("/")[2],
        "answer": made.answer_link(2).rpartition("/")[2],
    }
    return made


def _person(plans: Plans, who: str) -> User:
    return next(one for one in plans.users.values() if one.email == f"{who}@example.com")


def _happened(made: Furnished) -> Mapping[str, str]:
    """Let webhooks of every kind come in."""
    made.sentry("1", title="TypeError: Cannot read property 'total' of undefined", level="fatal")
    made.sentry("2", title=TITLE)
    delivery = made.api("GET", "/deliveries")["items"][0]["id"]
    made.sentry("3", level="warning", priority="low")
    made.sentry("3", "resolved", level="warning")
    plugin = legacy_webhook(Issue(id="4", level="info"))
    made.tocsin.post("/in/the-key-of-the-plugin", plugin.body)
    made.tocsin.post("/in/the-routing-key", b'{"not": "signed"}')
    made.tocsin.post("/in/the-key-of-the-plugin", b"not json")
    made.tocsin.post("/in/the-key-of-the-plugin", b'{"unheard": "of"}')
    made.settle()
    made.api("POST", "/incidents/1/acknowledge", {})
    return {"delivery": delivery}


def _arranged(made: Furnished, now: datetime) -> Mapping[str, str]:
    """Make what is no part of a configuration file."""
    begins, ends = (f"{now + timedelta(hours=n):%Y-%m-%dT%H:%MZ}" for n in (1, 2))
    span = {"from": begins, "to": ends}
    window = {"services": ["checkout"], "reason": "A new version of the database", **span}
    override = {"user": "bob@example.com", **span}
    return {
        "window": made.api("POST", "/maintenance-windows", window)["id"],
        "override": made.api("POST", "/schedules/primary/overrides", override)["id"],
        "feed": made.api("POST", "/calendar-feeds", {"schedule": "primary"})["id"],
        "team": made.api("GET", "/teams/payments")["id"],
    }


def setup_link(tocsin: Tocsin) -> str:
    """Return the link that ``serve`` printed."""
    found: str = until(lambda: _printed(tocsin), "serve printed a link to set it up")
    return found


def _printed(tocsin: Tocsin) -> str:
    found = re.search(r"^    (http://\S+/setup/\S+)$", tocsin.log.read_text(), re.MULTILINE)
    return found[1] if found else ""
