"""People and API keys: the rows that change one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from tocsin.core.access import least
from tocsin.core.model import (
    Role,
)
from tocsin.store import plans
from tocsin.store.db import new_id
from tocsin.store.tables import api_keys, contact_methods, users
from tocsin.store.vault import key_hash, new_key


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Whom an API key stands for."""

    id: str
    name: str
    role: Role
    user_id: str | None


def disable_contact_method(connection: Connection, id_: str, at: datetime, reason: str) -> None:
    """Send nothing there any more, and say why."""
    connection.execute(
        update(contact_methods)
        .where(contact_methods.c.id == id_)
        .values(disabled_at=at, disabled_reason=reason[:500])
    )
    plans.changed(connection, at)


def create_api_key(
    connection: Connection, name: str, role: Role, now: datetime, user_id: str | None = None
) -> str:
    """Make an API key; it is told here and never again, for only its hash is kept.

    With a person, whoever uses it is that person, in at most that person's role.
    """
    key = new_key("tocsin")
    connection.execute(
        insert(api_keys).values(
            id=new_id("key", now),
            name=name,
            key_hash=key_hash(key),
            role=role.value,
            user_id=user_id,
            created_at=now,
        )
    )
    return key


def find_api_key(connection: Connection, key: str) -> ApiKey | None:
    """Return whom a key stands for; None if nobody, or if its person left."""
    columns = api_keys.c
    row = connection.execute(
        select(
            columns.id,
            columns.name,
            columns.role,
            columns.user_id,
            users.c.role.label("user_role"),
            users.c.deleted_at.label("left_at"),
        )
        .join(users, users.c.id == columns.user_id, isouter=True)
        .where(columns.key_hash == key_hash(key), columns.deleted_at.is_(None))
    ).first()
    if row is None or row.left_at is not None:
        return None
    role = Role(row.role)
    if row.user_role is not None:
        role = least(role, Role(row.user_role))
    return ApiKey(id=row.id, name=row.name, role=role, user_id=row.user_id)
