"""How an integration is joined with Sentry: what is done there, and how well that goes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from tocsin.core.plans import Plans
from tocsin.core.sentry import Acknowledging
from tocsin.store import sentrytasks
from tocsin.store.missing import lost_count
from tocsin.store.tables import sentry_connections
from tocsin.store.views import Named, View

#: How far back what could not be done is told.
LATELY = timedelta(days=1)


class SwitchesView(View, frozen=True):
    """What is done in Sentry for what people do here."""

    acknowledge: Acknowledging
    resolve: bool
    note: bool
    snooze: bool
    link: bool


class SentryView(View, frozen=True):
    """A connection with Sentry, without what opens it."""

    integration: Named
    host: str
    organization: str
    switches: SwitchesView
    connected_at: datetime
    #: When it was last asked what its webhooks did not tell; and why it could not be, and since
    #: when.
    looked_at: datetime | None
    error: str | None
    error_at: datetime | None
    #: Webhooks that were lost in the last seven days, and found by asking.
    lost_webhooks: int
    #: What people did here that waits to be done there, and what could not be within a day.
    waiting: int
    failed: int


def _rows(connection: Connection, integration_id: str | None = None) -> list[RowMapping]:
    columns = sentry_connections.c
    query = select(sentry_connections).where(columns.deleted_at.is_(None)).order_by(columns.id)
    if integration_id is not None:
        query = query.where(columns.integration_id == integration_id)
    return list(connection.execute(query).mappings())


def of_integration(
    connection: Connection, plans: Plans, integration_id: str, now: datetime
) -> SentryView | None:
    """Show how an integration is joined with Sentry; None where it is not."""
    row = next(iter(_rows(connection, integration_id)), None)
    return None if row is None else _view(connection, plans, row, now)


def all_of(connection: Connection, plans: Plans, now: datetime) -> list[SentryView]:
    """Show every connection of an integration in use."""
    living = {one.id for one in plans.integrations.values() if not one.is_deleted}
    rows = [row for row in _rows(connection) if row["integration_id"] in living]
    return [_view(connection, plans, row, now) for row in rows]


def _view(connection: Connection, plans: Plans, row: RowMapping, now: datetime) -> SentryView:
    integration: str = row["integration_id"]
    waiting = sentrytasks.waiting(connection, row["id"])
    switches: dict[str, Any] = row["switches"]
    return SentryView(
        integration=Named(plans.integrations[integration].name),
        host=row["host"],
        organization=row["organization"],
        switches=SwitchesView(
            **{**switches, "acknowledge": Acknowledging(switches["acknowledge"])}
        ),
        connected_at=row["created_at"],
        looked_at=row["looked_at"],
        error=row["error"],
        error_at=row["error_at"],
        lost_webhooks=lost_count(connection, integration, now),
        waiting=waiting,
        failed=sentrytasks.failed_count(connection, row["id"], now - LATELY),
    )
