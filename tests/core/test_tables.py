"""Small tables: urgency, retries, access, events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOW, a_service
from tocsin.core.access import ACCESS, Action, may
from tocsin.core.event import event_errors
from tocsin.core.model import (
    Priority,
    Role,
    Severity,
    Urgency,
)
from tocsin.core.notify import urgency
from tocsin.core.retry import (
    BACKOFF,
    MAX_ATTEMPTS,
    MAX_RETRY_AFTER,
    Outcome,
    Report,
    next_attempt,
)


@pytest.mark.parametrize(
    ("table", "severity", "priority", "loud"),
    [
        pytest.param({}, "critical", None, "high", id="critical"),
        pytest.param({}, "error", None, "high", id="error"),
        pytest.param({}, "warning", None, "low", id="warning"),
        pytest.param({}, "info", None, "low", id="info"),
        pytest.param({"error": "low"}, "error", None, "low", id="a row of the service wins"),
        pytest.param({"priority.high": "high"}, "info", "high", "high", id="priority wins"),
        pytest.param({"priority.low": "low"}, "critical", "low", "low", id="in both directions"),
        pytest.param({"priority.high": "low"}, "error", "low", "high", id="not another's row"),
    ],
)
def test_urgency(table: dict[str, Any], severity: str, priority: str | None, loud: str):
    service = a_service(urgency={row: Urgency(value) for row, value in table.items()})
    found = urgency(service, Severity(severity), Priority(priority) if priority else None, NOW)
    assert found == loud


def test_severities_and_urgencies_are_ordered():
    assert Severity.CRITICAL.is_above(Severity.ERROR)
    assert not Severity.INFO.is_above(Severity.INFO)
    assert Urgency.HIGH.is_above(Urgency.LOW)


def report(outcome: Outcome, retry_after: timedelta | None = None) -> Report:
    return Report(outcome=outcome, detail="", retry_after=retry_after)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.RETRY])
def test_only_a_retry_is_tried_again(outcome: Outcome):
    assert next_attempt(report(outcome), 1, NOW) is None


def test_waits_grow_and_then_stay():
    waits = [next_attempt(report(Outcome.RETRY), n, NOW) for n in range(1, len(BACKOFF) + 3)]
    assert waits[: len(BACKOFF)] == [NOW + wait for wait in BACKOFF]
    assert waits[-1] == NOW + BACKOFF[-1]
    assert list(BACKOFF) == sorted(BACKOFF)


def test_in_the_end_it_is_given_up():
    assert next_attempt(report(Outcome.RETRY), MAX_ATTEMPTS, NOW) is None


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        pytest.param(timedelta(minutes=3), timedelta(minutes=3), id="what the provider asks"),
        pytest.param(timedelta(seconds=1), BACKOFF[0], id="but never less than our own"),
        pytest.param(timedelta(days=1), MAX_RETRY_AFTER, id="nor without end"),
    ],
)
def test_a_provider_may_ask_for_time(asked: timedelta, waits: timedelta):
    assert next_attempt(report(Outcome.RETRY, asked), 1, NOW) == NOW + waits


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        (Role.VIEWER, "read"),
        (Role.RESPONDER, "read respond"),
        (Role.MANAGER, "read respond replay configure"),
        (Role.ADMIN, "read respond replay configure administer"),
        (Role.OWNER, "read respond replay configure administer own"),
    ],
)
def test_who_may_do_what(role: Role, actions: str):
    assert {action for action in Action if may(role, action)} == set(actions.split())


def test_every_role_has_a_row():
    assert set(ACCESS) == set(Role)


GOOD = {"event_action": "trigger", "payload": {"summary": "s", "source": "h", "severity": "info"}}


@pytest.mark.parametrize(
    ("event", "says"),
    [
        pytest.param(GOOD, None, id="a good trigger"),
        pytest.param({**GOOD, "dedup_key": "k" * 255}, None, id="the longest key"),
        pytest.param({**GOOD, "dedup_key": ""}, None, id="an empty key on a trigger is none"),
        pytest.param({"event_action": "resolve", "dedup_key": "k"}, None, id="a good resolve"),
        pytest.param({}, "event_action", id="nothing"),
        pytest.param({"event_action": "open"}, "event_action", id="another action"),
        pytest.param({"event_action": ["trigger"]}, "event_action", id="a list for an action"),
        pytest.param({"event_action": "resolve"}, "dedup_key", id="a resolve without a key"),
        pytest.param(
            {"event_action": "acknowledge", "dedup_key": ""}, "dedup_key", id="an empty key"
        ),
        pytest.param({**GOOD, "dedup_key": "k" * 256}, "255", id="a key too long"),
        pytest.param({**GOOD, "dedup_key": 7}, "string", id="a number for a key"),
        pytest.param({"event_action": "trigger"}, "payload", id="no payload"),
        pytest.param({"event_action": "trigger", "payload": {}}, "summary", id="no summary"),
        pytest.param(
            {"event_action": "trigger", "payload": {"summary": "s", "severity": "fatal"}},
            "severity",
            id="another severity",
        ),
        pytest.param({**GOOD, "colour": 1}, "colour", id="an unknown key"),
    ],
)
def test_an_event_is_told_what_is_wrong(event: dict[str, Any], says: str | None):
    errors = event_errors(event, only_known_keys=True)
    if says is None:
        assert errors == []
    else:
        assert says in errors[0]


def test_elsewhere_than_at_pagerdutys_url_unknown_keys_are_let_be():
    assert event_errors({**GOOD, "colour": 1}, only_known_keys=False) == []
