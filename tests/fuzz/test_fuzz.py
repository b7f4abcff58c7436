"""S1: bodies nobody would think of, a million in this process and twenty thousand over HTTP.

The quick profile is part of the suite; ``make fuzz`` runs the full one and says its figures.
"""

from __future__ import annotations

import contextlib
import gc
import hmac
import http.client
import itertools
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.mutator import Mutator
from tests.outside import Tocsin, until
from tests.security.door import IS_FULL, OURS, TENANTS, Door, Headers, door
from tocsin.core.body import NotJson, read_body
from tocsin.core.dialect import identify, read
from tocsin.core.model import Signal
from tocsin.core.text import DEDUP_KEY_LENGTH, TITLE_LENGTH, clean
from tocsin.sentry.components import BadForm, read_issue, read_rule
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.work.intake import dialect_for

IN_PROCESS = 1_000_000 if IS_FULL else 10_000
OVER_HTTP = 20_000 if IS_FULL else 400
SEED = int(os.environ.get("TOCSIN_FUZZ_SEED", "20261"))

#: Measured in the full profile only: how long one body may take, and how much memory may grow.
MOST_SECONDS = 1.0
MOST_GROWTH = 32 * 2**20

OF_SENTRY = (
    "/in/key-unsigned", "/v1/events/sentry/key-unsigned", "/functions/v1/events?token=key-unsigned",
    "/api/integrations/sentry?integrationId=key-unsigned", "/in/key-ours",
)  # fmt: skip
OF_EVENTS = ("/v2/enqueue", "/api/events", "/in/key-events")

Request = tuple[str, bytes, Headers]


def requests(seed: int) -> Iterator[Request]:
    """Yield requests without end, each with a key that is good, and some signed."""
    mutator = Mutator(seed)
    for number, (body, resource) in enumerate(mutator):
        is_strange = mutator.chance.random() < 0.05
        paths = OF_EVENTS if (b'"event_action"' in body) is not is_strange else OF_SENTRY
        path = mutator.chance.choice(paths)
        headers: list[tuple[bytes, bytes]] = []
        if resource is not None:
            headers.append((b"sentry-hook-resource", resource.encode("latin-1")))
        if path == "/in/key-ours":
            signature = hmac.digest(OURS.encode(), body, "sha256").hex().encode()
            headers.append((b"sentry-hook-signature", signature))
        if path == "/api/events":
            headers.append((b"authorization", b"Token token=key-events"))
        if number % 10 == 0:
            headers.append((b"request-id", b"%d" % (number % 500)))
        yield path, body, headers


def memory_of(pid: int | str) -> int:
    """Return the bytes a process holds."""
    pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def is_storable(text: str) -> bool:
    return clean(text, len(text)) == text


def check_signal(signal: Signal) -> None:
    """Whatever was read must be fit for both databases, and of bounded length."""
    fields = (signal.title, signal.source, signal.text, signal.actor, signal.dedup_key or "",
              signal.link or "", *signal.details.values())  # fmt: skip
    assert all(is_storable(field) for field in fields)
    assert len(signal.title) <= TITLE_LENGTH
    assert len(signal.dedup_key or "") <= DEDUP_KEY_LENGTH
    assert signal.occurred_at is None or isinstance(signal.occurred_at, datetime)
    assert signal.link is None or signal.link.lower().startswith(("http://", "https://"))


def take(intake: Door, request: Request, status: int) -> None:
    """Do in this process with an accepted body what the worker and the forms would."""
    body = request[1]
    kept, intake.kept[:] = intake.kept[:], []
    assert status < 500, "it is not stored, or not answered"
    for form in (read_rule, read_issue):
        with contextlib.suppress(BadForm):
            form(body)
    try:
        document = read_body(body)
    except NotJson:
        return
    if not kept or kept[0].status != "accepted":
        return
    arrival = kept[0]
    plans = intake.plans.known
    assert plans is not None
    integration = plans.integrations[arrival.integration_id]
    dialect = intake.dialects[dialect_for(integration, arrival.url_style)]
    signal = read(dialect, document, arrival.resource, integration)
    reading = identify(dialect, document, arrival.resource)
    assert arrival.dedup_key == (reading.dedup_key if reading else None) or signal is None
    if signal is not None:
        check_signal(signal)


async def run(intake: Door, count: int, seed: int) -> dict[str, Any]:
    """Send so many bodies; return the figures. Fails with the body at the first fault."""
    statuses: Counter[int] = Counter()
    slowest, began, early = 0.0, time.perf_counter(), 0
    stream = requests(seed)
    for number in range(count):
        request = next(stream)
        at = time.perf_counter()
        try:
            status = (await intake.ask(*request)).status
            take(intake, request, status)
        except Exception as error:
            raise AssertionError(
                f"body {number} of seed {seed}: {type(error).__name__}: {error}\n"
                f"{request[0]} {request[2]}\n{request[1][:2000]!r}"
            ) from error
        slowest = max(slowest, time.perf_counter() - at)
        statuses[status] += 1
        if number == count // 10:
            gc.collect()
            early = memory_of("self")
    gc.collect()
    return {
        "bodies": count, "seed": seed, "statuses": dict(sorted(statuses.items())),
        "slowest": slowest, "seconds": time.perf_counter() - began,
        "growth": memory_of("self") - early,
    }  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], name: str, figures: dict[str, Any]) -> None:
    """Print figures where somebody waits for them, and hold them against their bounds."""
    if not IS_FULL:
        return
    with capsys.disabled():
        sys.stdout.write(
            f"\n{name}: {figures['bodies']:,} bodies, seed {figures['seed']},"
            f" answers {figures['statuses']}, slowest {figures['slowest'] * 1000:.0f} ms,"
            f" memory {figures['growth'] / 2**20:+.1f} MiB, {figures['seconds']:.0f} s\n"
        )
    assert figures["slowest"] <= MOST_SECONDS
    assert figures["growth"] <= MOST_GROWTH


def test_s1_no_body_breaks_intake_or_what_reads_it(
    sqlite_url: str, vault: Vault, capsys: pytest.CaptureFixture[str]
):
    database = Database(sqlite_url)
    with door(database, vault) as intake:
        figures = intake.work(run(intake, IN_PROCESS, SEED))
    database.close()
    assert figures["bodies"] == IN_PROCESS
    assert {200, 202, 400} <= set(figures["statuses"]), "good and bad ones were among them"
    said(capsys, "in process", figures)


def post_all(port: int, todo: queue.SimpleQueue[Request], found: list[tuple[int, float]]) -> None:
    """Send what there is over one connection, opened anew where the server closed it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.suppress(queue.Empty):
        while True:
            path, body, headers = todo.get_nowait()
            named = {"Content-Type": "application/json"}
            named |= {name.decode(): value.decode("latin-1") for name, value in headers}
            began = time.perf_counter()
            try:
                connection.request("POST", path, body=body, headers=named)
                answer = connection.getresponse()
                answer.read()
                found.append((answer.status, time.perf_counter() - began))
            except (OSError, http.client.HTTPException):
                connection.close()
                found.append((0, 0.0))
    connection.close()


def test_s1_no_body_breaks_the_server_or_its_workers(
    tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]
):
    """From the socket to the incident: all are answered, and none is left that failed."""
    tocsin = Tocsin(tmp_path, database_url)
    tocsin.apply(TENANTS)
    key = tocsin.run("key", "create", "--name", "t").stdout.strip()
    tocsin.start()
    found: list[tuple[int, float]] = []
    growth, early, began = 0, 0, time.perf_counter()
    try:
        stream = requests(SEED + 1)
        for part in range(10):
            todo: queue.SimpleQueue[Request] = queue.SimpleQueue()
            for request in itertools.islice(stream, OVER_HTTP // 10):
                todo.put(request)
            threads = [
                threading.Thread(target=post_all, args=(tocsin.port, todo, found)) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            early = early if part else memory_of(tocsin.pid)

        def waiting() -> Any:
            return tocsin.api(key, "GET", "/deliveries?status=accepted&limit=1")["items"]

        until(lambda: not waiting(), "all understood", 600)
        growth = memory_of(tocsin.pid) - early
        assert tocsin.api(key, "GET", "/deliveries?status=failed")["items"] == []
        assert tocsin.request("GET", "/readyz").status == 200
        assert tocsin.stop() == 0
        log = tocsin.log.read_text("utf-8")
    finally:
        tocsin.end()
    assert "Traceback" not in log
    assert "not kept" not in log
    statuses = Counter(status for status, _ in found)
    assert sum(statuses.values()) == OVER_HTTP // 10 * 10
    assert [status for status in statuses if status == 0 or status >= 500] == []
    figures = {
        "bodies": len(found), "seed": SEED + 1, "statuses": dict(sorted(statuses.items())),
        "slowest": max(seconds for _, seconds in found),
        "seconds": time.perf_counter() - began, "growth": growth,
    }  # fmt: skip
    said(capsys, f"over HTTP, {database_url.partition(':')[0]}", figures)
