"""Browsers with the list of incidents open, in a process of their own.

What they do with what they are told takes their own machine's time, not the server's or the
sender's.

    python -m benchmarks.browsers PORT KEY COUNT      (until its input ends)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec

_TITLE = re.compile(rb"needle ([0-9]+) ")


class Seen(msgspec.Struct):
    """What browsers were told."""

    #: Of each browser: issue to when it was told of it, by the machine's monotonic clock.
    told: list[dict[str, float]] = msgspec.field(default_factory=list)
    bytes: int = 0


@contextlib.contextmanager
def watching(port: int, key: str, count: int) -> Iterator[Seen]:
    """Let browsers look until the block ends; what they were told is there afterwards."""
    command = [sys.executable, "-m", "benchmarks.browsers", str(port), key, str(count)]
    seen = Seen()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"READY\n":
            raise SystemExit("the browsers did not start")
        try:
            yield seen
        finally:
            out, _ = process.communicate()
    found = msgspec.json.decode(out, type=Seen)
    seen.told, seen.bytes = found.told, found.bytes


async def _look(port: int, key: str, seen: Seen, ready: asyncio.Semaphore) -> None:
    mine: dict[str, float] = {}
    seen.told.append(mine)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    writer.write(
        f"GET /live/incidents HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: tocsin={key}\r\n"
        "Accept: text/event-stream\r\n\r\n".encode()
    )
    await reader.readuntil(b"event: hello")
    ready.release()
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            message = await reader.readuntil(b"\n\n")
            now = time.perf_counter()
            seen.bytes += len(message)
            for number in _TITLE.findall(message):
                mine.setdefault(number.decode(), now)


async def _browse(port: int, key: str, count: int) -> Seen:
    seen, ready = Seen(), asyncio.Semaphore(0)
    browsers = [asyncio.create_task(_look(port, key, seen, ready)) for _ in range(count)]
    for _ in browsers:
        await ready.acquire()
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for browser in browsers:
        browser.cancel()
    await asyncio.gather(*browsers, return_exceptions=True)
    return seen


if __name__ == "__main__":
    _, port_, key_, count_ = sys.argv
    found_ = asyncio.run(_browse(int(port_), key_, int(count_)))
    sys.stdout.buffer.write(msgspec.json.encode(found_))
