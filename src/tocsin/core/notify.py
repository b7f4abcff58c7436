"""How loudly, and by which contact methods: from urgency to notifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin.core import effects as fx
from tocsin.core.hours import end_of, next_begin
from tocsin.core.model import (
    Priority,
    Severity,
    Urgency,
)
from tocsin.core.plans import AwayKind, ContactMethod, Service, User

#: What a service's table says where it says nothing (contract section 3).
DEFAULT_URGENCY: Mapping[str, Urgency] = {
    Severity.CRITICAL: Urgency.HIGH,
    Severity.ERROR: Urgency.HIGH,
    Severity.WARNING: Urgency.LOW,
    Severity.INFO: Urgency.LOW,
}

#: Channels that also tell what became of an incident; the others ring to page and for nothing else.
TELLING_CHANNELS = frozenset({"webhook"})

#: The rule of a person who made none: at once, by the first contact method, for both urgencies.
DEFAULT_RULE = "default"


def tabled_urgency(
    service: Service | None, severity: Severity, priority: Priority | None
) -> Urgency:
    """Read the service's table: the row for the priority wins over the row for the severity."""
    table = {**DEFAULT_URGENCY, **(service.urgency if service else {})}
    by_priority = table.get(f"priority.{priority}") if priority else None
    return by_priority or table[severity]


def urgency(
    service: Service | None, severity: Severity, priority: Priority | None, now: datetime
) -> Urgency:
    """Derive the urgency: the table's within support hours, else what holds outside them."""
    hours = service.support_hours if service else None
    if hours is not None and end_of(hours.hours, hours.time_zone, now) is None:
        return hours.outside
    return tabled_urgency(service, severity, priority)


def raise_later(
    service: Service, severity: Severity, priority: Priority | None, now: datetime
) -> tuple[fx.RaiseAt, ...]:
    """Ask for another look when support hours begin, if it is to be more urgent then."""
    hours = service.support_hours
    current = urgency(service, severity, priority, now)
    if hours is None or not tabled_urgency(service, severity, priority).is_above(current):
        return ()
    at = next_begin(hours.hours, hours.time_zone, now)
    return (fx.RaiseAt(at=at),) if at else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How one person will be notified."""

    user: User
    #: Contact method, rule and delay of each notification; empty for who chose silence.
    ways: tuple[tuple[ContactMethod, str, timedelta], ...]
    #: False for a person without any contact method to use: the page has to go on to others.
    is_reached: bool
    #: Whom they stand in for.
    instead_of: User | None = None


def reach(user: User, loudness: Urgency, instead_of: User | None = None) -> Reach:
    """Say how this person is notified at this urgency."""
    usable = {method.id: method for method in user.contact_methods if method.is_usable}
    if not usable:
        return Reach(user=user, ways=(), is_reached=False, instead_of=instead_of)
    if not user.notification_rules:
        method = next(iter(usable.values()))
        ways: tuple[tuple[ContactMethod, str, timedelta], ...]
        ways = ((method, DEFAULT_RULE, timedelta()),)
        return Reach(user=user, ways=ways, is_reached=True, instead_of=instead_of)
    ways = tuple(
        (usable[rule.contact_method_id], rule.id, rule.after)
        for rule in user.notification_rules
        if rule.urgency is loudness and rule.contact_method_id in usable
    )
    wanted = any(rule.urgency is loudness for rule in user.notification_rules)
    # Rules that all point at methods which cannot be used are no choice of silence.
    is_reached = bool(ways) or not wanted
    return Reach(user=user, ways=ways, is_reached=is_reached, instead_of=instead_of)


def quiet_until(user: User, at: datetime) -> datetime:
    """Return when what is not urgent may reach this person: now, or when their quiet time ends."""
    # Quiet times may touch and overlap: a few looks find the end of all.
    for _ in range(10):
        ends = [
            absence.ends_at
            for absence in user.absences
            if absence.kind is AwayKind.QUIET and absence.begins_at <= at < absence.ends_at
        ]
        if user.quiet_hours and (end := end_of(user.quiet_hours, user.time_zone, at)):
            ends.append(end)
        if not ends:
            break
        at = max(ends)
    return at


def pages(
    person: Reach, loudness: Urgency, now: datetime, reason: str, step: int, round_: int
) -> list[fx.Page]:
    """Return one page per rule; delays count from now, and low urgency waits for quiet to end."""
    is_low = loudness is Urgency.LOW
    return [
        fx.Page(
            user_id=person.user.id,
            contact_method_id=method.id,
            rule_id=rule_id,
            due_at=quiet_until(person.user, now + after) if is_low else now + after,
            reason=reason,
            step=step,
            round=round_,
        )
        for method, rule_id, after in person.ways
    ]
