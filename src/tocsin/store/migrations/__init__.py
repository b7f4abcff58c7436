"""The schema, step by step; their sum must equal ``store/tables.py`` (a test)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, inspect, select, text

from tocsin.store.db import Database
from tocsin.store.inbox import PARTITIONS
from tocsin.store.tables import inbox_partitions, installation
from tocsin.store.vault import Vault, WrongKeys

if TYPE_CHECKING:
    from alembic.config import Config

#: The revision this program works with.
HEAD = "0011"

#: Any number, the same for all who migrate: they wait for each other by it.
_LOCK = 7_467_226


class NewerSchema(Exception):
    """The database was made by a newer Tocsin."""

    def __init__(self, found: str) -> None:
        """Say so, with the remedy."""
        super().__init__(
            f"the database has schema {found}, which this version of Tocsin does not know:"
            " run the newer version, or restore a backup from before it"
        )


def migrate(database: Database, vault: Vault) -> bool:
    """Bring the schema to head, one process at a time; return whether anything was done.

    Raises NewerSchema, and WrongKeys if the vault does not open this database.
    """
    with database.read() as connection:
        if current(connection) == HEAD:
            check_keys(connection, vault)
            return False
    with database.write() as connection:
        _take_turn(connection)
        found = current(connection)
        refuse_newer(found)
        _upgrade(connection)
        _fill(connection, vault)
        check_keys(connection, vault)
        return found != HEAD


def build(connection: Connection) -> None:
    """Make the schema in an empty database, within a transaction, and not one row of Tocsin."""
    _take_turn(connection)
    _upgrade(connection)


def _take_turn(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def refuse_newer(found: str | None) -> None:
    """Raise NewerSchema for a schema that this program does not know."""
    if found is not None and found > HEAD:
        raise NewerSchema(found)


def is_empty(connection: Connection) -> bool:
    """Whether there is not one table."""
    return not inspect(connection).get_table_names()


def current(connection: Connection) -> str | None:
    """Return the schema's revision; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: Connection) -> None:
    # Nearly every start finds the schema at head: it need not wait for Alembic's third of a second.
    from alembic import command  # noqa: PLC0415

    command.upgrade(configuration(connection), "head")


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration for a connection in a transaction."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def _fill(connection: Connection, vault: Vault) -> None:
    """Put in the rows every installation has."""
    if connection.scalar(select(installation.c.id)) is None:
        connection.execute(insert(installation).values(id=1, revision=1, key_check=vault.check()))
    if connection.scalar(select(inbox_partitions.c.number).limit(1)) is None:
        rows = [{"number": number} for number in range(PARTITIONS)]
        connection.execute(insert(inbox_partitions), rows)


def check_keys(connection: Connection, vault: Vault) -> None:
    """Let the vault encrypt with the key this database is at. Raises WrongKeys."""
    check = connection.scalar(select(installation.c.key_check))
    if check is None:
        raise WrongKeys
    vault.follow(check)
