"""Copies of everything: backups, and the move to PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

copies = typer.Typer()


@copies.command()
def backup(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The file to make, or the folder to make one in.", show_default="named by the time"
        ),
    ] = None,
) -> None:
    """Copy the database into a file, as it is at one moment, while servers go on.

    A PostgreSQL is copied by pg_dump; where that is not installed, its command is printed. The
    secret keys are not in the file: keep them elsewhere.
    """
    from tocsin.cli.backup import make_backup

    make_backup(file)


@copies.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `tocsin backup` made.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Where there is an SQLite database, set it aside first."),
    ] = False,
) -> None:
    """Put a backup in the place of a database that is not there or, with --force, that is.

    No server may run on it. The file is checked first: whether it is whole, of a schema that this
    version knows, and sealed by the secret keys at hand.
    """
    from tocsin.cli.backup import restore_backup

    restore_backup(file, force=force)


@copies.command()
def move(
    to: Annotated[
        str,
        typer.Option(
            help="An empty PostgreSQL. A password in it is seen in the list of processes: put it"
            " into PGPASSWORD or ~/.pgpass.",
            metavar="URL",
        ),
    ],
) -> None:
    """Move everything from SQLite to an empty PostgreSQL, all of it or nothing.

    No server may run meanwhile. Every table is compared afterwards, by a check sum on both sides.
    """
    from tocsin.cli.moving import move_to

    move_to(to)
