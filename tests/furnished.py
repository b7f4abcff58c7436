"""A database in which every table has rows, whatever tables there are: made from their columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    String,
    func,
    insert,
    select,
)

from tocsin.store.db import Database
from tocsin.store.tables import Document, Instant, metadata
from tocsin.store.vault import Vault

#: What texts are made of, besides their number: all that COPY, SQL and JSON take for something.
ODD = "é'\"\\N\\.\t\n\r,;\u2028😀%s$1"

#: Rows of each table, but for those that every installation has.
ROWS = 3


def furnish(database: Database, vault: Vault) -> None:
    """Put rows into every table that has none. Of the first row, no column is null."""
    keys: dict[str, list[Any]] = {}
    with database.write() as connection:
        for table in metadata.sorted_tables:
            if not connection.scalar(select(func.count()).select_from(table)):
                for number in range(ROWS):
                    values = {
                        column.name: _value(column, number, keys, vault) for column in table.columns
                    }
                    connection.execute(insert(table).values(values))
            if len(table.primary_key.columns) == 1:
                (key,) = table.primary_key.columns
                keys[table.name] = list(connection.scalars(select(key).order_by(key)))


def _value(column: Column[Any], number: int, keys: dict[str, list[Any]], vault: Vault) -> Any:
    if column.nullable and number % 2:
        return None
    for foreign in column.foreign_keys:
        return keys[foreign.column.table.name][number]
    if column.name.endswith("_encrypted"):
        return vault.seal_all([f"secret of {column} {number}"])
    made = next((make for kind, make in _MAKING.items() if isinstance(column.type, kind)), None)
    if made is not None:
        return made(number)
    assert isinstance(column.type, String), f"{column} has a type that nothing is made for"
    return f"{number}{ODD}{column.name}"[: column.type.length]


#: What is made for a column that is neither a text nor names another row, by its type.
_MAKING: dict[type[Any], Callable[[int], Any]] = {
    Instant: lambda n: datetime(2026, 3, 29, 1, 59, 59, 123456, UTC) + timedelta(days=n),
    Document: lambda n: {"number": n, "text": ODD, "half": 0.1 + n, "none": [None, True]},
    Boolean: lambda n: n % 2 == 0,
    Float: lambda n: 0.1 + n,
    Integer: lambda n: 2**31 - 1 - n,
    LargeBinary: lambda n: bytes(range(256)) * (n + 1),
}
