"""The configuration as it stands, written as a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from tocsin.core.plans import Integration, Plans, Policy, Service, Team, User
from tocsin.core.times import format_span
from tocsin.work.configfile import (
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
)
from tocsin.work.schedulefile import hours_table, schedule_table, support_hours_table


def living(things: Mapping[str, Any]) -> list[Any]:
    """Return those that are in use, by name."""
    return sorted(
        (thing for thing in things.values() if not thing.is_deleted), key=lambda one: one.name
    )


def current_file(plans: Plans, keys: Mapping[str, str]) -> File:
    """Write the configuration as a file, with every secret in it."""
    fallback = plans.users.get(plans.fallback_user_id or "")
    return File(
        users=[_user(user) for user in sorted(plans.users.values(), key=lambda one: one.email)],
        teams=[_team(t, plans) for t in sorted(plans.teams.values(), key=lambda one: one.name)],
        schedules=[
            schedule_table(schedule, plans)
            for schedule in sorted(plans.schedules.values(), key=lambda one: one.name)
        ],
        escalation_policies=[
            _policy(policy, plans)
            for policy in sorted(plans.policies.values(), key=lambda one: one.name)
        ],
        services=[_service(service, plans) for service in living(plans.services)],
        integrations=[
            _integration(one, plans, keys[one.id])
            for one in living(plans.integrations)
            if not one.is_made_by_us
        ],
        fallback=FallbackTable(user=fallback.email) if fallback else None,
    )


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
    )


def _integration(one: Integration, plans: Plans, key: str) -> IntegrationTable:
    def route(row: Any) -> dict[str, str | list[str]]:
        lists = {
            name: list(getattr(row, name))
            for name in ("project", "environment", "level", "resource", "action", "title")
            if getattr(row, name)
        }
        tags = {f"tag.{name}": list(values) for name, values in row.tags}
        words = {
            "service": plans.services[row.service_id].name if row.service_id else None,
            "verb": row.verb and row.verb.value,
        }
        return lists | tags | {name: word for name, word in words.items() if word}

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
        routes=[route(row) for row in one.routes],
        overrides=OverridesTable(
            action=dict(one.overrides.action),
            severity=dict(one.overrides.severity),
            priority=dict(one.overrides.priority),
        ),
    )
