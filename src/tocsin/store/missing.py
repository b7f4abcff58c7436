"""What is open or known here of Sentry's issues, next to what Sentry says; and what it had lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, func, select, text

from tocsin.core.model import DeliveryOutcome
from tocsin.core.reconcile import COUNTED_FOR, Known
from tocsin.store.db import lowest_id, update_many
from tocsin.store.tables import alerts, deliveries, incident_alerts

#: The style of the URL that what was found by asking came by: none.
STYLE = "reconcile"

#: As the index has it: see ``tables.deliveries``. SQLite must see the very same words.
_IS_FOUND = text("url_style = 'reconcile'")

#: Open alerts of an integration that one look may be about.
_MOST_OPEN = 2000

#: What changed nothing here was not missing.
_COUNTED = (
    DeliveryOutcome.TRIGGERED,
    DeliveryOutcome.SUPPRESSED,
    DeliveryOutcome.RESOLVED,
    DeliveryOutcome.ACKNOWLEDGED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlert:
    """An alert that has an open incident."""

    dedup_key: str
    #: To its page at the source, as the source told it last.
    link: str | None
    first_seen_at: datetime


def open_alerts(connection: Connection, integration_id: str) -> list[OpenAlert]:
    """Return the alerts of an integration that have an open incident."""
    query = (
        select(*(alerts.c[name] for name in OpenAlert.__dataclass_fields__))
        .join(incident_alerts, incident_alerts.c.alert_id == alerts.c.id)
        .where(
            incident_alerts.c.is_open,
            alerts.c.integration_id == integration_id,
            alerts.c.resolved_at.is_(None),
        )
        .order_by(alerts.c.id)
        .limit(_MOST_OPEN)
    )
    return [OpenAlert(**row) for row in connection.execute(query).mappings()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """An alert, as far as it matters."""

    title: str
    known: Known


def recall(
    connection: Connection, integration_id: str, keys: Collection[str]
) -> dict[str, Remembered]:
    """Return what is known of alerts, by dedup key."""
    columns = alerts.c
    names = ("dedup_key", "title", "last_seen_at", "resolved_at", "is_over_at_source")
    is_open = (
        exists()
        .where(incident_alerts.c.alert_id == columns.id, incident_alerts.c.is_open)
        .label("is_open")
    )
    rows = connection.execute(
        select(*(columns[name] for name in names), is_open).where(
            columns.integration_id == integration_id, columns.dedup_key.in_(sorted(keys))
        )
    )
    return {
        row.dedup_key: Remembered(
            title=row.title,
            known=Known(
                last_seen_at=row.last_seen_at,
                resolved_at=row.resolved_at,
                is_open=row.is_open,
                is_sentrys_word=row.is_over_at_source,
            ),
        )
        for row in rows
    }


def note_last_seen(
    connection: Connection, integration_id: str, last_seen: Mapping[str, datetime]
) -> None:
    """Keep when the source last saw alerts, by dedup key, where that is news."""
    if not last_seen:
        return
    columns = alerts.c
    query = select(
        columns.id, columns.dedup_key, columns.last_seen_at, columns.source_seen_at
    ).where(
        columns.integration_id == integration_id,
        columns.dedup_key.in_(sorted(last_seen)),
        columns.resolved_at.is_(None),
    )
    rows = [
        {"id": row.id, "source_seen_at": last_seen[row.dedup_key]}
        for row in connection.execute(query)
        if last_seen[row.dedup_key] > max(row.last_seen_at, row.source_seen_at or row.last_seen_at)
    ]
    if rows:
        # In the order in which everybody locks.
        ours = columns.id.in_([row["id"] for row in rows])
        connection.execute(select(columns.id).where(ours).order_by(columns.id).with_for_update())
        update_many(connection, alerts, "id", rows)


def lost_count(connection: Connection, integration_id: str, now: datetime) -> int:
    """Count the webhooks of an integration that were lost of late, and found by asking."""
    columns, since = deliveries.c, now - COUNTED_FOR
    query = (
        select(func.count())
        .select_from(deliveries)
        .where(
            _IS_FOUND,
            columns.integration_id == integration_id,
            # Ids are in the order of time, and nearly tell it.
            columns.id >= lowest_id("del", since),
            columns.received_at >= since,
            columns.outcome.in_([one.value for one in _COUNTED]),
        )
    )
    return connection.scalar(query) or 0
