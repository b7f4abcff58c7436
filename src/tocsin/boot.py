"""Build and connect things: settings in, a program out. Nothing else does that."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import importlib
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

import msgspec
import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tocsin.config import BadSetting, Settings
from tocsin.store import migrations
from tocsin.store.bell import Listener, Ringer
from tocsin.store.clock import DatabaseClock
from tocsin.store.db import Database
from tocsin.store.kept import KeptKeys
from tocsin.store.plans import PlansCache
from tocsin.store.room import Room
from tocsin.store.spool import SPOOL, Spool
from tocsin.store.vault import Vault, new_secret_key

if TYPE_CHECKING:
    import httpx2

    from tocsin.auditor import Senses
    from tocsin.core.dialect import Dialect
    from tocsin.sentry.client import Place, Sentry
    from tocsin.web.app import Shelter, Web, WorkerHints
    from tocsin.web.metrics import Metrics
    from tocsin.work.connect import Ask
    from tocsin.worker import Worker

T = TypeVar("T")
log = structlog.get_logger("boot")


#: For all that waits for the database: those who sign in must not take the last of them.
_THREADS = 24

#: Python's own is 5 ms, which the loop would wait for the interpreter at every turn.
_SWITCH_SECONDS = 0.001


#: Between two looks at the clock of the database.
_CLOCK_SECONDS = 5.0

#: Between two looks for a database that was away when the process began.
_AGAIN_SECONDS = 1.0


class AlreadyServed(Exception):
    """Another process serves this SQLite database."""


def now() -> datetime:
    """Read the clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The database, opened and at head."""

    settings: Settings
    database: Database
    vault: Vault
    plans: PlansCache
    kept: KeptKeys
    #: Not so while the database is away and only webhooks are taken.
    is_there: bool = True

    def close(self) -> None:
        """Close every connection."""
        self.database.close()


def open_store(settings: Settings, *, serves: bool = False, takes: bool = False) -> Store:
    """Open the database and bring its schema to head.

    Whoever ``takes`` webhooks does without a PostgreSQL that is away, if it knows the routing keys
    from before.

    Raises BadSetting, store.vault.WrongKeys, store.migrations.NewerSchema, or the driver's error.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    vault = _vault(settings)
    database = Database(settings.database_url, checkpoints=serves)
    plans, kept = PlansCache(database, vault), KeptKeys(settings.data_dir / "kept-keys", vault)
    is_there = True
    try:
        migrations.migrate(database, vault)
    except OperationalError as error:
        if database.is_sqlite or not takes or not plans.recall(kept):
            raise
        is_there = False
        log.warning("the database is away: webhooks are taken all the same", error=str(error.orig))
    return Store(
        settings=settings,
        database=database,
        vault=vault,
        plans=plans,
        kept=kept,
        is_there=is_there,
    )


def known_vault(settings: Settings) -> Vault:
    """Return the vault of the keys that are there: none are made. Raises BadSetting."""
    path = settings.data_dir / "secret-keys"
    if not settings.secret_keys and not path.exists():
        raise BadSetting(
            "there are no secret keys: set TOCSIN_SECRET_KEYS to those the database was made with,"
            f" or put the file secret-keys of its data folder here: {path}"
        )
    return _vault(settings)


def _vault(settings: Settings) -> Vault:
    keys = settings.secret_keys or _generated_keys(settings.data_dir / "secret-keys")
    try:
        return Vault(keys)
    except ValueError:
        raise BadSetting(
            "TOCSIN_SECRET_KEYS: a key is 32 bytes in URL-safe base64;"
            " make one with `tocsin config new-key`"
        ) from None


def _generated_keys(path: Path) -> Sequence[str]:
    """Read the key file, making it on first use: readable by its owner only, from the start."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return [line for line in path.read_text("ascii").split() if line]
    with os.fdopen(descriptor, "w") as file:
        file.write(new_secret_key() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path.read_text("ascii").split()


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[None]:
    """Be the one process that serves an SQLite database. Raises AlreadyServed."""
    if not settings.database_url.startswith("sqlite:"):
        yield
        return
    path = Path(settings.database_url.removeprefix("sqlite:///") + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        _lock(file, path)
        yield


def _lock(file: TextIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AlreadyServed(
            f"another tocsin serves this database ({path}): stop it, choose another"
            " TOCSIN_DATA_DIR, or use PostgreSQL for more than one process"
        ) from None


@dataclass(frozen=True, slots=True)
class Parts:
    """Which halves of the program run."""

    web: bool = True
    worker: bool = True


async def serve(
    store: Store,
    parts: Parts,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    *,
    clock: Callable[[], datetime] | None = None,
) -> None:
    """Run the server and the worker until ``stop``, by a clock: the database's if none is given."""
    # Slow to import, and of no use to a command that only talks to the database.
    from tocsin.auditor import Auditor  # noqa: PLC0415
    from tocsin.channels.base import Outside, make_channels  # noqa: PLC0415
    from tocsin.channels.guard import Guard, guarded_client  # noqa: PLC0415
    from tocsin.dialects import load_all  # noqa: PLC0415
    from tocsin.sentry.client import Lines  # noqa: PLC0415
    from tocsin.web.metrics import Metrics  # noqa: PLC0415
    from tocsin.web.server import run_server  # noqa: PLC0415
    from tocsin.work.oversight import Oversight  # noqa: PLC0415
    from tocsin.worker import build_worker  # noqa: PLC0415

    know_shapes("tocsin.web.app" if parts.web else "tocsin.worker")
    # Threads that compute hand over sooner: the loop that answers webhooks is one among them.
    sys.setswitchinterval(_SWITCH_SECONDS)
    settings = store.settings
    dialects, metrics = load_all(), Metrics()
    guard = Guard(settings.outbound_allow)
    async with guarded_client(guard) as http, AsyncExitStack() as away:
        public, lines, opened = settings.public_url, Lines(http), asyncio.Event()
        outside = Outside(guard=guard, http=http, smtp_url=settings.smtp_url, public_url=public)
        clock = clock or await _clock(store, stop)
        if store.is_there:
            _arm(store, clock())
            opened.set()
        channels = make_channels(outside)
        worker = build_worker(
            store.database, store.plans, store.vault, dialects, channels,
            public_url=public,
            retention=settings.retention,
            clock=clock,
            observe=metrics.attempted,
            fetch=outside.fetch,
            to_sentry=lines.to,
        )  # fmt: skip
        room = _room(store)
        senses = _senses(settings, worker if parts.worker else None, room, http, clock)
        auditor = Auditor(Oversight(store.database, store.plans), channels, senses)
        begun = _begin(store, worker if parts.worker else None, opened, stop, clock)
        running = asyncio.gather(begun, auditor.run(stop))
        ring = away.enter_context(_bell(store, parts, worker.wake))
        if parts.web:
            hints = _hints(worker) if parts.worker else None
            shelter = _shelter(store, opened, room)
            web = _web(store, dialects, hints, metrics, shelter, clock, ring, lines.to)
            worker.yield_to(web.is_busy)
            await run_server(web, settings.listen, stop, ready, web.part)
            await web.close()
        elif ready is not None:
            ready.set()
        await asyncio.gather(stop.wait(), running)


def know_shapes(*modules: str) -> None:
    """Let msgspec look at every type that was imported, with these, while nobody else does.

    It looks at a type when it first reads one, and unfinished at that it is seen by other threads:
    two that are the first at once end the process (msgspec 0.22, a segmentation fault).
    """
    from tocsin.core.repeats import Repeats  # noqa: PLC0415
    from tocsin.core.sentry import Switches  # noqa: PLC0415

    for name in modules:
        importlib.import_module(name)
    for shape in (*_structs(msgspec.Struct), Repeats, Switches):
        if shape.__module__.startswith("tocsin."):
            msgspec.json.Decoder(shape)


def _structs(kind: type) -> Iterator[type]:
    one: type
    for one in kind.__subclasses__():
        yield one
        yield from _structs(one)


async def _clock(store: Store, stop: asyncio.Event) -> Callable[[], datetime]:
    """Return the one clock of all servers of a PostgreSQL; an SQLite file has one server."""
    if store.database.is_sqlite:
        return now
    clock = DatabaseClock(store.database, now)
    if store.is_there:
        await asyncio.to_thread(clock.look)

    async def look() -> None:
        while not stop.is_set():
            with contextlib.suppress(Exception):
                await asyncio.to_thread(clock.look)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _CLOCK_SECONDS)

    _looking.add(task := asyncio.create_task(look()))
    task.add_done_callback(_looking.discard)
    return clock


#: Tasks that somebody must know, or they are garbage.
_looking: set[asyncio.Task[None]] = set()


async def _begin(
    store: Store,
    worker: Worker | None,
    opened: asyncio.Event,
    stop: asyncio.Event,
    clock: Callable[[], datetime],
) -> None:
    """Work, as soon as the database is there."""
    try:
        while not opened.is_set() and not stop.is_set():
            try:
                await asyncio.to_thread(_open, store, clock)
            except OperationalError:
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                opened.set()
                log.info("the database is there")
    except BaseException:
        stop.set()
        raise
    if worker is not None and opened.is_set():
        await worker.run(stop)


def _open(store: Store, clock: Callable[[], datetime]) -> None:
    migrations.migrate(store.database, store.vault)
    _arm(store, clock())
    store.plans.refresh()


def _room(store: Store) -> Room:
    """Return the disk to look after: that of the SQLite file, or of the spool."""
    url = store.settings.database_url
    is_sqlite = store.database.is_sqlite
    return Room(
        Path(url.removeprefix("sqlite:///")).parent if is_sqlite else store.settings.data_dir
    )


def _senses(
    settings: Settings,
    worker: Worker | None,
    room: Room,
    http: httpx2.AsyncClient,
    clock: Callable[[], datetime],
) -> Senses:
    from tocsin.auditor import Senses  # noqa: PLC0415
    from tocsin.channels.heartbeat import beat  # noqa: PLC0415

    url = settings.heartbeat_url
    return Senses(
        clock=clock,
        ticked_at=lambda: worker.ticked_at if worker is not None else None,
        has_worker=worker is not None,
        room=room,
        beat=partial(beat, http, url) if url else None,
    )


def _shelter(store: Store, opened: asyncio.Event, room: Room) -> Shelter:
    """Return what webhooks are kept in while PostgreSQL is away."""
    from tocsin.web.app import Shelter  # noqa: PLC0415

    if store.database.is_sqlite:
        return Shelter(room=room)
    spool = None
    try:
        spool = Spool(store.settings.data_dir / SPOOL, store.settings.spool_size)
    except (OSError, sqlite3.Error) as error:
        log.error("there is no spool", error=f"{type(error).__name__}: {error}"[:300])  # noqa: TRY400
    return Shelter(spool=spool, kept=store.kept, is_open=opened.is_set)


def _web(
    store: Store,
    dialects: Mapping[str, Dialect],
    hints: WorkerHints | None,
    metrics: Metrics,
    shelter: Shelter,
    clock: Callable[[], datetime],
    ring: Callable[[], None],
    to_sentry: Callable[[Place], Sentry],
) -> Web:
    from tocsin.web.app import Web  # noqa: PLC0415

    settings = store.settings
    return Web(
        store.database,
        store.plans,
        store.vault,
        dialects,
        hints,
        metrics,
        max_body=settings.max_body,
        clock=clock,
        public_url=settings.public_url,
        trusted_proxies=settings.trusted_proxies,
        has_mail=settings.smtp_url is not None,
        data_dir=settings.data_dir,
        shelter=shelter,
        ring=ring,
        to_sentry=to_sentry,
    )


def _hints(worker: Worker) -> WorkerHints:
    from tocsin.web.app import WorkerHints  # noqa: PLC0415

    return WorkerHints(
        wake=worker.wake,
        wait_processed=worker.wait_processed,
        ticked_at=lambda: worker.ticked_at,
    )


@contextmanager
def _bell(store: Store, parts: Parts, wake: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Wake this process's worker by what others take in; give what wakes those of others."""
    ringer: Ringer | None = None
    listener: Listener | None = None
    loop = asyncio.get_running_loop()

    def heard() -> None:
        loop.call_soon_threadsafe(wake)

    if not store.database.is_sqlite:
        if parts.worker:
            url = store.settings.database_direct_url or store.settings.database_url
            listener = Listener(url, heard)
        else:
            ringer = Ringer(store.database)
    try:
        yield ringer.ring if ringer else lambda: None
    finally:
        for one in (ringer, listener):
            if one is not None:
                one.close()


def _arm(store: Store, at: datetime) -> None:
    """Let the recurring work be due, in a database where it is not, and know the plans."""
    from tocsin.work import reconcile, sweep, watch  # noqa: PLC0415

    store.database.run(lambda connection: reconcile.arm(connection, at, at_once=True))
    store.database.run(lambda connection: sweep.arm(connection, at))
    store.database.run(lambda connection: watch.arm(connection, at))
    store.plans.refresh()


@contextmanager
def sentry_asker(settings: Settings) -> Iterator[Ask]:
    """Give what asks Sentry from a command, which has no loop of its own."""
    from tocsin.channels.guard import Guard, guarded_client  # noqa: PLC0415 - slow to import
    from tocsin.sentry.client import Lines  # noqa: PLC0415

    with asyncio.Runner() as runner:
        http = guarded_client(Guard(settings.outbound_allow))
        lines = Lines(http)

        def ask(place: Place, work: Callable[[Sentry], Awaitable[T]]) -> T:
            async def go() -> T:
                return await work(lines.to(place))

            return runner.run(go())

        try:
            yield ask
        finally:
            runner.run(http.aclose())


async def run(store: Store, parts: Parts) -> None:
    """Serve until a signal says to stop; then end in good order. Raises web.server.CannotListen."""
    # Nothing that a start makes is garbage: looking for it takes a third of the start.
    gc.disable()
    if parts.web:
        from tocsin.web.server import check_listen  # noqa: PLC0415 - slow to import

        check_listen(store.settings.listen)
    stop, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "tocsin"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving_it = asyncio.create_task(serve(store, parts, stop, ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({serving_it, waiting}, return_when=asyncio.FIRST_COMPLETED)
    # And all of it stays: later looks leave it out, which would each hold up webhooks for long.
    gc.freeze()
    gc.enable()
    if ready.is_set():
        if parts.web and store.is_there:
            await asyncio.to_thread(_say_how_to_begin, store)
        kind = "SQLite" if store.database.is_sqlite else "PostgreSQL"
        log.info("ready", url=store.settings.public_url, database=kind)
    await serving_it


def _say_how_to_begin(store: Store) -> None:
    """Print the link by which the first owner is made, while there is none who can sign in.

    It goes to standard output and not to the log, which may be kept where others read it.
    """
    from tocsin.work.accounts import Accounts  # noqa: PLC0415 - slow to import

    try:
        key = Accounts(store.database, store.plans, store.vault).setup_link(now())
    except SQLAlchemyError as error:
        # The database went away just now: that is no reason to take no webhooks.
        log.warning("no link to set up: start again for one", error=type(error).__name__)
        return
    if key is not None:
        # Whoever reads it may be gone, or the disk full: that stops nobody from being paged.
        with contextlib.suppress(OSError):
            sys.stdout.write(
                "\nNobody can sign in yet. Open this link to set Tocsin up; it is good once, for 24"
                f" hours:\n\n    {store.settings.public_url}/setup/{key}\n\n"
            )
            sys.stdout.flush()


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
