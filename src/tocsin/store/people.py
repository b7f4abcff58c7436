"""People and API keys: the rows that change one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from tocsin.core.access import least
from tocsin.core.model import (
    TOCSIN,
    Actor,
    Role,
)
from tocsin.store import audit, contacts, plans
from tocsin.store.audit import Change
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
    #: Where a request with it comes from.
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """An API key as it is listed."""

    id: str
    name: str
    role: Role
    user_id: str | None
    created_at: datetime


def disable_contact_method(connection: Connection, id_: str, at: datetime, reason: str) -> None:
    """Send nothing there any more, and say why."""
    connection.execute(
        update(contact_methods)
        .where(contact_methods.c.id == id_)
        .values(disabled_at=at, disabled_reason=reason[:500])
    )
    whose, name = contacts.names_of(connection, id_)
    plans.changed(
        connection,
        at,
        TOCSIN,
        Change(
            kind="contact_method.changed",
            subject=f"{name} of {whose}",
            detail=f"switched off, for its receiver is gone: {reason}",
        ),
    )


def create_api_key(
    connection: Connection, name: str, role: Role, now: datetime, user_id: str | None, by: Actor
) -> tuple[KeyRow, str]:
    """Make an API key; it is told here and never again, for only its hash is kept.

    With a person, whoever uses it is that person, in at most that person's role.
    """
    key = new_key("tocsin")
    row = KeyRow(id=new_id("key", now), name=name, role=role, user_id=user_id, created_at=now)
    connection.execute(
        insert(api_keys).values(
            id=row.id,
            name=name,
            key_hash=key_hash(key),
            role=role.value,
            user_id=user_id,
            created_at=now,
        )
    )
    audit.add(connection, now, by, "api_key.added", name, f"role: {role}")
    return row, key


def list_api_keys(connection: Connection, user_id: str | None = None) -> list[KeyRow]:
    """Return the API keys in use, the newest first: all of them, or a person's."""
    columns = api_keys.c
    query = (
        select(*(columns[name] for name in KeyRow.__dataclass_fields__))
        .where(columns.deleted_at.is_(None))
        .order_by(columns.id.desc())
    )
    if user_id is not None:
        query = query.where(columns.user_id == user_id)
    rows = connection.execute(query).mappings()
    return [KeyRow(**{**row, "role": Role(row["role"])}) for row in rows]


def revoke_api_key(connection: Connection, key: KeyRow, now: datetime, by: Actor) -> None:
    """Let an API key open nothing any more."""
    connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(deleted_at=now))
    audit.add(connection, now, by, "api_key.removed", key.name)


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
