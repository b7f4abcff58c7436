"""A source that fell silent is told of, and one that only rests is not."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.builders import NOW
from tocsin.core.silence import rate, silence


def every(gap: timedelta, count: int, until: datetime = NOW) -> list[datetime]:
    """Return so many arrivals, the last at ``until``."""
    return [until - gap * number for number in range(count)]


HOURS = timedelta(hours=1)


def test_a_source_that_speaks_every_two_hours_is_silent_after_more_than_three_times_that():
    arrivals = every(2 * HOURS, 100)
    assert silence(arrivals, NOW + 6 * HOURS) is None
    found = silence(arrivals, NOW + 9 * HOURS)
    assert found is not None
    assert (found.usual, found.quiet_for) == (2 * HOURS, 9 * HOURS)


def test_the_order_of_arrivals_does_not_matter():
    arrivals = every(2 * HOURS, 100)
    assert silence(arrivals[::-1], NOW + 9 * HOURS) == silence(arrivals, NOW + 9 * HOURS)


def test_a_source_with_few_deliveries_has_no_rhythm():
    assert silence(every(2 * HOURS, 9), NOW + timedelta(days=30)) is None
    assert silence([], NOW) is None


def test_a_storm_counts_once():
    """Fifty deliveries of one outage say nothing of what is usual."""
    assert silence(every(timedelta(seconds=5), 120), NOW + timedelta(days=3)) is None


def test_the_longest_gap_so_far_is_usual_too():
    """Nights are quiet: three nights are not."""
    days = [every(HOURS, 8, NOW - timedelta(days=day)) for day in range(12)]
    arrivals = [at for day in days for at in day]
    assert silence(arrivals, NOW + 17 * HOURS) is None
    assert silence(arrivals, NOW + 40 * HOURS) is None
    assert silence(arrivals, NOW + 60 * HOURS) is not None


def test_a_source_that_was_never_seen_over_a_weekend_may_have_one_off():
    arrivals = every(HOURS, 72)
    assert silence(arrivals, NOW + 60 * HOURS) is None
    assert silence(arrivals, NOW + 62 * HOURS) is not None


def test_a_busy_source_is_not_silent_within_the_hour():
    arrivals = every(timedelta(minutes=11), 1200)
    assert silence(arrivals, NOW + timedelta(minutes=59)) is None
    assert silence(arrivals, NOW + timedelta(minutes=61)) is not None


def test_the_rate_is_of_the_time_that_was_looked_at():
    arrivals = every(2 * HOURS, 24)
    assert round(rate(arrivals, NOW, is_cut=True) or 0) == 13
    assert rate(every(timedelta(minutes=1), 5), NOW, is_cut=False) == 5
    assert rate([NOW], NOW, is_cut=False) is None
