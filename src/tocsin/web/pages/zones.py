"""The time zones that forms offer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from zoneinfo import available_timezones

#: Names that are there for old programs.
_OLD = ("Etc/", "SystemV/", "US/", "Brazil/", "Canada/", "Chile/", "Mexico/")


@cache
def _offered() -> tuple[str, ...]:
    return tuple(
        sorted(name for name in available_timezones() if "/" in name and not name.startswith(_OLD))
    )


def zone_options(now: str = "") -> Sequence[str]:
    """Return the names to choose from; the one there is now is always among them."""
    first = ["UTC"] if now in ("", "UTC", *_offered()) else [now, "UTC"]
    return [*first, *_offered()]
