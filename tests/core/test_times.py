"""Spans and instants as people and programs write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.times import format_span, parse_instant, parse_span


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


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05T09:00:00Z",
        "2026-01-05T09:00Z",
        "2026-01-05T10:00+01:00",
        "2026-01-05 09:00:00.000+00:00",
    ],
)
def test_an_instant_is_read_with_seconds_or_without(text: str):
    assert parse_instant(text) == datetime(2026, 1, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-01-05", "2026-01-05T09:00", "1767603600"])
def test_an_instant_without_an_offset_is_none(text: str):
    with pytest.raises(ValueError, match="with Z or an offset"):
        parse_instant(text)
