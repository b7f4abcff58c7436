"""Spare a service what its source itself knows to be noise.

Every rule is data of the service (``core.plans.Noise``) and says what it did in a sentence. A rule
uses what is there for other reasons: what it keeps quiet is suppressed and released by a job, what
belongs together is one incident of several alerts, what ends by itself is resolved by a job. The
source's own tests are never noise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tocsin.core import effects as fx
from tocsin.core.incident import resolve
from tocsin.core.model import (
    TOCSIN,
    Alert,
    Incident,
    Priority,
    Severity,
    Sight,
    Signal,
)
from tocsin.core.plans import Hold, Noise, Service
from tocsin.core.reconcile import EVERY
from tocsin.core.text import bounded_key, clean
from tocsin.core.times import format_span

#: What one event makes a source tell twice comes within this.
TOLD_TWICE = timedelta(minutes=5)

#: What ``Knowledge.about`` says of a condition that is seen, counted and archived at its source.
ISSUE = "issue"

#: How much something matters where its source does not say.
BY_SEVERITY: Mapping[Severity, Priority] = {
    Severity.CRITICAL: Priority.HIGH,
    Severity.ERROR: Priority.HIGH,
    Severity.WARNING: Priority.MEDIUM,
    Severity.INFO: Priority.LOW,
}

#: How a hold stands among what suppresses an incident: with the instant it ends at.
_HOLD = "hold:"

#: A title in the middle of an incident's has no more room.
_TITLE_LENGTH = 900


def matters(signal: Signal, alert: Alert | None) -> Priority:
    """Say how much it matters: as its source says now, or said before, or by its severity."""
    before = alert.priority if alert else None
    return signal.priority or before or BY_SEVERITY[signal.severity]


def is_first_sight(signal: Signal, alert: Alert | None, now: datetime) -> bool:
    """Whether an issue is seen for the first time, and has not gone through any cycle here.

    Alert rules do not say how an issue comes. One that fires for what has been known here for a
    while would otherwise be news for ever, and a rule that wakes nobody.
    """
    known = signal.known
    if known.about != ISSUE or known.sight not in (None, Sight.NEW):
        return False
    if alert is None:
        return True
    is_untouched = alert.incident_id is None and alert.resolved_at is None
    return is_untouched and (known.sight is Sight.NEW or now - alert.first_seen_at <= TOLD_TWICE)


def unopened(service: Service, signal: Signal, alert: Alert | None, now: datetime) -> str:
    """Say why this is recorded and opens no incident; empty if it does open one."""
    if signal.is_test or not service.noise.records_first_sight:
        return ""
    if not is_first_sight(signal, alert, now):
        return ""
    return f"seen for the first time: {service.name} pages when it regresses or escalates"


# -- holding --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Why an incident does not page yet, and until when."""

    until: datetime
    text: str

    @property
    def key(self) -> str:
        """How it stands among what suppresses an incident."""
        return f"{_HOLD}{self.until.isoformat()}"


def hold(service: Service, signal: Signal, alert: Alert | None, now: datetime) -> Held | None:
    """Hold what is new and matters little, unless it is too much already."""
    rule = service.noise.hold
    if rule is None or signal.is_test or not is_first_sight(signal, alert, now):
        return None
    priority = matters(signal, alert)
    if priority not in rule.priorities or _too_much(rule, signal, 1):
        return None
    until = now + rule.lasts
    sooner = _limits(rule)
    text = (
        f"held for {format_span(rule.lasts)}: new, and of {priority} priority; nobody is paged"
        f" before {until:%Y-%m-%d %H:%M} UTC{f' or {sooner}' if sooner else ''}"
    )
    return Held(until=until, text=text)


def held_until(incident: Incident) -> datetime | None:
    """Return when the hold of an incident ends, if it is held."""
    keys = (key for key in incident.suppressed_by if key.startswith(_HOLD))
    found = next(keys, None)
    return datetime.fromisoformat(found.removeprefix(_HOLD)) if found else None


def too_loud(service: Service, signal: Signal, alert: Alert | None, seen: int) -> str:
    """Say why an incident that is held pages now, seen so often here; empty if it is held on."""
    rule = service.noise.hold
    if rule is None:
        return "its service holds nothing any more"
    if signal.known.sight in (Sight.REGRESSED, Sight.ESCALATING):
        return f"it is {signal.known.sight}"
    priority = matters(signal, alert)
    if priority not in rule.priorities:
        return f"it is of {priority} priority now"
    return _too_much(rule, signal, seen)


def _too_much(rule: Hold, signal: Signal, seen: int) -> str:
    events = max(signal.known.event_count or 0, seen)
    if rule.events is not None and events >= rule.events:
        return _counted(events, "event")
    users = signal.known.user_count or 0
    if rule.users is not None and users >= rule.users:
        return _counted(users, "user")
    return ""


def _limits(rule: Hold) -> str:
    events = _counted(rule.events, "event") if rule.events is not None else ""
    users = _counted(rule.users, "user") if rule.users is not None else ""
    return " or ".join(part for part in (events, users) if part)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


# -- what belongs together ------------------------------------------------------------------------


def group_key(service: Service, signal: Signal) -> str | None:
    """Name what a signal belongs to besides its alert: its release, or its metric alert."""
    known = signal.known
    if signal.is_test or signal.dedup_key is None:
        return None
    place = signal.projects[-1] if signal.projects else ""
    if service.noise.joins_metric_issues and known.is_metric:
        return bounded_key(f"metric:{place}:{' '.join(signal.title.casefold().split())}")
    if service.noise.one_per_release and known.about == ISSUE and known.release:
        return bounded_key(f"release:{place}:{known.release}")
    return None


def belongs(signal: Signal, alert: Alert | None, now: datetime) -> bool:
    """Whether a signal with a group key becomes part of the group: of a release only what is new.

    What was there before the release is not its doing, whichever release it is seen in.
    """
    return signal.known.is_metric or is_first_sight(signal, alert, now)


def is_said_to_be_new(alert: Alert) -> bool:
    """Whether the source has said of an issue that it is new."""
    return alert.details.get("substatus") == Sight.NEW


def was_there_before(alert: Alert) -> bool:
    """Whether the source has said of an issue that it is not new; alert rules never say."""
    return alert.details.get("substatus", Sight.NEW) != Sight.NEW


def grown_title(incident: Incident, signal: Signal) -> str:
    """Return the title of an incident that has one alert more from now on."""
    release = signal.known.release
    if signal.known.is_metric or release is None:
        return incident.title
    said = f" issues since {release}: "
    first = incident.title.partition(said)[2] or incident.title
    return clean(f"{incident.alert_count + 1}{said}{first[:_TITLE_LENGTH]}")


# -- what ends by itself --------------------------------------------------------------------------


def over(
    incident: Incident,
    service: Service | None,
    alerts: Collection[Alert],
    now: datetime,
    asked: Mapping[str, datetime | None] | None = None,
) -> tuple[fx.Effect, ...]:
    """Its time to end by itself may have come: resolve it, or look again when it may.

    ``asked`` says of integrations that are connected until when Sentry was asked: where it can be
    asked, that no webhook came is not enough.
    """
    if incident.is_test:
        return resolve(incident, TOCSIN, "Sentry's test is over")
    quiet = service.noise.quiet_after if service else None
    if service is None or quiet is None:
        return resolve(incident, TOCSIN, "resolved by itself after its time")
    if not incident.is_open:
        return ()
    firing = [alert for alert in alerts if alert.resolved_at is None]
    last = max(map(_last_seen, firing), default=incident.triggered_at)
    lasts = service.auto_resolve_after
    # Seen after its end, it was re-opened meanwhile.
    ends = lasts and (incident.triggered_at + lasts)
    if ends and lasts and last > ends:
        ends = last + lasts
    if ends and ends <= now:
        return resolve(incident, TOCSIN, "resolved by itself after its time")
    times = [ends] if ends else []
    if firing and all(alert.about == ISSUE for alert in firing):
        again = _looks_again(last + quiet, quiet, _asked_until(firing, asked or {}), now)
        if again is None:
            return resolve(incident, TOCSIN, f"Sentry was quiet about it for {format_span(quiet)}")
        times.append(again)
    elif firing:
        # What tells by itself that it is over is waited for.
        times.append(now + quiet)
    return (fx.ResolveAt(at=min(times)),) if times else ()


def _last_seen(alert: Alert) -> datetime:
    """Return when an alert was last heard of, by a webhook or by asking."""
    return max(alert.last_seen_at, alert.source_seen_at or alert.last_seen_at)


def _asked_until(
    firing: Collection[Alert], asked: Mapping[str, datetime | None]
) -> datetime | None:
    """Return until when Sentry was asked about all of these, as far as it can be asked."""
    times = [asked[one.integration_id] for one in firing if one.integration_id in asked]
    known = [at for at in times if at is not None]
    if len(known) < len(times):
        return _NEVER
    return min(known, default=None)


_NEVER = datetime.min.replace(tzinfo=UTC)


def _looks_again(
    at: datetime, quiet: timedelta, asked_until: datetime | None, now: datetime
) -> datetime | None:
    """Say when to look again at what is quiet at a time, if nothing comes; None if it is quiet now.

    Where Sentry can be asked it has to have been asked since; but it is not waited for longer than
    once more the same span.
    """
    if now < at:
        return at
    if asked_until is None or asked_until >= at or at + quiet <= now:
        return None
    return min(now + EVERY, at + quiet)


def resolve_later(
    incident: Incident, signal: Signal, service: Service, now: datetime
) -> tuple[fx.ResolveAt, ...]:
    """Ask for a look at whether an incident that gets an alert more is over by itself."""
    quiet, lasts = service.noise.quiet_after, service.auto_resolve_after
    if quiet is None or signal.known.about != ISSUE:
        return ()
    ends = max(now, incident.triggered_at + lasts) if lasts else now + quiet
    return (fx.ResolveAt(at=min(ends, now + quiet)),)


# -- in words -------------------------------------------------------------------------------------


def sentences(noise: Noise) -> Iterator[str]:
    """Yield what each rule does, in plain words."""
    if noise.records_first_sight:
        yield (
            "A new issue is recorded and opens no incident: only one that regresses or escalates"
            " does."
        )
    if noise.hold is not None:
        rule = noise.hold
        words = [one.value for one in Priority if one in rule.priorities]
        sooner = _limits(rule)
        yield (
            f"A new issue of {' or '.join(words)} priority is held for {format_span(rule.lasts)}"
            f" before it pages{f', or until it has {sooner}' if sooner else ''}."
        )
    if noise.one_per_release:
        yield "All new issues of one release are one incident."
    if noise.joins_metric_issues:
        yield "A metric alert and the issue that Sentry makes of it are one incident."
    if noise.follows_archive:
        yield (
            "What is archived in Sentry is resolved here, and its errors page nobody until Sentry"
            " takes it up again."
        )
    if noise.quiet_after is not None:
        yield (
            "An incident resolves by itself when Sentry was quiet about it for"
            f" {format_span(noise.quiet_after)}."
        )
