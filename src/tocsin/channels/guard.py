"""Where Tocsin may connect to: the public internet, and networks its owner opened on purpose.

The check is made on the address that is connected to, once it is resolved: a name that resolves to
something else the second time gains nothing. Redirects are not followed and proxies of the
environment are not used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import httpcore2
import httpx2

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Names looked up at once.
_NAMES = 32

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

#: What some versions of Python call global and what is not the public internet: where clouds keep
#: the secrets of a machine (Oracle, Azure), relays, documentation, the site-local of old.
_CLOSED = tuple(
    ipaddress.ip_network(one)
    for one in (
        "192.0.0.0/24", "168.63.129.16/32", "192.88.99.0/24",
        "64:ff9b:1::/48", "3fff::/20", "5f00::/16", "fec0::/10",
    )
)  # fmt: skip


class Forbidden(OSError):
    """The address may not be connected to; the message says how to open it."""


class Guard:
    """Decides which addresses may be connected to."""

    def __init__(self, allowed: Sequence[IpNetwork] = ()) -> None:
        """Open ``allowed`` besides the public internet."""
        self._allowed = tuple(allowed)
        # Threads of their own, and one per name: a name that nobody answers for takes one of them
        # for as long as it likes, however many messages wait for it.
        self._threads = ThreadPoolExecutor(_NAMES, thread_name_prefix="names")
        self._asked: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    def permits(self, address: IpAddress) -> bool:
        """Whether to connect. An address that wraps another is judged as that other."""
        if _is_in(address, self._allowed):
            return True
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is not None:
                return self.permits(address.ipv4_mapped)
            if address in _NAT64:
                return self.permits(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
            if address.sixtofour is not None or address.teredo is not None:
                return False
        is_special = address.is_multicast or address.is_reserved or _is_in(address, _CLOSED)
        return address.is_global and not is_special

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be connected to. Raises Forbidden, OSError."""
        addresses = await self._addresses(host.strip("[]"), port)
        permitted = [a for a in addresses if self.permits(ipaddress.ip_address(a.split("%")[0]))]
        if not permitted:
            raise Forbidden(
                f"{host} is not on the public internet; to send there all the same,"
                " open its network in TOCSIN_OUTBOUND_ALLOW"
            )
        return permitted

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Look a name up, once for all who ask meanwhile."""
        asked = self._asked.get((host, port))
        if asked is None or asked.get_loop() is not asyncio.get_running_loop():
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._threads, _look_up, host, port)
            self._asked[host, port] = asked
            asked.add_done_callback(lambda _done: self._asked.pop((host, port), None))
        # Who asked first may give up: the answer is the others' too.
        return await asyncio.shield(asked)

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a connected socket. Raises Forbidden, OSError."""
        last: OSError = OSError(f"{host} has no address")
        for address in await self.resolve(host, port):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
            except OSError as error:
                connection.close()
                last = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise last


def _is_in(address: IpAddress, networks: Iterable[IpNetwork]) -> bool:
    return any(address.version == net.version and address in net for net in networks)


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host[:100]!r} is not a name that a host can have") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class _GuardedBackend(httpcore2.AnyIOBackend):
    """Connects to what the guard permits; TLS goes on to name the host that was asked for."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of the library
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._guard.resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        last: httpcore2.NetworkError | httpcore2.TimeoutException | None = None
        for address in addresses:
            try:
                return await super().connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
                last = error
        raise last or httpcore2.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("Unix sockets are not connected to")


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, guard: Guard) -> None:
        # The base class would build a pool without a guard; everything else of it is used.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=200,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_GuardedBackend(guard),
        )


def guarded_client(guard: Guard) -> httpx2.AsyncClient:
    """Return the one HTTP client that everything outgoing goes through."""
    return httpx2.AsyncClient(
        transport=_GuardedTransport(guard),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(10.0),
        headers={"User-Agent": "tocsin"},
    )
