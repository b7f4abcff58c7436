"""Which bodies of a storm are kept: what is said a thousand times is kept some of those times.

Of an alert that goes on, the first ``KEPT_FIRST`` repeats of an hour are kept whole, then every
tenth, hundredth, thousandth one, and always the last. A storm of 100,000 leaves 82 bodies. What
opened, changed or ended anything is no repeat; and every delivery stays in the log and is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

#: So many repeats are kept, whatever comes.
KEPT_FIRST = 50

#: Then the count begins anew.
SPAN = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How often an alert repeated itself since an instant."""

    since: datetime
    count: int = 0
    #: The latest delivery, if its body is kept for no other reason than that.
    last_id: str | None = None


def is_kept(number: int) -> bool:
    """Whether the body of this repeat, from 1, is kept even when others follow."""
    return number <= KEPT_FIRST or number % 10 ** (len(str(number)) - 1) == 0


def thin(
    known: Repeats | None, ids: Iterable[str], now: datetime
) -> tuple[Repeats, tuple[str, ...]]:
    """Count deliveries that repeat an alert; return those whose bodies are not kept."""
    if known is None or now - known.since >= SPAN:
        # The last of the hour before stays.
        known = Repeats(since=now)
    gone = []
    for id_ in ids:
        if known.last_id is not None:
            gone.append(known.last_id)
        number = known.count + 1
        known = replace(known, count=number, last_id=None if is_kept(number) else id_)
    return known, tuple(gone)
