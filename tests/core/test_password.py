"""What a password may be, and how often one may be guessed at."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.builders import NOW
from tocsin.core import password as rules
from tocsin.core.password import Bucket, fault


@pytest.mark.parametrize(
    "word",
    ["short", "123456789", "x" * 1001, "Password123", "aaaaaaaaaaaa", "Ann.Archer@Example.com",
     "ANN.ARCHER"],
)  # fmt: skip
def test_what_everybody_guesses_is_no_password(word: str):
    assert fault(word, "ann.archer@example.com") is not None


@pytest.mark.parametrize(
    "word", ["three odd words", "päßwörter sind lang", "🦊🦉🐢🐍🦊🦉🐢🐍🦊🦉", "x1" * 500]
)
def test_whatever_else_is_long_enough_is_one(word: str):
    assert fault(word, "ann.archer@example.com") is None


def test_a_letter_written_in_two_ways_is_one_letter():
    assert rules.normal("Cafe\u0301 au lait") == rules.normal("Caf\u00e9 au lait")


def test_a_bucket_fills_one_by_one_and_never_over():
    bucket = Bucket(3, timedelta(minutes=1))
    assert bucket.left(0, NOW, NOW + timedelta(minutes=2)) == 2
    assert bucket.left(0, NOW, NOW + timedelta(days=9)) == 3
    assert bucket.left(2, NOW, NOW - timedelta(days=9)) == 2, "a clock set back takes nothing"


def test_an_empty_bucket_says_how_long_to_wait():
    bucket = Bucket(3, timedelta(minutes=1))
    assert bucket.wait(0.5) == timedelta(seconds=30)
    assert bucket.wait(1) is None


def test_an_account_takes_at_most_twenty_tries_in_fifteen_minutes():
    def most(bucket: Bucket) -> int:
        return bucket.most + int(timedelta(minutes=15) / bucket.every)

    assert most(rules.ACCOUNT) + most(rules.DEVICE) <= 20
    assert most(rules.ACCOUNT_FROM_SOURCE) < most(rules.ACCOUNT)
