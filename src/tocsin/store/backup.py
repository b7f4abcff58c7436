"""Copies of an SQLite database: made while it is written to, checked, and put in place whole.

What is made has another name until it is complete and synced, and is never put over a file that
was there before.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, StaticPool, create_engine, inspect

from tocsin.store import sealed
from tocsin.store.migrations import current, refuse_newer
from tocsin.store.tables import installation
from tocsin.store.vault import Vault

#: Pages of one step: 4 MiB.
_STEP = 1024

#: How long to wait for a lock that another program holds on the file.
_BUSY_SECONDS = 15.0

#: How far it is: bytes done, of how many if that is known.
Told = Callable[[int, int | None], None]


class NoCopy(Exception):
    """A backup cannot be made or put back; the message says why, with a remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was made."""

    path: Path
    size: int
    #: Its revision of the schema.
    schema: str


# -- files -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def fresh(target: Path) -> Iterator[Path]:
    """Give an empty file for its owner alone; complete, it takes the name of ``target``.

    Raises NoCopy if there is something of that name, also if it appeared meanwhile.
    """
    if target.exists():
        raise _is_there(target)
    part = _part(target)
    try:
        yield part
        sync(part)
        try:
            os.link(part, target)
        except FileExistsError:
            raise _is_there(target) from None
        except OSError:
            # Not every file system has links.
            if target.exists():
                raise _is_there(target) from None
            part.rename(target)
        sync(target.parent)
    finally:
        _remove(part)


def _is_there(target: Path) -> NoCopy:
    return NoCopy(f"{target} is there already: name another file, or remove that one")


def _part(target: Path) -> Path:
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return part


def _remove(part: Path) -> None:
    for end in ("", "-journal", "-wal", "-shm"):
        Path(f"{part}{end}").unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Let a file, or what a folder says is in it, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- copying ---------------------------------------------------------------------------------------


def save(source: Path, target: Path, told: Told) -> Copied:
    """Copy a database as it is now into a file that is not there yet. Raises NoCopy, OSError."""
    _refuse_nothing(source)
    with fresh(target) as part:
        _copy(source, part, told)
        with _opened(part) as connection:
            schema = _schema_of(connection, source)
        size = part.stat().st_size
    return Copied(path=target, size=size, schema=schema)


def put_back(file: Path, path: Path, vault: Vault, told: Told, *, aside: Path) -> Copied:
    """Put a copy in the place of a database; what is there is kept under the name ``aside``.

    Nobody may have it open. The copy is checked first, as a whole and against the vault. Raises
    NoCopy, WrongKeys, NewerSchema, OSError.
    """
    _refuse_nothing(file)
    part = _part(path)
    try:
        _copy(file, part, told)
        with _opened(part) as connection:
            schema = look_at(connection, vault, file)
        size = part.stat().st_size
        sync(part)
        if path.exists():
            _set_aside(path, aside)
        part.rename(path)
        sync(path.parent)
    finally:
        _remove(part)
    return Copied(path=path, size=size, schema=schema)


def _refuse_nothing(path: Path) -> None:
    if not path.is_file():
        raise NoCopy(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise NoCopy(f"{path} is empty")


def _copy(source: Path, part: Path, told: Told) -> None:
    try:
        with contextlib.closing(_read_only(source)) as there:
            # One look for all steps: what is written meanwhile is not in it, and lets no step begin
            # again, as it would for ever under a server that never rests.
            there.execute("BEGIN")
            there.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (page,) = there.execute("PRAGMA page_size").fetchone()
            (pages,) = there.execute("PRAGMA page_count").fetchone()
            _refuse_full(part, pages * page)
            with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as here:
                here.execute("PRAGMA synchronous=OFF")  # it is synced as a whole

                def step(_status: int, left: int, total: int) -> None:
                    told((total - left) * page, total * page)

                there.backup(here, pages=_STEP, progress=step)
        _check(part, source)
    except sqlite3.Error as error:
        raise NoCopy(f"{source} cannot be copied: {error}") from None


def _read_only(path: Path) -> sqlite3.Connection:
    # It never checkpoints: two that do at once can damage the log in SQLite before 3.51.3.
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
    )


def _refuse_full(part: Path, size: int) -> None:
    disk = os.statvfs(part.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < size:
        raise NoCopy(
            f"{part.parent} has room for {free // 2**20} MiB, and {size // 2**20} MiB are needed"
        )


def _check(part: Path, source: Path) -> None:
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as made:
        # One file, and none beside it that would have to go with it.
        made.execute("PRAGMA journal_mode=DELETE")
        said = [row[0] for row in made.execute("PRAGMA integrity_check(3)")]
    if said != ["ok"]:
        raise NoCopy(f"{source} is damaged: {'; '.join(said)[:300]}")


# -- looking at one --------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Connection]:
    engine = create_engine(
        "sqlite://",
        creator=lambda: _read_only(path),
        poolclass=StaticPool,
        hide_parameters=True,
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _schema_of(connection: Connection, source: Path) -> str:
    found = current(connection)
    if found is None or not inspect(connection).has_table(installation.name):
        raise NoCopy(f"{source} is no database of Tocsin")
    return found


def look_at(connection: Connection, vault: Vault, source: Path) -> str:
    """Return the schema of a copy that this program, with these keys, can work with.

    Raises NoCopy, NewerSchema, WrongKeys.
    """
    found = _schema_of(connection, source)
    refuse_newer(found)
    if closed := sealed.survey(connection, vault).closed:
        where = ", ".join(f"{count} in {place}" for place, count in sorted(closed.items()))
        raise NoCopy(
            f"some secrets in {source} are opened by none of the keys ({where}): add the key that"
            " is missing to TOCSIN_SECRET_KEYS"
        )
    return found


# -- what is in the way ----------------------------------------------------------------------------


def _set_aside(path: Path, aside: Path) -> None:
    """Give a database a second name, and let it be one file, so that one step can replace it."""
    log = Path(f"{path}-wal")
    try:
        # A look that changes nothing, first: SQLite may throw away the log of a damaged file.
        with contextlib.closing(_read_only(path)) as old:
            old.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
            old.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise NoCopy(f"another program has {path} open: end it first") from None
        # It is damaged: its log goes with it, and the copy comes into an empty place.
    os.link(path, aside)
    if log.exists():
        os.link(log, f"{aside}-wal")
        sync(path.parent)
        # In this order: a log is never beside a database that is not its own.
        path.unlink()
        log.unlink()
    Path(f"{path}-shm").unlink(missing_ok=True)
    sync(path.parent)
