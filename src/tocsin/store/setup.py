"""Configuration as rows: what ``apply``, the API and the pages write.

Nothing here is ever deleted for good: incidents, notifications and timelines go on naming it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from tocsin.store.db import new_id
from tocsin.store.tables import (
    contact_methods,
    installation,
    integrations,
    notification_rules,
    team_members,
)
from tocsin.store.vault import Vault, key_hash


def lock(connection: Connection) -> None:
    """Be the only one to change the configuration until the transaction ends."""
    connection.execute(select(installation.c.id).with_for_update())


def add(
    connection: Connection, table: Table, prefix: str, values: Mapping[str, Any], now: datetime
) -> str:
    """Insert one thing; return its id."""
    id_ = new_id(prefix, now)
    connection.execute(insert(table).values(id=id_, created_at=now, **values))
    return id_


def change(connection: Connection, table: Table, id_: str, values: Mapping[str, Any]) -> None:
    """Change one thing."""
    connection.execute(update(table).where(table.c.id == id_).values(**values))


def remove(connection: Connection, table: Table, id_: str, now: datetime) -> None:
    """Take one thing out of use; its name is free again."""
    connection.execute(update(table).where(table.c.id == id_).values(deleted_at=now))


def set_members(connection: Connection, team_id: str, user_ids: Sequence[str]) -> None:
    """Let a team have these members, in this order."""
    connection.execute(delete(team_members).where(team_members.c.team_id == team_id))
    for position, user_id in enumerate(dict.fromkeys(user_ids)):
        connection.execute(
            insert(team_members).values(team_id=team_id, user_id=user_id, position=position)
        )


def set_contact_methods(
    connection: Connection,
    user_id: str,
    wanted: Sequence[Mapping[str, Any]],
    now: datetime,
) -> dict[str, str]:
    """Let a person have these contact methods, in this order; return the id of each name.

    One that keeps its name, or its channel and address, keeps its id, and so the notifications that
    are on their way. An address that whoever administers Tocsin gives counts as verified, and all
    as working again; one that its person added and has not verified stays so while it is the same.
    """
    columns = contact_methods.c
    rows = connection.execute(
        select(columns.id, columns.name, columns.channel, columns.address).where(
            columns.user_id == user_id, columns.deleted_at.is_(None)
        )
    ).all()
    known = {row.name: row.id for row in rows}
    addresses = {row.name: (row.channel, row.address) for row in rows}
    _rename(connection, wanted, known, addresses)
    for name in known.keys() - {method["name"] for method in wanted}:
        remove(connection, contact_methods, known.pop(name), now)
    for position, method in enumerate(wanted):
        values = {**method, "position": position, "disabled_at": None, "disabled_reason": None}
        if method["name"] in known:
            if addresses[method["name"]] != (method["channel"], method["address"]):
                values["verified_at"] = now
            change(connection, contact_methods, known[method["name"]], values)
        else:
            id_ = new_id("cm", now)
            connection.execute(
                insert(contact_methods).values(id=id_, user_id=user_id, verified_at=now, **values)
            )
            known[method["name"]] = id_
    return known


def _rename(
    connection: Connection,
    wanted: Sequence[Mapping[str, Any]],
    known: dict[str, str],
    addresses: dict[str, tuple[str, str]],
) -> None:
    """Let those that only have another name now be known by that."""
    names = {method["name"] for method in wanted}
    for method in wanted:
        place = (method["channel"], method["address"])
        old = next((one for one in known if one not in names and addresses[one] == place), None)
        if method["name"] not in known and old is not None:
            change(connection, contact_methods, known[old], {"name": method["name"]})
            known[method["name"]] = known.pop(old)
            addresses[method["name"]] = addresses.pop(old)


def set_rules(
    connection: Connection, user_id: str, wanted: Sequence[Mapping[str, Any]], now: datetime
) -> None:
    """Let a person have these notification rules, in this order."""
    connection.execute(delete(notification_rules).where(notification_rules.c.user_id == user_id))
    for position, rule in enumerate(wanted):
        connection.execute(
            insert(notification_rules).values(
                id=new_id("nr", now), user_id=user_id, position=position, **rule
            )
        )


def routing_key_values(vault: Vault, key: str) -> dict[str, str]:
    """Return how a routing key is kept: hashed to find it, encrypted to show its URL."""
    return {"routing_key_hash": key_hash(key), "routing_key_encrypted": vault.seal(key)}


def routing_keys(connection: Connection, vault: Vault) -> dict[str, str]:
    """Return the routing key of every living integration, by id."""
    columns = integrations.c
    rows = connection.execute(
        select(columns.id, columns.routing_key_encrypted).where(columns.deleted_at.is_(None))
    )
    return {row.id: vault.open(row.routing_key_encrypted) for row in rows}


def set_fallback(connection: Connection, user_id: str | None) -> None:
    """Name who is paged when nobody else is."""
    connection.execute(update(installation).values(fallback_user_id=user_id))
