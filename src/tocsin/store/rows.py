"""Rows that live one by one: found by id, listed by it, and kept when they are taken out of use."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, select

from tocsin.store.views import ID, decode_cursor, encode_cursor


def living(
    connection: Connection, table: Table, id_: str, *where: ColumnElement[bool]
) -> RowMapping | None:
    """Return a row that is in use, or None."""
    query = select(table).where(table.c.id == id_, table.c.deleted_at.is_(None), *where)
    return connection.execute(query).mappings().first()


def page_of(
    connection: Connection,
    table: Table,
    limit: int,
    cursor: str | None,
    *where: ColumnElement[bool],
) -> tuple[list[RowMapping], str | None]:
    """Return some rows that are in use, the newest first, and a cursor for the rest."""
    query: Any = select(table).where(table.c.deleted_at.is_(None), *where)
    if cursor is not None:
        query = query.where(table.c.id < decode_cursor(cursor, ID))
    rows = list(connection.execute(query.order_by(table.c.id.desc()).limit(limit + 1)).mappings())
    shown = rows[:limit]
    return shown, encode_cursor(shown[-1]["id"]) if len(rows) > limit else None
