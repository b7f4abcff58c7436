"""Contact methods that people add themselves, and the codes that verify them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from tocsin.core.model import (
    MessageType,
)
from tocsin.core.plans import Plans
from tocsin.store.db import new_id
from tocsin.store.tables import (
    contact_methods,
    notification_rules,
    notifications,
    users,
    verifications,
)
from tocsin.store.vault import Vault, WrongKeys
from tocsin.store.views import NotificationView, notification_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The code that waits to be typed."""

    contact_method_id: str
    code: str
    expires_at: datetime
    wrong_count: int
    #: When codes went out lately.
    sent_at: tuple[datetime, ...]


def lock(connection: Connection, ids: Collection[str]) -> None:
    """Be the only one to decide what goes to these contact methods, until the transaction ends."""
    # Without the key: rows that refer to it may go on being written.
    connection.execute(
        select(contact_methods.c.id)
        .where(contact_methods.c.id.in_(sorted(ids)))
        .order_by(contact_methods.c.id)
        .with_for_update(key_share=True)
    )


def set_order(connection: Connection, ids: Sequence[str]) -> None:
    """Let a person prefer these contact methods in this order."""
    for position, id_ in enumerate(ids):
        connection.execute(
            update(contact_methods).where(contact_methods.c.id == id_).values(position=position)
        )


def set_profile(connection: Connection, user_id: str, values: Mapping[str, Any]) -> None:
    """Change what a person says of themselves: name, time zone, quiet hours."""
    connection.execute(update(users).where(users.c.id == user_id).values(**values))


def names_of(connection: Connection, id_: str) -> tuple[str, str]:
    """Return whose a contact method is, and its name; also of one that is gone."""
    query = (
        select(users.c.name, contact_methods.c.name)
        .join(users, users.c.id == contact_methods.c.user_id)
        .where(contact_methods.c.id == id_)
    )
    who, name = connection.execute(query).one()
    return who, name


def add(connection: Connection, user_id: str, values: Mapping[str, Any], now: datetime) -> str:
    """Add an unverified one after those there are; return its id."""
    id_ = new_id("cm", now)
    last = connection.scalar(
        select(func.max(contact_methods.c.position)).where(contact_methods.c.user_id == user_id)
    )
    position = 0 if last is None else last + 1
    connection.execute(
        insert(contact_methods).values(id=id_, user_id=user_id, position=position, **values)
    )
    return id_


def remove(connection: Connection, id_: str, now: datetime) -> None:
    """Take one out of use, with the rules that name it and the code that waits for it."""
    connection.execute(
        update(contact_methods).where(contact_methods.c.id == id_).values(deleted_at=now)
    )
    connection.execute(
        delete(notification_rules).where(notification_rules.c.contact_method_id == id_)
    )
    forget(connection, id_)


def mark_verified(connection: Connection, id_: str, now: datetime) -> None:
    """Let everything be sent there from now on."""
    connection.execute(
        update(contact_methods).where(contact_methods.c.id == id_).values(verified_at=now)
    )
    forget(connection, id_)


def set_handoff_notices(connection: Connection, user_id: str, *, wanted: bool) -> None:
    """Let a person be told, or not, when their time on call begins and ends."""
    connection.execute(update(users).where(users.c.id == user_id).values(handoff_notices=wanted))


def messages_to(
    connection: Connection, plans: Plans, contact_method_id: str, limit: int
) -> list[NotificationView]:
    """List what was last sent to one contact method, the newest first."""
    query = (
        select(notifications)
        .where(notifications.c.contact_method_id == contact_method_id)
        .order_by(notifications.c.id.desc())
        .limit(limit)
    )
    return notification_views(connection, plans, list(connection.execute(query).mappings()))


# -- codes ----------------------------------------------------------------------------------------


def codes(connection: Connection, vault: Vault, ids: Collection[str]) -> dict[str, Verification]:
    """Read the codes that wait, by contact method; one sealed with a key that is gone is none."""
    query = select(verifications).where(verifications.c.contact_method_id.in_(sorted(ids)))
    found = {}
    for row in connection.execute(query).mappings():
        with contextlib.suppress(WrongKeys):
            found[row["contact_method_id"]] = Verification(
                contact_method_id=row["contact_method_id"],
                code=vault.open(row["code_encrypted"]),
                expires_at=row["expires_at"],
                wrong_count=row["wrong_count"],
                sent_at=tuple(datetime.fromisoformat(at) for at in row["sent_at"]),
            )
    return found


def put_code(
    connection: Connection,
    vault: Vault,
    id_: str,
    code: str,
    expires_at: datetime,
    sent_at: Sequence[datetime],
) -> None:
    """Let this be the one code of a contact method. Only under ``lock``."""
    forget(connection, id_)
    connection.execute(
        insert(verifications).values(
            contact_method_id=id_,
            code_encrypted=vault.seal(code),
            expires_at=expires_at,
            wrong_count=0,
            sent_at=[at.isoformat() for at in sent_at],
        )
    )


def count_try(connection: Connection, id_: str, at_most: int, now: datetime) -> bool:
    """Count a try at the code before it is compared; False if there is none left, or no code.

    The count is the condition of its own change: however many try at once, no more get through.
    """
    tried = connection.execute(
        update(verifications)
        .where(
            verifications.c.contact_method_id == id_,
            verifications.c.wrong_count < at_most,
            verifications.c.expires_at > now,
        )
        .values(wrong_count=verifications.c.wrong_count + 1)
    )
    return tried.rowcount == 1


def forget(connection: Connection, id_: str) -> None:
    """Let a code be good no more."""
    connection.execute(delete(verifications).where(verifications.c.contact_method_id == id_))


def codes_sent_since(connection: Connection, user_id: str, since: datetime) -> int:
    """Count the codes a person had sent, to whatever contact method."""
    query = (
        select(func.count())
        .select_from(notifications)
        .where(
            notifications.c.user_id == user_id,
            notifications.c.type == MessageType.VERIFICATION.value,
            notifications.c.created_at > since,
        )
    )
    return connection.scalar(query) or 0
