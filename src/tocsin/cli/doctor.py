"""Print what could stop a page."""

from __future__ import annotations

import typer
from sqlalchemy.exc import OperationalError

from tocsin.boot import now, open_store
from tocsin.cli.output import print_json, say
from tocsin.config import load
from tocsin.store.spool import SPOOL, load_of
from tocsin.work.doctor import CHECKS, Patient, examine


def examine_all(*, as_json: bool) -> None:
    """Print every finding with its remedy; exit 1 if there is one."""
    settings = load()
    try:
        store = open_store(settings)
    except OperationalError:
        waiting = load_of(settings.data_dir / SPOOL).waiting
        say(f"{waiting} webhooks wait on this machine until the database takes them")
        raise
    try:
        with store.database.read() as connection:
            found = examine(
                Patient(
                    connection=connection,
                    plans=store.plans.current(connection),
                    now=now(),
                    data_dir=settings.data_dir,
                    public_url=settings.public_url,
                    has_smtp=settings.smtp_url is not None,
                    vault=store.vault,
                )
            )
    finally:
        store.close()
    if as_json:
        print_json(found)
    else:
        wrong = {finding.check for finding in found}
        for name, _ in CHECKS:
            say(f"{'!!' if name in wrong else 'ok'}  {name}")
            for finding in found:
                if finding.check == name:
                    say(f"      {finding.text}")
                    say(f"      → {finding.remedy}")
    if found:
        raise typer.Exit(1)
