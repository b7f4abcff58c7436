"""Group commit: many requests, one transaction, one fsync.

Requests hand in what to keep and wait; one thread takes all that has gathered, keeps it in one
transaction and answers them together. Alone, a request waits for nobody; under load the groups grow
by themselves, and the disk's sync rate stops being the limit.

Where there is a spool, a second thread stands by. When the database is away, or says nothing for
``PATIENCE``, requests are kept in the spool from then on, by the second thread, and the first one
only hands over what is in it, oldest first. When the spool is empty, all is as before. So nothing
overtakes what came before it, and a sender's second is kept whatever the database does. What a
commit did of which nobody heard does no harm: keeping the same arrival twice keeps it once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from tocsin.store.inbox import Arrival
from tocsin.store.spool import Full, Load, Spool

log = structlog.get_logger("intake")

#: Rows of one transaction: larger groups gain nothing and make the first one wait.
GROUP = 500

#: How long the database may say nothing before the spool is used: Sentry waits for one second.
PATIENCE = 0.4

#: How often it is looked whether that time is up.
_LOOK = 0.05

#: Between two tries to reach a database that is away: doubled up to the second.
_PAUSE = (0.1, 1.0)

#: How long a process that is to end goes on handing over what is in its spool.
_LAST_SECONDS = 5.0

#: Not a word of the database's own, but of its limits: it will never take that.
_TOO_MUCH = "54"

#: A standby after a failover takes no writes yet.
_READ_ONLY = "25006"

Waiting: TypeAlias = list[tuple[Arrival, "asyncio.Future[str]"]]


class Away(Exception):
    """The database is not to be asked now."""


def is_away(error: Exception) -> bool:
    """Whether the database is away, locked or full: what was to be kept has no part in it."""
    if isinstance(error, Away | NoConnection | InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    if state.startswith(_TOO_MUCH):
        return False
    return (
        isinstance(error, OperationalError) or error.connection_invalidated or state == _READ_ONLY
    )


def _is_refused(error: Exception) -> bool:
    """Whether the database will never take what was to be kept."""
    if isinstance(error, OperationalError):
        return not is_away(error)
    return isinstance(error, DataError | IntegrityError | UnicodeError)


class GroupCommit:
    """Keeps arrivals in groups."""

    def __init__(
        self,
        put: Callable[[Sequence[Arrival]], list[str]],
        loop: asyncio.AbstractEventLoop,
        on_commit: Callable[[], None],
        spool: Spool | None = None,
    ) -> None:
        """Keep with ``put``, in a thread of its own; say ``on_commit`` on the loop after each."""
        self._put = put
        self._loop = loop
        self._on_commit = on_commit
        self._spool = spool
        lock = threading.RLock()
        self._gathered = threading.Condition(lock)
        self._spoolable = threading.Condition(lock)
        self._waiting: Waiting = []
        self._is_open = True
        self._ending = threading.Event()
        #: What the first thread is keeping now, and since when.
        self._under_way: Waiting = []
        self._since = 0.0
        #: Whether arrivals go into the spool; and whether some are on their way into it.
        self._is_spooling = spool is not None and spool.load.waiting > 0
        self._is_filling = False
        self._threads = [threading.Thread(target=self._run, name="group-commit", daemon=True)]
        if spool is not None:
            self._threads.append(
                threading.Thread(target=self._stand_by, args=(spool,), name="spool", daemon=True)
            )
        for thread in self._threads:
            thread.start()

    @property
    def is_spooling(self) -> bool:
        """Whether arrivals wait on this machine until the database has those before them."""
        return self._is_spooling

    @property
    def spooled(self) -> Load:
        """How much waits so."""
        return self._spool.load if self._spool is not None else Load()

    async def keep(self, arrival: Arrival) -> str:
        """Keep one; return the delivery that stands for it. Raises what ``put`` raises.

        What is kept in the spool stands for itself: whether it repeats another is seen later.
        """
        answer: asyncio.Future[str] = self._loop.create_future()
        with self._gathered:
            self._waiting.append((arrival, answer))
            if len(self._waiting) == 1:
                (self._spoolable if self._is_spooling else self._gathered).notify()
        return await answer

    def adopt(self) -> None:
        """Take over what processes that died left in their spools."""
        if self._spool is not None and self._spool.adopt():
            with self._gathered:
                self._is_spooling = True
                self._gathered.notify()

    def close(self) -> None:
        """Keep what has gathered, then end. Nothing may be handed in any more."""
        with self._gathered:
            self._is_open = False
            self._gathered.notify()
            self._spoolable.notify()
        self._ending.set()
        ends = time.monotonic() + _LAST_SECONDS if self._spool is not None else None
        for thread in reversed(self._threads):
            thread.join(None if ends is None else max(ends - time.monotonic(), 1.0))
        if self._spool is not None and not any(thread.is_alive() for thread in self._threads):
            self._spool.close()

    def _take(self) -> Waiting:
        """Take a group of what has gathered. The lock is held."""
        group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
        return group

    # -- into the database

    def _run(self) -> None:
        while True:
            if self._is_spooling and self._spool is not None:
                if not self._drain(self._spool):
                    return
                continue
            with self._gathered:
                while not self._waiting and self._is_open and not self._is_spooling:
                    self._gathered.wait()
                if self._is_spooling:
                    continue
                group = self._take()
                if not group:
                    return
                self._under_way, self._since = group, time.monotonic()
            self._keep(group)
            with self._gathered:
                self._under_way = []

    def _keep(self, group: Waiting) -> None:
        try:
            kept: list[str] | Exception = self._put([arrival for arrival, _ in group])
        except Exception as error:  # noqa: BLE001 - each of the waiting requests gets it
            if is_away(error) and self._spool is not None:
                self._begin_spooling(group, error)
                return
            if len(group) > 1 and not is_away(error):
                # One of them cannot be kept. In halves, it ends up alone with its error.
                middle = len(group) // 2
                self._keep(group[:middle])
                self._keep(group[middle:])
                return
            kept = error
        self._loop.call_soon_threadsafe(self._answer, [answer for _, answer in group], kept)

    def _begin_spooling(self, group: Waiting, error: Exception) -> None:
        with self._gathered:
            # Whoever stood by has not lost patience before, and taken the group already.
            if not self._is_spooling:
                log.warning("the database is away: to the spool", error=_line(error))
                self._is_spooling = True
                self._waiting[:0] = group
            self._spoolable.notify()

    def _answer(self, answers: list[asyncio.Future[str]], kept: list[str] | Exception) -> None:
        for at, answer in enumerate(answers):
            if answer.done():  # the client went away; its request is kept all the same
                continue
            if isinstance(kept, Exception):
                answer.set_exception(kept)
            else:
                answer.set_result(kept[at])
        if not isinstance(kept, Exception):
            self._on_commit()

    # -- into the spool

    def _stand_by(self, spool: Spool) -> None:
        while True:
            with self._spoolable:
                group = self._take_for_spool()
                if group is None:
                    return
                self._is_filling = True
            self._keep_in(spool, group)
            with self._spoolable:
                self._is_filling = False
                self._gathered.notify()

    def _take_for_spool(self) -> Waiting | None:
        """Wait until a group is for the spool; None at the end. The lock is held."""
        while True:
            if self._is_spooling and self._waiting:
                return self._take()
            if not self._is_open and not self._waiting and not self._under_way:
                return None
            if self._is_spooling:
                self._spoolable.wait(None if self._is_open else _LOOK)
                continue
            self._spoolable.wait(_LOOK)
            if self._under_way and time.monotonic() - self._since > PATIENCE:
                log.warning("the database says nothing: to the spool")
                self._is_spooling = True
                # Its outcome is unknown: kept here too, it is kept once in the end.
                group, self._under_way = self._under_way, []
                return group

    def _keep_in(self, spool: Spool, group: Waiting) -> None:
        # A refusal need not outlast the database: others, without any key, can make many.
        accepted = [arrival for arrival, _ in group if arrival.http_status < 300]
        kept: list[str] | Exception = [arrival.id for arrival, _ in group]
        try:
            if accepted:
                spool.keep(accepted)
        except Exception as error:  # noqa: BLE001 - as above
            if len(group) > 1 and not isinstance(error, Full | sqlite3.Error):
                middle = len(group) // 2
                self._keep_in(spool, group[:middle])
                self._keep_in(spool, group[middle:])
                return
            kept = error
        self._loop.call_soon_threadsafe(self._answer, [answer for _, answer in group], kept)

    def _drain(self, spool: Spool) -> bool:
        """Hand over what is in the spool until it is empty; return False at the end of all."""
        pause, ends = _PAUSE[0], 0.0
        while True:
            if self._ending.is_set():
                ends = ends or time.monotonic() + _LAST_SECONDS - 1
                if time.monotonic() > ends:
                    return False
            try:
                batch = spool.oldest()
                if batch:
                    self._hand_over(spool, batch)
                    pause = _PAUSE[0]
                elif self._is_over(spool):
                    return True
            except Exception as error:  # noqa: BLE001 - it is tried until it works
                if not is_away(error):
                    log.warning("cannot empty the spool", error=_line(error))
                if self._ending.is_set():
                    return False
                self._ending.wait(pause)
                pause = min(pause * 2, _PAUSE[1])

    def _is_over(self, spool: Spool) -> bool:
        """Go back to the database, if nothing is in the spool, nor on its way into it."""
        with self._gathered:
            if self._is_filling:
                self._gathered.wait(_LOOK)
            if self._is_filling or spool.load.waiting:
                return False
            self._is_spooling = False
            self._spoolable.notify()  # to stand by again
            log.info("the spool is empty: to the database again")
            return True

    def _hand_over(self, spool: Spool, batch: Sequence[Arrival]) -> None:
        try:
            self._put(batch)
        except Exception as error:
            if not _is_refused(error):
                raise
            if len(batch) == 1:
                refused = batch[0].id
                log.error("the spool holds what is refused", delivery=refused, error=_line(error))  # noqa: TRY400
                spool.set_aside(batch[0].id, _line(error))
                return
            middle = len(batch) // 2
            self._hand_over(spool, batch[:middle])
            self._hand_over(spool, batch[middle:])
            return
        spool.forget([arrival.id for arrival in batch])
        self._loop.call_soon_threadsafe(self._on_commit)


def _line(error: Exception) -> str:
    """Name an error in one line; the rest of a driver's message may quote the data."""
    said = str(error).splitlines()
    return f"{type(error).__name__}: {said[0] if said else ''}"[:300]
