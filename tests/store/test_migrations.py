"""The shipped schema is the sum of its migrations."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from tests.conftest import url_of
from tocsin.store import migrations
from tocsin.store.db import Database
from tocsin.store.migrations import HEAD, NewerSchema, configuration, current, migrate
from tocsin.store.tables import metadata
from tocsin.store.vault import Vault, WrongKeys


def schema(database: Database) -> list[tuple[str, str]]:
    """Return every object of the schema with its definition, as the database itself tells it."""
    query = (
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        if database.is_sqlite
        else """
            SELECT c.relname, a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                || ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
                || ' ' || a.attidentity::text
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
            WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND c.relkind = 'r'
            UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
                WHERE connamespace = 'public'::regnamespace
            ORDER BY 1, 2
        """
    )
    with database.read() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    return [
        (name, " ".join(sorted(re.sub(r"[\t,)]", " ", definition).split())))
        for name, definition in rows
        if "alembic" not in name
    ]


@pytest.fixture
def empty(database: Database) -> Database:
    """Give a database with nothing in it, of the same engine."""
    with database.write() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
    return database


def test_the_sum_of_the_migrations_is_the_shipped_schema(database: Database, empty: Database):
    """Down to every column, default, index and constraint."""
    with empty.write() as connection:
        metadata.create_all(connection)
    shipped = schema(empty)
    with empty.write() as connection:
        metadata.drop_all(connection)
    migrate(empty, Vault([_key()]))
    assert schema(empty) == shipped


def _key() -> str:
    from tests.conftest import TEST_KEY

    return TEST_KEY


def test_alembic_finds_no_difference_either(database: Database):
    with database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_the_head_the_program_names_is_the_last_migration(database: Database):
    with database.write() as connection:
        scripts = ScriptDirectory.from_config(configuration(connection))
    assert scripts.get_current_head() == HEAD


def test_migrating_twice_does_nothing_the_second_time(empty: Database, vault: Vault):
    assert migrate(empty, vault) is True
    assert migrate(empty, vault) is False
    with empty.read() as connection:
        assert current(connection) == HEAD


def test_a_newer_schema_is_refused(database: Database, vault: Vault):
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerSchema, match="newer version"):
        migrate(database, vault)


def test_other_keys_than_the_databases_are_refused(database: Database, fresh_key: str):
    with pytest.raises(WrongKeys, match="TOCSIN_SECRET_KEYS"):
        migrate(database, Vault([fresh_key]))


def test_processes_that_migrate_at_once_wait_for_each_other(postgres_server: str, vault: Vault):
    """Two replicas of a new version start together; one of them does it."""
    from concurrent.futures import ThreadPoolExecutor

    name = "tocsin_race"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")
    databases = [Database(url_of(postgres_server, name)) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        did = list(pool.map(lambda database: migrations.migrate(database, vault), databases))
    assert sorted(did) == [False, False, True]
    for database in databases:
        database.close()


def test_an_sqlite_file_is_for_its_owner_alone(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/tocsin.db")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a)")
        assert {one.stat().st_mode & 0o077 for one in tmp_path.iterdir()} == {0}
    database.close()
