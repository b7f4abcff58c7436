"""Bad input of every kind, signed or not, at every URL: the contract's answer, never a 5xx."""

from __future__ import annotations

import gzip
import hmac
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.outside import Answer
from tests.web.conftest import SECRET, Served

URLS = {
    "native": "/in/{}",
    "opsknight": "/api/integrations/sentry?integrationId={}",
    "itoc360": "/functions/v1/events?token={}",
    "navi": "/v1/events/sentry/{}",
}
ACCEPTED = {"native": 202, "opsknight": 202, "itoc360": 200, "navi": 202}

#: The Events URLs: the key is in a header, or in the body.
EVENTS = ("/api/events", "/v2/enqueue")


def issue(id_: Any = None, **fields: Any) -> bytes:
    """Return a good body of an issue of its own."""
    body = {"action": "created", "data": {"issue": {"id": id_ or uuid.uuid4().hex, **fields}}}
    return json.dumps(body, separators=(",", ":")).encode()


def raw_issue(id_: bytes, title: bytes = b'"T"') -> bytes:
    """Return a body in which these bytes stand literally."""
    return b'{"action":"created","data":{"issue":{"id":%b,"title":%b}}}' % (id_, title)


def digits() -> bytes:
    """Return thirty digits that are nobody else's."""
    return str(uuid.uuid4().int).zfill(39)[-30:].encode()


def new_id() -> bytes:
    return f'"{uuid.uuid4().hex}"'.encode()


@dataclass(frozen=True)
class Bad:
    """A body that is not JSON as Tocsin counts it."""

    body: bytes


NOT_JSON = {
    "an empty body": b"",
    "null": b"null",
    "an empty list": b"[]",
    "a string": b'"x"',
    "a number": b"1",
    "not closed": b'{"action":"created"',
    "invalid UTF-8": b'{"action":"\xff\xfe"}',
    "NaN": b'{"action":"created","data":{"issue":{"id":"1","x":NaN}}}',
    "Infinity": b'{"x":Infinity}',
    "a bare NUL": b'{"action":"\x00"}',
    "100,000 arrays": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "65 levels": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "a form": b"payload=%7B%7D",
    "XML": b"<?xml version='1.0'?><a/>",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
}

JSON = {
    "an escaped NUL": lambda: raw_issue(new_id(), b'"a\\u0000b"'),
    "a lone surrogate": lambda: raw_issue(new_id(), b'"a\\ud800b"'),
    "an integer of 5,000 digits": lambda: raw_issue(b"9" * 4970 + digits()),
    "an integer of 40 digits": lambda: raw_issue(b"9" * 10 + digits()),
    "a number beyond all floats": lambda: raw_issue(new_id(), b"1e400"),
    "equal keys": lambda: raw_issue(new_id() + b',"title":"first"', b'"last"'),
    "64 levels": lambda: issue(extra=json.loads("[" * 60 + "]" * 60)),
    "an object for a title": lambda: raw_issue(new_id(), b'{"a":[]}'),
    "a title of 100,000 letters": lambda: issue(title="x" * 100_000),
    "every field of the wrong type": lambda: json.dumps(
        {"action": ["created"], "data": {"issue": {
            "id": uuid.uuid4().hex, "title": 5, "level": {}, "priority": [], "project": "p",
            "tags": 7, "metadata": [], "web_url": {"a": 1}, "status": False,
        }}, "actor": "nobody"}
    ).encode(),
    "tags that are no pairs": lambda: issue(tags=[["a"], ["b", "c", "d"], 5, None, {"key": 1}]),
    "a body nobody understands": lambda: b'{"hello":"world"}',
    "an empty object": lambda: b"{}",
    "data that is a list": lambda: b'{"action":"created","data":[1,2]}',
    "markup": lambda: issue(title="<script>alert(1)</script>\r\nBcc: x {{7*7}} ${x} %s"),
}  # fmt: skip


def send(served: Served, style: str, body: bytes, *, signed: bool, **headers: str) -> Answer:
    key = "key-signed" if signed else "key-unsigned"
    if signed and "Sentry_Hook_Signature" not in headers:
        headers["Sentry_Hook_Signature"] = hmac.digest(SECRET.encode(), body, "sha256").hex()
    answer = served.tocsin.post(URLS[style].format(key), body, **headers)
    assert answer.status < 500, answer
    assert b"Traceback" not in answer.body
    return answer


@pytest.mark.parametrize("style", URLS)
@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_json_is_refused_unsigned(served: Served, style: str, name: str):
    """And kept, byte for byte, with the reason."""
    answer = send(served, style, NOT_JSON[name], signed=False)
    assert answer.status == 400
    assert answer.json["error"]
    delivery = served.latest()
    assert (delivery["status"], delivery["http_status"]) == ("rejected", 400)
    assert delivery["reason"] == answer.json["error"]
    assert served.raw(delivery) == NOT_JSON[name]


@pytest.mark.parametrize("style", URLS)
@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_signed_is_never_refused_for_its_json(served: Served, style: str, name: str):
    """Sentry sends once: kept as rejected, and told that it arrived."""
    answer = send(served, style, NOT_JSON[name], signed=True)
    assert answer.status == ACCEPTED[style]
    assert answer.json["status"] == "accepted"
    delivery = served.api(f"/deliveries/{answer.json['delivery_id']}")
    assert (delivery["status"], delivery["http_status"]) == ("rejected", ACCEPTED[style])
    assert delivery["reason"]
    assert served.raw(delivery) == NOT_JSON[name]


@pytest.mark.parametrize("style", URLS)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("name", JSON)
def test_odd_json_is_kept_and_understood_as_far_as_it_goes(
    served: Served, style: str, name: str, signed: bool
):
    body = JSON[name]()
    answer = send(served, style, body, signed=signed, Prefer="wait=10")
    assert answer.status == ACCEPTED[style]
    delivery = served.latest()
    assert delivery["status"] in ("processed", "unrecognised")
    assert served.raw(delivery) == body


def fingerprint(answer: Answer) -> bytes:
    """Find the fingerprint in an answer that Python's own reader would refuse."""
    found = re.search(rb'"fingerprint":"([^"]*)"', answer.body)
    assert found is not None
    return found[1]


def test_an_integer_of_5000_digits_keeps_its_digits_in_the_key(served: Served):
    digits = b"7" * 5000
    one = fingerprint(send(served, "itoc360", raw_issue(digits), signed=False))
    assert one.startswith(b"sentry:issue:777")
    assert len(one) == 255
    other = fingerprint(send(served, "itoc360", raw_issue(digits[:-1] + b"8"), signed=False))
    assert other != one


def test_nul_and_surrogates_are_shown_repaired(served: Served):
    body = raw_issue(new_id(), b'"a\\u0000b\\ud800c"')
    answer = send(served, "native", body, signed=False, Prefer="wait=10")
    incident = served.api(f"/incidents/{answer.json['incident_id']}")
    assert incident["title"] == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("style", URLS)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_three_megabytes_are_too_many(served: Served, style: str, signed: bool):
    answer = send(served, style, issue(x="y" * 3_000_000), signed=signed)
    assert answer.status == 413


def test_a_body_of_just_under_two_megabytes_is_kept(served: Served):
    body = issue(x="y" * 2_090_000)
    answer = send(served, "native", body, signed=False)
    assert answer.status == 202
    assert served.raw(served.settled(answer.json["delivery_id"])) == body


@pytest.mark.parametrize("style", URLS)
@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "x"])
def test_the_content_type_matters_at_one_url_only(served: Served, style: str, kind: str | None):
    path = URLS[style].format("key-unsigned")
    headers = {"Content-Type": kind} if kind else {}
    answer = served.tocsin.request("POST", path, issue(), headers)
    assert answer.status == (400 if style == "navi" else ACCEPTED[style])


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_json_by_any_other_charset_is_json(served: Served, kind: str):
    path = URLS["navi"].format("key-unsigned")
    assert served.tocsin.request("POST", path, issue(), {"Content-Type": kind}).status == 202


@pytest.mark.parametrize("style", URLS)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("encoding", ["gzip", "identity", "br", ""])
def test_an_encoded_body_is_refused(served: Served, style: str, signed: bool, encoding: str):
    body = gzip.compress(issue())
    assert send(served, style, body, signed=signed, Content_Encoding=encoding).status == 415
    assert served.raw(served.latest()) == body


@pytest.mark.parametrize("style", URLS)
@pytest.mark.parametrize(
    "signature",
    [
        pytest.param("", id="empty"),
        pytest.param("\xe9" * 64, id="not ASCII"),
        pytest.param("0" * 64, id="wrong"),
        pytest.param("x", id="short"),
        pytest.param("f" * 5000, id="long"),
    ],
)
def test_a_signature_that_is_none_is_refused(served: Served, style: str, signature: str):
    answer = send(served, style, issue(), signed=True, Sentry_Hook_Signature=signature)
    assert answer.status == 401
    assert served.latest()["status"] == "rejected"


@pytest.mark.parametrize("style", URLS)
def test_without_a_secret_a_signature_is_ignored(served: Served, style: str):
    answer = send(served, style, issue(), signed=False, Sentry_Hook_Signature="\xe9")
    assert answer.status == ACCEPTED[style]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("style", URLS)
def test_intake_takes_post(served: Served, style: str, method: str):
    answer = served.tocsin.request(method, URLS[style].format("key-unsigned"))
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sentry-Hook-Resource": "\xff" * 300}, id="a resource of no language"),
        pytest.param({"Request-ID": "x" * 6000}, id="a long request id"),
        pytest.param({"Idempotency-Key": "\xff\xfe"}, id="a key that is not ASCII"),
        pytest.param({"Prefer": "wait=999999999999"}, id="an endless wait"),
        pytest.param({"Prefer": "wait=-1, wait=x"}, id="no wait at all"),
        pytest.param({"Sentry-Hook-Timestamp": "tomorrow"}, id="no timestamp"),
    ],
)
def test_odd_headers_do_no_harm(served: Served, headers: dict[str, str]):
    answer = served.tocsin.request(
        "POST", "/in/key-unsigned", issue(), {"Content-Type": "application/json", **headers}
    )
    assert answer.status == 202


@pytest.mark.parametrize(
    "path",
    ["/in/", "/in/%00", "/in/%ff%fe", "/in/" + "x" * 3000, "/in/../../etc/passwd",
     "/v1/events/sentry/", "/functions/v1/events", "/functions/v1/events?token=%ff",
     "/api/integrations/sentry", "/api/integrations/sentry?integrationId=", "/api/events",
     "/v2/enqueue"],
)  # fmt: skip
def test_odd_paths_are_refused(served: Served, path: str):
    assert 400 <= served.tocsin.post(path, issue()).status < 500


# -- the Events URLs


def event(**changes: Any) -> dict[str, Any]:
    """Return a good event of its own, with every field there is."""
    payload = {
        "summary": "disk full", "source": "db1", "severity": "error", "component": "c",
        "group": "g", "class": "k", "timestamp": "2026-01-05T09:00:00Z",
        "custom_details": {"environment": "production", "a": 1},
    }  # fmt: skip
    return {
        "event_action": "trigger", "dedup_key": uuid.uuid4().hex, "payload": payload,
        "links": [{"href": "https://example.com/1", "text": "t"}], "images": [{"src": "x"}],
        "client": "monitor", "client_url": "https://example.com/2", **changes,
    }  # fmt: skip


def send_event(served: Served, url: str, body: Any, key: str = "key-events") -> Answer:
    """Send an event with a valid key, as JSON or byte for byte."""
    headers = {"Prefer": "wait=10"}
    if url == "/api/events":
        headers["Authorization"] = f"Token token={key}"
    elif isinstance(body, dict):
        body = {"routing_key": key, **body}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = served.tocsin.post(url, content, **headers)
    assert answer.status in (202, 400), (body, answer)
    assert b"Traceback" not in answer.body
    if answer.status == 202:
        assert answer.json["outcome"], (body, answer.json)
    else:
        assert answer.json.get("error") or answer.json["errors"]
    return answer


@pytest.mark.parametrize("url", EVENTS)
@pytest.mark.parametrize("name", NOT_JSON)
def test_an_event_that_is_not_json_is_refused(served: Served, url: str, name: str):
    assert send_event(served, url, NOT_JSON[name]).status == 400


ODD = (
    None, True, 0, -1, 1.5, 10**40, "", " ", "\ud800", "a\0b", "x" * 5000, [], ["a"], [["a", "b"]],
    {}, {"a": {"b": []}}, {"\ud800": "\udfff"},
)  # fmt: skip


@pytest.mark.parametrize("url", EVENTS)
@pytest.mark.parametrize("field", [*event(), *event()["payload"], "service_id"])
def test_a_field_of_any_type_is_taken_or_refused(served: Served, url: str, field: str):
    """Taken, it is understood too; refused, it says why."""
    for odd in ODD:
        body = event()
        (body["payload"] if field in body["payload"] else body)[field] = odd
        send_event(served, url, body)


@pytest.mark.parametrize("url", EVENTS)
@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_a_dedup_key_of_any_type_is_taken_or_refused(served: Served, url: str, action: str):
    for odd in ODD:
        send_event(served, url, {"event_action": action, "dedup_key": odd})


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:20])
def test_a_routing_key_of_any_type_is_refused(served: Served, odd: Any):
    answer = served.tocsin.post("/v2/enqueue", json.dumps(event(routing_key=odd)).encode())
    assert answer.status == 400


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:20])
def test_a_service_of_any_type_is_refused(served: Served, odd: Any):
    body = json.dumps(event(service_id=odd)).encode()
    key = served.keys["owner"]
    answer = served.tocsin.post("/api/events", body, Authorization=f"Bearer {key}")
    assert answer.status == 400
    assert answer.json["error"]


ODD_KEYS = ("", " ", "\ud800", "a\0b", "\u202e", "x" * 3000, "a.b", "0", "__class__")


@pytest.mark.parametrize("url", EVENTS)
@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key[:9]))
def test_a_key_of_any_spelling_is_taken_or_refused(served: Served, url: str, key: str):
    """On ``/v2/enqueue`` an unknown key is 400 with its name, repaired; elsewhere it is nothing."""
    answer = send_event(served, url, event(**{key: 1}))
    assert answer.status == (400 if url == "/v2/enqueue" else 202)
    if answer.status == 400:
        assert "is not a key of an event" in answer.json["message"]
        delivery = served.latest()
        assert delivery["status"] == "rejected"
        assert delivery["reason"] == answer.json["message"]
    nested = event()
    nested["payload"][key] = nested["payload"]["custom_details"][key] = "v"
    assert send_event(served, url, nested).status == 202


def test_a_thousand_unknown_keys_are_refused(served: Served):
    many = event(**{f"{n}-{'y' * 100}": n for n in range(1000)})
    assert send_event(served, "/v2/enqueue", many).status == 400


def test_bad_events_do_no_harm_to_the_webhooks_beside_them(served: Served):
    """They share a group commit: what cannot be stored must not take the others with it."""

    def one(number: int) -> int:
        if number % 4:
            return served.tocsin.post("/in/key-unsigned", issue()).status
        odd = ("\ud800", "a\0b")[number // 4 % 2]
        body = json.dumps({"routing_key": "key-events", **event(**{odd: 1})}).encode()
        return served.tocsin.post("/v2/enqueue", body).status

    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(one, range(400)))
    assert told == [202 if number % 4 else 400 for number in range(400)]
