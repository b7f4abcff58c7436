"""A world of two teams: people of every role in the one, a manager in the other, things of both."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from tests.web.operations import SPAN, WINDOW
from tests.web.setup_world import Api
from tocsin.core.model import TOCSIN
from tocsin.store import sentry as connections
from tocsin.store.audit import Change
from tocsin.store.plans import changed
from tocsin.store.sentry import Opening

ROLES = ("viewer", "responder", "manager", "admin", "owner")

#: Who asks: a person of each role in the team ``payments``, and a manager in the team ``search``.
PEOPLE = (*ROLES, "outsider")

#: Stands in the name of everything of a team, and nowhere else.
WORDS = {"payments": "walrus", "search": "zebra"}

_MATES = {"payments": "mate@example.com", "search": "pal@example.com"}


def email_of(who: str) -> str:
    """Return a person's address."""
    return f"{who}@example.com"


def team_of(who: str) -> str:
    """Return a person's team."""
    return "search" if who == "outsider" else "payments"


def _hook(name: str) -> dict[str, str]:
    return {"name": "hook", "channel": "webhook", "address": f"https://phones.example.com/{name}"}


def set_up(api: Api) -> None:
    """Make the people with their keys, the teams, and what incidents come in by."""
    for who in PEOPLE:
        role = "manager" if who == "outsider" else who
        person = {"email": email_of(who), "name": who.title(), "role": role}
        api.ok("POST", "/users", person | {"contact_methods": [_hook(who)]})
        api.keys[who] = api.person_key(who)
    for team, mate in _MATES.items():
        methods = [_hook(team)]
        api.ok("POST", "/users", {"email": mate, "name": "Mate", "contact_methods": methods})
        members = [mate, *(email_of(who) for who in PEOPLE if team_of(who) == team)]
        body = {"name": team, "members": members}
        if team == "payments":
            api.ok("PUT", "/teams/payments", body)
        else:
            api.ok("POST", "/teams", body)
        word = WORDS[team]
        service = {"name": f"{word} shop", "team": team, "escalation_policy": "default"}
        api.ok("POST", "/services", service)
        integration = {"name": f"{word} sentry", "service": f"{word} shop"}
        api.ok("POST", "/integrations", integration | {"routing_key": f"key-of-{word}"})
    api.world.forget()


_numbers = itertools.count(1)


class Things:
    """Things of one team, made by the way for somebody who asks; each is made once."""

    def __init__(self, api: Api, team: str, who: str, mine: Things | None = None) -> None:
        """Take where they are made, whose they are, and for whom; ``mine`` are that one's own."""
        self.api = api
        self.team = team
        self.word = WORDS[team]
        self.who = who
        self.mine = mine or self
        self.made: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """Return the name of a thing, as paths and bodies have it."""
        if name.startswith("mine."):
            return self.mine(name.removeprefix("mine."))
        if name not in self.made:
            self.made[name] = _MAKERS[name](self)
        return self.made[name]

    def new(self) -> str:
        """Return a name that nothing has."""
        return f"{self.word}-{next(_numbers)}"

    def make(self, path: str, body: Any, key: str = "id", who: str = "root") -> str:
        """Make a thing as somebody who may make any; return what names it."""
        shown: str = self.api.ok("POST", path, body, who=who)[key]
        return shown

    def trigger(self) -> Any:
        """Let Sentry send something; return what became of it."""
        issue = {"id": self.new(), "title": f"T {self.word}", "level": "error"}
        body = json.dumps({"action": "created", "data": {"issue": issue}}).encode()
        path = f"/in/key-of-{self.word}"
        return self.api.world.post(path, body, prefer="wait=10").json()

    def number(self) -> str:
        """Return the incident's number."""
        return str(self.api.ok("GET", f"/incidents/{self('incident')}", who="root")["number"])

    def merged(self) -> str:
        """Merge another incident into this; return the key of its alert."""
        other = self.trigger()["incident_id"]
        into = {"into": self("incident")}
        key: str = self.api.ok("POST", f"/incidents/{other}/merge", into, who="root")["dedup_key"]
        return key

    def schedule(self) -> str:
        """Make a schedule in which whoever asks and their mate are always on call."""
        layer = {
            "name": "l",
            "rotation": {"unit": "week", "start": "2025-01-06T00:00"},
            "participants": [[email_of(self.who), _MATES[self.team]]],
        }
        body = {"name": self.new(), "team": self.team, "layers": [layer]}
        return self.make("/schedules", body, "name")

    def calendar(self) -> str:
        """Make a schedule that takes its shifts from a calendar; return its name."""
        layer = {"name": "l", "calendar": f"https://calendars.example.com/{self.new()}"}
        body = {"name": self.new(), "team": self.team, "layers": [layer]}
        name = self.make("/schedules", body, "name")
        self.api.world.settle()
        return name

    def override(self) -> str:
        """Make an override as whoever asks, for only their own may they take back; else as root."""
        path = f"/schedules/{self('schedule')}/overrides"
        body = {"user": email_of(self.who), **WINDOW}
        answer = self.api.call("POST", path, body, who=self.who)
        if answer.status_code < 300:
            id_: str = answer.json()["id"]
            return id_
        return self.make(path, body)

    def joined(self) -> str:
        """Make an integration that is connected with a Sentry that is away; return its name."""
        body = {"name": self.new(), "service": f"{self.word} shop"}
        name = self.make("/integrations", body, "name")
        integration = self.api.ok("GET", f"/integrations/{name}", who="root")["id"]
        world = self.api.world
        opening = Opening(
            host="http://127.0.0.1:9", organization=self.word, token="t", scopes=(),
            actor_type=None, actor_id=None,
        )  # fmt: skip

        def work(connection: Connection) -> None:
            connections.put(connection, world.vault, integration, opening, world.now)
            told = Change(kind="sentry.connected", subject=name)
            changed(connection, world.now, TOCSIN, told)

        world.database.run(work)
        return name

    def contact(self) -> str:
        """Make a contact method of whoever asks, if they may; else return one that is there."""
        body = {"name": self.new(), "channel": "email", "address": "n@example.com"}
        if team_of(self.who) == self.team and self.who != "viewer":
            return self.make("/me/contact-methods", body, who=self.who)
        of = {"payments": "viewer", "search": "outsider"}[self.team]
        id_: str = self.api.ok("GET", "/me/contact-methods", who=of)["items"][0]["id"]
        return id_


class Nothing(Things):
    """What is not there, by names that nothing has."""

    #: What is there all the same.
    there: tuple[str, ...] = ("new", "me", "mate", "team", "word")

    def __call__(self, name: str) -> str:
        """Return a name."""
        if name in self.there:
            return super().__call__(name)
        return self.made.setdefault(name, f"no-{name}")


class NothingOfATeam(Nothing):
    """No thing of a team; but what is everybody's, and what is the caller's own."""

    there = (*Nothing.there, "policy", "mine.incident", "mine.service", "mine.schedule",
             "mine.integration", "mine.window")  # fmt: skip


_MAKERS: Mapping[str, Callable[[Things], str]] = {
    "new": Things.new,
    "word": lambda my: my.word,
    "me": lambda my: email_of(my.who),
    "mate": lambda my: _MATES[my.team],
    "team": lambda my: my.team,
    "person": lambda my: my.make(
        "/users", {"email": f"{my.new()}@example.com", "name": "N"}, "email"
    ),
    "reachable": lambda my: my.make(
        "/users",
        {"email": f"{my.new()}@example.com", "name": "N", "contact_methods": [_hook("n")]},
        "email",
    ),
    "group": lambda my: my.make("/teams", {"name": my.new()}, "name"),
    "policy": lambda my: my.make("/escalation-policies", {"name": my.new()}, "name"),
    "absence": lambda my: my.make("/absences", {"user": email_of(my.who), **SPAN}),
    "service": lambda my: my.make(
        "/services",
        {"name": my.new(), "team": my.team, "escalation_policy": "default"},
        "name",
    ),
    "service_of_incidents": lambda my: f"{my.word} shop",
    "integration": lambda my: my.make(
        "/integrations", {"name": my.new(), "service": f"{my.word} shop"}, "name"
    ),
    "joined": Things.joined,
    "integration_of_deliveries": lambda my: f"{my.word} sentry",
    "window": lambda my: my.make(
        "/maintenance-windows", {"reason": my.new(), "services": [f"{my.word} shop"], **SPAN}
    ),
    "schedule": Things.schedule,
    "calendar": Things.calendar,
    "override": Things.override,
    "swap": lambda my: my.make(
        f"/schedules/{my('schedule')}/swaps", {"user": _MATES[my.team], **WINDOW}
    ),
    "offer": lambda my: my.make(
        f"/schedules/{my('schedule')}/swaps", {"user": email_of(my.who), **WINDOW}
    ),
    "feed": lambda my: my.make("/calendar-feeds", {"schedule": my("schedule")}),
    "incident": lambda my: my.trigger()["incident_id"],
    "another": lambda my: my.trigger()["incident_id"],
    "delivery": lambda my: my.trigger()["delivery_id"],
    "number": Things.number,
    "merged": Things.merged,
    "contact": Things.contact,
    "key": lambda my: my.make("/api-keys", {"name": my.new(), "role": "viewer"}),
}
