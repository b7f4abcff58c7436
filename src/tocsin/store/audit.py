"""The audit log: every change of configuration and every event of security; rows are only added."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert

from tocsin.core.model import Actor
from tocsin.core.text import clean
from tocsin.store.tables import audit


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
    connection.execute(
        insert(audit).values(
            at=now,
            actor=clean(actor.name, 320),
            actor_id=actor.user_id,
            kind=kind,
            subject=clean(subject, 320),
            detail=clean(detail, 2000),
            address=address[:64],
        )
    )
