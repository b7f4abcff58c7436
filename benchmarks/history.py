"""A long history, written as a server would have left it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from tests.builders import an_incident
from tocsin.core.model import IncidentStatus
from tocsin.store.db import Database, insert_many
from tocsin.store.incidents import incident_row
from tocsin.store.plans import PlansCache
from tocsin.store.tables import deliveries, delivery_bodies, incidents, timeline

#: Rows of one transaction.
_SIZE = 5_000

#: Of so many incidents one is open, and of so many deliveries one was rejected.
RARE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Where a history goes, and how long ago it begins and ends."""

    database: Database
    plans: PlansCache
    begins: timedelta = timedelta(days=80)
    ends: timedelta = timedelta(hours=1)

    def add_incidents(self, numbers: range, *, are_open: bool | None = None) -> list[str]:
        """Write incidents with four entries each; of ``RARE`` one is open, unless all are or none.

        Return their ids.
        """
        service_ids = list(self.plans.refresh().services)
        ids: list[str] = []

        def some(connection: Connection, part: range) -> None:
            rows = [self._incident(number, numbers, service_ids, are_open) for number in part]
            insert_many(connection, incidents, rows)
            insert_many(connection, timeline, [entry for row in rows for entry in _entries(row)])
            ids.extend(row["id"] for row in rows)

        self._each(numbers, some)
        return ids

    def add_deliveries(self, numbers: range, incident_ids: list[str], body: bytes = b"") -> None:
        """Write deliveries that say again what opened these incidents; with bodies, if any."""
        integration_id = next(iter(self.plans.refresh().integrations))

        def some(connection: Connection, part: range) -> None:
            rows = [
                self._delivery(number, numbers, integration_id, incident_ids) for number in part
            ]
            insert_many(connection, deliveries, rows)
            if body:
                kept = [{"delivery_id": row["id"], "headers": "[]", "body": body} for row in rows]
                insert_many(connection, delivery_bodies, kept)

        self._each(numbers, some)

    def done(self) -> None:
        """Let the database look at what it has."""
        with self.database.write() as connection:
            connection.exec_driver_sql("ANALYZE")

    def _each(self, numbers: range, some: Any) -> None:
        for start in range(numbers.start, numbers.stop, _SIZE):
            part = range(start, min(start + _SIZE, numbers.stop))
            self.database.run(lambda connection, part=part: some(connection, part))  # type: ignore[misc]

    def _at(self, number: int, numbers: range) -> datetime:
        share = (number - numbers.start) / len(numbers)
        return datetime.now(UTC) - self.begins + (self.begins - self.ends) * share

    def _incident(
        self,
        number: int,
        numbers: range,
        service_ids: list[str],
        are_open: bool | None,  # noqa: FBT001
    ) -> dict[str, Any]:
        at = self._at(number, numbers)
        is_open = number % RARE == 0 if are_open is None else are_open
        return incident_row(
            an_incident(
                id=_id("inc", at, number),
                service_id=service_ids[number % len(service_ids)],
                dedup_key=f"sentry:issue:{number}",
                title=f"TypeError: cannot read property {number} of undefined",
                status=IncidentStatus.TRIGGERED if is_open else IncidentStatus.RESOLVED,
                triggered_at=at,
                resolved_at=None if is_open else at + timedelta(minutes=30),
            )
        )

    def _delivery(
        self, number: int, numbers: range, integration_id: str, incident_ids: list[str]
    ) -> dict[str, Any]:
        at = self._at(number, numbers)
        is_bad = number % RARE == 0
        return {
            "id": _id("del", at, number),
            "integration_id": integration_id,
            "received_at": at,
            "url_style": "native",
            "resource": "issue",
            "action": "created",
            "status": "rejected" if is_bad else "processed",
            "http_status": 401 if is_bad else 202,
            "reason": "the signature is wrong" if is_bad else None,
            "verb": "trigger",
            "outcome": None if is_bad else "deduplicated",
            "incident_id": None if is_bad else incident_ids[number % len(incident_ids)],
            "dedup_key": f"sentry:issue:{number % len(incident_ids)}",
            "latency_ms": 12,
            "partition": number % 64,
        }


def _id(prefix: str, at: datetime, number: int) -> str:
    """Return an id as one made at an instant would be, whatever was made before in this process."""
    return f"{prefix}_{(int(at.timestamp() * 1000) << 16) + number % 0xFFFF:016x}{number:012x}"


def _entries(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("opened", "step", "paged", "resolved"):
        yield {
            "incident_id": row["id"],
            "service_id": row["service_id"],
            "at": row["triggered_at"],
            "kind": kind,
            "text": kind,
            "actor": "Sentry",
            "data": None,
        }
