"""When a source that usually speaks has been quiet for so long that somebody should look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

#: Deliveries closer together than this are one burst, and say once that the source lives.
BURST = timedelta(minutes=10)

#: Fewer bursts than this tell no rhythm.
LEAST = 10

#: Less than this is never silence.
SHORTEST = timedelta(hours=1)

#: So many times the longest gap so far.
FACTOR = 3

#: Whoever was not seen over a weekend may rest on it.
_WEEK = timedelta(days=8)
_WEEKEND = timedelta(days=2, hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A source is quiet for longer than it ever was."""

    #: The gap it usually has.
    usual: timedelta
    quiet_for: timedelta


def silence(arrivals: Sequence[datetime], now: datetime) -> Silence | None:
    """Return the silence of a source, from its latest arrivals in any order; None if it is well.

    Deliveries come in bursts, so what counts is the time between bursts. It warns only past three
    times the longest of them, and a source that was not known over a weekend may have one off.
    """
    bursts = _bursts(sorted(arrivals))
    if len(bursts) < LEAST:
        return None
    gaps = [later - earlier for earlier, later in pairwise(bursts)]
    longest = max(gaps)
    allowed = max(FACTOR * longest, SHORTEST)
    if bursts[-1] - bursts[0] < _WEEK:
        allowed = max(allowed, longest + _WEEKEND)
    quiet_for = now - bursts[-1]
    if quiet_for <= allowed:
        return None
    return Silence(usual=sorted(gaps)[len(gaps) // 2], quiet_for=quiet_for)


def _bursts(arrivals: Sequence[datetime]) -> list[datetime]:
    """Return the last arrival of each burst."""
    ends: list[datetime] = []
    for at in arrivals:
        if ends and at - ends[-1] < BURST:
            ends[-1] = at
        else:
            ends.append(at)
    return ends


def rate(arrivals: Sequence[datetime], now: datetime, *, is_cut: bool) -> float | None:
    """Return how many deliveries there are a day; None where too few are known.

    ``is_cut``: there are more than these; else these are all of them.
    """
    if len(arrivals) < 2:
        return None
    seen = max(now - min(arrivals), timedelta(minutes=1))
    if not is_cut:
        seen = max(seen, timedelta(days=1))
    return len(arrivals) / (seen / timedelta(days=1))
