"""Browsers that are signed in, and how their people like the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from tocsin.core.session import LONGEST, Preferences
from tocsin.store.db import new_id
from tocsin.store.tables import preferences, sessions
from tocsin.store.vault import key_hash, new_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser of a person."""

    id: str
    user_id: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    browser: str
    address: str


def begin(connection: Connection, user_id: str, browser: str, address: str, now: datetime) -> str:
    """Let a browser in; return the key for its cookie, told here and never again."""
    key = new_key("session")
    connection.execute(
        insert(sessions).values(
            id=new_id("ses", now),
            key_hash=key_hash(key),
            user_id=user_id,
            created_at=now,
            seen_at=now,
            expires_at=now + LONGEST,
            browser=browser[:200],
            address=address[:64],
        )
    )
    return key


def find(connection: Connection, key: str) -> Session | None:
    """Return the session of a cookie's key, whether it is over or not."""
    query = select(*(sessions.c[name] for name in Session.__dataclass_fields__)).where(
        sessions.c.key_hash == key_hash(key)
    )
    row = connection.execute(query).mappings().first()
    return Session(**row) if row else None


def of_user(connection: Connection, user_id: str) -> list[Session]:
    """Return a person's sessions, the last used first."""
    query = (
        select(*(sessions.c[name] for name in Session.__dataclass_fields__))
        .where(sessions.c.user_id == user_id)
        .order_by(sessions.c.seen_at.desc())
    )
    return [Session(**row) for row in connection.execute(query).mappings()]


def touch(connection: Connection, id_: str, now: datetime) -> None:
    """Note that it was used."""
    connection.execute(update(sessions).where(sessions.c.id == id_).values(seen_at=now))


def end(connection: Connection, id_: str) -> None:
    """Let a browser out."""
    connection.execute(delete(sessions).where(sessions.c.id == id_))


def end_all(connection: Connection, user_id: str, but: str | None = None) -> None:
    """Let every browser of a person out, but this one."""
    query = delete(sessions).where(sessions.c.user_id == user_id)
    connection.execute(query if but is None else query.where(sessions.c.id != but))


def preferences_of(connection: Connection, user_id: str) -> Preferences:
    """Return how a person likes the page."""
    columns = preferences.c
    row = (
        connection.execute(
            select(columns.theme, columns.is_24h, columns.has_shortcuts).where(
                columns.user_id == user_id
            )
        )
        .mappings()
        .first()
    )
    return Preferences(**row) if row else Preferences()


def set_preferences(connection: Connection, user_id: str, wanted: Preferences) -> None:
    """Let a person have the page so."""
    connection.execute(delete(preferences).where(preferences.c.user_id == user_id))
    connection.execute(
        insert(preferences).values(
            user_id=user_id,
            theme=wanted.theme,
            is_24h=wanted.is_24h,
            has_shortcuts=wanted.has_shortcuts,
        )
    )
