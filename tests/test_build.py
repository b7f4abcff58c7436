"""What is built into Tocsin: the front-end files are those that the lock file names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[1]
LOCKS = [ROOT / "frontend" / "package-lock.json", ROOT / "tests" / "browser" / "package-lock.json"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Give a clone in which nothing was built."""
    shutil.copytree(ROOT / "frontend", tmp_path / "frontend")
    return tmp_path


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the program that npm is here; it makes every package that is asked for."""
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    making = "".join(
        f"mkdir -p $(dirname node_modules/{place}); echo {name} > node_modules/{place}\n"
        for name, place in hatch_build.FILES.items()
    )
    program.write_text(f"#!/bin/sh\n{making}")
    program.chmod(0o755)
    shutil.copy(program, program.with_name("node"))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_what_is_served_is_what_the_lock_names() -> None:
    assert hatch_build.is_fresh(ROOT), "run `make venv`"


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_lock_has_a_hash_for_every_package_and_names_no_registry(path: Path) -> None:
    packages = json.loads(path.read_text("utf-8"))["packages"]
    for name, package in packages.items():
        assert "resolved" not in package
        assert name == "" or package["integrity"].startswith("sha512-")


def test_files_are_fetched_once(clone: Path, npm: Path) -> None:
    assert not hatch_build.is_fresh(clone)
    hatch_build.fetch(clone)
    vendor = clone / "src" / "tocsin" / "web" / "static" / "vendor"
    assert {one.name for one in vendor.iterdir()} == {*hatch_build.FILES, "manifest.json"}
    assert (vendor / "pico.min.css").read_text() == "pico.min.css\n"
    assert hatch_build.is_fresh(clone)


@pytest.mark.parametrize("changed", ["htmx.min.js", "manifest.json"])
def test_a_file_that_was_changed_is_fetched_again(clone: Path, npm: Path, changed: str) -> None:
    hatch_build.fetch(clone)
    (clone / "src" / "tocsin" / "web" / "static" / "vendor" / changed).write_text("{}")
    assert not hatch_build.is_fresh(clone)
    hatch_build.fetch(clone)
    assert hatch_build.is_fresh(clone)


def test_a_change_of_the_lock_is_noticed(clone: Path, npm: Path) -> None:
    hatch_build.fetch(clone)
    lock = clone / "frontend" / "package-lock.json"
    lock.write_text(lock.read_text().replace("sha512-", "sha512-0"))
    assert not hatch_build.is_fresh(clone)


def test_what_npm_complains_of_is_said_in_one_line(clone: Path, npm: Path) -> None:
    npm.write_text(
        "#!/bin/sh\n"
        "echo 'npm error code ENOTFOUND' >&2\n"
        "echo 'npm error A complete log of this run can be found in: /somewhere' >&2\n"
        "exit 1\n"
    )
    with pytest.raises(hatch_build.NotFetchedError) as why:
        hatch_build.fetch(clone)
    assert str(why.value) == (
        "npm could not get what frontend/package-lock.json names (code ENOTFOUND): see that"
        " `npm ping` reaches your registry and that npm is 7 or newer, then try again."
    )


def test_without_npm_it_says_where_to_get_one(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "npm_command", lambda: None)
    with pytest.raises(hatch_build.NotFetchedError, match=r"pip install .* requirements/npm\.txt"):
        hatch_build.fetch(clone)
