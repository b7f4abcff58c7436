"""The HTTP server: granian, embedded in this process, so that both live and die together."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

#: Connections waiting to be accepted, and requests at work; more wait in the kernel.
_BACKLOG = 4096
_AT_WORK = 4096

#: Milliseconds a client may take to send its request line and headers.
_HEADERS_MS = 5_000

#: Bytes of headers that are taken; twice as many are 431. A body is read in pieces of this size, of
#: which a connection holds some: fifty that send too much must not take 10 MiB.
_HEADERS_BYTES = 32_768


class CannotListen(OSError):
    """The address is in use, or not ours to listen on."""


def check_listen(listen: tuple[str, int]) -> None:
    """Make sure that the address is free, and ours. Raises CannotListen.

    The server itself would share a port that another one has (SO_REUSEPORT), and the kernel would
    deal webhooks out between the two.
    """
    host, port = listen
    try:
        family, kind, protocol, _, address = _resolved(listen)
        with socket.socket(family, kind, protocol) as probe:
            # Connections of a server that ended a moment ago are no hindrance; a listening one is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another address with"
            " --listen or TOCSIN_LISTEN"
        ) from None


def _resolved(listen: tuple[str, int]) -> Any:
    """Return the first address of a host, as the server wants it: it takes no names."""
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    return socket.getaddrinfo(*listen, type=kind, flags=flags)[0]


async def run_server(
    app: Any,
    listen: tuple[str, int],
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    part: Callable[[], None] = lambda: None,
) -> None:
    """Serve ``app`` until ``stop``, then answer what is under way.

    ``part`` ends what would be under way for ever.
    """
    host, port = _resolved(listen)[4][:2]
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
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEADERS_MS, max_buffer_size=_HEADERS_BYTES
        ),
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    if ready is not None:
        await _until_listening(host, port, serving)
        if not serving.done():
            ready.set()
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    part()
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
