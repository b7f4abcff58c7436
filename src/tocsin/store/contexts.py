"""What Sentry knows of the latest event of an incident, as it was read once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from tocsin.core.context import Context
from tocsin.core.model import MessageType, NotificationState
from tocsin.core.suspect import Suspicion
from tocsin.store.db import insert_many
from tocsin.store.tables import incident_contexts, notifications

_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was read; ``context`` is None where it could not be had, and ``error`` says why."""

    context: Context | None
    error: str | None
    fetched_at: datetime


def save(
    connection: Connection,
    incident_id: str,
    service_id: str,
    now: datetime,
    document: Any,
    error: str | None,
) -> None:
    """Keep what was read of an incident's event, or why nothing was."""
    row = {
        "incident_id": incident_id,
        "service_id": service_id,
        "context": document,
        "error": error and error[:_ERROR],
        "fetched_at": now,
    }
    again = ", ".join(f"{name} = excluded.{name}" for name in ("context", "error", "fetched_at"))
    insert_many(connection, incident_contexts, [row], f"(incident_id) DO UPDATE SET {again}")


def find(connection: Connection, incident_ids: Iterable[str]) -> dict[str, Kept]:
    """Return what was read of incidents, by incident."""
    columns = incident_contexts.c
    query = select(columns.incident_id, columns.context, columns.error, columns.fetched_at).where(
        columns.incident_id.in_(sorted(set(incident_ids)))
    )
    return {
        row.incident_id: Kept(
            context=msgspec.convert(row.context, Context) if row.context else None,
            error=row.error,
            fetched_at=row.fetched_at,
        )
        for row in connection.execute(query)
    }


def suspicions(connection: Connection, incident_ids: Collection[str]) -> dict[str, Suspicion]:
    """Return whom Sentry suspects of incidents, and who was paged for them, by incident."""
    known = find(connection, incident_ids)
    columns = notifications.c
    query = select(columns.incident_id, columns.user_id, columns.cycle).where(
        columns.incident_id.in_(sorted(known)),
        columns.type == MessageType.PAGE.value,
        columns.state != NotificationState.CANCELLED.value,
    )
    paged: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for incident_id, user_id, cycle in connection.execute(query):
        paged[incident_id].add((user_id, cycle))
    return {
        id_: Suspicion(suspects=kept.context.suspects, paged=frozenset(paged[id_]))
        for id_, kept in known.items()
        if kept.context is not None
    }
