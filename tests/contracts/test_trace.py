"""Why a body was read as it was: told by the rules it was read by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.builders import an_integration
from tocsin.core.dialect import read, trace
from tocsin.core.model import Severity, Verb
from tocsin.core.plans import Overrides
from tocsin.dialects import NAMES, load, table

EXAMPLES = [(name, at) for name in NAMES for at in range(len(table(name).examples))]


@pytest.mark.parametrize(("name", "at"), EXAMPLES)
def test_a_trace_says_what_the_reading_did(name: str, at: int):
    example, dialect = table(name).examples[at], load(name)
    body: Any = json.loads(example.body)
    signal, found = read(dialect, body, example.resource), trace(dialect, body, example.resource)
    if found is None:
        assert signal is None
        return
    assert found.signal == signal
    if signal is not None:
        told = (found.verb.value, found.severity.value, found.priority.value)
        assert told == (signal.verb, signal.severity, signal.priority)
        assert found.shape == signal.resource


def the(
    body: str, resource: str | None = "issue", dialect: str = "native", **overrides: Any
) -> Any:
    integration = an_integration(overrides=Overrides(**overrides))
    return trace(load(dialect), json.loads(body), resource, integration)


ARCHIVED = (
    '{"action":"ignored","data":{"issue":{"id":"7","title":"<untitled>","culprit":"c",'
    '"level":"odd","priority":"high","status":"ignored"}}}'
)


def test_a_trace_names_the_rows():
    found = the(ARCHIVED)
    assert (found.worded, found.event) == ("issue.ignored", "issue.archived")
    assert found.verb == (Verb.RESOLVE, "dialect", "issue.archived")
    assert found.severity == (Severity.ERROR, "default", "odd")
    assert found.priority.table == "dialect"
    assert found.dedup == "sentry:issue:{id}"


def test_a_trace_says_where_a_text_was_found_and_passes_over_titles_that_say_nothing():
    places = {one.name: (one.place, one.text) for one in the(ARCHIVED).placed}
    assert places["title"] == ("culprit", "c")
    assert places["level"] == ("level", "odd")


def test_overrides_are_told_from_the_dialects_rows():
    found = the(ARCHIVED, action={"issue.ignored": Verb.NOTE}, severity={"odd": Severity.INFO})
    assert found.verb == (Verb.NOTE, "override", "issue.archived")
    assert found.severity == (Severity.INFO, "override", "odd")


def test_a_status_in_the_body_wins_over_an_override():
    found = the(ARCHIVED, dialect="opsknight", action={"issue.archived": Verb.RESOLVE})
    assert found.verb == (Verb.ACKNOWLEDGE, "status", "issue.ignored")


def test_what_no_shape_fits_has_no_trace():
    assert the('{"hello":"world"}') is None
