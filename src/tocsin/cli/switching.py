"""What ``tocsin sentry switch`` does: see and change what is done in Sentry."""

from __future__ import annotations

from typing import Any

import typer

from tocsin.boot import now, open_store
from tocsin.cli.daily import me
from tocsin.cli.output import print_json
from tocsin.config import load
from tocsin.store.joined import SentryView
from tocsin.work.switches import Switchboard


def switch_sentry(integration: str, wanted: dict[str, Any], *, as_json: bool) -> None:
    """Change the switches that are named, and print them all."""
    store = open_store(load())
    try:
        board = Switchboard(store.database, store.plans)
        if wanted:
            view = board.change(integration, wanted, me(), now())
        else:
            view = board.show(integration, me(), now())
    finally:
        store.close()
    if as_json:
        print_json(view)
    else:
        _print(view)


def _print(view: SentryView) -> None:
    on = view.switches
    rows = (
        ("acknowledge", on.acknowledge.value),
        *((name, "on" if getattr(on, name) else "off")
          for name in ("resolve", "note", "snooze", "link")),
    )  # fmt: skip
    for name, value in rows:
        typer.echo(f"{name:<12}{value}")
    typer.echo(f"webhooks lost in the last 7 days: {view.lost_webhooks}")
    if view.waiting:
        typer.echo(f"waits to be done in Sentry: {view.waiting}")
    if view.failed:
        typer.echo(f"could not be done in Sentry within a day: {view.failed}")
    if view.error:
        typer.echo(f"Sentry cannot be asked: {view.error}")
