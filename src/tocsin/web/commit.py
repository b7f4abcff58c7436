"""Group commit: many requests, one transaction, one fsync.

Requests hand in what to keep and wait; one thread takes all that has gathered, keeps it in one
transaction and answers them together. Alone, a request waits for nobody; under load the groups grow
by themselves, and the disk's sync rate stops being the limit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from itertools import islice

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from tocsin.store.inbox import Arrival

#: Rows of one transaction: larger groups gain nothing and make the first one wait.
GROUP = 500

#: The database is away, locked or full: what would not be kept together is not kept apart either.
_NOBODYS_FAULT = (OperationalError, InterfaceError, NoConnection)


class GroupCommit:
    """Keeps arrivals in groups."""

    def __init__(
        self,
        put: Callable[[Sequence[Arrival]], list[str]],
        loop: asyncio.AbstractEventLoop,
        on_commit: Callable[[], None],
    ) -> None:
        """Keep with ``put``, in a thread of its own; say ``on_commit`` on the loop after each."""
        self._put = put
        self._loop = loop
        self._on_commit = on_commit
        self._gathered = threading.Condition()
        self._waiting: list[tuple[Arrival, asyncio.Future[str]]] = []
        self._is_open = True
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    async def keep(self, arrival: Arrival) -> str:
        """Keep one; return the delivery that stands for it. Raises what ``put`` raises."""
        answer: asyncio.Future[str] = self._loop.create_future()
        with self._gathered:
            self._waiting.append((arrival, answer))
            if len(self._waiting) == 1:
                self._gathered.notify()
        return await answer

    def close(self) -> None:
        """Keep what has gathered, then end. Nothing may be handed in any more."""
        with self._gathered:
            self._is_open = False
            self._gathered.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._gathered:
                while not self._waiting and self._is_open:
                    self._gathered.wait()
                waiting, self._waiting = iter(self._waiting), []
            groups = 0
            while group := list(islice(waiting, GROUP)):
                self._keep(group)
                groups += 1
            if groups == 0:
                return

    def _keep(self, group: list[tuple[Arrival, asyncio.Future[str]]]) -> None:
        try:
            kept: list[str] | Exception = self._put([arrival for arrival, _ in group])
        except Exception as error:  # noqa: BLE001 - each of the waiting requests gets it
            if len(group) > 1 and not isinstance(error, _NOBODYS_FAULT):
                # One of them cannot be kept. In halves, it ends up alone with its error.
                middle = len(group) // 2
                self._keep(group[:middle])
                self._keep(group[middle:])
                return
            kept = error
        self._loop.call_soon_threadsafe(self._answer, [answer for _, answer in group], kept)

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
