"""Noise rules in a browser, in the file, in the API and in what is explained."""

from __future__ import annotations

import pytest

from tests.browsing import Browser, signed_in
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.explain import explain
from tocsin.core.model import Severity
from tocsin.work.configfile import BadFile, dump, parse
from tocsin.work.configure import Configurator

FORM = {
    "hold_for": "10m",
    "priorities": "low",
    "events": "100",
    "one_per_release": "on",
    "follow_archive": "on",
    "resolve_when_quiet_for": "6h",
}

RULES = {
    "hold": {"for": "10m", "priorities": ["low"], "events": 100},
    "first_sight": "page",
    "one_per_release": True,
    "follow_archive": True,
    "resolve_when_quiet_for": "6h",
    "join_metric_issues": False,
}

FILE = """
    noise:
      hold: {for: 600s, priorities: [medium, low, low], events: 100, users: 10}
      first_sight: record
      one_per_release: true
      follow_archive: true
      resolve_when_quiet_for: 360m
      join_metric_issues: true
"""


@pytest.fixture
def manager(world: World) -> Browser:
    browser = signed_in(world, "manager")
    browser.get("/services/checkout/noise")
    return browser


def test_without_rules_the_page_says_what_happens(manager: Browser):
    assert "There is no rule: every new issue pages as its urgency says." in manager.words


def test_rules_are_set_and_told_in_sentences(world: World, manager: Browser):
    assert manager.post("/services/checkout/noise", FORM).status_code == 200
    assert "Saved." in manager.words
    sentence = "A new issue of low priority is held for 10m before it pages, or until it has 100"
    assert sentence in manager.words
    assert world.api("GET", "/services/checkout")["noise"] == RULES
    manager.get("/services/checkout")
    assert sentence in manager.words


def test_an_empty_form_takes_every_rule_away(world: World, manager: Browser):
    manager.post("/services/checkout/noise", FORM)
    manager.post("/services/checkout/noise", {})
    assert "There is no rule" in manager.words
    assert world.api("GET", "/services/checkout")["noise"] is None


def test_the_other_settings_leave_the_rules_alone(world: World, manager: Browser):
    manager.post("/services/checkout/noise", FORM)
    fields = {"name": "checkout", "escalation_policy": "default", "team": "payments"}
    assert manager.post("/services/checkout/settings", fields).status_code == 200
    assert world.api("GET", "/services/checkout")["noise"] == RULES


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"hold_for": "soon", "priorities": "low"}, "'soon' is not a duration"),
        ({"hold_for": "10m"}, "a hold needs a priority it is for"),
        ({"hold_for": "10m", "priorities": "loud"}, "word 'loud'"),
        ({"hold_for": "10m", "priorities": "low", "events": "many"}, "expected a number"),
        ({"hold_for": "10m", "priorities": "low", "users": "1"}, "users 1 is not between 2"),
        ({"hold_for": "0s", "priorities": "low"}, "longer than nothing"),
        ({"resolve_when_quiet_for": "ever"}, "'ever' is not a duration"),
    ],
)
def test_what_is_wrong_is_shown_again_as_it_was_typed(
    manager: Browser, fields: dict[str, str], says: str
):
    assert manager.post("/services/checkout/noise", fields).status_code == 422
    assert says in manager.words
    for name, typed in fields.items():
        assert name == "priorities" or f'value="{typed}"' in manager.text


def test_who_may_not_change_reads_the_rules_and_is_refused(world: World, manager: Browser):
    manager.post("/services/checkout/noise", FORM)
    viewer = signed_in(world, "viewer")
    viewer.get("/services/checkout/noise")
    assert "is held for 10m" in viewer.words
    assert "Save" not in viewer.words
    assert viewer.post("/services/checkout/noise", FORM).status_code == 403


def test_an_incident_that_is_held_says_so_wherever_it_is_shown(world: World, manager: Browser):
    rules = {"hold": {"for": "10m", "priorities": ["high"]}}
    world.api("PATCH", "/services/checkout", {"noise": rules})
    world.sentry("issue.created")
    manager.get("/incidents/1")
    assert "held" in manager.words
    assert "it is held, and pages" in manager.words.lower()
    assert "in maintenance" not in manager.words
    manager.get("/incidents")
    assert "held, pages" in manager.words
    assert world.api("GET", "/incidents/1")["is_held"] is True


def test_the_file_has_the_rules_and_its_export_changes_nothing(world: World):
    service = "  - {name: checkout, team: payments, escalation_policy: default}\n"
    world.configure(
        PEOPLE,
        ONE_STEP,
        SERVICE.replace(
            service,
            "  - name: checkout\n    team: payments\n    escalation_policy: default" + FILE,
        ),
    )
    office = Configurator(world.database, world.plans, world.vault)
    text = dump(office.export())
    assert "for: 10m" in text
    assert "resolve_when_quiet_for: 6h" in text
    again, source = parse(text, "export.yaml")
    assert office.apply(again, source, world.now, dry_run=True).changes == ()
    one = world.api("GET", "/services/checkout")["noise"]
    assert one["hold"] == {
        "for": "10m", "priorities": ["medium", "low"], "events": 100, "users": 10,
    }  # fmt: skip
    assert (one["first_sight"], one["join_metric_issues"]) == ("record", True)


def test_rules_that_say_nothing_are_none(world: World):
    world.configure(
        PEOPLE, ONE_STEP, SERVICE.replace("{name: checkout,", "{name: checkout, noise: {},")
    )
    assert world.api("GET", "/services/checkout")["noise"] is None


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{hold: {for: 10m, event: 5}}", "unknown key 'event'; did you mean 'events'?"),
        ("{hold: {priorities: [low]}}", "'for' is missing"),
        ("{first_sight: never}", "first_sight: unknown word 'never'"),
        ("{quiet: 6h}", "unknown key 'quiet'"),
        ("{one_per_release: 7}", "true or false"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(written: str, says: str):
    with pytest.raises(BadFile) as refused:
        parse(f"services:\n  - name: checkout\n    noise: {written}\n", "tocsin.yaml")
    (finding,) = refused.value.findings
    assert finding.startswith("tocsin.yaml:3: ")
    assert says in finding


def test_who_would_be_paged_is_explained_with_the_rules(world: World):
    world.api("PATCH", "/services/checkout", {"noise": {"first_sight": "record"}})
    plans = world.plans.refresh()
    (service,) = plans.services.values()
    told = explain(plans, service, Severity.ERROR, None, world.now)
    assert told.sentences[1].startswith("A new issue is recorded and opens no incident")
    assert "recorded" in " ".join(world.api("GET", "/explain?service=checkout")["sentences"])
