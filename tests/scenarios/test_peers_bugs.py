"""What went wrong in other on-call products, and cannot here.

Numbers are rows of the list in the reference on peers, section 3. Rows that are cases are tested
there: 1 (B9), 4 (B1), 6 (A3), 7 (A5, A6 and the dialects), 9 and 10 (C3 to C9 and the oracle),
12 (``tests/calendars``), 13 (``test_watch.py``), 15 (A12), 18 (B4), 20 (``test_cases_d.py``),
24 (A10), 29 (``tests/contracts``). Rows 2, 3, 16, 17, 26 and 27 are about parts that are not here.
"""

from __future__ import annotations

from unittest.mock import patch

from tests.scenarios.test_cases_b import policy
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.model import Role
from tocsin.core.retry import Outcome, Report
from tocsin.store.jobs import Kind
from tocsin.work import escalate, respond
from tocsin.work.manage import Office


def test_5_every_delivery_has_a_fate_one_can_look_up(world: World):
    for event in ("issue.created", "issue.assigned"):
        world.sentry(event)
    world.post(
        "/in/routing-key-of-the-world",
        b'{"action": "created", "data": {"installation": {"uuid": "1"}}}',
        sentry_hook_resource="installation",
    )
    world.post("/in/routing-key-of-the-world", b'{"neither": "fish"}')
    world.forget()
    fates = [(one.status, one.verb, one.outcome) for one in world.deliveries()]
    assert fates == [
        ("processed", "trigger", "triggered"),
        ("processed", "note", "recorded"),
        ("processed", "none", "ignored"),
        ("unrecognised", "none", "ignored"),
    ]


def test_8_a_storm_is_taken_whole(world: World):
    with world.held():
        for number in range(1, 301):
            world.sentry("issue.created", number)
    assert len([heard for heard in world.take() if heard.what == "page"]) == 300
    assert {one.outcome for one in world.deliveries()} == {"triggered"}


def test_11_weekdays_are_those_of_the_schedules_zone(blank: World):
    """Monday in Auckland is Sunday for whoever counts in UTC."""
    rota = """
schedules:
  - name: primary
    time_zone: Pacific/Auckland
    layers:
      - name: mondays
        rotation: {unit: day, start: "2026-01-05T00:00", days: [mon]}
        participants: [bob@example.com]
"""
    blank.configure(PEOPLE, rota, ONE_STEP, SERVICE)
    items = blank.api(
        "GET", "/schedules/primary/shifts?from=2026-01-10T00:00:00Z&to=2026-01-14T00:00:00Z"
    )["items"]
    assert [(one["from"], one["to"]) for one in items] == [
        ("2026-01-11T11:00:00Z", "2026-01-12T11:00:00Z")
    ]


def test_14_support_hours_have_a_zone_and_weekdays(blank: World):
    """The world begins on a Monday at 12:00 UTC: 13:00 in Berlin, and 06:00 in Chicago."""
    hours = "support_hours: {{time_zone: {zone}, days: [mon], from: '07:00', to: '13:30'}}"
    for number, (zone, urgency) in enumerate(
        (("Europe/Berlin", "high"), ("America/Chicago", "low")), 1
    ):
        line = "escalation_policy: default, " + hours.format(zone=zone)
        blank.configure(PEOPLE, ONE_STEP, SERVICE.replace("escalation_policy: default", line))
        blank.sentry("issue.created", number)
        blank.forget()
        assert blank.incident(number).urgency == urgency


def test_19_an_acknowledgement_that_was_forgotten_does_not_swallow_what_comes(blank: World):
    timed = SERVICE.replace(
        "escalation_policy: default", "escalation_policy: default, acknowledge_timeout: 1h"
    )
    blank.configure(PEOPLE, ONE_STEP, timed)
    blank.sentry("issue.created")
    blank.act("ann", respond.acknowledge)
    blank.forget()
    blank.forward(minutes=30)
    blank.sentry("event_alert.triggered")
    blank.expect_nothing()
    blank.forward(minutes=30)
    blank.expect("ann")


def test_21_a_step_is_one_entry_however_many_it_pages(blank: World):
    blank.configure(PEOPLE, policy("payments 5m"), SERVICE)
    blank.sentry("issue.created")
    blank.forget()
    steps = [entry for entry in blank.incident().timeline if entry.kind == "step"]
    assert [entry.text for entry in steps] == ["step 1 of default pages Bob, Cat"]


def test_22_how_long_a_page_took_and_what_the_provider_said_is_on_the_timeline(world: World):
    world.recorders["webhook"].answers = [
        Report(outcome=Outcome.RETRY, detail="HTTP 503 busy"),
        Report(outcome=Outcome.DELIVERED, detail="HTTP 200"),
    ]
    world.sentry("issue.created")
    world.forward(minutes=1)
    world.forget()
    said = [(entry.kind, entry.text) for entry in world.incident().timeline]
    assert ("page_failed", "will page Ann by hook again: HTTP 503 busy") in said
    assert ("paged", "paged Ann by hook: HTTP 200") in said
    attempts = world.incident().notifications[0].attempts
    assert [attempt.detail for attempt in attempts] == ["HTTP 503 busy", "HTTP 200"]
    assert all(attempt.finished_at for attempt in attempts)


def test_23_not_everybody_may_change_a_schedule(world: World):
    office = Office(world.database, world.plans, world.vault)
    key = office.create_api_key("a responder", Role.RESPONDER, world.now)
    answer = world.raw(
        "POST",
        "/api/v1/schedules",
        json={"name": "mine"},
        headers={"authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 403


def test_25_one_incident_that_cannot_be_escalated_stops_no_other(world: World):
    real_look = escalate.ASK[Kind.ESCALATE]

    def breaks(incident: object, *rest: object) -> object:
        if getattr(incident, "title", "") == "broken":
            raise RuntimeError("a bug")
        return real_look(incident, *rest)  # type: ignore[arg-type]

    with patch.dict(escalate.ASK, {Kind.ESCALATE: breaks}), world.held():
        world.sentry("issue.created", 1, title="broken")
        world.sentry("issue.created", 2, title="fine")
        world.release()
    assert world.expect("ann").title == "fine"
    world.forward(minutes=5)  # and once the bug is mended, so does the first
    assert world.expect("ann").title == "broken"


def test_28_what_the_source_repeats_never_takes_back_what_a_person_did(world: World):
    world.sentry("issue.created")
    world.act("ann", respond.acknowledge)
    world.forget()
    for event in ("issue.unresolved", "event_alert.triggered", "issue.assigned"):
        world.sentry(event)
    assert world.incident().status == "acknowledged"
    world.expect_nothing()
