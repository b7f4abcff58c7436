"""The audit log: who changed what, when and from where."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from litestar import Response, get
from litestar.response import Stream

from tocsin.core.access import Action
from tocsin.core.text import one_line
from tocsin.store import audit
from tocsin.store.audit import Wanted
from tocsin.store.db import Database
from tocsin.web.pages.visit import Visit, Visiting

_ROWS = 50

_COLUMNS = ("at", "actor", "kind", "subject", "detail", "address")

#: A spreadsheet would take a cell that begins so for a formula, some of them after blanks.
_FORMULA = ("=", "+", "-", "@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
            "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


@get("/audit", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def audit_log(visit: Visiting) -> Response[bytes]:
    """List what was changed, the newest first."""
    wanted = _wanted(visit)
    with visit.back.desk.database.read() as connection:
        entries = audit.page(connection, wanted, _ROWS, visit.query.maybe("cursor"))
        kinds = audit.kinds(connection)
    return visit.page("audit.html", entries=entries, kinds=kinds, wanted=wanted)


@get("/audit.csv", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def audit_csv(visit: Visiting) -> Stream:
    """Give the whole log, or what it is narrowed to, as a table."""
    lines = _lines(visit.back.desk.database, _wanted(visit))
    return Stream(
        lines,
        media_type="text/csv; charset=utf-8",
        headers={
            "content-disposition": 'attachment; filename="tocsin-audit.csv"',
            "cache-control": "no-store",
        },
    )


def _wanted(visit: Visit) -> Wanted:
    query = visit.query
    return Wanted(actor=query.text("actor"), kind=query.text("kind"), text=query.text("q"))


def _lines(database: Database, wanted: Wanted) -> Iterator[bytes]:
    """Yield the lines of the table, some at a time; each part is read by itself."""
    yield _written([_COLUMNS])
    cursor: str | None = None
    while True:
        with database.read() as connection:
            part = audit.page(connection, wanted, 1000, cursor)
        yield _written([[_cell(getattr(one, name)) for name in _COLUMNS] for one in part.items])
        cursor = part.next
        if cursor is None:
            return


def _written(rows: Any) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    text = one_line(str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


PAGES: tuple[Any, ...] = (audit_log, audit_csv)
