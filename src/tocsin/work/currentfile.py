"""The configuration as it stands, written as a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from tocsin.core.plans import Integration, Plans, Policy, Route, Service, Team, User
from tocsin.core.times import format_span
from tocsin.work.configfile import (
    ROUTE_FIELDS,
    ContactMethodTable,
    FallbackTable,
    File,
    IntegrationTable,
    OverridesTable,
    PolicyTable,
    RuleTable,
    ServiceTable,
    StepTable,
    TargetTable,
    TeamTable,
    UserTable,
    Words,
)
from tocsin.work.noisefile import noise_table
from tocsin.work.schedulefile import hours_table, schedule_table, support_hours_table


def living(things: Mapping[str, Any]) -> list[Any]:
    """Return those that are in use, by name."""
    return sorted(
        (thing for thing in things.values() if not thing.is_deleted), key=lambda one: one.name
    )


def current_file(plans: Plans, keys: Mapping[str, str]) -> File:
    """Write the configuration as a file, with every secret in it."""
    fallback = plans.users.get(plans.fallback_user_id or "")
    sections: dict[str, Any] = {
        section: [ROWS[section](thing, plans, keys) for thing in things(plans)]
        for section, things in THINGS.items()
    }
    return File(**sections, fallback=FallbackTable(user=fallback.email) if fallback else None)


def _by_name(things: Mapping[str, Any]) -> list[Any]:
    return sorted(things.values(), key=lambda one: one.name)


#: Section to what is in use of it, by name.
THINGS: Mapping[str, Callable[[Plans], list[Any]]] = {
    "users": lambda plans: sorted(plans.users.values(), key=lambda one: one.email),
    "teams": lambda plans: _by_name(plans.teams),
    "schedules": lambda plans: _by_name(plans.schedules),
    "escalation_policies": lambda plans: _by_name(plans.policies),
    "services": lambda plans: living(plans.services),
    "integrations": lambda plans: living(plans.integrations),
}


def _user(user: User) -> UserTable:
    names = {method.id: method.name for method in user.contact_methods}
    return UserTable(
        email=user.email,
        name=user.name,
        role=user.role,
        time_zone=user.time_zone,
        contact_methods=[
            ContactMethodTable(
                name=method.name,
                channel=method.channel,
                address=method.address,
                secret=method.secret,
            )
            for method in user.contact_methods
        ],
        notification_rules=[
            RuleTable(
                urgency=rule.urgency,
                after=format_span(rule.after),
                contact_method=names[rule.contact_method_id],
            )
            for rule in user.notification_rules
        ],
        quiet_hours=hours_table(user.quiet_hours) if user.quiet_hours else None,
        handoff_notices=user.handoff_notices,
    )


def _team(team: Team, plans: Plans) -> TeamTable:
    members = (plans.users.get(id_) for id_ in team.member_ids)
    return TeamTable(name=team.name, members=[user.email for user in members if user])


def _policy(policy: Policy, plans: Plans) -> PolicyTable:
    return PolicyTable(
        name=policy.name,
        repeat=policy.repeat,
        steps=[
            StepTable(
                targets=[
                    target_table
                    for target in step.targets
                    if (target_table := _target(target.kind, target.ids, plans))
                ],
                wait=format_span(step.wait),
                everybody=step.everybody,
            )
            for step in policy.steps
        ],
    )


def _target(kind: str, ids: Sequence[str], plans: Plans) -> TargetTable | None:
    """Write a target; None for one whose people or things are gone."""
    if kind == "round_robin":
        people = [plans.users[id_].email for id_ in ids if id_ in plans.users]
        return TargetTable(round_robin=people) if people else None
    things: Mapping[str, Any] = _TARGETS[kind](plans)
    thing = things.get(ids[0])
    return TargetTable(**{kind: getattr(thing, "email", None) or thing.name}) if thing else None


_TARGETS: Mapping[str, Callable[[Plans], Mapping[str, Any]]] = {
    "user": lambda plans: plans.users,
    "schedule": lambda plans: plans.schedules,
    "team": lambda plans: plans.teams,
}


def _span(span: timedelta | None) -> str | None:
    return None if span is None else format_span(span)


def _service(service: Service, plans: Plans) -> ServiceTable:
    team = plans.teams.get(service.team_id or "")
    policy = plans.policies.get(service.escalation_policy_id or "")
    return ServiceTable(
        name=service.name,
        team=team.name if team else None,
        escalation_policy=policy.name if policy else None,
        urgency=dict(service.urgency),
        acknowledge_timeout=_span(service.acknowledge_timeout),
        reopen_window=_span(service.reopen_window),
        auto_resolve_after=_span(service.auto_resolve_after),
        support_hours=support_hours_table(service.support_hours) if service.support_hours else None,
        noise=noise_table(service.noise),
        page_suspect_author=service.pages_suspect_author,
    )


def route_table(row: Route, plans: Plans) -> dict[str, Words]:
    """Write a route as the file has it."""
    lists = {name: list(getattr(row, name)) for name in ROUTE_FIELDS if getattr(row, name)}
    tags = {f"tag.{name}": list(values) for name, values in row.tags}
    words = {
        "service": plans.services[row.service_id].name if row.service_id else None,
        "verb": row.verb and row.verb.value,
    }
    return lists | tags | {name: word for name, word in words.items() if word}


def _integration(one: Integration, plans: Plans, key: str) -> IntegrationTable:
    return IntegrationTable(
        name=one.name,
        service=plans.services[one.service_id].name,
        source=one.source,
        dialect=one.dialect,
        routing_key=key,
        signing_secrets=list(one.signing_secrets),
        sentry_url=one.sentry_url,
        enabled=one.is_enabled,
        replay_protection="strict" if one.is_replay_strict else "off",
        routes=[route_table(row, plans) for row in one.routes],
        overrides=OverridesTable(
            action=dict(one.overrides.action),
            severity=dict(one.overrides.severity),
            priority=dict(one.overrides.priority),
        ),
    )


#: Section to how one of its things is written; ``keys`` has the routing key of each integration.
ROWS: Mapping[str, Callable[[Any, Plans, Mapping[str, str]], Any]] = {
    "users": lambda one, _plans, _keys: _user(one),
    "teams": lambda one, plans, _keys: _team(one, plans),
    "schedules": lambda one, plans, _keys: schedule_table(one, plans),
    "escalation_policies": lambda one, plans, _keys: _policy(one, plans),
    "services": lambda one, plans, _keys: _service(one, plans),
    "integrations": lambda one, plans, keys: _integration(one, plans, keys[one.id]),
}
