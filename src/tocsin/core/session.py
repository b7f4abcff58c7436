"""How long somebody stays signed in, what links let them in, and how they like the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: However busy it is, a session ends after this.
LONGEST = timedelta(days=30)

#: Unused for so long, it ends.
IDLE = timedelta(days=7)

#: A use is noted at most so often: a page read writes nothing.
NOTED_EVERY = timedelta(minutes=5)

#: In use, a session gets a new key so often.
ROTATED_EVERY = timedelta(days=1)

#: From the first use of a new key on, the one before is good for so long: for requests under way.
OLD_KEY_GOOD_FOR = timedelta(minutes=1)


def is_over(seen_at: datetime, expires_at: datetime, now: datetime) -> bool:
    """Whether a session is over."""
    return now >= expires_at or now - seen_at >= IDLE


def is_old_key_good(until: datetime | None, now: datetime) -> bool:
    """Whether the key before the present one still lets in.

    ``until`` is None while the browser has not shown the new one: it may never have got it.
    """
    return until is None or now < until


def is_to_rotate(rotated_at: datetime, now: datetime, *, is_old: bool) -> bool:
    """Whether a browser is to get a new key; ``is_old``: it shows the key before the present one.

    Whoever still shows the old one after a while has lost the new one on the way.
    """
    return now - rotated_at >= (OLD_KEY_GOOD_FOR if is_old else ROTATED_EVERY)


class LinkKind(StrEnum):
    """What a one-time link is for."""

    SETUP = "setup"
    INVITATION = "invitation"
    RESET = "reset"


#: How long each is good.
LINK_GOOD_FOR: Mapping[LinkKind, timedelta] = {
    LinkKind.SETUP: timedelta(hours=24),
    LinkKind.INVITATION: timedelta(days=7),
    LinkKind.RESET: timedelta(hours=1),
}

#: Where each leads to.
LINK_PATH: Mapping[LinkKind, str] = {
    LinkKind.SETUP: "/setup/",
    LinkKind.INVITATION: "/invite/",
    LinkKind.RESET: "/reset/",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How a person likes the page."""

    #: ``auto``, ``light`` or ``dark``.
    theme: str = "auto"
    is_24h: bool = True
    has_shortcuts: bool = True
