"""What counts as a JSON object, whoever sends it."""

from __future__ import annotations

import json

import pytest

from tocsin.core.body import DEPTH, NotJson, read_body


def nested(depth: int, open_: str = "[", close: str = "]") -> bytes:
    """Return an object whose value nests so deep (the object itself is one level)."""
    return ('{"a":' + open_ * (depth - 1) + close * (depth - 1) + "}").encode()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b"  \n ", "empty", id="white space"),
        pytest.param(b"null", "not an object", id="null"),
        pytest.param(b"[]", "not an object", id="a list"),
        pytest.param(b'"x"', "not an object", id="a string"),
        pytest.param(b"17", "not an object", id="a number"),
        pytest.param(b"{", "not JSON", id="cut off"),
        pytest.param(b"{'a': 1}", "not JSON", id="single quotes"),
        pytest.param(b'{"a":1}x', "not JSON", id="something after the end"),
        pytest.param(b'{"a":NaN}', "NaN", id="NaN"),
        pytest.param(b'{"a":-Infinity}', "Infinity", id="minus infinity"),
        pytest.param(b'{"a":"\xff"}', "UTF-8", id="invalid UTF-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', "UTF-8", id="overlong UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", "not JSON", id="a byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), "UTF-8", id="UTF-16"),
        pytest.param(b'{"a":"\x00"}', "not JSON", id="a bare NUL"),
        pytest.param(nested(DEPTH + 1), "deeper", id="one level too deep"),
        pytest.param(nested(900), "deeper", id="900 levels"),
        pytest.param(nested(100_000), "deeper", id="100,000 levels"),
        pytest.param(nested(100_000, '{"a":[', "]}"), "deeper", id="100,000 levels of both"),
        pytest.param(b"[" * 100_000, "deeper", id="100,000 open ends"),
        pytest.param(b"action=created&id=1", "not JSON", id="a form"),
        pytest.param(b"<xml/>", "not JSON", id="XML"),
    ],
)
def test_what_is_no_json_object_is_told_why(raw: bytes, says: str):
    with pytest.raises(NotJson, match=says):
        read_body(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b"{}", {}, id="an empty object"),
        pytest.param(b' {"a": 1}\n', {"a": 1}, id="white space around it"),
        pytest.param(b'{"a":1,"a":2}', {"a": 2}, id="of equal keys the last wins"),
        pytest.param(b'{"a":"\\u0000"}', {"a": "\0"}, id="an escaped NUL"),
        pytest.param(b'{"a":"\\ud800"}', {"a": "\ud800"}, id="a lone surrogate"),
        pytest.param(b'{"a":"\\ud83d\\udca5"}', {"a": "💥"}, id="a surrogate pair"),
        pytest.param(b'{"a":1e400}', {"a": "1e400"}, id="a number too large keeps its text"),
        pytest.param(b'{"a":-1.5}', {"a": -1.5}, id="a fraction"),
    ],
)
def test_what_is_json_is_read(raw: bytes, value: object):
    assert read_body(raw) == value


def test_an_integer_of_any_length_keeps_every_digit():
    digits = "9" * 5000
    assert str(read_body(f'{{"id":{digits}}}'.encode())["id"]) == digits
    assert str(read_body(b'{"id":' + b"1" * 40 + b"}")["id"]) == "1" * 40


def test_the_deepest_body_allowed_is_read():
    assert read_body(nested(DEPTH))
    wide = json.dumps({"a": [{"b": []} for _ in range(1000)]}).encode()
    assert len(read_body(wide)["a"]) == 1000


def test_brackets_in_strings_do_not_count_as_depth():
    text = "[" * 500 + "{" * 500
    assert read_body(json.dumps({"a": text}).encode()) == {"a": text}
