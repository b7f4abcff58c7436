"""What the web page takes: lists of a long history, and many browsers that look at a storm.

make bench                  (scaled down)
make bench-full             (100,000 incidents, 1,000,000 deliveries)
"""

from __future__ import annotations

import asyncio
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import Connection

from benchmarks.browsers import watching
from benchmarks.intake import KEY, fresh, postgres, serving
from benchmarks.oncall import Figure
from tests.builders import an_incident
from tocsin.core.model import IncidentStatus
from tocsin.sentry.sender import Issue, Webhook, headers_of, webhook
from tocsin.store import sessions
from tocsin.store.db import Database, insert_many, new_id
from tocsin.store.incidents import incident_row
from tocsin.store.plans import PlansCache
from tocsin.store.tables import deliveries, incidents, timeline
from tocsin.store.vault import Vault

IS_FULL = os.environ.get("BENCH_FULL") == "1"
INCIDENTS = 100_000 if IS_FULL else 10_000
DELIVERIES = 1_000_000 if IS_FULL else 100_000
READS = 100 if IS_FULL else 40
BROWSERS = 200
WEBHOOKS_PER_SECOND = 200
STORM_SECONDS = 30 if IS_FULL else 8
CONNECTIONS = 64

Connection_: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CONFIGURATION = f"""
users:
  - {{email: ann@example.com, name: Ann, role: owner}}
escalation_policies:
  - {{name: default, steps: [{{targets: [{{user: ann@example.com}}], wait: 1h}}]}}
services: [{{name: checkout, escalation_policy: default}}, {{name: billing}}]
integrations: [{{name: sentry, service: checkout, routing_key: {KEY}}}]
"""

#: Pages whose time counts, by what they are.
PAGES: Mapping[str, str] = {
    "incidents, open": "/incidents",
    "incidents, resolved": "/incidents?tab=resolved",
    "incidents, of a service": "/incidents?tab=all&service=billing",
    "incidents, searched": "/incidents?tab=all&q=needle",
    "an incident": "/incidents/{number}",
    "deliveries": "/deliveries",
    "deliveries, rejected": "/deliveries?status=rejected",
    "deliveries, searched": "/deliveries?q=needle",
}


def open_store(folder: Path, url: str | None) -> tuple[Database, PlansCache]:
    """Open the database of a running server, beside it."""
    database = Database(url or f"sqlite:///{folder}/tocsin.db")
    vault = Vault((folder / "secret-keys").read_text().split())
    return database, PlansCache(database, vault)


def sign_in(database: Database, plans: PlansCache) -> str:
    """Return the key of a browser in which the owner is signed in."""
    user = next(iter(plans.refresh().users))
    return database.run(
        lambda connection: sessions.begin(
            connection, user, "benchmark", "127.0.0.1", datetime.now(UTC)
        )
    )


def fill(database: Database, plans: PlansCache) -> None:
    """Write a long history: of fifty incidents one is open, of fifty deliveries one rejected."""
    found = plans.refresh()
    service_ids, integration_id = list(found.services), next(iter(found.integrations))
    began = datetime.now(UTC) - timedelta(days=80)
    every = timedelta(days=80) / INCIDENTS

    def some_incidents(connection: Connection, numbers: range) -> list[str]:
        rows = []
        for number in numbers:
            at = began + every * number
            is_open = number % 50 == 0
            rows.append(
                incident_row(
                    an_incident(
                        id=new_id("inc", at),
                        service_id=service_ids[number % 2],
                        dedup_key=f"sentry:issue:{number}",
                        title=f"TypeError: cannot read property {number} of undefined",
                        status=IncidentStatus.TRIGGERED if is_open else IncidentStatus.RESOLVED,
                        triggered_at=at,
                        resolved_at=None if is_open else at + timedelta(minutes=30),
                    )
                )
            )
        insert_many(connection, incidents, rows)
        entries = [
            {"incident_id": row["id"], "service_id": row["service_id"], "at": row["triggered_at"],
             "kind": kind, "text": kind, "actor": "Sentry", "data": None}
            for row in rows for kind in ("opened", "step", "paged", "resolved")
        ]  # fmt: skip
        insert_many(connection, timeline, entries)
        return [row["id"] for row in rows]

    def some_deliveries(connection: Connection, numbers: range, ids: list[str]) -> None:
        rows = []
        for number in numbers:
            at = began + timedelta(days=80) * (number / DELIVERIES)
            is_bad = number % 50 == 0
            rows.append(
                {"id": new_id("del", at), "integration_id": integration_id, "received_at": at,
                 "url_style": "native", "resource": "issue", "action": "created",
                 "status": "rejected" if is_bad else "processed",
                 "http_status": 401 if is_bad else 202,
                 "reason": "the signature is wrong" if is_bad else None, "verb": "trigger",
                 "outcome": None if is_bad else "deduplicated",
                 "incident_id": None if is_bad else ids[number % len(ids)],
                 "dedup_key": f"sentry:issue:{number % INCIDENTS}", "latency_ms": 12,
                 "partition": number % 64}
            )  # fmt: skip
        insert_many(connection, deliveries, rows)

    ids: list[str] = []
    size = 5_000
    for start in range(0, INCIDENTS, size):
        ids += database.run(
            lambda connection, at=start: some_incidents(connection, range(at, at + size))  # type: ignore[misc]
        )
    for start in range(0, DELIVERIES, size):
        database.run(
            lambda connection, at=start: some_deliveries(connection, range(at, at + size), ids)  # type: ignore[misc]
        )
    with database.write() as connection:
        connection.exec_driver_sql("ANALYZE")


def long_history(folder: Path, url: str | None, storage: str) -> list[Figure]:
    """Read each page many times over a long history; return what 95 of 100 took at most."""
    figures = []
    with serving(folder, url, configuration=CONFIGURATION) as (port, _):
        database, plans = open_store(folder, url)
        fill(database, plans)
        cookie = {"Cookie": f"tocsin={sign_in(database, plans)}", "Accept": "text/html",
                  "Accept-Encoding": "gzip"}  # fmt: skip
        database.close()
        client = http.client.HTTPConnection("127.0.0.1", port)
        for what, path in PAGES.items():
            took = []
            for number in range(READS + 3):
                began = time.perf_counter()
                client.request("GET", path.format(number=INCIDENTS - number * 50), headers=cookie)
                answer = client.getresponse()
                size = len(answer.read())
                took.append((time.perf_counter() - began) * 1000)
                if answer.status != 200:
                    raise SystemExit(f"{path}: {answer.status}")
            took = sorted(took[3:])
            p95 = took[int(len(took) * 0.95)]
            got = f"p50 {took[len(took) // 2]:.0f} ms, p95 {p95:.0f} ms, {size / 1000:.0f} kB"
            figures.append(Figure(what, storage, got, "p95 ≤ 60 ms", p95 <= 60))
    return figures


async def post(port: int, pool: asyncio.Queue[Connection_], hook: Webhook) -> tuple[float, float]:
    """Send a webhook over the next free connection; return when it was due and when answered."""
    began = time.perf_counter()
    reader, writer = await pool.get()
    head = "".join(f"{name}: {value}\r\n" for name, value in headers_of(hook, None).items())
    writer.write(
        f"POST /in/{KEY} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}"
        f"Content-Length: {len(hook.body)}\r\n\r\n".encode()
        + hook.body
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(answer.lower().partition(b"content-length: ")[2].split(b"\r")[0]))
    if answer[9:12] != b"202":
        raise SystemExit(answer.decode())
    ended = time.perf_counter()
    pool.put_nowait((reader, writer))
    return began, ended


async def storm(port: int, pid: int) -> tuple[list[float], dict[str, float], tuple[int, int]]:
    """Send webhooks at a steady rate, one in five of a new issue.

    Return how long each took (ms), when each issue was accepted, and how large the server was.
    """
    latencies: list[float] = []
    accepted: dict[str, float] = {}
    sizes: list[int] = []
    pool: asyncio.Queue[Connection_] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        pool.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def send(issue: int) -> None:
        hook = webhook("issue", "created", Issue(id=str(issue), title=f"needle {issue} broke"))
        began, ended = await post(port, pool, hook)
        latencies.append((ended - began) * 1000)
        accepted.setdefault(str(issue), ended)

    count = STORM_SECONDS * WEBHOOKS_PER_SECOND
    began = time.perf_counter()
    sends = []
    for number in range(count):
        await asyncio.sleep(max(0, began + number / WEBHOOKS_PER_SECOND - time.perf_counter()))
        sends.append(asyncio.create_task(send(number // 5)))
        if number in (count // 3, count - 1):
            sizes.append(resident(pid))
    await asyncio.gather(*sends)
    await asyncio.sleep(3)
    return sorted(latencies), accepted, (sizes[0], sizes[1])


def resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def many_browsers(folder: Path, url: str | None, storage: str) -> list[Figure]:
    """Let many browsers look at a storm; measure intake, what they are told, and memory."""
    with serving(folder, url, configuration=CONFIGURATION) as (port, pid):
        database, plans = open_store(folder, url)
        key = sign_in(database, plans)
        database.close()
        with watching(port, key, BROWSERS) as seen:
            latencies, accepted, (before, after) = asyncio.run(storm(port, pid))
    p99 = latencies[int(len(latencies) * 0.99)]
    never = sum(issue not in mine for mine in seen.told for issue in accepted)
    delays = sorted(
        mine[issue] - at for mine in seen.told for issue, at in accepted.items() if issue in mine
    )
    slowest = delays[-1] if delays else float("inf")
    what = f"{BROWSERS} browsers, {WEBHOOKS_PER_SECOND} webhooks/s"
    grown = (after - before) / before * 100
    return [
        Figure(f"{what}: intake", storage, f"p50 {latencies[len(latencies) // 2]:.0f} ms,"
               f" p99 {p99:.0f} ms", "p99 < 100 ms", p99 < 100),
        Figure(f"{what}: told", storage, f"slowest {slowest:.2f} s, {never} never,"
               f" {seen.bytes / 1e6 / STORM_SECONDS:.0f} MB/s", "all ≤ 2 s",
               slowest <= 2 and not never),
        Figure(f"{what}: memory", storage, f"{before / 1e6:.0f} to {after / 1e6:.0f} MB",
               "grows ≤ 10 %", grown <= 10),
    ]  # fmt: skip


def measure() -> list[Figure]:
    """Measure every row, with a bar that says how far it is."""
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Progress(console=Console(stderr=True), transient=True) as bar,
        postgres(Path(name)) as server,
    ):
        task = bar.add_task("measuring", total=4)
        for storage in ("SQLite", "PostgreSQL"):
            for part in (many_browsers, long_history):
                bar.update(task, description=f"{part.__name__.replace('_', ' ')}, {storage}")
                with tempfile.TemporaryDirectory(dir=name) as one:
                    url = None if storage == "SQLite" else fresh(server)
                    figures += part(Path(one), url, storage)
                bar.advance(task)
    return figures


def main() -> int:
    """Measure and print; 1 if a figure is missed."""
    figures = measure()
    table = Table("what", "storage", "measured", "wanted", "", title="the web page")
    for row in figures:
        verdict = "met" if row.is_met else "MISSED"
        table.add_row(row.what, row.storage, row.got, row.wanted, verdict)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return 0 if all(row.is_met for row in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
