"""Read a request's body: of bounded size, in bounded time, within a bounded whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias

from tocsin.web.deadlines import Deadlines

Scope: TypeAlias = Any
Receive: TypeAlias = Callable[[], Awaitable[Any]]

#: A body must have arrived within this.
_SECONDS = 10.0

#: Bytes of all bodies held at once, read or waiting to be kept. Above: 503, never more memory.
_MAX_HELD = 64 * 2**20


#: What goes with a refusal: when to try again; and that what follows is not read as a request.
_WITH: Mapping[int, Sequence[tuple[bytes, bytes]]] = {
    400: ((b"connection", b"close"),),
    503: ((b"retry-after", b"1"),),
}


class Unread(Exception):
    """The body was not read to its end; the status says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """What is answered besides."""
        return _WITH.get(self.status, ())


class Hold:
    """The bytes of one request, counted against the whole until it is answered."""

    __slots__ = ("_bytes", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._bytes = 0

    def add(self, count: int) -> None:
        """Count more. Raises Unread if it is too much for all together."""
        self._bytes += count
        self._reader.held += count
        if self._reader.held > _MAX_HELD:
            raise Unread(503, "too much is arriving at once; send it again")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._reader.held -= self._bytes


class Reader:
    """Reads bodies of at most ``limit`` bytes."""

    def __init__(self, limit: int, deadlines: Deadlines) -> None:
        self._limit = limit
        self._deadlines = deadlines
        self.held = 0

    async def read(self, scope: Scope, receive: Receive, hold: Hold) -> bytes:
        """Return the body. Raises Unread."""
        chunks: list[bytes] = []
        is_too_large = _announced(scope) > self._limit
        size = 0
        try:
            with self._deadlines.within(_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        # Whoever is gone hears nothing; whoever wrote chunks that are none does.
                        raise Unread(400, "the body ended before it was whole")
                    chunk: bytes = message.get("body", b"")
                    has_more = message.get("more_body", False)
                    size += len(chunk)
                    is_too_large = is_too_large or size > self._limit
                    if is_too_large:
                        chunks.clear()
                    else:
                        hold.add(len(chunk))
                        chunks.append(chunk)
                    # Of one too large some more is read and dropped: a client that still writes
                    # would see its connection reset instead of the answer.
                    if not has_more or size > 4 * self._limit:
                        break
        except TimeoutError:
            if not is_too_large:
                reason = f"the body did not arrive within {_SECONDS:.0f} seconds"
                raise Unread(408, reason) from None
        if is_too_large:
            raise Unread(413, f"the body is larger than {self._limit} bytes")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _announced(scope: Scope) -> int:
    """Return the length that the headers tell, 0 for none. Raises Unread for a coding not ours."""
    is_chunked = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value[:18]) if value.isdigit() else 0
        if name == b"transfer-encoding":
            if is_chunked or value.strip().lower() != b"chunked":
                raise Unread(400, "the transfer coding is not chunked, once")
            is_chunked = True
    return 0
