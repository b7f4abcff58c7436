"""What the web page takes: lists of a long history, and many browsers that look at a storm.

make bench                  (scaled down)
make bench-full             (1,000,000 incidents, 5,000,000 deliveries)
"""

from __future__ import annotations

import asyncio
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.progress import Progress

from benchmarks.browsers import watching
from benchmarks.figures import Figure, report
from benchmarks.history import RARE, History
from benchmarks.intake import KEY, fresh, postgres, serving
from tocsin.core.model import Role
from tocsin.sentry.sender import Issue, Webhook, headers_of, webhook
from tocsin.store import sessions
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault
from tocsin.work.manage import Office

IS_FULL = os.environ.get("BENCH_FULL") == "1"
INCIDENTS = 1_000_000 if IS_FULL else 10_000
DELIVERIES = 5_000_000 if IS_FULL else 50_000
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
    "messages that went out": "/notifications",
    "the audit log": "/audit",
}

#: Lists of the API.
LISTS: Mapping[str, str] = {
    "API: incidents": "/api/v1/incidents",
    "API: incidents, searched": "/api/v1/incidents?q=needle",
    "API: deliveries": "/api/v1/deliveries",
    "API: deliveries, searched": "/api/v1/deliveries?q=needle",
    "API: an incident": "/api/v1/incidents/{number}",
}

ACKNOWLEDGE = "/api/v1/incidents/{number}/acknowledge"


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


def long_history(folder: Path, url: str | None, storage: str) -> list[Figure]:
    """Read each page and list many times over a long history; see what 95 of 100 took at most."""
    with serving(folder, url, configuration=CONFIGURATION) as (port, _):
        database, plans = open_store(folder, url)
        history = History(database=database, plans=plans)
        ids = history.add_incidents(range(INCIDENTS))
        history.add_deliveries(range(DELIVERIES), ids)
        history.done()
        vault = Vault((folder / "secret-keys").read_text().split())
        key = Office(database, plans, vault).create_api_key("bench", Role.OWNER, datetime.now(UTC))
        page = {"Cookie": f"tocsin={sign_in(database, plans)}", "Accept": "text/html",
                "Accept-Encoding": "gzip"}  # fmt: skip
        program = {"Authorization": f"Bearer {key}"}
        database.close()
        client = http.client.HTTPConnection("127.0.0.1", port)
        return [
            *(_timed(client, path, page, what, storage) for what, path in PAGES.items()),
            *(_timed(client, path, program, what, storage) for what, path in LISTS.items()),
            _timed(client, ACKNOWLEDGE, program, "acknowledge an incident", storage, most=30),
        ]


def _timed(
    client: http.client.HTTPConnection,
    path: str,
    headers: Mapping[str, str],
    what: str,
    storage: str,
    most: int = 60,
) -> Figure:
    """Ask many times for what only the number changes."""
    took, size = [], 0
    method = "POST" if path == ACKNOWLEDGE else "GET"
    for number in range(READS + 3):
        began = time.perf_counter()
        # Numbers begin at 1, and every ``RARE``-th from the first one on is open.
        place = path.format(number=INCIDENTS - (number + 1) * RARE + 1)
        client.request(method, place, headers=dict(headers))
        answer = client.getresponse()
        size = len(answer.read())
        took.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise SystemExit(f"{place}: {answer.status}")
    took = sorted(took[3:])
    p95 = took[int(len(took) * 0.95)]
    got = f"p50 {took[len(took) // 2]:.0f} ms, p95 {p95:.0f} ms, {size / 1000:.0f} kB"
    return Figure(what, storage, got, f"p95 ≤ {most} ms", p95 <= most)


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
    return report("the web page", measure())


if __name__ == "__main__":
    sys.exit(main())
