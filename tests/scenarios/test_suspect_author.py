"""Who wrote the commit that Sentry suspects is paged once it is known, if they are on call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.both_sides import BothSides
from tests.counting import statements
from tests.fakes import FakeSentry
from tests.world import KEY, PEOPLE, World
from tocsin.dialects import load_all
from tocsin.store import jobs
from tocsin.store.jobs import Kind
from tocsin.work import respond
from tocsin.work.intake import Inbox

#: Cat is on call this week, in the second step; Bob is, next week.
ROTA = """
schedules:
  - name: developers
    time_zone: UTC
    layers:
      - name: weekly
        rotation: {unit: week, start: "2026-01-05T00:00"}
        participants: [cat@example.com, bob@example.com]
escalation_policies:
  - name: default
    steps:
      - {targets: [{user: ann@example.com}], wait: 5m}
      - {targets: [{schedule: developers}], wait: 5m}
"""


def service(more: str = "page_suspect_author: true") -> str:
    return f"""
services:
  - {{name: checkout, escalation_policy: default, {more}}}
integrations:
  - {{name: sentry, service: checkout, routing_key: {KEY}}}
"""


SAID = "pages Cat, who wrote the commit that Sentry suspects (a1b2c3d: Round totals)"
REASON = "Why you    you wrote the commit that Sentry suspects"


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """Give a world where people may be told what became of what they were paged for."""
    world.configure(PEOPLE, ROTA, service())
    yield world
    world.forget()


@pytest.fixture
def both(world: World, sentry: FakeSentry) -> BothSides:
    return BothSides.join(world, sentry)


def breaks(both: BothSides, *who: str) -> None:
    """Let something break, by commits of these people, and its webhooks arrive."""
    both.breaks(commits={f"{one}@example.com": "Round totals\n\nfor real" for one in who})
    both.deliver_all()


def paged(world: World) -> list[str]:
    """Return who was paged since the last look, in order; what else they were told goes by."""
    return [one.who for one in world.take() if one.what == "page"]


def test_the_author_is_paged_as_soon_as_it_is_known_and_the_timeline_says_why(both: BothSides):
    breaks(both, "cat")
    both.world.expect("ann")
    assert REASON in both.world.expect("cat").message.text.splitlines()
    assert both.said().count(SAID) == 1


def test_the_escalation_goes_on_as_it_would_have(both: BothSides):
    breaks(both, "cat")
    assert paged(both.world) == ["ann", "cat"]
    stand = both.world.incident().escalation
    assert (stand.step, stand.next_at) == (1, both.world.incident().triggered_at + timedelta(
        minutes=5
    ))  # fmt: skip
    both.forward(minutes=5)
    assert paged(both.world) == ["cat"]
    assert "step 2 of default pages Cat" in both.said()


def test_who_is_not_on_call_sleeps_on(both: BothSides):
    breaks(both, "bob")
    assert paged(both.world) == ["ann"]
    assert not [text for text in both.said() if "who wrote" in text]


def test_nobody_is_paged_so_unless_the_service_asks_for_it(both: BothSides):
    both.world.configure(PEOPLE, ROTA, service("page_suspect_author: false"))
    breaks(both, "cat")
    assert paged(both.world) == ["ann"]


def test_an_author_whom_the_step_pages_anyway_is_paged_once(both: BothSides):
    breaks(both, "ann")
    assert paged(both.world) == ["ann"]
    assert not [text for text in both.said() if "who wrote" in text]


def test_however_often_it_is_looked_at_it_is_one_page(both: BothSides):
    world = both.world
    breaks(both, "cat")
    id_ = world.incident().id
    for _ in range(3):
        world.database.run(lambda c: jobs.put(c, [(Kind.SUSPECT, id_, world.now)]))
        both.forward(seconds=10)
    assert paged(world) == ["ann", "cat"]
    assert both.said().count(SAID) == 1


def test_what_somebody_has_by_then_is_theirs(both: BothSides):
    both.sentry.do("faults", away=True)
    breaks(both, "cat")
    both.world.act("ann", respond.acknowledge)
    both.be_well()
    both.forward(minutes=15)
    assert both.world.incident().context is not None
    assert paged(both.world) == ["ann"]


def test_an_acknowledgement_ends_it_for_the_author_too(both: BothSides):
    later = """
    notification_rules:
      - {urgency: high, after: 0s, contact_method: hook}
      - {urgency: high, after: 3m, contact_method: mail}
"""
    cat = '      - {name: hook, channel: webhook, address: "https://phones.example.com/cat"}\n'
    mail = "      - {name: mail, channel: email, address: cat@example.com}"
    both.world.configure(PEOPLE.replace(cat, cat + mail + later), ROTA, service())
    breaks(both, "cat")
    assert paged(both.world) == ["ann", "cat"]
    both.world.act("ann", respond.acknowledge)
    both.forward(minutes=5)
    assert paged(both.world) == []
    assert [one.email for one in both.world.incident().assignees] == ["ann@example.com"]


def test_the_author_acknowledges_like_anybody(both: BothSides):
    breaks(both, "cat")
    assert {one.name for one in both.world.incident().assignees} == {"Ann", "Cat"}
    both.world.act("cat", respond.acknowledge)
    assert both.world.incident().acknowledged_by == "Cat"
    both.forward(minutes=30)
    assert paged(both.world) == ["ann", "cat"]


def test_while_it_is_held_nobody_is_paged_and_then_the_author_with_the_first_step(
    both: BothSides,
):
    hold = "page_suspect_author: true, noise: {hold: {for: 10m, priorities: [high]}}"
    both.world.configure(PEOPLE, ROTA, service(hold))
    breaks(both, "cat")
    both.forward(minutes=9)
    assert both.world.incident().context is not None
    assert paged(both.world) == []
    both.forward(minutes=1)
    assert paged(both.world) == ["ann", "cat"]
    assert both.said().count(SAID) == 1


def test_in_another_run_the_author_is_paged_again_with_its_first_step(both: BothSides):
    breaks(both, "cat")
    until = both.world.now + timedelta(minutes=30)
    both.world.act("ann", lambda by: respond.snooze(by, until))
    assert paged(both.world) == ["ann", "cat"]
    both.forward(minutes=31)
    assert paged(both.world) == ["ann", "cat"]
    assert both.said().count(SAID) == 2


def test_what_is_not_urgent_goes_by_the_rules_for_that(both: BothSides):
    silent = "    notification_rules: [{urgency: high, after: 0s, contact_method: hook}]\n"
    cat = '      - {name: hook, channel: webhook, address: "https://phones.example.com/cat"}\n'
    people = PEOPLE.replace(cat, cat + silent)
    quiet = service("page_suspect_author: true, urgency: {error: low, critical: low}")
    both.world.configure(people, ROTA, quiet)
    breaks(both, "cat")
    assert paged(both.world) == ["ann"]
    both.world.configure(PEOPLE, ROTA, quiet)
    breaks(both, "cat")
    assert paged(both.world) == ["ann", "cat"]


def test_where_everybody_must_acknowledge_nobody_waits_for_the_author(both: BothSides):
    both.world.configure(PEOPLE, ROTA.replace("wait: 5m}", "wait: 5m, everybody: true}"), service())
    breaks(both, "cat")
    both.world.act("ann", respond.acknowledge)
    assert both.world.incident().status == "acknowledged"


def test_the_first_page_costs_no_statement_more_for_it(both: BothSides):
    """What is asked for it comes with what Sentry answers, never before."""

    def cost() -> int:
        both.breaks(commits={"cat@example.com": "Round totals"})
        both.fetch()
        world = both.world
        with world.held(), statements(world.database) as seen:
            both.deliver_all()
            Inbox(world.database, world.plans, load_all()).work(world.now)
            world.look()
            found = len(seen)
        world.forget()
        return found

    cost()
    asked = cost()
    both.world.configure(PEOPLE, ROTA, service("page_suspect_author: false"))
    cost()
    assert cost() == asked
