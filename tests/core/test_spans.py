"""Spans of time as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.spans import format_span, parse_span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("0s", timedelta()),
    ],
)
def test_a_span_is_read_and_written(text: str, span: timedelta):
    assert parse_span(text) == span
    assert format_span(span) == text


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "5min", "-5m", "1h30m", "5M", "\u0665m", "1.5h"]
)
def test_anything_else_is_told_how_to_write_one(text: str):
    with pytest.raises(ValueError, match="write 30s, 5m, 2h or 7d"):
        parse_span(text)


def test_a_span_longer_than_ten_years_is_a_mistake():
    with pytest.raises(ValueError, match="ten years"):
        parse_span("999999999d")


@given(st.integers(0, 10 * 365 * 86_400))
def test_a_written_span_is_read_back(seconds: int):
    span = timedelta(seconds=seconds)
    assert parse_span(format_span(span)) == span
