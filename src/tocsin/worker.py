"""The edge where due work goes out: look what is due, do it, send, record.

Polling is the truth; ``wake`` only makes it sooner. Everything that touches the database runs in
threads, so that a slow query never holds up a send.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from tocsin.calendars.box import read_boxed
from tocsin.calendars.reading import MAX_BYTES, Event, Unreadable
from tocsin.channels.base import REGISTRY, Channel, ChannelKind, Message
from tocsin.channels.fetch import Fetched, Unfetched
from tocsin.core.dialect import Dialect
from tocsin.core.mirror import Done
from tocsin.core.reconcile import Known
from tocsin.core.retry import Outcome, Report
from tocsin.sentry.acting import perform
from tocsin.sentry.client import Place, Sentry, Unreachable
from tocsin.sentry.looking import Seen, look
from tocsin.store import inbox, jobs
from tocsin.store.db import Database
from tocsin.store.jobs import Kind
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault
from tocsin.work.calendars import Errand, Librarian, Result
from tocsin.work.deliver import DEADLINE, LEASE, Outbox, Sending, Sent
from tocsin.work.escalate import ASK, Clockwork
from tocsin.work.intake import Inbox
from tocsin.work.letters import Posting, Postman
from tocsin.work.mirror import BEGIN_WITHIN, Batch, Mirror
from tocsin.work.reconcile import Question, Reconciler
from tocsin.work.sweep import Sweeper
from tocsin.work.watch import KINDS, Watchman

T = TypeVar("T")
log = structlog.get_logger("worker")

#: How long due work may wait to be seen when nothing wakes us, and how often we look at most.
_POLL = timedelta(milliseconds=250)
_AT_MOST = 0.01
_BUSY_AT_MOST = 0.1

#: While requests come in, batches are small and between them there is a pause, so many times as
#: long as the batch took: a webhook that is not taken at once is lost, one that waits is not.
_BATCH = 200
_BUSY_BATCH = 25
_BUSY_PAUSE = 4.0
_LONGEST_PAUSE = 0.5

#: The wait after an error nobody expected (the database is away): it doubles up to the second.
_PAUSE = (0.2, 5.0)

#: Attempts under way at once: one hanging provider must leave room for the others.
_SENDINGS = 200

#: Attempts leased at once.
_LEASED = 50

#: Gets a document: its address, the ETag it had (None: get it whatever it is), the most bytes.
#: Raises Unfetched.
Fetch = Callable[[str, str | None, int], Awaitable[Fetched]]

#: Works a calendar out as of a time. Raises Unreadable.
Expand = Callable[[bytes, datetime], Awaitable[list[Event]]]

#: Gives a client for an organisation. Raises SentryError.
ToSentry = Callable[[Place], Sentry]

#: Calendars worked out at once: each may take all the time and memory of its box.
_READINGS = 1

#: The pump that reads the inbox, beside those that do one kind of job.
_INBOX = "inbox"


class Worker:
    """Does everything that is due, as it comes due."""

    def __init__(
        self,
        database: Database,
        inbox_: Inbox,
        clockwork: Clockwork,
        outbox: Outbox,
        sweeper: Sweeper,
        watchman: Watchman,
        librarian: Librarian,
        postman: Postman,
        channels: Mapping[str, Channel],
        fetch: Fetch,
        expand: Expand,
        outings: Sequence[Outing],
        clock: Callable[[], datetime],
        observe: Callable[[Sent], None],
    ) -> None:
        """Take what it needs; ``clock`` tells the time, ``observe`` is told of each attempt."""
        self._database = database
        self._inbox = inbox_
        self._clockwork = clockwork
        self._outbox = outbox
        self._sweeper = sweeper
        self._watchman = watchman
        self._librarian = librarian
        self._postman = postman
        self._fetch = fetch
        self._expand = expand
        self._reading = asyncio.Semaphore(_READINGS)
        self._channels = channels
        self._clock = clock
        self._observe = observe
        self._is_busy: Callable[[], bool] = lambda: False
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="worker")
        self._awake = asyncio.Event()
        self._due = {name: asyncio.Event() for name in (_INBOX, *Kind)}
        self._outings = {outing.kind: outing for outing in outings}
        self._out: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._unbroken: set[asyncio.Task[Any]] = set()
        self._made: list[Sent] = []
        self._made_some = asyncio.Event()
        self._processed = asyncio.Condition()
        self.ticked_at: datetime | None = None

    def yield_to(self, is_busy: Callable[[], bool]) -> None:
        """Go slow while ``is_busy``."""
        self._is_busy = is_busy

    def wake(self) -> None:
        """Something may be due: look now. Call it on the loop."""
        self._awake.set()

    async def wait_processed(self, seconds: float) -> None:
        """Return when deliveries were processed here, or after so long."""
        try:
            async with asyncio.timeout(seconds), self._processed:
                await self._processed.wait()
        except TimeoutError:
            pass

    # -- real time

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``; then let the attempts under way end."""
        pumps: list[Awaitable[None]] = [
            self._pump(_INBOX, self._work_inbox),
            *(self._pump(kind, partial(self._work_jobs, kind)) for kind in ASK),
            *(self._pump(kind, partial(self._watch, kind)) for kind in KINDS),
            self._pump(Kind.RECONSIDER, self._reconsider),
            self._pump(Kind.SWEEP, lambda: self._thread(self._sweeper.work, self._clock())),
            self._pump(Kind.NOTIFY, self._begin_sendings),
            self._pump(Kind.CALENDAR, self._read_calendars),
            self._pump(Kind.MAIL, self._post_letters),
            *(self._pump(kind, partial(self._set_out, kind)) for kind in self._outings),
            self._record_forever(),
            self._pulse(),
        ]
        tasks = [asyncio.ensure_future(pump) for pump in pumps]
        stopping = asyncio.create_task(stop.wait())
        # A pump ends only by a bug. A worker with a part missing must not look alive: the process
        # ends with the error, and whatever keeps it running starts it anew.
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What was leased is sent, and what was sent is written down: nobody waits for the lease.
        if self._unbroken:
            await asyncio.wait(self._unbroken, timeout=DEADLINE.total_seconds())
        if under_way := self._sending | self._out:
            await asyncio.wait(under_way, timeout=DEADLINE.total_seconds())
        await self._record()
        self.close()
        for task in tasks:
            if task in done:
                task.result()

    async def _thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    async def _whole(self, work: Coroutine[None, None, T]) -> T:
        """Do it to its end, though whoever waits for it be cancelled meanwhile."""
        task = asyncio.create_task(work)
        self._unbroken.add(task)
        task.add_done_callback(self._unbroken.discard)
        return await asyncio.shield(task)

    async def _pulse(self) -> None:
        """See what is due, and let the pump it concerns run."""
        pause = _PAUSE[0]
        while True:
            try:
                for name in await self._thread(self._look, self._clock()):
                    self._due[name].set()
                self.ticked_at = self._clock()
                pause = _PAUSE[0]
            except Exception as error:  # noqa: BLE001 - the database may be away; it will be back
                log.warning("cannot see what is due", error=_line(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _PAUSE[1])
            await asyncio.sleep(_BUSY_AT_MOST if self._is_busy() else _AT_MOST)
            try:
                async with asyncio.timeout(_POLL.total_seconds()):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()

    def _look(self, now: datetime) -> list[str]:
        with self._database.read() as connection:
            due: list[str] = list(jobs.due_kinds(connection, now))
            return [*due, _INBOX] if inbox.is_waiting(connection) else due

    async def _pump(self, name: str, work: Callable[[], Awaitable[int]]) -> None:
        """Whenever something is due, work until nothing is."""
        pause = _PAUSE[0]
        while True:
            await self._due[name].wait()
            self._due[name].clear()
            try:
                while await self._timed(work):
                    pass
                pause = _PAUSE[0]
            except Exception as error:  # noqa: BLE001 - one failure must not stop the pump
                log.warning("work failed", work=name, error=_line(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _PAUSE[1])

    @property
    def _batch(self) -> int:
        return _BUSY_BATCH if self._is_busy() else _BATCH

    async def _timed(self, work: Callable[[], Awaitable[int]]) -> int:
        """Work once, and leave room for what comes in."""
        began = time.monotonic()
        done = await work()
        if done and self._is_busy():
            took = time.monotonic() - began
            await asyncio.sleep(min(took * _BUSY_PAUSE, _LONGEST_PAUSE))
        return done

    async def _work_inbox(self) -> int:
        done = await self._thread(self._inbox.work, self._clock(), self._batch)
        if done:
            self._due[Kind.ESCALATE].set()
            self._due[Kind.NOTIFY].set()
            async with self._processed:
                self._processed.notify_all()
        return done

    async def _work_jobs(self, kind: Kind) -> int:
        done = await self._thread(self._clockwork.work, kind, self._clock(), self._batch)
        if done:
            self._due[Kind.NOTIFY].set()
            if kind is not Kind.ESCALATE:
                self._due[Kind.ESCALATE].set()
        return done

    async def _watch(self, kind: Kind) -> int:
        done = await self._thread(self._watchman.work, kind, self._clock())
        if done:
            self._due[Kind.NOTIFY].set()
        return done

    async def _reconsider(self) -> int:
        done = await self._thread(self._clockwork.reconsider, self._clock())
        if done:
            self._due[Kind.ESCALATE].set()
            self._due[Kind.RELEASE].set()
            self._due[Kind.CALENDAR].set()
        return done

    async def _begin_sendings(self) -> int:
        free = _SENDINGS - len(self._sending)
        if free <= 0:
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            return 1
        return await self._whole(self._begin(min(free, _LEASED)))

    async def _begin(self, limit: int) -> int:
        claimed_at = time.monotonic()
        begun = await self._thread(self._outbox.begin, self._clock(), limit)
        for sending in begun:
            task = asyncio.create_task(self._send_one(sending, claimed_at))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return len(begun)

    async def _send_one(self, sending: Sending, claimed_at: float) -> None:
        if time.monotonic() - claimed_at > (LEASE - DEADLINE).total_seconds():
            # This process stood still: before the attempt ends, somebody else makes it.
            log.warning("too late to send", notification=sending.message.id)
            return
        sent = await self._attempt(sending)
        self._made.append(sent)
        self._made_some.set()

    async def _attempt(self, sending: Sending) -> Sent:
        """Make one attempt within the deadline, whatever the channel does."""
        method = sending.method
        report = await self._send(method.channel, sending.message, method.address, method.secret)
        log.info(
            "attempt",
            notification=sending.message.id,
            channel=method.channel,
            attempt=sending.attempt,
            outcome=report.outcome.value,
            detail=report.detail,
        )
        sent = Sent(sending=sending, report=report, at=self._clock())
        self._observe(sent)
        return sent

    async def _send(self, name: str, message: Message, address: str, secret: str | None) -> Report:
        """Hand a message over, and say how that went."""
        channel = self._channels.get(name)
        try:
            if channel is None:
                return Report(outcome=Outcome.REFUSED, detail=f"no channel {name}")
            async with asyncio.timeout(DEADLINE.total_seconds()):
                return await channel.send(message, address, secret)
        except TimeoutError:
            return Report(
                outcome=Outcome.RETRY, detail=f"no end within {DEADLINE.total_seconds():.0f} s"
            )
        except Exception as error:
            log.exception("channel failed", channel=name)
            return Report(outcome=Outcome.RETRY, detail=type(error).__name__)

    async def _post_letters(self) -> int:
        postings = await self._thread(self._postman.begin, self._clock())
        made = [(one, await self._post(one)) for one in postings]
        await self._thread(self._postman.finish, made, self._clock())
        return len(postings)

    async def _post(self, one: Posting) -> Report:
        report = await self._send("email", one.message, one.address, None)
        log.info("mail", link=one.link_id, outcome=report.outcome.value, detail=report.detail)
        return report

    async def _read_calendars(self) -> int:
        errands = await self._thread(self._librarian.begin, self._clock())
        done = await asyncio.gather(*map(self._run_errand, errands))
        await self._thread(self._librarian.finish, done, self._clock())
        return len(errands)

    async def _run_errand(self, errand: Errand) -> Result:
        """Get a calendar and work it out, each in bounded time."""
        events, etag, error = None, errand.etag, None
        try:
            fetched = await self._fetch(errand.url, errand.etag, MAX_BYTES)
            if fetched.body is not None:
                async with self._reading:
                    events = await self._expand(fetched.body, self._clock())
                etag = fetched.etag
        except (Unfetched, Unreadable) as reason:
            error = str(reason)
        except Exception as reason:
            log.exception("reading a calendar failed")
            error = f"something went wrong here ({type(reason).__name__}); it is in the log"
        log.info("calendar", events=None if events is None else len(events), error=error)
        return Result(errand=errand, events=events, etag=etag, error=error)

    async def _set_out(self, kind: Kind) -> int:
        """Begin what is due; each goes its own way, so that none waits for another."""
        outing = self._outings[kind]
        begun = await self._thread(outing.begin, self._clock())
        for one in begun:
            task = asyncio.create_task(self._go(outing, one))
            self._out.add(task)
            task.add_done_callback(self._out.discard)
        return len(begun)

    async def _go(self, outing: Outing, one: Any) -> None:
        try:
            done = await outing.go(one)
            await self._thread(outing.finish, one, done, self._clock())
        except Exception as error:  # noqa: BLE001 - its lease ends, and it is due again
            log.warning("work failed", work=outing.kind.value, error=_line(error))
            return
        self._due[_INBOX].set()

    async def _record_forever(self) -> None:
        while True:
            await self._made_some.wait()
            self._made_some.clear()
            await self._record()

    async def _record(self) -> None:
        """Write down the attempts made so far, as one group; keep them if that fails."""
        made, self._made = self._made, []
        if made:
            await self._whole(self._write_down(made))

    async def _write_down(self, made: list[Sent]) -> None:
        try:
            await self._thread(self._outbox.finish, made)
        except Exception as error:  # noqa: BLE001 - kept, and tried again with the next ones
            log.warning("cannot record attempts", count=len(made), error=_line(error))
            self._made = made + self._made
            await asyncio.sleep(_PAUSE[0])
            self._made_some.set()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    # -- pretended time

    async def run_due(self) -> None:
        """Do all that is due by the clock, and what follows from it, until nothing is."""
        while await self._round(self._clock()):
            pass

    async def _round(self, now: datetime) -> int:
        """Do what is due, one kind after the other; return how much it was."""
        done, due = 0, self._look(now)
        for name, work in self._in_turn(now):
            if name in due and (count := await work()):
                done += count
                due = self._look(now)
        return done

    def _in_turn(self, now: datetime) -> list[tuple[str, Callable[[], Awaitable[int]]]]:
        def at_once(function: Callable[..., int], *args: object) -> Callable[[], Awaitable[int]]:
            async def work() -> int:
                return function(*args)

            return work

        async def send() -> int:
            sendings = self._outbox.begin(now, _LEASED)
            self._outbox.finish([await self._attempt(sending) for sending in sendings])
            return len(sendings)

        async def read() -> int:
            errands = self._librarian.begin(now)
            self._librarian.finish([await self._run_errand(one) for one in errands], now)
            return len(errands)

        async def post() -> int:
            postings = self._postman.begin(now)
            self._postman.finish([(one, await self._post(one)) for one in postings], now)
            return len(postings)

        def out(outing: Outing) -> Callable[[], Awaitable[int]]:
            async def work() -> int:
                begun = outing.begin(now)
                for one in begun:
                    outing.finish(one, await outing.go(one), self._clock())
                return len(begun)

            return work

        return [
            (_INBOX, at_once(self._inbox.work, now)),
            (Kind.RECONSIDER, at_once(self._clockwork.reconsider, now)),
            *((kind, at_once(self._clockwork.work, kind, now)) for kind in ASK),
            *((kind, at_once(self._watchman.work, kind, now)) for kind in KINDS),
            (Kind.NOTIFY, send),
            (Kind.CALENDAR, read),
            (Kind.MAIL, post),
            *((kind, out(outing)) for kind, outing in self._outings.items()),
        ]


def _line(error: Exception) -> str:
    """Name an error in one line; the rest of a driver's message may quote the data."""
    said = str(error).splitlines()
    return f"{type(error).__name__}: {said[0] if said else ''}"[:300]


@dataclass(frozen=True, slots=True)
class Outing:
    """Work that calls out: begun in a transaction, done outside of any, finished in another."""

    kind: Kind
    begin: Callable[[datetime], Sequence[Any]]
    go: Callable[[Any], Awaitable[Any]]
    finish: Callable[[Any, Any, datetime], None]


def no_sentry(place: Place) -> Sentry:
    """Be the way to Sentry of a process that has none."""
    raise Unreachable(f"this process asks nothing of {place.host}")


def sentry_outings(
    mirror: Mirror, reconciler: Reconciler, to: ToSentry, clock: Callable[[], datetime]
) -> tuple[Outing, ...]:
    """Return what is done in Sentry, and what it is asked."""

    async def act(batch: Batch) -> list[Done]:
        results: list[Done] = []
        began = time.monotonic()
        for order in batch.orders:
            if time.monotonic() - began > BEGIN_WITHIN.total_seconds():
                break
            done = await perform(lambda: to(batch.place), order, clock())
            results.append(done)
            log.info(
                "sentry",
                task=order.task.id,
                act=order.task.act.value,
                verdict=done.verdict.value,
                failed=done.has_failed,
                why=done.why,
            )
            if done.is_everywhere:
                break
        return results

    async def ask(question: Question) -> Seen:
        async def recall(ids: Sequence[str]) -> Mapping[str, Known]:
            return await asyncio.to_thread(reconciler.recall, question, ids)

        seen = await look(lambda: to(question.place), question.look, recall)
        log.info(
            "asked sentry",
            connection=question.connection_id,
            missed=len(seen.missed),
            over=len(seen.over),
            error=seen.error,
        )
        return seen

    return (
        Outing(Kind.SENTRY, mirror.begin, act, mirror.finish),
        Outing(Kind.RECONCILE, reconciler.begin, ask, reconciler.finish),
    )


async def fetch_nothing(_url: str, _etag: str | None, _max_bytes: int) -> Fetched:
    """Be the way out of a process that has none."""
    raise Unfetched("this process gets nothing from outside")


def build_worker(
    database: Database,
    plans: PlansCache,
    vault: Vault,
    dialects: Mapping[str, Dialect],
    channels: Mapping[str, Channel],
    *,
    kinds: Mapping[str, ChannelKind] = REGISTRY,
    public_url: str,
    retention: timedelta,
    clock: Callable[[], datetime],
    observe: Callable[[Sent], None] = lambda _sent: None,
    fetch: Fetch = fetch_nothing,
    expand: Expand = read_boxed,
    to_sentry: ToSentry = no_sentry,
) -> Worker:
    """Connect a worker's parts; ``kinds`` says how each channel is to be treated."""
    mirror = Mirror(database, plans, vault, public_url)
    reconciler = Reconciler(database, plans, vault, dialects)
    return Worker(
        database=database,
        inbox_=Inbox(database, plans, dialects),
        clockwork=Clockwork(database, plans),
        outbox=Outbox(database, plans, vault, public_url, kinds),
        sweeper=Sweeper(database, retention),
        watchman=Watchman(database, plans),
        librarian=Librarian(database),
        postman=Postman(database, plans, vault, public_url),
        channels=channels,
        fetch=fetch,
        expand=expand,
        outings=sentry_outings(mirror, reconciler, to_sentry, clock),
        clock=clock,
        observe=observe,
    )
