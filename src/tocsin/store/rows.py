"""Rows that live one by one: found by id, listed by it, and kept when they are taken out of use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, select

from tocsin.store.lists import ID, decode_cursor, encode_cursor


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
    keeps: Callable[[RowMapping], bool] | None = None,
) -> tuple[list[RowMapping], str | None]:
    """Return some rows that are in use, the newest first, and a cursor for the rest.

    ``keeps`` says which ones, where the database cannot.
    """
    query: Any = select(table).where(table.c.deleted_at.is_(None), *where)
    query = query.order_by(table.c.id.desc()).limit(limit + 1)
    before = None if cursor is None else decode_cursor(cursor, ID)
    found: list[RowMapping] = []
    while True:
        part = query if before is None else query.where(table.c.id < before)
        rows = list(connection.execute(part).mappings())
        found += [row for row in rows if keeps is None or keeps(row)]
        if len(found) > limit or len(rows) <= limit:
            break
        before = rows[-1]["id"]
    shown = found[:limit]
    return shown, encode_cursor(shown[-1]["id"]) if len(found) > limit else None
