"""Repair text once, where it enters; every way out escapes for its own medium."""

from __future__ import annotations

import hashlib
import re

#: NUL stops a text in both databases; a lone surrogate cannot be encoded at all; the bidirectional
#: controls let a title write over what stands beside it.
_BROKEN = re.compile("[\x00\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

#: What ends a line, somewhere.
_BREAK = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

#: What a terminal obeys instead of showing it.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

TITLE_LENGTH = 1024
DEDUP_KEY_LENGTH = 255


def clean(text: str, limit: int = TITLE_LENGTH) -> str:
    """Return ``text`` fit to store and show, of at most ``limit`` characters."""
    return _BROKEN.sub("\ufffd", text[:limit])


def visible(text: str) -> str:
    """Return a text that a terminal shows and does not obey; its lines stay lines."""
    return _CONTROL.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return a text that stays in its line, and that no terminal obeys."""
    return visible(_BREAK.sub(" ", text))


def bounded_key(key: str) -> str:
    """Return a dedup key fit to store: one too long or unfit keeps its start and gets a digest.

    Two different keys stay different, and the same one stays the same.
    """
    whole = clean(key, DEDUP_KEY_LENGTH)
    if whole == key:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{whole[: DEDUP_KEY_LENGTH - 65]}:{digest}"
