"""The auditor: looks whether pages go out, apart from the work itself, and tells if they do not.

It runs in every process, whichever half of the program that is. While all is well it tells somebody
outside so (the heartbeat); whoever watches for that learns of what it cannot tell any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from tocsin.channels.base import Channel
from tocsin.core.retry import Outcome
from tocsin.store.room import Disk, Room
from tocsin.work.oversight import OVERDUE, Oversight, Sight, Trouble, Warned, disk_trouble

T = TypeVar("T")
log = structlog.get_logger("auditor")

#: How often it looks. What is overdue at two looks is told: a backlog that shrinks is none.
EVERY = timedelta(seconds=10)
_LOOKS = 2

#: How often the heartbeat goes out, and how long one may take.
BEAT = timedelta(seconds=60)
_BEAT_SECONDS = 10.0

#: How often the disk is looked at.
_DISK_SECONDS = 0.5

#: A look that takes longer saw nothing; one message may take so long.
_LOOK_SECONDS = 8.0
_SEND_SECONDS = 10.0

#: A worker that has not looked for work for so long is not well.
MAX_TICK_AGE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Senses:
    """What the auditor is told of its own process."""

    clock: Callable[[], datetime]
    #: When the worker looked for work; None if it never did.
    ticked_at: Callable[[], datetime | None]
    has_worker: bool
    #: The disk to look after, if any.
    room: Room | None = None
    #: Tells somebody outside that all is well. Raises nothing.
    beat: Callable[[], Awaitable[bool]] | None = None


class Auditor:
    """Looks every few seconds."""

    def __init__(
        self, oversight: Oversight, channels: Mapping[str, Channel], senses: Senses
    ) -> None:
        """Take what it needs; nothing was seen yet."""
        self._oversight = oversight
        self._channels = channels
        self._senses = senses
        # Threads of its own: those of others may all be waiting for what it looks for.
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="auditor")
        self._tending = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._disk: Disk | None = None
        self._seen_at = self._began_at = senses.clock()
        self._waiting: tuple[str, datetime] | None = None
        self._looks: dict[str, int] = {}
        self._told: dict[str, datetime] = {}
        #: What is ours to tell, and nobody has heard yet.
        self._owed: set[str] = set()
        self._beaten_at: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Look until ``stop``."""
        tasks = [
            asyncio.create_task(self._every(EVERY.total_seconds(), self.audit)),
            asyncio.create_task(self._every(_DISK_SECONDS, self.tend)),
        ]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for threads in (self._looking, self._tending):
                threads.shutdown(wait=False, cancel_futures=True)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            began = time.monotonic()
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - it goes on looking, whatever it saw
                log.warning("cannot look", error=f"{type(error).__name__}: {error}"[:300])
            await asyncio.sleep(max(seconds - (time.monotonic() - began), 0.05))

    async def _ask(self, work: Callable[..., T], *given: object) -> T:
        """Do what asks the database. Raises TimeoutError if it says nothing."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_LOOK_SECONDS):
            return await loop.run_in_executor(self._looking, work, *given)

    async def tend(self) -> None:
        """Look after the disk."""
        if self._senses.room is not None:
            loop = asyncio.get_running_loop()
            self._disk = await loop.run_in_executor(self._tending, self._senses.room.tend)

    async def audit(self) -> None:
        """Look once; tell what is wrong, or that all is well."""
        now = self._senses.clock()
        found = await self._look(now)
        self._looks = {one.name: self._looks.get(one.name, 0) + 1 for one in found}
        lasting = [one for one in found if self._looks[one.name] >= _LOOKS]
        for one in lasting:
            await self._tell(one, now)
        if all(one.can_page for one in found):
            await self._beat(now)

    async def _look(self, now: datetime) -> Sequence[Trouble]:
        """Return what is wrong now."""
        found: list[Trouble] = []
        try:
            sight = await self._ask(self._oversight.look, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was seen
            log.warning("the auditor sees nothing", error=type(error).__name__)
            if now - self._seen_at > OVERDUE:
                since = f"{self._seen_at:%H:%M} UTC"
                found.append(Trouble(name="database", text=f"no database since {since}"))
        else:
            self._seen_at = now
            found += self._overdue(sight, now)
            ticked_at = self._senses.ticked_at() or self._began_at
            if self._senses.has_worker and now - ticked_at > MAX_TICK_AGE:
                found.append(Trouble(name="worker", text="a worker has not looked for work lately"))
        if self._disk is not None and self._senses.room is not None:
            found += disk_trouble(self._disk, is_short=self._senses.room.is_short)
        return found

    def _overdue(self, sight: Sight, now: datetime) -> list[Trouble]:
        found = []
        if sight.steps:
            text = f"{sight.steps} steps of escalations are more than a minute late"
            found.append(Trouble(name="steps", text=text))
        elif sight.jobs:
            text = f"{sight.jobs} pieces of work are more than a minute late"
            found.append(Trouble(name="work", text=text))
        if sight.waiting is None or self._waiting is None or self._waiting[0] != sight.waiting:
            self._waiting = (sight.waiting, now) if sight.waiting else None
        elif now - self._waiting[1] > OVERDUE:
            text = f"webhooks are not processed: {sight.waiting} waits for more than a minute"
            found.append(Trouble(name="inbox", text=text))
        return found

    # -- telling

    async def _tell(self, trouble: Trouble, now: datetime) -> None:
        """Tell it, unless it was told lately, here or elsewhere."""
        told_at = self._told.get(trouble.name)
        if told_at is not None and now - told_at < trouble.again:
            return
        if trouble.name not in self._owed and not await self._is_mine(trouble, now):
            self._told[trouble.name] = now
            return
        warned = self._oversight.write(trouble, now)
        log.error("trouble", name=trouble.name, text=trouble.text, told=len(warned))
        went = await asyncio.gather(*map(self._send, warned))
        if any(went) or not warned:
            self._told[trouble.name] = now
            self._owed.discard(trouble.name)
        else:
            self._owed.add(trouble.name)

    async def _is_mine(self, trouble: Trouble, now: datetime) -> bool:
        try:
            return await self._ask(self._oversight.may_tell, trouble, now)
        except Exception:  # noqa: BLE001 - nobody can be asked: rather twice than never
            return True

    async def _send(self, one: Warned) -> bool:
        channel = self._channels.get(one.method.channel)
        if channel is None:
            return False
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                report = await channel.send(one.message, one.method.address, one.method.secret)
        except Exception as error:  # noqa: BLE001 - a bug of one channel must not stop the others
            log.warning("cannot warn", channel=one.method.channel, error=type(error).__name__)
            return False
        log.info("warned", channel=one.method.channel, outcome=report.outcome, said=report.detail)
        return report.outcome is Outcome.DELIVERED

    async def _beat(self, now: datetime) -> None:
        """Say outside that all is well, if somebody wants to know, and it is time."""
        if self._senses.beat is None:
            return
        if self._beaten_at is not None and timedelta() <= now - self._beaten_at < BEAT:
            return
        try:
            async with asyncio.timeout(_BEAT_SECONDS):
                is_heard = await self._senses.beat()
        except TimeoutError:
            is_heard = False
        if is_heard:
            self._beaten_at = now
        else:
            log.warning("the heartbeat was not heard")
