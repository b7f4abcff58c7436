"""The configuration file as it is read, and errors as they are told: no process is needed."""

from __future__ import annotations

import pytest
from sqlalchemy import exc, insert

from tocsin.cli.errors import explain
from tocsin.store.db import Database
from tocsin.store.tables import teams
from tocsin.work.configfile import BadFile, parse

FILE = """
teams:
  - {name: "TEAM"}
services:
  - name: checkout
integrations:
  - name: sentry
    service: checkout
    routing_key: "KEY-of-sentry"
    signing_secrets: ["SECRET"]
    routes:
      - {title: "TITLE", verb: none}
    overrides:
      action: {"WORD": resolve}
"""

LINES = {"TEAM": 3, "KEY": 9, "SECRET": 10, "TITLE": 12, "WORD": 14}


@pytest.mark.parametrize("place", LINES)
@pytest.mark.parametrize("unfit", [r"\0", r"\x1b", r"\r", r"\x7f", r"\x85", r"\uD800"])
def test_a_text_with_what_no_text_has_is_refused_with_its_line(place: str, unfit: str):
    """PostgreSQL would refuse some of it, SQLite would keep it: here it is refused before both."""
    with pytest.raises(BadFile) as refused:
        parse(FILE.replace(place, f"a{unfit}b"), "tocsin.yaml")
    (finding,) = refused.value.findings
    assert finding.startswith(f"tocsin.yaml:{LINES[place]}: the character U+")


@pytest.mark.parametrize("place", LINES)
@pytest.mark.parametrize(("written", "space"), [(r"\n", "\n"), (r"\t", "\t")])
def test_lines_and_tabs_stand_only_in_what_a_title_is_compared_with(
    place: str, written: str, space: str
):
    text = FILE.replace(place, f"a{written}b")
    if place == "TITLE":
        file, _ = parse(text, "tocsin.yaml")
        assert file.integrations[0].routes[0]["title"] == [f"a{space}b"]
        return
    with pytest.raises(BadFile, match=f":{LINES[place]}: the character U\\+000"):
        parse(text, "tocsin.yaml")


def test_a_refusal_of_the_database_is_told_without_what_was_to_be_written(database: Database):
    values = {"id": "tea_1", "name": "s3cr3t", "created_at": None}
    with pytest.raises(exc.DBAPIError) as raised, database.write() as connection:
        connection.execute(insert(teams).values(**values))
    sentence = explain(raised.value)
    assert sentence is not None
    assert sentence.startswith("tocsin: the database refused this: ")
    assert "s3cr3t" not in sentence
    assert len(sentence.splitlines()) == 1
