"""Make a backup, and put one back."""

from __future__ import annotations

from pathlib import Path

import typer

from tocsin.boot import known_vault, now, serving
from tocsin.cli.progress import BYTES, progress
from tocsin.config import Settings, load
from tocsin.store import backup, pgdump
from tocsin.store.backup import Copied, NoCopy
from tocsin.store.db import Database
from tocsin.store.migrations import HEAD, is_empty

#: Names of files sort by the time in them.
_STAMP = "%Y%m%d-%H%M%S"


def make_backup(file: Path | None) -> None:
    """Copy the database; print what was made, and what is not in it. Raises NoCopy."""
    settings = load()
    is_sqlite = settings.database_url.startswith("sqlite:")
    target = _target(file, ".db" if is_sqlite else ".dump")
    if is_sqlite:
        with progress("copying", BYTES) as told:
            made = backup.save(_path(settings), target, told)
    else:
        url = settings.database_direct_url or settings.database_url
        _need("pg_dump", pgdump.shown(pgdump.saving(url, target)))
        with progress("copying", BYTES) as told:
            made = pgdump.save(url, target, told)
    typer.echo(f"{made.path}: {_size(made.size)}, schema {made.schema}")
    typer.echo(
        f"The secret keys are not in it ({_keys(settings)}): keep them too, in another place."
        " Without them it cannot be restored."
    )
    if not is_sqlite:
        typer.echo("What waits in the spool of a server is not in it either.")


def restore_backup(file: Path, *, force: bool) -> None:
    """Put a backup back; print what is there now. Raises NoCopy, WrongKeys, NewerSchema."""
    settings = load()
    if settings.database_url.startswith("sqlite:"):
        done, aside = _restore_sqlite(settings, file, force=force)
        typer.echo(f"{file} is restored as {done.path}: {_size(done.size)}, schema {done.schema}")
        if aside is not None:
            typer.echo(f"What was there is kept as {aside}")
    else:
        done = _restore_postgres(settings, file, force=force)
        typer.echo(f"{file} is restored into {pgdump.connection(settings.database_url)}")
    if done.schema != HEAD:
        typer.echo(f"The next `tocsin serve` brings its schema from {done.schema} to {HEAD}")
    typer.echo("Incidents that were open then are open again: they go on escalating at the start.")


def _restore_sqlite(settings: Settings, file: Path, *, force: bool) -> tuple[Copied, Path | None]:
    path = _path(settings)
    with serving(settings):
        is_taken = path.exists() and path.stat().st_size > 0
        if is_taken and not force:
            raise NoCopy(
                f"{path} is there already: --force sets it aside, or choose another TOCSIN_DATA_DIR"
            )
        if is_taken and file.exists() and file.samefile(path):
            raise NoCopy(f"{file} is the database itself")
        aside = path.with_name(f"{path.name}.before-{now():{_STAMP}}")
        with progress("copying", BYTES) as told:
            done = backup.put_back(file, path, known_vault(settings), told, aside=aside)
    return done, aside if is_taken else None


def _restore_postgres(settings: Settings, file: Path, *, force: bool) -> Copied:
    url = settings.database_direct_url or settings.database_url
    if force:
        raise NoCopy(
            "--force is for SQLite: make an empty database in PostgreSQL, and name it in"
            " TOCSIN_DATABASE_URL"
        )
    _need("pg_restore", pgdump.shown(pgdump.putting_back(url, file)))
    database = Database(url)
    try:
        with database.read() as connection:
            if not is_empty(connection):
                raise NoCopy(
                    f"{pgdump.connection(url)} is not empty: make an empty database, and name it in"
                    " TOCSIN_DATABASE_URL"
                )
    finally:
        database.close()
    with progress("restoring", BYTES) as told:
        return pgdump.put_back(url, file, known_vault(settings), told)


def _need(program: str, command: str) -> None:
    if not pgdump.is_there(program):
        raise NoCopy(
            f"{program} is not installed here; where it is, this does it (it asks for the"
            f" password, or takes it from PGPASSWORD or ~/.pgpass):\n\n{command}\n"
        )


def _target(file: Path | None, ending: str) -> Path:
    name = f"tocsin-{now():{_STAMP}}{ending}"
    if file is None:
        return Path(name)
    return file / name if file.is_dir() else file


def _path(settings: Settings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))


def _keys(settings: Settings) -> str:
    if settings.secret_keys:
        return "TOCSIN_SECRET_KEYS"
    return f"TOCSIN_SECRET_KEYS, here {settings.data_dir / 'secret-keys'}"


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"
