"""How long somebody stays signed in, and how they like the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: However busy it is, a session ends after this.
LONGEST = timedelta(days=30)

#: Unused for so long, it ends.
IDLE = timedelta(days=7)

#: A use is noted at most so often: a page read writes nothing.
NOTED_EVERY = timedelta(minutes=5)


def is_over(seen_at: datetime, expires_at: datetime, now: datetime) -> bool:
    """Whether a session is over."""
    return now >= expires_at or now - seen_at >= IDLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How a person likes the page."""

    #: ``auto``, ``light`` or ``dark``.
    theme: str = "auto"
    is_24h: bool = True
    has_shortcuts: bool = True
