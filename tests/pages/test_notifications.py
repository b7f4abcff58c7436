"""What went out: every message, with its attempts and what was answered."""

from __future__ import annotations

import pytest

from tests.browsing import signed_in
from tests.world import World
from tocsin.core.retry import Outcome, Report


@pytest.fixture
def told(world: World) -> World:
    """Give a world in which a page was refused once and then went out."""
    world.recorders["webhook"].answers.append(
        Report(outcome=Outcome.RETRY, detail="HTTP 503 <b>later</b>")
    )
    world.sentry("issue.created", title="Cart is broken")
    world.forward(minutes=1)
    world.forget()
    return world


def test_every_message_is_listed_with_what_was_answered(told: World):
    ann = signed_in(told, "ann")
    ann.get("/notifications")
    for words in ("#1 Cart is broken", "step 1 of default", "Ann", "hook (webhook)", "sent",
                  "retry: HTTP 503 <b>later</b>", "delivered: recorded"):  # fmt: skip
        assert words in ann.words
    assert 'href="/deliveries"' in ann.text


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("state=sent", True),
        ("state=failed", False),
        ("person=ann@example.com", True),
        ("person=bob@example.com", False),
        ("person=nobody", False),
        ("q=%231", True),
        ("q=default", True),
        ("q=nothing", False),
    ],
)
def test_the_address_says_which_are_shown(told: World, query: str, is_found: bool):
    ann = signed_in(told, "ann")
    ann.get(f"/notifications?{query}")
    assert ("Cart is broken" in ann.words) is is_found
    assert ("Nothing matches these filters." in ann.words) is not is_found


def test_a_state_that_there_is_not_is_told_in_one_sentence(told: World):
    ann = signed_in(told, "ann")
    assert ann.get("/notifications?state=lost").status_code == 400
    assert "'lost' is not one of pending, sent" in ann.words


def test_nothing_yet_leads_to_ones_own_page(world: World):
    ann = signed_in(world, "ann")
    ann.get("/notifications")
    assert "Nothing has gone out yet." in ann.words
    assert 'href="/me"' in ann.text
