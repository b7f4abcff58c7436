"""Print tables for people and JSON for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import typer

from tocsin.core.text import one_line, visible

#: Control characters that JSON allows in a text, and that some terminals obey.
_CONTROL = re.compile(b"\x7f|\xc2[\x80-\x9f]")


def say(text: str = "", *, err: bool = False) -> None:
    """Print a text that may hold what others wrote."""
    typer.echo(visible(text), err=err)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    made = msgspec.json.format(msgspec.json.encode(value))
    made = _CONTROL.sub(lambda found: b"\\u00%02x" % found[0][-1], made)
    sys.stdout.buffer.write(made + b"\n")
    sys.stdout.buffer.flush()


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool = False
) -> None:
    """Print rows; colours and frames only on a terminal."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A pipe has no width: a row cut or wrapped at 80 columns would be lost on grep.
    wide = None if sys.stdout.isatty() else 1000
    console = Console(width=wide, highlight=False)
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text("" if value is None else one_line(str(value))) for value in row))
    console.print(table, crop=False)
