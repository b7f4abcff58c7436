"""``tocsin page``: test the whole chain, from the jobs table to the provider's answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tocsin.boot import now, open_store
from tocsin.cli.output import print_json, print_table, say
from tocsin.config import load
from tocsin.core.model import (
    NotificationState,
)
from tocsin.core.plans import ContactMethod
from tocsin.store.notifications import Progress
from tocsin.work.deliver import DEADLINE
from tocsin.work.page import Pager

#: How long a worker may take to take the tests up.
TAKEN_WITHIN = 15.0

_LOOK_EVERY = 0.1

_COLUMNS = ("contact method", "channel", "outcome", "answer")


@dataclass(frozen=True, slots=True)
class Row:
    """How one test went."""

    method: ContactMethod
    outcome: str
    answer: str = ""

    @property
    def shown(self) -> tuple[str, str, str, str]:
        """What is printed of it."""
        return (self.method.name, self.method.channel, self.outcome, self.answer)


_WAITING, _UNDER_WAY, _DELIVERED, _FAILED, _NOT_TAKEN = (
    "waiting for a worker", "under way", "delivered", "failed", "not taken",
)  # fmt: skip

#: What is still open, and what it is when nobody waits any longer.
_OPEN = {_WAITING: _NOT_TAKEN, _UNDER_WAY: _FAILED}

_STYLES = {_DELIVERED: "green", _FAILED: "red", _NOT_TAKEN: "red"}

#: What to do, by outcome.
_REMEDIES = {
    _NOT_TAKEN: f"no worker took it within {TAKEN_WITHIN:.0f} s: is `tocsin serve` running on this"
    " database?",
    _FAILED: "correct the address, or the channel's settings (`tocsin config show`), and try again",
}


def page_user(email: str, *, as_json: bool) -> None:
    """Page a person as a test, show how it goes, and exit 1 with remedies if anything failed."""
    store = open_store(load())
    try:
        pager = Pager(store.database, store.plans)
        sent_to = pager.page(email, "the command line", now())
        rows = _watch(pager, sent_to, is_shown=sys.stdout.isatty() and not as_json)
    finally:
        store.close()
    if as_json:
        names = ("contact_method", "channel", "outcome", "answer")
        print_json([dict(zip(names, row.shown, strict=True)) for row in rows])
    elif not sys.stdout.isatty():
        print_table(_COLUMNS, [row.shown for row in rows])
    wrong = [row for row in rows if row.outcome != _DELIVERED]
    for row in wrong:
        said = f" ({row.answer})" if row.answer else ""
        say(f"tocsin: {row.method.name}{said}: {_REMEDIES[row.outcome]}", err=True)
    if wrong:
        raise typer.Exit(1)


def _watch(pager: Pager, sent_to: Mapping[str, ContactMethod], *, is_shown: bool) -> Sequence[Row]:
    """Look until all are through, or time is up; what is not through then goes nowhere later."""
    began = time.monotonic()
    console = Console(highlight=False, quiet=not is_shown)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            rows = [_row(one, sent_to[one.id]) for one in pager.progress(sent_to.keys())]
            live.update(_table(rows), refresh=True)
            outcomes = {row.outcome for row in rows}
            patience = TAKEN_WITHIN
            if _UNDER_WAY in outcomes:
                patience += DEADLINE.total_seconds()
            if not outcomes & _OPEN.keys() or time.monotonic() - began > patience:
                break
            time.sleep(_LOOK_EVERY)
        pager.end(sent_to.keys())
        rows = [replace(row, outcome=_OPEN.get(row.outcome, row.outcome)) for row in rows]
        live.update(_table(rows), refresh=True)
    return rows


def _row(one: Progress, method: ContactMethod) -> Row:
    if one.state is NotificationState.SENT:
        return Row(method, _DELIVERED, one.detail or "")
    # One that will be tried again has failed here: a test tells how it is now.
    if one.outcome is not None:
        return Row(method, _FAILED, one.detail or "")
    if one.state is NotificationState.PENDING:
        return Row(method, _UNDER_WAY if one.attempts else _WAITING)
    return Row(method, _FAILED, "the contact method can no longer be used")


def _table(rows: Sequence[Row]) -> Table:
    table = Table(*_COLUMNS, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        style = _STYLES.get(row.outcome, "dim")
        table.add_row(
            row.method.name, row.method.channel, Text(row.outcome, style), Text(row.answer)
        )
    return table
