"""Seal the secrets in the database anew, and say what became of each key."""

from __future__ import annotations

import typer

from tocsin.boot import now, open_store
from tocsin.cli.output import print_table
from tocsin.cli.progress import progress
from tocsin.config import load
from tocsin.store.sealed import Survey
from tocsin.store.vault import Vault
from tocsin.work.rekey import Rekeying


def rotate_keys(*, dry_run: bool) -> None:
    """Do it and print the keys; exit 1 where something is left, or nothing opens it."""
    store = open_store(load())
    try:
        rekeying = Rekeying(store.database, store.vault)
        if dry_run:
            _print(store.vault, rekeying.survey())
            return
        with progress("sealing anew", "secrets") as told:
            done = rekeying.run(now(), told)
        _print(store.vault, done.survey)
    finally:
        store.close()
    if not done.is_moved and not done.resealed:
        typer.echo("nothing to do: the first key sealed everything")
    else:
        typer.echo(
            f"{done.resealed} secrets sealed anew; a key that seals nothing can go out of"
            " TOCSIN_SECRET_KEYS a day from now: until then it still checks links in messages"
        )
    for place, count in sorted(done.survey.closed.items()):
        typer.echo(f"tocsin: {count} secrets in {place} are opened by none of the keys", err=True)
    left = done.survey.total - done.survey.sealed[0]
    if left:
        typer.echo(f"tocsin: {left} secrets were just written with an older key: run it again",
                   err=True)  # fmt: skip
    if left or done.survey.closed:
        raise typer.Exit(1)


def _print(vault: Vault, survey: Survey) -> None:
    rows = [
        (name, survey.sealed[place], "yes" if place == survey.at else "")
        for place, name in enumerate(vault.names)
    ]
    print_table(("key", "seals", "in use"), rows)
