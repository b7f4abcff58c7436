"""What benchmarks measured: a table for people, and lines of JSON that docs/performance.md is from.

BENCH_JSON=figures.jsonl make bench-full
"""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    storage: str
    got: str
    wanted: str
    is_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A figure in the file, with where it comes from."""

    benchmark: str
    date: str
    is_full: bool
    machine: str
    figure: Figure


def machine() -> str:
    """Say what it was measured on."""
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}"
    )


def report(title: str, figures: Sequence[Figure]) -> int:
    """Print a table, keep the figures if a file is named; 1 if one is missed."""
    table = Table("what", "storage", "measured", "wanted", "", title=title)
    for row in figures:
        verdict = "met" if row.is_met else "MISSED"
        table.add_row(row.what, row.storage, row.got, row.wanted, verdict)
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    if target := os.environ.get("BENCH_JSON"):
        keep(Path(target), title, figures)
    return 0 if all(row.is_met for row in figures) else 1


def keep(target: Path, benchmark: str, figures: Sequence[Figure]) -> None:
    """Add figures to a file."""
    is_full = os.environ.get("BENCH_FULL") == "1"
    with target.open("ab") as file:
        for figure in figures:
            line = Line(
                benchmark=benchmark, date=f"{datetime.now(UTC):%Y-%m-%d}", is_full=is_full,
                machine=machine(), figure=figure,
            )  # fmt: skip
            file.write(msgspec.json.encode(line) + b"\n")
