"""People from the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.outside import Tocsin

LINK = re.compile(r"http://\S+/invite/invitation_[\w-]{32}")


@pytest.fixture
def tocsin(tmp_path: Path, database_url: str) -> Tocsin:
    """Give a Tocsin that is not running: commands work all the same."""
    return Tocsin(tmp_path, database_url)


def test_a_person_is_added_and_their_link_printed_alone(tocsin: Tocsin):
    added = tocsin.run("user", "add", "ann@example.com", "--name", "Ann", "--role", "owner")
    assert LINK.fullmatch(added.stdout.strip()), added.stderr
    again = tocsin.run("user", "add", "ann@example.com", "--name", "Ann")
    assert LINK.fullmatch(again.stdout.strip())
    assert again.stdout != added.stdout
    assert "is there already, as owner" in again.stderr
    assert LINK.fullmatch(tocsin.run("user", "link", "ANN@example.com").stdout.strip())


def test_what_cannot_be_is_said_in_a_sentence(tocsin: Tocsin):
    wrong = tocsin.run("user", "add", "nonsense", "--name", "Ann")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "is not an e-mail address" in wrong.stderr
    nobody = tocsin.run("user", "link", "bob@example.com")
    assert nobody.returncode == 1
    assert "tocsin user add" in nobody.stderr
