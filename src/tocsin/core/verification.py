"""The limits on codes that verify a contact method."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

#: How long a code is good for, and how often one may be wrong about it.
GOOD_FOR = timedelta(minutes=15)
TRIES = 5

#: How many codes go to one contact method, and how many one person has sent to all of theirs: who
#: names a stranger's address must not be able to fill it.
PER_METHOD = ((1, timedelta(minutes=1)), (5, timedelta(hours=1)))
PER_PERSON = (10, timedelta(hours=1))

DIGITS = 6


def wait_for_code(sent_at: Sequence[datetime], now: datetime) -> timedelta | None:
    """Return how long one has to wait for the next code; None: not at all."""
    waits = [
        recent[-count] + window - now
        for count, window in PER_METHOD
        if len(recent := sorted(at for at in sent_at if at > now - window)) >= count
    ]
    return max(waits, default=None)
