"""Move from SQLite to PostgreSQL, and say how to go on."""

from __future__ import annotations

from pathlib import Path

import psycopg
import typer
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import OperationalError

from tocsin.boot import open_store, serving
from tocsin.cli.output import print_table
from tocsin.cli.progress import progress
from tocsin.config import Settings, load, masked
from tocsin.store import moving, pgdump
from tocsin.store.db import Database
from tocsin.store.moving import Moved, NotMoved


def move_to(url: str) -> None:
    """Move everything; print the tables and the setting to change. Raises NotMoved."""
    settings = load()
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    if not settings.database_url.startswith("sqlite:"):
        raise NotMoved("TOCSIN_DATABASE_URL is PostgreSQL already: this moves from SQLite")
    if not _is_postgres(url):
        raise NotMoved("--to is not postgresql://user:password@host/database")
    if not path.exists():
        raise NotMoved(f"there is no database {path}: look at TOCSIN_DATA_DIR")
    with serving(settings):
        moved = _move(settings, url)
    rows = [
        (one.table, one.here.rows, one.here, one.there, "same" if one.is_same else "differs")
        for one in moved
    ]
    print_table(("table", "rows", "SQLite", "PostgreSQL", ""), rows)
    typer.echo(
        f"\n{sum(one.here.rows for one in moved)} rows moved. Put this into the settings, with the"
        " same secret keys, and start:\n\n"
        f"    TOCSIN_DATABASE_URL={masked(url)}\n\n"
        f"{path} is as it was: keep it until you are sure, and let nobody serve it."
    )


def _is_postgres(url: str) -> bool:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    return url.startswith(("postgresql://", "postgres://"))


def _move(settings: Settings, url: str) -> tuple[Moved, ...]:
    store = open_store(settings)
    target = Database(url)
    try:
        with (
            store.database.read() as source,
            target.engine.begin() as there,
            progress("copying and comparing", "rows") as told,
        ):
            return moving.move(source, there, told)
    except OperationalError as error:
        said = " ".join(str(error.orig).split())
        raise NotMoved(f"{pgdump.connection(url)} does not answer: {said}") from None
    except psycopg.Error as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise NotMoved(f"{pgdump.connection(url)}: {said}") from None
    finally:
        target.close()
        store.close()
