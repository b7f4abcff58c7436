"""Webhooks as Sentry sends them: once, with a second of patience, in no order that is promised.

Bytes are compact JSON with every other letter escaped, signed as they are. A redirect counts as
delivered and is not followed. Only published integrations are tried again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import queue
import random
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from tocsin.fake_sentry.things import App, Clock, Json

AGENT = "sentry/26.10.0 (https://sentry.io)"
LEGACY_AGENT = "python-urllib3/2.5.0"
TIMEOUT = 1.0

#: Attempts in all, for who is tried again at all.
_ATTEMPTS = 3
_RETRIED = frozenset({0, 500, 502})


def encode(body: object) -> bytes:
    """Write JSON as Sentry does."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode()


def signed(secret: str, body: bytes) -> str:
    """Sign a body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@dataclass(slots=True)
class Answer:
    """What came back; status 0 if nothing did in time."""

    status: int
    body: bytes = b""


def request(method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Ask once: nothing is followed."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error).encode())
    finally:
        connection.close()


@dataclass(eq=False, slots=True)
class Hook:
    """One webhook, and what became of it."""

    #: Whose it is; None for what the legacy plugin sends, to the callback URLs of a project.
    app: App | None
    url: str
    resource: str
    action: str
    body: bytes
    made_at: int
    #: ``waiting``, ``dropped``, ``sent``.
    state: str = "waiting"
    answers: list[int] = field(default_factory=list)
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def headers(self, *, is_new: bool) -> dict[str, str]:
        """Return the headers of one attempt: each has another id."""
        if self.app is None:
            return {"Content-Type": "application/json", "User-Agent": LEGACY_AGENT}
        made = {
            "Content-Type": "application/json",
            "User-Agent": AGENT,
            "Request-ID": uuid.uuid4().hex,
            "Sentry-Hook-Resource": self.resource,
            "Sentry-Hook-Timestamp": str(self.made_at),
            "Sentry-Hook-Signature": signed(self.app.client_secret, self.body),
        }
        return made | ({"Idempotency-Key": self.key} if is_new else {})

    def told(self, *, is_new: bool = True) -> Json:
        """Write it for whoever asks what was sent."""
        return {
            "url": self.url,
            "app": self.app.slug if self.app else None,
            "resource": self.resource,
            "action": self.action,
            "state": self.state,
            "answers": self.answers,
            "headers": self.headers(is_new=is_new),
            "body": json.loads(self.body),
            "body_base64": base64.b64encode(self.body).decode(),
        }


@dataclass(slots=True)
class Settings:
    """How webhooks go wrong."""

    #: Off: they are kept for whoever takes them.
    sending: bool = True
    #: They wait, and go all at once in another order.
    hold: bool = False
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    #: With the header that the newest versions send.
    idempotency_key: bool = True
    retry_seconds: float = 300.0
    #: ``SENTRY_DISALLOWED_IPS``: networks that nothing is sent to.
    disallowed: list[str] = field(default_factory=list)


class Sender:
    """Sends webhooks, each in its own time."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nothing to send."""
        self.settings = Settings()
        self.log: list[Hook] = []
        self._clock = clock
        self._random = random.Random(1)  # noqa: S311 - nothing is secret
        self._drops: list[bool] = []
        self._held: list[Hook] = []
        self._queue: queue.SimpleQueue[Hook] = queue.SimpleQueue()
        self._open = 0
        self._free = threading.Condition()
        for _ in range(4):
            threading.Thread(target=self._work, daemon=True).start()

    def configure(self, said: Json) -> None:
        """Take settings; ``drop`` (so many of the next ``of``) and ``seed`` besides."""
        said = dict(said)
        if "seed" in said:
            self._random.seed(said.pop("seed"))
        if "drop" in said:
            count = int(said.pop("drop"))
            of = max(count, int(said.pop("of", count)))
            self._drops = [True] * count + [False] * (of - count)
            self._random.shuffle(self._drops)
        for name, value in said.items():
            setattr(self.settings, name, value)
        if not self.settings.hold:
            self.release()

    def put(self, app: App, resource: str, action: str, body: Json) -> None:
        """Send something to an integration, if fate will have it."""
        made_at = int(self._clock.now().timestamp())
        self._put(Hook(app, app.webhook_url, resource, action, encode(body), made_at))

    def put_plain(self, url: str, body: Json) -> None:
        """Send something as the legacy plugin does: unsigned, and written otherwise."""
        made_at = int(self._clock.now().timestamp())
        self._put(Hook(None, url, "", "", json.dumps(body).encode(), made_at))

    def _put(self, hook: Hook) -> None:
        self.log.append(hook)
        is_dropped = self._drops.pop(0) if self._drops else False
        if is_dropped or self._random.random() < self.settings.loss:
            hook.state = "dropped"
            return
        copies = 2 if self._random.random() < self.settings.duplicate else 1
        for _ in range(copies):
            if self.settings.hold or not self.settings.sending:
                at = len(self._held)
                if self._held and self._random.random() < self.settings.reorder:
                    at = self._random.randrange(len(self._held))
                self._held.insert(at, hook)
            else:
                self._send(hook)

    def release(self, order: str = "") -> None:
        """Send what was held: as it is, ``reverse``, or ``shuffle``."""
        if not self.settings.sending:
            return
        for hook in self._ordered(order):
            self._send(hook)

    def take(self, order: str = "") -> list[Json]:
        """Give what was held to whoever asks, as what they would have got."""
        taken = self._ordered(order)
        for hook in taken:
            hook.state = "sent"
        return [hook.told(is_new=self.settings.idempotency_key) for hook in taken]

    def _ordered(self, order: str) -> list[Hook]:
        held, self._held = self._held, []
        if order == "reverse":
            held.reverse()
        elif order == "shuffle":
            self._random.shuffle(held)
        return held

    def _send(self, hook: Hook) -> None:
        with self._free:
            self._open += 1
        self._queue.put(hook)

    def settle(self, seconds: float) -> bool:
        """Wait until all is sent; return whether it is."""
        with self._free:
            return self._free.wait_for(lambda: self._open == 0, timeout=seconds)

    def _work(self) -> None:
        while True:
            hook = self._queue.get()
            try:
                self._attempt_all(hook)
            finally:
                with self._free:
                    self._open -= 1
                    self._free.notify_all()

    def _post(self, hook: Hook, headers: dict[str, str]) -> Answer:
        if _is_in(self.settings.disallowed, hook.url):
            return Answer(0, b"SSRFException: the address is disallowed")
        return request("POST", hook.url, hook.body, headers)

    def _attempt_all(self, hook: Hook) -> None:
        is_published = hook.app is not None and hook.app.status == "published"
        attempts = _ATTEMPTS if is_published else 1
        for number in range(attempts):
            if number:
                time.sleep(self.settings.retry_seconds)
            headers = hook.headers(is_new=self.settings.idempotency_key)
            status = self._post(hook, headers).status
            hook.answers.append(status)
            hook.state = "sent"
            if status not in _RETRIED:
                return


def _is_in(networks: list[str], url: str) -> bool:
    """Whether a URL leads into one of these networks."""
    if not networks:
        return False
    address = ip_address(socket.gethostbyname(urlsplit(url).hostname or ""))
    return any(address in ip_network(one) for one in networks)


def summary(hooks: list[Hook]) -> list[Any]:
    """Write what was sent, in order."""
    return [hook.told() for hook in hooks]
