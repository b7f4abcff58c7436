"""Dialect files: each proves itself by its examples; the reader survives anything."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import an_integration
from tocsin.core.dialect import identify, read
from tocsin.core.model import (
    Priority,
    Severity,
    Verb,
)
from tocsin.core.place import Place, dig
from tocsin.core.plans import (
    Overrides,
)
from tocsin.dialects import NAMES, BadDialect, load, load_all, table

EXAMPLES = [(name, at) for name in NAMES for at in range(len(table(name).examples))]


@pytest.mark.parametrize(
    ("name", "at"), EXAMPLES, ids=[f"{n}: {table(n).examples[a].says}" for n, a in EXAMPLES]
)
def test_a_dialect_reads_its_own_examples(name: str, at: int):
    example = table(name).examples[at]
    signal = read(load(name), json.loads(example.body), example.resource)
    if not example.want:
        assert signal is None
        return
    assert signal is not None
    assert {key: getattr(signal, key) for key in example.want} == example.want


#: The rows of the contract's table, as far as a row is about a verb; each dialect must show each.
ROWS = [
    "issue.created", "issue.unresolved", "issue.assigned", "issue.ignored", "issue.archived",
    "issue.resolved", "issue.status", "event_alert.triggered", "legacy plugin", "flat event",
    "metric_alert.critical", "metric_alert.warning", "metric_alert.open", "metric_alert.resolved",
    "metric_alert.status", "activity_alert: resolved", "activity_alert: unresolved",
    "activity_alert: regression", "activity_alert: escalating", "activity_alert: anything",
    "comment.created", "seer.", "error.created", "preprod_artifact", "installation",
    "nobody knows yet", "nobody understands", "level fatal", "a level nobody knows",
    "no level at all", "priority high", "says nothing", "issue_url", "page for people",
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", ["native", "opsknight", "itoc360", "navi"])
def test_every_row_of_the_contract_is_an_example(name: str, row: str):
    says = [example.says for example in table(name).examples]
    words = {"says nothing": "say nothing"}.get(row, row)
    assert any(words in one for one in says)


def test_a_dialect_without_examples_is_refused(monkeypatch: pytest.MonkeyPatch):
    bare = table("native")
    monkeypatch.setattr(bare, "examples", [])
    load.cache_clear()
    with pytest.raises(BadDialect, match="no examples"):
        load("native")
    monkeypatch.undo()
    load.cache_clear()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"action": {"issue.created": "explode"}}, "explode"),
        ({"severity": {"error": "terrible"}}, "terrible"),
        ({"colour": "red"}, "colour"),
        ({"shapes": [{"name": "nowhere"}]}, "nowhere"),
        ({"shapes": [{"name": "issue", "dedup": "none"}]}, "dedup"),
        ({"shapes": [{"name": "issue", "fields": {"colour": ["x"]}}]}, "colour"),
        ({"shapes": [{"name": "issue", "fields": {"id": ["id ~ ("]}}]}, "expression"),
    ],
)
def test_a_wrong_dialect_stops_the_program(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], says: str
):
    import tocsin.dialects as room

    document = tomllib.loads(files(room).joinpath("native.toml").read_text("utf-8"))
    monkeypatch.setattr(room, "_document", lambda name: (
        document | change if name == "native"
        else tomllib.loads(files(room).joinpath(f"{name}.toml").read_text("utf-8"))
    ))  # fmt: skip
    table.cache_clear()
    load.cache_clear()
    with pytest.raises(BadDialect, match=says):
        load("native")
    monkeypatch.undo()
    table.cache_clear()
    load.cache_clear()


def test_all_dialects_load():
    assert set(load_all()) == set(NAMES)


# -- places


BODY = {
    "a": {"b": "deep"}, "n": 7, "yes": True, "half": 0.5, "none": None, "list": ["x", "y"],
    "tags": [["level", "error"], ["sentry:release", "1.0"], ["monitor.slug", "nightly"]],
    "objects": [{"key": "level", "value": "info"}], "url": "https://x/issues/42/",
    "sentry.interfaces.Message": {"message": "old"}, "t": "E", "v": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("a.b", ["deep"]),
        ("/a.b", ["deep"]),
        ("n", ["7"]),
        ("yes", []),
        ("half", []),
        ("none", []),
        ("a", []),
        ("list", []),
        ("list.1", ["y"]),
        ("list.9", []),
        ("list.*", ["x", "y"]),
        ("nothing.*", []),
        ("tags.level", ["error"]),
        ("tags.sentry:release", ["1.0"]),
        ("tags.monitor.slug", ["nightly"]),
        ("objects.level", ["info"]),
        ("sentry.interfaces.Message.message", []),
        ("url ~ /issues/([0-9]+)", ["42"]),
        ("url ~ /nothing/([0-9]+)", []),
        ("=this very text", ["this very text"]),
        ("t + a.b", ["E: deep"]),
        ("t + v", ["E"]),
        ("v + none", []),
        ("missing.and.deeper", []),
    ],
)
def test_a_place_finds(place: str, found: list[str]):
    assert list(Place.parse(place).find(BODY, [BODY])) == found


def test_roots_are_tried_in_turn():
    roots = [{"a": ""}, {"a": "second"}, {"a": "third"}]
    assert next(Place.parse("a").find({}, roots)) == "second"


def test_a_key_with_dots_is_found():
    assert dig(BODY, ("sentry", "interfaces", "Message")) == {"message": "old"}


# -- anything at all


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
WORDS = st.sampled_from([
    "action", "data", "issue", "event", "metric_alert", "error", "id", "title", "level", "status",
    "tags", "metadata", "project", "url", "web_url", "issue_id", "group", "activity", "type",
    "event_action", "payload", "dedup_key", "created", "resolved", "timestamp", "contexts",
])  # fmt: skip
ANYTHING = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(
    body=st.dictionaries(WORDS | st.text(), ANYTHING),
    resource=st.none() | WORDS | st.text(),
    name=st.sampled_from(NAMES),
)
def test_reading_anything_never_fails(body: Any, resource: str | None, name: str):
    """And a signal that touches an alert always has a key, whatever came."""
    dialect = load(name)
    signal = read(dialect, body, resource, an_integration(sentry_url="https://s.example.com"))
    reading = identify(dialect, body, resource)
    if signal is None:
        return
    assert reading is not None
    assert reading.dedup_key == signal.dedup_key
    assert len(signal.title) <= 1024
    signal.title.encode()
    if signal.verb not in (Verb.NOTE, Verb.NONE):
        assert signal.dedup_key


@pytest.mark.parametrize("value", [[], {}, ["x"], {"a": []}, True, None, 1.5, ""])
@pytest.mark.parametrize("field", ["level", "priority", "title", "status", "web_url", "tags"])
def test_a_field_of_the_wrong_type_is_as_good_as_absent(field: str, value: Any):
    plain = {"action": "created", "data": {"issue": {"id": "7"}}}
    odd = {"action": "created", "data": {"issue": {"id": "7", field: value}}}
    dialect = load("native")
    assert read(dialect, odd, "issue") == read(dialect, plain, "issue")


@pytest.mark.parametrize("id_", [None, [], {}, True, 1.5, ""])
def test_without_an_id_a_key_is_never_guessed(id_: Any):
    body = {"action": "created", "data": {"issue": {"id": id_, "title": "T"}}}
    assert read(load("native"), body, "issue") is None


# -- overrides and links


def overridden(**overrides: Any) -> Any:
    return an_integration(overrides=Overrides(**overrides))


def test_an_override_of_archived_concerns_ignored_too():
    """Sentry's pages say archived; on the wire it is ignored."""
    body = {"action": "ignored", "data": {"issue": {"id": "7"}}}
    one = overridden(action={"issue.archived": Verb.ACKNOWLEDGE})
    signal = read(load("native"), body, "issue", one)
    assert signal is not None
    assert signal.verb is Verb.ACKNOWLEDGE


def test_overrides_beat_the_dialects_tables():
    body = {"action": "created", "data": {"issue": {"id": "7", "level": "info", "priority": "low"}}}
    one = overridden(
        action={"issue.*": Verb.NONE},
        severity={"info": Severity.CRITICAL},
        priority={"low": Priority.HIGH},
    )
    signal = read(load("native"), body, "issue", one)
    assert signal is not None
    assert (signal.verb, signal.severity, signal.priority) == ("none", "critical", "high")


@pytest.mark.parametrize(
    ("issue", "link"),
    [
        ({"id": "7"}, "https://s.example.com/issues/7/"),
        ({"id": "7", "permalink": None}, "https://s.example.com/issues/7/"),
        ({"id": "7", "permalink": "javascript:alert(1)"}, "https://s.example.com/issues/7/"),
        ({"id": "7", "web_url": "ftp://x", "permalink": "HTTPS://p/"}, "HTTPS://p/"),
        ({"id": "a/../b"}, "https://s.example.com/issues/a%2F..%2Fb/"),
    ],
)
def test_links(issue: dict[str, Any], link: str):
    one = an_integration(sentry_url="https://s.example.com/")
    signal = read(load("native"), {"action": "created", "data": {"issue": issue}}, "issue", one)
    assert signal is not None
    assert signal.link == link
