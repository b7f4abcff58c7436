"""Decide what one signal means for its alert and its incident."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tocsin.core import effects as fx
from tocsin.core import noise
from tocsin.core.choice import NO_CHOICE, Chosen
from tocsin.core.incident import (
    ENDING,
    PAGES_AGAIN,
    TRANSITIONS,
    Cell,
    Move,
    acknowledge,
    merge,
    resolve,
)
from tocsin.core.model import (
    TOCSIN,
    Actor,
    Alert,
    DeliveryOutcome,
    Incident,
    IncidentStatus,
    Knowledge,
    Sight,
    Signal,
    Urgency,
    Verb,
)
from tocsin.core.noise import Held
from tocsin.core.notify import raise_later, urgency
from tocsin.core.plans import MaintenanceWindow, Service
from tocsin.core.suppress import freed, suppress, suppressing

#: A source's own test resolves itself after this.
TEST_LASTS = timedelta(hours=1)

#: An error must be this much newer than the resolve to count as a regression: one that was on its
#: way when somebody resolved is none.
REGRESSION_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a signal."""

    verb: Verb
    outcome: DeliveryOutcome
    effects: tuple[fx.Effect, ...] = ()
    #: What happens to the incident that has the group of the signal; before ``effects``.
    group_effects: tuple[fx.Effect, ...] = ()
    #: Why no incident was opened, where a rule of the service kept it from that.
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A signal with all that its meaning depends on."""

    signal: Signal
    alert: Alert | None
    #: The latest of this alert, open or resolved; None if it had none.
    incident: Incident | None
    service: Service
    now: datetime
    windows: tuple[MaintenanceWindow, ...] = ()
    #: Whether the incident has other alerts that still fire (after a merge).
    others_fire: bool = False
    #: What the rule that sent it chose.
    chosen: Chosen = NO_CHOICE
    #: What it belongs to besides its alert, and the open incident that has that.
    group_key: str | None = None
    group: Incident | None = None


def triage(case: Case) -> Decision:
    """Decide what becomes of a signal."""
    verb = case.signal.verb
    if verb is Verb.REGRESS:
        verb = Verb.TRIGGER if _has_regressed(case) else Verb.NONE
    elif verb is not Verb.NONE and _is_put_away(case):
        verb = Verb.RESOLVE
    return _DECIDE[verb](case)


def _is_put_away(case: Case) -> bool:
    """Whether it was archived, and the service follows that in whatever dialect."""
    return case.service.noise.follows_archive and case.signal.known.sight is Sight.ARCHIVED


def _has_regressed(case: Case) -> bool:
    alert, occurred_at = case.alert, case.signal.occurred_at
    if alert is None or alert.resolved_at is None or occurred_at is None:
        return False
    if case.incident is not None and case.incident.is_open:
        return False
    # Of what is archived there is news all the time; the source says when it is to be looked at.
    if alert.is_archived and case.service.noise.follows_archive:
        return False
    return occurred_at > alert.resolved_at + REGRESSION_MARGIN


def _actor(signal: Signal) -> Actor:
    return Actor(name=signal.actor or signal.source or "source", is_source=True)


def begin(
    opened: fx.OpenIncident,
    service: Service,
    windows: Iterable[MaintenanceWindow],
    now: datetime,
    held: Held | None = None,
) -> tuple[fx.Effect, ...]:
    """Open an incident, however that came about: with all that is due in its life by the clock."""
    on = suppressing(windows, service.id, opened.signal, now)
    by_the_clock = _by_the_clock(
        opened.signal, service, now, is_urgency_chosen=opened.is_urgency_chosen
    )
    return (opened, fx.LookAgainAt(at=now), *suppress(on, held), *by_the_clock)


def _by_the_clock(
    signal: Signal, service: Service, now: datetime, *, is_urgency_chosen: bool
) -> tuple[fx.Effect, ...]:
    """Ask for what time alone will do to a cycle that begins now."""
    spans = [TEST_LASTS if signal.is_test else service.auto_resolve_after]
    if signal.known.about == noise.ISSUE:
        spans.append(service.noise.quiet_after)
    lasts = min((span for span in spans if span), default=None)
    later = raise_later(service, signal.severity, signal.priority, now)
    return (
        *(() if is_urgency_chosen else later),
        *((fx.ResolveAt(at=now + lasts),) if lasts else ()),
    )


def _loudness(case: Case, incident: Incident | None = None) -> Urgency:
    """Derive the urgency: as the rule that sent it chose, now or when it opened the incident."""
    if case.chosen.urgency is not None:
        return case.chosen.urgency
    if incident is not None and incident.is_urgency_chosen:
        return incident.urgency
    signal = case.signal
    return urgency(case.service, signal.severity, signal.priority, case.now)


def _trigger(case: Case) -> Decision:
    seen = fx.SeeAlert(signal=case.signal, service_id=case.service.id)
    incident = case.incident
    if incident is not None and TRANSITIONS[incident.status, Move.TRIGGER] is Cell.COUNT:
        if _is_of_before(case, incident):
            return _apart(case, seen)
        again = (*_again(case, incident), *_after_all(case, incident), *_sooner(case, incident),
                 *_chosen_late(case, incident))  # fmt: skip
        into, gone = _gathered(case, incident)
        return Decision(
            verb=Verb.TRIGGER,
            outcome=DeliveryOutcome.DEDUPLICATED,
            effects=(seen, *again, *gone),
            group_effects=into,
        )
    why = noise.unopened(case.service, case.signal, case.alert, case.now)
    if why:
        outcome = DeliveryOutcome.RECORDED
        return Decision(verb=Verb.TRIGGER, outcome=outcome, effects=(seen,), reason=why)
    if case.group is not None and noise.belongs(case.signal, case.alert, case.now):
        outcome = DeliveryOutcome.DEDUPLICATED
        return Decision(
            verb=Verb.TRIGGER, outcome=outcome, effects=(seen, *_join(case, case.group))
        )
    on = suppressing(case.windows, case.service.id, case.signal, case.now)
    held = noise.hold(case.service, case.signal, case.alert, case.now)
    reopens = _reopens(case)
    is_quiet = on or (held and not reopens)
    outcome = DeliveryOutcome.SUPPRESSED if is_quiet else DeliveryOutcome.TRIGGERED
    start = _reopen(case, on) if reopens else _open(case, held)
    return Decision(verb=Verb.TRIGGER, outcome=outcome, effects=(seen, *start))


def _open(case: Case, held: Held | None) -> tuple[fx.Effect, ...]:
    signal, service, chosen = case.signal, case.service, case.chosen
    said = (signal.text or "triggered", chosen.text)
    opened = fx.OpenIncident(
        text="; ".join(part for part in said if part),
        by=_actor(signal),
        data={"resource": signal.resource, "action": signal.action},
        signal=signal,
        service_id=service.id,
        urgency=_loudness(case),
        previous_incident_id=case.alert.incident_id if case.alert else None,
        is_urgency_chosen=chosen.urgency is not None,
        policy_id=chosen.policy.id if chosen.policy else None,
        group_key=case.group_key if noise.belongs(signal, case.alert, case.now) else None,
    )
    begun = begin(opened, service, case.windows, case.now, held)
    gone = (
        fx.Note(text=f"the rule in Sentry is out of date: {one}; {service.name} has it as usual")
        for one in chosen.missing
    )
    return (*begun, *gone)


def _reopen(case: Case, on: Sequence[MaintenanceWindow]) -> tuple[fx.Effect, ...]:
    signal, service, now = case.signal, case.service, case.now
    is_chosen = case.chosen.urgency is not None
    text = f"came back: {signal.text or 'triggered'}"
    return (
        fx.Reopen(
            text=text, by=_actor(signal), urgency=_loudness(case), is_urgency_chosen=is_chosen
        ),
        fx.Restart(),
        *suppress(on),
        *_by_the_clock(signal, service, now, is_urgency_chosen=is_chosen),
    )


def _join(case: Case, group: Incident) -> tuple[fx.Effect, ...]:
    """Make an alert part of the open incident of its group; what is louder than that pages."""
    signal, service, now = case.signal, case.service, case.now
    loudness = _loudness(case, group)
    louder, worse = loudness.is_above(group.urgency), signal.severity.is_above(group.severity)
    why = "the same metric" if signal.known.is_metric else f"of {signal.known.release} too"
    joined = fx.Join(
        text=f"{why}: {signal.title}" + (", high urgency now" if louder else ""),
        by=_actor(signal),
        incident_id=group.id,
        title=noise.grown_title(group, signal),
        severity=signal.severity if worse else group.severity,
        urgency=loudness if louder else group.urgency,
    )
    # Neither a quiet incident nor one that is held may swallow what is loud.
    freed: tuple[fx.Effect, ...] = ()
    is_loud = not suppressing(case.windows, service.id, signal, now) and not noise.hold(
        service, signal, case.alert, now
    )
    if group.suppressed_until is not None and is_loud:
        freed = (fx.Unsuppress(text=f"{signal.title} is not to be kept quiet"),)
    pages_again = louder and group.status in PAGES_AGAIN
    if freed:
        pages_again = pages_again or group.status is IncidentStatus.TRIGGERED
    elif group.suppressed_until is not None:
        pages_again = False
    again = (fx.CancelPages(), fx.Restart()) if pages_again else ()
    return (joined, *noise.resolve_later(group, signal, service, now), *freed, *again)


def _gathered(
    case: Case, incident: Incident
) -> tuple[tuple[fx.Effect, ...], tuple[fx.Effect, ...]]:
    """Put an open incident where it belongs, now that its source says where that is.

    Return what happens to the incident of its group, and what happens to itself. The source may
    tell of a new issue twice, and only one of the two names its release.
    """
    alert, group = case.alert, case.group
    if case.group_key is None or incident.group_key is not None or incident.alert_count > 1:
        return (), ()
    is_fresh = case.now - incident.triggered_at <= noise.TOLD_TWICE
    if alert is None or (noise.was_there_before(alert) and not case.signal.known.is_metric):
        return (), ()
    if incident.previous_incident_id is not None or not is_fresh:
        return (), ()
    if group is None:
        return (), (fx.Gather(group_key=case.group_key),)
    if group.id == incident.id or incident.status is not IncidentStatus.TRIGGERED:
        return (), ()
    title = noise.grown_title(group, case.signal)
    counted = replace(incident, occurrence_count=incident.occurrence_count + 1)
    gone, taken = merge(counted, group, TOCSIN)
    return (*taken, fx.Entitle(title=title)), tuple(gone)


def _is_of_before(case: Case, incident: Incident) -> bool:
    """Whether what joined the incident of a release as new turns out to have been there before.

    Rules tell of an issue without saying how it comes; the webhook of the issue says it. What was
    said to be new, or was over in between, came back by what happened since.
    """
    alert, sight = case.alert, case.signal.known.sight
    if alert is None or sight not in (Sight.REGRESSED, Sight.ESCALATING, Sight.BACK):
        return False
    if alert.resolved_at is not None or noise.is_said_to_be_new(alert):
        return False
    is_guest = incident.group_key is not None and incident.dedup_key != alert.dedup_key
    has_just_come = case.now - alert.first_seen_at <= noise.TOLD_TWICE
    return is_guest and has_just_come and not case.signal.known.is_metric


def _apart(case: Case, seen: fx.SeeAlert) -> Decision:
    """Take the alert out of an incident that it joined as new, and open one of its own."""
    alert, by = case.alert, _actor(case.signal)
    assert alert is not None
    lost = fx.LoseAlert(
        text=f"{alert.title} is no longer part of this: it was there before",
        by=by,
        alert_id=alert.id,
        occurrence_count=alert.occurrence_count,
    )
    left = () if case.others_fire else _over_with_it(by)
    is_quiet = suppressing(case.windows, case.service.id, case.signal, case.now)
    return Decision(
        verb=Verb.TRIGGER,
        outcome=DeliveryOutcome.SUPPRESSED if is_quiet else DeliveryOutcome.TRIGGERED,
        effects=(seen, lost, *left, *_open(case, None)),
    )


def _over_with_it(by: Actor) -> tuple[fx.Effect, ...]:
    return (fx.Resolve(text="its other alerts were over already", by=by), *ENDING)


def _after_all(case: Case, incident: Incident) -> tuple[fx.Effect, ...]:
    """Mark as a test what only the second webhook of two says to be one.

    Sentry's sample event makes an issue, and whether the webhook of the issue or that of the rule
    arrives first is chance; only the latter has the tag.
    """
    is_fresh = case.now - incident.triggered_at <= noise.TOLD_TWICE
    is_alone = incident.alert_count == 1 and incident.previous_incident_id is None
    if not case.signal.is_test or incident.is_test or not is_fresh or not is_alone:
        return ()
    marked = fx.MarkTest(text="a test: its source says so", by=_actor(case.signal))
    return (marked, fx.ResolveAt(at=case.now + TEST_LASTS))


def _sooner(case: Case, incident: Incident) -> tuple[fx.Effect, ...]:
    """Let what is held page before its time, if it has become too much."""
    if noise.held_until(incident) is None:
        return ()
    seen = incident.occurrence_count + 1
    why = noise.too_loud(case.service, case.signal, case.alert, seen)
    why = "a test of its source" if case.signal.is_test else why
    if not why:
        return ()
    return freed(incident, case.windows, case.now, is_held=False, why=f"held no longer: {why}")


def _chosen_late(case: Case, incident: Incident) -> tuple[fx.Effect, ...]:
    """Follow the policy that a rule chose for an incident that something else has opened.

    A person who gave it to somebody, or has it, is not overruled.
    """
    policy = case.chosen.policy
    if policy is None or incident.status is not IncidentStatus.TRIGGERED:
        return ()
    if incident.assigned_policy_id is not None or incident.assigned_user_id is not None:
        return ()
    if policy.id == case.service.escalation_policy_id:
        return ()
    change = fx.Reassign(
        text=f"the rule in Sentry chose the policy {policy.name}",
        by=_actor(case.signal),
        user_id=None,
        policy_id=policy.id,
    )
    return (change, fx.CancelPages(), fx.Restart())


def _reopens(case: Case) -> bool:
    previous, window = case.incident, case.service.reopen_window
    if previous is None or window is None or previous.resolved_at is None:
        return False
    return previous.merged_into_id is None and case.now <= previous.resolved_at + window


def _again(case: Case, incident: Incident) -> tuple[fx.Effect, ...]:
    """Count a repeat, or raise the incident if this one is worse. One entry either way."""
    signal, service = case.signal, case.service
    loudness = _loudness(case, incident)
    by, text = _actor(signal), signal.text or "triggered again"
    other = case.chosen.service
    if other is not None and other.id != incident.service_id:
        text += f" (its rule chose {other.name}; it stays with {service.name})"
    louder = loudness.is_above(incident.urgency)
    worse = signal.severity.is_above(incident.severity)
    if not louder and not worse:
        return (fx.Count(text=text, by=by),)
    is_quiet = incident.suppressed_until is not None and case.now < incident.suppressed_until
    pages_again = louder and incident.status in PAGES_AGAIN and not is_quiet
    severity = signal.severity if worse else incident.severity
    change = fx.Raise(
        text=f"{text}: now {severity}" + (", high urgency" if louder else ""),
        by=by,
        severity=severity,
        urgency=loudness if louder else incident.urgency,
        pages_again=pages_again,
    )
    later = raise_later(service, severity, signal.priority or incident.priority, case.now)
    if incident.is_urgency_chosen or case.chosen.urgency is not None:
        later = ()
    return (change, *later, *((fx.CancelPages(), fx.Restart()) if pages_again else ()))


def _acknowledge(case: Case) -> Decision:
    incident, signal = case.incident, case.signal
    if incident is None or not incident.is_open:
        return Decision(verb=Verb.ACKNOWLEDGE, outcome=DeliveryOutcome.RECORDED)
    return Decision(
        verb=Verb.ACKNOWLEDGE,
        outcome=DeliveryOutcome.ACKNOWLEDGED,
        effects=acknowledge(incident, _actor(signal), case.service, case.now, signal.text),
    )


def _resolve(case: Case) -> Decision:
    incident, signal = case.incident, case.signal
    closed = fx.CloseAlert(signal=signal, service_id=case.service.id)
    until = " until Sentry takes it up again" if _is_put_away(case) else ""
    if incident is None or not incident.is_open:
        return Decision(verb=Verb.RESOLVE, outcome=DeliveryOutcome.RECORDED, effects=(closed,))
    if case.others_fire:
        text = f"{signal.text or 'resolved'}: {signal.title}; others of its alerts still fire"
        effects = (closed, fx.Note(text=text, by=_actor(signal)))
        return Decision(verb=Verb.RESOLVE, outcome=DeliveryOutcome.RECORDED, effects=effects)
    return Decision(
        verb=Verb.RESOLVE,
        outcome=DeliveryOutcome.RESOLVED,
        effects=(closed, *resolve(incident, _actor(signal), f"{signal.text}{until}")),
    )


def _note(case: Case) -> Decision:
    incident, signal = case.incident, case.signal
    noted = incident is not None and incident.is_open
    text = signal.text or f"{signal.resource} {signal.action or ''}".strip()
    return Decision(
        verb=Verb.NOTE,
        outcome=DeliveryOutcome.RECORDED,
        effects=(fx.Note(text=text, by=_actor(signal)),) if noted else (),
    )


#: What becomes of a signal that asks nothing.
NOTHING = Decision(verb=Verb.NONE, outcome=DeliveryOutcome.IGNORED)


def _none(_case: Case) -> Decision:
    return NOTHING


def unmerge(
    alert: Alert,
    others: Iterable[Alert],
    occurrence_count: int,
    service: Service,
    windows: Iterable[MaintenanceWindow],
    by: Actor,
    now: datetime,
) -> tuple[tuple[fx.Effect, ...], list[fx.Effect]]:
    """Let an alert go its own way; return what it opens, and what happens to the one it leaves.

    ``others`` are the alerts that stay, ``occurrence_count`` what this one added to the count of
    the incident. An alert that is over opens nothing; an incident left with none that fires ends.
    """
    lost = fx.LoseAlert(
        text=f"{alert.title} is no longer part of this",
        by=by,
        alert_id=alert.id,
        occurrence_count=occurrence_count,
    )
    left: list[fx.Effect] = [lost]
    if all(one.resolved_at is not None for one in others):
        left += _over_with_it(by)
    if alert.resolved_at is not None:
        return (), left
    signal = Signal(
        resource="unmerge",
        action=None,
        verb=Verb.TRIGGER,
        dedup_key=alert.dedup_key,
        title=alert.title,
        severity=alert.severity,
        priority=alert.priority,
        source=alert.source,
        link=alert.link,
        details=alert.details,
        known=Knowledge(about=alert.about),
    )
    opened = fx.OpenIncident(
        text=f"taken out of another incident by {by.name}",
        by=by,
        signal=signal,
        service_id=service.id,
        urgency=urgency(service, alert.severity, alert.priority, now),
        previous_incident_id=alert.incident_id,
        occurrence_count=max(1, occurrence_count),
    )
    return begin(opened, service, windows, now), left


_DECIDE: Mapping[Verb, Callable[[Case], Decision]] = {
    Verb.TRIGGER: _trigger,
    Verb.ACKNOWLEDGE: _acknowledge,
    Verb.RESOLVE: _resolve,
    Verb.NOTE: _note,
    Verb.NONE: _none,
}


def is_pageable(status: IncidentStatus) -> bool:
    """Whether a page that is due may still go out (no page starts after an acknowledgement)."""
    return status is IncidentStatus.TRIGGERED
