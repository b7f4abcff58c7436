"""Clients that send webhooks and write down what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tocsin.sentry.sender import Issue, webhook

#: Seconds after which no answer is none: more than Sentry has, for the figures say how long it was.
PATIENCE = 30.0
_MARK = "4242424242"


@dataclass
class Ledger:
    """What was sent, and what came back."""

    accepted: dict[str, float] = field(default_factory=dict)
    #: Answers that were no 2xx; 0 is none at all.
    others: Counter[int] = field(default_factory=Counter)
    #: Sent, and nothing heard: kept or not.
    unknown: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return the answer time that so many kept."""
        ordered = sorted(self.seconds) or [0.0]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Template:
    """A webhook whose issue is filled in at each sending: making it anew costs more."""

    def __init__(self, path: str, **issue: str) -> None:
        """Post to ``path``."""
        self._path = path
        self._body = webhook("issue", "created", Issue(id=_MARK, **issue)).body

    def request(self, issue: str, request_id: str, *, closes: bool = False) -> bytes:
        """Return the whole request."""
        body = self._body.replace(_MARK.encode(), issue.encode())
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
            f"Sentry-Hook-Resource: issue\r\nRequest-ID: {request_id}\r\n"
            f"Content-Length: {len(body)}\r\n{'Connection: close' if closes else 'X-K: 1'}\r\n\r\n"
        )
        return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length")),
        0,
    )
    await reader.readexactly(length)
    return int(lines[0].split()[1])


class Client:
    """One connection, made anew when it breaks."""

    def __init__(self, port: int, template: Template, ledger: Ledger) -> None:
        """Send to a port of the loopback interface."""
        self._port, self._template, self._ledger = port, template, ledger
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self, issue: str, *, retries: bool = False, keeps: bool = True, since: float | None = None
    ) -> None:
        """Send one and write down what came; with ``retries`` until it is accepted."""
        request_id, began = uuid.uuid4().hex, since or time.perf_counter()
        while True:
            status, was_sent = 0, False
            try:
                async with asyncio.timeout(PATIENCE):
                    if self._streams is None:
                        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                    reader, writer = self._streams
                    writer.write(self._template.request(issue, request_id, closes=not keeps))
                    was_sent = True
                    status = await _answer(reader)
            except (OSError, EOFError, TimeoutError):
                self.close()
            if not keeps:
                self.close()
            if 200 <= status < 300:
                self._ledger.accepted[issue] = time.perf_counter()
                self._ledger.seconds.append(time.perf_counter() - began)
                self._ledger.unknown.discard(issue)
                return
            self._ledger.others[status] += 1
            if was_sent and status == 0:
                self._ledger.unknown.add(issue)
            if not retries:
                return
            await asyncio.sleep(0.05)
            began = time.perf_counter()

    def close(self) -> None:
        """Leave."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def flood(
    port: int,
    template: Template,
    issues: Iterable[str],
    *,
    connections: int = 16,
    retries: bool = False,
    ledger: Ledger | None = None,
) -> Ledger:
    """Send all of them, over so many connections, as fast as they are answered."""
    ledger = ledger or Ledger()
    left: Iterator[str] = iter(issues)

    async def one() -> None:
        client = Client(port, template, ledger)
        for issue in left:
            await client.send(issue, retries=retries)
        client.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return ledger


@contextlib.asynccontextmanager
async def steady(
    port: int,
    template: Template,
    per_second: int,
    *,
    keeps: bool = True,
    issue: Callable[[int], str] = str,
) -> AsyncIterator[Ledger]:
    """Send so many a second, whatever is answered, until the block ends and all is answered.

    Counted from when it was to be sent: waiting for a free connection is waiting too.
    """
    ledger, free = Ledger(), asyncio.Queue[Client]()
    stops, under_way, made = asyncio.Event(), set[asyncio.Task[None]](), [0]

    async def one(number: str, since: float) -> None:
        client = free.get_nowait() if not free.empty() else Client(port, template, ledger)
        await client.send(number, keeps=keeps, since=since)
        free.put_nowait(client)

    async def drive() -> None:
        began = time.perf_counter()
        while not stops.is_set():
            due = began + made[0] / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(one(issue(made[0]), due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            made[0] += 1

    driving = asyncio.create_task(drive())
    try:
        yield ledger
    finally:
        stops.set()
        await driving
        await asyncio.gather(*under_way)
        while not free.empty():
            free.get_nowait().close()
