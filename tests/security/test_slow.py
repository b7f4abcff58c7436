"""S2 and S19: clients that keep a server waiting, and one that shouts down all others."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.chaos.ledger import Ledger, Template, steady
from tests.conftest import fresh_sqlite
from tests.outside import PATIENCE, Tocsin, until
from tests.security.door import IS_FULL, tell

SLOW = 500 if IS_FULL else 60

#: Between two bytes, or two headers.
DRIP = 0.25

SECRET = "the-client-secret"

CONFIGURATION = f"""
users:
  - {{email: ann@example.com, name: Ann}}
escalation_policies:
  - {{name: default, steps: [{{targets: [{{user: ann@example.com}}], wait: 1h}}]}}
services:
  - {{name: checkout, escalation_policy: default}}
  - {{name: billing, escalation_policy: default}}
integrations:
  - {{name: one, service: checkout, routing_key: key-of-one, signing_secrets: [{SECRET}]}}
  - {{name: other, service: billing, routing_key: key-of-other, signing_secrets: [{SECRET}]}}
"""


class Signed(Template):
    """A webhook that is signed, as Sentry's are."""

    def request(self, issue: str, request_id: str, *, closes: bool = False) -> bytes:
        """Return the whole request."""
        plain = super().request(issue, request_id, closes=closes)
        head, _, body = plain.partition(b"\r\n\r\n")
        signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
        return head + f"\r\nSentry-Hook-Signature: {signature}\r\n\r\n".encode() + body


@pytest.fixture
def tocsin(tmp_path: Path, sqlite_template: Path) -> Iterator[Tocsin]:
    made = Tocsin(tmp_path, fresh_sqlite(tmp_path, sqlite_template))
    made.apply(CONFIGURATION)
    made.start()
    try:
        yield made
        assert made.stop() == 0
        assert "Traceback" not in made.log.read_text()
    finally:
        made.end()


def open_files(tocsin: Tocsin) -> int:
    return len(list(Path(f"/proc/{tocsin.pid}/fd").iterdir()))


# -- S2

POST = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.sleep(PATIENCE * 2)
    yield b""


async def headers() -> AsyncIterator[bytes]:
    yield POST % b"/in/key-of-one"
    for number in itertools.count():
        yield b"X-%d: a\r\n" % number


async def body(path: bytes = b"/in/key-of-one") -> AsyncIterator[bytes]:
    yield POST % path + b"Content-Length: 1000\r\n\r\n"
    while True:
        yield b"x"


async def form() -> AsyncIterator[bytes]:
    async for piece in body(b"/login"):
        yield piece


async def chunks() -> AsyncIterator[bytes]:
    yield POST % b"/in/key-of-one" + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"1\r\nx\r\n"


#: How they are slow.
KINDS: Mapping[str, Callable[[], AsyncIterator[bytes]]] = {
    "says nothing": nothing,
    "headers, one by one": headers,
    "a body, byte by byte": body,
    "a form, byte by byte": form,
    "chunks of one byte": chunks,
}


async def until_closed(port: int, kind: str) -> tuple[str, int, float]:
    """Be slow until the server has enough; return what it said, and after how long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began, drips = time.perf_counter(), KINDS[kind]()

    async def drip() -> None:
        with contextlib.suppress(OSError):
            async for piece in drips:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(DRIP)

    dripping = asyncio.create_task(drip())
    heard = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            heard = await reader.read()
    seconds = time.perf_counter() - began
    dripping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dripping
    writer.transport.abort()
    return kind, int(heard.split()[1]) if heard else 0, seconds


async def beside(work: Awaitable[None], tocsin: Tocsin, per_second: int) -> Ledger:
    async with steady(
        tocsin.port, Signed("/in/key-of-other", level="warning"), per_second
    ) as ledger:
        await work
    return ledger


def test_s2_slow_clients_are_let_go_and_hold_nobody_up(tocsin: Tocsin):
    """Sixty (or five hundred) of five kinds, while webhooks come in."""
    files, ends = open_files(tocsin), []

    async def all_of_them() -> None:
        kinds = itertools.islice(itertools.cycle(KINDS), SLOW)
        ends.extend(await asyncio.gather(*(until_closed(tocsin.port, kind) for kind in kinds)))

    ledger = asyncio.run(beside(all_of_them(), tocsin, 50 if IS_FULL else 10))
    told = {kind: {said for one, said, _ in ends if one == kind} for kind in KINDS}
    assert told == {
        "says nothing": {0},
        "headers, one by one": {0},
        "a body, byte by byte": {408},
        "a form, byte by byte": {408},
        "chunks of one byte": {408},
    }
    assert not ledger.others
    assert len(ledger.accepted) > 20
    until(lambda: open_files(tocsin) <= files + 8, "their descriptors free")
    slowest = max(seconds for _, _, seconds in ends)
    p99 = ledger.percentile(0.99)
    tell(
        f"S2 slow {SLOW}, closed after at most {slowest:.1f} s, webhooks {len(ledger.accepted)},"
        f" p99 {p99:.3f} s, descriptors {files} -> {open_files(tocsin)}"
    )
    if IS_FULL:
        assert slowest <= 15
        assert p99 <= 0.5


# -- S19


@pytest.mark.skipif(not IS_FULL, reason="measured on a machine that does nothing else (test-full)")
def test_s19_one_key_that_is_flooded_leaves_the_others_their_second(tocsin: Tocsin):
    """Two thousand a second by one key, twenty by another: all are taken, and in time."""
    began = time.perf_counter()

    async def flooded() -> tuple[Ledger, Ledger]:
        one = Signed("/in/key-of-one", level="warning")
        async with steady(tocsin.port, one, 2000) as many:
            few = await beside(asyncio.sleep(20), tocsin, 20)
        return many, few

    many, few = asyncio.run(flooded())
    rate = len(many.accepted) / (time.perf_counter() - began)
    told = Counter(many.others) + Counter(few.others)
    tell(
        f"S19 flood {len(many.accepted)} at {rate:.0f}/s, p99 {many.percentile(0.99):.3f} s; other"
        f" {len(few.accepted)}, p99 {few.percentile(0.99):.3f} s, max {max(few.seconds):.3f} s;"
        f" not 202: {dict(told)}"
    )
    assert not told
    assert len(few.accepted) >= 380
    assert few.percentile(0.99) <= 0.5
