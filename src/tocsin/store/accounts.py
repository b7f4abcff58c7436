"""Passwords, one-time links, buckets of tries, and which first steps were put off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, exists, insert, select, update

from tocsin.core.model import Role
from tocsin.core.password import Bucket
from tocsin.core.session import LINK_GOOD_FOR, LinkKind
from tocsin.store.db import insert_many, new_id
from tocsin.store.tables import buckets, deliveries, installation, one_time_links, passwords, users
from tocsin.store.vault import Vault, key_hash, new_key

#: Used and expired links are kept for so long; buckets that nobody drew from are full by then.
_LINKS_KEPT = timedelta(days=7)
_BUCKETS_KEPT = timedelta(days=1)

# -- passwords ------------------------------------------------------------------------------------


def password_hash(connection: Connection, user_id: str, *, is_held: bool = False) -> str | None:
    """Return the hash of a person's password; None: they have none.

    Held, nobody changes it until the transaction ends.
    """
    query = select(passwords.c.hash).where(passwords.c.user_id == user_id)
    found: str | None = connection.scalar(query.with_for_update() if is_held else query)
    return found


def set_password(connection: Connection, user_id: str, hashed: str, now: datetime) -> None:
    """Let this be a person's password."""
    row = {"user_id": user_id, "hash": hashed, "changed_at": now}
    insert_many(
        connection,
        passwords,
        [row],
        "(user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at",
    )


def rehash(connection: Connection, user_id: str, old: str, new: str) -> None:
    """Write the same password by newer parameters, unless it was changed meanwhile."""
    connection.execute(
        update(passwords)
        .where(passwords.c.user_id == user_id, passwords.c.hash == old)
        .values(hash=new)
    )


def with_password(connection: Connection) -> frozenset[str]:
    """Return who has a password."""
    return frozenset(connection.scalars(select(passwords.c.user_id)))


def needs_owner(connection: Connection) -> bool:
    """Whether there is no owner who can sign in."""
    query = select(users.c.id).where(
        users.c.role == Role.OWNER.value,
        users.c.deleted_at.is_(None),
        exists().where(passwords.c.user_id == users.c.id),
    )
    return connection.execute(query.limit(1)).first() is None


# -- links ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that lets somebody in once."""

    id: str
    kind: LinkKind
    user_id: str | None
    expires_at: datetime
    used_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Whether it still lets somebody in."""
        return self.used_at is None and now < self.expires_at


_LINK = tuple(one_time_links.c[name] for name in Link.__dataclass_fields__)


def add_link(
    connection: Connection,
    kind: LinkKind,
    user_id: str | None,
    now: datetime,
    vault: Vault | None = None,
) -> tuple[str, str]:
    """Make a link; return its id, and its key, which is told here and never again.

    With a vault the key can be read once more, to be mailed.
    """
    id_, key = new_id("lnk", now), new_key(kind.value)
    connection.execute(
        insert(one_time_links).values(
            id=id_,
            key_hash=key_hash(key),
            key_encrypted=vault.seal(key) if vault else None,
            kind=kind.value,
            user_id=user_id,
            created_at=now,
            expires_at=now + LINK_GOOD_FOR[kind],
        )
    )
    return id_, key


def find_link(connection: Connection, key: str) -> Link | None:
    """Return the link of a key, whether it is good or not."""
    query = select(*_LINK).where(one_time_links.c.key_hash == key_hash(key))
    row = connection.execute(query).mappings().first()
    return Link(**{**row, "kind": LinkKind(row["kind"])}) if row else None


def use_link(connection: Connection, id_: str, now: datetime) -> bool:
    """Use a link up; False where somebody else did so first, or it is over."""
    columns = one_time_links.c
    used = connection.execute(
        update(one_time_links)
        .where(columns.id == id_, columns.used_at.is_(None), columns.expires_at > now)
        .values(used_at=now, key_encrypted=None)
    )
    return used.rowcount == 1


def end_links(connection: Connection, user_id: str, now: datetime) -> None:
    """Let no link to a person's password be good any more."""
    columns = one_time_links.c
    connection.execute(
        update(one_time_links)
        .where(columns.user_id == user_id, columns.used_at.is_(None))
        .values(used_at=now, key_encrypted=None)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A link on its way by mail."""

    id: str
    kind: LinkKind
    user_id: str
    key: str
    created_at: datetime
    expires_at: datetime


def letters(
    connection: Connection, vault: Vault, ids: Sequence[str], now: datetime
) -> dict[str, Letter]:
    """Read the links that are still to be mailed, by id."""
    columns = one_time_links.c
    query = select(*(columns[name] for name in Letter.__dataclass_fields__ if name != "key"),
                   columns.key_encrypted).where(
        columns.id.in_(sorted(ids)),
        columns.key_encrypted.is_not(None),
        columns.used_at.is_(None),
        columns.expires_at > now,
    )  # fmt: skip
    found = {}
    for row in connection.execute(query).mappings():
        values = {name: row[name] for name in Letter.__dataclass_fields__ if name != "key"}
        values["kind"] = LinkKind(values["kind"])
        found[row["id"]] = Letter(**values, key=vault.open(row["key_encrypted"]))
    return found


def mailed(connection: Connection, id_: str) -> None:
    """Forget the key of a link that is out."""
    connection.execute(
        update(one_time_links).where(one_time_links.c.id == id_).values(key_encrypted=None)
    )


# -- buckets --------------------------------------------------------------------------------------


def take(connection: Connection, wanted: Mapping[str, Bucket], now: datetime) -> timedelta | None:
    """Take a token out of each bucket; if one is empty out of none, and return how long to wait.

    The rows are held from the look to the change: however many try at once, no more get through.
    """
    found = _held(connection, wanted, now)
    left = {key: wanted[key].left(*found[key], now) for key in wanted}
    waits = [wait for key, bucket in wanted.items() if (wait := bucket.wait(left[key]))]
    if waits:
        return max(waits)
    _write(connection, {key: tokens - 1 for key, tokens in left.items()}, now)
    return None


def give_back(connection: Connection, wanted: Mapping[str, Bucket], now: datetime) -> None:
    """Put the tokens of a try back that was none."""
    found = _held(connection, wanted, now)
    _write(
        connection,
        {
            key: min(float(bucket.most), bucket.left(*found[key], now) + 1)
            for key, bucket in wanted.items()
        },
        now,
    )


def _held(
    connection: Connection, wanted: Mapping[str, Bucket], now: datetime
) -> dict[str, tuple[float, datetime]]:
    keys = sorted(wanted)
    query = select(buckets).where(buckets.c.key.in_(keys)).order_by(buckets.c.key).with_for_update()
    rows = connection.execute(query).all()
    if len(rows) < len(keys):
        known = {row.key for row in rows}
        full = [
            {"key": key, "tokens": float(wanted[key].most), "at": now}
            for key in keys
            if key not in known
        ]
        insert_many(connection, buckets, full, "(key) DO NOTHING")
        rows = connection.execute(query).all()
    return {row.key: (row.tokens, row.at) for row in rows}


def _write(connection: Connection, tokens: Mapping[str, float], now: datetime) -> None:
    for key in sorted(tokens):
        connection.execute(
            update(buckets).where(buckets.c.key == key).values(tokens=tokens[key], at=now)
        )


# -- first steps ----------------------------------------------------------------------------------


def skipped_steps(connection: Connection) -> frozenset[str]:
    """Return the first steps that were put off."""
    return frozenset(connection.scalar(select(installation.c.skipped_steps)) or ())


def skip_steps(connection: Connection, names: Sequence[str]) -> None:
    """Let these be the steps that were put off."""
    connection.execute(update(installation).values(skipped_steps=list(names)))


def has_processed_delivery(connection: Connection) -> bool:
    """Whether a webhook was ever understood."""
    query = select(deliveries.c.id).where(deliveries.c.status == "processed").limit(1)
    return connection.execute(query).first() is not None


def sweep(connection: Connection, now: datetime, limit: int) -> int:
    """Delete links and buckets that mean nothing any more; return how many went."""
    links = list(
        connection.scalars(
            select(one_time_links.c.id)
            .where(one_time_links.c.expires_at <= now - _LINKS_KEPT)
            .limit(limit)
        )
    )
    connection.execute(delete(one_time_links).where(one_time_links.c.id.in_(links)))
    full = list(
        connection.scalars(
            select(buckets.c.key).where(buckets.c.at <= now - _BUCKETS_KEPT).limit(limit)
        )
    )
    connection.execute(delete(buckets).where(buckets.c.key.in_(full)))
    return len(links) + len(full)
