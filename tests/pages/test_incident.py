"""The page of one incident: its four answers, what people do there, and what it tells."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from tests.browsing import Browser, signed_in
from tests.counting import statements
from tests.world import PEOPLE, SERVICE, World

TWO_STEPS = """
escalation_policies:
  - name: default
    steps:
      - {targets: [{user: ann@example.com}], wait: 5m}
      - {targets: [{user: cat@example.com}, {team: payments}], wait: 5m}
  - {name: other, steps: [{targets: [{user: bob@example.com}]}]}
"""

#: Letters that mean something to Markdown or HTML.
HOSTILE = '<script>alert(1)</script> [x](javascript:a) `code` *bold* | "><img onerror=x>'


@pytest.fixture
def paged(world: World) -> World:
    """Give a world in which Ann was paged for incident 1."""
    world.configure(PEOPLE, SERVICE, TWO_STEPS)
    world.sentry("issue.created", title="Cart is broken", culprit="cart.py in total")
    world.forget()
    return world


def opened(world: World, who: str = "ann", number: int = 1) -> Browser:
    """Return a browser that shows an incident."""
    browser = signed_in(world, who)
    assert browser.get(f"/incidents/{number}").status_code == 200
    return browser


def part(browser: Browser, heading: str) -> str:
    """Return what is below a heading, as words."""
    found = re.search(rf'aria-labelledby="{heading}">(.*?)</section>', browser.text, re.DOTALL)
    assert found, heading
    words = " ".join(re.sub(r"<[^>]*>", " ", found[1]).split())
    return re.sub(r" ([.,;:])", r"\1", words)


# -- the four answers


def test_it_says_what_broke_who_has_it_what_is_next_and_what_changed(paged: World):
    paged.forward(minutes=1)
    ann = opened(paged)
    assert "Cart is broken" in ann.words
    assert "checkout" in ann.words
    assert "cart.py in total" in ann.words
    assert part(ann, "who").endswith("Nobody yet. Asked: Ann")
    assert "Cat and Bob by webhook in 4 min (step 2 of default)" in part(ann, "then")
    assert "step 1 of default pages Ann" in part(ann, "changed")


def test_it_is_found_by_its_id_too(paged: World):
    id_ = paged.incident().id
    ann = signed_in(paged, "ann")
    ann.get(f"/incidents/{id_}")
    assert "Cart is broken" in ann.words
    assert ann.get("/incidents/999").status_code == 404
    assert "There is no incident" in ann.words or "there is no incident 999" in ann.words


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("acknowledge", None, "It waits for"),
        ("snooze", {"for": "2h"}, "It wakes in 2 h and pages from the first step."),
        ("resolve", None, "Nothing more: it is resolved."),
    ],
)
def test_what_is_next_follows_the_state(paged: World, path: str, body: Any, said: str):
    paged.api("POST", f"/incidents/1/{path}", body)
    paged.forget()
    assert said.lower() in part(opened(paged), "then").lower()


def test_an_exhausted_escalation_says_that_nothing_will_happen(paged: World):
    paged.forward(minutes=15)
    paged.forget()
    assert "no step is left, nobody else is paged" in part(opened(paged), "then")


def test_an_acknowledgement_that_times_out_says_when(paged: World):
    timed = SERVICE.replace("default}", "default, acknowledge_timeout: 30m}")
    paged.configure(PEOPLE, timed, TWO_STEPS)
    ann = opened(paged)
    ann.post("/incidents/1/acknowledge")
    assert "The acknowledgement times out in 30 min" in part(ann, "then")
    paged.forget()


def test_maintenance_says_until_when_nobody_is_paged(paged: World):
    window = {"services": ["checkout"], "from": "2026-01-05T00:00:00Z", "reason": "deploy",
              "to": (paged.now + timedelta(hours=2)).isoformat()}  # fmt: skip
    paged.api("POST", "/maintenance-windows", window)
    paged.sentry("issue.created", 2)
    bob = opened(paged, "bob", number=2)
    assert "Maintenance ends in 2 h and nobody is paged before" in part(bob, "then")
    assert "in maintenance" in bob.words
    paged.forget()


# -- what people do


@pytest.mark.parametrize(
    ("deed", "fields", "said", "status"),
    [
        ("acknowledge", {}, "Acknowledged: it is yours.", "acknowledged"),
        ("resolve", {}, "Resolved.", "resolved"),
        ("snooze", {"for": "4h"}, "Snoozed.", "snoozed"),
        ("snooze", {"for": "tomorrow"}, "Snoozed.", "snoozed"),
        ("snooze", {"for": "until", "until": "2030-01-01T10:00"}, "Snoozed.", "snoozed"),
        ("escalate", {"step": "1", "round": "0"}, "Escalated", "triggered"),
        ("priority", {"priority": "high"}, "Priority set.", "triggered"),
        ("note", {"text": "look at the cart"}, "Noted.", "triggered"),
    ],
)
def test_each_button_does_what_it_says(
    paged: World, deed: str, fields: dict[str, str], said: str, status: str
):
    ann = opened(paged)
    ann.post(f"/incidents/1/{deed}", fields)
    assert said in ann.words
    assert paged.incident().status == status
    assert paged.incident().timeline[-1].actor in ("ann@example.com", "tocsin")
    paged.forget()


def test_it_is_given_to_a_person_or_to_a_policy(paged: World):
    ann = opened(paged)
    bob = paged.user("bob").id
    ann.post("/incidents/1/reassign", {"to": f"user:{bob}"})
    assert "Asked: Bob" in part(ann, "who")
    policy = next(
        one.id for one in paged.plans.refresh().policies.values() if one.name == "default"
    )
    ann.post("/incidents/1/reassign", {"to": f"policy:{policy}"})
    assert "Asked: Ann" in part(ann, "who")
    paged.forget()


def test_another_person_is_asked_for_help(paged: World):
    ann = opened(paged)
    ann.post("/incidents/1/responder", {"user": paged.user("bob").id})
    assert "Bob was asked to help." in ann.words
    paged.expect("bob")


def test_incidents_are_merged_and_taken_apart_again(paged: World):
    paged.sentry("issue.created", 2, title="Till is broken")
    ann = opened(paged, number=2)
    ann.post("/incidents/2/merge", {"into": "#1"})
    assert "Merged into #1" in ann.words
    ann.get("/incidents/1")
    alert = re.findall(r'name="alert" value="([^"]*)"', ann.text)
    assert len(alert) == 2
    ann.post("/incidents/1/unmerge", {"alert": alert[1]})
    assert "The alert goes its own way." in ann.words
    assert paged.incident(3).title == "Till is broken"
    paged.forget()


@pytest.mark.parametrize(
    ("deed", "fields", "said"),
    [
        ("note", {"text": " "}, "the note is empty: write something"),
        ("snooze", {"for": "until", "until": "soon"}, "choose a day and a time"),
        ("snooze", {"for": "until", "until": "2001-01-01T00:00"}, "choose a later time"),
        ("snooze", {"for": "99999999d"}, "longer than ten years"),
        ("reassign", {"to": "user:nobody"}, "choose a person or a policy that there is"),
        ("priority", {"priority": "huge"}, "is not a priority"),
        ("responder", {"user": "nobody"}, "choose a person who is here"),
        ("merge", {"into": ""}, "by its number"),
        ("merge", {"into": "99"}, "there is no incident 99"),
        ("unmerge", {"alert": "x"}, "has no alert x"),
    ],
)
def test_a_wrong_form_is_shown_again_with_one_sentence(
    paged: World, deed: str, fields: dict[str, str], said: str
):
    ann = opened(paged)
    assert ann.post(f"/incidents/1/{deed}", fields).status_code == 422
    assert said in ann.words
    assert "Cart is broken" in ann.words


def test_a_step_that_is_no_longer_current_is_not_skipped(paged: World):
    ann = opened(paged)
    paged.forward(minutes=5)
    paged.forget()
    ann.post("/incidents/1/escalate", {"step": "1", "round": "0"})
    assert "Step 1 is no longer the current one; it is step 2 of round 0." in ann.words
    paged.expect_nothing()


def test_what_was_resolved_meanwhile_is_not_snoozed(paged: World):
    ann = opened(paged)
    paged.sentry("issue.resolved")
    paged.forget()
    ann.post("/incidents/1/snooze", {"for": "1h"})
    assert "Incident 1 is resolved and cannot be snoozed." in ann.words
    assert "Nothing more: it is resolved." in part(ann, "then")


def test_who_only_reads_sees_it_all_and_changes_nothing(world: World):
    world.sentry("issue.created")
    world.forget()
    viewer = opened(world, "viewer")
    assert "Resolve" not in viewer.words
    assert 'action="/incidents' not in viewer.text
    assert viewer.post("/incidents/1/resolve").status_code == 403
    assert world.incident().status == "triggered"


def test_a_deed_that_there_is_not_is_not_found(paged: World):
    assert opened(paged).post("/incidents/1/explode").status_code == 404


# -- what it tells


def test_the_timeline_has_every_attempt_with_what_the_provider_said(paged: World):
    ann = opened(paged)
    assert "paged Ann by hook: recorded" in ann.words


def test_repeats_in_a_row_are_one_line(paged: World):
    for _ in range(5):
        paged.sentry("event_alert.triggered")
        paged.forward(minutes=1)
    paged.forget()
    ann = opened(paged)
    timeline = part(ann, "timeline")
    assert timeline.count("alert rule in Sentry") in (1, 2)
    assert "times since" in timeline
    assert 'role="img" aria-label="Seen 6 times' in ann.text


def test_it_says_what_sentry_says(paged: World):
    paged.post(
        "/in/routing-key-of-the-world",
        '{"action":"triggered","data":{"event":{"event_id":"a","issue_id":"1","title":"Cart is'
        ' broken","release":"shop@4.2","environment":"production","tags":[["browser","Chrome 131"],'
        '["url","https://shop.example/cart"],["server_name","web-3"]]},"triggered_rule":"Loud"}}',
        sentry_hook_resource="event_alert",
    )
    paged.forget()
    words = part(opened(paged), "facts")
    for fact in ("shop@4.2", "production", "Chrome 131", "https://shop.example/cart", "web-3",
                 "Alert rule Loud"):  # fmt: skip
        assert fact in words


def test_the_raw_webhook_is_one_tap_away(paged: World):
    ann = opened(paged)
    delivery = paged.deliveries()[-1].id
    assert f'href="/deliveries/{delivery}"' in ann.text
    assert "{&#34;" not in ann.text


def test_earlier_incidents_of_the_same_alert_are_listed(paged: World):
    for _ in range(12):
        paged.sentry("issue.resolved")
        paged.forward(minutes=1)
        paged.sentry("issue.unresolved")
    paged.forget()
    before = part(opened(paged, number=13), "cycles")
    assert re.findall(r"#(\d+)", before) == [str(number) for number in range(12, 2, -1)]


def test_a_test_of_sentry_is_marked(world: World):
    world.post(
        "/in/routing-key-of-the-world",
        '{"action":"triggered","data":{"event":{"event_id":"a","issue_id":"7","title":"Sample",'
        '"tags":[["sample_event","yes"]]}}}',
        sentry_hook_resource="event_alert",
    )
    world.forget()
    assert 'is-info">test</span>' in opened(world).text


def test_one_that_was_opened_by_hand_says_so(world: World):
    world.api("POST", "/incidents", {"service": "checkout", "title": "by hand"})
    world.forget()
    assert "opened by hand" in opened(world).words


def test_the_export_is_text_whatever_the_title_is(paged: World):
    paged.sentry("issue.created", 2, title=HOSTILE)
    paged.forget()
    ann = opened(paged, number=2)
    response = ann.get("/incidents/2.md")
    assert response.headers["content-type"].startswith("text/markdown")
    assert "<script>" not in response.text
    assert r"\<script\>alert\(1\)" in response.text
    assert r"\[x\]\(javascript\:a\)" in response.text
    assert r"\`code\` \*bold\* \|" in response.text
    assert "## Timeline" in response.text
    assert "step 1 of default pages Ann" in response.text.replace("\\", "")


def test_a_page_costs_the_same_number_of_statements_whatever_it_has_been_through(paged: World):
    ann = opened(paged)
    counts = []
    for times in (1, 30):
        for _ in range(times):
            paged.sentry("event_alert.triggered")
            ann.post("/incidents/1/note", {"text": "still there"})
        paged.forward(minutes=5)
        paged.forget()
        with paged.held(), statements(paged.database) as seen:
            ann.get("/incidents/1")
        counts.append(len(seen))
    assert counts[0] == counts[1], seen
    assert counts[0] <= 19, seen


def test_a_step_that_no_policy_has_is_no_fault(world: World):
    world.sentry("issue.created", 1)
    world.forget()
    bob = signed_in(world, "bob")
    bob.get("/incidents/1")
    bob.post("/incidents/1/escalate", {"step": "9" * 5000, "round": "0"})
    assert bob.response.status_code < 500
    world.forget()
