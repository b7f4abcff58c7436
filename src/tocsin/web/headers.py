"""What every answer tells browsers: trust nothing but what is ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

Send: TypeAlias = Callable[[Any], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

#: Scripts, styles and pictures are our own files; nothing is written into a page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self';"
    " base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)

_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]

#: What is meant for programs: nothing of it is a page, should a browser ever show it.
_FOR_PROGRAMS = (
    (b"content-type", b"application/json"),
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)

_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")


class Guarded:
    """A ``send`` that adds the headers to the start of an answer."""

    def __init__(self, send: Any, *, is_secure: bool) -> None:
        """Take where answers go."""
        self._send = send
        self._headers = [*_HEADERS, _TLS_ONLY] if is_secure else _HEADERS

    async def __call__(self, message: Any) -> None:
        """Send on."""
        if message["type"] == "http.response.start":
            given = {name for name, _ in message.get("headers", ())}
            more = [row for row in self._headers if row[0] not in given]
            if b"cache-control" not in given:
                more.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await self._send(message)


async def send_json(send: Send, status: int, body: bytes, more: Iterable[Header] = ()) -> None:
    """Answer a program that the framework never sees, with ``more`` headers."""
    length = (b"content-length", str(len(body)).encode())
    headers = [*_FOR_PROGRAMS, length, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
