"""The state machine, cell by cell, and what people do to incidents."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.builders import NOW, a_service, an_incident, at
from tocsin.core import effects as fx
from tocsin.core import incident as rules
from tocsin.core.incident import TRANSITIONS, Cell, Move, Refused, evolve
from tocsin.core.model import (
    Actor,
    Escalation,
    EscalationState,
    Incident,
    IncidentStatus,
    Priority,
    Severity,
    TimelineKind,
    Urgency,
)

ANN = Actor(name="ann@example.com", user_id="usr_ann")

#: Section 4 of the design, said once more in other words.
CELLS = {
    "triggered": "count acknowledged snoozed no-change resolved",
    "acknowledged": "count no-change snoozed triggered resolved",
    "snoozed": "count acknowledged snoozed triggered resolved",
    "resolved": "new-incident no-change refused no-change no-change",
    None: "new-incident recorded refused no-change recorded",
}


@pytest.mark.parametrize("status", [*IncidentStatus, None])
@pytest.mark.parametrize("move", list(Move))
def test_every_cell_of_the_state_machine(status: IncidentStatus | None, move: Move):
    words = CELLS[status].split()
    assert TRANSITIONS[status, move] == words[list(Move).index(move)].replace("-", " ")


def test_the_table_has_every_cell():
    assert len(TRANSITIONS) == 25
    assert set(TRANSITIONS.values()) == set(Cell)


def apply(incident: Incident, effects: tuple[fx.Effect, ...]) -> Incident:
    for effect in effects:
        incident = evolve(incident, effect, NOW)
    return incident


def test_acknowledging_stops_the_escalation_and_says_who_did_it():
    running = an_incident(escalation=Escalation(step=1, next_at=at(minutes=5)))
    incident = apply(running, rules.acknowledge(running, ANN, a_service(), NOW))
    assert incident.status is IncidentStatus.ACKNOWLEDGED
    assert (incident.acknowledged_at, incident.acknowledged_by) == (NOW, "ann@example.com")
    assert incident.escalation.state is EscalationState.STOPPED
    assert incident.escalation.next_at is None


def test_acknowledging_twice_changes_nothing():
    incident = an_incident(status=IncidentStatus.ACKNOWLEDGED)
    assert rules.acknowledge(incident, ANN, a_service(), NOW) == ()


def test_an_acknowledgement_times_out_where_the_service_says_so():
    service = a_service(acknowledge_timeout=timedelta(minutes=30))
    assert fx.WakeAt(at=at(minutes=30)) in rules.acknowledge(an_incident(), ANN, service, NOW)


def test_what_wakes_is_triggered_and_starts_over():
    asleep = an_incident(
        status=IncidentStatus.SNOOZED,
        snoozed_until=NOW,
        escalation=Escalation(step=2, round=1, state=EscalationState.STOPPED, has_reached=True),
    )
    incident = apply(asleep, rules.wake(asleep))
    assert incident.status is IncidentStatus.TRIGGERED
    assert incident.snoozed_until is None
    assert incident.escalation == Escalation(next_at=NOW, cycle=1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (IncidentStatus.SNOOZED, TimelineKind.WOKE),
        (IncidentStatus.ACKNOWLEDGED, TimelineKind.ACKNOWLEDGE_TIMEOUT),
    ],
)
def test_the_timeline_tells_a_snooze_from_a_time_out(status: IncidentStatus, kind: TimelineKind):
    woken = rules.wake(an_incident(status=status))
    assert [effect.kind for effect in woken if isinstance(effect, fx.Wake)] == [kind]


def test_a_wake_up_call_that_comes_late_changes_nothing():
    for status in (IncidentStatus.TRIGGERED, IncidentStatus.RESOLVED):
        assert rules.wake(an_incident(status=status)) == ()


def test_a_resolved_incident_cannot_be_snoozed():
    incident = an_incident(status=IncidentStatus.RESOLVED)
    with pytest.raises(Refused, match="resolved"):
        rules.snooze(incident, ANN, at(hours=1))


def test_snoozing_until_the_same_time_changes_nothing():
    until = at(hours=1)
    incident = apply(an_incident(), rules.snooze(an_incident(), ANN, until))
    assert incident.snoozed_until == until
    assert rules.snooze(incident, ANN, until) == ()
    assert rules.snooze(incident, ANN, at(hours=2)) != ()


def test_resolving_twice_changes_nothing():
    incident = apply(an_incident(), rules.resolve(an_incident(), ANN))
    assert (incident.status, incident.resolved_at) == (IncidentStatus.RESOLVED, NOW)
    assert rules.resolve(incident, ANN) == ()


def test_a_priority_that_raises_the_urgency_pages_again():
    service = a_service(urgency={"priority.critical": Urgency.HIGH, "warning": Urgency.LOW})
    low = an_incident(severity=Severity.WARNING, urgency=Urgency.LOW)
    effects = rules.set_priority(low, ANN, Priority.CRITICAL, service, NOW)
    assert fx.Restart() in effects
    assert apply(low, effects).urgency is Urgency.HIGH


def test_a_priority_never_lowers_the_urgency_in_silence():
    service = a_service(urgency={"priority.low": Urgency.LOW})
    effects = rules.set_priority(an_incident(), ANN, Priority.LOW, service, NOW)
    incident = apply(an_incident(), effects)
    assert (incident.priority, incident.urgency) == (Priority.LOW, Urgency.HIGH)


def test_the_same_priority_changes_nothing():
    incident = an_incident(priority=Priority.LOW)
    assert rules.set_priority(incident, ANN, Priority.LOW, a_service(), NOW) == ()


@pytest.mark.parametrize(
    "effect",
    [fx.CancelPages(), fx.WakeAt(at=None), fx.Note(text="n"), fx.ResolveAt(at=NOW)],
)
def test_effects_that_do_not_concern_an_incident_leave_it_alone(effect: fx.Effect):
    incident = an_incident()
    assert evolve(incident, effect, NOW) is incident
