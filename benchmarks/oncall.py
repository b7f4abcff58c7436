"""What the on-call engine takes: a year of shifts, many steps at one instant, webhook to page.

make bench                  (scaled down)
make bench-full             (the sizes that docs/performance.md names)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path

import httpx2
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select

from benchmarks.figures import Figure, report
from benchmarks.intake import KEY, fresh, postgres, serving
from tests.builders import an_incident
from tocsin.boot import free_port
from tocsin.core.plans import Layer, Restriction, Rotation, RotationUnit, Schedule
from tocsin.core.schedule import shifts
from tocsin.sentry.sender import Issue, headers_of, webhook
from tocsin.store import jobs, migrations
from tocsin.store.db import Database, insert_many, new_id
from tocsin.store.incidents import incident_row
from tocsin.store.jobs import Kind
from tocsin.store.plans import PlansCache
from tocsin.store.tables import incidents, notifications
from tocsin.store.vault import Vault, new_secret_key
from tocsin.work.configfile import parse
from tocsin.work.configure import Configurator
from tocsin.work.escalate import Clockwork

IS_FULL = os.environ.get("BENCH_FULL") == "1"
STEPS = 10_000 if IS_FULL else 2_000
EVENTS_SECONDS = 60 if IS_FULL else 6
EVENTS_PER_SECOND = 50
WORKERS = 3
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)

CONFIGURATION = f"""
users:
  - email: ann@example.com
    name: Ann
    contact_methods:
      - {{name: hook, channel: webhook, address: "http://127.0.0.1:PORT/ann"}}
escalation_policies:
  - {{name: default, steps: [{{targets: [{{user: ann@example.com}}], wait: 5m}}]}}
services: [{{name: checkout, escalation_policy: default}}]
integrations: [{{name: sentry, service: checkout, routing_key: {KEY}}}]
"""


def a_year_of_shifts() -> Figure:
    """Compute a year of ten layers, each cut to office hours; the median of nine."""
    window = Restriction(days=frozenset(range(5)), begins=clock_time(9), ends=clock_time(17))
    layers = tuple(
        Layer(
            name=f"layer {number}",
            priority=number,
            rotation=Rotation(
                unit=RotationUnit.WEEK if number % 2 else RotationUnit.DAY,
                length=1,
                start=datetime(2026, 1, 5, number),  # noqa: DTZ001 - on the wall clock
            ),
            participants=tuple((f"usr_{number}_{at}",) for at in range(5)),
            restrictions=(window,),
        )
        for number in range(10)
    )
    schedule = Schedule(id="sch", name="primary", time_zone="Europe/Berlin", layers=layers)
    took = []
    for _ in range(9):
        began = time.perf_counter()
        shifts(schedule, NOW, NOW + timedelta(days=365))
        took.append((time.perf_counter() - began) * 1000)
    ms = statistics.median(took)
    return Figure("shifts of a year, 10 layers", "-", f"{ms:.0f} ms", "< 50 ms", ms < 50)


def many_steps(url: str, storage: str, workers: int) -> Figure:
    """Let many incidents' steps be due at one instant; count what becomes of them."""
    key = new_secret_key()
    database, vault = Database(url, checkpoints=True), Vault([key])
    migrations.migrate(database, vault)
    plans = PlansCache(database, vault)
    file, source = parse(CONFIGURATION.replace("PORT", "9"), "bench.yaml")
    Configurator(database, plans, vault).apply(file, source, NOW, dry_run=False)
    service = next(iter(plans.refresh().services))

    def seed(connection: object) -> None:
        rows = [
            incident_row(an_incident(id=new_id("inc", NOW), service_id=service, triggered_at=NOW))
            for _ in range(STEPS)
        ]
        insert_many(connection, incidents, rows)  # type: ignore[arg-type]
        jobs.put(connection, [(Kind.ESCALATE, row["id"], NOW) for row in rows])  # type: ignore[arg-type]

    database.run(seed)
    took = _with_processes(url, key, workers) if workers > 1 else _timed(database, vault)
    with database.read() as connection:
        made = connection.scalar(select(func.count()).select_from(notifications)) or 0
    database.close()
    limit = 20 * STEPS / 10_000
    got = f"{made:,} notifications in {took:.1f} s"
    wanted = f"{STEPS:,} in {limit:.0f} s"
    what = f"{STEPS:,} steps at once, {workers} worker{'s' if workers > 1 else ''}"
    return Figure(what, storage, got, wanted, made == STEPS and took < limit)


def _timed(database: Database, vault: Vault) -> float:
    began = time.perf_counter()
    drain(database, vault)
    return time.perf_counter() - began


def _with_processes(url: str, key: str, workers: int) -> float:
    """Let several workers begin together, each once it has started; return the seconds."""
    command = [sys.executable, "-m", "benchmarks.oncall", "--drain", url]
    pipe, environment = subprocess.PIPE, os.environ | {"BENCH_KEY": key}
    running = [
        subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        for _ in range(workers)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    began = time.perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("begin\n")
        process.stdin.close()
    for process in running:
        process.wait()
    return time.perf_counter() - began


def drain(database: Database, vault: Vault) -> None:
    """Take steps until none is due."""
    clockwork = Clockwork(database, PlansCache(database, vault))
    while clockwork.work(Kind.ESCALATE, NOW + timedelta(seconds=1)):
        pass


async def _page_latencies(port: int, sink: int) -> list[float]:
    """Send webhooks at a steady rate; return the ms from each 202 to the page at the telephone."""
    accepted: dict[str, float] = {}
    rang: dict[str, float] = {}

    async def ring(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                page = json.loads(await reader.readexactly(length))
                rang.setdefault(page["data"]["incident"]["dedup_key"], time.perf_counter())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()

    async def send(client: httpx2.AsyncClient, number: int) -> None:
        hook = webhook("issue", "created", Issue(id=str(number)))
        headers = headers_of(hook, None)
        answer = await client.post(f"/in/{KEY}", content=hook.body, headers=headers)
        answer.raise_for_status()
        accepted[f"sentry:issue:{number}"] = time.perf_counter()

    server = await asyncio.start_server(ring, "127.0.0.1", sink)
    count = EVENTS_SECONDS * EVENTS_PER_SECOND
    async with server, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        began = time.perf_counter()
        sends = []
        for number in range(1, count + 1):
            await asyncio.sleep(max(0, began + number / EVENTS_PER_SECOND - time.perf_counter()))
            sends.append(asyncio.create_task(send(client, number)))
        await asyncio.gather(*sends)
        ends = time.perf_counter() + 20
        while len(rang) < count and time.perf_counter() < ends:  # noqa: ASYNC110 - ends
            await asyncio.sleep(0.05)
    return [max(0.0, rang.get(key, ends) - at) * 1000 for key, at in accepted.items()]


def webhook_to_page(folder: Path, url: str | None, storage: str) -> Figure:
    """Measure accepted → handed to the provider, at a steady rate."""
    sink = free_port()
    configuration = CONFIGURATION.replace("PORT", str(sink))
    allowed = {"TOCSIN_OUTBOUND_ALLOW": "127.0.0.0/8"}
    with serving(folder, url, configuration=configuration, settings=allowed) as (port, _):
        took = sorted(asyncio.run(_page_latencies(port, sink)))
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    what = f"webhook to page at {EVENTS_PER_SECOND}/s, {len(took):,} of them"
    got = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    return Figure(what, storage, got, "p50 ≤ 300, p99 ≤ 1,000 ms", p50 <= 300 and p99 <= 1000)


def measure() -> list[Figure]:
    """Measure every row, with a bar that says how far it is."""
    figures = [a_year_of_shifts()]
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Progress(console=Console(stderr=True), transient=True) as bar,
        postgres(Path(name)) as server,
    ):
        task = bar.add_task("measuring", total=4)
        folder = Path(name)
        for storage in ("SQLite", "PostgreSQL"):
            is_sqlite = storage == "SQLite"
            bar.update(task, description=f"steps, {storage}")
            url = f"sqlite:///{folder}/steps.db" if is_sqlite else fresh(server)
            figures.append(many_steps(url, storage, 1 if is_sqlite else WORKERS))
            bar.advance(task)
            bar.update(task, description=f"webhook to page, {storage}")
            with tempfile.TemporaryDirectory(dir=folder) as one:
                page_url = None if is_sqlite else fresh(server)
                figures.append(webhook_to_page(Path(one), page_url, storage))
            bar.advance(task)
    return figures


def main() -> int:
    """Measure and print; 1 if a figure is missed."""
    if "--drain" in sys.argv:
        print("ready", flush=True)
        sys.stdin.readline()
        drain(Database(sys.argv[-1]), Vault([os.environ["BENCH_KEY"]]))
        return 0
    return report("on call", measure())


if __name__ == "__main__":
    sys.exit(main())
