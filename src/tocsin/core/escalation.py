"""Take one look at an escalation: whom to page now, and when to look again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tocsin.core import effects as fx
from tocsin.core.model import (
    Escalation,
    EscalationState,
    Incident,
    IncidentStatus,
    TimelineKind,
    Urgency,
)
from tocsin.core.notify import Reach, pages, reach
from tocsin.core.plans import (
    Plans,
    Policy,
    Step,
    Target,
    User,
)


def _user(plans: Plans, target: Target) -> Iterator[str]:
    yield from (id_ for id_ in target.ids if id_ in plans.users)


def _team(plans: Plans, target: Target) -> Iterator[str]:
    for id_ in target.ids:
        if id_ in plans.teams:
            yield from plans.teams[id_].member_ids


#: Kind of target to the ids of the people it means.
REACH: Mapping[str, Callable[[Plans, Target], Iterator[str]]] = {"user": _user, "team": _team}


def people(plans: Plans, targets: tuple[Target, ...]) -> list[User]:
    """Return whom the targets mean, each person once, in the order named."""
    ids = dict.fromkeys(id_ for target in targets for id_ in REACH[target.kind](plans, target))
    return [plans.users[id_] for id_ in ids if id_ in plans.users]


def policy_of(incident: Incident, plans: Plans) -> Policy | None:
    """Return the policy in force now: what it was given to by hand, else the service's.

    A person it was given to stands as a policy of one step, so that all else stays the same.
    """
    user = plans.users.get(incident.assigned_user_id or "")
    if user is not None:
        step = Step(targets=(Target(kind="user", ids=(user.id,)),), wait=timedelta())
        return Policy(id=user.id, name=f"reassigned to {user.name}", repeat=0, steps=(step,))
    service = plans.services.get(incident.service_id)
    id_ = incident.assigned_policy_id or (service.escalation_policy_id if service else None)
    return plans.policies.get(id_) if id_ else None


def look(incident: Incident, plans: Plans, now: datetime) -> list[fx.Effect]:
    """Take the step that is due.

    1. An incident that is not triggered needs nothing.
    2. Steps count in the policy in force; another policy than before starts at its first step.
    3. A step that reaches nobody goes on to the next at once, and says so.
    4. A step that reaches somebody pages them and waits.
    5. Past the last round: exhausted, or, if nobody was reached at all, the fallback is paged.
    """
    if incident.status is not IncidentStatus.TRIGGERED:
        return []
    policy = policy_of(incident, plans)
    stand = incident.escalation
    if stand.policy_id is not None and (policy is None or policy.id != stand.policy_id):
        stand = Escalation(cycle=stand.cycle)
    effects: list[fx.Effect] = []
    if policy is not None:
        for number, round_ in _positions(policy, stand):
            taken = _step(incident, plans, policy, number, round_, now)
            effects += taken.effects
            if taken.reaches:
                return effects
    return effects + _end(plans, stand, policy, now)


def _positions(policy: Policy, stand: Escalation) -> Iterator[tuple[int, int]]:
    """Yield (step from 1, round from 0) of everything still to come."""
    count = len(policy.steps)
    for round_ in range(stand.round, policy.repeat + 1):
        begin = min(stand.step, count) if round_ == stand.round else 0
        yield from ((number, round_) for number in range(begin + 1, count + 1))


@dataclass(frozen=True, slots=True)
class _Taken:
    effects: list[fx.Effect]
    reaches: bool


def _step(
    incident: Incident, plans: Plans, policy: Policy, number: int, round_: int, now: datetime
) -> _Taken:
    step = policy.steps[number - 1]
    found = [reach(user, incident.urgency) for user in people(plans, step.targets)]
    reached = [person for person in found if person.is_reached]
    where = f"step {number} of {policy.name}"
    effects: list[fx.Effect] = [
        fx.TakeStep(
            text=f"{where} {_names(reached)}",
            data={"step": number, "round": round_},
            policy_id=policy.id,
            step=number,
            round=round_,
            user_ids=tuple(person.user.id for person in reached),
        )
    ]
    for person in reached:
        effects += pages(person, now, where, number, round_)
    if not reached:
        return _Taken(effects, reaches=False)
    if incident.urgency is Urgency.HIGH:
        effects.append(fx.LookAgainAt(at=now + step.wait))
    else:
        effects.append(
            fx.EndEscalation(text="", state=EscalationState.STOPPED, kind=TimelineKind.STEP)
        )
    return _Taken(effects, reaches=True)


def _names(reached: list[Reach]) -> str:
    if not reached:
        return "reached nobody"
    loud = ", ".join(person.user.name for person in reached if person.ways)
    silent = ", ".join(person.user.name for person in reached if not person.ways)
    return "; ".join(
        part
        for part in (
            f"pages {loud}" if loud else "",
            f"{silent} chose not to be notified at this urgency" if silent else "",
        )
        if part
    )


def _end(plans: Plans, stand: Escalation, policy: Policy | None, now: datetime) -> list[fx.Effect]:
    name = policy.name if policy else "the service has no escalation policy"
    if stand.has_reached:
        text = f"escalation exhausted: {name} has no further step"
        state = EscalationState.EXHAUSTED
        return [fx.EndEscalation(text=text, state=state, kind=TimelineKind.STEP)]
    fallback = plans.users.get(plans.fallback_user_id or "")
    person = reach(fallback, Urgency.HIGH) if fallback else None
    if person is not None and not person.ways and fallback is not None:
        person = _loudest(fallback)
    told = (
        f"{person.user.name} is paged as the fallback"
        if person and person.ways
        else ("and no fallback can be reached: set one under `fallback` in the configuration")
    )
    why = f"{name} reaches nobody" if policy else name
    effects: list[fx.Effect] = [
        fx.EndEscalation(
            text=f"nobody was notified: {why}; {told}",
            state=EscalationState.NOBODY_NOTIFIED,
            kind=TimelineKind.ERROR,
        )
    ]
    if person:
        # Step 0 is no step of any policy: the fallback is paged once per run.
        effects += pages(person, now, "fallback: nobody else was notified", 0, 0)
    return effects


def _loudest(user: User) -> Reach:
    """Reach the fallback whatever its rules say: it is the last person there is."""
    return reach(replace(user, notification_rules=()), Urgency.HIGH)
