"""Pages that fail for good: nobody's incident ends in silence."""

from __future__ import annotations

import pytest

from tests.world import PEOPLE, SERVICE, World
from tocsin.core.retry import Outcome, Report

FALLBACK = "fallback: {user: cat@example.com}"

WITHOUT_HOOK = PEOPLE.replace(
    '      - {name: hook, channel: webhook, address: "https://phones.example.com/ann"}\n', ""
)


def policy(*steps: str, repeat: int = 0) -> str:
    lines = [
        f"      - {{targets: [{', '.join(f'{{user: {who}@example.com}}' for who in people)}],"
        f" wait: {wait}}}"
        for *people, wait in (step.split() for step in steps)
    ]
    head = f"escalation_policies:\n  - name: default\n    repeat: {repeat}\n    steps:\n"
    return head + "\n".join(lines)


def answer(world: World, *outcomes: Outcome, channel: str = "webhook") -> None:
    world.recorders[channel].answers = [
        Report(outcome=one, detail=f"said {one.value}") for one in outcomes
    ]


def texts(world: World, kind: str) -> list[str]:
    return [entry.text for entry in world.incident().timeline if entry.kind == kind]


@pytest.mark.parametrize("outcome", [Outcome.GONE, Outcome.REFUSED])
def test_the_fallback_is_paged_when_the_only_page_fails_for_good(blank: World, outcome: Outcome):
    blank.configure(PEOPLE, policy("bob 5m"), SERVICE, FALLBACK)
    answer(blank, outcome)
    blank.sentry("issue.created")
    blank.expect("bob")
    blank.expect("cat")
    assert blank.incident().escalation.state == "nobody_notified"
    assert texts(blank, "page_failed") == [f"could not page Bob by hook: said {outcome.value}"]
    blank.forward(hours=1)
    blank.expect_nothing()


def test_rounds_to_an_address_that_refuses_end_with_the_fallback(blank: World):
    blank.configure(PEOPLE, policy("bob 5m", repeat=2), SERVICE, FALLBACK)
    answer(blank, *[Outcome.REFUSED] * 3)
    blank.sentry("issue.created")
    for _ in range(3):
        blank.expect("bob")
    blank.expect("cat")
    blank.forward(hours=1)


def test_the_next_step_is_taken_at_once_when_a_step_reached_nobody(blank: World):
    blank.configure(PEOPLE, policy("bob 30m", "cat 5m"), SERVICE)
    answer(blank, Outcome.GONE)
    blank.sentry("issue.created")
    blank.expect("bob")
    blank.expect("cat")
    blank.forward(hours=1)
    assert blank.incident().escalation.state == "exhausted"


def test_a_step_waits_for_those_it_reached(blank: World):
    blank.configure(PEOPLE, policy("bob ann 30m", "cat 5m"), SERVICE)
    answer(blank, Outcome.GONE)
    blank.sentry("issue.created")
    blank.expect("bob")
    blank.expect("ann")
    blank.expect_nothing()
    blank.forward(minutes=30)
    blank.expect("cat")


def test_the_next_contact_method_is_tried_at_once(blank: World):
    blank.configure(PEOPLE, policy("ann 30m"), SERVICE, FALLBACK)
    answer(blank, Outcome.GONE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.expect("ann", "email")
    assert texts(blank, "page_failed") == ["could not page Ann by hook: said gone"]
    assert texts(blank, "paged") == ["paged Ann by mail: recorded"]
    pages = sorted(blank.incident().notifications, key=lambda one: one.id)
    assert pages[1].reason == f"{pages[0].reason} (instead of hook)"
    blank.forward(hours=1)
    assert blank.incident().escalation.state == "exhausted"


def test_a_person_of_whom_no_contact_method_works_is_nobody(blank: World):
    blank.configure(PEOPLE, policy("ann 30m"), SERVICE, FALLBACK)
    answer(blank, Outcome.GONE)
    answer(blank, Outcome.REFUSED, channel="email")
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.expect("ann", "email")
    blank.expect("cat")
    assert blank.incident().escalation.state == "nobody_notified"


def test_a_later_page_to_the_same_person_comes_forward(blank: World):
    rules = PEOPLE.replace(
        "address: ann@example.com}\n",
        "address: ann@example.com}\n    notification_rules:\n"
        "      - {urgency: high, after: 0m, contact_method: hook}\n"
        "      - {urgency: high, after: 10m, contact_method: mail}\n",
    )
    blank.configure(rules, policy("ann 30m"), SERVICE)
    answer(blank, Outcome.GONE)
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.expect("ann", "email")
    blank.forward(hours=1)
    blank.expect_nothing()


def test_a_fallback_that_fails_is_tried_by_every_way_and_no_more(blank: World):
    blank.configure(PEOPLE, policy("bob 5m"), SERVICE, "fallback: {user: ann@example.com}")
    answer(blank, Outcome.GONE, Outcome.GONE)
    answer(blank, Outcome.REFUSED, channel="email")
    blank.sentry("issue.created")
    blank.expect("bob")
    blank.expect("ann")
    blank.expect("ann", "email")
    blank.forward(hours=1)
    blank.expect_nothing()


def test_a_page_that_is_given_up_after_the_end_still_reaches_the_fallback(blank: World):
    blank.configure(PEOPLE, policy("bob 5m"), SERVICE, FALLBACK)
    answer(blank, *[Outcome.RETRY] * 3, Outcome.GONE)
    blank.sentry("issue.created")
    with blank.held():
        pass
    blank.forward(minutes=20)
    heard = [one.who for one in blank.take()]
    assert heard == ["bob"] * 4 + ["cat"]
    assert blank.incident().escalation.state == "nobody_notified"


def test_what_failed_after_an_acknowledgement_is_nobodys_concern(blank: World):
    blank.configure(PEOPLE, policy("bob 5m"), SERVICE, FALLBACK)
    answer(blank, Outcome.RETRY, Outcome.GONE)
    blank.sentry("issue.created")
    blank.expect("bob")
    blank.api("POST", "/incidents/1/acknowledge")
    blank.forward(hours=1)
    blank.expect_nothing()


@pytest.mark.parametrize("kept", [False, True])
def test_a_page_whose_contact_method_is_gone_says_so_and_goes_another_way(blank: World, kept: bool):
    blank.configure(PEOPLE, policy("ann 30m"), SERVICE, FALLBACK)
    with blank.held():
        blank.sentry("issue.created")
        while blank._worker._inbox.work(blank.now):
            pass
        blank.look()
        blank.configure(
            WITHOUT_HOOK
            if not kept
            else PEOPLE.replace("name: hook", "name: phone"),
            policy("ann 30m"), SERVICE, FALLBACK,
        )  # fmt: skip
    if kept:
        blank.expect("ann")
        assert texts(blank, "paged") == ["paged Ann by phone: recorded"]
        assert texts(blank, "page_failed") == []
    else:
        blank.expect("ann", "email")
        assert texts(blank, "page_failed") == [
            "could not page Ann by hook: this contact method is gone"
        ]


def test_pages_of_other_incidents_to_an_address_that_is_gone_go_on_too(blank: World):
    blank.configure(PEOPLE, policy("bob 5m"), SERVICE, FALLBACK)
    answer(blank, Outcome.RETRY)
    blank.sentry("issue.created")
    blank.expect("bob")
    answer(blank, Outcome.GONE)
    blank.sentry("issue.created", id_=2)
    blank.expect("bob")
    blank.expect("cat")
    blank.forward(minutes=2)
    blank.expect("cat")
    assert "could not page Bob by hook: this contact method can no longer be used" in [
        entry.text for entry in blank.incident(1).timeline
    ]


def test_help_that_cannot_be_asked_one_way_is_asked_another(blank: World):
    blank.configure(PEOPLE, policy("bob 30m"), SERVICE, FALLBACK)
    blank.sentry("issue.created")
    blank.expect("bob")
    answer(blank, Outcome.GONE)
    blank.api("POST", "/incidents/1/responders", {"user": "ann@example.com"})
    blank.expect("ann")
    blank.expect("ann", "email")
    blank.expect_nothing()


def test_at_low_urgency_another_step_is_taken_when_the_first_reached_nobody(blank: World):
    low = SERVICE.replace(
        "escalation_policy: default}", "escalation_policy: default, urgency: {error: low}}"
    )
    blank.configure(PEOPLE, policy("bob 30m", "cat 5m"), low)
    answer(blank, Outcome.GONE)
    blank.sentry("issue.created", level="error")
    blank.expect("bob")
    blank.expect("cat")
    assert blank.incident().escalation.state == "stopped"
