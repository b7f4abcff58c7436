"""What a rule at the source chose for the incidents it opens: service, urgency, policy.

A choice names things, as people do; what it names may be gone by the time the rule fires. Then the
service that would have had it without the choice has it, and the timeline says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tocsin.core.model import Urgency
from tocsin.core.plans import Integration, Plans, Policy, Service

_T = TypeVar("_T", Service, Policy)

#: The names of the fields that a rule fills in.
SERVICE = "service"
URGENCY = "urgency"
POLICY = "escalation_policy"

#: A name and a value, as the rule has them.
Choices = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a rule chose, as far as it is there."""

    service: Service | None = None
    urgency: Urgency | None = None
    policy: Policy | None = None
    #: One sentence for each thing it names that is not there.
    missing: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Say what was chosen; empty for nothing."""
        parts = (
            f"service {self.service.name}" if self.service else "",
            f"{self.urgency} urgency" if self.urgency else "",
            f"policy {self.policy.name}" if self.policy else "",
        )
        said = ", ".join(part for part in parts if part)
        return f"the rule chose {said}" if said else ""


NO_CHOICE = Chosen()


def offered(plans: Plans, integration: Integration) -> list[Service]:
    """Return the services that rules of an integration may name, by name.

    Whoever can change a rule at the source may not be in every team here. An integration of a
    team's service offers what that team sees, and what its routes lead to already; one of a service
    that is of no team stands for the whole installation.
    """
    own = plans.services.get(integration.service_id)
    team_id = own.team_id if own else None
    routed = {route.service_id for route in integration.routes}
    found = (
        one
        for one in plans.services.values()
        if not one.is_deleted
        and (team_id is None or one.team_id in (None, team_id) or one.id in routed)
    )
    return sorted(found, key=lambda one: one.name)


def choose(choices: Choices, plans: Plans, integration: Integration) -> Chosen:
    """Find what a rule chose; an empty value chose nothing."""
    if not choices:
        return NO_CHOICE
    wanted = {name: value.strip() for name, value in choices if value.strip()}
    missing: list[str] = []
    service = _named(wanted.get(SERVICE), offered(plans, integration), "service", missing)
    policy = _named(wanted.get(POLICY), plans.policies.values(), "escalation policy", missing)
    return Chosen(
        service=service,
        urgency=_urgency(wanted.get(URGENCY), missing),
        policy=policy,
        missing=tuple(missing),
    )


def _named(name: str | None, things: Iterable[_T], noun: str, missing: list[str]) -> _T | None:
    if name is None:
        return None
    by_name = {thing.name: thing for thing in things}
    found = by_name.get(name)
    if found is None:
        missing.append(f"there is no {noun} {name[:200]!r}{_hint(name, by_name)}")
    return found


def _urgency(word: str | None, missing: list[str]) -> Urgency | None:
    if word is None:
        return None
    known = {one.value: one for one in Urgency}
    if word not in known:
        missing.append(f"there is no urgency {word[:200]!r}: choose high or low")
    return known.get(word)


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:200], list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
