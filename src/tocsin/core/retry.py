"""When to try again, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Outcome(StrEnum):
    """What a channel reports of one attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"
    #: The address is no more: its contact method is disabled.
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One attempt's outcome, with what the provider said (no secrets, bounded)."""

    outcome: Outcome
    detail: str
    #: What the provider asked for (HTTP ``Retry-After``).
    retry_after: timedelta | None = None


def _s(*seconds: int) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=value) for value in seconds)


#: The wait after the n-th failed attempt; past the end the last one holds.
BACKOFF = _s(5, 15, 30, 60, 120, 300, 600)

#: Attempts at one notification: about 6 hours, by when the next steps have long paged others.
MAX_ATTEMPTS = 40

#: The longest a provider may make us wait.
MAX_RETRY_AFTER = timedelta(minutes=15)

#: Attempts at one job of our own making before it is buried where people can see it.
MAX_JOB_ATTEMPTS = 20


def backoff(attempt: int) -> timedelta:
    """Return the wait after the ``attempt``-th failure, from 1."""
    return BACKOFF[min(attempt, len(BACKOFF)) - 1]


def next_attempt(report: Report, attempt: int, now: datetime) -> datetime | None:
    """Return when to try again after the ``attempt``-th attempt, from 1; None for never."""
    if report.outcome is not Outcome.RETRY or attempt >= MAX_ATTEMPTS:
        return None
    asked = min(report.retry_after or timedelta(), MAX_RETRY_AFTER)
    return now + max(asked, backoff(attempt))
