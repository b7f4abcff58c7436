"""Raw bytes to a JSON object, by one policy for every sender.

What counts as JSON here is RFC 8259, less what databases and readers behind could not bear: no
invalid UTF-8, no NaN or Infinity, nothing nested deeper than ``DEPTH``, and an object at the top.
An integer of any length is JSON (kept as text where it is too long for a number), and so are NUL
and lone surrogates in strings (repaired where they are read, see ``core/text.py``). Of equal keys
the last wins. The raw bytes are kept beside whatever is read here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import msgspec

#: A decoded JSON object. The values are whatever a stranger sent.
Body: TypeAlias = Mapping[str, Any]

#: How deep arrays and objects may nest.
DEPTH = 64

#: More digits than this and an integer is kept as text: CPython refuses to parse 4,300 and more,
#: and nothing we read is a number that large.
_DIGITS = 18


class NotJson(ValueError):
    """The body is not a JSON object; the message says why, in one sentence."""


def read_body(raw: bytes) -> Body:
    """Decode ``raw``. Raises NotJson.

    The first decoder is fast and strict; what it refuses gets a second, slow reading that tells
    long integers and lone surrogates from what is not JSON at all.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        value = _read_slowly(raw)
    if not isinstance(value, dict):
        raise NotJson("the body is JSON, but not an object")
    # Every level costs a bracket: most bodies have too few of them to need the walk.
    if raw.count(b"{") + raw.count(b"[") > DEPTH and not _is_shallow(value):
        raise NotJson(f"the body is nested deeper than {DEPTH} levels")
    return cast("Body", value)


def _read_slowly(raw: bytes) -> object:
    if not raw.strip():
        raise NotJson("the body is empty")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8 (byte {error.start})") from None
    try:
        return json.loads(
            text, parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise NotJson(f"the body is nested deeper than {DEPTH} levels") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise NotJson(f"the body is not JSON ({error.msg}, {place})") from None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _DIGITS else digits


def _number(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _refuse_constant(name: str) -> object:
    raise NotJson(f"the body holds {name}, which is not JSON")


def _is_shallow(value: object) -> bool:
    """Walk level by level, never by recursion."""
    level: list[Any] = [value]
    for _ in range(DEPTH):
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return True
    return False
