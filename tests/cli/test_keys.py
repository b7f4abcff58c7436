"""API keys on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.outside import Tocsin


@pytest.fixture
def tocsin(tmp_path: Path, sqlite_url: str) -> Tocsin:
    return Tocsin(tmp_path, sqlite_url)


def test_keys_are_listed_and_revoked_by_name(tocsin: Tocsin):
    for name in ("deploy", "board", "board"):
        assert tocsin.run("key", "create", "--name", name).returncode == 0
    listed = json.loads(tocsin.run("key", "list", "--json").stdout)
    assert [one["name"] for one in listed] == ["board", "board", "deploy"]
    assert "deploy" in tocsin.run("key", "list").stdout
    assert "opens nothing any more" in tocsin.run("key", "revoke", "deploy").stdout
    assert "deploy" not in tocsin.run("key", "list").stdout
    twice = tocsin.run("key", "revoke", "board")
    assert twice.returncode == 1
    assert "name one by id" in twice.stderr
    assert tocsin.run("key", "revoke", listed[0]["id"]).returncode == 0
    assert tocsin.run("key", "revoke", "nothing").stderr.strip() == (
        "tocsin: there is no API key nothing"
    )
