"""Providers that take pages, each in its way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Call:
    """A message that came."""

    path: str
    id: str
    type: str
    #: What the incident is about.
    key: str
    at: float
    wall: float
    data: Any


@dataclass
class Provider:
    """An HTTP server; the first word of a path says how it answers."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)
    #: Seconds before each answer.
    delay: float = 0.0
    #: How many bytes of its endless answer ``/big`` could hand over, at most.
    handed_over: int = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def pages(self, path: str | None = None) -> list[Call]:
        """Return the pages that came."""
        return [
            call
            for call in self.calls
            if call.type == "incident.page" and path in (None, call.path)
        ]

    def ids(self) -> Counter[str]:
        """Count the pages by their id."""
        return Counter(call.id for call in self.pages())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split()
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET":
            self.gets.append(time.perf_counter())
        else:
            said = json.loads(body)
            about = said["data"].get("incident") or {}
            self.calls.append(
                Call(
                    path,
                    headers.get("webhook-id", ""),
                    said["type"],
                    about.get("dedup_key", ""),
                    time.perf_counter(),
                    time.time(),
                    said["data"],
                )
            )
        if self.delay:
            await asyncio.sleep(self.delay)
        way = path.split("/")[1]
        answers = {"hang": self._hang, "drip": self._drip, "big": self._big, "reset": self._reset}
        if way in answers:
            await answers[way](writer)
            return False
        status = {"429": "429 Slow\r\nRetry-After: 40", "500": "500 No", "410": "410 Gone"}
        line = status.get(way, "204 OK")
        length = "" if line.startswith("204") else "Content-Length: 0\r\n"
        writer.write(f"HTTP/1.1 {line}\r\n{length}\r\n".encode())
        await writer.drain()
        return True

    async def _hang(self, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.5)

    async def _big(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        sent = 0
        try:
            while sent < 100_000_000:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        finally:
            self.handed_over = max(self.handed_over, sent)

    async def _reset(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
