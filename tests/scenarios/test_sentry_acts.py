"""What people do here is done in Sentry; what that brings about there is not taken for news."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.both_sides import FAULTS, BothSides, switches
from tests.fakes import FakeSentry
from tests.world import World
from tocsin.core.mirror import Done, Verdict
from tocsin.core.sentry import Acknowledging
from tocsin.store import jobs
from tocsin.store.jobs import Kind
from tocsin.work import respond
from tocsin.work.mirror import Mirror


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """Give a world where people may be told what became of what they were paged for."""
    yield world
    world.forget()


@pytest.fixture
def both(world: World, sentry: FakeSentry) -> BothSides:
    """Give a world joined with Sentry, everything switched on."""
    return BothSides.join(world, sentry)


def opened(both: BothSides) -> str:
    """Let an issue break, and its webhooks arrive."""
    issue = both.breaks()
    both.deliver_all()
    both.world.expect("ann")
    both.forward(seconds=1)
    return issue


def test_an_acknowledgement_here_assigns_the_issue_there(both: BothSides):
    issue = opened(both)
    both.world.act("ann", respond.acknowledge)
    assert both.issue(issue)["assignedTo"]["email"] == "ann@example.com"
    assert "assigned in Sentry to ann@example.com" in both.said()
    assert both.states() == [("assign", "done")]


def test_what_is_resolved_here_is_resolved_there(both: BothSides):
    issue = opened(both)
    both.world.act("bob", respond.resolve)
    assert both.issue(issue)["status"] == "resolved"
    assert both.said()[-1] == "resolved in Sentry"


def test_a_note_here_is_a_note_there(both: BothSides):
    issue = opened(both)
    both.world.act("ann", lambda by: respond.note(by, "Rolling back"))
    (note,) = both.issue(issue)["notes"]
    assert note["data"]["text"] == "Ann on incident #1 in Tocsin: Rolling back"


def test_what_is_snoozed_here_is_archived_there_until_then(both: BothSides):
    issue = opened(both)
    until = both.world.now + timedelta(hours=2)
    both.world.act("ann", lambda by: respond.snooze(by, until))
    there = both.issue(issue)
    assert there["status"] == "ignored"
    assert there["statusDetails"]["ignoreUntil"].startswith(f"{until:%Y-%m-%dT%H:%M}")
    both.deliver_all()
    assert both.world.incident().status == "snoozed"


def test_the_incident_is_linked_in_the_sidebar_of_the_issue(both: BothSides):
    issue = opened(both)
    (link,) = both.issue(issue)["links"]
    assert link["webUrl"] == "http://tocsin.test/incidents/1"
    assert link["displayName"] == "Tocsin#1"


def test_what_a_switch_leaves_off_is_not_done(world: World, sentry: FakeSentry):
    both = BothSides.join(world, sentry, switches())
    issue = opened(both)
    both.world.act("ann", respond.acknowledge)
    both.world.act("ann", lambda by: respond.note(by, "Looking"))
    both.world.act("ann", respond.resolve)
    both.world.forget()
    there = both.issue(issue)
    assert (there["status"], there["assignedTo"]) == ("unresolved", None)
    assert (there["notes"], there["links"]) == ([], [])
    assert both.states() == []


@pytest.mark.parametrize(
    ("acknowledge", "assigned", "notes"),
    [("off", False, 0), ("assign", True, 0), ("note", False, 1), ("both", True, 1)],
)
def test_an_acknowledgement_does_what_its_switch_says(
    world: World, sentry: FakeSentry, acknowledge: str, assigned: bool, notes: int
):
    both = BothSides.join(world, sentry, switches(acknowledge=Acknowledging(acknowledge)))
    issue = opened(both)
    both.world.act("ann", respond.acknowledge)
    there = both.issue(issue)
    assert (there["assignedTo"] is not None, len(there["notes"])) == (assigned, notes)


def test_what_sentry_tells_of_our_own_acts_changes_nothing(both: BothSides):
    opened(both)
    both.world.act("ann", respond.acknowledge)
    both.world.act("ann", lambda by: respond.note(by, "Rolling back"))
    both.world.act("ann", respond.resolve)
    before = both.said()
    both.fetch()
    told = [f"{one['resource']}.{one['action']}" for one in both.on_the_way]
    assert told == ["issue.assigned", "comment.created", "issue.resolved"]
    writes = both.writes()
    both.deliver_all()
    both.world.forget()
    assert both.outcomes()[-3:] == [("none", "duplicate")] * 3
    assert {one.reason for one in both.world.deliveries()[-3:]} == {
        "echo of what Tocsin did in Sentry"
    }
    assert both.said() == before
    assert both.writes() == writes


def test_the_same_done_by_a_person_there_is_news(both: BothSides):
    issue = opened(both)
    both.sentry.act(issue, "resolve", by="bob")
    both.deliver_all()
    assert both.world.incident().status == "resolved"
    assert both.states() == []


def test_another_application_is_not_our_echo(both: BothSides):
    """It is told apart by its id, although it does just what we did."""
    opened(both)
    both.world.act("ann", respond.acknowledge)
    both.fetch()
    hook = both.on_the_way[0]
    assert hook["body"]["actor"]["type"] == "application"
    import base64
    import json

    hook["body"]["actor"]["id"] = "0ab12f70-9e3c-4b3f-8f0e-1d0e6a5d4c3b"
    hook["body_base64"] = base64.b64encode(json.dumps(hook["body"]).encode()).decode()
    both.deliver()
    assert both.outcomes()[-1] == ("note", "recorded")


def test_what_our_application_does_without_a_task_of_ours_is_news(both: BothSides):
    """Somebody uses its token for something else."""
    issue = opened(both)
    both.sentry.act(issue, "resolve", by=f"app:{both.app}")
    both.deliver_all()
    assert both.world.incident().status == "resolved"


def test_with_a_persons_token_an_echo_is_one_for_ten_minutes(world: World, sentry: FakeSentry):
    both = BothSides.join(world, sentry, as_person=True)
    issue = opened(both)
    both.world.act("ann", respond.resolve)
    both.forward(minutes=1)
    both.deliver_all()
    assert both.outcomes()[-1] == ("none", "duplicate")
    both.happens_again(issue)
    both.deliver_all()
    both.forward(minutes=15)
    both.sentry.act(issue, "resolve", by="ann")
    both.deliver_all()
    world.forget()
    assert both.world.incident(2).status == "resolved"


def test_a_persons_change_there_wins_over_an_older_one_here(both: BothSides):
    issue = opened(both)
    both.sentry.do("faults", away=True)
    both.world.act("ann", respond.resolve)
    both.forward(seconds=2)
    both.sentry.do("faults")
    both.sentry.act(issue, "ignore", by="bob")
    both.forward(minutes=1)
    assert both.issue(issue)["status"] == "ignored"
    assert both.states() == [("resolve", "dropped")]
    assert both.said()[-1] == "not resolved in Sentry: in Sentry it was set to archived by Bob"


def test_what_was_merged_into_another_there_is_left_alone(both: BothSides):
    """Its id leads to the other issue, which nobody here meant."""
    issue = opened(both)
    other = opened(both)
    both.sentry.act(issue, "merge", into=other)
    both.world.act("bob", respond.resolve)
    assert both.issue(other)["status"] == "unresolved"
    assert both.states() == [("resolve", "dropped")]
    assert both.said()[-1] == "not resolved in Sentry: in Sentry it was merged into BACKEND-2"


def test_an_assignment_there_wins_over_an_older_one_here(both: BothSides):
    issue = opened(both)
    both.sentry.do("faults", away=True)
    both.world.act("ann", respond.acknowledge)
    both.forward(seconds=2)
    both.sentry.do("faults")
    both.sentry.act(issue, "assign", by="bob", to="cat@example.com")
    both.forward(minutes=1)
    assert both.issue(issue)["assignedTo"]["email"] == "cat@example.com"
    assert both.said()[-1] == "not assigned in Sentry: in Sentry it was assigned to Cat since"


def test_what_came_back_here_is_not_resolved_there_too_late(both: BothSides):
    issue = opened(both)
    both.sentry.do("faults", away=True)
    both.world.act("ann", respond.resolve)
    both.forward(seconds=1)
    both.world.sentry("event_alert.triggered", int(issue))
    both.sentry.do("faults")
    both.forward(minutes=1)
    both.world.forget()
    assert both.issue(issue)["status"] == "unresolved"
    assert both.states() == [("resolve", "dropped")]


@pytest.mark.parametrize("tells_apps", [True, False])
def test_a_snooze_that_we_archived_for_can_be_resolved_here(both: BothSides, tells_apps: bool):
    """Also in a Sentry of before June 2025, where an application looks like a person."""
    both.sentry.do("settings", tells_apps=tells_apps)
    issue = opened(both)
    until = both.world.now + timedelta(hours=2)
    both.world.act("ann", lambda by: respond.snooze(by, until))
    both.forward(minutes=5)
    both.deliver_all()
    both.world.act("ann", respond.resolve)
    assert both.issue(issue)["status"] == "resolved"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_done_is_tried_again_and_then_done(both: BothSides, fault: dict):
    issue = opened(both)
    both.world.sentry_deadline = timedelta(seconds=0.3)
    both.sentry.do("faults", **fault)
    both.world.act("ann", respond.resolve)
    both.forward(seconds=6)
    assert both.states() == [("resolve", "pending")]
    (failed,) = [one for one in both.world.incident().timeline if one.kind == "error"]
    assert failed.text.startswith("could not be resolved in Sentry yet, and is tried again: ")
    both.be_well()
    both.world.sentry_deadline = timedelta(seconds=10)
    both.forward(minutes=15)
    assert both.issue(issue)["status"] == "resolved"
    assert both.said()[-1] == "resolved in Sentry"


def test_what_cannot_be_done_for_a_day_is_given_up_in_sight(both: BothSides):
    issue = opened(both)
    both.sentry.do("faults", status=500)
    both.world.act("ann", respond.resolve)
    both.forward(hours=25)
    both.sentry.do("faults")
    both.forward(minutes=20)
    assert both.issue(issue)["status"] == "unresolved"
    assert both.states() == [("resolve", "failed")]
    errors = [one.text for one in both.world.incident().timeline if one.kind == "error"]
    assert len(errors) == 2
    assert errors[-1].startswith("could not be resolved in Sentry: Sentry failed (HTTP 500)")
    assert "given up after" in errors[-1]


def test_what_the_token_may_not_do_is_given_up_at_once_with_the_scope(both: BothSides):
    opened(both)
    both.sentry.do("faults", status=403, method="PUT")
    both.world.act("ann", respond.resolve)
    assert both.states() == [("resolve", "failed")]
    assert "event:write" in both.said()[-1]


def test_whom_sentry_does_not_know_is_not_assigned_and_that_is_said(
    world: World, sentry: FakeSentry
):
    both = BothSides.join(world, sentry)
    opened(both)
    both.sentry.do("faults", status=400, method="PUT")
    both.world.act("ann", respond.acknowledge)
    assert both.states() == [("assign", "failed")]
    assert "Sentry does not assign it to ann@example.com" in both.said()[-1]


def test_a_try_whose_answer_was_lost_is_not_done_twice(both: BothSides):
    """Sentry heard the note; we never knew."""
    issue = opened(both)
    both.sentry.do("faults", away=True, path="/notes/")
    both.world.act("ann", lambda by: respond.note(by, "Looking"))
    both.sentry.act(issue, "note", by=f"app:{both.app}",
                    text="Ann on incident #1 in Tocsin: Looking")  # fmt: skip
    both.sentry.do("faults")
    both.forward(minutes=1)
    assert len(both.issue(issue)["notes"]) == 1
    assert both.states() == [("note", "done")]


def test_a_note_that_cannot_be_written_stops_no_change(both: BothSides):
    issue = opened(both)
    both.sentry.do("faults", status=500, path="/notes/")
    both.world.act("ann", lambda by: respond.note(by, "Looking"))
    both.world.act("ann", respond.resolve)
    both.forward(minutes=1)
    assert both.issue(issue)["status"] == "resolved"
    assert ("note", "pending") in both.states()


def test_acts_on_one_issue_keep_their_order(both: BothSides):
    issue = opened(both)
    both.sentry.do("faults", away=True, count=1, method="PUT")
    until = both.world.now + timedelta(hours=2)
    both.world.act("ann", lambda by: respond.snooze(by, until))
    both.world.act("ann", respond.acknowledge)
    both.world.act("ann", respond.resolve)
    both.forward(minutes=5)
    there = both.issue(issue)
    assert there["status"] == "resolved"
    assert both.states()[-1] == ("resolve", "done")
    assert [state for _, state in both.states()[:2]] == ["dropped", "dropped"]


def test_a_token_that_cannot_be_opened_holds_up_no_other_organisation(both: BothSides):
    issue = opened(both)
    sealed = both.seal_off()
    both.world.database.run(lambda c: jobs.put(c, [(Kind.SENTRY, sealed, both.world.now)]))
    both.world.act("ann", respond.acknowledge)
    assert both.issue(issue)["assignedTo"]["email"] == "ann@example.com"


def test_what_was_to_be_done_when_disconnected_is_dropped(both: BothSides):
    from tocsin.store import sentry as connections

    opened(both)
    both.sentry.do("faults", away=True)
    both.world.act("ann", respond.resolve)
    both.world.database.run(lambda c: connections.remove(c, both.connection_id, both.world.now))
    both.forward(minutes=1)
    assert both.states() == [("resolve", "dropped")]


def test_what_is_done_while_the_first_is_under_way_is_done_right_after_it(both: BothSides):
    """Of one issue one thing at a time; the next does not wait for the lease of the one before."""
    issue = opened(both)
    world = both.world
    mirror = Mirror(world.database, world.plans, world.vault, "http://tocsin.test")
    with world.held():
        world.act("ann", lambda by: respond.note(by, "First"))
        (batch,) = mirror.begin(world.now)
        world.now += timedelta(seconds=1)
        world.act("ann", lambda by: respond.note(by, "Second"))
        assert mirror.begin(world.now) == []
        done = [Done(task=order.task, verdict=Verdict.DO) for order in batch.orders]
        mirror.finish(batch, done, world.now)
        (second,) = mirror.begin(world.now)
    assert [order.task.payload["text"] for order in second.orders] == [
        "Ann on incident #1 in Tocsin: Second"
    ]
    assert {order.task.issue_id for order in second.orders} == {issue}
