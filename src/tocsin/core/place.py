"""Places in a body, as dialects write them.

How a place in a body is written, in TOML:

``title``
    the value at that dotted path, tried below each of the shape's roots in turn; a list of pairs
    (Sentry's tags) is looked into as an object would be, a list by position;
``/action``
    the same, from the top of the body, whatever the roots;
``issue_url ~ /issues/([0-9]+)``
    what the group of this expression matches in the text found there;
``metadata.type + metadata.value``
    both, joined by a colon, or the one that is there;
``projects.*``
    each text of the list found there;
``triggers[label=/action].actions[].settings``
    what is below those items of the lists whose ``label`` is the text at that place of the body,
    or below all of them (for ``choices`` only, which are names with values);
``=text``
    this very text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tocsin.core.body import Body


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look for a value: see the module docstring for how it is written."""

    keys: tuple[str, ...] = ()
    is_absolute: bool = False
    literal: str | None = None
    pattern: re.Pattern[str] | None = None
    joined: tuple[Place, ...] = ()
    #: As it is written.
    text: str = field(default="", compare=False)
    #: Whether it is a path and nothing more, as most are.
    is_plain: bool = field(default=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read one place as written in TOML. Raises re.error for a bad expression."""
        if text.startswith("="):
            return cls(literal=text[1:], text=text)
        if " ~ " in text:
            path, _, pattern = text.partition(" ~ ")
            found = re.compile(pattern)
            return cls(keys_of(path), path.startswith("/"), pattern=found, text=text)
        if " + " in text:
            return cls(joined=tuple(cls.parse(part) for part in text.split(" + ")), text=text)
        keys = keys_of(text)
        return cls(keys, text.startswith("/"), text=text, is_plain=keys[-1:] != ("*",))

    def first(self, body: Body, roots: Sequence[Any]) -> str | None:
        """Return the first text found here, as ``find`` does, without the machinery."""
        if not self.is_plain:
            return next(self.find(body, roots), None)
        for root in (body,) if self.is_absolute else roots:
            found = dig(root, self.keys)
            if found is not None and (text := as_text(found)):
                return text
        return None

    def find(self, body: Body, roots: Sequence[Any]) -> Iterator[str]:
        """Yield the texts found here, from the first root to the last."""
        if self.literal is not None:
            yield self.literal
        elif self.joined:
            parts = (next(place.find(body, roots), "") for place in self.joined)
            if whole := ": ".join(part for part in parts if part):
                yield whole
        else:
            for root in (body,) if self.is_absolute else roots:
                if self.keys[-1:] == ("*",):
                    items = dig(root, self.keys[:-1])
                    yield from filter(None, map(as_text, items if type(items) is list else ()))
                    continue
                text = as_text(dig(root, self.keys))
                if text and self.pattern is not None:
                    match = self.pattern.search(text)
                    text = match[1] if match else None
                if text:
                    yield text


#: A dot that is not within brackets.
_DOT = re.compile(r"\.(?![^\[]*\])")


def keys_of(path: str) -> tuple[str, ...]:
    """Return the keys of a path."""
    return tuple(key for key in _DOT.split(path.lstrip("/")) if key)


_ITEMS = re.compile(r"(?P<list>[^\[]+)\[(?:(?P<key>[^=\]]+)=(?P<place>[^\]]+))?\]")


def values_at(body: Body, value: Any, keys: Sequence[str]) -> Iterator[Any]:
    """Yield every value at a path whose lists are entered by ``[]``."""
    for at, key in enumerate(keys):
        items = _ITEMS.fullmatch(key)
        if items is None:
            value = dig(value, (key,))
            continue
        wanted = as_text(dig(body, keys_of(items["place"]))) if items["place"] else None
        found = dig(value, (items["list"],))
        for item in found if isinstance(found, list) else ():
            is_meant = items["key"] is None or as_text(dig(item, (items["key"],))) == wanted
            if is_meant:
                yield from values_at(body, item, keys[at + 1 :])
        return
    yield value


def dig(value: Any, keys: Sequence[str]) -> Any:
    """Return the value at a path of keys, or None."""
    for at, key in enumerate(keys):
        if isinstance(value, dict):
            found = value.get(key)
            if found is None:
                # A key may itself hold dots (`sentry.interfaces.Exception`, `monitor.slug`).
                return value.get(".".join(keys[at:])) if at + 1 < len(keys) else None
            value = found
        elif isinstance(value, list):
            rest = ".".join(keys[at:])
            pairs = dict(pairs_of(value))
            if rest in pairs:
                return pairs[rest]
            value = value[int(key)] if key.isdecimal() and int(key) < len(value) else None
        else:
            return None
    return value


def pairs_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of an object or of a list of pairs; anything else yields nothing."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        for pair in value:
            match pair:
                case [str(name), worth]:
                    yield name, worth
                case {"key": str(name), "value": worth} | {"name": str(name), "value": worth}:
                    yield name, worth


def as_text(value: Any) -> str | None:
    """Return a scalar as text; lists, objects, booleans, fractions and nulls are no answers."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None
