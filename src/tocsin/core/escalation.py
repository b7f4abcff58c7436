"""Take one look at an escalation: whom to page now, and when to look again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
from tocsin.core.plans import AwayKind, Plans, Policy, Step, Target, User
from tocsin.core.schedule import on_call

#: How many places each step that goes round has gone on, by its id.
Turns = Mapping[str, int]

#: Step 0 is no step of any policy: the fallback is paged there, once per run.
FALLBACK_STEP = 0


def _user(_plans: Plans, target: Target, _now: datetime) -> Iterable[str]:
    return target.ids


def _team(plans: Plans, target: Target, _now: datetime) -> Iterable[str]:
    return [
        id_ for team in target.ids if team in plans.teams for id_ in plans.teams[team].member_ids
    ]


def _schedule(plans: Plans, target: Target, now: datetime) -> Iterable[str]:
    found = (plans.schedules.get(id_) for id_ in target.ids)
    return [id_ for schedule in found if schedule for id_ in on_call(schedule, now)]


#: Kind of target to the ids of the people it means. A round robin means all of its people, of whom
#: one is taken.
REACH: Mapping[str, Callable[[Plans, Target, datetime], Iterable[str]]] = {
    "user": _user,
    "schedule": _schedule,
    "team": _team,
    "round_robin": _user,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Whom some targets mean at a time."""

    people: tuple[Reach, ...]
    #: Those who are away with nobody to stand in for them.
    away: tuple[User, ...]
    #: How many places the round robins among them go on; 0 if there is none.
    moves: int


def call(step: Step, plans: Plans, loudness: Urgency, turn: int, now: datetime) -> Called:
    """Say whom a step means now, each person once, in the order named.

    ``turn`` says how many places its round robins have gone on. Several in one step go on together,
    by as few as any of them, so that none passes over a person who can be reached.
    """
    found: dict[str, Reach] = {}
    away: dict[str, User] = {}
    moves: list[int] = []
    for target in step.targets:
        here, gone = _present(plans, REACH[target.kind](plans, target, now), loudness, now)
        away |= {user.id: user for user in gone}
        if target.kind == "round_robin":
            here, moved = _turn_of(target.ids, plans, loudness, turn, now)
            moves.append(moved)
        for person in here:
            found.setdefault(person.user.id, person)
    return Called(
        people=tuple(found.values()),
        away=tuple(user for user in away.values() if user.id not in found),
        moves=min(moves, default=0),
    )


def _turn_of(
    ids: tuple[str, ...], plans: Plans, loudness: Urgency, turn: int, now: datetime
) -> tuple[list[Reach], int]:
    """Return whose turn it is, and how many places on the next one's begins.

    One who is away or cannot be reached keeps their place, and is passed over.
    """
    for at in range(len(ids)):
        here, _gone = _present(plans, (ids[(turn + at) % len(ids)],), loudness, now)
        if here and here[0].is_reached:
            return here, at + 1
    return [], 1


#: Of a team everybody is named, whether or not it is their time.
_ON_CALL = frozenset(REACH) - {"team"}


def on_call_for(policy: Policy, plans: Plans, now: datetime) -> frozenset[str]:
    """Return who is on call now for what a policy is about, whichever step they are in.

    Those whose shift it is in one of its schedules, and those it names themselves; their
    substitutes, where they are away.
    """
    targets = (target for step in policy.steps for target in step.targets)
    named = {
        id_
        for target in targets
        if target.kind in _ON_CALL
        for id_ in REACH[target.kind](plans, target, now)
    }
    here = (_stand_in(plans.users[id_], plans, now) for id_ in named if id_ in plans.users)
    return frozenset(user.id for user in here if user is not None)


def _present(
    plans: Plans, ids: Iterable[str], loudness: Urgency, now: datetime
) -> tuple[list[Reach], list[User]]:
    """Put substitutes in for those who are away; return who is here, and who is missing."""
    here: list[Reach] = []
    gone: list[User] = []
    for user in (plans.users[id_] for id_ in ids if id_ in plans.users):
        stand_in = _stand_in(user, plans, now)
        if stand_in is None:
            gone.append(user)
        else:
            instead_of = user if stand_in is not user else None
            here.append(reach(stand_in, loudness, instead_of))
    return here, gone


def _stand_in(user: User, plans: Plans, now: datetime) -> User | None:
    """Follow substitutes to somebody who is here; None if that leads nowhere."""
    seen: set[str] = set()
    current: User | None = user
    while current is not None and current.id not in seen:
        absence = next(
            (
                one
                for one in reversed(current.absences)
                if one.kind is AwayKind.AWAY and one.begins_at <= now < one.ends_at
            ),
            None,
        )
        if absence is None:
            return current
        seen.add(current.id)
        current = plans.users.get(absence.substitute_id or "")
    return None


def policy_of(incident: Incident, plans: Plans) -> Policy | None:
    """Return the policy in force now: what it was given to by hand, else the service's.

    A person it was given to stands as a policy of one step, so that all else stays the same.
    """
    user = plans.users.get(incident.assigned_user_id or "")
    if user is not None:
        step = Step(targets=(Target(kind="user", ids=(user.id,)),), wait=timedelta(), id=user.id)
        return Policy(id=user.id, name=f"reassigned to {user.name}", repeat=0, steps=(step,))
    given = plans.policies.get(incident.assigned_policy_id or "")
    service = plans.services.get(incident.service_id)
    own = plans.policies.get(service.escalation_policy_id or "") if service else None
    return given or own


def look(
    incident: Incident, plans: Plans, now: datetime, turns: Turns | None = None
) -> list[fx.Effect]:
    """Take the step that is due.

    1. An incident that is not triggered, or is suppressed, needs nothing.
    2. Steps count in the policy in force; another policy than before starts at its first step.
    3. A step that reaches nobody goes on to the next at once, and says so.
    4. A step that reaches somebody pages them and waits.
    5. Past the last round: exhausted, or, if nobody was reached at all, the fallback is paged.

    An escalation that had ended begins anew only where there is somebody now to be reached.
    """
    suppressed = incident.suppressed_until is not None and now < incident.suppressed_until
    if incident.status is not IncidentStatus.TRIGGERED or suppressed:
        return []
    policy = policy_of(incident, plans)
    stand, effects = _stand(incident, policy)
    if stand.state is EscalationState.STOPPED:
        return []
    walk = _Walk(incident, plans, stand, now, turns or {})
    walked, reaches = walk.steps(policy) if policy else ([], False)
    if reaches:
        return [*effects, *walked]
    has_ended = incident.escalation.state is not EscalationState.RUNNING
    if has_ended and not effects:
        # It was told when it ended, and nothing has changed since.
        return []
    return [*effects, *walked, *walk.end(policy)]


def has_next(incident: Incident, policy: Policy | None) -> bool:
    """Whether the policy has a step after the one that was taken last."""
    return policy is not None and any(_positions(policy, _stand(incident, policy)[0]))


def _stand(incident: Incident, policy: Policy | None) -> tuple[Escalation, list[fx.Effect]]:
    """Return where the escalation stands in the policy in force, and what that changes."""
    stand = incident.escalation
    if stand.policy_id is not None and (policy is None or policy.id != stand.policy_id):
        name = policy.name if policy else "none"
        said = fx.Note(text=f"the escalation policy is now {name}: it begins at its first step")
        return Escalation(cycle=stand.cycle + 1), [said, fx.CancelPages()]
    if stand.state is EscalationState.NOBODY_NOTIFIED:
        return Escalation(cycle=stand.cycle + 1, policy_id=stand.policy_id), []
    if policy is None or stand.step == 0:
        return stand, []
    place = next((at for at, step in enumerate(policy.steps, 1) if step.id == stand.step_id), None)
    if stand.step_id is None or place == stand.step:
        return stand, []
    # It was moved, or deleted, and then the one that has its number now comes next. Either way it
    # is a new run, for notifications are told apart by the number of their step.
    step = stand.step - 1 if place is None else place
    return replace(stand, step=step, cycle=stand.cycle + 1), []


def _positions(policy: Policy, stand: Escalation) -> Iterator[tuple[int, int]]:
    """Yield (step from 1, round from 0) of everything still to come."""
    count = len(policy.steps)
    for round_ in range(stand.round, policy.repeat + 1):
        begin = min(stand.step, count) if round_ == stand.round else 0
        yield from ((number, round_) for number in range(begin + 1, count + 1))


@dataclass(frozen=True, slots=True)
class _Walk:
    """One way through the steps that are due, from where the escalation stands."""

    incident: Incident
    plans: Plans
    stand: Escalation
    now: datetime
    turns: Turns

    def steps(self, policy: Policy) -> tuple[list[fx.Effect], bool]:
        """Take steps until one reaches somebody; return what that asks for, and whether one did."""
        effects: list[fx.Effect] = []
        also = self._also()
        for number, round_ in _positions(policy, self.stand):
            taken, reaches = self._step(policy, number, round_, also)
            effects += taken
            if reaches:
                return effects, True
        return effects, False

    def _also(self) -> list[Reach]:
        """Return who is paged with the first step, whoever that names."""
        return _present(self.plans, self.stand.also, self.incident.urgency, self.now)[0]

    def _step(
        self, policy: Policy, number: int, round_: int, also: list[Reach]
    ) -> tuple[list[fx.Effect], bool]:
        step, loudness = policy.steps[number - 1], self.incident.urgency
        called = call(step, self.plans, loudness, self.turns.get(step.id, 0), self.now)
        found = {person.user.id: person for person in (*also, *called.people)}
        reached = [person for person in found.values() if person.is_reached]
        where = f"step {number} of {policy.name}"
        paged = tuple(person.user.id for person in reached if person.ways)
        answered = {user for step_id, user in self.stand.answered if step_id == step.id}
        effects: list[fx.Effect] = []
        if called.moves:
            effects.append(fx.TakeTurn(step_id=step.id, by=called.moves))
        effects.append(
            fx.TakeStep(
                text=f"{where} {_told(reached, called.away)}",
                data={"step": number, "round": round_},
                policy_id=policy.id,
                step=number,
                step_id=step.id,
                round=round_,
                cycle=self.stand.cycle,
                user_ids=tuple(person.user.id for person in reached),
                has_reached=self.stand.has_reached or bool(reached),
                awaiting=paged if step.everybody else (),
            )
        )
        for person in reached:
            if step.everybody and person.user.id in answered:
                continue
            effects += pages(person, loudness, self.now, where, number, round_)
        if not reached:
            return effects, False
        if loudness is Urgency.HIGH:
            effects.append(fx.LookAgainAt(at=self.now + step.wait))
        else:
            effects.append(self._ended(EscalationState.STOPPED, policy, ""))
        return effects, True

    def _ended(
        self,
        state: EscalationState,
        policy: Policy | None,
        text: str,
        kind: TimelineKind = TimelineKind.STEP,
    ) -> fx.EndEscalation:
        return fx.EndEscalation(
            text=text,
            state=state,
            kind=kind,
            policy_id=policy.id if policy else None,
            cycle=self.stand.cycle,
        )

    def end(self, policy: Policy | None) -> list[fx.Effect]:
        """End it: no step is left, or there was none."""
        name = policy.name if policy else "the service has no escalation policy"
        also = [person for person in self._also() if person.is_reached]
        if also:
            ended = self._ended(
                EscalationState.EXHAUSTED, policy, f"{_told(also, ())}; {name} reaches nobody else"
            )
            return [ended, *self._pages(also, "acknowledgement timed out")]
        if self.stand.has_reached:
            text = f"escalation exhausted: {name} has no further step"
            return [self._ended(EscalationState.EXHAUSTED, policy, text)]
        return self._fall_back(policy, name)

    def _pages(self, people: Iterable[Reach], reason: str) -> list[fx.Page]:
        return [
            page
            for person in people
            for page in pages(person, Urgency.HIGH, self.now, reason, FALLBACK_STEP, 0)
        ]

    def _fall_back(self, policy: Policy | None, name: str) -> list[fx.Effect]:
        person = fallback(self.plans)
        told = (
            f"{person.user.name} is paged as the fallback"
            if person and person.ways
            else "and no fallback can be reached: set one under `fallback` in the configuration"
        )
        why = f"{name} reaches nobody" if policy else name
        text = f"nobody was notified: {why}; {told}"
        ended = self._ended(EscalationState.NOBODY_NOTIFIED, policy, text, kind=TimelineKind.ERROR)
        reason = "fallback: nobody else was notified"
        return [ended, *(self._pages([person], reason) if person else ())]


def _told(reached: list[Reach], away: Iterable[User]) -> str:
    """Say in words whom a step reached, and who was missing."""
    loud = ", ".join(_name(person) for person in reached if person.ways)
    silent = ", ".join(_name(person) for person in reached if not person.ways)
    missing = ", ".join(user.name for user in away)
    parts = (
        f"pages {loud}" if loud else "",
        f"{silent} chose not to be notified at this urgency" if silent else "",
        f"{missing} is away" if missing else "",
    )
    said = "; ".join(part for part in parts if part)
    return said if reached else f"reached nobody{'; ' if said else ''}{said}"


def _name(person: Reach) -> str:
    name = person.user.name
    return f"{name} (for {person.instead_of.name})" if person.instead_of else name


def fallback(plans: Plans) -> Reach | None:
    """Reach the fallback whatever its rules or absences say: it is the last person there is."""
    user = plans.users.get(plans.fallback_user_id or "")
    if user is None:
        return None
    person = reach(user, Urgency.HIGH)
    return person if person.ways else reach(replace(user, notification_rules=()), Urgency.HIGH)
