"""The REST API: what it answers, how it refuses."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest

from tests.outside import Answer, until
from tests.web.conftest import Served


def call(
    served: Served, method: str, path: str, body: Any = None, *, role: str | None = "owner"
) -> Answer:
    headers = {"Content-Type": "application/json"}
    if role is not None:
        headers["Authorization"] = f"Bearer {served.keys.get(role, role)}"
    content = None if body is None else json.dumps(body).encode()
    answer = served.tocsin.request(method, f"/api/v1{path}", content, headers)
    assert answer.status < 500, answer
    return answer


def trigger(served: Served, **fields: Any) -> Any:
    """Trigger an issue of its own; return what the waiting sender is told."""
    issue = {"id": uuid.uuid4().hex, "title": "T", "level": "error", **fields}
    body = {"action": "created", "data": {"issue": issue}}
    answer = served.tocsin.post("/in/key-unsigned", json.dumps(body).encode(), Prefer="wait=10")
    return answer.json


def problem(answer: Answer) -> Any:
    """Return a problem, which every error is (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert answer.json["title"]
    return answer.json


# -- access: test_access.py


def test_whoever_is_refused_is_refused_before_the_body_is_read(served: Served):
    answer = served.tocsin.request("POST", "/api/v1/incidents", b"garbage")
    assert answer.status == 401


def test_a_key_says_whose_it_is(served: Served):
    assert call(served, "GET", "/me", role="viewer").json == {
        "name": "viewer", "role": "viewer", "user": None,
    }  # fmt: skip


# -- incidents


def test_an_incident_has_the_fields_of_the_contract(served: Served):
    told = trigger(served, title="E: broke", priority="high", project={"name": "backend"})
    incident = call(served, "GET", f"/incidents/{told['incident_id']}").json
    assert set(incident) >= {
        "id", "number", "title", "status", "severity", "priority", "urgency", "service",
        "integration", "source", "dedup_key", "link", "occurrence_count", "previous_incident",
        "assignees", "escalation", "triggered_at", "acknowledged_at", "acknowledged_by",
        "resolved_at", "snoozed_until", "suppressed_until", "alerts", "timeline", "notifications",
    }  # fmt: skip
    assert set(incident["escalation"]) == {"policy", "step", "round", "next_at", "state"}
    assert (incident["service"], incident["integration"]) == (
        {"name": "checkout"}, {"name": "unsigned"},
    )  # fmt: skip
    assert incident["source"] == "Sentry - backend"
    assert incident["triggered_at"].endswith("Z")


def test_an_incident_is_found_by_its_number_too(served: Served):
    told = trigger(served)
    by_id = call(served, "GET", f"/incidents/{told['incident_id']}").json
    assert call(served, "GET", f"/incidents/{by_id['number']}").json["id"] == by_id["id"]


@pytest.mark.parametrize(
    "path",
    ["/incidents/999999", "/incidents/inc_none", "/incidents/" + "9" * 100,
     "/incidents/%ED%A0%80", "/deliveries/%ED%A0%80", "/deliveries/del_none", "/nothing"],
)  # fmt: skip
def test_what_is_not_there_is_404(served: Served, path: str):
    assert problem(call(served, "GET", path))["status"] == 404


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_an_action_repeated_changes_nothing(served: Served, action: str):
    id_ = trigger(served)["incident_id"]
    answers = [call(served, "POST", f"/incidents/{id_}/{action}").json for _ in range(3)]
    assert answers[0]["status"] == f"{action}d"
    assert answers[0] == answers[1] == answers[2]
    kinds = [e["kind"] for e in call(served, "GET", f"/incidents/{id_}").json["timeline"]]
    assert kinds.count(f"{action}d") == 1


def test_the_timeline_says_who_did_it(served: Served):
    id_ = trigger(served)["incident_id"]
    call(served, "POST", f"/incidents/{id_}/acknowledge", role="responder")
    incident = call(served, "GET", f"/incidents/{id_}").json
    assert incident["acknowledged_by"] == "API key responder"
    entry = next(e for e in incident["timeline"] if e["kind"] == "acknowledged")
    assert entry["actor"] == "API key responder"
    assert set(entry) == {"at", "kind", "text", "actor", "data"}


def test_snoozing(served: Served):
    id_ = trigger(served)["incident_id"]
    snoozed = call(served, "POST", f"/incidents/{id_}/snooze", {"for": "2h"}).json
    assert snoozed["status"] == "snoozed"
    assert snoozed["snoozed_until"] > snoozed["triggered_at"]
    until = call(
        served, "POST", f"/incidents/{id_}/snooze", {"until": "2040-01-05T09:00+01:00"}
    ).json
    assert until["snoozed_until"] == "2040-01-05T08:00:00Z"


@pytest.mark.parametrize(
    "body",
    [{}, {"for": "soon"}, {"for": "1h", "until": "2040-01-05T09:00:00Z"}, {"for": "0s"},
     {"until": "2020-01-05T09:00:00Z"}, {"until": "2040-01-05T09:00:00"}, {"for": 5},
     {"for": "99999999d"}, {"long": "1h"}, [], "1h"],
)  # fmt: skip
def test_a_snooze_that_makes_no_sense_is_told_why(served: Served, body: Any):
    id_ = trigger(served)["incident_id"]
    assert problem(call(served, "POST", f"/incidents/{id_}/snooze", body))["status"] == 400
    assert call(served, "GET", f"/incidents/{id_}").json["status"] == "triggered"


@pytest.mark.parametrize("action", ["snooze", "escalate", "reassign"])
def test_a_resolved_incident_refuses_with_409(served: Served, action: str):
    id_ = trigger(served)["incident_id"]
    call(served, "POST", f"/incidents/{id_}/resolve")
    body = {"snooze": {"for": "1h"}, "escalate": {}, "reassign": {"policy": "default"}}[action]
    answer = call(served, "POST", f"/incidents/{id_}/{action}", body)
    assert problem(answer)["status"] == 409
    assert "resolved" in answer.json["detail"]


def test_escalating_with_a_step_that_is_no_longer_current_is_409(served: Served):
    id_ = trigger(served)["incident_id"]
    answer = call(served, "POST", f"/incidents/{id_}/escalate", {"step": 7})
    assert problem(answer)["status"] == 409


@pytest.mark.parametrize(
    "body",
    [{}, {"user": "ann@example.com", "policy": "default"}, {"user": "nobody@example.com"},
     {"policy": "nothing"}, {"team": "payments"}],
)  # fmt: skip
def test_a_reassignment_to_nobody_is_told_why(served: Served, body: Any):
    id_ = trigger(served)["incident_id"]
    assert problem(call(served, "POST", f"/incidents/{id_}/reassign", body))["status"] == 400


@pytest.mark.parametrize("text", ["", "   ", "x" * 10_001])
def test_a_note_says_something_and_ends(served: Served, text: str):
    id_ = trigger(served)["incident_id"]
    assert call(served, "POST", f"/incidents/{id_}/notes", {"text": text}).status == 400


def test_a_note_is_kept_whole(served: Served):
    id_ = trigger(served)["incident_id"]
    text = "<b>seen</b>\n" + "x" * 9000
    call(served, "POST", f"/incidents/{id_}/notes", {"text": text})
    entries = call(served, "GET", f"/incidents/{id_}").json["timeline"]
    assert [entry["text"] for entry in entries if entry["kind"] == "note"] == [text]


def test_an_incident_opened_by_hand_pages(served: Served):
    answer = call(
        served,
        "POST",
        "/incidents",
        {"service": "billing", "title": "by hand", "severity": "critical", "details": "look"},
    )
    assert answer.status == 201
    incident = answer.json
    assert (incident["severity"], incident["urgency"]) == ("critical", "high")
    assert incident["service"] == {"name": "billing"}


@pytest.mark.parametrize(
    "body",
    [{"title": "t"}, {"service": "checkout"}, {"service": "nothing", "title": "t"},
     {"service": "checkout", "title": "  "},
     {"service": "checkout", "title": "t", "severity": "fatal"},
     {"service": "checkout", "title": "t", "colour": "red"}, None],
)  # fmt: skip
def test_an_incident_opened_wrongly_is_told_why(served: Served, body: Any):
    assert problem(call(served, "POST", "/incidents", body))["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"garbage", b"\xff\xfe", b"[" * 100_000, b'{"title":NaN}', b"{}" * 1000,
     b'{"service":"checkout","title":"\\ud800"}', b'{"service":"checkout","title":"\\u0000"}',
     b"x" * 2_000_000],
)  # fmt: skip
def test_hostile_bodies_are_refused_or_repaired(served: Served, body: bytes):
    answer = served.tocsin.request(
        "POST", "/api/v1/incidents", body,
        {"Content-Type": "application/json", "Authorization": f"Bearer {served.keys['owner']}"},
    )  # fmt: skip
    assert answer.status in (201, 400, 413)
    assert b"Traceback" not in answer.body


# -- lists


def test_lists_go_page_by_page_without_missing_or_repeating(served: Served):
    made = [trigger(served)["incident_id"] for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while len(seen) < 7:
        path = "/incidents?limit=3" + (f"&cursor={cursor}" if cursor else "")
        page = call(served, "GET", path).json
        assert set(page) == {"items", "next"}
        # The last page has what is left; there are more where other tests made some.
        assert len(page["items"]) == 3 or page["next"] is None
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
        trigger(served)  # what comes in between shifts nothing
    assert seen[:7] == made[::-1]


@pytest.mark.parametrize("path", ["/incidents", "/deliveries", "/notifications"])
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "cursor=%00", "cursor=zzz%", "cursor=AA", "cursor=%C3%A9",
     "cursor=MTIz4pi6", "cursor=!!!!", "cursor=Jw"],
)  # fmt: skip
def test_a_wrong_page_is_told_why(served: Served, path: str, query: str):
    assert problem(call(served, "GET", f"{path}?{query}"))["status"] == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/incidents?q=%00", None),
        ("GET", "/incidents?service=a%00", None),
        ("GET", "/deliveries?q=%00", None),
        ("GET", "/deliveries/%00", None),
        ("POST", "/deliveries/%00/replay", None),
        ("GET", "/incidents/%00", None),
        ("GET", "/notifications?incident=%00", None),
        ("POST", "/incidents", {"service": "checkout", "title": "a\0b"}),
        ("POST", "/incidents", {"service": "checkout", "title": "t", "details": "\\\0"}),
        ("POST", "/incidents/1/notes", {"text": "a\0b"}),
        ("POST", "/incidents/1/reassign", {"user": "\0"}),
    ],
)
def test_no_database_is_asked_for_a_text_with_nul(
    served: Served, method: str, path: str, body: Any
):
    """One would keep it, the other refuse it: the answer is the same."""
    assert "NUL" in problem(call(served, method, path, body))["detail"]


@pytest.mark.parametrize("text", ["\\u0000", "100%00", "\U0001f600"])
def test_what_only_looks_like_nul_is_kept(served: Served, text: str):
    id_ = trigger(served)["incident_id"]
    assert call(served, "POST", f"/incidents/{id_}/notes", {"text": text}).status == 200
    timeline = call(served, "GET", f"/incidents/{id_}").json["timeline"]
    assert text in [entry["text"] for entry in timeline]


INSTANT = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|\\+[0-9:]+)")


def test_instants_are_told_to_the_second(served: Served):
    """Wherever one stands: in lists, in details, in timelines, attempts and answers."""
    told = trigger(served)
    call(served, "POST", f"/incidents/{told['incident_id']}/acknowledge")
    call(served, "POST", f"/incidents/{told['incident_id']}/snooze", {"for": "1h"})
    body = json.dumps({"action": "created", "data": {"issue": {"id": uuid.uuid4().hex}}}).encode()
    answers = [served.tocsin.post("/functions/v1/events?token=key-unsigned", body)]
    for path in ("/incidents", f"/incidents/{told['incident_id']}", "/deliveries",
                 f"/deliveries/{told['delivery_id']}", "/notifications"):  # fmt: skip
        answers.append(call(served, "GET", path))
    found = [at for answer in answers for at in INSTANT.findall(answer.body)]
    assert len(found) > 20
    assert [at for at in found if len(at) != len("2026-01-05T09:00:00Z")] == []
    until(served.phones.pages, "a page")
    assert len(served.phones.rings[-1].page["timestamp"]) == len("2026-01-05T09:00:00Z")


@pytest.mark.parametrize(
    ("query", "finds"),
    [
        ("status=triggered", True),
        ("status=triggered,acknowledged", True),
        ("status=resolved", False),
        ("service=checkout", True),
        ("service=billing", False),
        ("service=nothing", False),
        ("severity=error", True),
        ("severity=critical,info", False),
        ("urgency=high", True),
        ("urgency=low", False),
        ("assignee=nobody@example.com", False),
        ("q={q}", True),
        ("q={Q}", True),
        ("q=nothing-like-it", False),
        ("q=%25", False),
    ],
)
def test_incidents_can_be_narrowed_down(served: Served, query: str, finds: bool):
    word = uuid.uuid4().hex
    id_ = trigger(served, title=f"T {word}")["incident_id"]
    filled = query.format(q=word[:12], Q=word[:12].upper())
    items = call(served, "GET", f"/incidents?{filled}&limit=200").json["items"]
    assert (id_ in [one["id"] for one in items]) is finds


def test_who_has_an_incident_finds_it(served: Served):
    id_ = trigger(served)["incident_id"]

    def mine() -> bool:
        items = call(served, "GET", "/incidents?assignee=ann@example.com").json["items"]
        return id_ in [one["id"] for one in items]

    until(mine, "Ann has it")


@pytest.mark.parametrize("query", ["status=open", "severity=fatal", "urgency=mid"])
def test_an_unknown_word_in_a_filter_is_told_what_there_is(served: Served, query: str):
    assert "is not one of" in problem(call(served, "GET", f"/incidents?{query}"))["detail"]


def test_deliveries_can_be_narrowed_down(served: Served):
    told = trigger(served)

    def ids(query: str) -> list[str]:
        page = call(served, "GET", f"/deliveries?{query}&limit=200").json
        return [one["id"] for one in page["items"]]

    assert told["delivery_id"] in ids("integration=unsigned")
    assert told["delivery_id"] not in ids("integration=signed")
    assert told["delivery_id"] in ids("status=processed")
    assert told["delivery_id"] not in ids("status=rejected")
    assert ids(f"q={told['delivery_id']}") == [told["delivery_id"]]


def test_a_delivery_has_the_fields_of_the_contract(served: Served):
    delivery = call(served, "GET", f"/deliveries/{trigger(served)['delivery_id']}").json
    assert set(delivery) >= {
        "id", "integration", "received_at", "url_style", "resource", "action", "status",
        "http_status", "reason", "verb", "outcome", "incident_id", "dedup_key", "latency_ms",
        "headers", "body",
    }  # fmt: skip
    assert (delivery["verb"], delivery["outcome"]) == ("trigger", "triggered")
    assert json.loads(delivery["body"])["action"] == "created"


def test_a_replay_is_a_delivery_of_its_own(served: Served):
    told = trigger(served)
    answer = call(served, "POST", f"/deliveries/{told['delivery_id']}/replay")
    assert answer.status == 202
    again = served.settled(answer.json["delivery_id"])
    assert (again["outcome"], again["incident_id"]) == ("deduplicated", told["incident_id"])
    assert call(served, "POST", "/deliveries/del_none/replay").status == 404


def test_notifications_are_listed_with_their_attempts(served: Served):
    told = trigger(served)

    def sent() -> Any:
        page = call(served, "GET", f"/notifications?incident={told['incident_id']}").json
        return [one for one in page["items"] if one["state"] == "sent"]

    one = until(sent, "a notification sent")[0]
    assert set(one) >= {
        "id", "user", "contact_method", "channel", "reason", "due_at", "state", "attempts",
    }  # fmt: skip
    assert (one["user"]["email"], one["contact_method"]) == ("ann@example.com", "hook")
    assert [attempt["outcome"] for attempt in one["attempts"]] == ["delivered"]
    mine = call(served, "GET", "/notifications?user=ann@example.com&limit=200").json["items"]
    assert one["id"] in [other["id"] for other in mine]
    assert call(served, "GET", "/notifications?user=nobody@example.com").json["items"] == []


# -- operations


def test_probes(served: Served):
    assert served.tocsin.request("GET", "/healthz").json == {"status": "ok"}
    assert served.tocsin.request("GET", "/readyz").json == {"status": "ready", "spool_depth": 0}


def test_metrics_count_what_came_in(served: Served):
    trigger(served)
    text = served.tocsin.request("GET", "/metrics").body.decode()
    assert 'tocsin_intake_total{integration="unsigned",result="accepted"}' in text
    for name in ("tocsin_intake_seconds_bucket", "tocsin_inbox_depth", "tocsin_overdue_jobs",
                 "tocsin_notifications_total", "tocsin_page_seconds_bucket"):  # fmt: skip
        assert name in text


def test_an_unknown_page_is_a_problem_not_a_traceback(served: Served):
    answer = served.tocsin.request("GET", "/nothing/here")
    assert answer.status == 404
    assert b"Traceback" not in answer.body
