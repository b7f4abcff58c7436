"""The inbox: raw requests, kept before they are understood, and what became of each."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, exists, func, select, tuple_, update

from tocsin.core.model import (
    DeliveryOutcome,
    DeliveryStatus,
    Verb,
)
from tocsin.store.db import Insert, insert_columns, insert_together, lowest_id, update_many
from tocsin.store.tables import deliveries, delivery_bodies, delivery_keys, inbox_partitions

#: Fixed for good: a delivery's partition is stored with it.
PARTITIONS = 64

#: Partitions held by one batch; the rest is left to other workers.
_HELD = 16

#: One in so many places of a full batch is for integrations that have none in it.
_FOR_OTHERS = 4

#: A repeat is known as one for this long (contract section 4).
KEYS_KEPT = timedelta(days=7)


def partition_of(integration_id: str, dedup_key: str | None) -> int:
    """Return the partition that keeps this alert's deliveries in order."""
    return zlib.crc32(f"{integration_id}\0{dedup_key}".encode("utf-8", "replace")) % PARTITIONS


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A request to keep."""

    id: str
    integration_id: str
    received_at: datetime
    url_style: str
    resource: str | None
    status: DeliveryStatus
    http_status: int
    reason: str | None
    dedup_key: str | None
    #: ``[[name, value], …]`` in JSON.
    headers: str
    body: bytes
    #: By which a repeat of it is known; None where the sender gave nothing to know it by.
    key: str | None
    #: The digest of a signed body, where replays are to change nothing.
    body_key: str | None = None


def put(connection: Connection, arrivals: Sequence[Arrival]) -> list[str]:
    """Keep requests, all or none; return for each the delivery that stands for it.

    That is its own, or for a repeat the first one's. A replayed body is kept as a duplicate, which
    is not work. Keeping the same arrivals twice (a commit whose outcome was lost on the way) keeps
    them once.
    """
    if connection.dialect.name != "sqlite" and is_plain(arrivals):
        return _put_at_once(connection, arrivals)
    firsts = _claim_keys(connection, [(arrival.key, arrival) for arrival in arrivals])
    stands = [firsts.get((a.integration_id, a.key), a.id) for a in arrivals]
    fresh = [a for a, stand in zip(arrivals, stands, strict=True) if stand == a.id]
    # A repeat is not kept, and so its body was not seen.
    seen = _claim_keys(connection, [(arrival.body_key, arrival) for arrival in fresh])
    replayed = [seen.get((a.integration_id, a.body_key), a.id) != a.id for a in fresh]
    columns = _columns(fresh)
    columns["status"] = [
        DeliveryStatus.PROCESSED.value if again else status
        for status, again in zip(columns["status"], replayed, strict=True)
    ]
    columns["verb"] = [Verb.NONE.value if again else None for again in replayed]
    columns["outcome"] = [DeliveryOutcome.DUPLICATE.value if again else None for again in replayed]
    insert_columns(connection, deliveries, columns, "(id) DO NOTHING")
    insert_columns(connection, delivery_bodies, _bodies(fresh), "(delivery_id) DO NOTHING")
    return stands


def is_plain(arrivals: Sequence[Arrival]) -> bool:
    """Whether these can be kept in one statement: no body of them may turn out to be a replay."""
    return all(arrival.body_key is None for arrival in arrivals)


def _put_at_once(connection: Connection, arrivals: Sequence[Arrival]) -> list[str]:
    """Keep requests in one statement, and ask a second time only where there are repeats."""
    firsts, claims = _claims([(arrival.key, arrival) for arrival in arrivals])
    ours = [a for a in arrivals if firsts.get((a.integration_id, a.key), a.id) == a.id]
    columns = _columns(ours)
    columns["has_key"] = [a.key is not None for a in ours]
    claimed = insert_together(
        connection,
        (
            Insert(table=delivery_keys, columns=claims, returning="delivery_id",
                   conflict="(integration_id, key) DO NOTHING"),
            Insert(table=deliveries, columns=columns, returning="id",
                   conflict="(id) DO NOTHING",
                   only="NOT has_key OR id IN (SELECT delivery_id FROM delivery_keys_)"),
            Insert(table=delivery_bodies, columns=_bodies(ours), returning="delivery_id",
                   conflict="(delivery_id) DO NOTHING",
                   only="delivery_id IN (SELECT id FROM deliveries_)"),
        ),
    )  # fmt: skip
    if len(claimed) < len(firsts):
        firsts |= _known(connection, list(firsts))
    return [firsts.get((a.integration_id, a.key), a.id) for a in arrivals]


def _columns(arrivals: Sequence[Arrival]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [getattr(a, name) for a in arrivals] for name in _PLAIN}
    columns["partition"] = [partition_of(a.integration_id, a.dedup_key) for a in arrivals]
    columns["status"] = [a.status.value for a in arrivals]
    return columns


def _bodies(arrivals: Sequence[Arrival]) -> dict[str, list[Any]]:
    return {
        "delivery_id": [a.id for a in arrivals],
        "headers": [a.headers for a in arrivals],
        "body": [a.body for a in arrivals],
    }


#: Columns of a delivery that are fields of its arrival.
_PLAIN = (
    "id",
    "integration_id",
    "received_at",
    "url_style",
    "resource",
    "http_status",
    "reason",
    "dedup_key",
)


def _claim_keys(
    connection: Connection, keyed: Sequence[tuple[str | None, Arrival]]
) -> dict[tuple[str, str | None], str]:
    """Claim a key for each arrival that has one; return whose each key is."""
    firsts, columns = _claims(keyed)
    if not firsts:
        return firsts
    taken = insert_columns(connection, delivery_keys, columns, "(integration_id, key) DO NOTHING")
    if taken < len(firsts):
        firsts |= _known(connection, list(firsts))
    return firsts


def _claims(
    keyed: Sequence[tuple[str | None, Arrival]],
) -> tuple[dict[tuple[str, str | None], str], dict[str, list[Any]]]:
    """Return whose each key is, as far as these arrivals go, and the rows that claim them."""
    firsts: dict[tuple[str, str | None], str] = {}
    fresh: list[tuple[str, str, str, datetime]] = []
    for key, arrival in keyed:
        if key is not None and (arrival.integration_id, key) not in firsts:
            firsts[arrival.integration_id, key] = arrival.id
            fresh.append((arrival.integration_id, key, arrival.id, arrival.received_at))
    # In one order everywhere: two processes that take the same keys wait, and never for each other.
    fresh.sort()
    names = ("integration_id", "key", "delivery_id", "received_at")
    return firsts, {name: [row[at] for row in fresh] for at, name in enumerate(names)}


def _known(
    connection: Connection, keys: Sequence[tuple[str, str | None]]
) -> dict[tuple[str, str | None], str]:
    """Return whose each key is that somebody has claimed."""
    table = delivery_keys.c
    found = connection.execute(
        select(table.integration_id, table.key, table.delivery_id).where(
            tuple_(table.integration_id, table.key).in_(list(keys))
        )
    )
    return {(row.integration_id, row.key): row.delivery_id for row in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery that waits to be understood."""

    id: str
    integration_id: str
    received_at: datetime
    url_style: str
    resource: str | None
    attempts: int
    body: bytes


def claim(connection: Connection, limit: int) -> list[Delivery]:
    """Take the oldest waiting deliveries, in order; nobody else sees their partitions meanwhile.

    Where they fill the batch, the oldest of other integrations go first: a storm of one source does
    not hold up what another has to say.

    On PostgreSQL the rows of ``inbox_partitions`` are locked until the transaction ends, however
    it ends. On SQLite there is one writer, and so one taker.
    """
    columns = deliveries.c
    waiting = columns.status == DeliveryStatus.ACCEPTED.value
    query = (
        select(
            columns.id,
            columns.integration_id,
            columns.received_at,
            columns.url_style,
            columns.resource,
            columns.attempts,
            delivery_bodies.c.body,
        )
        .join(delivery_bodies, delivery_bodies.c.delivery_id == columns.id)
        .where(waiting)
        .order_by(columns.id)
        .limit(limit)
    )
    if connection.dialect.name != "sqlite":
        number = inbox_partitions.c.number
        held = connection.scalars(
            select(number)
            .where(exists().where(columns.partition == number, waiting))
            .order_by(func.random())
            .limit(_HELD)
            .with_for_update(skip_locked=True)
        ).all()
        if not held:
            return []
        query = query.where(columns.partition.in_(held))
    taken = [Delivery(**row) for row in connection.execute(query).mappings()]
    if len(taken) < limit:
        return taken
    room = max(1, limit // _FOR_OTHERS)
    seen = {delivery.integration_id for delivery in taken}
    others = query.where(columns.integration_id.not_in(sorted(seen))).limit(room)
    first = [Delivery(**row) for row in connection.execute(others).mappings()]
    return [*first, *taken[: limit - len(first)]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a delivery."""

    delivery_id: str
    status: DeliveryStatus
    processed_at: datetime
    received_at: datetime
    resource: str | None = None
    action: str | None = None
    verb: Verb | None = None
    outcome: DeliveryOutcome | None = None
    incident_id: str | None = None
    dedup_key: str | None = None
    reason: str | None = None


def finish(connection: Connection, fates: Sequence[Fate]) -> None:
    """Note what became of deliveries; they wait no longer."""
    rows = [
        {
            "id": fate.delivery_id,
            "status": fate.status.value,
            "resource": fate.resource,
            "action": fate.action,
            "verb": fate.verb and fate.verb.value,
            "outcome": fate.outcome and fate.outcome.value,
            "incident_id": fate.incident_id,
            "dedup_key": fate.dedup_key,
            "reason": fate.reason,
            "latency_ms": int((fate.processed_at - fate.received_at) / timedelta(milliseconds=1)),
        }
        for fate in fates
    ]
    update_many(connection, deliveries, "id", rows)


def drop_bodies(connection: Connection, ids: Sequence[str]) -> None:
    """Let go of the requests of deliveries that only repeat what others said."""
    connection.execute(delete(delivery_bodies).where(delivery_bodies.c.delivery_id.in_(ids)))


def fail(connection: Connection, delivery_id: str, reason: str, *, for_good: bool) -> None:
    """Note a failure to process one; for good, it goes to the graveyard (status ``failed``)."""
    status = DeliveryStatus.FAILED if for_good else DeliveryStatus.ACCEPTED
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id)
        .values(attempts=deliveries.c.attempts + 1, status=status.value, reason=reason[:500])
    )


def waiting_count(connection: Connection) -> int:
    """Count what waits to be processed."""
    waiting = deliveries.c.status == DeliveryStatus.ACCEPTED.value
    return connection.scalar(select(func.count()).select_from(deliveries).where(waiting)) or 0


def longest_waiting(connection: Connection) -> str | None:
    """Return the delivery that waits longest to be processed; None if none does."""
    waiting = deliveries.c.status == DeliveryStatus.ACCEPTED.value
    found: str | None = connection.scalar(select(func.min(deliveries.c.id)).where(waiting))
    return found


def sweep(connection: Connection, before: datetime, keys_before: datetime, limit: int) -> int:
    """Delete what is older than its retention, some rows at a time; return how many went.

    The digest of a body is kept as long as the deliveries are, other keys for ``KEYS_KEPT``.
    """
    waits = deliveries.c.status == DeliveryStatus.ACCEPTED.value
    # Ids are in the order of time: by them nothing is sorted, and nothing young is looked at.
    old = select(deliveries.c.id).where(deliveries.c.id < lowest_id("del", before), ~waits)
    ids = list(connection.scalars(old.order_by(deliveries.c.id).limit(limit)))
    connection.execute(delete(delivery_bodies).where(delivery_bodies.c.delivery_id.in_(ids)))
    connection.execute(delete(deliveries).where(deliveries.c.id.in_(ids)))
    columns = delivery_keys.c
    is_digest = columns.key.startswith("sha256:")
    old_keys = (
        select(columns.integration_id, columns.key)
        .where(columns.received_at < keys_before, ~is_digest | (columns.received_at < before))
        .limit(limit)
    )
    keys = [(row.integration_id, row.key) for row in connection.execute(old_keys)]
    connection.execute(
        delete(delivery_keys).where(tuple_(columns.integration_id, columns.key).in_(keys))
    )
    return len(ids) + len(keys)


def is_waiting(connection: Connection) -> bool:
    """Whether anything waits to be processed: one cheap look before anybody takes a lock."""
    waiting = deliveries.c.status == DeliveryStatus.ACCEPTED.value
    return bool(connection.scalar(select(exists().where(waiting))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A delivery as it came in."""

    integration_id: str
    received_at: datetime
    url_style: str
    resource: str | None
    dedup_key: str | None
    headers: str
    body: bytes


def stored(connection: Connection, delivery_id: str) -> Stored | None:
    """Read a delivery with its request; None if there is none, or its body is not kept."""
    columns = deliveries.c
    query = (
        select(
            columns.integration_id,
            columns.received_at,
            columns.url_style,
            columns.resource,
            columns.dedup_key,
            delivery_bodies.c.headers,
            delivery_bodies.c.body,
        )
        .join(delivery_bodies, delivery_bodies.c.delivery_id == columns.id)
        .where(columns.id == delivery_id)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return Stored(**row)


def copy_of(original: Stored, new: str, now: datetime, key: str | None = None) -> Arrival:
    """Return a delivery to feed in again, as a new one that repeats nothing but its own key."""
    return Arrival(
        id=new,
        integration_id=original.integration_id,
        received_at=now,
        url_style=original.url_style,
        resource=original.resource,
        status=DeliveryStatus.ACCEPTED,
        http_status=202,
        reason="replayed",
        dedup_key=original.dedup_key,
        headers=original.headers,
        body=original.body,
        key=key,
    )


def last_key(connection: Connection, integration_id: str, prefix: str) -> str | None:
    """Return the highest key of an integration that begins so."""
    query = _keys(select(func.max(delivery_keys.c.key)), integration_id, prefix)
    found: str | None = connection.scalar(query)
    return found


def count_keys(connection: Connection, integration_id: str, prefix: str) -> int:
    """Count the keys of an integration that begin so."""
    query = _keys(select(func.count()).select_from(delivery_keys), integration_id, prefix)
    return connection.scalar(query) or 0


def _keys(query: Select[Any], integration_id: str, prefix: str) -> Select[Any]:
    column = delivery_keys.c
    # What follows is a delivery's id; bounded by letters, for collations pass over punctuation.
    return query.where(
        column.integration_id == integration_id,
        column.key >= f"{prefix}del_",
        column.key <= f"{prefix}del_zz",
    )
