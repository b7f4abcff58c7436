"""Which bodies of a storm are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.builders import NOW
from tocsin.core.repeats import KEPT_FIRST, SPAN, Repeats, is_kept, thin


def ids(begin: int, end: int) -> list[str]:
    return [str(number) for number in range(begin, end + 1)]


@pytest.mark.parametrize("number", [1, KEPT_FIRST, 60, 100, 200, 1_000, 90_000])
def test_the_first_and_every_nth_are_kept(number: int):
    assert is_kept(number)


@pytest.mark.parametrize("number", [KEPT_FIRST + 1, 99, 110, 1_100, 99_999])
def test_those_between_are_not(number: int):
    assert not is_kept(number)


def test_few_repeats_are_all_kept():
    _, gone = thin(None, ids(1, KEPT_FIRST), NOW)
    assert gone == ()


def test_the_last_is_kept_until_another_follows():
    known, gone = thin(None, ids(1, 53), NOW)
    assert (gone, known.last_id) == (("51", "52"), "53")
    known, gone = thin(known, ["54"], NOW)
    assert (gone, known.last_id) == (("53",), "54")


def test_batches_make_no_difference():
    at_once = thin(None, ids(1, 1234), NOW)
    known: Repeats | None = None
    gone: list[str] = []
    for begin in range(1, 1235, 7):
        known, more = thin(known, ids(begin, min(begin + 6, 1234)), NOW)
        gone += more
    assert (known, tuple(gone)) == at_once


def test_a_storm_of_100_000_leaves_a_hundred_bodies_at_most():
    _, gone = thin(None, ids(1, 100_000), NOW)
    assert len(gone) == 100_000 - 82


def test_the_next_hour_counts_anew_and_leaves_the_last_of_this_one():
    known, _ = thin(None, ids(1, 53), NOW)
    again, gone = thin(known, ["54"], NOW + SPAN)
    assert gone == ()
    assert again == Repeats(since=NOW + SPAN, count=1)
    same, gone = thin(known, ["54"], NOW + SPAN - timedelta(seconds=1))
    assert (same.since, gone) == (NOW, ("53",))
