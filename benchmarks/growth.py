"""How cost grows: with the length of the history, with what is open, and while old rows go.

make bench                  (scaled down)
make bench-full             (up to 1,000,000 incidents, up to 100,000 open; 1,000,000 rows go)
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select

from benchmarks.figures import Figure, report
from benchmarks.history import History
from benchmarks.intake import backends, cpu_seconds, fresh, postgres, serving
from benchmarks.pages import open_store
from benchmarks.storm import CONFIGURATION, send, until_drained
from tocsin.store import jobs
from tocsin.store.db import Database
from tocsin.store.jobs import Kind
from tocsin.store.tables import deliveries

IS_FULL = os.environ.get("BENCH_FULL") == "1"
LENGTHS = (1_000, 10_000, 100_000, 1_000_000) if IS_FULL else (1_000, 10_000)
OPEN = (10, 100, 1_000, 10_000, 100_000) if IS_FULL else (10, 1_000)
OLD = 1_000_000 if IS_FULL else 10_000
RATE = 200
EVENTS = 2_000 if IS_FULL else 300
#: Other work on the machine only ever adds: the best of so many tells what it costs.
TRIES = 3 if IS_FULL else 1
_FLAT = 1.2

#: An event's cost so far: milliseconds of processor time, and the 99th percentile of intake.
Cost = tuple[float, float]


def _cost(port: int, pids: Sequence[int], database: Database, first: int) -> Cost:
    """Send events, half of them new issues; return what one costs."""
    best: list[Cost] = []
    for number in range(TRIES):
        before = cpu_seconds(list(pids))
        sent = send(port, RATE, EVENTS, EVENTS // 2, first + number * EVENTS)
        until_drained(database)
        best.append(((cpu_seconds(list(pids)) - before) * 1000 / sent.accepted, sent.p99))
    return min(cpu for cpu, _ in best), min(p99 for _, p99 in best)


def _along(
    folder: Path, url: str | None, sizes: Sequence[int], grow: Callable[[History, range], None]
) -> list[Cost]:
    """Return what an event costs at each size."""
    costs = []
    with serving(folder, url, configuration=CONFIGURATION) as (port, pid):
        database, plans = open_store(folder, url)
        history = History(database=database, plans=plans)
        send(port, RATE, RATE, 1, 0)
        reached = 0
        for size in sizes:
            grow(history, range(reached, size))
            history.done()
            reached = size
            costs.append(_cost(port, [pid, *backends(url)], database, 1_000_000 * len(costs) + 10))
        database.close()
    return costs


def _flat(what: str, storage: str, sizes: Sequence[int], costs: Sequence[Cost]) -> list[Figure]:
    figures = []
    for name, unit, values in (
        ("processor time", "ms", [cpu for cpu, _ in costs]),
        ("p99", "ms", [p99 for _, p99 in costs]),
    ):
        pairs = zip(sizes, values, strict=True)
        got = ", ".join(f"{size:,}: {value:.2f} {unit}" for size, value in pairs)
        is_flat = max(values) <= _FLAT * values[0]
        figures.append(Figure(f"{name} of an event, by {what}", storage, got,
                              "grows by no more than 20 %", is_flat))  # fmt: skip
    return figures


def by_length(folder: Path, url: str | None, storage: str) -> list[Figure]:
    """Measure with an ever longer history, nothing of it open."""

    def grow(history: History, numbers: range) -> None:
        ids = history.add_incidents(numbers, are_open=False)
        history.add_deliveries(numbers, ids)

    costs = _along(folder, url, LENGTHS, grow)
    return _flat("incidents of the history", storage, LENGTHS, costs)


def by_open(folder: Path, url: str | None, storage: str) -> list[Figure]:
    """Measure with ever more open incidents."""
    costs = _along(folder, url, OPEN, _open)
    return _flat("open incidents", storage, OPEN, costs)


def _open(history: History, numbers: range) -> None:
    history.add_incidents(numbers, are_open=True)


def retention(folder: Path, url: str | None, storage: str) -> list[Figure]:
    """Let what is past its retention go while webhooks come in."""
    with serving(folder, url, configuration=CONFIGURATION) as (port, _):
        database, plans = open_store(folder, url)
        old = History(
            database=database, plans=plans, begins=timedelta(days=130), ends=timedelta(days=100)
        )
        ids = old.add_incidents(range(1_000), are_open=False)
        old.add_deliveries(range(OLD), ids, b"x" * 1_000)
        old.done()
        send(port, RATE, RATE, 1, 0)
        gone = threading.Event()
        p99s: list[float] = []

        def load() -> None:
            number = 1
            while not gone.is_set():
                p99s.append(send(port, RATE, RATE * 5, RATE, number * 10_000).p99)
                number += 1

        sender = threading.Thread(target=load)
        began = time.perf_counter()
        database.run(lambda connection: jobs.put(connection, [(Kind.SWEEP, "all", _now())]))
        sender.start()
        while _count(database, ids[-1]) and time.perf_counter() - began < 900:
            time.sleep(0.5)
        took = time.perf_counter() - began
        gone.set()
        sender.join()
        left = _count(database, ids[-1])
        database.close()
    got = f"{took:.0f} s, {left} left, intake p99 {max(p99s):.0f} ms at {RATE}/s"
    is_met = not left and max(p99s) <= 100
    return [Figure(f"{OLD:,} old deliveries go", storage, got, "p99 ≤ 100 ms meanwhile", is_met)]


def _now() -> datetime:
    return datetime.now(UTC)


def _count(database: Database, incident_id: str) -> int:
    """Count what is left of the old ones, as far as one incident's go."""
    mine = deliveries.c.incident_id == incident_id
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(deliveries).where(mine)) or 0


def measure() -> list[Figure]:
    """Measure every row, with a bar that says how far it is."""
    figures: list[Figure] = []
    parts = (by_length, by_open, retention)
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        Progress(console=Console(stderr=True), transient=True) as bar,
        postgres(Path(name)) as server,
    ):
        task = bar.add_task("measuring", total=2 * len(parts))
        for storage in ("SQLite", "PostgreSQL"):
            for part in parts:
                bar.update(task, description=f"{part.__name__.replace('_', ' ')}, {storage}")
                with tempfile.TemporaryDirectory(dir=name) as one:
                    url = None if storage == "SQLite" else fresh(server)
                    figures += part(Path(one), url, storage)
                bar.advance(task)
    return figures


def main() -> int:
    """Measure and print; 1 if a figure is missed."""
    return report("growth", measure())


if __name__ == "__main__":
    sys.exit(main())
