"""How far a long command is: a bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

#: What is counted, where it is bytes.
BYTES = "bytes"


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on standard error; give what is told how much is done, of how much if known."""
    counted: tuple[ProgressColumn, ...] = (
        (DownloadColumn(),) if unit == BYTES else (MofNCompleteColumn(), TextColumn(unit))
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), *counted)
    console = Console(stderr=True, highlight=False)
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:  # fmt: skip
        task = bar.add_task(what, total=None)

        def told(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield told
