"""What people answer to messages: from an address and a text to a change and an answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core.model import (
    Actor,
)
from tocsin.core.plans import ContactMethod, Plans
from tocsin.core.reply import (
    HELP,
    Ask,
    Code,
    Command,
    concerns,
    parse,
    told_of_many,
    told_of_one,
    told_unknown,
)
from tocsin.store import replies
from tocsin.store.casebook import Casebook
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache
from tocsin.work import respond

_DO = {Ask.ACKNOWLEDGE: respond.acknowledge, Ask.CLOSE: respond.resolve}


@dataclass(frozen=True, slots=True)
class Replies:
    """Where answers come in."""

    database: Database
    plans: PlansCache

    def answer(self, channel: str, address: str, text: str, now: datetime) -> str:
        """Do what an answer asks for; return what to say back, empty for nothing.

        1. An address that is nobody's, or not verified, changes nothing and hears nothing.
        2. A number that stands for nothing changes nothing.
        3. A number of an incident concerns that; one of a service, all it was paged for there.
        """
        command = parse(text)

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            methods = _methods(plans, channel, address)
            if not methods:
                return ""
            if command is None or command.ask is Ask.HELP:
                return HELP
            found = _find(connection, methods, command)
            if found is None:
                return told_unknown(command.code)
            return _act(connection, plans, *found, command.ask, now)

        return self.database.run(work)


def _methods(plans: Plans, channel: str, address: str) -> list[ContactMethod]:
    return [
        method
        for user in plans.users.values()
        for method in user.contact_methods
        if method.is_usable and (method.channel, method.address) == (channel, address)
    ]


def _find(
    connection: Connection, methods: list[ContactMethod], command: Command
) -> tuple[ContactMethod, Code] | None:
    """Find what a number stands for; where people share an address, what was said there last."""
    known = replies.load(connection, [method.id for method in methods])
    found = [
        (method, code)
        for method in methods
        for code in known[method.id]
        if code.code == command.code
    ]
    return max(found, key=lambda one: one[1].used_at, default=None)


def _act(
    connection: Connection,
    plans: Plans,
    method: ContactMethod,
    code: Code,
    ask: Ask,
    now: datetime,
) -> str:
    user, subject = plans.users[method.user_id], code.subject
    if subject.incident_id is not None:
        ids = [subject.incident_id]
    else:
        ids = replies.paged(connection, method.id, subject.service_id or "")
    book = Casebook(connection, plans, now)
    book.load_incidents(ids)
    before = [found for id_ in ids if (found := book.incident(id_))]
    by = Actor(name=user.email, user_id=user.id)
    if subject.incident_id is None:
        before = [incident for incident in before if concerns(ask, incident, by)]
    decide = _DO[ask](by)
    for incident in before:
        book.apply(decide(incident, plans, now), incident_id=incident.id)
    book.save()
    if subject.incident_id is None:
        service = plans.services.get(subject.service_id or "")
        return told_of_many(ask, len(before), service.name if service else "?")
    return told_of_one(ask, before[0]) if before else told_unknown(code.code)
