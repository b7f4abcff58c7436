"""The intake URLs: keys, signatures, order of refusal, answers, repeats."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import uuid
from typing import Any

import pytest

from tests.outside import Answer, until
from tests.web.conftest import OLD_SECRET, SECRET, Served

URLS = {
    "native": "/in/{}",
    "opsknight": "/api/integrations/sentry?integrationId={}",
    "itoc360": "/functions/v1/events?token={}",
    "navi": "/v1/events/sentry/{}",
}


def issue(id_: str | None = None, action: str = "created", **fields: Any) -> bytes:
    body = {"action": action, "data": {"issue": {"id": id_ or uuid.uuid4().hex, **fields}}}
    return json.dumps(body, separators=(",", ":")).encode()


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()


def post(served: Served, key: str, body: bytes, style: str = "native", **headers: str) -> Answer:
    return served.tocsin.post(URLS[style].format(key), body, **headers)


# -- answers


def test_the_native_answer(served: Served):
    answer = post(served, "key-unsigned", issue())
    assert answer.status == 202
    assert set(answer.json) == {"status", "delivery_id"}
    assert answer.json["status"] == "accepted"


def test_navis_answer_is_the_same(served: Served):
    answer = post(served, "key-unsigned", issue(), "navi")
    assert (answer.status, set(answer.json)) == (202, {"status", "delivery_id"})


def test_itoc360s_answer_is_the_row_it_would_have_made(served: Served):
    body = issue("itoc-1")
    answer = post(served, "key-unsigned", body, "itoc360")
    assert answer.status == 200
    row = answer.json
    assert set(row) == {
        "id", "tenant_id", "provider_id", "source_id", "type", "fingerprint", "payload",
        "created_at",
    }  # fmt: skip
    assert (row["type"], row["fingerprint"]) == ("ALERT", "sentry:issue:itoc-1")
    assert isinstance(row["provider_id"], int)
    assert row["payload"] == json.loads(body)
    resolved = post(served, "key-unsigned", issue("itoc-1", "resolved"), "itoc360")
    assert resolved.json["type"] == "RESOLVE"


def test_itoc360s_key_may_be_a_bearer_token(served: Served):
    answer = served.tocsin.post(
        "/functions/v1/events", issue(), Authorization="Bearer key-unsigned"
    )
    assert answer.status == 200


def test_opsknights_answer(served: Served):
    answer = post(served, "key-unsigned", issue(), "opsknight")
    assert answer.status == 202
    assert answer.json["status"] == "success"
    assert answer.json["result"]["action"] == "accepted"
    assert answer.json["result"]["delivery_id"]


def test_opsknights_key_parameter_is_tolerated(served: Served):
    path = "/api/integrations/sentry?integrationId=key-unsigned&key=whatever"
    assert served.tocsin.post(path, issue()).status == 202


def test_whoever_waits_is_told_the_outcome(served: Served):
    id_ = uuid.uuid4().hex
    first = post(served, "key-unsigned", issue(id_), Prefer="wait=10").json
    again = post(served, "key-unsigned", issue(id_), Prefer="wait=10").json
    done = post(served, "key-unsigned", issue(id_, "resolved"), Prefer="wait=10").json
    assert [one["outcome"] for one in (first, again, done)] == [
        "triggered", "deduplicated", "resolved",
    ]  # fmt: skip
    assert first["incident_id"] == again["incident_id"] == done["incident_id"]


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        (["created", "created", "ignored", "resolved"],
         ["triggered", "deduplicated", "acknowledged", "resolved"]),
        (["resolved"], ["ignored"]),
        (["ignored"], ["ignored"]),
        (["nobody_knows"], ["ignored"]),
    ],
)  # fmt: skip
def test_whoever_waits_at_opsknights_url_is_told_in_its_words(
    served: Served, actions: list[str], words: list[str]
):
    id_ = uuid.uuid4().hex
    told = [
        post(served, "key-unsigned", issue(id_, action), "opsknight", Prefer="wait=10").json
        for action in actions
    ]
    assert [one["result"]["action"] for one in told] == words


# -- refusal, in order


@pytest.mark.parametrize(
    ("style", "unknown", "missing", "disabled"),
    [("native", 401, 401, 403), ("navi", 401, 401, 401), ("itoc360", 401, 401, 403),
     ("opsknight", 404, 400, 403)],
)  # fmt: skip
def test_keys_that_open_nothing(
    served: Served, style: str, unknown: int, missing: int, disabled: int
):
    assert post(served, "nobody-knows-it", issue(), style).status == unknown
    assert post(served, "", issue(), style).status == missing
    assert post(served, "key-disabled", issue(), style).status == disabled


def test_a_disabled_integrations_deliveries_are_kept_in_the_log(served: Served):
    body = issue()
    post(served, "key-disabled", body)
    delivery = served.latest()
    assert (delivery["status"], delivery["http_status"]) == ("rejected", 403)
    assert "disabled" in delivery["reason"]
    assert served.raw(delivery) == body


@pytest.mark.parametrize("style", URLS)
def test_the_order_of_refusal(served: Served, style: str):
    """Size, key, disabled, type (Navi), encoding, signature, JSON: what comes first is told."""
    large, garbage = b"x" * 3_000_000, b"garbage"
    encoded = {"Content_Encoding": "gzip"}
    wrong = {"Sentry_Hook_Signature": "0" * 64}
    unknown = 404 if style == "opsknight" else 401
    disabled = 401 if style == "navi" else 403
    assert post(served, "nobody", large, style, **encoded).status == 413
    assert post(served, "nobody", garbage, style, **encoded).status == unknown
    assert post(served, "key-disabled", garbage, style, **encoded).status == disabled
    if style == "navi":
        untyped = {"Content_Type": "text/plain", **encoded}
        assert post(served, "key-signed", garbage, style, **untyped).status == 400
    assert post(served, "key-signed", garbage, style, **encoded, **wrong).status == 415
    assert post(served, "key-signed", garbage, style, **wrong).status == 401
    assert post(served, "key-unsigned", garbage, style).status == 400


@pytest.mark.parametrize("style", URLS)
def test_errors_are_one_sentence(served: Served, style: str):
    error = post(served, "nobody", issue(), style).json["error"]
    assert error == "unknown key: copy the URL of the integration again"


# -- signatures


@pytest.mark.parametrize("style", URLS)
@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET], ids=["new", "old"])
def test_both_secrets_of_a_rotation_are_taken(served: Served, style: str, secret: str):
    body = issue()
    answer = post(served, "key-signed", body, style, Sentry_Hook_Signature=signed(body, secret))
    assert answer.status in (200, 202)


@pytest.mark.parametrize("style", URLS)
def test_a_missing_signature_is_refused_once_there_is_a_secret(served: Served, style: str):
    assert post(served, "key-signed", issue(), style).status == 401


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s, _: s.upper(), id="upper case"),
        pytest.param(lambda s, _: "sha256=" + s, id="with a prefix"),
        pytest.param(lambda s, _: s[:-1], id="cut"),
        pytest.param(lambda s, _: s + "0", id="longer"),
        pytest.param(lambda _, b: hashlib.sha256(b).hexdigest(), id="a bare digest"),
        pytest.param(lambda _, b: signed(b, ""), id="of an empty secret"),
        pytest.param(lambda _, b: signed(json.dumps(json.loads(b)).encode()), id="of other bytes"),
    ],
)
def test_only_the_very_signature_is_taken(served: Served, change: Any):
    body = issue()
    made = change(signed(body), body)
    assert post(served, "key-signed", body, Sentry_Hook_Signature=made).status == 401


def test_two_signatures_are_none(served: Served):
    import http.client

    body = issue()
    connection = http.client.HTTPConnection("127.0.0.1", served.tocsin.port)
    connection.putrequest("POST", "/in/key-signed")
    connection.putheader("Content-Length", str(len(body)))
    connection.putheader("Sentry-Hook-Signature", "0" * 64)
    connection.putheader("Sentry-Hook-Signature", signed(body))
    connection.endheaders(body)
    assert connection.getresponse().status == 401
    connection.close()


def test_a_refused_signature_is_kept_in_the_log_with_a_remedy(served: Served):
    post(served, "key-signed", issue(), Sentry_Hook_Signature="0" * 64)
    delivery = served.latest()
    assert (delivery["status"], delivery["http_status"]) == ("rejected", 401)
    assert "Client Secret" in delivery["reason"]


# -- repeats


@pytest.mark.parametrize("header", ["Request-ID", "Idempotency-Key"])
def test_a_repeat_is_answered_as_the_first_and_counted_once(served: Served, header: str):
    id_, key = uuid.uuid4().hex, uuid.uuid4().hex
    named = {header.replace("-", "_"): key}
    answers = [post(served, "key-unsigned", issue(id_), Prefer="wait=10", **named)
               for _ in range(3)]  # fmt: skip
    assert len({answer.body for answer in answers}) == 1
    incident = served.api(f"/incidents/{answers[0].json['incident_id']}")
    assert incident["occurrence_count"] == 1


def test_the_idempotency_key_beats_the_request_id(served: Served):
    """A published app's retry has another Request-ID and the same Idempotency-Key."""
    key = uuid.uuid4().hex
    ids = [
        post(served, "key-unsigned", issue("same"), Idempotency_Key=key, Request_ID=f"{key}{n}")
        .json["delivery_id"]
        for n in range(2)
    ]  # fmt: skip
    assert ids[0] == ids[1]


def test_a_refused_delivery_makes_no_repeat_of_a_good_one(served: Served):
    key, body = uuid.uuid4().hex, issue()
    assert post(served, "key-signed", body, Request_ID=key).status == 401
    good = post(served, "key-signed", body, Request_ID=key, Sentry_Hook_Signature=signed(body))
    assert good.status == 202
    assert served.settled(good.json["delivery_id"])["outcome"] == "triggered"


def test_a_repeat_with_another_body_is_answered_as_the_first(served: Served):
    """At the URLs whose answers tell of the body too: it is the first one's that is kept."""
    named = {"Request_ID": uuid.uuid4().hex}
    one, other = (issue(uuid.uuid4().hex, action) for action in ("created", "resolved"))
    told = [post(served, "key-unsigned", body, "itoc360", **named) for body in (one, other)]
    assert told[0].json == told[1].json
    assert told[1].json["payload"] == json.loads(one)

    named = {"Idempotency_Key": uuid.uuid4().hex}
    keys = [uuid.uuid4().hex for _ in range(2)]
    bodies = [json.dumps({"routing_key": "key-events", **event(dedup_key=key)}) for key in keys]
    events = [served.tocsin.post("/v2/enqueue", body.encode(), **named).json for body in bodies]
    assert [one["dedup_key"] for one in events] == [keys[0]] * 2


def test_an_unreadable_delivery_makes_no_repeat_of_a_good_one(served: Served):
    """Only an accepted delivery counts as the first."""
    key, bad, good = uuid.uuid4().hex, b"{bad", issue()
    told = [
        post(served, "key-signed", body, Request_ID=key, Sentry_Hook_Signature=signed(body)).json
        for body in (bad, good)
    ]
    assert served.settled(told[0]["delivery_id"])["status"] == "rejected"
    assert served.settled(told[1]["delivery_id"])["outcome"] == "triggered"


def test_a_repeat_is_refused_for_what_is_wrong_with_it(served: Served):
    key, body = uuid.uuid4().hex, issue()
    post(served, "key-signed", body, Request_ID=key, Sentry_Hook_Signature=signed(body))
    assert post(served, "key-signed", body, Request_ID=key).status == 401


def test_the_same_body_sent_again_after_a_resolve_is_a_new_cycle(served: Served):
    id_ = uuid.uuid4().hex
    first = post(served, "key-unsigned", issue(id_), Prefer="wait=10").json
    post(served, "key-unsigned", issue(id_, "resolved"), Prefer="wait=10")
    second = post(served, "key-unsigned", issue(id_), Prefer="wait=10").json
    assert second["outcome"] == "triggered"
    incident = served.api(f"/incidents/{second['incident_id']}")
    assert incident["previous_incident"] == first["incident_id"]


def test_strict_replay_protection_lets_a_signed_body_count_once(served: Served):
    body = issue()
    headers = {"Sentry_Hook_Signature": signed(body), "Prefer": "wait=10"}
    first = post(served, "key-strict", body, **headers, Request_ID=uuid.uuid4().hex).json
    again = post(served, "key-strict", body, **headers, Request_ID=uuid.uuid4().hex).json
    assert (first["outcome"], again["outcome"]) == ("triggered", "duplicate")
    assert again["incident_id"] is None
    assert served.api(f"/incidents/{first['incident_id']}")["occurrence_count"] == 1


# -- routes and overrides


def routed(served: Served, **fields: Any) -> Any:
    body = issue(**fields)
    return post(served, "key-routed", body, Prefer="wait=10").json


def test_a_route_chooses_the_service(served: Served):
    project = {"name": "Billing", "slug": "billing"}
    told = routed(served, project=project, environment="production")
    assert served.api(f"/incidents/{told['incident_id']}")["service"]["name"] == "billing"


def test_what_no_route_matches_goes_to_the_integrations_service(served: Served):
    told = routed(served, project={"slug": "billing"}, environment="development")
    assert served.api(f"/incidents/{told['incident_id']}")["service"]["name"] == "checkout"


def test_a_route_with_verb_none_wakes_nobody(served: Served):
    told = routed(served, environment="staging")
    assert (told["outcome"], told["incident_id"]) == ("ignored", None)


def test_an_alert_with_an_open_incident_stays_with_its_service(served: Served):
    id_ = uuid.uuid4().hex
    first = post(served, "key-routed", issue(id_), Prefer="wait=10").json
    moved = issue(id_, project={"slug": "billing"}, environment="production")
    second = post(served, "key-routed", moved, Prefer="wait=10").json
    assert second["incident_id"] == first["incident_id"]
    assert served.api(f"/incidents/{first['incident_id']}")["service"]["name"] == "checkout"


def test_overrides_are_laid_over_the_dialect(served: Served):
    id_ = uuid.uuid4().hex
    told = post(served, "key-routed", issue(id_, level="error"), Prefer="wait=10").json
    assert served.api(f"/incidents/{told['incident_id']}")["severity"] == "critical"
    assigned = post(served, "key-routed", issue(id_, "assigned"), Prefer="wait=10").json
    assert assigned["outcome"] == "acknowledged"


# -- events


def event(action: str = "trigger", **changes: Any) -> dict[str, Any]:
    payload = {"summary": "disk full", "source": "db1", "severity": "critical"}
    body: dict[str, Any] = {"event_action": action, "payload": payload}
    return body | {key: value for key, value in changes.items() if value is not None}


def enqueue(served: Served, **changes: Any) -> Answer:
    body = {"routing_key": "key-events", **event(**changes)}
    return served.tocsin.post("/v2/enqueue", json.dumps(body).encode())


def test_pagerdutys_url_answers_as_pagerduty_does(served: Served):
    answer = enqueue(served, dedup_key="disk-7")
    assert answer.status == 202
    assert answer.json == {
        "status": "success", "message": "Event processed", "dedup_key": "disk-7",
    }  # fmt: skip


def test_without_a_key_the_content_makes_one(served: Served):
    """A5: the same summary, source and details are the same alert."""
    details = {"custom_details": {"n": uuid.uuid4().hex}}
    payload = {"summary": "s", "source": "h", "severity": "info", **details}
    keys = [enqueue(served, payload=payload).json["dedup_key"] for _ in range(2)]
    other = enqueue(served, payload={**payload, "custom_details": {"n": "x"}}).json["dedup_key"]
    assert keys[0] == keys[1] != other
    assert len(keys[0]) == 64


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"routing_key": "nobody-knows-it"}, "unknown key"),
        ({"routing_key": "key-unsigned"}, "Sentry integration"),
        ({"routing_key": "key-events-off"}, "disabled"),
        ({"routing_key": None}, "routing_key"),
        ({"colour": "red"}, "colour"),
        ({"event_action": "open"}, "event_action"),
        ({"dedup_key": "k" * 256}, "255"),
        ({"payload": {"severity": "fatal"}}, "summary"),
    ],
)
def test_pagerdutys_url_refuses_as_pagerduty_does(
    served: Served, changes: dict[str, Any], says: str
):
    body = {"routing_key": "key-events", **event(), **changes}
    answer = served.tocsin.post("/v2/enqueue", json.dumps(body).encode())
    assert answer.status == 400
    assert answer.json["status"] == "invalid event"
    assert says in " ".join([answer.json["message"], *answer.json["errors"]])


def test_pagerdutys_url_refuses_what_is_not_json(served: Served):
    answer = served.tocsin.post("/v2/enqueue", b"garbage")
    assert (answer.status, answer.json["status"]) == (400, "invalid event")


def test_the_events_url_takes_a_token_and_tells_the_outcome(served: Served):
    key = uuid.uuid4().hex
    answers = [
        served.tocsin.post(
            "/api/events",
            json.dumps(event(action, dedup_key=key)).encode(),
            Authorization="Token token=key-events",
        )
        for action in ("trigger", "trigger", "acknowledge", "resolve")
    ]
    assert [answer.status for answer in answers] == [202] * 4
    assert [answer.json["result"]["action"] for answer in answers] == [
        "triggered", "deduplicated", "acknowledged", "resolved",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["checkout", "id"])
def test_the_events_url_takes_an_api_key_and_a_service(served: Served, name: str):
    key = uuid.uuid4().hex
    service = "checkout" if name == "checkout" else _service_id(served)
    body = json.dumps(event(dedup_key=key, service_id=service)).encode()
    answer = served.tocsin.post(
        "/api/events", body, Authorization=f"Bearer {served.keys['responder']}"
    )
    assert answer.status == 202
    incident = served.api(f"/incidents/{answer.json['incident_id']}")
    assert incident["service"]["name"] == "checkout"
    assert incident["dedup_key"] == key


def _service_id(served: Served) -> str:
    from tocsin.store.db import Database
    from tocsin.store.tables import services

    database = Database(served.tocsin.environment["TOCSIN_DATABASE_URL"])
    with database.read() as connection:
        row = connection.execute(services.select().where(services.c.name == "checkout")).one()
    database.close()
    id_: str = row.id
    return id_


@pytest.mark.parametrize(
    ("authorization", "body", "status"),
    [
        pytest.param(None, event(), 401, id="nobody"),
        pytest.param("Token token=nobody-knows", event(), 401, id="an unknown token"),
        pytest.param("Token token=key-unsigned", event(), 401, id="a Sentry integration's key"),
        pytest.param("Token token=key-events-off", event(), 403, id="disabled"),
        pytest.param("Bearer nobody-knows", event(service_id="checkout"), 401, id="no such key"),
        pytest.param("Bearer {viewer}", event(service_id="checkout"), 403, id="may only read"),
        pytest.param("Bearer {owner}", event(), 400, id="no service"),
        pytest.param("Bearer {owner}", event(service_id="nothing"), 400, id="no such service"),
        pytest.param("Token token=key-events", {"event_action": "x"}, 400, id="no event"),
        pytest.param(
            "Bearer {owner}", event(service_id="muted"), 403, id="disabled for the service"
        ),
        pytest.param("Basic dTpw", event(), 401, id="another scheme"),
    ],
)
def test_the_events_url_refuses(
    served: Served, authorization: str | None, body: dict[str, Any], status: int
):
    headers = {"Authorization": authorization.format(**served.keys)} if authorization else {}
    answer = served.tocsin.post("/api/events", json.dumps(body).encode(), **headers)
    assert answer.status == status
    assert answer.json["error"]


def test_the_order_of_refusal_at_the_events_url(served: Served):
    """Size, key, role, encoding, JSON, service, disabled, event: what comes first is told."""
    garbage, encoded = b"{", {"Content_Encoding": "gzip"}

    def status(body: bytes, key: str, **headers: str) -> int:
        key = served.keys.get(key, key)
        return served.tocsin.post(
            "/api/events", body, Authorization=f"Bearer {key}", **headers
        ).status

    assert status(b"x" * 3_000_000, "nobody", **encoded) == 413
    assert status(garbage, "nobody", **encoded) == 401
    assert status(garbage, "nobody") == 401
    assert status(garbage, "viewer", **encoded) == 403
    assert status(garbage, "owner", **encoded) == 415
    assert status(garbage, "owner") == 400
    assert status(b'{"service_id":"nothing"}', "owner") == 400
    assert status(b'{"service_id":"muted"}', "owner") == 403
    assert status(b'{"service_id":"checkout"}', "owner") == 400


def test_the_order_of_refusal_where_the_key_is_in_the_body(served: Served):
    """The encoding comes before the key, which nobody could read."""
    body = json.dumps({"routing_key": "nobody", **event()}).encode()
    for encoding in ("gzip", "identity", ""):
        answer = served.tocsin.post("/v2/enqueue", gzip.compress(body), Content_Encoding=encoding)
        assert (answer.status, answer.json["status"]) == (415, "invalid event")
    assert served.tocsin.post("/v2/enqueue", body).status == 400


def test_an_api_key_uses_the_integration_that_is_enabled(served: Served):
    body = json.dumps(event(service_id="halved", dedup_key=uuid.uuid4().hex)).encode()
    answer = served.tocsin.post("/api/events", body, Authorization=f"Bearer {served.keys['owner']}")
    assert answer.status == 202
    delivery = served.settled(answer.json["result"]["delivery_id"])
    assert delivery["integration"] == {"name": "halved-on"}


def test_what_an_api_key_sends_to_a_disabled_integration_is_kept_in_the_log(served: Served):
    body = json.dumps(event(service_id="muted")).encode()
    served.tocsin.post("/api/events", body, Authorization=f"Bearer {served.keys['owner']}")
    delivery = served.latest()
    assert (delivery["status"], delivery["http_status"]) == ("rejected", 403)
    assert delivery["integration"] == {"name": "events-off"}


def test_an_events_integration_takes_events_at_its_own_url_too(served: Served):
    answer = served.tocsin.post("/in/key-events", json.dumps(event(dedup_key="n")).encode())
    assert answer.status == 202
    bad = served.tocsin.post("/in/key-events", b'{"event_action":"resolve"}')
    assert bad.status == 400


def test_a_keys_value_is_never_kept(served: Served):
    """Neither an API key nor a bearer token is in the log."""
    body = json.dumps(event(service_id="checkout", dedup_key="masked")).encode()
    served.tocsin.post("/api/events", body, Authorization=f"Bearer {served.keys['owner']}")
    delivery = until(served.latest, "a delivery")
    assert ["authorization", "•••"] in [[n.lower(), v] for n, v in delivery["headers"]]
