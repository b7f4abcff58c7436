"""Through pgbouncer in transaction mode: nothing of Tocsin outlives its transaction.

It is a system package (``apt install pgbouncer``); where it is not installed this is left out, and
the run says so.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.outside import Telephones, Tocsin, telephones, until
from tests.processes.test_processes import CONFIGURATION, trigger
from tocsin.boot import free_port

_PROGRAM = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")

#: So few that every process shares them, and any state left on one is met by another.
_POOL = 3

_SETTINGS = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
server_reset_query_always = 0
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
pidfile = {folder}/pid
"""


@pytest.fixture
def pooled(postgres_url: str) -> Iterator[str]:
    """Give the URL of a fresh database as it is seen through the pooler."""
    if _PROGRAM is None:
        pytest.skip("needs pgbouncer, which is not installed")
    known = psycopg.conninfo.conninfo_to_dict(postgres_url)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tocsin-pooler-") as name:
        yield from _pooled(Path(name), port, known)


def _pooled(folder: Path, port: int, known: dict[str, Any]) -> Iterator[str]:
    server = " ".join(f"{key}={known[key]}" for key in ("host", "port", "user") if key in known)
    file = folder / "pgbouncer.ini"
    file.write_text(_SETTINGS.format(server=server, port=port, pool=_POOL, folder=folder))
    assert _PROGRAM is not None
    command = [_PROGRAM, str(file)]
    host = str(known.get("host", ""))
    if os.geteuid() == 0:
        # It refuses to be root; whoever owns the socket may open it.
        owner = Path(host).stat().st_uid if host.startswith("/") else pwd.getpwnam("nobody").pw_uid
        os.chown(folder, owner, -1)
        command += ["-u", pwd.getpwuid(owner).pw_name]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port), "pgbouncer")
        yield f"postgresql://{known['user']}@127.0.0.1:{port}/{known['dbname']}"
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def phones() -> Iterator[Telephones]:
    with telephones() as made:
        yield made


def test_two_whole_processes_share_a_few_pooled_connections(
    tmp_path: Path, pooled: str, postgres_url: str, phones: Telephones
):
    """Webhooks, incidents and pages, each once; workers listen past the pooler."""
    both = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        both.append(Tocsin(folder, pooled, database_direct_url=postgres_url))
    both[0].apply(CONFIGURATION.format(phones=phones.base, wait="1h"))
    try:
        for each in both:
            each.start()
        for number in range(40):
            assert trigger(both[number % 2], str(number)).status == 202
        until(lambda: len(phones.pages()) == 40, "the pages")
        numbers = [page["data"]["incident"]["number"] for page in phones.pages()]
        assert sorted(numbers) == list(range(1, 41))
    finally:
        for each in both:
            each.end()
