"""How many statements something costs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import event

from tocsin.store.db import Database

#: What begins and ends a transaction is no statement; the cache of the configuration looks by the
#: clock, not by what is asked.
_FRAME = ("BEGIN", "COMMIT", "ROLLBACK", "SET", "PRAGMA", "SELECT installation.revision")


@contextlib.contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Note every statement, of whoever reads or writes."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, _p: Any, _x: Any, _many: bool) -> None:
        text = " ".join(statement.split())
        if not text.startswith(_FRAME):
            seen.append(text[:120])

    engines = {database._writer, database._reader}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
