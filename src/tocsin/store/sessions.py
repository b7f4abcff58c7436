"""Browsers that are signed in, and how their people like the page."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, delete, func, insert, or_, select, update

from tocsin.core.session import IDLE, LONGEST, OLD_KEY_GOOD_FOR, Preferences, is_old_key_good
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
    rotated_at: datetime
    #: Whether the key it was found by is the one before the present one.
    is_old: bool = False
    #: Whether there is a key before this one that nothing has ended yet.
    has_open_old_key: bool = False


_COLUMNS = tuple(
    sessions.c[name]
    for name in Session.__dataclass_fields__
    if name not in ("is_old", "has_open_old_key")
)


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
            rotated_at=now,
        )
    )
    return key


def find(connection: Connection, key: str, now: datetime) -> Session | None:
    """Return the session of a cookie's key, whether it is over or not."""
    hashed, columns = key_hash(key), sessions.c
    query = select(*_COLUMNS, columns.key_hash, columns.old_key_hash, columns.old_key_until).where(
        or_(columns.key_hash == hashed, columns.old_key_hash == hashed)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    is_old = not hmac.compare_digest(row["key_hash"], hashed)
    if is_old and not is_old_key_good(row["old_key_until"], now):
        return None
    is_open = row["old_key_hash"] is not None and row["old_key_until"] is None
    return _session(row, is_old=is_old, is_open=is_open)


def _session(row: RowMapping, *, is_old: bool = False, is_open: bool = False) -> Session:
    values = {column.name: row[column.name] for column in _COLUMNS}
    return Session(**values, is_old=is_old, has_open_old_key=is_open)


def of_user(connection: Connection, user_id: str) -> list[Session]:
    """Return a person's sessions, the last used first."""
    query = (
        select(*_COLUMNS).where(sessions.c.user_id == user_id).order_by(sessions.c.seen_at.desc())
    )
    return [_session(row) for row in connection.execute(query).mappings()]


def last_seen(connection: Connection) -> dict[str, datetime]:
    """Return when each person who is signed in somewhere was seen last."""
    query = select(sessions.c.user_id, func.max(sessions.c.seen_at)).group_by(sessions.c.user_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def touch(connection: Connection, id_: str, now: datetime) -> None:
    """Note that it was used."""
    connection.execute(update(sessions).where(sessions.c.id == id_).values(seen_at=now))


def rotate(connection: Connection, session: Session, key: str, now: datetime) -> str | None:
    """Give a session a new key; None where another request did so first.

    ``key`` is the one its browser shows. It stays good until the browser has shown the new one,
    and a little longer.
    """
    new, columns = new_key("session"), sessions.c
    shown = columns.old_key_hash if session.is_old else columns.key_hash
    done = connection.execute(
        update(sessions)
        .where(
            columns.id == session.id,
            shown == key_hash(key),
            columns.rotated_at == session.rotated_at,
        )
        .values(
            key_hash=key_hash(new), old_key_hash=key_hash(key), old_key_until=None, rotated_at=now
        )
    )
    return new if done.rowcount == 1 else None


def end_old_key(connection: Connection, id_: str, now: datetime) -> None:
    """Let the key before this one be good only a little longer: the browser has the new one."""
    connection.execute(
        update(sessions)
        .where(sessions.c.id == id_, sessions.c.old_key_until.is_(None))
        .values(old_key_until=now + OLD_KEY_GOOD_FOR)
    )


def end(connection: Connection, id_: str) -> None:
    """Let a browser out."""
    connection.execute(delete(sessions).where(sessions.c.id == id_))


def end_all(connection: Connection, user_id: str, but: str | None = None) -> int:
    """Let every browser of a person out, but this one; return how many."""
    query = delete(sessions).where(sessions.c.user_id == user_id)
    gone = connection.execute(query if but is None else query.where(sessions.c.id != but))
    return gone.rowcount


def sweep(connection: Connection, now: datetime, limit: int) -> int:
    """Delete what is over, some rows at a time; return how many went."""
    over = or_(sessions.c.expires_at <= now, sessions.c.seen_at <= now - IDLE)
    ids = list(connection.scalars(select(sessions.c.id).where(over).limit(limit)))
    connection.execute(delete(sessions).where(sessions.c.id.in_(ids)))
    return len(ids)


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
