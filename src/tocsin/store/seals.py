"""Seals of the audit log: whoever takes a row out of it, or alters one, is found out.

Each row is tied to the one before it by a digest, and the last one to the ``installation`` row.
Rows are sealed a little after they were written, when no transaction can bring an earlier one any
more: what writes the log waits for nothing.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, select, update

from tocsin.store.db import update_many
from tocsin.store.tables import audit, installation

#: Longer than any transaction lasts that writes the log.
_SETTLED = timedelta(minutes=2)

_FIELDS = ("id", "at", "actor", "actor_id", "kind", "subject", "detail", "address")


def seal(connection: Connection, now: datetime, limit: int) -> int:
    """Seal the oldest rows that are not sealed yet; return how many."""
    head = installation.c
    last, count = connection.execute(
        select(head.audit_seal, head.audit_sealed).with_for_update()
    ).one()
    found = connection.execute(
        select(*(audit.c[name] for name in _FIELDS))
        .where(audit.c.seal.is_(None), audit.c.at < now - _SETTLED)
        .order_by(audit.c.id)
        .limit(limit)
    ).all()
    rows = []
    for row in found:
        last = _digest(last or "", row)
        rows.append({"id": row.id, "seal": last})
    if rows:
        update_many(connection, audit, "id", rows)
        values = {"audit_seal": last, "audit_sealed": (count or 0) + len(rows)}
        connection.execute(update(installation).values(**values))
    return len(rows)


def broken_at(connection: Connection) -> str | None:
    """Return what is wrong with the log, in words; None where every sealed row is as it was."""
    head = installation.c
    wanted, count = connection.execute(select(head.audit_seal, head.audit_sealed)).one()
    last, seen = "", 0
    query = (
        select(*(audit.c[name] for name in (*_FIELDS, "seal")))
        .where(audit.c.seal.is_not(None))
        .order_by(audit.c.id)
        .execution_options(yield_per=1000)
    )
    with connection.execute(query) as rows:
        for row in rows:
            if _digest(last, row) != row.seal:
                return f"row {row.id} of {row.at:%Y-%m-%d %H:%M} UTC, or one before it, was altered"
            last, seen = row.seal, seen + 1
    if seen != (count or 0) or last != (wanted or ""):
        return f"{abs((count or 0) - seen)} rows at its end are gone"
    return None


def _digest(before: str, row: Row[tuple[object, ...]]) -> str:
    known = row._mapping  # noqa: SLF001 - the public name of it
    values = [known[name] for name in _FIELDS]
    told = "\0".join(one.isoformat() if isinstance(one, datetime) else str(one) for one in values)
    return hashlib.sha256(f"{before}\0{told}".encode()).hexdigest()
