"""Escalation policies before they are saved: what one that was only written down would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tocsin.core.explain import Explanation, explain, step_faults
from tocsin.core.model import Priority, Severity
from tocsin.core.plans import Plans, Policy, Service, Step, Target
from tocsin.core.times import parse_span
from tocsin.work.collection import check
from tocsin.work.configfile import NOWHERE, BadFile, PolicyTable, TargetTable, dangling
from tocsin.work.currentfile import current_file
from tocsin.work.respond import NotFound

#: Of what is not stored.
_DRAFT = "draft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What a policy would do, and what is wrong with it, step by step."""

    explanation: Explanation
    #: By the number of the step, from 1.
    faults: Mapping[int, tuple[str, ...]]


def policy_named(plans: Plans, reference: str) -> Policy:
    """Return the policy of an id or name. Raises NotFound."""
    found = plans.policies.get(reference) or next(
        (one for one in plans.policies.values() if one.name == reference), None
    )
    if found is None:
        raise NotFound(f"there is no escalation policy {reference}")
    return found


def users_of(plans: Plans, policy: Policy) -> list[Service]:
    """Return the services that use a policy, by name."""
    using = (
        service
        for service in plans.services.values()
        if service.escalation_policy_id == policy.id and not service.is_deleted
    )
    return sorted(using, key=lambda one: one.name)


def foretell(
    plans: Plans,
    policy: Policy,
    service: Service | None,
    severity: Severity,
    priority: Priority | None,
    at: datetime,
) -> Foretold:
    """Say what a policy would do for an incident that begins at a time; of any service, if none."""
    used_by = replace(
        service
        or Service(
            id=_DRAFT,
            name=f"a service with {policy.name}",
            team_id=None,
            escalation_policy_id=None,
            urgency={},
        ),
        escalation_policy_id=policy.id,
    )
    supposed = replace(
        plans,
        policies={**plans.policies, policy.id: policy},
        services={**plans.services, used_by.id: used_by},
    )
    told = explain(supposed, used_by, severity, priority, at)
    return Foretold(explanation=told, faults=step_faults(supposed, policy, told.urgency, at))


def draft_policy(plans: Plans, row: PolicyTable, replaces: Policy | None) -> Policy:
    """Return the policy that a table would make, by the rules of the file. Raises BadFile.

    ``replaces`` is the one it would be in the place of.
    """
    check(row)
    base = current_file(replace(plans, integrations={}), {})
    old = replaces.name if replaces else None
    base.escalation_policies = [one for one in base.escalation_policies if one.name != old]
    base.escalation_policies.append(row)
    for service in base.services:
        if service.escalation_policy == old and old is not None:
            service.escalation_policy = row.name
    findings = list(dangling(base, NOWHERE))
    if findings:
        raise BadFile(findings)
    return Policy(
        id=replaces.id if replaces else _DRAFT,
        name=row.name,
        repeat=row.repeat,
        steps=tuple(
            Step(
                targets=tuple(_target(plans, target) for target in step.targets),
                wait=parse_span(step.wait),
                everybody=step.everybody,
                id=f"{_DRAFT}-{number}",
            )
            for number, step in enumerate(row.steps)
        ),
    )


def _target(plans: Plans, row: TargetTable) -> Target:
    """Read a target, whose names are all known."""
    emails = {user.email: user.id for user in plans.users.values()}
    if row.round_robin is not None:
        return Target(kind="round_robin", ids=tuple(emails[email] for email in row.round_robin))
    if row.user is not None:
        return Target(kind="user", ids=(emails[row.user],))
    kind, things, name = (
        ("schedule", plans.schedules, row.schedule)
        if row.schedule is not None
        else ("team", plans.teams, row.team)
    )
    return Target(kind=kind, ids=tuple(id_ for id_, one in things.items() if one.name == name))
