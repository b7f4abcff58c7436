"""Understand what waits in the inbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core import effects as fx
from tocsin.core.body import Body, NotJson, read_body
from tocsin.core.choice import Chosen, choose
from tocsin.core.dialect import Dialect, read
from tocsin.core.mirror import ECHO, ECHO_FOR, Act, actor_of, comment_of, echo_of, is_echo, issue_of
from tocsin.core.model import (
    DeliveryOutcome,
    DeliveryStatus,
    Incident,
    Signal,
    Verb,
)
from tocsin.core.noise import group_key
from tocsin.core.plans import (
    Integration,
    Plans,
    Service,
)
from tocsin.core.reconcile import FOUND, is_overtaken
from tocsin.core.routes import route
from tocsin.core.triage import NOTHING, Case, Decision, triage
from tocsin.store import inbox, sentrytasks
from tocsin.store.casebook import Casebook
from tocsin.store.db import Database
from tocsin.store.inbox import Delivery, Fate
from tocsin.store.ledger import AlertKey, GroupKey
from tocsin.store.missing import STYLE
from tocsin.store.plans import PlansCache
from tocsin.work.batches import batch_or_each

#: A delivery that fails so often is put where people can see it.
MAX_ATTEMPTS = 3

#: Which dialect the URL a delivery came in by implies.
DIALECT_OF_STYLE: Mapping[str, str] = {
    "native": "native",
    "navi": "navi",
    "itoc360": "itoc360",
    "opsknight": "opsknight",
    "events": "events",
    "pagerduty": "events",
    # What Sentry was asked for is as its webhooks would have been.
    STYLE: "native",
}


def dialect_for(integration: Integration, style: str) -> str:
    """Return the name of the dialect: the source's own, else the chosen one, else the URL's."""
    if integration.source == "events":
        return "events"
    return DIALECT_OF_STYLE[style] if integration.dialect == "auto" else integration.dialect


@dataclass(frozen=True, slots=True)
class _Read:
    delivery: Delivery
    signal: Signal
    integration: Integration
    #: Who did it, as the body has it: what they are, and their id.
    actor: tuple[str, str] | None
    #: What the rule that sent it chose.
    chosen: Chosen
    #: Whose incident it would open.
    service: Service
    #: Which alert it is about.
    alert_key: AlertKey | None
    #: What it belongs to besides, as its service has it.
    group_key: GroupKey | None
    #: What it says, if it tells of a comment.
    comment: str = ""


class Inbox:
    """Works the inbox off, batch by batch."""

    def __init__(
        self, database: Database, plans: PlansCache, dialects: Mapping[str, Dialect]
    ) -> None:
        """Take what it needs."""
        self._database = database
        self._plans = plans
        self._dialects = dialects

    def work(self, now: datetime, limit: int = 200) -> int:
        """Process one batch of at most ``limit``; return how many deliveries it had.

        1. Take the oldest deliveries of some partitions.
        2. Read each with its integration's dialect.
        3. Decide each in order against alerts and incidents loaded at once.
        4. Save all effects, and what became of each delivery, in the same transaction.

        If one of them breaks the batch, nothing of it is saved and each is tried by itself; what
        breaks again and again ends as ``failed``, in sight, and holds up nobody.
        """

        def batch(size: int, taken: list[Delivery]) -> int:
            return self._database.run(lambda connection: self._batch(connection, now, size, taken))

        return batch_or_each(batch, limit, self._fail)

    def _fail(self, delivery: Delivery, error: Exception) -> None:
        reason = f"could not be processed: {type(error).__name__}"
        for_good = delivery.attempts + 1 >= MAX_ATTEMPTS
        self._database.run(
            lambda connection: inbox.fail(connection, delivery.id, reason, for_good=for_good)
        )

    def _batch(
        self, connection: Connection, now: datetime, limit: int, taken: list[Delivery]
    ) -> int:
        taken[:] = inbox.claim(connection, limit)
        if not taken:
            return 0
        # The clock was read before the batch waited for its turn: nothing is processed, and no
        # incident changes, before it came in.
        now = max(now, *(delivery.received_at for delivery in taken))
        plans = self._plans.current(connection)
        fates: list[Fate] = []
        readings: list[_Read] = []
        for delivery in taken:
            reading = self._read(delivery, plans, now)
            if isinstance(reading, Fate):
                fates.append(reading)
            else:
                readings.append(reading)
        fates += _decide(connection, plans, readings, now)
        inbox.finish(connection, fates)
        return len(taken)

    def _read(self, delivery: Delivery, plans: Plans, now: datetime) -> _Read | Fate:
        integration = plans.integrations.get(delivery.integration_id)
        if integration is None:
            return _fate(delivery, now, DeliveryStatus.FAILED, reason="integration is gone")
        try:
            body: Body = read_body(delivery.body)
        except NotJson as error:
            return _fate(delivery, now, DeliveryStatus.REJECTED, reason=str(error))
        dialect = self._dialects[dialect_for(integration, delivery.url_style)]
        signal = read(dialect, body, delivery.resource, integration)
        if signal is None:
            fate = _fate(
                delivery,
                now,
                DeliveryStatus.UNRECOGNISED,
                reason=f"no shape of the {dialect.name} dialect fits this body",
            )
            return replace(fate, verb=Verb.NONE, outcome=DeliveryOutcome.IGNORED)
        reading = _routed(delivery, signal, integration, plans, actor_of(body))
        return replace(reading, comment=comment_of(body))


def _fate(
    delivery: Delivery, now: datetime, status: DeliveryStatus, *, reason: str | None = None
) -> Fate:
    return Fate(
        delivery_id=delivery.id,
        status=status,
        processed_at=now,
        received_at=delivery.received_at,
        resource=delivery.resource,
        reason=reason,
    )


def _decide(
    connection: Connection, plans: Plans, readings: Sequence[_Read], now: datetime
) -> list[Fate]:
    book = Casebook(connection, plans, now)
    echoes = _echoes(connection, plans, readings)
    others = [reading for reading in readings if reading.delivery.id not in echoes]
    book.load_alerts(
        (reading.alert_key for reading in others if reading.alert_key is not None),
        (reading.group_key for reading in others if reading.group_key is not None),
    )
    fates = [_decide_one(book, plans, reading, now) for reading in others]
    repeats: dict[AlertKey, list[str]] = defaultdict(list)
    for reading, fate in zip(others, fates, strict=True):
        if fate.outcome is DeliveryOutcome.DEDUPLICATED and reading.alert_key is not None:
            repeats[reading.alert_key].append(fate.delivery_id)
    for key, ids in repeats.items():
        book.thin(key, ids)
    book.save()
    return [*fates, *(_echo(one, now) for one in readings if one.delivery.id in echoes)]


def _echoes(connection: Connection, plans: Plans, readings: Sequence[_Read]) -> frozenset[str]:
    """Return the deliveries that tell only what we did in Sentry: we did, and just that."""
    may_be: dict[str, tuple[str, str, Act]] = {}
    for reading in readings:
        link, signal = plans.sentry.get(reading.integration.id), reading.signal
        issue, act = issue_of(signal.dedup_key or ""), echo_of(signal.resource, signal.action)
        if link and issue and act and reading.actor in link.selves:
            may_be[reading.delivery.id] = (link.id, issue, act)
    if not may_be:
        return frozenset()
    came = {one.delivery.id: one for one in readings}
    oldest = min(came[id_].delivery.received_at for id_ in may_be) - max(ECHO_FOR.values())
    done = sentrytasks.echoes(connection, {key[:2] for key in may_be.values()}, oldest)
    return frozenset(
        id_
        for id_, key in may_be.items()
        if any(
            is_echo(came[id_].actor, trace, came[id_].delivery.received_at, came[id_].comment)
            for trace in done.get(key, ())
        )
    )


def _echo(reading: _Read, now: datetime) -> Fate:
    return replace(
        _fate(reading.delivery, now, DeliveryStatus.PROCESSED, reason=ECHO),
        resource=reading.signal.resource,
        action=reading.signal.action,
        verb=Verb.NONE,
        outcome=DeliveryOutcome.DUPLICATE,
        dedup_key=reading.signal.dedup_key,
    )


def _routed(
    delivery: Delivery,
    signal: Signal,
    integration: Integration,
    plans: Plans,
    actor: tuple[str, str] | None,
) -> _Read:
    """Say where a signal goes: what its rule chose comes before the route it takes."""
    row = route(integration.routes, signal)
    # What is about no alert can be followed by no other verb.
    is_followed = signal.dedup_key is not None
    if row is not None and row.verb is not None and (is_followed or row.verb is Verb.NONE):
        signal = replace(signal, verb=row.verb)
    chosen = choose(signal.choices, plans, integration)
    service_id = (row.service_id if row else None) or integration.service_id
    service = chosen.service or plans.services[service_id]
    key = signal.dedup_key
    group = group_key(service, signal) if signal.verb is Verb.TRIGGER else None
    return _Read(
        delivery,
        signal,
        integration,
        actor,
        chosen,
        service,
        alert_key=None if key is None else (integration.id, key),
        group_key=(service.id, group) if group else None,
    )


def _decide_one(book: Casebook, plans: Plans, reading: _Read, now: datetime) -> Fate:
    delivery, signal, key = reading.delivery, reading.signal, reading.alert_key
    alert = book.alert(key) if key else None
    incident = book.incident(alert.incident_id) if alert else None
    service, group = reading.service, reading.group_key
    if incident is not None and incident.is_open:
        service = plans.services[incident.service_id]
        group = group if group and group[0] == service.id else None
    case = Case(
        signal=signal,
        alert=alert,
        incident=incident,
        service=service,
        now=now,
        windows=plans.maintenance_windows,
        others_fire=book.others_fire(incident, alert),
        chosen=reading.chosen,
        group_key=group[1] if group else None,
        group=(gathering := book.group(group) if group else None),
    )
    is_found = delivery.url_style == STYLE
    if is_found:
        case = replace(case, signal=replace(signal, text=f"{signal.text} ({FOUND})"))
    is_open = incident is not None and incident.is_open
    is_late = is_found and is_overtaken(signal.verb, alert, delivery.received_at, is_open=is_open)
    decision = NOTHING if is_late else triage(case)
    if gathering is not None:
        book.apply(decision.group_effects, incident_id=gathering.id)
    incident_id = book.apply(
        decision.effects,
        alert_key=key,
        incident_id=incident.id if incident is not None and _goes_on(incident, decision) else None,
        arrived_at=delivery.received_at,
    )
    return Fate(
        delivery_id=delivery.id,
        status=DeliveryStatus.PROCESSED,
        processed_at=now,
        received_at=delivery.received_at,
        reason=decision.reason or (FOUND if is_found else None),
        resource=signal.resource,
        action=signal.action,
        verb=decision.verb,
        outcome=decision.outcome,
        incident_id=incident_id,
        dedup_key=signal.dedup_key,
    )


def _goes_on(incident: Incident, decision: Decision) -> bool:
    """Whether the effects are about this incident, and not about one they open."""
    return incident.is_open or any(isinstance(effect, fx.Reopen) for effect in decision.effects)
