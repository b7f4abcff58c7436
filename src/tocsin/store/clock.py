"""One time for all servers of a database: its own.

Whose clock is wrong would take steps early or late. So the database is asked what time it is, now
and then; in between this machine's steady clock counts, which no correction of the time of day
moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import func, select

from tocsin.store.db import Database

#: An answer that took longer tells too little.
_AT_MOST = 1.0

#: What is no more than this apart is the same: the time goes on evenly.
_SAME = timedelta(milliseconds=100)


class DatabaseClock:
    """Tells the time; the machine's own until ``look`` has asked the database."""

    def __init__(
        self,
        database: Database,
        wall: Callable[[], datetime],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with what the machine says."""
        self._database = database
        self._steady = steady
        #: An instant, and what the steady clock said then; one value, for threads read it.
        self._known = wall(), steady()

    def __call__(self) -> datetime:
        """Return the time, in UTC."""
        at, steady = self._known
        return at + timedelta(seconds=self._steady() - steady)

    def look(self) -> None:
        """Ask the database. Raises the driver's error."""
        with self._database.read() as connection:
            before = self._steady()
            at = connection.scalar(select(func.clock_timestamp()))
            after = self._steady()
        if at is None or after - before > _AT_MOST:
            return
        middle = before + (after - before) / 2
        ours = self._known[0] + timedelta(seconds=middle - self._known[1])
        if abs(at - ours) > _SAME:
            self._known = at, middle
