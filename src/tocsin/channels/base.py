"""What every channel is, and the table of those there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import httpx2

from tocsin.channels.fetch import Fetched, fetch
from tocsin.channels.guard import Guard
from tocsin.core.model import (
    MessageType,
)
from tocsin.core.retry import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, rendered: a channel only carries it."""

    #: Stable over every attempt: receivers know a repeat by it.
    id: str
    type: MessageType
    #: When this attempt is made.
    at: datetime
    subject: str
    text: str
    #: The message for programs (contract section 6), JSON.
    document: bytes
    #: How to answer, where the channel takes replies: the last line of ``text`` too.
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The ways out of the process that channels share."""

    guard: Guard
    http: httpx2.AsyncClient
    smtp_url: str | None
    #: Names the host in message ids.
    public_url: str

    async def fetch(self, url: str, etag: str | None, max_bytes: int) -> Fetched:
        """Get a document, as ``channels.fetch.fetch`` does."""
        return await fetch(self.http, url, etag, max_bytes)


class Channel(Protocol):
    """A way to send."""

    async def send(self, message: Message, address: str, secret: str | None) -> Report:
        """Make one attempt and say how it went. Raises nothing but on a bug."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelKind:
    """A row of the table: forms, help and tests read it."""

    name: str
    label: str
    #: What an address looks like, for people.
    address_hint: str
    module: str
    #: Whether its contact methods have a secret that both sides know.
    has_secret: bool
    #: Whether pages of one service gather, and how many go out is limited: ``core/throttle.py``.
    is_bundled: bool
    #: Whether people can answer: then pages carry the number to answer with.
    takes_replies: bool = False

    def make(self, outside: Outside) -> Channel:
        """Build the channel. Its module is imported only then."""
        build: Callable[[Outside], Channel] = importlib.import_module(self.module).make
        return build(outside)

    def check(self, address: str) -> str | None:
        """Return what is wrong with an address, or None."""
        verdict: str | None = importlib.import_module(self.module).check(address)
        return verdict

    def check_secret(self, secret: str) -> str | None:
        """Return what is wrong with a secret, or None."""
        if not self.has_secret:
            return f"the channel {self.name} has no secret"
        verdict: str | None = importlib.import_module(self.module).check_secret(secret)
        return verdict

    def make_secret(self) -> str | None:
        """Return a new secret; None for a channel that has none."""
        if not self.has_secret:
            return None
        made: str = importlib.import_module(self.module).make_secret()
        return made


REGISTRY: Mapping[str, ChannelKind] = {
    kind.name: kind
    for kind in (
        ChannelKind(
            name="email",
            label="E-mail",
            address_hint="ann@example.com",
            module="tocsin.channels.email",
            has_secret=False,
            is_bundled=True,
        ),
        ChannelKind(
            name="webhook",
            label="Webhook",
            address_hint="https://example.com/hook",
            module="tocsin.channels.webhook",
            has_secret=True,
            # A program counts and sorts by itself: it gets every page, at once.
            is_bundled=False,
        ),
    )
}


def make_channels(outside: Outside) -> dict[str, Channel]:
    """Build every channel."""
    return {name: kind.make(outside) for name, kind in REGISTRY.items()}
