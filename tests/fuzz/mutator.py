"""Bodies that are nearly good: real ones, changed in a few places by bytes or by shape."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tocsin.dialects import NAMES, table
from tocsin.sentry.sender import ACTIONS, Issue, legacy_webhook, webhook

RECORDED = Path(__file__).resolve().parents[1] / "contracts" / "genuine-23.7"

#: What parsers stumble over, as it is written.
TOKENS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e-400", b"0x10", b"01", b"+1", b"1.", b".5",
    b"9" * 40, b"9" * 5000, b"-" + b"9" * 400, b"null", b"true", b"false", b"undefined",
    b'"\\u0000"',
    b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u202e"', b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\\", b'"', b"'", b"{", b"}", b"[", b"]", b",", b":",
    b"/*x*/", b"//x\n", b"\r\n", b"\t", b"\x0c", b"[" * 70, b'{"a":' * 70, b"[" * 3000, b'{"":1}',
    b'"\\x41"', b'"\\u12"', b"\\u000", b'{"action":"created"}', b'"%s%n"', b"<script>", b"\x1b[2J",
    b'"' + b"x" * 70_000 + b'"',
)  # fmt: skip

#: What a field may hold that nobody expects there.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64 - 1, -(2**63), 1.5, -0.0, 1e308,
    "", " ",
    "0", "-1", "null", "\x00", "a\x00b", "\u202ex", "\ufeff", "\U0010ffff", "x" * 300, "x" * 5000,
    "{0}", "%s", "<b>", "\r\nX: y", "2026-13-45T99:99:99Z", "2026-01-05T09:00:00Z", "0000-00-00",
    "9999-12-31T23:59:59+23:59", "1e999", "http://", "javascript:x", "https://e.com/\nX",
    "http://[",
    [], {}, [[]], [{}], {"": ""}, [None], [["a", "b"]], [["level", "fatal"]], [["a"]], [[1, 2, 3]],
    {"id": {"id": {"id": 1}}}, ["fatal", "error"], {"key": "level", "value": ["x"]},
    [{"key": "environment", "value": None}], list(range(300)), {str(n): n for n in range(300)},
)  # fmt: skip

_WRITTEN = tuple(msgspec.json.encode(value) for value in VALUES)


def recorded() -> list[tuple[bytes, str | None]]:
    """Return the bodies of Sentry's own, with what each was said to be about."""
    found = []
    for path in sorted(RECORDED.glob("*.json")):
        one = json.loads(path.read_text("utf-8"))
        if one.get("body_base64"):
            found.append((base64.b64decode(one["body_base64"]), one.get("resource")))
    return found


def seeds() -> list[tuple[bytes, str | None]]:
    """Return good bodies of every kind there is."""
    issue = Issue(id="1", title="E: it broke")
    made: list[tuple[bytes, str | None]] = [
        (webhook(resource, action, issue).body, resource)
        for resource, actions in ACTIONS.items()
        for action in actions
    ]
    made += [(legacy_webhook(issue).body, None), *recorded()]
    for name in NAMES:
        made += [(msgspec.json.encode(one.body), one.resource) for one in table(name).examples]
    payload = {
        "summary": "disk full", "source": "db1", "severity": "error", "component": "c",
        "timestamp": "2026-01-05T09:00:00Z", "custom_details": {"a": 1},
    }  # fmt: skip
    event = {"routing_key": "key-events", "dedup_key": "k", "payload": payload, "links": [],
             "images": [], "client": "m", "client_url": "https://e.com"}  # fmt: skip
    for action in ("trigger", "acknowledge", "resolve"):
        made.append((msgspec.json.encode({"event_action": action, **event}), None))
    form = {"fields": [{"name": "service", "value": "checkout"}], "installationId": "x",
            "issueId": 1, "webUrl": "https://e.com", "project": {"slug": "p", "id": 2},
            "actor": {"type": "user", "id": 1, "name": "n"}, "incident": "inc_1"}  # fmt: skip
    made.append((msgspec.json.encode(form), None))
    return made


class Mutator:
    """An endless stream of bodies, always the same for a seed."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self.chance = random.Random(seed)
        self.seeds = seeds()

    def __iter__(self) -> Iterator[tuple[bytes, str | None]]:
        """Yield bodies, each with what its sender says that it is about."""
        chance = self.chance
        resources: Sequence[str | None] = [*ACTIONS, None, "", "x", "\xff" * 20]
        while True:
            body, resource = chance.choice(self.seeds)
            if chance.random() < 0.75:
                body = self._by_shape(body)
            if chance.random() < 0.35:
                for _ in range(chance.choice((1, 1, 1, 2, 8))):
                    body = self._by_bytes(body)
            yield body, resource if chance.random() < 0.8 else chance.choice(resources)

    def _by_shape(self, body: bytes) -> bytes:
        """Change a few places of a JSON document, and write it again."""
        chance = self.chance
        root = msgspec.json.decode(body)
        for _ in range(chance.choice((1, 1, 2, 3, 10))):
            holder, place = self._somewhere(root)
            if holder is None:
                break
            what = chance.random()
            if what < 0.6:
                holder[place] = msgspec.json.decode(chance.choice(_WRITTEN))
            elif what < 0.7:
                del holder[place]
            elif what < 0.8 and isinstance(holder, dict):
                holder[chance.choice((str(place) + "s", str(place).upper(), "", "\x00"))] = 1
            elif what < 0.9:
                deep: Any = holder[place]
                for _ in range(chance.choice((1, 3, 62, 64, 70))):
                    deep = {"id": deep} if chance.random() < 0.5 else [deep]
                holder[place] = deep
            else:
                other = msgspec.json.decode(chance.choice(self.seeds)[0])
                holder[place] = self._part_of(other)
        return msgspec.json.encode(root)

    def _somewhere(self, root: Any) -> tuple[Any, Any]:
        """Go down by chance; return something that holds others, and where in it."""
        holder, place, here = None, None, root
        while isinstance(here, dict | list) and here:
            holder = here
            place = (
                self.chance.choice(list(here))
                if isinstance(here, dict)
                else self.chance.randrange(len(here))
            )
            here = here[place]
            if self.chance.random() < 0.25:
                break
        return holder, place

    def _part_of(self, root: Any) -> Any:
        holder, place = self._somewhere(root)
        return root if holder is None else holder[place]

    def _by_bytes(self, body: bytes) -> bytes:
        """Change, take out, put in, double or cut bytes."""
        chance = self.chance
        if not body:
            return chance.choice(TOKENS)
        at = chance.randrange(len(body))
        end = min(len(body), at + chance.choice((1, 1, 2, 8, 64, 500)))
        other = chance.choice(self.seeds)[0]
        made = (
            (body[:at], bytes([body[at] ^ (1 << chance.randrange(8))]), body[at + 1 :]),
            (body[:at], body[end:]),
            (body[:at], chance.choice(TOKENS), body[at:]),
            (body[:at], chance.choice(TOKENS), body[end:]),
            (body[:at], body[at:end] * chance.choice((2, 3, 50)), body[end:]),
            (body[:at],),
            (body[:at], other[chance.randrange(len(other)) :]),
        )
        return b"".join(made[chance.randrange(len(made))])
