"""Who may do what: one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tocsin.core.model import (
    Actor,
    Role,
)


class Action(StrEnum):
    """What can be asked of Tocsin by a person or an API key."""

    #: See incidents, deliveries, notifications and configuration (secrets masked).
    READ = "read"
    #: Acknowledge, resolve, snooze, escalate, reassign, note, prioritise, open; send events; and
    #: with a person behind the key: take shifts, offer their own, and be away.
    RESPOND = "respond"
    #: Feed a stored delivery in again.
    REPLAY = "replay"
    #: Change services, integrations, policies, schedules, teams, maintenance windows; and what
    #: concerns other people: their overrides, swaps and absences.
    CONFIGURE = "configure"
    #: Change people and API keys.
    ADMINISTER = "administer"
    #: Change owners.
    OWN = "own"


_LADDER = tuple(Action)

#: Role to the actions it has.
ACCESS: dict[Role, frozenset[Action]] = {
    Role.VIEWER: frozenset(_LADDER[:1]),
    Role.RESPONDER: frozenset(_LADDER[:2]),
    Role.MANAGER: frozenset(_LADDER[:4]),
    Role.ADMIN: frozenset(_LADDER[:5]),
    Role.OWNER: frozenset(_LADDER),
}


def may(role: Role, action: Action) -> bool:
    """Whether the role has the action."""
    return action in ACCESS[role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks for something: by what name, and in which role."""

    #: Its ``user_id`` is the person's, where there is one behind a key.
    by: Actor
    role: Role

    def may(self, action: Action) -> bool:
        """Whether their role has the action."""
        return may(self.role, action)


def least(*roles: Role) -> Role:
    """Return the one of these roles that may do least."""
    return min(roles, key=lambda role: len(ACCESS[role]))
