"""The program as it is typed, a process of its own; other tests run commands within their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_commands import FILE
from tests.outside import Tocsin


@pytest.fixture
def tocsin(tmp_path: Path, sqlite_url: str) -> Tocsin:
    """Give a Tocsin that is not running, with a configuration."""
    made = Tocsin(tmp_path, sqlite_url)
    made.apply(FILE)
    return made


def test_what_went_well_is_exit_code_0_and_on_standard_output(tocsin: Tocsin):
    done = tocsin.program("config", "show", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["setting"]: row["from"] for row in json.loads(done.stdout)}
    assert rows["TOCSIN_DATABASE_URL"] == "TOCSIN_DATABASE_URL"
    assert rows["TOCSIN_RETENTION"] == "default"


def test_what_a_command_refuses_is_one_sentence_and_exit_code_1(tocsin: Tocsin):
    done = tocsin.program("ack", "7")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tocsin: there is no incident 7\n"


def test_a_list_that_is_empty_is_exit_code_1(tocsin: Tocsin):
    done = tocsin.program("incidents", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (1, "[]\n", "")


def test_wrong_usage_is_exit_code_2(tmp_path: Path):
    done = Tocsin(tmp_path, "sqlite:////nothing").program("key", "create")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--name" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_setting_is_one_sentence_and_exit_code_1(tmp_path: Path):
    done = Tocsin(tmp_path, "sqlite:////nothing", listem="x").program("export")
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean TOCSIN_LISTEN?" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_reader_that_has_seen_enough_is_no_error(tocsin: Tocsin):
    done = subprocess.run(
        f"{sys.executable} -m tocsin export | head -n 1",
        shell=True,
        env=tocsin.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "users:\n"
    assert done.stderr == ""


def test_help_names_the_commands(tmp_path: Path):
    done = Tocsin(tmp_path, "sqlite:////nothing").program("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "serve" in done.stdout


def test_help_imports_no_database():
    code = (
        "import sys, tocsin.cli.app; print('sqlalchemy' in sys.modules, 'litestar' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_a_start_imports_no_framework_that_is_not_used():
    code = (
        "import sys; from litestar.datastructures import State; from tocsin.web import app;"
        " app.build_framework(state=State({})); print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
