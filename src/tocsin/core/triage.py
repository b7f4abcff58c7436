"""Decide what one signal means for its alert and its incident."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from tocsin.core.notify import raise_later, urgency
from tocsin.core.plans import MaintenanceWindow, Route, Service

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


def triage(case: Case) -> Decision:
    """Decide what becomes of a signal."""
    verb = case.signal.verb
    if verb is Verb.REGRESS:
        verb = Verb.TRIGGER if _has_regressed(case) else Verb.NONE
    return _DECIDE[verb](case)


def _has_regressed(case: Case) -> bool:
    alert, occurred_at = case.alert, case.signal.occurred_at
    if alert is None or alert.resolved_at is None or occurred_at is None:
        return False
    if case.incident is not None and case.incident.is_open:
        return False
    return occurred_at > alert.resolved_at + REGRESSION_MARGIN


def _actor(signal: Signal) -> Actor:
    return Actor(name=signal.actor or signal.source or "source")


def suppressing(
    windows: Iterable[MaintenanceWindow], service_id: str, signal: Signal, now: datetime
) -> MaintenanceWindow | None:
    """Return the window that keeps this from paging; of several the one that ends last."""
    on = (
        window
        for window in windows
        if window.begins_at <= now < window.ends_at
        and (not window.service_ids or service_id in window.service_ids)
        and (window.match is None or matches(window.match, signal))
    )
    return max(on, key=lambda window: window.ends_at, default=None)


def _trigger(case: Case) -> Decision:
    seen = fx.SeeAlert(signal=case.signal, service_id=case.service.id)
    incident = case.incident
    if incident is not None and TRANSITIONS[incident.status, Move.TRIGGER] is Cell.COUNT:
        return Decision(
            verb=Verb.TRIGGER,
            outcome=DeliveryOutcome.DEDUPLICATED,
            effects=(seen, *_again(case, incident)),
        )
    window = suppressing(case.windows, case.service.id, case.signal, case.now)
    outcome = DeliveryOutcome.SUPPRESSED if window else DeliveryOutcome.TRIGGERED
    begin = _begin(case, window)
    return Decision(verb=Verb.TRIGGER, outcome=outcome, effects=(seen, *begin))


def _begin(case: Case, window: MaintenanceWindow | None) -> tuple[fx.Effect, ...]:
    signal, service, now = case.signal, case.service, case.now
    loudness = urgency(service, signal.severity, signal.priority, now)
    by, text = _actor(signal), signal.text or "triggered"
    start: tuple[fx.Effect, ...]
    if _reopens(case):
        start = (fx.Reopen(text=f"came back: {text}", by=by, urgency=loudness), fx.Restart())
    else:
        opened = fx.OpenIncident(
            text=text,
            by=by,
            data={"resource": signal.resource, "action": signal.action},
            signal=signal,
            service_id=service.id,
            urgency=loudness,
            previous_incident_id=case.alert.incident_id if case.alert else None,
        )
        start = (opened, fx.LookAgainAt(at=now))
    if window is not None:
        start += (suppress(window),)
    start += raise_later(service, signal.severity, signal.priority, now)
    if signal.is_test:
        return (*start, fx.ResolveAt(at=now + TEST_LASTS))
    if service.auto_resolve_after:
        return (*start, fx.ResolveAt(at=now + service.auto_resolve_after))
    return start


def suppress(window: MaintenanceWindow) -> fx.Suppress:
    """Keep an incident from paging while a window lasts."""
    why = f": {window.reason}" if window.reason else ""
    text = f"in maintenance until {window.ends_at:%Y-%m-%d %H:%M} UTC{why}; nobody is paged"
    return fx.Suppress(text=text, until=window.ends_at, window_id=window.id)


def _reopens(case: Case) -> bool:
    previous, window = case.incident, case.service.reopen_window
    if previous is None or window is None or previous.resolved_at is None:
        return False
    return previous.merged_into_id is None and case.now <= previous.resolved_at + window


def _again(case: Case, incident: Incident) -> tuple[fx.Effect, ...]:
    """Count a repeat, or raise the incident if this one is worse. One entry either way."""
    signal, service = case.signal, case.service
    loudness = urgency(service, signal.severity, signal.priority, case.now)
    by, text = _actor(signal), signal.text or "triggered again"
    louder = loudness.is_above(incident.urgency)
    worse = signal.severity.is_above(incident.severity)
    if not louder and not worse:
        return (fx.Count(text=text, by=by),)
    is_quiet = incident.suppressed_until is not None
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
    if incident is None or not incident.is_open:
        return Decision(verb=Verb.RESOLVE, outcome=DeliveryOutcome.RECORDED, effects=(closed,))
    if case.others_fire:
        text = f"{signal.text or 'resolved'}: {signal.title}; others of its alerts still fire"
        effects = (closed, fx.Note(text=text, by=_actor(signal)))
        return Decision(verb=Verb.RESOLVE, outcome=DeliveryOutcome.RECORDED, effects=effects)
    return Decision(
        verb=Verb.RESOLVE,
        outcome=DeliveryOutcome.RESOLVED,
        effects=(closed, *resolve(incident, _actor(signal), signal.text)),
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


def _none(_case: Case) -> Decision:
    return Decision(verb=Verb.NONE, outcome=DeliveryOutcome.IGNORED)


_DECIDE: Mapping[Verb, Callable[[Case], Decision]] = {
    Verb.TRIGGER: _trigger,
    Verb.ACKNOWLEDGE: _acknowledge,
    Verb.RESOLVE: _resolve,
    Verb.NOTE: _note,
    Verb.NONE: _none,
}


def route(routes: Sequence[Route], signal: Signal) -> Route | None:
    """Return the first route that matches; every field a route names must match."""
    return next((row for row in routes if matches(row, signal)), None)


def matches(row: Route, signal: Signal) -> bool:
    """Whether every field that the row names matches."""
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
