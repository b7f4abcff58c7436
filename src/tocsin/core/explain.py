"""Say in plain sentences who would be paged, when and how, and what of it would not work.

It takes the very looks that an incident would take, on a time that only passes in here: what it
says is what would happen if nobody acknowledged and nothing were changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tocsin.core import effects as fx
from tocsin.core.escalation import look, policy_of
from tocsin.core.incident import evolve
from tocsin.core.model import (
    Escalation,
    EscalationState,
    Incident,
    IncidentStatus,
    Priority,
    Severity,
    Urgency,
)
from tocsin.core.noise import sentences as noise_sentences
from tocsin.core.notify import reach, tabled_urgency, urgency
from tocsin.core.plans import Plans, Policy, Service, Step, Target, User
from tocsin.core.schedule import on_call, standing
from tocsin.core.times import format_span


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would happen, and what is wrong with it."""

    urgency: Urgency
    #: In the order of time, one step each.
    sentences: tuple[str, ...]
    #: Steps and people that cannot be reached, each with the remedy.
    warnings: tuple[str, ...]


def explain(
    plans: Plans, service: Service, severity: Severity, priority: Priority | None, at: datetime
) -> Explanation:
    """Say what an incident of this service would do that begins at ``at``."""
    loudness = urgency(service, severity, priority, at)
    incident = _supposed(service, severity, priority, loudness, at)
    policy = policy_of(incident, plans)
    begin = _end_of_maintenance(plans, service, at)
    sentences = [
        *_before(plans, service, severity, priority, at),
        *_course(incident, plans, policy, begin, "At once" if begin == at else _ends(begin)),
    ]
    return Explanation(
        urgency=loudness,
        sentences=tuple(sentences),
        warnings=tuple(dict.fromkeys(_warnings(plans, policy, loudness, begin))),
    )


def _supposed(
    service: Service,
    severity: Severity,
    priority: Priority | None,
    loudness: Urgency,
    at: datetime,
) -> Incident:
    return Incident(
        id="",
        number=None,
        service_id=service.id,
        integration_id=None,
        dedup_key="",
        title="",
        status=IncidentStatus.TRIGGERED,
        severity=severity,
        priority=priority,
        urgency=loudness,
        source="",
        link=None,
        occurrence_count=1,
        previous_incident_id=None,
        is_test=False,
        escalation=Escalation(),
        assigned_user_id=None,
        assigned_policy_id=None,
        triggered_at=at,
    )


def _before(
    plans: Plans, service: Service, severity: Severity, priority: Priority | None, at: datetime
) -> Iterator[str]:
    """Yield what decides before anybody is looked for."""
    loudness = urgency(service, severity, priority, at)
    what = f"severity {severity}" + (f", priority {priority}" if priority else "")
    tabled = tabled_urgency(service, severity, priority)
    outside = "; it is outside support hours" if tabled is not loudness else ""
    yield f"An incident of {service.name} with {what} has {loudness} urgency{outside}."
    if tabled.is_above(loudness):
        yield f"When support hours begin, it is raised to {tabled} urgency, and this begins anew."
    yield from noise_sentences(service.noise)
    if service.pages_suspect_author:
        yield (
            "Once Sentry names the commit that it suspects, its author is paged too, if they are"
            " on call for it."
        )
    for window in plans.maintenance_windows:
        if window.begins_at <= at < window.ends_at and (
            not window.service_ids or service.id in window.service_ids
        ):
            some = " if it matches the window" if window.match else ""
            end = _clock(window.ends_at)
            yield f"The service is in maintenance{some}: nobody is paged before {end}."


def _end_of_maintenance(plans: Plans, service: Service, at: datetime) -> datetime:
    """Return when the service is paged for again, if it is in maintenance as a whole; else now."""
    covering = [
        window
        for window in plans.maintenance_windows
        if window.match is None and (not window.service_ids or service.id in window.service_ids)
    ]
    while ends := [one.ends_at for one in covering if one.begins_at <= at < one.ends_at]:
        at = max(ends)
    return at


def _ends(at: datetime) -> str:
    return f"When maintenance ends, at {_clock(at)}"


@dataclass(frozen=True, slots=True)
class _Since:
    """When the course begins, and how that is said."""

    begin: datetime
    at_once: str

    def when(self, now: datetime) -> str:
        """Say when something happens."""
        passed = now - self.begin
        return f"After {format_span(passed)}" if passed else self.at_once


def _course(
    incident: Incident, plans: Plans, policy: Policy | None, begin: datetime, at_once: str
) -> Iterator[str]:
    """Yield a sentence per step, as time goes by."""
    since = _Since(begin, at_once)
    now: datetime | None = begin
    while now is not None:
        effects = look(incident, plans, now)
        pages: dict[str, list[fx.Page]] = {}
        for effect in effects:
            incident = evolve(incident, effect, now)
            if isinstance(effect, fx.Page):
                pages.setdefault(effect.user_id, []).append(effect)
        for effect in effects:
            if isinstance(effect, fx.TakeStep) and policy is not None:
                if effect.round:
                    times = "once more" if policy.repeat == 1 else f"{policy.repeat} times more"
                    yield f"{since.when(now)}: all of it again, {times}."
                    return
                yield _step_sentence(plans, policy, effect, pages, since, now)
            elif isinstance(effect, fx.EndEscalation):
                yield from _end_sentences(plans, effect, pages, since, now)
        now = incident.escalation.next_at if _goes_on(incident) else None


def _goes_on(incident: Incident) -> bool:
    return incident.escalation.state is EscalationState.RUNNING


def _step_sentence(
    plans: Plans,
    policy: Policy,
    taken: fx.TakeStep,
    pages: Mapping[str, list[fx.Page]],
    since: _Since,
    now: datetime,
) -> str:
    step = policy.steps[taken.step - 1]
    head = f"{since.when(now)}, step {taken.step} of {policy.name}"
    if not taken.user_ids:
        return f"{head} reaches nobody ({_why_nobody(plans, step, now)}) and goes on at once."
    people = "; ".join(
        _person_sentence(plans, step, plans.users[id_], pages.get(id_, []), now)
        for id_ in taken.user_ids
    )
    everybody = ". Each of them must acknowledge" if taken.awaiting else ""
    return f"{head} pages {people}{everybody}."


def _person_sentence(
    plans: Plans, step: Step, user: User, pages: list[fx.Page], now: datetime
) -> str:
    via = _via(plans, step, user, now)
    if not pages:
        return f"nobody, for {user.name}{via} chose not to be notified at this urgency"
    methods = {method.id: method for method in user.contact_methods}
    ways = ", ".join(
        f"{methods[page.contact_method_id].name} {_after(page.due_at - now)}" for page in pages
    )
    return f"{user.name}{via}: {ways}"


def _via(plans: Plans, step: Step, user: User, now: datetime) -> str:
    """Say how a step comes to mean this person, where that is not plain."""
    for target in step.targets:
        if target.kind == "user" and user.id in target.ids:
            return ""
        if target.kind == "round_robin" and user.id in target.ids:
            turns = ", ".join(plans.users[id_].name for id_ in target.ids if id_ in plans.users)
            return f" (or the next in turn of {turns})"
        for id_ in target.ids:
            schedule = plans.schedules.get(id_)
            if schedule is not None and user.id in on_call(schedule, now):
                mine = next(one for one in standing(schedule, now) if one.user_id == user.id)
                until = f" until {_clock(mine.ends_at)}" if mine.ends_at else ""
                return f" (on call for {schedule.name}{until})"
            team = plans.teams.get(id_)
            if team is not None and user.id in team.member_ids:
                return f" (of team {team.name})"
    return " (standing in for somebody who is away)"


def _why_nobody(plans: Plans, step: Step, now: datetime) -> str:
    if not step.targets:
        return "it names nobody"
    return "; ".join(_why_target(plans, target, now) for target in step.targets)


def _why_target(plans: Plans, target: Target, now: datetime) -> str:
    for id_ in target.ids:
        schedule = plans.schedules.get(id_)
        if schedule is not None:
            on = on_call(schedule, now)
            state = "cannot be reached" if on else "nobody is on call"
            who = ", ".join(plans.users[one].name for one in on)
            return f"{schedule.name}: {f'{who} ' if who else ''}{state}"
        team = plans.teams.get(id_)
        if team is not None:
            state = "can be reached of its members" if team.member_ids else "is a member"
            return f"team {team.name}: nobody {state}"
    names = ", ".join(plans.users[id_].name for id_ in target.ids if id_ in plans.users)
    return f"{names} cannot be reached" if names else "who it names has left"


def _end_sentences(
    plans: Plans,
    end: fx.EndEscalation,
    pages: Mapping[str, list[fx.Page]],
    since: _Since,
    now: datetime,
) -> Iterator[str]:
    if end.state is EscalationState.STOPPED:
        yield "Urgency is low: nobody else is paged."
    elif end.state is EscalationState.EXHAUSTED:
        yield f"{since.when(now)}, no step is left: it stays triggered, and nobody else is paged."
    else:
        names = ", ".join(plans.users[id_].name for id_ in pages)
        then = f"{names} is paged as the fallback" if names else "and no fallback can be reached"
        yield f"{since.when(now)}, nobody was notified; {then}."


def _warnings(
    plans: Plans, policy: Policy | None, loudness: Urgency, at: datetime
) -> Iterator[str]:
    if policy is None:
        yield "the service has no escalation policy: give it one"
    elif not policy.steps:
        yield f"{policy.name} has no step: add one"
    for number, step in enumerate(policy.steps if policy else (), 1):
        yield from _step_warnings(plans, f"step {number}", step, loudness, at)
    fallback = plans.users.get(plans.fallback_user_id or "")
    if fallback is None:
        yield "no fallback is set: name a person under `fallback` who is paged when nobody else is"
    elif not reach(replace(fallback, notification_rules=()), Urgency.HIGH).is_reached:
        yield f"the fallback {fallback.name} has no contact method that can be used"


def step_faults(
    plans: Plans, policy: Policy, loudness: Urgency, at: datetime
) -> Mapping[int, tuple[str, ...]]:
    """Return what is wrong with each step of a policy at a time, by its number from 1."""
    found = {
        number: tuple(dict.fromkeys(_step_warnings(plans, f"step {number}", step, loudness, at)))
        for number, step in enumerate(policy.steps, 1)
    }
    return {number: faults for number, faults in found.items() if faults}


def _step_warnings(
    plans: Plans, where: str, step: Step, loudness: Urgency, at: datetime
) -> Iterator[str]:
    people = [user for target in step.targets for user in _people(plans, target, at)]
    if not people:
        yield f"{where} reaches nobody at that time: {_why_nobody(plans, step, at)}"
    for user in people:
        if not reach(user, loudness).is_reached:
            yield (
                f"{where} names {user.name}, who has no contact method that can be used at"
                f" {loudness} urgency: add or verify one"
            )


def _people(plans: Plans, target: Target, at: datetime) -> list[User]:
    ids: list[str] = []
    for id_ in target.ids:
        if id_ in plans.schedules:
            ids += on_call(plans.schedules[id_], at)
        elif id_ in plans.teams:
            ids += plans.teams[id_].member_ids
        else:
            ids.append(id_)
    return [plans.users[id_] for id_ in dict.fromkeys(ids) if id_ in plans.users]


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _after(span: timedelta) -> str:
    return "at once" if not span else f"after {format_span(span)}"
