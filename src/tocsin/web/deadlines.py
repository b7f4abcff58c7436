"""Time limits for many short waits, at the price of one timer for all of them."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

#: A limit may be overrun by so many seconds.
_EVERY = 0.5


class Limit:
    """One wait: ends with TimeoutError when its time is up."""

    __slots__ = ("_deadlines", "_is_over", "_task", "ends_at")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._task: asyncio.Task[Any] | None = None
        self._is_over = False
        self.ends_at = deadlines.loop.time() + seconds

    def extend(self, seconds: float) -> None:
        """Begin the count anew."""
        self.ends_at = self._deadlines.loop.time() + seconds

    def __enter__(self) -> Self:
        self._task = asyncio.current_task(self._deadlines.loop)
        self._deadlines.waiting[id(self)] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        del self._deadlines.waiting[id(self)]
        if kind is asyncio.CancelledError and self._is_over and self._task is not None:
            self._task.uncancel()
            raise TimeoutError

    def end(self) -> None:
        """Time is up."""
        if not self._is_over and self._task is not None:
            self._is_over = True
            self._task.cancel()


class Deadlines:
    """All waits of an event loop. ``asyncio.timeout`` sets a timer for each, and takes it back."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting: dict[int, Limit] = {}
        self._watching = loop.create_task(self._watch())

    def within(self, seconds: float) -> Limit:
        """Limit a wait."""
        return Limit(self, seconds)

    def close(self) -> None:
        """Watch no more."""
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            now = self.loop.time()
            for limit in [one for one in self.waiting.values() if one.ends_at <= now]:
                limit.end()
