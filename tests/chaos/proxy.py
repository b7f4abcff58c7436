"""Connections that can be cut: a TCP proxy before whatever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self, TypeAlias

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect: TypeAlias = Callable[[], Awaitable[Streams]]


class Proxy:
    """Hands bytes on, until it is told not to."""

    def __init__(self, connect: Connect) -> None:
        """Lead to whatever ``connect`` connects to."""
        self._connect = connect
        self._server: asyncio.Server | None = None
        #: Asked with what a client says: whether the answer is to be lost.
        self.cuts: Callable[[bytes], bool] = lambda _said: False
        self.cut_count = 0
        #: Take bytes, and hand nothing on: a network that swallows.
        self.flows = asyncio.Event()
        self.flows.set()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None
        self.flows.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        is_cut = asyncio.Event()

        async def forth() -> None:
            while data := await reader.read(65_536):
                await self.flows.wait()
                if self.cuts(data):
                    self.cut_count += 1
                    is_cut.set()  # before the bytes go: no answer can come back
                there_writer.write(data)
                await there_writer.drain()
                if is_cut.is_set():
                    await asyncio.sleep(0.005)  # let them arrive
                    return

        async def back() -> None:
            while data := await there_reader.read(65_536):
                await self.flows.wait()
                if is_cut.is_set():
                    return
                writer.write(data)
                await writer.drain()

        ways = [asyncio.create_task(forth()), asyncio.create_task(back())]
        with contextlib.suppress(OSError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if not is_cut.is_set():
            # What is still on its way back arrives.
            await asyncio.wait(ways, timeout=5)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for one in (writer, there_writer):
            one.transport.abort() if is_cut.is_set() else one.close()


def to_socket(path: str) -> Connect:
    """Lead to a Unix socket."""
    return lambda: asyncio.open_unix_connection(path)


def to_any(ports: list[int], resting: set[int]) -> Connect:
    """Lead to these in turn, or to another where one is not there, as load balancers do.

    Those that rest were taken out, as whoever replaces servers does first.
    """
    turn = [0]

    async def connect() -> Streams:
        for _ in range(40):
            for _ in ports:
                turn[0] += 1
                if ports[turn[0] % len(ports)] in resting:
                    continue
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection("127.0.0.1", ports[turn[0] % len(ports)])
            await asyncio.sleep(0.05)
        raise OSError("nobody is there")

    return connect
