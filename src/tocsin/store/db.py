"""Engines, transactions, and each statement that differs between SQLite and PostgreSQL.

SQLite has one writer connection per process, which alone checkpoints; readers cannot write at all.
PostgreSQL has a pool; nothing outlives a transaction (no session locks, no prepared statements), so
that pgbouncer in transaction mode may stand between.
"""

from __future__ import annotations

import secrets
import sqlite3
import string
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    LargeBinary,
    Table,
    create_engine,
    event,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import QueuePool, StaticPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import String, TypeEngine

T = TypeVar("T")

#: How long a statement waits for another process that writes to the same SQLite file.
_SQLITE_BUSY_MS = 15_000

#: A worker frozen in a transaction is cut off after this, and its row locks with it.
_PG_NOT_IDLE = "SET LOCAL idle_in_transaction_session_timeout = 30000"

_PG_POOL = 12
_SQLITE_READERS = 8

#: PostgreSQL's words for "somebody else was first, try again".
_TRY_AGAIN = frozenset({"40001", "40P01"})
_TRIES = 5


class TryAgain(Exception):
    """Somebody else was first: what was read no longer holds."""


class Database:
    """One database, whichever it is."""

    def __init__(self, url: str, *, checkpoints: bool = False) -> None:
        """Connect lazily. ``url`` is ``sqlite:///path`` or anything libpq understands.

        ``checkpoints`` is for the one process that serves an SQLite file; all others leave the
        write-ahead log alone (two at once can damage it in SQLite before 3.51.3).
        """
        self.is_sqlite = url.startswith("sqlite:")
        self._turn = _Turn()
        if self.is_sqlite:
            path = Path(url.removeprefix("sqlite:///"))
            self._writer = _sqlite_engine(path, is_writer=True, checkpoints=checkpoints)
            self._reader = _sqlite_engine(path, is_writer=False, checkpoints=False)
        else:
            self._writer = self._reader = _postgres_engine(url)
            self._at_once = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def engine(self) -> Engine:
        """The engine that writes, for migrations."""
        return self._writer

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection to read with."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, is_urgent: bool = False) -> Iterator[Connection]:
        """Give a connection in a transaction, committed at the end.

        On SQLite writers take turns; an urgent one (intake) goes before the others.
        """
        if not self.is_sqlite:
            with self._writer.begin() as connection:
                if not is_urgent:
                    connection.exec_driver_sql(_PG_NOT_IDLE)
                yield connection
            return
        with self._turn.taken(is_urgent=is_urgent), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def one_write(self) -> Iterator[Connection]:
        """Give a connection for urgent work of one statement that writes.

        On PostgreSQL that statement is its transaction: no trip to begin and none to commit.
        """
        if self.is_sqlite:
            with self.write(is_urgent=True) as connection:
                yield connection
            return
        with self._at_once.connect() as connection:
            yield connection

    def run(
        self, work: Callable[[Connection], T], *, is_urgent: bool = False, is_one: bool = False
    ) -> T:
        """Do ``work`` in a transaction of its own, again if it or the database asks for that.

        ``is_one`` is for work of one statement that writes, as ``one_write`` says.
        """
        for last in (*[False] * (_TRIES - 1), True):
            try:
                with self.one_write() if is_one else self.write(is_urgent=is_urgent) as connection:
                    return work(connection)
            except (DBAPIError, TryAgain) as error:
                if last or not _asks_for_another_try(error):
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()


class Joined(Database):
    """A transaction under way, in the place of a database: what is done in it is part of it."""

    def __init__(self, connection: Connection) -> None:
        """Join a transaction."""
        self._connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give the connection."""
        yield self._connection

    @contextmanager
    def write(self, *, is_urgent: bool = False) -> Iterator[Connection]:  # noqa: ARG002
        """Give the connection; whoever began the transaction ends it."""
        yield self._connection

    def run(
        self,
        work: Callable[[Connection], T],
        *,
        is_urgent: bool = False,  # noqa: ARG002
        is_one: bool = False,  # noqa: ARG002
    ) -> T:
        """Do ``work`` once: whoever began the transaction tries it again."""
        return work(self._connection)


def _asks_for_another_try(error: DBAPIError | TryAgain) -> bool:
    return isinstance(error, TryAgain) or getattr(error.orig, "sqlstate", None) in _TRY_AGAIN


class _Turn:
    """A lock whose urgent takers go first."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._is_taken = False
        self._urgent = 0

    @contextmanager
    def taken(self, *, is_urgent: bool) -> Iterator[None]:
        with self._free:
            self._urgent += is_urgent
            while self._is_taken or (self._urgent and not is_urgent):
                self._free.wait()
            self._urgent -= is_urgent
            self._is_taken = True
        try:
            yield
        finally:
            with self._free:
                self._is_taken = False
                self._free.notify_all()


def _sqlite_engine(path: Path, *, is_writer: bool, checkpoints: bool) -> Engine:
    def connect() -> sqlite3.Connection:
        if is_writer:
            # What is in it is for nobody else on this machine; its log takes the same mode.
            with suppress(OSError):
                path.touch(mode=0o600, exist_ok=False)
        connection = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None, timeout=_SQLITE_BUSY_MS / 1000
        )
        pragmas = [
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"wal_autocheckpoint={1000 if checkpoints else 0}",
        ]
        if not is_writer:
            pragmas.append("query_only=ON")
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    pool: dict[str, Any] = (
        {"poolclass": StaticPool}
        if is_writer
        else {"poolclass": QueuePool, "pool_size": _SQLITE_READERS}
    )
    engine = create_engine("sqlite://", creator=connect, hide_parameters=True, **pool)
    begin = "BEGIN IMMEDIATE" if is_writer else "BEGIN"
    # The driver's own BEGIN comes too late to keep a read and the write that follows together.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


#: A server that vanished without a word is noticed, and what waits for it goes on. In seconds, the
#: last one in milliseconds; the URL may say otherwise.
_PG_VANISHED: Mapping[str, int] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def _postgres_engine(url: str) -> Engine:
    import psycopg  # noqa: PLC0415 - slow to import, and of no use on SQLite

    options: dict[str, Any] = {**_PG_VANISHED, **psycopg.conninfo.conninfo_to_dict(url)}

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(**options, prepare_threshold=None)

    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=_PG_POOL,
        max_overflow=4,
        hide_parameters=True,
    )


# -- searching -----------------------------------------------------------------------------------


class _Folded(FunctionElement[str]):
    """A column as LIKE shall see it: in lower case, as far as ASCII goes."""

    type = String()
    inherit_cache = True
    name = "folded"


@compiles(_Folded)
def _fold(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite's own LIKE looks past the case of ASCII letters, and of no others.
    return compiler.process(element.clauses, **options)


@compiles(_Folded, "postgresql")
def _fold_bytes(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    # Byte by byte: twice as fast as by the rules of a language.
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "C")'


_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def has_text(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Match rows with a text anywhere in a column, whichever case its ASCII letters have."""
    return _Folded(column).contains(text.translate(_ASCII_LOWER), autoescape=True)


class _Ticker:
    """Hands out ever higher numbers: milliseconds, and a count within each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self, now: datetime) -> int:
        """Return a number higher than any before, even if the clock was set back."""
        with self._lock:
            self._last = max(self._last + 1, int(now.timestamp() * 1000) << 16)
            return self._last


_ticker = _Ticker()


def new_id(prefix: str, now: datetime) -> str:
    """Return a new identifier; of those made by one process, later ones sort later."""
    return f"{prefix}_{_ticker.next(now):016x}{secrets.token_hex(6)}"


def lowest_id(prefix: str, at: datetime) -> str:
    """Return what sorts before every identifier made at an instant or later."""
    return f"{prefix}_{int(at.timestamp() * 1000) << 16:016x}"


# -- many rows in one statement ------------------------------------------------------------------

Row = Mapping[str, Any]


#: Column to its values, all of one length.
Columns = Mapping[str, Sequence[Any]]


def insert_many(
    connection: Connection, table: Table, rows: Sequence[Row], conflict: str = ""
) -> int:
    """Insert rows of equal keys in one statement; return how many went in."""
    return insert_columns(connection, table, _columns(rows), conflict)


def insert_columns(
    connection: Connection, table: Table, columns: Columns, conflict: str = ""
) -> int:
    """Insert rows, given column by column, in one statement; return how many went in.

    ``conflict`` is the rest of an ``ON CONFLICT`` clause, for instance ``(id) DO NOTHING``.
    """
    names = tuple(columns)
    if not names or not columns[names[0]]:
        return 0
    return _many(connection, _insert(table, names, connection.dialect.name, conflict), columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """Rows to insert, as part of one statement."""

    table: Table
    columns: Columns
    #: The rest of its ``ON CONFLICT`` clause.
    conflict: str
    #: Which rows: a condition on their columns, and on parts before it, named as their tables are.
    only: str = "true"
    #: The column that says which rows went in.
    returning: str


def insert_together(connection: Connection, parts: Sequence[Insert]) -> list[Any]:
    """Insert into several tables in one statement of PostgreSQL; return what the first returns.

    A part sees which rows of parts before it went in, and nothing else that they did.
    """
    names = tuple(tuple(part.columns) for part in parts)
    plan = _together(
        tuple(part.table for part in parts),
        names,
        tuple((part.conflict, part.only, part.returning) for part in parts),
    )
    columns = {
        f"{at}.{name}": values
        for at, part in enumerate(parts)
        for name, values in part.columns.items()
    }
    bound = [
        columns[name] if bind is None else [bind(value) for value in columns[name]]
        for name, bind in zip(plan.names, plan.binds(connection), strict=True)
    ]
    found = connection.exec_driver_sql(plan.sql, tuple(map(list, bound)))
    return [row[0] for row in found]


@lru_cache(maxsize=16)
def _together(
    tables: tuple[Table, ...],
    names: tuple[tuple[str, ...], ...],
    words: tuple[tuple[str, str, str], ...],
) -> _Statement:
    steps = []
    for table, columns, (conflict, only, returning) in zip(tables, names, words, strict=True):
        kept = [name for name in columns if name in table.c]
        steps.append(
            f"{table.name}_ AS (INSERT INTO {table.name} ({', '.join(kept)})"
            f" SELECT {', '.join(kept)} FROM unnest({_arrays(table, columns)})"
            f" AS new({', '.join(columns)}) WHERE {only}"
            f" ON CONFLICT {conflict} RETURNING {returning})"
        )
    first, (_, _, returning) = tables[0], words[0]
    sql = f"WITH {', '.join(steps)} SELECT {returning} FROM {first.name}_"
    binds = [
        (f"{at}.{name}", table.c[name].type if name in table.c else Boolean())
        for at, (table, columns) in enumerate(zip(tables, names, strict=True))
        for name in columns
    ]
    return _Statement(sql, tuple(name for name, _ in binds), [kind for _, kind in binds])


def update_many(connection: Connection, table: Table, key: str, rows: Sequence[Row]) -> int:
    """Update rows of equal keys by the column ``key``, in one statement; return how many."""
    if not rows:
        return 0
    plan = _update(table, key, tuple(rows[0]), connection.dialect.name)
    return _many(connection, plan, _columns(rows))


def _columns(rows: Sequence[Row]) -> Columns:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _many(connection: Connection, plan: _Statement, columns: Columns) -> int:
    bound = [
        columns[name] if bind is None else [bind(value) for value in columns[name]]
        for name, bind in zip(plan.names, plan.binds(connection), strict=True)
    ]
    is_sqlite = connection.dialect.name == "sqlite"
    values = list(zip(*bound, strict=True)) if is_sqlite else tuple(map(list, bound))
    return connection.exec_driver_sql(plan.sql, values).rowcount


class _Statement:
    """SQL over columns of values, and how each value is bound."""

    def __init__(self, sql: str, names: tuple[str, ...], types: Sequence[TypeEngine[Any]]) -> None:
        self.sql = sql
        self.names = names
        self._types = types
        self._binds: list[Callable[[Any], Any] | None] | None = None

    def binds(self, connection: Connection) -> list[Callable[[Any], Any] | None]:
        if self._binds is None:
            dialect = connection.dialect
            # The drivers take bytes as they are; SQLAlchemy would wrap each in a copy.
            self._binds = [
                None
                if isinstance(kind, LargeBinary)
                else kind.dialect_impl(dialect).bind_processor(dialect)
                for kind in self._types
            ]
        return self._binds


@lru_cache(maxsize=256)
def _insert(table: Table, names: tuple[str, ...], dialect: str, conflict: str) -> _Statement:
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    tail = f" ON CONFLICT {conflict}" if conflict else ""
    if dialect == "sqlite":
        sql = f"{into} VALUES ({', '.join('?' * len(names))}){tail}"
    else:
        # "WHERE true" keeps ON CONFLICT from being read as a join condition.
        sql = f"{into} SELECT * FROM unnest({_arrays(table, names)}) WHERE true{tail}"
    return _Statement(sql, names, _types(table, names))


@lru_cache(maxsize=256)
def _update(table: Table, key: str, names: tuple[str, ...], dialect: str) -> _Statement:
    changed = [name for name in names if name != key]
    if dialect == "sqlite":
        sets = ", ".join(f"{name} = ?" for name in changed)
        sql = f"UPDATE {table.name} SET {sets} WHERE {key} = ?"
        return _Statement(sql, (*changed, key), _types(table, (*changed, key)))
    sets = ", ".join(f"{name} = new.{name}" for name in changed)
    arrays = _arrays(table, names)
    return _Statement(
        f"UPDATE {table.name} SET {sets} FROM unnest({arrays}) AS new({', '.join(names)})"
        f" WHERE {table.name}.{key} = new.{key}",
        names,
        _types(table, names),
    )


def _types(table: Table, names: Sequence[str]) -> list[TypeEngine[Any]]:
    return [table.c[name].type for name in names]


def _arrays(table: Table, names: Sequence[str]) -> str:
    return ", ".join(f"%b::{_element(table, name)}[]" for name in names)


def _element(table: Table, name: str) -> str:
    if name not in table.c:
        return "boolean"
    dialect = _postgres()
    kind = table.c[name].type.dialect_impl(dialect)
    # A cast to varchar(n) would cut in silence; text lets the column refuse what is too long.
    return "text" if isinstance(kind, String) else kind.compile(dialect)


@lru_cache(maxsize=1)
def _postgres() -> Dialect:
    return create_engine("postgresql+psycopg://").dialect
