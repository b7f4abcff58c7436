"""What one signal means."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NOW, a_service, a_signal, an_alert, an_incident, at
from tocsin.core import effects as fx
from tocsin.core.model import (
    DeliveryOutcome,
    IncidentStatus,
    Severity,
    Urgency,
    Verb,
)
from tocsin.core.plans import (
    Route,
)
from tocsin.core.routes import route
from tocsin.core.triage import Case, Decision, triage

OPEN = {"alert": an_alert(), "incident": an_incident()}
CLOSED = {
    "alert": an_alert(resolved_at=at(minutes=-30)),
    "incident": an_incident(status=IncidentStatus.RESOLVED, resolved_at=at(minutes=-30)),
}
NONE: dict[str, Any] = {"alert": None, "incident": None}


def decide(signal: Any, state: dict[str, Any], **service: Any) -> Decision:
    return triage(Case(signal=signal, service=a_service(**service), now=NOW, **state))


def kinds(decision: Decision) -> list[type]:
    return [type(effect) for effect in decision.effects]


@pytest.mark.parametrize(
    ("verb", "state", "outcome"),
    [
        pytest.param(Verb.TRIGGER, NONE, "triggered", id="the first trigger"),
        pytest.param(Verb.TRIGGER, OPEN, "deduplicated", id="a repeat"),
        pytest.param(Verb.TRIGGER, CLOSED, "triggered", id="a trigger after the resolve"),
        pytest.param(Verb.ACKNOWLEDGE, OPEN, "acknowledged", id="an acknowledge"),
        pytest.param(Verb.ACKNOWLEDGE, CLOSED, "recorded", id="an acknowledge too late"),
        pytest.param(Verb.ACKNOWLEDGE, NONE, "recorded", id="an acknowledge of nothing"),
        pytest.param(Verb.RESOLVE, OPEN, "resolved", id="a resolve"),
        pytest.param(Verb.RESOLVE, CLOSED, "recorded", id="a second resolve"),
        pytest.param(Verb.RESOLVE, NONE, "recorded", id="a resolve of nothing"),
        pytest.param(Verb.NOTE, OPEN, "recorded", id="a note"),
        pytest.param(Verb.NOTE, NONE, "recorded", id="a note on nothing"),
        pytest.param(Verb.NONE, OPEN, "ignored", id="stored only"),
    ],
)
def test_outcomes(verb: Verb, state: dict[str, Any], outcome: str):
    decision = decide(a_signal(verb=verb), state)
    assert (decision.outcome, decision.verb) == (outcome, verb)


def test_the_first_trigger_opens_and_looks_at_once():
    decision = decide(a_signal(), NONE)
    assert kinds(decision) == [fx.SeeAlert, fx.OpenIncident, fx.LookAgainAt]
    assert fx.LookAgainAt(at=NOW) in decision.effects


def test_a_new_cycle_names_the_one_before():
    decision = decide(a_signal(), CLOSED)
    opened = next(e for e in decision.effects if isinstance(e, fx.OpenIncident))
    assert opened.previous_incident_id == "inc_1"


def test_a_resolve_of_nothing_is_remembered_and_tells_nobody():
    assert kinds(decide(a_signal(verb=Verb.RESOLVE), NONE)) == [fx.CloseAlert]


def test_a_repeat_is_counted_and_pages_nobody():
    assert kinds(decide(a_signal(), OPEN)) == [fx.SeeAlert, fx.Count]


@pytest.mark.parametrize("status", [IncidentStatus.TRIGGERED, IncidentStatus.ACKNOWLEDGED])
def test_a_trigger_that_is_more_urgent_pages_again(status: IncidentStatus):
    low = an_incident(status=status, severity=Severity.WARNING, urgency=Urgency.LOW)
    decision = decide(a_signal(), {"alert": an_alert(), "incident": low})
    assert kinds(decision) == [fx.SeeAlert, fx.Raise, fx.CancelPages, fx.Restart]
    assert decision.outcome is DeliveryOutcome.DEDUPLICATED


def test_a_snoozed_incident_is_raised_but_stays_quiet():
    low = an_incident(status=IncidentStatus.SNOOZED, severity=Severity.WARNING, urgency=Urgency.LOW)
    decision = decide(a_signal(), {"alert": an_alert(), "incident": low})
    assert kinds(decision) == [fx.SeeAlert, fx.Raise]


def test_worse_without_being_more_urgent_is_an_update_and_no_new_page():
    decision = decide(a_signal(severity=Severity.CRITICAL), OPEN)
    assert kinds(decision) == [fx.SeeAlert, fx.Raise]


def test_a_milder_trigger_never_lowers_anything():
    assert kinds(decide(a_signal(severity=Severity.INFO), OPEN)) == [fx.SeeAlert, fx.Count]


def test_within_the_reopen_window_the_same_incident_goes_on():
    decision = decide(a_signal(), CLOSED, reopen_window=timedelta(hours=1))
    assert kinds(decision) == [fx.SeeAlert, fx.Reopen, fx.Restart]
    late = decide(a_signal(), CLOSED, reopen_window=timedelta(minutes=29))
    assert fx.OpenIncident in kinds(late)


def test_a_test_of_the_source_resolves_itself_after_an_hour():
    assert fx.ResolveAt(at=at(hours=1)) in decide(a_signal(is_test=True), NONE).effects


@pytest.mark.parametrize(
    ("opened", "is_marked"),
    [
        pytest.param({"triggered_at": at(seconds=-2)}, True, id="told twice of one sample"),
        pytest.param({"triggered_at": at(hours=-2)}, False, id="something else of before"),
        pytest.param({"triggered_at": NOW, "alert_count": 2}, False, id="others are part of it"),
        pytest.param({"triggered_at": NOW, "previous_incident_id": "inc_0"}, False, id="it recurs"),
        pytest.param({"triggered_at": NOW, "is_test": True}, False, id="it is one already"),
    ],
)
def test_what_only_the_second_webhook_says_to_be_a_test_becomes_one(
    opened: dict[str, Any], is_marked: bool
):
    state = {"alert": an_alert(), "incident": an_incident(**opened)}
    effects = decide(a_signal(is_test=True), state).effects
    assert (fx.MarkTest in map(type, effects)) is is_marked
    assert (fx.ResolveAt(at=at(hours=1)) in effects) is is_marked


def test_a_service_may_resolve_by_itself():
    decision = decide(a_signal(), NONE, auto_resolve_after=timedelta(days=7))
    assert fx.ResolveAt(at=at(days=7)) in decision.effects


@pytest.mark.parametrize(
    ("state", "happened", "verb"),
    [
        pytest.param(CLOSED, at(), Verb.TRIGGER, id="newer than the resolve: a regression"),
        pytest.param(CLOSED, at(minutes=-29, seconds=1), Verb.TRIGGER, id="just past the margin"),
        pytest.param(CLOSED, at(minutes=-29), Verb.NONE, id="within the margin"),
        pytest.param(CLOSED, at(hours=-1), Verb.NONE, id="older than the resolve"),
        pytest.param(CLOSED, None, Verb.NONE, id="at nobody knows when"),
        pytest.param(OPEN, at(), Verb.NONE, id="of an open incident"),
        pytest.param(NONE, at(), Verb.NONE, id="of nothing known"),
        pytest.param(
            {"alert": an_alert(resolved_at=at(minutes=-30)), "incident": None},
            at(),
            Verb.TRIGGER,
            id="resolved without ever having had an incident",
        ),
    ],
)
def test_an_error_counts_only_as_a_regression(state: dict[str, Any], happened: Any, verb: Verb):
    decision = decide(a_signal(verb=Verb.REGRESS, occurred_at=happened), state)
    assert decision.verb is verb
    assert (decision.outcome == "triggered") == (verb is Verb.TRIGGER)


ROUTES = (
    Route(project=("billing",), environment=("production",), service_id="svc_billing"),
    Route(level=("fatal", "error"), tags=(("team", ("web",)),), service_id="svc_web"),
    Route(title=("*Timeout*",), verb=Verb.NONE),
)


@pytest.mark.parametrize(
    ("signal", "matches"),
    [
        pytest.param({"projects": ("Billing", "billing"), "environment": "production"}, 0,
                     id="name or slug of the project, and the environment"),
        pytest.param({"projects": ("billing",), "environment": "staging"}, None,
                     id="every field must match"),
        pytest.param({"level": "error", "tags": (("team", "web"),)}, 1, id="a tag"),
        pytest.param({"level": "error", "tags": (("team", "app"),)}, None, id="another tag"),
        pytest.param({"title": "ReadTimeoutError: x"}, 2, id="a glob"),
        pytest.param({"title": "timeout"}, None, id="globs mind the case"),
        pytest.param({}, None, id="nothing known matches nothing"),
    ],
)  # fmt: skip
def test_the_first_route_that_matches(signal: dict[str, Any], matches: int | None):
    found = route(ROUTES, a_signal(**signal))
    assert found is (None if matches is None else ROUTES[matches])


def test_a_route_without_fields_matches_everything():
    assert route((Route(service_id="svc_2"),), a_signal()) is not None
