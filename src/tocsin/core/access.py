"""Who may do what: one table."""

from __future__ import annotations

from enum import StrEnum

from tocsin.core.model import (
    Role,
)


class Action(StrEnum):
    """What can be asked of Tocsin by a person or an API key."""

    #: See incidents, deliveries, notifications and configuration (secrets masked).
    READ = "read"
    #: Acknowledge, resolve, snooze, escalate, reassign, note, prioritise, open; send events.
    RESPOND = "respond"
    #: Feed a stored delivery in again.
    REPLAY = "replay"
    #: Change services, integrations, policies, schedules, teams.
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
