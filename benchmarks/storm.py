"""What a storm costs from end to end: accepted, understood, an incident, a page queued.

make bench                  (scaled down)
make bench-full             (a minute of each)

Webhooks are signed and of 2.6 kB; the generator shares the machine. A row counts until nothing
waits any more, so that its processor time is that of the whole way. Pages are queued for an hour
later: how fast they go out is what the benchmark of the on-call engine measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select

from benchmarks.figures import Figure, report
from benchmarks.intake import (
    BODY_BYTES,
    KEY,
    SECRET,
    backends,
    cpu_seconds,
    fresh,
    postgres,
    serving,
)
from benchmarks.pages import resident
from tocsin.boot import free_port
from tocsin.sentry.sender import Issue, encode, webhook
from tocsin.store import inbox
from tocsin.store.db import Database
from tocsin.store.tables import alerts, incidents, notifications

IS_FULL = os.environ.get("BENCH_FULL") == "1"
SECONDS = 60 if IS_FULL else 4
CONNECTIONS = 32
#: A storm of one issue ends after so many.
REPEATS = 100_000 if IS_FULL else 10_000

CONFIGURATION = f"""
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {{name: hook, channel: webhook, address: "http://127.0.0.1:9/nobody"}}
    notification_rules: [{{urgency: high, after: 1h, contact_method: hook}}]
escalation_policies:
  - {{name: default, steps: [{{targets: [{{user: ann@example.com}}], wait: 1h}}]}}
services: [{{name: checkout, escalation_policy: default}}]
integrations:
  - {{name: sentry, service: checkout, routing_key: {KEY}, signing_secrets: [{SECRET}]}}
"""


class Sent(msgspec.Struct):
    """What a generator sent; latencies in milliseconds."""

    accepted: int
    refused: int
    seconds: float
    p50: float
    p99: float
    max: float


def template() -> tuple[bytes, bytes]:
    """Return a webhook's body in two halves; the issue's id goes between."""
    mark = "4711000000"
    body = json.loads(webhook("issue", "created", Issue(id=mark)).body)
    issue = body["data"]["issue"]
    issue["shortId"], issue["permalink"], issue["web_url"] = "BACKEND-1", "", ""
    fill = BODY_BYTES - len(encode(body)) - len(',"padding":""')
    issue["padding"] = "0" * fill
    first, _, second = encode(body).partition(mark.encode())
    return first, second


async def _generate(port: int, rate: int, count: int, issues: int, first: int) -> Sent:
    """Send ``count`` webhooks of issues from ``first`` on in turn, at a rate; 0 is all it can."""
    before, after = template()
    latencies: list[float] = []
    refused = 0
    numbers = iter(range(count))
    began = time.perf_counter()

    async def client() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = began + number / rate if rate else 0.0
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            body = b"%b%d%b" % (before, 4711000000 + first + number % issues, after)
            signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
            sent = due or time.perf_counter()
            writer.write(
                b"POST /in/%b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Sentry-Hook-Resource: issue\r\nSentry-Hook-Signature: %b\r\n"
                b"Request-ID: %b\r\nContent-Length: %d\r\n\r\n%b"
                % (KEY.encode(), signature.encode(), uuid.uuid4().hex.encode(), len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].split(b"\r")[0]
            await reader.readexactly(int(length))
            refused += head[9:10] != b"2"
            # From when it was due: a server that stalls must not make the generator wait unseen.
            latencies.append((time.perf_counter() - sent) * 1000)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    took = time.perf_counter() - began
    latencies.sort()
    return Sent(
        accepted=len(latencies) - refused,
        refused=refused,
        seconds=took,
        p50=latencies[len(latencies) // 2],
        p99=latencies[int(len(latencies) * 0.99)],
        max=latencies[-1],
    )


def send(port: int, rate: int, count: int, issues: int, first: int = 0) -> Sent:
    """Send webhooks from a process of its own."""
    numbers = map(str, (port, rate, count, issues, first))
    command = [sys.executable, "-m", "benchmarks.storm", *numbers]
    done = subprocess.run(command, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=Sent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of one storm."""

    sent: Sent
    #: Seconds from the last answer until nothing waited any more.
    drained: float
    cpu_ms: float
    incidents: int
    pages: int
    occurrences: int
    resident_mb: float

    @property
    def per_second(self) -> float:
        """Webhooks accepted and processed per second, from the first to when nothing waited."""
        return self.sent.accepted / (self.sent.seconds + self.drained)


@contextlib.contextmanager
def _opened(folder: Path, url: str | None) -> Iterator[Database]:
    database = Database(url or f"sqlite:///{folder / 'tocsin.db'}")
    yield database
    database.close()


def storm(folder: Path, url: str | None, rate: int, count: int, issues: int) -> Run:
    """Send a storm at a server, and wait until it is worked off."""
    with (
        serving(folder, url, configuration=CONFIGURATION) as (port, pid),
        _opened(folder, url) as database,
    ):
        send(port, 200, 200, 1)  # warm; of one issue that the storm has too
        until_drained(database, 1)
        before = cpu_seconds([pid, *backends(url)])
        sent = send(port, rate, count, issues)
        drained = until_drained(database, issues)
        cpu = cpu_seconds([pid, *backends(url)]) - before
        with database.read() as connection:
            counts = [
                connection.scalar(select(func.count()).select_from(table)) or 0
                for table in (incidents, notifications)
            ]
            seen = connection.scalar(select(func.sum(alerts.c.occurrence_count))) or 0
        size = resident(pid) / 2**20
    return Run(sent=sent, drained=drained, cpu_ms=cpu * 1000 / sent.accepted, incidents=counts[0],
               pages=counts[1], occurrences=int(seen) - 200, resident_mb=size)  # fmt: skip


def until_drained(database: Database, pages: int = 0) -> float:
    """Wait until nothing is in the inbox and pages are queued; return the seconds it took."""
    began = time.perf_counter()
    while time.perf_counter() - began < 120:
        with database.read() as connection:
            waiting = inbox.waiting_count(connection)
            queued = connection.scalar(select(func.count()).select_from(notifications)) or 0
        if not waiting and queued >= pages:
            break
        time.sleep(0.1)
    return time.perf_counter() - began


def _steady(folder: Path, url: str | None, storage: str) -> list[Figure]:
    run = storm(folder, url, 1_000, 1_000 * SECONDS, 5_000)
    got = f"p50 {run.sent.p50:.0f} ms, p99 {run.sent.p99:.0f} ms, {run.sent.refused} not 2xx"
    is_met = run.sent.p99 <= 50 and not run.sent.refused
    return [Figure("1,000 webhooks/s offered", storage, got, "p99 ≤ 50 ms, 0 not 2xx", is_met)]


def _distinct(folder: Path, url: str | None, storage: str) -> list[Figure]:
    count = 1_500 * SECONDS
    run = storm(folder, url, 1_500, count, count)
    got = (
        f"{run.per_second:,.0f}/s, drained in {run.drained:.1f} s, {run.incidents:,} incidents,"
        f" {run.pages:,} pages queued"
    )
    is_right = run.incidents == run.pages == count and not run.sent.refused
    # So fast as it was offered, but for what is left when the last has come.
    is_met = is_right and run.drained <= 10 and run.sent.accepted / run.sent.seconds >= 1_480
    return [
        Figure(f"{count:,} distinct issues", storage, got, "≥ 1,500/s, drained ≤ 10 s", is_met),
        _cpu("distinct", storage, run, 0.9),
    ]


def _repeats(folder: Path, url: str | None, storage: str) -> list[Figure]:
    run = storm(folder, url, 0, REPEATS, 20)
    got = (
        f"{run.sent.accepted / run.sent.seconds:,.0f}/s, drained in {run.drained:.1f} s,"
        f" counted {run.occurrences:,}, {run.incidents} incidents"
    )
    is_right = run.occurrences == REPEATS and run.incidents == 20 and not run.sent.refused
    is_met = is_right and run.drained <= 10 and run.sent.accepted / run.sent.seconds >= 5_000
    size = f"{run.resident_mb:.0f} MiB"
    return [
        Figure(f"{REPEATS:,} repeats of 20 issues", storage, got, "≥ 5,000/s, drained ≤ 10 s",
               is_met),
        _cpu("repeated", storage, run, 0.4),
        Figure(f"memory after {REPEATS:,} deliveries", storage, size, "≤ 300 MiB",
               run.resident_mb <= 300),
    ]  # fmt: skip


def _cpu(what: str, storage: str, run: Run, most: float) -> Figure:
    return Figure(f"processor time of a {what} one, in all", storage, f"{run.cpu_ms:.2f} ms",
                  f"≤ {most} ms", run.cpu_ms <= most)  # fmt: skip


def startup(folder: Path) -> list[Figure]:
    """Measure a start on a database that is there, memory at rest, and a help text."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")} | {
        "TOCSIN_DATA_DIR": str(folder),
    }
    ready, size = [], 0.0
    for _ in range(4):
        port = free_port()
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "serve", "--listen", f"127.0.0.1:{port}"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _until_ready(port)
        ready.append(time.perf_counter() - began)
        time.sleep(2)
        size = resident(process.pid) / 2**20
        process.terminate()
        process.wait()
    helped = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tocsin", "--help"], env=environment, check=True,
                       capture_output=True)  # fmt: skip
        helped.append(time.perf_counter() - began)
    # The first start made the database.
    best, quickest = sorted(ready[1:])[1], sorted(helped)[2]
    return [
        Figure("ready after `tocsin serve`", "SQLite", f"{best:.2f} s", "≤ 1.5 s", best <= 1.5),
        Figure("memory at rest", "SQLite", f"{size:.0f} MiB", "≤ 150 MiB", size <= 150),
        Figure("`tocsin --help`", "-", f"{quickest:.2f} s", "≤ 0.25 s", quickest <= 0.25),
    ]


def _until_ready(port: int) -> None:
    import http.client  # noqa: PLC0415

    while True:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.01)


def measure() -> list[Figure]:
    """Measure every row, with a bar that says how far it is."""
    figures: list[Figure] = []
    parts = (_steady, _distinct, _repeats)
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Progress(console=Console(stderr=True), transient=True) as bar,
        postgres(Path(name)) as server,
    ):
        task = bar.add_task("measuring", total=2 * len(parts) + 1)
        figures += startup(Path(name) / "start")
        bar.advance(task)
        for storage in ("SQLite", "PostgreSQL"):
            for part in parts:
                bar.update(task, description=f"{part.__name__.strip('_')}, {storage}")
                with tempfile.TemporaryDirectory(dir=name) as one:
                    url = None if storage == "SQLite" else fresh(server)
                    figures += part(Path(one), url, storage)
                bar.advance(task)
    return figures


def main() -> int:
    """Measure and print; 1 if a figure is missed."""
    return report("storms", measure())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sent_ = asyncio.run(_generate(*map(int, sys.argv[1:6])))
        sys.stdout.buffer.write(msgspec.json.encode(sent_))
    else:
        sys.exit(main())
