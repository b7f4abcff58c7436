"""Build and connect things: settings in, a program out. Nothing else does that."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

import structlog

from tocsin.config import BadSetting, Settings
from tocsin.store import migrations
from tocsin.store.bell import Listener, Ringer
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault, new_secret_key

if TYPE_CHECKING:
    from tocsin.web.app import WorkerHints
    from tocsin.work.connect import Ask
    from tocsin.worker import Worker

T = TypeVar("T")
log = structlog.get_logger("boot")


#: For all that waits for the database: those who sign in must not take the last of them.
_THREADS = 24

#: Python's own is 5 ms, which the loop would wait for the interpreter at every turn.
_SWITCH_SECONDS = 0.001


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

    def close(self) -> None:
        """Close every connection."""
        self.database.close()


def open_store(settings: Settings, *, serves: bool = False) -> Store:
    """Open the database and bring its schema to head.

    Raises BadSetting, store.vault.WrongKeys, store.migrations.NewerSchema, or the driver's error.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    vault = _vault(settings)
    database = Database(settings.database_url, checkpoints=serves)
    migrations.migrate(database, vault)
    return Store(
        settings=settings, database=database, vault=vault, plans=PlansCache(database, vault)
    )


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


@contextmanager
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
    clock: Callable[[], datetime] = now,
) -> None:
    """Run the server and the worker until ``stop``, by a clock."""
    # Slow to import, and of no use to a command that only talks to the database.
    from tocsin.channels.base import Outside, make_channels  # noqa: PLC0415
    from tocsin.channels.guard import Guard, guarded_client  # noqa: PLC0415
    from tocsin.dialects import load_all  # noqa: PLC0415
    from tocsin.sentry.client import Lines  # noqa: PLC0415
    from tocsin.web.app import Web  # noqa: PLC0415
    from tocsin.web.metrics import Metrics  # noqa: PLC0415
    from tocsin.web.server import run_server  # noqa: PLC0415
    from tocsin.worker import build_worker  # noqa: PLC0415

    # Threads that compute hand over sooner: the loop that answers webhooks is one among them.
    sys.setswitchinterval(_SWITCH_SECONDS)
    settings = store.settings
    dialects, metrics = load_all(), Metrics()
    guard = Guard(settings.outbound_allow)
    async with guarded_client(guard) as http, AsyncExitStack() as away:
        outside = Outside(
            guard=guard, http=http, smtp_url=settings.smtp_url, public_url=settings.public_url
        )
        lines = Lines(http)
        _arm(store, clock())
        worker = build_worker(
            store.database, store.plans, store.vault, dialects, make_channels(outside),
            public_url=settings.public_url,
            retention=settings.retention,
            clock=clock,
            observe=metrics.attempted,
            fetch=outside.fetch,
            to_sentry=lines.to,
        )  # fmt: skip
        running = [asyncio.create_task(worker.run(stop))] if parts.worker else []
        ring = away.enter_context(_bell(store, parts, worker.wake))
        if parts.web:
            web = Web(
                store.database, store.plans, store.vault, dialects,
                _hints(worker) if parts.worker else None, metrics,
                max_body=settings.max_body,
                clock=clock,
                public_url=settings.public_url,
                trusted_proxies=settings.trusted_proxies,
                has_mail=settings.smtp_url is not None,
                data_dir=settings.data_dir,
                ring=ring, to_sentry=lines.to,
            )  # fmt: skip
            worker.yield_to(web.is_busy)
            await run_server(web, settings.listen, stop, ready, web.part)
            await web.close()
        elif ready is not None:
            ready.set()
        await asyncio.gather(stop.wait(), *running)


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
    from tocsin.sentry.client import Lines, Place, Sentry  # noqa: PLC0415

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
        if parts.web:
            await asyncio.to_thread(_say_how_to_begin, store)
        kind = "SQLite" if store.database.is_sqlite else "PostgreSQL"
        log.info("ready", url=store.settings.public_url, database=kind)
    await serving_it


def _say_how_to_begin(store: Store) -> None:
    """Print the link by which the first owner is made, while there is none who can sign in.

    It goes to standard output and not to the log, which may be kept where others read it.
    """
    from tocsin.work.accounts import Accounts  # noqa: PLC0415 - slow to import

    key = Accounts(store.database, store.plans, store.vault).setup_link(now())
    if key is not None:
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
