"""A backup is the database as it was at one moment, or there is none."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import insert, select

from tests.furnished import furnish
from tocsin.store import backup, sealed
from tocsin.store.backup import NoCopy, put_back, save
from tocsin.store.db import Database
from tocsin.store.migrations import HEAD, NewerSchema, configuration, current, migrate
from tocsin.store.tables import contact_methods, metadata, turns
from tocsin.store.vault import Vault, WrongKeys


@pytest.fixture
def source(sqlite_url: str, vault: Vault) -> Iterator[Database]:
    """Give a database with rows in every table, and some of them in its log."""
    with closing(Database(sqlite_url)) as made:
        furnish(made, vault)
        yield made


@pytest.fixture
def path(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


@pytest.fixture
def copy(source: Database, path: Path, tmp_path: Path) -> Path:
    """Give a backup."""
    return save(path, tmp_path / "copy.db", unheard).path


def unheard(_done: int, _total: int | None) -> None:
    pass


def content(path: Path) -> dict[str, list[str]]:
    """Return every row of a file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {
            name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}")))
            for name in metadata.tables
        }


def ids(path: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {row[0] for row in connection.execute("SELECT step_id FROM turns")}


def test_a_copy_has_every_row_and_its_owner_alone_reads_it(
    source: Database, path: Path, tmp_path: Path
):
    before = content(path)
    told: list[tuple[int, int | None]] = []
    made = save(path, tmp_path / "copy.db", lambda done, total: told.append((done, total)))
    assert content(made.path) == before
    assert (made.schema, made.size) == (HEAD, made.path.stat().st_size)
    assert told[-1] == (made.size, made.size)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["copy.db"], "one file and no other"


def test_what_is_written_meanwhile_is_not_in_it_and_does_not_hold_it_up(
    source: Database, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One write between any two steps: a copy that began again each time would never end."""
    monkeypatch.setattr(backup, "_STEP", 1)
    before, steps = ids(path), 0

    def write(_done: int, total: int | None) -> None:
        nonlocal steps
        steps += 1
        assert total is not None
        assert steps <= total, "it began again"
        with source.write() as connection:
            connection.execute(insert(turns).values(step_id=f"later {steps}", count=1))

    made = save(path, tmp_path / "copy.db", write)
    assert steps > 50
    assert ids(made.path) == before
    assert len(ids(path)) == len(before) + steps


def test_a_file_that_is_there_is_never_overwritten(source: Database, path: Path, tmp_path: Path):
    theirs = tmp_path / "copy.db"
    theirs.write_text("theirs")
    with pytest.raises(NoCopy, match="is there already"):
        save(path, theirs, unheard)
    theirs.unlink()

    def appears(_done: int, _total: int | None) -> None:
        theirs.write_text("theirs")

    with pytest.raises(NoCopy, match="is there already"):
        save(path, theirs, appears)
    assert theirs.read_text() == "theirs"
    assert [one.name for one in tmp_path.iterdir()] == ["copy.db"]


def test_a_copy_that_fails_leaves_nothing(source: Database, path: Path, tmp_path: Path):
    def interrupts(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(path, tmp_path / "copy.db", interrupts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no file"), (b"", "is empty"), (b"text " * 500, "not a database")],
)
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes | None, said: str):
    source = tmp_path / "source.db"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(NoCopy, match=said):
        save(source, tmp_path / "copy.db", unheard)
    assert not (tmp_path / "copy.db").exists()


def test_a_database_of_somebody_else_is_refused(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    with pytest.raises(NoCopy, match="no database of Tocsin"):
        save(tmp_path / "theirs.db", tmp_path / "copy.db", unheard)


def damage(path: Path) -> None:
    """Make the middle of a file unreadable."""
    whole = bytearray(path.read_bytes())
    whole[4096 : len(whole) // 2] = b"\xa5" * (len(whole) // 2 - 4096)
    path.write_bytes(whole)


def test_a_damaged_database_makes_no_backup(copy: Path, tmp_path: Path):
    damage(copy)
    with pytest.raises(NoCopy, match=r"damaged|malformed"):
        save(copy, tmp_path / "again.db", unheard)
    assert not (tmp_path / "again.db").exists()


# -- putting it back -------------------------------------------------------------------------------


def test_what_is_put_back_is_what_was_saved(copy: Path, tmp_path: Path, vault: Vault):
    path = tmp_path / "elsewhere" / "tocsin.db"
    path.parent.mkdir()
    put_back(copy, path, vault, unheard, aside=tmp_path / "aside")
    assert content(path) == content(copy)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["tocsin.db"]
    with closing(Database(f"sqlite:///{path}")) as database:
        assert migrate(database, vault) is False


def test_what_was_there_is_kept_with_what_its_log_had(
    source: Database, copy: Path, path: Path, vault: Vault
):
    with source.write() as connection:
        connection.execute(insert(turns).values(step_id="after the backup", count=1))
    source.close()
    aside = path.with_name("aside.db")
    put_back(copy, path, vault, unheard, aside=aside)
    assert ids(path) == ids(copy)
    assert ids(aside) == {*ids(copy), "after the backup"}
    assert {one.name for one in path.parent.iterdir()} <= {path.name, "aside.db"}


def test_a_damaged_database_is_kept_too_and_its_log_does_not_touch_the_new_one(
    source: Database, copy: Path, path: Path, vault: Vault
):
    with source.write() as connection:
        connection.execute(insert(turns).values(step_id="in the log", count=1))
    log = Path(f"{path}-wal").read_bytes()
    assert log
    source.close()
    path.write_bytes(b"no database at all" * 1000)
    Path(f"{path}-wal").write_bytes(log)
    aside = path.with_name("aside.db")
    put_back(copy, path, vault, unheard, aside=aside)
    assert content(path) == content(copy)
    assert aside.read_bytes().startswith(b"no database")
    assert Path(f"{aside}-wal").read_bytes() == log
    assert not Path(f"{path}-wal").exists()


def test_a_database_that_another_program_has_open_is_left_alone(
    source: Database, copy: Path, path: Path, vault: Vault
):
    before = content(path)
    with source.read() as connection:
        connection.execute(select(turns)).all()
        with pytest.raises(NoCopy, match="another program has"):
            put_back(copy, path, vault, unheard, aside=path.with_name("aside.db"))
    assert content(path) == before
    assert not path.with_name("aside.db").exists()


def refused(copy: Path, vault: Vault, kind: type[Exception], said: str) -> None:
    path = copy.with_name("tocsin.db")
    with pytest.raises(kind, match=said):
        put_back(copy, path, vault, unheard, aside=copy.with_name("aside"))
    assert [one.name for one in copy.parent.iterdir()] == [copy.name]


def test_a_backup_of_a_newer_version_is_refused(copy: Path, vault: Vault):
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    refused(copy, vault, NewerSchema, "schema 9999")


def test_a_backup_that_other_keys_sealed_is_refused(copy: Path, fresh_key: str):
    refused(copy, Vault([fresh_key]), WrongKeys, "TOCSIN_SECRET_KEYS")


def test_a_backup_with_one_secret_of_another_key_is_refused(
    copy: Path, vault: Vault, fresh_key: str
):
    """The check alone would pass it."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute(
            "UPDATE contact_methods SET deleted_at = NULL, secret_encrypted = ?",
            (Vault([fresh_key]).seal("x"),),
        )
        connection.commit()
    refused(copy, vault, NoCopy, r"3 in contact_methods\.secret_encrypted")


def test_a_damaged_backup_is_refused(copy: Path, vault: Vault):
    damage(copy)
    refused(copy, vault, NoCopy, "damaged|malformed")


def test_a_backup_of_an_older_schema_is_put_back_and_brought_to_head_later(
    tmp_path: Path, vault: Vault
):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with closing(Database(url)) as old, old.write() as connection:
        command.upgrade(configuration(connection), "0003")
        connection.exec_driver_sql(
            "INSERT INTO installation (id, revision, key_check) VALUES (1, 1, ?)", (vault.check(),)
        )
    path = tmp_path / "new" / "tocsin.db"
    path.parent.mkdir()
    done = put_back(tmp_path / "old.db", path, vault, unheard, aside=tmp_path / "aside")
    assert done.schema == "0003"
    with closing(Database(f"sqlite:///{path}")) as database:
        assert migrate(database, vault) is True
        with database.read() as connection:
            assert current(connection) == HEAD


def test_every_secret_in_a_backup_is_looked_at():
    """A column that is sealed says so by its name, and its table has one key to find rows by."""
    assert contact_methods.c.secret_encrypted in [place.column for place in sealed.PLACES]
    assert all(place.key is not None for place in sealed.PLACES)
