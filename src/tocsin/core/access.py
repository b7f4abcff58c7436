"""Who may do what: one table. And who sees what: by teams."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from tocsin.core.model import (
    Actor,
    Role,
)
from tocsin.core.plans import Plans, Schedule, Service


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
    #: Change people and API keys; and see what is of any team.
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
class Scope:
    """What a caller sees: what is of no team, and what is of these teams.

    What a caller does not see is, for them, not there: names are looked up in ``seen(plans)``, and
    ``store/sight.py`` narrows queries.
    """

    #: None: what is of any team.
    team_ids: frozenset[str] | None
    #: Whose incidents are seen whatever their team: those they have, or were paged for.
    user_id: str | None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is hidden."""
        return self.team_ids is None

    def has_team(self, team_id: str | None) -> bool:
        """Whether what is of this team, or of none, is seen."""
        return self.team_ids is None or team_id is None or team_id in self.team_ids

    def has(self, thing: Service | Schedule) -> bool:
        """Whether a service or schedule is seen."""
        return self.has_team(thing.team_id)

    def has_all(self, plans: Plans) -> bool:
        """Whether every service in use is seen."""
        return all(self.has(one) for one in plans.services.values() if not one.is_deleted)

    def seen(self, plans: Plans) -> Plans:
        """Return the plans as far as they are seen: for looking up names, never for deciding."""
        if self.is_everything:
            return plans
        services = {id_: one for id_, one in plans.services.items() if self.has(one)}
        return replace(
            plans,
            services=services,
            integrations={
                id_: one for id_, one in plans.integrations.items() if one.service_id in services
            },
            schedules={id_: one for id_, one in plans.schedules.items() if self.has(one)},
            maintenance_windows=tuple(
                one for one in plans.maintenance_windows if concerns(one.service_ids, services)
            ),
        )


#: What admins see, API keys that stand for no person, and the command line.
EVERYTHING = Scope(team_ids=None, user_id=None)


def concerns(service_ids: Collection[str], services: Mapping[str, Service]) -> bool:
    """Whether a maintenance window of these (of none: of all) is of any of those services."""
    return not service_ids or not services.keys().isdisjoint(service_ids)


def scope_of(plans: Plans, role: Role, user_id: str | None) -> Scope:
    """Return what a role sees; ``user_id`` is the person's, if there is one behind a key."""
    if user_id is None or may(role, Action.ADMINISTER):
        return EVERYTHING
    teams = plans.teams.values()
    return Scope(
        team_ids=frozenset(team.id for team in teams if user_id in team.member_ids),
        user_id=user_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks for something: by what name, in which role, and seeing what."""

    #: Its ``user_id`` is the person's, where there is one behind a key.
    by: Actor
    role: Role
    scope: Scope

    def may(self, action: Action) -> bool:
        """Whether their role has the action."""
        return may(self.role, action)


def least(*roles: Role) -> Role:
    """Return the one of these roles that may do least."""
    return min(roles, key=lambda role: len(ACCESS[role]))
