"""What was in SQLite is in PostgreSQL, all of it, or nothing is."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import Connection, Table, delete, insert, select, text, update

from tests.conftest import url_of
from tests.furnished import furnish
from tocsin.store import moving
from tocsin.store.db import Database
from tocsin.store.migrations import is_empty, migrate
from tocsin.store.moving import Moved, NotMoved, Sum, move
from tocsin.store.tables import incidents, metadata, timeline, turns, users
from tocsin.store.vault import Vault


@pytest.fixture
def source(sqlite_url: str, vault: Vault) -> Iterator[Database]:
    """Give an SQLite database with rows in every table."""
    with closing(Database(sqlite_url, checkpoints=True)) as made:
        furnish(made, vault)
        yield made


@pytest.fixture
def empty_url(postgres_server: str) -> Iterator[str]:
    """Give a PostgreSQL database without one table."""
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield url_of(postgres_server, name)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def target(empty_url: str) -> Iterator[Database]:
    with closing(Database(empty_url)) as made:
        yield made


def moved(source: Database, target: Database) -> tuple[Moved, ...]:
    with source.read() as here, target.engine.begin() as there:
        return move(here, there, lambda _done, _total: None)


def rows(database: Database, table: str) -> list[str]:
    """Return every row as the program sees it."""
    with database.read() as connection:
        return sorted(map(repr, connection.execute(select(metadata.tables[table]))))


def test_every_table_has_rows_here_and_no_column_is_always_null(source: Database):
    """So that what follows says something of each."""
    with source.read() as connection:
        for table in metadata.sorted_tables:
            found = connection.execute(select(table)).mappings().all()
            assert found, table.name
            if table.name != "installation":
                for column in table.columns:
                    assert any(row[column.name] is not None for row in found), column


def test_every_row_of_every_table_arrives_as_it_was(source: Database, target: Database):
    told: list[tuple[int, int | None]] = []
    with source.read() as here, target.engine.begin() as there:
        found = move(here, there, lambda done, total: told.append((done, total)))
    assert {one.table for one in found} == set(metadata.tables)
    for one in found:
        assert one.is_same, one
        assert one.here.rows > 0, one
        assert rows(target, one.table) == rows(source, one.table), one.table
    total = sum(one.here.rows for one in found)
    assert told[-1] == (2 * total, 2 * total)


def test_what_arrived_is_a_database_at_head_with_the_same_keys(
    source: Database, target: Database, vault: Vault
):
    moved(source, target)
    assert migrate(target, vault) is False


def test_numbers_go_on_and_none_is_given_twice(source: Database, target: Database):
    """Also not that of a row that is gone."""
    with source.write() as connection:
        highest = connection.scalar(select(incidents.c.number).order_by(incidents.c.number.desc()))
        row = dict(connection.execute(select(incidents)).mappings().first() or {})
        connection.execute(delete(incidents).where(incidents.c.number == highest))
        connection.execute(update(incidents).values(number=incidents.c.number - 100))
        connection.execute(delete(timeline))
    moved(source, target)
    del row["number"]
    with target.write() as connection:
        row |= {"id": "inc_new", "group_key": None}
        new = connection.execute(insert(incidents).values(row).returning(incidents.c.number))
        assert new.scalar_one() == highest + 1


def test_a_target_that_is_not_empty_stays_as_it_is(source: Database, target: Database):
    with target.write() as connection:
        connection.execute(text("CREATE TABLE theirs (id integer)"))
    with pytest.raises(NotMoved, match="make an empty database"):
        moved(source, target)
    with target.read() as connection:
        assert (
            connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname='public'")) == 1
        )


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM turns WHERE step_id = (SELECT min(step_id) FROM turns)",
        "UPDATE turns SET count = count + 1",
        "INSERT INTO turns VALUES ('another', 1)",
    ],
)
def test_a_table_that_arrives_otherwise_is_found_and_nothing_is_moved(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch, tampering: str
):
    def tamper(_here: object, there: Connection, table: Table) -> None:
        if table is turns:
            there.execute(text(tampering))

    monkeypatch.setattr(moving, "_set_sequence", tamper)
    with pytest.raises(NotMoved, match=r"not what was sent \(turns\)"):
        moved(source, target)
    with target.read() as connection:
        assert is_empty(connection)


def test_what_postgresql_refuses_is_named_and_nothing_is_moved(source: Database, target: Database):
    with source.write() as connection:
        connection.execute(update(users).values(role="r" * 21))
    with pytest.raises(NotMoved, match="users: PostgreSQL refuses a row: value too long"):
        moved(source, target)
    with target.read() as connection:
        assert is_empty(connection)


DYING = """
import os, signal, sys
from tocsin.store.db import Database
from tocsin.store.moving import move
from tocsin.store import moving

moving._TELL_EVERY = 1
deadly = int(sys.argv[3])

def told(done, total):
    if done == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

with Database(sys.argv[1]).read() as here, Database(sys.argv[2]).engine.begin() as there:
    move(here, there, told)
"""


@pytest.mark.parametrize("part", [0.25, 0.75], ids=["while copying", "while comparing"])
def test_a_death_half_way_leaves_the_target_empty_and_the_source_whole(
    source: Database, target: Database, sqlite_url: str, empty_url: str, part: float
):
    with source.read() as connection:
        total = sum(len(connection.execute(select(t)).all()) for t in metadata.sorted_tables)
    done = subprocess.run(
        [sys.executable, "-c", DYING, sqlite_url, empty_url, str(int(2 * total * part))],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with target.read() as connection:
        assert is_empty(connection)
    # Whoever begins again finds everything where it was.
    assert all(one.is_same for one in moved(source, target))
    assert rows(target, turns.name) == rows(source, turns.name)


def test_a_check_sum_is_of_the_rows_and_not_of_their_order():
    def sum_of(*rows: list[object]) -> str:
        made = Sum()
        for row in rows:
            made.add(row)
        return str(made)

    one, two = [1, "a", None], [2, "b", True]
    assert sum_of(one, two) == sum_of(two, one)
    assert len({sum_of(), sum_of(one), sum_of(one, one), sum_of(one, two), sum_of(["1", "a"])}) == 5
