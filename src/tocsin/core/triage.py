"""Decide what one signal means for its alert and its incident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from tocsin.core import effects as fx
from tocsin.core.incident import (
    PAGES_AGAIN,
    TRANSITIONS,
    Cell,
    Move,
    acknowledge,
    resolve,
)
from tocsin.core.model import (
    Actor,
    Alert,
    DeliveryOutcome,
    Incident,
    IncidentStatus,
    Signal,
    Verb,
)
from tocsin.core.notify import urgency
from tocsin.core.plans import (
    Route,
    Service,
)

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


def triage(
    signal: Signal,
    alert: Alert | None,
    incident: Incident | None,
    service: Service,
    now: datetime,
) -> Decision:
    """Decide. ``incident`` is the latest of this alert, open or resolved; None if it had none."""
    verb = signal.verb
    if verb is Verb.REGRESS:
        verb = Verb.TRIGGER if _has_regressed(signal, alert, incident) else Verb.NONE
    return _DECIDE[verb](signal, alert, incident, service, now)


def _has_regressed(signal: Signal, alert: Alert | None, incident: Incident | None) -> bool:
    if alert is None or alert.resolved_at is None or signal.occurred_at is None:
        return False
    if incident is not None and incident.is_open:
        return False
    return signal.occurred_at > alert.resolved_at + REGRESSION_MARGIN


def _actor(signal: Signal) -> Actor:
    return Actor(name=signal.actor or signal.source or "source")


def _trigger(
    signal: Signal, alert: Alert | None, incident: Incident | None, service: Service, now: datetime
) -> Decision:
    seen = fx.SeeAlert(signal=signal, service_id=service.id)
    if incident is None or TRANSITIONS[incident.status, Move.TRIGGER] is Cell.NEW:
        begin = _begin(signal, alert, incident, service, now)
        return Decision(
            verb=Verb.TRIGGER, outcome=DeliveryOutcome.TRIGGERED, effects=(seen, *begin)
        )
    return Decision(
        verb=Verb.TRIGGER,
        outcome=DeliveryOutcome.DEDUPLICATED,
        effects=(seen, *_again(signal, incident, service)),
    )


def _begin(
    signal: Signal, alert: Alert | None, previous: Incident | None, service: Service, now: datetime
) -> tuple[fx.Effect, ...]:
    loudness = urgency(service, signal.severity, signal.priority)
    window = service.reopen_window
    by, text = _actor(signal), signal.text or "triggered"
    start: tuple[fx.Effect, ...]
    if previous and window and previous.resolved_at and now <= previous.resolved_at + window:
        start = (fx.Reopen(text=f"came back: {text}", by=by, urgency=loudness), fx.Restart())
    else:
        opened = fx.OpenIncident(
            text=text,
            by=by,
            data={"resource": signal.resource, "action": signal.action},
            signal=signal,
            service_id=service.id,
            urgency=loudness,
            previous_incident_id=alert.incident_id if alert else None,
        )
        start = (opened, fx.LookAgainAt(at=now))
    if signal.is_test:
        return (*start, fx.ResolveAt(at=now + TEST_LASTS))
    if service.auto_resolve_after:
        return (*start, fx.ResolveAt(at=now + service.auto_resolve_after))
    return start


def _again(signal: Signal, incident: Incident, service: Service) -> tuple[fx.Effect, ...]:
    """Count a repeat, or raise the incident if this one is worse. One entry either way."""
    loudness = urgency(service, signal.severity, signal.priority)
    by, text = _actor(signal), signal.text or "triggered again"
    louder = loudness.is_above(incident.urgency)
    worse = signal.severity.is_above(incident.severity)
    if not louder and not worse:
        return (fx.Count(text=text, by=by),)
    pages_again = louder and incident.status in PAGES_AGAIN
    severity = signal.severity if worse else incident.severity
    change = fx.Raise(
        text=f"{text}: now {severity}" + (", high urgency" if louder else ""),
        by=by,
        severity=severity,
        urgency=loudness if louder else incident.urgency,
        pages_again=pages_again,
    )
    return (change, fx.CancelPages(), fx.Restart()) if pages_again else (change,)


def _acknowledge(
    signal: Signal, _alert: Alert | None, incident: Incident | None, service: Service, now: datetime
) -> Decision:
    if incident is None or not incident.is_open:
        return Decision(verb=Verb.ACKNOWLEDGE, outcome=DeliveryOutcome.RECORDED)
    return Decision(
        verb=Verb.ACKNOWLEDGE,
        outcome=DeliveryOutcome.ACKNOWLEDGED,
        effects=acknowledge(incident, _actor(signal), service, now, signal.text),
    )


def _resolve(
    signal: Signal,
    _alert: Alert | None,
    incident: Incident | None,
    service: Service,
    _now: datetime,
) -> Decision:
    closed = fx.CloseAlert(signal=signal, service_id=service.id)
    if incident is None or not incident.is_open:
        return Decision(verb=Verb.RESOLVE, outcome=DeliveryOutcome.RECORDED, effects=(closed,))
    return Decision(
        verb=Verb.RESOLVE,
        outcome=DeliveryOutcome.RESOLVED,
        effects=(closed, *resolve(incident, _actor(signal), signal.text)),
    )


def _note(
    signal: Signal,
    _alert: Alert | None,
    incident: Incident | None,
    _service: Service,
    _now: datetime,
) -> Decision:
    noted = incident is not None and incident.is_open
    text = signal.text or f"{signal.resource} {signal.action or ''}".strip()
    return Decision(
        verb=Verb.NOTE,
        outcome=DeliveryOutcome.RECORDED,
        effects=(fx.Note(text=text, by=_actor(signal)),) if noted else (),
    )


def _none(
    _signal: Signal,
    _alert: Alert | None,
    _incident: Incident | None,
    _service: Service,
    _now: datetime,
) -> Decision:
    return Decision(verb=Verb.NONE, outcome=DeliveryOutcome.IGNORED)


_DECIDE = {
    Verb.TRIGGER: _trigger,
    Verb.ACKNOWLEDGE: _acknowledge,
    Verb.RESOLVE: _resolve,
    Verb.NOTE: _note,
    Verb.NONE: _none,
}


def route(routes: Sequence[Route], signal: Signal) -> Route | None:
    """Return the first route that matches; every field a route names must match."""
    return next((row for row in routes if _matches(row, signal)), None)


def _matches(row: Route, signal: Signal) -> bool:
    tags = dict(signal.tags)
    checks = (
        (row.project, signal.projects),
        (row.environment, (signal.environment,)),
        (row.level, (signal.level,)),
        (row.resource, (signal.resource,)),
        (row.action, (signal.action,)),
        *((wanted, (tags.get(name),)) for name, wanted in row.tags),
    )
    return all(
        not wanted or any(value in wanted for value in values) for wanted, values in checks
    ) and (not row.title or any(fnmatchcase(signal.title, glob) for glob in row.title))


def is_pageable(status: IncidentStatus) -> bool:
    """Whether a page that is due may still go out (no page starts after an acknowledgement)."""
    return status is IncidentStatus.TRIGGERED
