"""How Sentry's answers are read, and what each that is no good one means."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2
import msgspec

from tocsin.sentry.errors import Broken, NotPermitted, NotThere, Refused

T = TypeVar("T")

#: The most that is read of an answer.
MAX_BYTES = 2 * 2**20

#: The longest wait that is believed.
_LONGEST_WAIT = timedelta(minutes=15)

#: How much of somebody else's words is told on.
SAID = 200


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request: what it is called for people, and which scope it needs."""

    method: str
    what: str
    scope: str
    #: Integrations are managed elsewhere than issues.
    is_control: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read within its bounds."""

    status: int
    headers: httpx2.Headers
    body: bytes

    def read(self, kind: type[T]) -> T:
        """Return what the body says. Raises Broken."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.ValidationError as error:
            raise Broken(f"Sentry's answer is not as we know it: {str(error)[:SAID]}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Broken(_no_json(self)) from None

    @property
    def next(self) -> str | None:
        """The cursor of the page that follows."""
        for part in _LINK_PART.findall(self.headers.get("link", "")):
            said = dict(_LINK_WORD.findall(part))
            if said.get("rel") == "next":
                more = said.get("results") == "true"
                return said.get("cursor") if more else None
        return None


_LINK_PART = re.compile(r"<[^>]*>([^<]*)")
_LINK_WORD = re.compile(r'(\w+)="([^"]*)"')


async def body_of(response: httpx2.Response) -> bytes:
    """Read the body of an answer. Raises Broken where it is packed, or too large."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Broken("Sentry's answer is packed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Broken(f"Sentry's answer is larger than {MAX_BYTES // 2**20} MiB")
    return bytes(body)


def checked(call: Call, answer: Answer) -> Answer:
    """Return an answer that is a good one. Raises what is in ``sentry.errors``."""
    status = answer.status
    if 200 <= status < 300:
        return answer
    if 300 <= status < 400:
        raise Refused(
            f"Sentry leads elsewhere (HTTP {status}), which is not followed: give the address it"
            " leads to",
            status=status,
            detail="",
        )
    if status >= 500:
        raise Broken(f"Sentry failed (HTTP {status}) when asked to {call.what}")
    detail = _detail(answer)
    said = f" (Sentry says: {detail})" if detail else ""
    if detail is None:
        raise Broken(_no_json(answer))
    if status == 401 and call.scope != "org:write":
        raise NotPermitted(f"the token is not valid{said}: make a new one", status=401, scope="")
    if status in (401, 403):
        needed = f": it needs the scope {call.scope}" if call.scope else ""
        raise NotPermitted(
            f"the token may not {call.what}{needed}{said}", status=status, scope=call.scope
        )
    if status == 404:
        raise NotThere(f"Sentry does not find what was asked for, to {call.what}{said}")
    raise Refused(
        f"Sentry refused (HTTP {status}) to {call.what}{said}", status=status, detail=detail
    )


def _detail(answer: Answer) -> str | None:
    """Return Sentry's own words for a refusal, bounded; None where it is no answer of Sentry's."""
    if not answer.body:
        return ""
    try:
        told = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return "; ".join(_words(told))[:SAID]


def _words(told: Any, name: str = "", depth: int = 0) -> list[str]:
    """Return the sentences in a refusal: of a detail, or field by field."""
    if isinstance(told, str):
        plain = " ".join(told.split())
        return [f"{name}: {plain}" if name else plain] if plain else []
    if depth > 3:
        return []
    if isinstance(told, Mapping):
        return [
            words
            for key, value in told.items()
            for words in _words(value, "" if key in _UNNAMED else str(key), depth + 1)
        ]
    if isinstance(told, Sequence):
        return [words for value in told for words in _words(value, name, depth + 1)]
    return []


_UNNAMED = frozenset({"detail", "message", "non_field_errors"})


def _no_json(answer: Answer) -> str:
    kind = answer.headers.get("content-type", "").partition(";")[0] or "nothing"
    return (
        f"the answer is not Sentry's (HTTP {answer.status}, {kind[:40]} where JSON belongs): is"
        " this the address of a Sentry?"
    )


def rest_of(headers: httpx2.Headers, *, is_over: bool) -> timedelta:
    """Return how long Sentry wants us to rest; ``is_over`` where it has refused already."""
    remaining = headers.get("x-sentry-rate-limit-remaining", "")
    if not is_over and remaining != "0":
        return timedelta()
    after = _seconds(headers.get("retry-after"))
    reset = _seconds(headers.get("x-sentry-rate-limit-reset"))
    if after is None and reset is not None:
        after = reset - _date_of(headers)
    least = 1.0 if is_over else 0.0
    waited = max(least if after is None else after, least)
    return min(timedelta(seconds=waited), _LONGEST_WAIT)


def _date_of(headers: httpx2.Headers) -> float:
    """Return when Sentry answered, by its own clock where it says so."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return time.time()


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e11 else None
