"""Values for tests, each with everything it needs and nothing that matters; say what does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tocsin.core.model import (
    Alert,
    Escalation,
    Incident,
    IncidentStatus,
    Role,
    Severity,
    Signal,
    Urgency,
    Verb,
)
from tocsin.core.plans import (
    ContactMethod,
    Integration,
    NotificationRule,
    Plans,
    Policy,
    Service,
    Step,
    Target,
    Team,
    User,
)

#: When every test begins: a Monday.
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def at(**span: float) -> datetime:
    """Return the instant so long after the beginning."""
    return NOW + timedelta(**span)


def a_signal(**changes: Any) -> Signal:
    """Return a trigger of issue 1."""
    plain = Signal(
        resource="issue",
        action="created",
        verb=Verb.TRIGGER,
        dedup_key="sentry:issue:1",
        title="T",
        severity=Severity.ERROR,
        source="Sentry - backend",
    )
    return replace(plain, **changes)


def an_alert(**changes: Any) -> Alert:
    """Return the alert of issue 1, with an incident that is open."""
    plain = Alert(
        id="alr_1",
        integration_id="int_1",
        service_id="svc_1",
        dedup_key="sentry:issue:1",
        title="T",
        severity=Severity.ERROR,
        priority=None,
        source="Sentry - backend",
        link=None,
        details={},
        occurrence_count=1,
        first_seen_at=NOW,
        last_seen_at=NOW,
        resolved_at=None,
        incident_id="inc_1",
    )
    return replace(plain, **changes)


def an_incident(**changes: Any) -> Incident:
    """Return a triggered incident of high urgency, before its first step."""
    plain = Incident(
        id="inc_1",
        number=1,
        service_id="svc_1",
        integration_id="int_1",
        dedup_key="sentry:issue:1",
        title="T",
        status=IncidentStatus.TRIGGERED,
        severity=Severity.ERROR,
        priority=None,
        urgency=Urgency.HIGH,
        source="Sentry - backend",
        link=None,
        occurrence_count=1,
        previous_incident_id=None,
        is_test=False,
        escalation=Escalation(),
        assigned_user_id=None,
        assigned_policy_id=None,
        triggered_at=NOW,
    )
    return replace(plain, **changes)


def a_service(**changes: Any) -> Service:
    """Return a service with the default urgency table and policy 1."""
    plain = Service(
        id="svc_1",
        name="checkout",
        team_id=None,
        escalation_policy_id="pol_1",
        urgency={},
    )
    return replace(plain, **changes)


def an_integration(**changes: Any) -> Integration:
    """Return an unsigned Sentry integration of service 1."""
    plain = Integration(
        id="int_1",
        name="sentry",
        service_id="svc_1",
        source="sentry",
        dialect="auto",
        signing_secrets=(),
        sentry_url=None,
        is_enabled=True,
        is_replay_strict=False,
    )
    return replace(plain, **changes)


def a_method(user: str, name: str = "hook", **changes: Any) -> ContactMethod:
    """Return a verified webhook of a person."""
    plain = ContactMethod(
        id=f"cm_{user}_{name}",
        user_id=f"usr_{user}",
        name=name,
        channel="webhook",
        address=f"https://phones.example.com/{user}",
        secret=None,
        is_verified=True,
        is_enabled=True,
    )
    return replace(plain, **changes)


def a_rule(user: str, urgency: Urgency, method: str = "hook", **after: float) -> NotificationRule:
    """Return a rule of a person."""
    return NotificationRule(
        id=f"nr_{user}_{urgency}_{method}_{timedelta(**after)}",
        urgency=urgency,
        after=timedelta(**after),
        contact_method_id=f"cm_{user}_{method}",
    )


def a_user(name: str, **changes: Any) -> User:
    """Return a person with one webhook and no rules."""
    plain = User(
        id=f"usr_{name}",
        email=f"{name}@example.com",
        name=name.capitalize(),
        role=Role.RESPONDER,
        time_zone="UTC",
        contact_methods=(a_method(name),),
    )
    return replace(plain, **changes)


def a_step(*targets: str, **wait: float) -> Step:
    """Return a step: ``ann`` is a user, ``team:payments`` a team; 5 minutes if unsaid."""
    made = []
    for target in targets:
        kind, _, name = target.rpartition(":")
        prefix = "tea" if kind == "team" else "usr"
        made.append(Target(kind=kind or "user", ids=(f"{prefix}_{name}",)))
    return Step(targets=tuple(made), wait=timedelta(**(wait or {"minutes": 5})))


def some_plans(
    *steps: Step,
    repeat: int = 0,
    users: tuple[User, ...] | None = None,
    fallback: str | None = None,
    service: Service | None = None,
    teams: dict[str, tuple[str, ...]] | None = None,
) -> Plans:
    """Return a configuration: Ann, Bob and Cat, service 1, and policy 1 with these steps."""
    everybody = users or (a_user("ann"), a_user("bob"), a_user("cat"))
    one = service or a_service()
    named = tuple(replace(step, id=step.id or f"stp_{n}") for n, step in enumerate(steps, 1))
    made_teams = {
        f"tea_{name}": Team(
            id=f"tea_{name}", name=name, member_ids=tuple(f"usr_{member}" for member in members)
        )
        for name, members in (teams or {}).items()
    }
    return Plans(
        revision=1,
        users={user.id: user for user in everybody},
        teams=made_teams,
        policies={"pol_1": Policy(id="pol_1", name="default", repeat=repeat, steps=named)},
        services={one.id: one},
        integrations={"int_1": an_integration()},
        fallback_user_id=f"usr_{fallback}" if fallback else None,
    )
