"""Keep the house in order: what is past its retention goes, and what was done is sealed.

A little at a time, beside the work.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from tocsin.store import accounts, calendars, inbox, jobs, seals, sentrytasks, sessions
from tocsin.store.db import Database
from tocsin.store.jobs import Kind
from tocsin.work import reconcile

#: Rows of one transaction: intake must not wait long behind it.
_ROWS = 500

EVERY = timedelta(minutes=10)


class Sweeper:
    """Does the recurring work of one installation, on whichever replica takes it."""

    def __init__(self, database: Database, retention: timedelta) -> None:
        """Keep deliveries for ``retention``."""
        self._database = database
        self._retention = retention

    def work(self, now: datetime) -> int:
        """Take the sweep if it is due, and sweep until nothing is left; return how many rows."""
        if not self._database.run(lambda connection: _take(connection, now)):
            return 0
        total = 0
        while gone := self._database.run(lambda connection: self._some(connection, now)):
            total += gone
        return total

    def _some(self, connection: Connection, now: datetime) -> int:
        return (
            inbox.sweep(connection, now - self._retention, now - inbox.KEYS_KEPT, _ROWS)
            + sessions.sweep(connection, now, _ROWS)
            + accounts.sweep(connection, now, _ROWS)
            + sentrytasks.sweep(connection, now - self._retention, _ROWS)
            + seals.seal(connection, now, _ROWS)
        )


def _take(connection: Connection, now: datetime) -> bool:
    taken = jobs.take(connection, Kind.SWEEP, now, 1)
    if taken:
        jobs.put(connection, [(Kind.SWEEP, "all", now + EVERY)])
        calendars.arm(connection, now)
        reconcile.arm(connection, now)
    return bool(taken)


def arm(connection: Connection, now: datetime) -> None:
    """Let the sweep be due, in a database that has none yet, and the calendars be read."""
    calendars.arm(connection, now)
    if not jobs.exists(connection, Kind.SWEEP, "all"):
        jobs.put(connection, [(Kind.SWEEP, "all", now)])
