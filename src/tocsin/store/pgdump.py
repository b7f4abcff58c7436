"""Copies of a PostgreSQL database, by its own programs: ``pg_dump`` and ``pg_restore``.

The password is never an argument, which others see in the list of processes.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tocsin.store.backup import Copied, NoCopy, Told, fresh
from tocsin.store.migrations import refuse_newer
from tocsin.store.vault import Vault

#: What must not be shown, and how the programs are told of it.
_SECRETS: Mapping[str, str] = {"password": "PGPASSWORD"}

_LOOK_EVERY = 0.2


def connection(url: str) -> str:
    """Return how to reach a database, without its password."""
    known = conninfo_to_dict(url)
    return make_conninfo("", **{k: v for k, v in known.items() if k not in _SECRETS})


def _environment(url: str) -> dict[str, str]:
    known = conninfo_to_dict(url)
    return {**os.environ, **{_SECRETS[k]: str(v) for k, v in known.items() if k in _SECRETS}}


def saving(url: str, target: Path) -> Sequence[str]:
    """Return the command that copies a database into a file."""
    return (
        "pg_dump", "--format=custom", "--no-owner", "--no-privileges",
        f"--file={target}", f"--dbname={connection(url)}",
    )  # fmt: skip


def putting_back(url: str, file: Path) -> Sequence[str]:
    """Return the command that puts a copy into an empty database: all of it or nothing."""
    return (
        "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction",
        f"--dbname={connection(url)}", str(file),
    )  # fmt: skip


def is_there(program: str) -> bool:
    """Whether a program is installed."""
    return shutil.which(program) is not None


def shown(command: Sequence[str]) -> str:
    """Return a command as it is typed."""
    return shlex.join(command)


def save(url: str, target: Path, told: Told) -> Copied:
    """Copy a database as it is now into a file that is not there yet. Raises NoCopy, OSError."""
    with fresh(target) as part:
        _run((*saving(url, part), "--no-password"), _environment(url), part, told)
        schema, _ = _in_it(part)
        size = part.stat().st_size
    return Copied(path=target, size=size, schema=schema)


def put_back(url: str, file: Path, vault: Vault, told: Told) -> Copied:
    """Put a copy into an empty database. Raises NoCopy, WrongKeys, NewerSchema, OSError."""
    if not file.is_file():
        raise NoCopy(f"there is no file {file}")
    schema, check = _in_it(file)
    refuse_newer(schema)
    vault.follow(check)
    _run((*putting_back(url, file), "--no-password"), _environment(url), None, told)
    return Copied(path=file, size=file.stat().st_size, schema=schema)


def _in_it(file: Path) -> tuple[str, str]:
    """Return the schema of a copy, and what says which key it is sealed by."""
    tables = {
        "alembic_version": "version_num",
        "installation": "key_check",
    }
    command = ("pg_restore", "--data-only", *(f"--table={name}" for name in tables), "--file=-")
    done = subprocess.run(
        (*command, str(file)), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise NoCopy(f"{file} is no copy that pg_restore can read: {_said(done.stderr)}")
    found = [_value(done.stdout, table, column) for table, column in tables.items()]
    if None in found:
        raise NoCopy(f"{file} is no copy of a database of Tocsin")
    return str(found[0]), str(found[1])


def _value(dump: str, table: str, column: str) -> str | None:
    """Return a column of the first row of a table, from what pg_restore printed."""
    found = re.search(
        rf"^COPY (?:\S+\.)?{table} \((.+?)\) FROM stdin;\n(?!\\\.)(.+)$", dump, re.MULTILINE
    )
    if found is None:
        return None
    names = [name.strip(' "') for name in found[1].split(",")]
    return found[2].split("\t")[names.index(column)] if column in names else None


def _run(
    command: Sequence[str], environment: Mapping[str, str], grows: Path | None, told: Told
) -> None:
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
        try:
            while True:
                try:
                    code = process.wait(_LOOK_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    if grows is not None:
                        told(grows.stat().st_size, None)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if code:
            errors.seek(0)
            raise NoCopy(f"{command[0]} failed: {_said(errors.read())}")


def _said(text: str) -> str:
    """Return the first line of what a program complained of."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else "it says nothing"
