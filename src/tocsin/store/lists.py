"""Lists that grow, the newest first: what they are narrowed to, and one page after the other.

They go by keyset: the cursor is where the last page ended. What no index serves, a text to search
for above all, is looked for in ``DEPTH`` rows at a time: such a page may hold fewer than were asked
for, or none, and its cursor goes on from there. So no list costs more the longer its history is.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, Select

from tocsin.store import sight

T = TypeVar("T")

MAX_LIMIT = 200

#: An incident's number has no more.
MAX_DIGITS = 18

#: Rows that one page looks through for what has no index.
DEPTH = 25_000

#: Columns whose values an index finds, each with the newest first.
_INDEXED = frozenset({
    "integration_id", "incident_id", "service_id", "status", "user_id",
})  # fmt: skip


class BadCursor(ValueError):
    """The cursor is not one we gave."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Part of a list; ``next`` asks for the rest."""

    items: tuple[T, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a list is narrowed to: column to wanted values, and a text to search for."""

    equal: tuple[tuple[str, tuple[str, ...]], ...] = ()
    q: str | None = None
    limit: int = 50
    cursor: str | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether it is narrowed to anything."""
        return bool(self.equal or self.q)


def encode_cursor(value: str | int) -> str:
    """Make a cursor."""
    return base64.urlsafe_b64encode(str(value).encode()).decode().rstrip("=")


#: What cursors hold: an incident's number, an id, or the name of something that was set up.
NUMBER = re.compile(rf"[0-9]{{1,{MAX_DIGITS}}}")
ID = re.compile(r"[a-z]{1,5}_[0-9a-z_]{1,34}")
NAME = re.compile(r"[^\x00-\x1f]{1,320}")


def decode_cursor(cursor: str, shape: re.Pattern[str]) -> str:
    """Read a cursor. Raises BadCursor."""
    try:
        value = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        value = ""
    if not shape.fullmatch(value):
        raise BadCursor("this cursor is not one we gave: use `next` of the page before")
    return value


# -- one page -----------------------------------------------------------------------------------


def part_of(
    connection: Connection,
    query: Select[Any],
    key: ColumnElement[Any],
    ways: sight.Ways,
    wanted: Filter,
    *,
    sought: ColumnElement[bool] | None = None,
    is_narrow: bool,
) -> tuple[list[RowMapping], str | None]:
    """Return the newest rows that are wanted, seen and sought, and a cursor for the rest.

    ``key`` orders them: a number or an id. It takes two statements where there is something that
    no index serves, else one.
    """
    if wanted.cursor:
        query = query.where(key < _after(key, wanted.cursor))
    columns = {column.name: column for column in key.table.columns}
    rest = [] if sought is None else [sought]
    for name, values in wanted.equal:
        check = columns[name] == values[0] if len(values) == 1 else columns[name].in_(values)
        if name in _INDEXED:
            query = query.where(check)
        else:
            rest.append(check)
    end = _end(connection, query, key) if rest else None
    if end is not None:
        query = query.where(key >= end)
    query = _newest(query.where(*rest), key, ways, wanted.limit + 1, is_narrow=is_narrow)
    rows = list(connection.execute(query).mappings())
    shown = rows[: wanted.limit]
    if len(rows) > wanted.limit:
        end = shown[-1][key.name]
    return shown, encode_cursor(end) if end is not None else None


def _after(key: ColumnElement[Any], cursor: str) -> int | str:
    is_number = key.type.python_type is int
    return int(decode_cursor(cursor, NUMBER)) if is_number else decode_cursor(cursor, ID)


def _end(connection: Connection, query: Select[Any], key: ColumnElement[Any]) -> Any:
    """Return the last of the ``DEPTH`` newest rows; None if there are fewer."""
    newest = query.with_only_columns(key).order_by(key.desc())
    return connection.scalar(newest.offset(DEPTH - 1).limit(1))


def _newest(
    query: Select[Any],
    key: ColumnElement[Any],
    ways: sight.Ways,
    limit: int,
    *,
    is_narrow: bool,
) -> Select[Any]:
    """Return the newest rows that are seen; a filter is an index's better guide."""
    if not is_narrow:
        return sight.newest(query, key, ways, limit)
    return sight.if_seen(query, ways).order_by(key.desc()).limit(limit)
