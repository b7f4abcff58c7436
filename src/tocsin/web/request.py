"""A request at an intake URL, and the key in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

import msgspec

from tocsin.core.body import Body, read_body
from tocsin.store.views import SECRET_HEADERS
from tocsin.web.styles import Style

_SECRET = frozenset(name.encode() for name in SECRET_HEADERS)

#: A routing key in a body opens what the key in a URL does, and bodies are read by many.
_KEY_IN_BODY = re.compile(rb'("routing_key"\s*:\s*)"(?:[^"\\]|\\.)*"')
_MASKED = rb'\1"***"'

#: The longest a sender may wait for the outcome (``Prefer: wait=N``), in seconds.
MAX_WAIT = 10.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What intake looks at."""

    style: Style
    #: What follows the style's path.
    rest: str
    query_string: bytes
    #: As received; names are in lower case, as ASGI has them.
    raw_headers: Sequence[tuple[bytes, bytes]]
    #: By name; of several the last.
    headers: Mapping[bytes, bytes]
    body: bytes
    received_at: datetime

    def header(self, name: bytes) -> str | None:
        """Return a header of a lower-case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    def query(self, *names: str) -> str | None:
        """Return the first of these parameters of the URL that is there and not empty."""
        found = dict(parse_qsl(self.query_string.decode("latin-1")))
        return next((found[name] for name in names if name in found), None)

    @property
    def resource(self) -> str | None:
        """What Sentry says the body is about."""
        return self.header(b"sentry-hook-resource")

    @property
    def kept_headers(self) -> str:
        """The headers as they are kept, in JSON; keys of people and programs are not."""
        rows = [
            (name.decode("latin-1"), "•••" if name in _SECRET else value.decode("latin-1"))
            for name, value in self.raw_headers
        ]
        return msgspec.json.encode(rows).decode()

    @property
    def kept_body(self) -> bytes:
        """The body as it is kept: all of it, but a routing key that is in it."""
        return _KEY_IN_BODY.sub(_MASKED, self.body) if self.style.has_key_in_body else self.body

    @property
    def idempotency_key(self) -> str | None:
        """By what a repeat of this request is known: its key, else its id."""
        for kind, name in (("key", b"idempotency-key"), ("request", b"request-id")):
            value = self.headers.get(name)
            if value:
                if len(value) <= 200 and value.isascii():
                    return f"{kind}:{value.decode('ascii')}"
                return f"{kind}:{hashlib.sha256(value).hexdigest()}"
        return None

    @property
    def wait(self) -> float:
        """Seconds the sender wants to wait for the outcome (RFC 7240)."""
        prefers = self.header(b"prefer")
        found = re.search(r"(?:^|[,;\s])wait=([0-9]{1,4})", prefers) if prefers else None
        return min(float(found[1]), MAX_WAIT) if found else 0.0

    @property
    def bearer(self) -> str | None:
        """The token of ``Authorization: Bearer``."""
        scheme, _, key = (self.header(b"authorization") or "").partition(" ")
        return (key.strip() or None) if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class BearerKey:
    """An API key in place of a routing key; the body names the service."""

    text: str


#: A key, and the body where it had to be read to find the key.
Found: TypeAlias = tuple[str | BearerKey | None, Body | None]


def _path_key(request: Request) -> Found:
    return unquote(request.rest), None


def _itoc360_key(request: Request) -> Found:
    return request.query("token") or request.bearer, None


def _opsknight_key(request: Request) -> Found:
    return request.query("integrationId", "key"), None


_TOKEN = re.compile(r'token\s+token="?([^"\s]+)"?', re.IGNORECASE)


def _events_key(request: Request) -> Found:
    token = _TOKEN.fullmatch(request.header(b"authorization") or "")
    if token:
        return token[1], None
    return BearerKey(request.bearer) if request.bearer is not None else None, None


def _pagerduty_key(request: Request) -> Found:
    body = read_body(request.body)
    key = body.get("routing_key")
    return key if isinstance(key, str) else None, body


#: Style to where its key is. Raises core.body.NotJson where the key is in a body that is not JSON.
KEY_OF: Mapping[str, Callable[[Request], Found]] = {
    "native": _path_key,
    "navi": _path_key,
    "itoc360": _itoc360_key,
    "opsknight": _opsknight_key,
    "events": _events_key,
    "pagerduty": _pagerduty_key,
}

#: Style to what is said where there is no key.
NO_KEY = {
    "native": "the URL has no routing key",
    "navi": "the URL has no token",
    "itoc360": "there is no token: add ?token=… to the URL, or send Authorization: Bearer …",
    "opsknight": "integrationId is missing from the URL",
    "events": "send Authorization: Token token=… (or Bearer with an API key and service_id)",
    "pagerduty": "'routing_key' is missing",
}
