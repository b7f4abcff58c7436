"""The HTTP server: granian, embedded in this process, so that both live and die together."""

from __future__ import annotations

import asyncio
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

#: Connections waiting to be accepted, and requests at work; more wait in the kernel.
_BACKLOG = 4096
_AT_WORK = 4096

#: Milliseconds a client may take to send its request line and headers.
_HEADERS_MS = 5_000


async def run_server(
    app: Any, listen: tuple[str, int], stop: asyncio.Event, ready: asyncio.Event | None = None
) -> None:
    """Serve ``app`` until ``stop``, then answer what is under way."""
    host, port = listen
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_AT_WORK,
        log_enabled=False,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_MS),
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    if ready is not None:
        await _until_listening(host, port, serving)
        ready.set()
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        server.stop()  # type: ignore[no-untyped-call]
    await serving


async def _until_listening(host: str, port: int, serving: asyncio.Task[Any]) -> None:
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
