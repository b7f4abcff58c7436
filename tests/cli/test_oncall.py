"""Who is on call, and keys of people, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.outside import Tocsin
from tests.web.setup_world import ROTA
from tests.world import PEOPLE

EMPTY = """
  - {name: empty}
"""


@pytest.fixture
def tocsin(tmp_path: Path, database_url: str) -> Tocsin:
    """Give a Tocsin that is not running, with a rota and a schedule that has nobody."""
    made = Tocsin(tmp_path, database_url)
    made.apply(PEOPLE + ROTA.replace("escalation_policies:", f"{EMPTY}escalation_policies:"))
    return made


def test_oncall_says_who_until_when_and_who_then(tocsin: Tocsin):
    done = tocsin.run("oncall", "--at", "2026-01-06T12:00Z")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [
        ["schedule", "on", "call", "until", "then", "from"],
        ["empty", "nobody"],
        ["primary", "ann@example.com", "2026-01-12", "08:00Z", "bob@example.com", "2026-01-12",
         "08:00Z"],
    ]  # fmt: skip
    as_json = tocsin.run("oncall", "--at", "2026-01-06T12:00Z", "--schedule", "primary", "--json")
    assert json.loads(as_json.stdout) == [
        {
            "schedule": "primary",
            "user": {"email": "ann@example.com", "name": "Ann"},
            "from": "2026-01-05T08:00:00Z",
            "to": "2026-01-12T08:00:00Z",
            "then": {
                "user": {"email": "bob@example.com", "name": "Bob"},
                "from": "2026-01-12T08:00:00Z",
            },
        }
    ]
    assert tocsin.run("oncall").returncode == 0
    nobody = tocsin.run("oncall", "--schedule", "empty")
    assert (nobody.returncode, nobody.stderr) == (1, "")
    unknown = tocsin.run("oncall", "--schedule", "none")
    assert (unknown.returncode, unknown.stderr) == (1, "tocsin: there is no schedule none\n")
    wrong = tocsin.run("oncall", "--at", "today")
    assert wrong.returncode == 2
    assert "is not an instant" in wrong.stderr


def test_a_key_of_a_person_has_at_most_their_role(tocsin: Tocsin):
    made = tocsin.run("key", "create", "--name", "phone", "--user", "ann@example.com")
    assert made.returncode == 0
    assert made.stdout.startswith("tocsin_")
    for arguments, says in (
        (("--user", "eve@example.com"), "there is no user eve@example.com"),
        (("--user", "ann@example.com", "--role", "owner"), "cannot have the role owner"),
    ):
        refused = tocsin.run("key", "create", "--name", "x", *arguments)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert says in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
