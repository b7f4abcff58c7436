"""The audit log: every change of configuration and every event of security; rows are only added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, insert, or_, select

from tocsin.core.model import Actor
from tocsin.core.text import clean
from tocsin.store.db import has_text
from tocsin.store.lists import NUMBER, Page, decode_cursor, encode_cursor
from tocsin.store.tables import audit

#: As long as the columns are.
_SUBJECT, _DETAIL = 320, 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that happened, for the log; secrets are never in it."""

    #: ``{thing}.{verb}``: ``service.changed``.
    kind: str
    #: To what: a name or e-mail address.
    subject: str
    #: What changed, in words.
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of the log."""

    id: int
    at: datetime
    actor: str
    actor_id: str | None
    kind: str
    subject: str
    detail: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the log is narrowed to; empty: all of it."""

    #: Part of who did it.
    actor: str = ""
    #: A kind, or the thing before its dot.
    kind: str = ""
    #: Part of the subject or the detail.
    text: str = ""


def add(
    connection: Connection,
    now: datetime,
    actor: Actor,
    kind: str,
    subject: str,
    detail: str = "",
    address: str = "",
) -> None:
    """Write one row, in the transaction of what it tells of."""
    if address:
        actor = replace(actor, address=address)
    add_all(connection, now, actor, [Change(kind=kind, subject=subject, detail=detail)])


def add_all(connection: Connection, now: datetime, actor: Actor, changes: Sequence[Change]) -> None:
    """Write one row for each change."""
    rows = [
        {
            "at": now,
            "actor": clean(actor.name, _SUBJECT),
            "actor_id": actor.user_id,
            "kind": change.kind,
            "subject": clean(change.subject, _SUBJECT),
            "detail": clean(change.detail, _DETAIL),
            "address": actor.address[:64],
        }
        for change in changes
    ]
    if rows:
        connection.execute(insert(audit), rows)


def page(
    connection: Connection, wanted: Wanted, limit: int, cursor: str | None = None
) -> Page[Entry]:
    """List the rows that are wanted, the newest first."""
    columns = audit.c
    query = select(*(columns[name] for name in Entry.__dataclass_fields__))
    if wanted.actor:
        query = query.where(has_text(columns.actor, wanted.actor))
    if wanted.kind:
        of_thing = columns.kind.startswith(f"{wanted.kind}.", autoescape=True)
        query = query.where(or_(columns.kind == wanted.kind, of_thing))
    if wanted.text:
        query = query.where(
            or_(
                has_text(columns.subject, wanted.text),
                has_text(columns.detail, wanted.text),
            )
        )
    if cursor is not None:
        query = query.where(columns.id < int(decode_cursor(cursor, NUMBER)))
    query = query.order_by(columns.id.desc()).limit(limit + 1)
    rows = [Entry(**row) for row in connection.execute(query).mappings()]
    more = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return Page(tuple(rows[:limit]), more)


def kinds(connection: Connection) -> list[str]:
    """Return every kind there is."""
    return list(connection.scalars(select(audit.c.kind).distinct().order_by(audit.c.kind)))
