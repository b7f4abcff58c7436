"""What Sentry knows of the latest event of an incident, as it was read once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from tocsin.core.context import Context
from tocsin.store.db import insert_many
from tocsin.store.tables import incident_contexts

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
