"""How the API goes wrong, and what it was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tocsin.fake_sentry.things import Json

#: What is kept of what was asked.
_KEPT = 5000


@dataclass(slots=True)
class Faults:
    """One way to go wrong at a time, for all requests or for some."""

    #: ``away``, ``slow``, ``html``, ``status``, ``json``, ``huge``, ``packed``, ``drops``; none:
    #: all is well.
    said: Json = field(default_factory=dict)
    requests: list[Json] = field(default_factory=list)
    #: The most requests there ever were at the same time.
    at_once: int = 0
    _now: int = 0

    def configure(self, said: Json) -> None:
        """Go wrong so: ``count`` times, or until told otherwise; on paths like ``path``."""
        self.said = dict(said)

    def due(self, method: str, path: str) -> Json:
        """Return how this request goes wrong; it is counted."""
        said = self.said
        if not said or not re.search(said.get("path", ""), path):
            return {}
        if said.get("method", method) != method:
            return {}
        count = said.get("count")
        if count is not None:
            if count <= 0:
                return {}
            said["count"] = count - 1
        return said

    def begin(self, asked: Json) -> None:
        """Note a request that begins."""
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        self.requests.append(asked)
        del self.requests[:-_KEPT]

    def end(self, asked: Json, status: int) -> None:
        """Note that it is answered."""
        self._now -= 1
        asked["status"] = status


def broken_body(said: Json) -> tuple[int, str, Any] | None:
    """Return status, type and body of an answer that is none; None where nothing is wrong."""
    if said.get("html"):
        page = b"<!doctype html><title>Sign in</title><h1>Sign in to continue</h1>"
        return int(said.get("status", 200)), "text/html", page
    if "json" in said:
        wrong = {"wrong": b'{"wrong":true}', "cut": b'{"id": "1", "titl', "list": b"[1,2,3]",
                 "deep": b"[" * 100_000, "text": b"ok"}  # fmt: skip
        return 200, "application/json", wrong.get(str(said["json"]), b"null")
    if said.get("huge"):
        return 200, "application/json", b'[{"id":"' + b"1" * (3 * 2**20) + b'"}]'
    if said.get("status"):
        status = int(said["status"])
        words = {429: "You are attempting to use this endpoint too frequently. Limit is 40"
                      " requests in 1 seconds", 500: "Internal Error"}  # fmt: skip
        body = b'{"detail":"%s"}' % words.get(status, "It went wrong").encode()
        return status, "application/json", body
    return None


def without(body: bytes, names: Collection[str]) -> bytes:
    """Return a body without these fields, as a Sentry reads it that does not know them."""
    read = json.loads(body or b"{}")
    return json.dumps({name: said for name, said in read.items() if name not in names}).encode()
