"""Who is on call, on the terminal."""

from __future__ import annotations

from datetime import datetime

import typer

from tocsin.boot import now, open_store
from tocsin.cli.output import print_json, print_table
from tocsin.config import load
from tocsin.core.times import parse_instant
from tocsin.work.oncall import Asked, asked_schedules, who_is_on_call


def list_oncall(at: str | None, schedule: str | None, *, as_json: bool) -> None:
    """Print who is on call; exit 1 if nobody is. Raises NotFound."""
    try:
        when = now() if at is None else parse_instant(at)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from None
    store = open_store(load())
    try:
        plans = store.plans.refresh()
    finally:
        store.close()
    asked = Asked(schedule=schedule)
    found = who_is_on_call(plans, asked, when)
    if as_json:
        print_json(found)
    else:
        covered = {one.schedule for one in found}
        rows = [
            (
                one.schedule,
                one.user.email,
                _time(one.to),
                one.then.user.email if one.then else "nobody",
                _time(one.then.from_ if one.then else None),
            )
            for one in found
        ]
        rows += [
            (one.name, "nobody", "", "", "")
            for one in asked_schedules(plans, asked)
            if one.name not in covered
        ]
        print_table(("schedule", "on call", "until", "then", "from"), sorted(rows))
    if not found:
        raise typer.Exit(1)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z" if at else ""
