"""Decide what one signal means for its alert and its incident."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from tocsin.core import effects as fx
from tocsin.core.incident import (
    ENDING,
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
    return Actor(name=signal.actor or signal.source or "source", is_source=True)


def window_key(window: MaintenanceWindow) -> str:
    """Name a window with what it matches: matching something else, it is another."""
    return f"{window.id}:{hashlib.sha256(repr(window.match).encode()).hexdigest()[:12]}"


def _is_on(window: MaintenanceWindow, service_id: str, now: datetime) -> bool:
    covers = not window.service_ids or service_id in window.service_ids
    return covers and window.begins_at <= now < window.ends_at


def suppressing(
    windows: Iterable[MaintenanceWindow], service_id: str, signal: Signal, now: datetime
) -> list[MaintenanceWindow]:
    """Return the windows that keep this from paging, the one that ends last first."""
    on = (
        window
        for window in windows
        if _is_on(window, service_id, now)
        and (window.match is None or matches(window.match, signal))
    )
    return sorted(on, key=lambda window: window.ends_at, reverse=True)


def suppress(on: Sequence[MaintenanceWindow]) -> tuple[fx.Suppress, ...]:
    """Keep an incident from paging while windows last, if there are any."""
    if not on:
        return ()
    longest = on[0]
    why = f": {longest.reason}" if longest.reason else ""
    text = f"in maintenance until {longest.ends_at:%Y-%m-%d %H:%M} UTC{why}; nobody is paged"
    keys = tuple(window_key(window) for window in on)
    return (fx.Suppress(text=text, until=longest.ends_at, windows=keys),)


def release(
    incident: Incident, windows: Iterable[MaintenanceWindow], now: datetime
) -> tuple[fx.Effect, ...]:
    """A maintenance window may have ended: page if it is still open, or go on waiting.

    It waits on while one of the windows that matched it goes on as it was, or one of its service
    that matches everything.
    """
    if incident.suppressed_until is None or not incident.is_open:
        return ()
    on = [
        window
        for window in windows
        if _is_on(window, incident.service_id, now)
        and (window.match is None or window_key(window) in incident.suppressed_by)
    ]
    if on:
        on.sort(key=lambda window: window.ends_at, reverse=True)
        until, keys = on[0].ends_at, tuple(window_key(window) for window in on)
        changed = until != incident.suppressed_until
        text = f"maintenance goes on until {until:%Y-%m-%d %H:%M} UTC" if changed else ""
        return (fx.Suppress(text=text, until=until, windows=keys),)
    freed = fx.Unsuppress(text="maintenance is over")
    return (freed, fx.Restart()) if incident.status is IncidentStatus.TRIGGERED else (freed,)


def begin(
    opened: fx.OpenIncident, service: Service, windows: Iterable[MaintenanceWindow], now: datetime
) -> tuple[fx.Effect, ...]:
    """Open an incident, however that came about: with all that is due in its life by the clock."""
    on = suppressing(windows, service.id, opened.signal, now)
    return (opened, fx.LookAgainAt(at=now), *_by_the_clock(opened.signal, service, on, now))


def _by_the_clock(
    signal: Signal, service: Service, on: Sequence[MaintenanceWindow], now: datetime
) -> tuple[fx.Effect, ...]:
    """Ask for what time alone will do to a cycle that begins now."""
    lasts = TEST_LASTS if signal.is_test else service.auto_resolve_after
    return (
        *suppress(on),
        *raise_later(service, signal.severity, signal.priority, now),
        *((fx.ResolveAt(at=now + lasts),) if lasts else ()),
    )


def _trigger(case: Case) -> Decision:
    seen = fx.SeeAlert(signal=case.signal, service_id=case.service.id)
    incident = case.incident
    if incident is not None and TRANSITIONS[incident.status, Move.TRIGGER] is Cell.COUNT:
        return Decision(
            verb=Verb.TRIGGER,
            outcome=DeliveryOutcome.DEDUPLICATED,
            effects=(seen, *_again(case, incident)),
        )
    on = suppressing(case.windows, case.service.id, case.signal, case.now)
    outcome = DeliveryOutcome.SUPPRESSED if on else DeliveryOutcome.TRIGGERED
    start = _reopen(case, on) if _reopens(case) else _open(case)
    return Decision(verb=Verb.TRIGGER, outcome=outcome, effects=(seen, *start))


def _open(case: Case) -> tuple[fx.Effect, ...]:
    signal, service = case.signal, case.service
    opened = fx.OpenIncident(
        text=signal.text or "triggered",
        by=_actor(signal),
        data={"resource": signal.resource, "action": signal.action},
        signal=signal,
        service_id=service.id,
        urgency=urgency(service, signal.severity, signal.priority, case.now),
        previous_incident_id=case.alert.incident_id if case.alert else None,
    )
    return begin(opened, service, case.windows, case.now)


def _reopen(case: Case, on: Sequence[MaintenanceWindow]) -> tuple[fx.Effect, ...]:
    signal, service, now = case.signal, case.service, case.now
    loudness = urgency(service, signal.severity, signal.priority, now)
    text = f"came back: {signal.text or 'triggered'}"
    return (
        fx.Reopen(text=text, by=_actor(signal), urgency=loudness),
        fx.Restart(),
        *_by_the_clock(signal, service, on, now),
    )


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
        left += [fx.Resolve(text="its other alerts were over already", by=by), *ENDING]
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
