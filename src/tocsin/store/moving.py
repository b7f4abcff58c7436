"""From SQLite to PostgreSQL: every row of every table, in one transaction, compared afterwards.

Rows are read as SQLite keeps them and handed to ``COPY`` as PostgreSQL will: only times and
booleans differ. A check sum is the sum of the digests of a table's rows, so that no order is
needed, which the two databases would not agree on.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, Connection, Table, text

from tocsin.store import migrations
from tocsin.store.tables import Instant, Serial, metadata

#: How much is read ahead on the way back.
_ROWS = 1000

#: Between two tellings.
_TELL_EVERY = 500

#: How far it is: rows done, of how many.
Told = Callable[[int, int | None], None]


class NotMoved(Exception):
    """Nothing was moved, and the target is as it was; the message says why, with a remedy."""


@dataclass(slots=True)
class Sum:
    """A check sum over rows, whatever their order."""

    rows: int = 0
    total: int = 0

    def add(self, row: Sequence[Any]) -> None:
        """Count a row, given as PostgreSQL has it."""
        plain = [v.astimezone(UTC) if isinstance(v, datetime) else v for v in row]
        digest = hashlib.blake2b(msgspec.msgpack.encode(plain), digest_size=16).digest()
        self.rows += 1
        self.total = (self.total + int.from_bytes(digest)) % 2**128

    def __str__(self) -> str:
        """Print it."""
        return f"{self.total:032x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One table, on both sides."""

    table: str
    here: Sum
    there: Sum

    @property
    def is_same(self) -> bool:
        """Whether it arrived as it was."""
        return self.here == self.there


def move(source: Connection, target: Connection, told: Told) -> tuple[Moved, ...]:
    """Copy everything, within a transaction on each side; the one who began them ends them.

    The source is at head. Raises NotMoved, or what the drivers raise: then commit nothing.
    """
    _refuse_full(target)
    migrations.build(target)
    source.execute(text("SELECT 1"))  # begins the transaction that all of it is read in
    here, there = _drivers(source, target)
    tables = metadata.sorted_tables
    total = sum(_count(here, table) for table in tables)
    meter = _Meter(told, 2 * total)
    sums = [_copy(here, there, table, meter) for table in tables]
    for table in tables:
        _set_sequence(here, target, table)
    moved = tuple(
        Moved(table=table.name, here=sent, there=_read_back(there, table, meter))
        for table, sent in zip(tables, sums, strict=True)
    )
    if wrong := [one.table for one in moved if not one.is_same]:
        raise NotMoved(
            f"what arrived is not what was sent ({', '.join(wrong)}): nothing was moved; please"
            " report it, for it is a bug"
        )
    target.execute(text("ANALYZE"))
    return moved


class _Meter:
    """Counts rows, and tells now and then."""

    def __init__(self, told: Told, total: int) -> None:
        self._told, self._total, self._done = told, total, 0

    def count(self) -> None:
        self._done += 1
        if self._done % _TELL_EVERY == 0 or self._done == self._total:
            self._told(self._done, self._total)


def _refuse_full(target: Connection) -> None:
    if target.dialect.name == "sqlite":
        raise NotMoved("the target is no PostgreSQL")
    if not migrations.is_empty(target):
        raise NotMoved("the target has tables already: make an empty database, and name that")
    encoding = target.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise NotMoved(f"the target keeps texts as {encoding}: make a database with ENCODING UTF8")


def _drivers(source: Connection, target: Connection) -> tuple[sqlite3.Connection, Any]:
    return source.connection.driver_connection, target.connection.driver_connection  # type: ignore[return-value]


def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _count(here: sqlite3.Connection, table: Table) -> int:
    count: int = here.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]
    return count


def _copy(here: sqlite3.Connection, there: Any, table: Table, meter: _Meter) -> Sum:
    import psycopg  # noqa: PLC0415 - slow to import

    found = Sum()
    try:
        with (
            there.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({_names(table)}) FROM STDIN") as copy,
        ):
            for row in _rows_here(here, table):
                copy.write_row(row)
                found.add(row)
                meter.count()
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise NotMoved(f"{table.name}: PostgreSQL refuses a row: {said}") from None
    return found


def _read_back(there: Any, table: Table, meter: _Meter) -> Sum:
    found = Sum()
    with there.cursor(name="moved") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(f"SELECT {_names(table)} FROM {table.name}")
        for row in cursor:
            found.add(row)
            meter.count()
    return found


def _rows_here(here: sqlite3.Connection, table: Table) -> Iterator[list[Any]]:
    readers = [(at, read) for at, c in enumerate(table.columns) if (read := _reader(c))]
    for found in here.execute(f"SELECT {_names(table)} FROM {table.name}"):
        row = list(found)
        for at, read in readers:
            if row[at] is not None:
                row[at] = read(row[at])
        yield row


def _reader(column: Column[Any]) -> Callable[[Any], Any] | None:
    """Return what makes of a value of SQLite what PostgreSQL has for it, where they differ."""
    if isinstance(column.type, Instant):
        return datetime.fromisoformat
    return bool if isinstance(column.type, Boolean) else None


def _set_sequence(here: sqlite3.Connection, target: Connection, table: Table) -> None:
    """Let numbers go on where they were: that of a row that is gone is never given again."""
    for column in table.primary_key.columns:
        if column.type is not Serial:
            continue
        query = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        found = here.execute(query, (table.name,)).fetchone()
        if found is None or not found[0]:
            continue
        target.execute(
            text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"),
            {"table": table.name, "column": column.name, "last": found[0]},
        )
