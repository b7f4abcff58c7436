"""Backups, moves and new secret keys, beside real servers that take webhooks and send pages."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.conftest import TEST_KEY, url_of
from tests.outside import Telephones, Tocsin, telephones, until
from tests.processes.test_processes import CONFIGURATION, running, trigger
from tocsin.channels.webhook import make_secret
from tocsin.store import sealed
from tocsin.store.db import Database
from tocsin.store.vault import Vault

SIGNED = CONFIGURATION.replace('/ann"', '/ann", secret: "SECRET"')


@pytest.fixture
def phones() -> Iterator[Telephones]:
    with telephones() as made:
        yield made


@contextmanager
def sending(tocsins: list[Tocsin]) -> Iterator[list[str]]:
    """Send webhooks to whoever of them takes them, one after the other; give what was taken."""
    taken: list[str] = []
    stop = threading.Event()

    def send() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for tocsin in tocsins:
                try:
                    if trigger(tocsin, str(number), title=f"T{number}").status == 202:
                        taken.append(str(number))
                        break
                except OSError:
                    continue

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


def more(taken: list[str], count: int = 20) -> None:
    """Let some more come in."""
    wanted = len(taken) + count
    until(lambda: len(taken) >= wanted, "more webhooks")


def paged(phones: Telephones) -> list[str]:
    return [page["data"]["incident"]["title"].removeprefix("T") for page in phones.pages()]


def test_a_backup_under_load_has_all_that_was_taken_before_it(tmp_path: Path, phones: Telephones):
    (tmp_path / "one").mkdir()
    url = f"sqlite:///{tmp_path / 'one' / 'tocsin.db'}"
    with running(tmp_path / "one", url, phones) as tocsin, sending([tocsin]) as taken:
        more(taken)
        before = set(taken)
        done = tocsin.program("backup", str(tmp_path / "copy.db"))
        assert done.returncode == 0, done.stderr
        more(taken)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM deliveries").fetchone()[0] >= len(before)
    (tmp_path / "two").mkdir()
    there = Tocsin(tmp_path / "two", f"sqlite:///{tmp_path / 'two' / 'tocsin.db'}")
    assert there.program("restore", str(tmp_path / "copy.db")).returncode == 0
    there.start()
    try:
        until(lambda: before <= issues(there), "every incident of the backup")
    finally:
        there.end()


def outcomes(url: str) -> set[str | None]:
    with closing(Database(url)) as database, database.read() as connection:
        found = connection.exec_driver_sql("SELECT DISTINCT outcome FROM attempts")
        return {row[0] for row in found}


def issues(tocsin: Tocsin) -> set[str]:
    url = tocsin.environment["TOCSIN_DATABASE_URL"]
    with closing(Database(url)) as database, database.read() as connection:
        found = connection.exec_driver_sql("SELECT dedup_key FROM incidents")
        return {row[0].rpartition(":")[2] for row in found}


def test_after_a_move_the_same_incident_goes_on_and_a_new_one_pages(
    tmp_path: Path, postgres_server: str, phones: Telephones
):
    name = f"moved_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = f"sqlite:///{tmp_path / 'tocsin.db'}"
    with running(tmp_path, url, phones) as tocsin:
        assert trigger(tocsin, "1", title="T1").status == 202
        until(phones.pages, "the page")
        target = url_of(postgres_server, name)
        under = tocsin.program("move", "--to", target)
        assert (under.returncode, "serves this database" in under.stderr) == (1, True)
        assert tocsin.stop() == 0
    done = tocsin.program("move", "--to", target)
    assert done.returncode == 0, done.stderr
    there = Tocsin(tmp_path, target)
    there.start()
    try:
        assert trigger(there, "1", title="T1").status == 202
        assert trigger(there, "2", title="T2").status == 202
        until(lambda: len(phones.pages()) == 2, "the page of the new incident")
    finally:
        there.end()
    assert paged(phones) == ["1", "2"]
    assert [page["data"]["incident"]["number"] for page in phones.pages()] == [1, 2]
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_keys_are_rotated_under_load_and_no_page_fails(
    tmp_path: Path, database_url: str, phones: Telephones, fresh_key: str
):
    """On PostgreSQL the servers are started anew one at a time, and both send all the while."""
    count = 1 if database_url.startswith("sqlite") else 2
    folders = [tmp_path / str(number) for number in range(count)]
    for folder in folders:
        folder.mkdir()
    tocsins = [Tocsin(folder, database_url) for folder in folders]

    def configure(tocsin: Tocsin) -> None:
        """Give the telephone a new secret."""
        text = SIGNED.format(phones=phones.base, wait="1h")
        tocsin.apply(text.replace("SECRET", make_secret()))

    configure(tocsins[0])

    def anew(keys: str, then: Callable[[Tocsin], None]) -> None:
        for tocsin in tocsins:
            tocsin.environment["TOCSIN_SECRET_KEYS"] = keys
            tocsin.stop()
            tocsin.start()
            then(tocsin)

    def change(tocsin: Tocsin) -> None:
        """Write a secret with the keys of one server, and let all use it."""
        configure(tocsin)
        more(taken, 10)

    with ExitStack() as stack:
        for tocsin in tocsins:
            stack.callback(tocsin.end)
            tocsin.start()
        with sending(tocsins) as taken:
            more(taken)
            anew(f"{fresh_key},{TEST_KEY}", change)
            done = tocsins[0].program("secrets", "rotate")
            assert done.returncode == 0, done.stderr
            change(tocsins[-1])
            again = tocsins[0].program("secrets", "rotate")
            assert "nothing to do" in again.stdout
            anew(fresh_key, change)
            more(taken)
        until(lambda: set(taken) <= set(paged(phones)), "every page")
        until(lambda: None not in outcomes(database_url), "every attempt at its end")
    assert outcomes(database_url) == {"delivered"}
    for tocsin in tocsins:
        assert "secret keys do not open" not in tocsin.log.read_text()
    with closing(Database(database_url)) as database, database.read() as connection:
        survey = sealed.survey(connection, Vault([fresh_key, TEST_KEY]))
        assert set(survey.sealed) == {0}
    assert all("webhook-signature" in {k.lower() for k in ring.headers} for ring in phones.rings)
