"""The delivery log: its list, what an integration got lately, and what a window of it holds.

With a million deliveries every list is served by an index, or it is bounded: where a filter has no
index of its own, one page looks through ``DEPTH`` rows of the best one, and goes on from there.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    exists,
    func,
    or_,
    select,
    text,
    union_all,
)

from tocsin.core.access import Scope
from tocsin.core.model import DeliveryStatus
from tocsin.core.plans import Plans
from tocsin.store import sight
from tocsin.store.db import has_text, lowest_id
from tocsin.store.lists import ID, Filter, Page, decode_cursor, encode_cursor, part_of
from tocsin.store.tables import deliveries, delivery_bodies
from tocsin.store.views import SECRET_HEADERS, DeliveryDetail, DeliveryView, delivery_views

#: Rows that one page looks through.
DEPTH = 5_000

#: What a partial index has: see ``tables.deliveries``. SQLite must see the very same words.
TROUBLE = (DeliveryStatus.REJECTED, DeliveryStatus.UNRECOGNISED, DeliveryStatus.FAILED)
_IS_TROUBLE = text("status IN ('rejected', 'unrecognised', 'failed')")

#: How a request with a missing or wrong signature was answered.
_UNSIGNED = 401

#: So many deliveries of an integration tell how it usually is.
SAMPLE = 60

#: Nothing smaller than this is counted as part of a window.
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """What the log is narrowed to; None and empty mean everything."""

    integration_id: str | None = None
    incident_id: str | None = None
    status: str | None = None
    outcome: str | None = None
    #: An id, or part of a dedup key or reason.
    q: str = ""
    limit: int = 50
    cursor: str | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether anything is asked for."""
        asked = (self.integration_id, self.incident_id, self.status, self.outcome, self.q)
        return any(asked)

    @property
    def plain(self) -> Filter:
        """How much of everything is wanted."""
        return Filter(limit=self.limit, cursor=self.cursor)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Part of the log; ``next`` asks for the rest."""

    items: tuple[DeliveryView, ...]
    next: str | None
    #: Whether it ends because enough was looked through, not because it is full.
    was_cut: bool = False


def log_page(connection: Connection, plans: Plans, scope: Scope, wanted: LogFilter) -> LogPage:
    """List the deliveries that are seen, the newest first, in at most two statements."""
    ways = sight.of_deliveries(plans, scope)
    if ways is not None and not wanted.is_narrow:
        page = delivery_page(connection, plans, scope, wanted.plain)
        return LogPage(page.items, page.next)
    if wanted.incident_id is not None:
        ways = sight.of_one_delivery(plans, scope)
    query = _indexed(wanted)
    rest = _rest(wanted, ways)
    end = _end(connection, query) if rest else None
    if end is not None:
        query = query.where(deliveries.c.id >= end)
    rows = list(connection.execute(query.where(*rest).limit(wanted.limit + 1)).mappings())
    shown = rows[: wanted.limit]
    items = tuple(delivery_views(shown, plans))
    if len(rows) > wanted.limit:
        return LogPage(items, encode_cursor(shown[-1]["id"]))
    if end is not None:
        return LogPage(items, encode_cursor(end), was_cut=True)
    return LogPage(items, None)


def _indexed(wanted: LogFilter) -> Select[Any]:
    """Ask by the one index that serves best."""
    column = deliveries.c
    query = select(deliveries).order_by(column.id.desc())
    if wanted.cursor:
        query = query.where(column.id < decode_cursor(wanted.cursor, ID))
    if wanted.q.startswith("del_"):
        return query.where(column.id == wanted.q)
    if wanted.incident_id is not None:
        return query.where(column.incident_id == wanted.incident_id)
    if wanted.integration_id is not None:
        query = query.where(column.integration_id == wanted.integration_id)
        return query.where(_IS_TROUBLE) if wanted.status in TROUBLE else query
    return query.where(column.status == wanted.status) if wanted.status is not None else query


def _rest(wanted: LogFilter, ways: sight.Ways = None) -> list[ColumnElement[bool]]:
    """Return what that index does not serve, written so that no other is thought of."""
    column = deliveries.c
    checks: list[ColumnElement[bool]] = []
    is_one = wanted.incident_id is not None or wanted.q.startswith("del_")
    if is_one and wanted.integration_id is not None:
        checks.append(_bare(column.integration_id) == wanted.integration_id)
    if (is_one or wanted.integration_id is not None) and wanted.status is not None:
        checks.append(_bare(column.status) == wanted.status)
    if wanted.outcome is not None:
        checks.append(column.outcome == wanted.outcome)
    if ways is not None:
        checks.append(case((or_(*ways), 1), else_=0) == 1)
    if wanted.q and not wanted.q.startswith("del_"):
        checks.append(
            or_(
                has_text(column.dedup_key, wanted.q),
                has_text(column.reason, wanted.q),
            )
        )
    return checks


def _bare(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return a column as a value that has no index."""
    return column.concat("")


def _end(connection: Connection, query: Select[Any]) -> str | None:
    """Return the last of the ``DEPTH`` rows that are looked through; None if there are fewer."""
    found: str | None = connection.scalar(
        query.with_only_columns(deliveries.c.id).offset(DEPTH - 1).limit(1)
    )
    return found


# -- as the API has it ----------------------------------------------------------------------------


def delivery_page(
    connection: Connection, plans: Plans, scope: Scope, wanted: Filter
) -> Page[DeliveryView]:
    """List the deliveries that are seen, the newest first."""
    columns, sought = deliveries.c, None
    if wanted.q:
        texts = has_text(columns.dedup_key, wanted.q), has_text(columns.reason, wanted.q)
        sought = or_(*texts, columns.id == wanted.q)
    rows, more = part_of(
        connection,
        select(deliveries),
        columns.id,
        sight.of_deliveries(plans, scope),
        wanted,
        sought=sought,
        is_narrow=wanted.is_narrow,
    )
    return Page(tuple(delivery_views(rows, plans)), more)


def delivery(connection: Connection, plans: Plans, scope: Scope, id_: str) -> DeliveryView | None:
    """Show one delivery as in the list, or None."""
    query = select(deliveries).where(deliveries.c.id == id_)
    query = sight.if_seen(query, sight.of_one_delivery(plans, scope))
    row = connection.execute(query).mappings().first()
    return delivery_views([row], plans)[0] if row else None


def delivery_detail(
    connection: Connection, plans: Plans, scope: Scope, id_: str
) -> DeliveryDetail | None:
    """Show one delivery with its request, or None."""
    query = (
        select(deliveries, delivery_bodies.c.headers, delivery_bodies.c.body)
        .outerjoin(delivery_bodies, delivery_bodies.c.delivery_id == deliveries.c.id)
        .where(deliveries.c.id == id_)
    )
    query = sight.if_seen(query, sight.of_one_delivery(plans, scope))
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    is_kept = row["body"] is not None
    headers: list[tuple[str, str]] = []
    if is_kept:
        headers = msgspec.json.decode(row["headers"], type=list[tuple[str, str]])
    return DeliveryDetail(
        **msgspec.structs.asdict(delivery_views([row], plans)[0]),
        headers=tuple(
            (name, "•••" if name.lower() in SECRET_HEADERS else value) for name, value in headers
        ),
        body=bytes(row["body"] or b"").decode("utf-8", "replace"),
        body_base64=base64.b64encode(row["body"] or b"").decode(),
        is_kept=is_kept,
    )


# -- what integrations got lately -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What an integration got lately."""

    #: Instants at which something came in that was taken.
    arrivals: tuple[datetime, ...] = ()
    last_at: datetime | None = None
    #: The style of the URL it last came in by.
    url_style: str | None = None
    #: Whether the very latest was refused or not understood.
    is_trouble: bool = False
    #: Whether there are more than were looked at.
    is_cut: bool = False


def lately(connection: Connection, integration_ids: Sequence[str]) -> dict[str, Lately]:
    """Return what each of some integrations got lately, in one statement."""
    column = deliveries.c
    parts = [
        select(
            select(column.integration_id, column.received_at, column.status, column.url_style)
            # What was asked for did not come in.
            .where(column.integration_id == id_, column.url_style != "reconcile")
            .order_by(column.id.desc())
            .limit(SAMPLE)
            .subquery()
        )
        for id_ in integration_ids
    ]
    found: dict[str, list[Any]] = defaultdict(list)
    if parts:
        for row in connection.execute(union_all(*parts)):
            found[row.integration_id].append(row)
    return {id_: _lately(found[id_]) for id_ in integration_ids}


def _lately(rows: Sequence[Any]) -> Lately:
    if not rows:
        return Lately()
    latest = max(rows, key=lambda row: row.received_at)
    return Lately(
        arrivals=tuple(row.received_at for row in rows if row.status != DeliveryStatus.REJECTED),
        last_at=latest.received_at,
        url_style=latest.url_style,
        is_trouble=latest.status in TROUBLE,
        is_cut=len(rows) == SAMPLE,
    )


# -- a window of it -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Deliveries of one integration, from an instant to another (excluded)."""

    integration_id: str
    begins_at: datetime
    ends_at: datetime
    #: Only what was refused, failed or was not understood; else only what was not refused.
    is_of_trouble: bool = False

    def asked(self, query: Select[Any]) -> Select[Any]:
        """Narrow a query to it: ids are in the order of time."""
        column = deliveries.c
        refused = DeliveryStatus.REJECTED.value
        if self.is_of_trouble:
            # What was not signed as it must be may be anybody's: none of it is taken in bulk.
            query = query.where(column.http_status != _UNSIGNED)
        return query.where(
            _IS_TROUBLE if self.is_of_trouble else column.status != refused,
            column.integration_id == self.integration_id,
            column.id >= lowest_id("del", self.begins_at),
            column.id < lowest_id("del", self.ends_at),
            # Of a storm not every body is kept.
            exists().where(delivery_bodies.c.delivery_id == column.id),
        )


def count_in(connection: Connection, window: Window) -> int:
    """Count what a window holds, up to ``MOST_COUNTED``."""
    found = window.asked(select(deliveries.c.id)).limit(MOST_COUNTED).subquery()
    return connection.scalar(select(func.count()).select_from(found)) or 0


def ids_in(connection: Connection, window: Window, after: str | None, limit: int) -> list[str]:
    """Return deliveries of a window in the order they came in, from one on (excluded)."""
    query = window.asked(select(deliveries.c.id))
    if after is not None:
        query = query.where(deliveries.c.id > after)
    return list(connection.scalars(query.order_by(deliveries.c.id).limit(limit)))


def raw_body(connection: Connection, delivery_id: str) -> bytes | None:
    """Return the body of a delivery exactly as it came in, or None."""
    query = select(delivery_bodies.c.body).where(delivery_bodies.c.delivery_id == delivery_id)
    found = connection.scalar(query)
    return None if found is None else bytes(found)
