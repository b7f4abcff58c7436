"""Links in messages that open one incident, for one person, without signing in.

The address holds no secret but its signature: incident, person and end are signed together, with
the keys that the vault has, so nothing is stored and nothing has to be cleaned up. Opening it only
shows; the button acknowledges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from tocsin.core import effects as fx
from tocsin.core import incident as rules
from tocsin.core.access import EVERYTHING
from tocsin.core.incident import Refused
from tocsin.core.model import Actor, Incident
from tocsin.core.plans import Plans, User
from tocsin.store import incidents
from tocsin.store.casebook import Casebook
from tocsin.store.casefile import ids_of
from tocsin.store.db import Database
from tocsin.store.lists import MAX_DIGITS
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault
from tocsin.store.views import IncidentView, incident_view
from tocsin.work.respond import NotFound

#: How long a link is good for.
GOOD_FOR = timedelta(hours=24)

_PURPOSE = "answer"

#: Signature, incident, last minute, and the end of the person's id: dots, so that mail programs
#: take all of it for one address, and nothing at its end that they would leave out.
_TOKEN = re.compile(
    rf"([A-Za-z0-9_-]{{22}})\.([0-9]{{1,{MAX_DIGITS}}})\.([0-9a-f]{{1,8}})\.([0-9a-z]{{1,12}})"
)


class Altered(NotFound):
    """The link is not one we gave, or what it was about is gone."""

    def __init__(self) -> None:
        """Say so, with the remedy."""
        super().__init__(
            "this link is not one of ours, or it was cut short: open it from the message again, or"
            " sign in"
        )


class Expired(Refused):
    """The link was good once."""

    def __init__(self) -> None:
        """Say so, with the remedy."""
        hours = int(GOOD_FOR.total_seconds() / 3600)
        super().__init__(f"this link is older than {hours} hours: sign in to see the incident")


def answer_url(vault: Vault, base: str, incident: Incident, user_id: str, now: datetime) -> str:
    """Return the link by which a person acknowledges an incident."""
    minute = _minute(now + GOOD_FOR)
    signature = vault.sign(_PURPOSE, _signed(incident.id, user_id, minute))
    return f"{base}/a/{signature}.{incident.number}.{minute:x}.{_tail(user_id)}"


def _minute(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() // 60)


def _signed(incident_id: str, user_id: str, minute: int) -> str:
    return f"{incident_id} {user_id} {minute:x}"


def _tail(user_id: str) -> str:
    """Return enough of an id to find the person by; all of it is signed."""
    return user_id[-12:].rpartition("_")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a link is about, and for whom."""

    incident_id: str
    user: User


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a link shows."""

    incident: IncidentView
    user: User
    #: Whether the button would change anything.
    can_acknowledge: bool
    #: Until when the acknowledgement can be taken back; None: it cannot.
    undo_until: datetime | None


@dataclass(frozen=True, slots=True)
class Answers:
    """Where links are followed."""

    database: Database
    plans: PlansCache
    vault: Vault

    def show(self, token: str, now: datetime) -> Shown:
        """Return what a link is about; this changes nothing. Raises Altered, Expired."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            asked = self._asked(connection, plans, token, now)
            incident = incidents.load(connection, [asked.incident_id])[asked.incident_id]
            by = Actor(name=asked.user.email, user_id=asked.user.id)
            service = plans.services.get(incident.service_id)
            at = incident.acknowledged_at
            can_undo = at is not None and rules.can_undo(incident, asked.user.id, now)
            return Shown(
                incident=incident_view(connection, plans, asked.incident_id),
                user=asked.user,
                can_acknowledge=bool(rules.acknowledge(incident, by, service, now)),
                undo_until=at + rules.UNDO_FOR if at and can_undo else None,
            )

    def acknowledge(self, token: str, now: datetime) -> None:
        """Acknowledge as the person the link was for. Raises Altered, Expired."""

        def decide(incident: Incident, plans: Plans, by: Actor) -> Sequence[fx.Effect]:
            service = plans.services.get(incident.service_id)
            return rules.acknowledge(incident, by, service, now, "acknowledged by link")

        self._act(token, decide, now)

    def undo(self, token: str, now: datetime) -> None:
        """Take that back, shortly after. Raises Altered, Expired, and Refused."""
        self._act(token, lambda incident, _plans, by: rules.undo(incident, by, now), now)

    def _act(
        self,
        token: str,
        decide: Callable[[Incident, Plans, Actor], Sequence[fx.Effect]],
        now: datetime,
    ) -> None:
        def work(connection: Connection) -> None:
            plans = self.plans.current(connection)
            asked = self._asked(connection, plans, token, now)
            book = Casebook(connection, plans, now)
            book.load_incidents([asked.incident_id])
            incident = book.incident(asked.incident_id)
            assert incident is not None
            by = Actor(name=asked.user.email, user_id=asked.user.id)
            book.apply(decide(incident, plans, by), incident_id=incident.id)
            book.save()

        self.database.run(work)

    def _asked(self, connection: Connection, plans: Plans, token: str, now: datetime) -> Asked:
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise Altered
        signature, number, minute, tail = parts[1], int(parts[2]), int(parts[3], 16), parts[4]
        id_ = ids_of(connection, plans, EVERYTHING, [number]).get(number)
        # Who has left is not among them: their links are good for nothing.
        people = (user for user in plans.users.values() if _tail(user.id) == tail)
        for user in people:
            text = _signed(id_ or "", user.id, minute)
            if id_ is not None and self.vault.has_signed(_PURPOSE, text, signature):
                if _minute(now) >= minute:
                    raise Expired
                return Asked(incident_id=id_, user=user)
        raise Altered
