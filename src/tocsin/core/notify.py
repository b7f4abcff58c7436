"""How loudly, and by which contact methods: from urgency to notifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin.core import effects as fx
from tocsin.core.model import (
    Priority,
    Severity,
    Urgency,
)
from tocsin.core.plans import (
    ContactMethod,
    Service,
    User,
)

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


def urgency(service: Service | None, severity: Severity, priority: Priority | None) -> Urgency:
    """Derive the urgency: the row for the priority wins over the row for the severity."""
    table = {**DEFAULT_URGENCY, **(service.urgency if service else {})}
    by_priority = table.get(f"priority.{priority}") if priority else None
    return by_priority or table[severity]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How one person will be notified."""

    user: User
    #: Contact method, rule and delay of each notification; empty for who chose silence.
    ways: tuple[tuple[ContactMethod, str, timedelta], ...]
    #: False for a person without any contact method to use: the page has to go on to others.
    is_reached: bool


def reach(user: User, loudness: Urgency) -> Reach:
    """Say how this person is notified at this urgency."""
    usable = {method.id: method for method in user.contact_methods if method.is_usable}
    if not usable:
        return Reach(user=user, ways=(), is_reached=False)
    if not user.notification_rules:
        method = next(iter(usable.values()))
        return Reach(user=user, ways=((method, DEFAULT_RULE, timedelta()),), is_reached=True)
    ways = tuple(
        (usable[rule.contact_method_id], rule.id, rule.after)
        for rule in user.notification_rules
        if rule.urgency is loudness and rule.contact_method_id in usable
    )
    wanted = any(rule.urgency is loudness for rule in user.notification_rules)
    # Rules that all point at methods which cannot be used are no choice of silence.
    return Reach(user=user, ways=ways, is_reached=bool(ways) or not wanted)


def pages(person: Reach, now: datetime, reason: str, step: int, round_: int) -> list[fx.Page]:
    """Return one page per rule; delays count from now."""
    return [
        fx.Page(
            user_id=person.user.id,
            contact_method_id=method.id,
            rule_id=rule_id,
            due_at=now + after,
            reason=reason,
            step=step,
            round=round_,
        )
        for method, rule_id, after in person.ways
    ]
