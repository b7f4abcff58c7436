"""Which page goes to a contact method now, with which others, and which waits.

Pages of one service to one contact method stand in a *lane*. What goes out of a lane goes as one
message; after it, further pages gather there for a span, which is the longer the more messages
there were of late. Caps are per contact method, over all its lanes. Only channels that are bundled
have lanes: a program behind a webhook wants every page, and what is no page at all (codes, tests,
notices) never waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: At most so many messages in so long.
Cap = tuple[int, timedelta]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """How much a kind of channel may ring."""

    #: After the n-th message of a service within a quarter of an hour, how long its next pages
    #: gather; past the end the last one holds.
    spans: tuple[timedelta, ...]
    #: For what can wait: low urgency, and pages of an incident that was told there already.
    caps: tuple[Cap, ...]
    #: For everything. What it holds back still goes, bundled, as soon as there is room.
    hard: tuple[Cap, ...]

    @property
    def longest(self) -> timedelta:
        """How far back one has to look to count."""
        return max(window for _, window in ((0, _QUARTER), *self.caps, *self.hard))

    def span(self, count: int) -> timedelta:
        """Return how long pages gather after so many messages."""
        return self.spans[min(max(count, 1), len(self.spans)) - 1]


_MINUTE, _QUARTER, _HOUR = timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=1)

#: Of a bundled channel without a row of its own. However long a storm of one service lasts, of six
#: messages the last comes 17 minutes after the first: any quarter of an hour has five at most.
PERSONAL = Throttle(
    spans=(_MINUTE, 2 * _MINUTE, 4 * _MINUTE, 5 * _MINUTE),
    caps=((15, _QUARTER), (60, _HOUR)),
    hard=((60, _QUARTER),),
)

#: Channel to its throttle: a limit is for a kind of channel, never for all of them together.
THROTTLES: Mapping[str, Throttle] = {"email": PERSONAL}


def throttle_of(channel: str) -> Throttle:
    """Return the throttle of a bundled channel."""
    return THROTTLES.get(channel, PERSONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A page in a lane that is due, of an incident that still needs somebody."""

    id: str
    due_at: datetime
    #: An attempt was made and failed.
    is_retry: bool
    #: Of high urgency, and the first that this contact method hears of the incident.
    is_loud: bool
    #: Whether whoever decides holds its job.
    is_held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The pages of one service to one contact method."""

    #: The oldest first.
    waiting: Sequence[Waiting]
    #: When messages of this service went there, within ``Throttle.longest``.
    out: Sequence[datetime] = ()
    #: When messages of any service went there, within ``Throttle.longest``.
    all_out: Sequence[datetime] = ()
    #: A message of this lane is under way, or waits to be tried again.
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """One message goes out now: ``lead`` is the notification it is, ``along`` those it says too."""

    lead: str
    along: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """All of the lane waits."""

    until: datetime


def decide(lane: Lane, throttle: Throttle, now: datetime) -> Send | Hold:
    """Decide for a lane in which at least one page is held.

    1. What was tried before is tried again, with all that waits beside it.
    2. What came due within a span after a message gathers: for a span, from the first of it. The
       more messages of the service there were in a quarter of an hour, the longer the span.
    3. The caps: the first alert of a service, and whatever is loud, only has the hard ones.
    """
    if not any(page.is_retry and page.is_held for page in lane.waiting):
        until = max(_gathered(lane, throttle, now), _uncapped(lane, throttle, now))
        if until > now:
            return Hold(until)
    lead = min(
        (page for page in lane.waiting if page.is_held),
        key=lambda page: (not page.is_retry, not page.is_loud, page.due_at, page.id),
    )
    return Send(lead.id, tuple(page.id for page in lane.waiting if page.id != lead.id))


def rests_until(
    due_at: datetime, out: Sequence[datetime], throttle: Throttle, now: datetime
) -> datetime:
    """Return when a page that came due then, after these messages of its lane, has gathered.

    Those that wait longer take it along; so whoever waits for this misses nothing.
    """
    span = throttle.span(_recently(out, now))
    return due_at + span if any(at > due_at - span for at in out) else now


def _gathered(lane: Lane, throttle: Throttle, now: datetime) -> datetime:
    """Return when the pages have gathered for long enough; nobody waits longer than the span."""
    if lane.is_busy:
        # What failed may take these along when it is tried again.
        span = throttle.span(_recently(lane.out, now) + 1)
        return min(page.due_at for page in lane.waiting if page.is_held) + span
    return rests_until(lane.waiting[0].due_at, lane.out, throttle, now)


def _recently(out: Sequence[datetime], now: datetime) -> int:
    return sum(at > now - _QUARTER for at in out)


def _uncapped(lane: Lane, throttle: Throttle, now: datetime) -> datetime:
    is_first = not lane.out and not lane.is_busy
    eager = is_first or any(page.is_loud for page in lane.waiting)
    caps = throttle.hard if eager else (*throttle.caps, *throttle.hard)
    return max(_room(lane.all_out, cap, now) for cap in caps)


def _room(out: Sequence[datetime], cap: Cap, now: datetime) -> datetime:
    """Return when there is room for one more message."""
    count, window = cap
    recent = sorted(at for at in out if at > now - window)
    return recent[-count] + window if len(recent) >= count else now
