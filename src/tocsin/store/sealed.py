"""What is sealed in the database: by which key, and sealing it anew with another.

A column whose name ends in ``_encrypted`` holds what the vault sealed; ``installation.key_check``
says which key the database is at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, inspect, select, update

from tocsin.store.tables import installation, metadata
from tocsin.store.vault import Vault

#: How many are read at once.
_READ = 500


@dataclass(frozen=True, slots=True)
class Place:
    """A column that holds what is sealed."""

    table: Table
    column: Column[str]

    @property
    def key(self) -> Column[str]:
        """What its rows are known by."""
        (key,) = self.table.primary_key.columns
        return key

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.table.name}.{self.column.name}"


#: Every place, in the order it is gone through.
PLACES: Sequence[Place] = tuple(
    Place(table, column)
    for table in metadata.sorted_tables
    for column in table.columns
    if column.name.endswith("_encrypted")
)


@dataclass(slots=True)
class Survey:
    """By which keys a database is sealed."""

    #: The place, among the keys, of the one that the database is at.
    at: int
    #: Place of a key to how much is sealed by it.
    sealed: Counter[int] = field(default_factory=Counter)
    #: Where there is something that no key opens, and how much.
    closed: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How much there is that opens."""
        return self.sealed.total()


def survey(connection: Connection, vault: Vault) -> Survey:
    """Look at everything that is sealed. Raises WrongKeys where the database has other keys.

    It may be of an older schema. What was deleted counts only where it opens: nobody asks for it.
    """
    check = connection.scalar(select(installation.c.key_check)) or ""
    found = Survey(at=vault.follow(check))
    for place in PLACES:
        for _, sealed, is_deleted in _all(connection, place):
            key = vault.place_of(sealed)
            if key is not None:
                found.sealed[key] += 1
            elif not is_deleted:
                found.closed[str(place)] += 1
    return found


def _all(connection: Connection, place: Place) -> Iterator[tuple[str, str, bool]]:
    inspector = inspect(connection)
    if not inspector.has_table(place.table.name):
        return
    there = {one["name"] for one in inspector.get_columns(place.table.name)}
    if place.column.name not in there:
        return
    columns = [place.key.label("key"), place.column.label("sealed")]
    if "deleted_at" in there and "deleted_at" in place.table.c:
        columns.append(place.table.c.deleted_at.label("deleted_at"))
    last = ""
    while True:
        query = select(*columns).where(place.key > last, _is_sealed(place))
        rows = connection.execute(query.order_by(place.key).limit(_READ)).all()
        for row in rows:
            yield row.key, row.sealed, getattr(row, "deleted_at", None) is not None
        if len(rows) < _READ:
            return
        last = rows[-1].key


def _is_sealed(place: Place) -> ColumnElement[bool]:
    return and_(place.column.is_not(None), place.column != "")


def move_to(connection: Connection, vault: Vault) -> None:
    """Let the database be at the key that a vault encrypts with: every server follows it."""
    connection.execute(update(installation).values(key_check=vault.check()))


def left(connection: Connection, vault: Vault, place: Place) -> list[str]:
    """Return the keys of the rows that an older key than the first sealed."""
    return [
        key for key, sealed, _ in _all(connection, place) if vault.place_of(sealed) not in (0, None)
    ]


def reseal(connection: Connection, vault: Vault, place: Place, keys: Sequence[str]) -> int:
    """Seal some rows anew; return how many. One that somebody else changes now is left alone.

    That nobody is waited for while rows are locked means that nobody waits in a circle.
    """
    rows = connection.execute(
        select(place.key.label("key"), place.column.label("sealed"))
        .where(place.key.in_(keys), _is_sealed(place))
        .order_by(place.key)
        .with_for_update(skip_locked=True)
    ).all()
    count = 0
    for row in rows:
        if vault.place_of(row.sealed) in (0, None):
            continue
        anew = {place.column: vault.seal(vault.open(row.sealed))}
        connection.execute(update(place.table).where(place.key == row.key).values(anew))
        count += 1
    return count
