"""The spool: requests on this machine's own disk, for as long as the database is away.

A process has one file, in SQLite, synced before a request counts as kept. What is in it goes into
the database later, in order; an arrival that is there already is kept once, for its id was made
before. A file whose process died belongs to whoever gets its lock: the next process to start uses
it as its own, and one that runs takes its rows over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
import structlog

from tocsin.store.inbox import Arrival

log = structlog.get_logger("spool")

#: How much of it is handed over at once: rows, and bytes of their requests.
_ROWS = 500
_BYTES = 2**23

#: What a row takes besides its request.
_ROW_BYTES = 200

#: An empty file of so many pages is made small again.
_MANY_PAGES = 1000

#: The folder of the files, in the data folder.
SPOOL = "spool"

_SUFFIX = ".spool"

_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS arrivals (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        refused TEXT,
        arrival BLOB NOT NULL
    )
    """,
    # How much there is, without reading all of it.
    "CREATE INDEX IF NOT EXISTS arrivals_load ON arrivals (refused, size)",
)

_LOAD = (
    "SELECT count(*) FILTER (WHERE refused IS NULL), count(refused), coalesce(sum(size), 0)"
    " FROM arrivals"
)


class Full(Exception):
    """The spool has no room: what comes is not kept."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much is in a spool."""

    #: Requests that wait for the database.
    waiting: int = 0
    #: Requests that the database refused: they stay where people can find them.
    refused: int = 0

    def __add__(self, other: Load) -> Load:
        """Add up."""
        return Load(self.waiting + other.waiting, self.refused + other.refused)


class Spool:
    """The file of this process. One connection, whose users take turns: so it is never damaged."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Use the file of a process that died, or a new one. Raises OSError, sqlite3.Error."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes
        self._turn = threading.Lock()
        self._path, self._lock = _inherited(folder) or _new(folder)
        self._connection = _connect(self._path)
        # A file is there after a power cut if its folder says so, and that if its own does.
        for one in (folder, folder.parent):
            _sync(one)
        self._count()

    def _count(self) -> None:
        waiting, refused, size = self._connection.execute(_LOAD).fetchone()
        self._bytes = int(size)
        self.load = Load(waiting, refused)

    @property
    def has_room(self) -> bool:
        """Whether anything more is kept."""
        return self._bytes < self._max_bytes

    def keep(self, arrivals: Sequence[Arrival]) -> None:
        """Keep requests, all or none, on the disk when it returns. Raises Full, sqlite3.Error."""
        rows = [(a.id, _size(a), msgspec.msgpack.encode(a)) for a in arrivals]
        with self._turn:
            if self._bytes + sum(size for _, size, _ in rows) > self._max_bytes:
                raise Full(f"the spool holds {self._bytes} bytes, and may hold {self._max_bytes}")
            self._insert(rows)

    def _insert(self, rows: Sequence[tuple[str, int, bytes]]) -> None:
        with _transaction(self._connection):
            fresh = self._connection.executemany(
                "INSERT INTO arrivals (id, size, arrival) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                rows,
            ).rowcount
        if fresh == len(rows):
            self._bytes += sum(size for _, size, _ in rows)
            self.load += Load(fresh)
        else:
            self._count()

    def oldest(self) -> list[Arrival]:
        """Return what came first, in order."""
        with self._turn:
            rows = self._connection.execute(
                "SELECT arrival, size FROM arrivals WHERE refused IS NULL ORDER BY id LIMIT ?",
                (_ROWS,),
            )
            found: list[Arrival] = []
            total = 0
            for arrival, size in rows:
                total += size
                if found and total > _BYTES:
                    break
                found.append(msgspec.msgpack.decode(arrival, type=Arrival))
            return found

    def forget(self, ids: Sequence[str]) -> None:
        """Let go of requests that the database has. Until then they are handed over again."""
        with self._turn:
            with _transaction(self._connection):
                gone = self._connection.execute(
                    "DELETE FROM arrivals WHERE id IN (SELECT value FROM json_each(?))"
                    " RETURNING size",
                    (json.dumps(list(ids)),),
                ).fetchall()
            self._bytes -= sum(size for (size,) in gone)
            self.load += Load(-len(gone))
            if self.load == Load():
                self._shrink()

    def set_aside(self, id_: str, reason: str) -> None:
        """Keep a request that the database refuses, out of the way of the others."""
        with self._turn:
            with _transaction(self._connection):
                self._connection.execute(
                    "UPDATE arrivals SET refused = ? WHERE id = ?", (reason[:500], id_)
                )
            self._count()

    def _shrink(self) -> None:
        """Give back what an empty file takes of the disk."""
        with contextlib.suppress(sqlite3.Error):
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            if pages > _MANY_PAGES:
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def adopt(self) -> int:
        """Take over the requests of processes that died; return how many."""
        total = 0
        for path, lock in _orphans(self._folder):
            try:
                total += self._take_over(path)
            except sqlite3.Error as error:
                _put_away(path, error)
            finally:
                lock.close()
        return total

    def _take_over(self, path: Path) -> int:
        theirs = _connect(path)
        total = 0
        try:
            query = "SELECT id, size, arrival FROM arrivals ORDER BY id LIMIT ?"
            while rows := theirs.execute(query, (_ROWS,)).fetchall():
                with self._turn:
                    self._insert(rows)
                # Only now: whoever dies in between leaves them in both, and they count once.
                with _transaction(theirs):
                    theirs.executemany(
                        "DELETE FROM arrivals WHERE id = ?", [(row[0],) for row in rows]
                    )
                total += len(rows)
        finally:
            theirs.close()
        _remove(path)
        return total

    def close(self) -> None:
        """Let go of the file; an empty one goes."""
        with self._turn:
            is_empty = self.load == Load()
            self._connection.close()
            if is_empty:
                _remove(self._path)
            self._lock.close()


def load_of(folder: Path) -> Load:
    """Return what is in all spools of a folder, whoever's they are; for people to see."""
    total = Load()
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        ):
            waiting, refused, _ = connection.execute(_LOAD).fetchone()
            total += Load(waiting, refused)
    return total


def _size(arrival: Arrival) -> int:
    return len(arrival.body) + len(arrival.headers) + _ROW_BYTES


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        for statement in _SCHEMA:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended it already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


# -- whose file it is --------------------------------------------------------------------------


def _new(folder: Path) -> tuple[Path, IO[bytes]]:
    """Make a file that carries something of its process, and lock it."""
    host = "".join(c for c in socket.gethostname() if c.isalnum() or c == "-")[:40]
    path = folder / f"{host}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
    lock = _lock_of(path).open("ab")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    return path, lock


def _orphans(folder: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield the files whose process is gone, locked for us; whoever gets them closes the lock."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        lock = _lock_of(path).open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if path.exists():
            yield path, lock
        else:
            # Somebody was done with it between our look and our lock.
            _lock_of(path).unlink(missing_ok=True)
            lock.close()


def _inherited(folder: Path) -> tuple[Path, IO[bytes]] | None:
    """Return the first file of a process that died, locked for us; one that is damaged goes."""
    found: tuple[Path, IO[bytes]] | None = None
    for path, lock in _orphans(folder):
        if found is not None:
            lock.close()
            continue
        try:
            _connect(path).close()
        except sqlite3.Error as error:
            _put_away(path, error)
            lock.close()
        else:
            found = path, lock
    return found


def _put_away(path: Path, error: Exception) -> None:
    """Keep a file that cannot be read for people to look at, out of everybody's way."""
    log.error("spool file damaged", path=str(path), error=f"{type(error).__name__}: {error}"[:300])
    damaged = path.with_suffix(".damaged")
    for end in ("-wal", ""):
        with contextlib.suppress(OSError):
            Path(f"{path}{end}").rename(f"{damaged}{end}")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    for part in (path, Path(f"{path}-wal"), Path(f"{path}-shm"), _lock_of(path)):
        part.unlink(missing_ok=True)


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")
