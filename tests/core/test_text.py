"""Repairing text, and keys of bounded length."""

from __future__ import annotations

import pytest

from tocsin.core.text import DEDUP_KEY_LENGTH, TITLE_LENGTH, bounded_key, clean


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        pytest.param("plain — déjà vu 💥", "plain — déjà vu 💥", id="good text stays as it is"),
        pytest.param("a\0b", "a\ufffdb", id="NUL"),
        pytest.param("a\ud800b", "a\ufffdb", id="a lone surrogate"),
        pytest.param("abc\u202egnp.exe", "abc\ufffdgnp.exe", id="right-to-left override"),
        pytest.param("line\nline\ttab", "line\nline\ttab", id="line breaks are text"),
    ],
)
def test_text_is_repaired_once(text: str, repaired: str):
    assert clean(text) == repaired
    assert clean(clean(text)) == repaired
    clean(text).encode()


def test_text_is_cut():
    assert len(clean("x" * 10_000)) == TITLE_LENGTH


@pytest.mark.parametrize("key", ["disk-7", "K" * DEDUP_KEY_LENGTH, "Ünï:çødé/ key"])
def test_a_key_that_fits_is_kept_exactly(key: str):
    assert bounded_key(key) == key


def test_different_keys_that_do_not_fit_stay_different():
    long = "k" * 300
    keys = [bounded_key(k) for k in (long, long + "x", "a\0", "a\ud800", "a\ufffd")]
    assert len(set(keys)) == 5
    assert all(len(key) <= DEDUP_KEY_LENGTH for key in keys)
    assert bounded_key(long) == keys[0]
