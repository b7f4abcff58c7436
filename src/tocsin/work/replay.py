"""Feed deliveries in again: one, or a window of them, some at a time.

What a run has fed in is written down in the same transaction, under a key of the run and the
delivery: pressing twice feeds in once, and a run that was left goes on where it stopped.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.store import deliveries, inbox
from tocsin.store.db import Database, new_id
from tocsin.store.deliveries import Window
from tocsin.work.refusals import Invalid

#: So many are fed in in one transaction.
STEP = 50

_RUN = re.compile(r"[0-9a-f]{8,40}")


def new_run() -> str:
    """Return a name for a run that nobody guesses."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come."""

    #: How many deliveries the window has, at most ``store.deliveries.MOST_COUNTED``.
    total: int
    done: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class Replays:
    """Where deliveries are fed in again."""

    database: Database

    def one(self, delivery_id: str, run: str, now: datetime) -> str | None:
        """Feed one in; return the new one, which a second time is the same; None if it is gone."""
        _check(run)

        def work(connection: Connection) -> str | None:
            stored = inbox.stored(connection, delivery_id)
            if stored is None:
                return None
            copy = inbox.copy_of(stored, new_id("del", now), now, _key(run, delivery_id))
            return inbox.put(connection, [copy])[0]

        return self.database.run(work)

    def progress(self, window: Window, run: str) -> Progress:
        """Say how far a run has come."""
        _check(run)
        with self.database.read() as connection:
            return _progress(connection, window, run)

    def step(self, window: Window, run: str, now: datetime) -> Progress:
        """Feed in the next ``STEP`` of a window, in the order they came in."""
        _check(run)

        def work(connection: Connection) -> Progress:
            last = inbox.last_key(connection, window.integration_id, _key(run, ""))
            after = last.rpartition(":")[2] if last else None
            copies = []
            for id_ in deliveries.ids_in(connection, window, after, STEP):
                stored = inbox.stored(connection, id_)
                if stored is not None:
                    copies.append(inbox.copy_of(stored, new_id("del", now), now, _key(run, id_)))
            inbox.put(connection, copies)
            return _progress(connection, window, run)

        return self.database.run(work)


def _progress(connection: Connection, window: Window, run: str) -> Progress:
    total = deliveries.count_in(connection, window)
    done = inbox.count_keys(connection, window.integration_id, _key(run, ""))
    last = inbox.last_key(connection, window.integration_id, _key(run, ""))
    after = last.rpartition(":")[2] if last else None
    left = deliveries.ids_in(connection, window, after, 1)
    return Progress(total=max(total, done), done=done, is_over=not left)


def _key(run: str, delivery_id: str) -> str:
    return f"replay:{run}:{delivery_id}"


def _check(run: str) -> None:
    if not _RUN.fullmatch(run):
        raise Invalid("this run is not one we began: open the page again")
