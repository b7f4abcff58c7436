"""What Sentry's webhooks lost is found by asking, once, and is told apart from what came."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.both_sides import FAULTS, BothSides, switches
from tests.fakes import FakeSentry
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.reconcile import CLOSER, EVERY, FOUND
from tocsin.dialects import load_all
from tocsin.sentry.looking import Over, Seen
from tocsin.sentry.reading import stand_of
from tocsin.store.jobs import Kind
from tocsin.store.missing import lost_count
from tocsin.store.tables import jobs, sentry_connections
from tocsin.work import respond
from tocsin.work.intake import Inbox
from tocsin.work.reconcile import Reconciler, arm

ALL_FAULTS = {**FAULTS, "404": {"status": 404}, "403": {"status": 403}}

LOOK = {"minutes": EVERY.total_seconds() / 60}


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


def lost(both: BothSides) -> int:
    with both.world.database.read() as connection:
        integration = next(iter(both.world.plans.current(connection).integrations))
        return lost_count(connection, integration, both.world.now)


def statuses(both: BothSides) -> list[str]:
    return [one.status for one in both.world.incidents()]


def test_a_new_issue_whose_webhooks_were_lost_is_found_and_pages(both: BothSides):
    both.breaks(title="KeyError: 'total'")
    assert both.lose_all() == ["event_alert.triggered", "issue.created"]
    both.forward(minutes=10)
    page = both.world.expect("ann")
    assert page.title == "KeyError: 'total'"
    (delivery,) = both.world.deliveries()
    assert (delivery.url_style, delivery.reason, delivery.outcome) == (
        "reconcile", FOUND, "triggered",
    )  # fmt: skip
    assert both.said()[0] == f"a new issue in Sentry ({FOUND})"
    assert lost(both) == 1


def test_asking_again_finds_it_once(both: BothSides):
    both.breaks()
    both.lose_all()
    both.forward(hours=3)
    both.world.expect("ann")
    both.world.forget()
    assert len(both.world.deliveries()) == 1
    assert lost(both) == 1


def test_what_may_still_be_on_its_way_is_waited_for(both: BothSides):
    both.forward(minutes=4)
    both.breaks()
    both.fetch()
    both.forward(seconds=100)
    assert both.world.deliveries() == []
    both.deliver_all()
    both.world.expect("ann")
    both.forward(**LOOK)
    both.world.forget()
    assert lost(both) == 0


def test_what_was_resolved_there_is_resolved_here(both: BothSides):
    issue = opened(both)
    both.sentry.act(issue, "resolve", by="bob")
    both.lose_all()
    both.forward(**LOOK)
    assert statuses(both) == ["resolved"]
    assert both.said()[-1] == f"resolved in Sentry ({FOUND})"
    assert lost(both) == 1


def test_what_was_archived_there_is_resolved_here(both: BothSides):
    issue = opened(both)
    both.sentry.act(issue, "ignore", by="bob")
    both.lose_all()
    both.forward(**LOOK)
    assert statuses(both) == ["resolved"]


def test_what_was_deleted_there_is_resolved_here(both: BothSides):
    issue = opened(both)
    both.sentry.act(issue, "delete")
    both.forward(**LOOK)
    assert statuses(both) == ["resolved"]
    assert both.said()[-1] == f"resolved in Sentry (deleted) ({FOUND})"


def test_what_was_merged_into_another_there_is_resolved_here(both: BothSides):
    issue = opened(both)
    other = opened(both)
    both.sentry.act(issue, "merge", into=other)
    both.forward(**LOOK)
    assert statuses(both) == ["resolved", "triggered"]
    assert both.said()[-1] == f"resolved in Sentry (merged into BACKEND-2) ({FOUND})"
    both.forward(hours=1)
    assert statuses(both) == ["resolved", "triggered"]


def test_what_was_merged_into_what_is_resolved_says_so_too(both: BothSides):
    """Its id leads to the other one, which has a state of its own."""
    issue = opened(both)
    other = opened(both)
    both.sentry.act(other, "resolve", by="bob")
    both.deliver_all()
    both.sentry.act(issue, "merge", into=other)
    both.forward(**LOOK)
    assert both.said()[-1] == f"resolved in Sentry (merged into BACKEND-2) ({FOUND})"


def test_what_we_archived_for_a_snooze_is_not_resolved(both: BothSides):
    opened(both)
    until = both.world.now + timedelta(hours=2)
    both.world.act("ann", lambda by: respond.snooze(by, until))
    both.lose_all()
    both.forward(minutes=30)
    assert statuses(both) == ["snoozed"]
    assert lost(both) == 0


def test_a_regression_whose_webhooks_were_lost_is_found(both: BothSides):
    issue = opened(both)
    both.sentry.act(issue, "resolve", by="bob")
    both.deliver_all()
    both.forward(minutes=1)
    both.happens_again(issue)
    both.lose_all()
    both.world.forget()
    both.forward(minutes=10)
    both.world.expect("ann")
    assert statuses(both) == ["resolved", "triggered"]
    assert both.said(2)[0] == f"unresolved in Sentry (regressed) ({FOUND})"


def test_what_a_person_reopened_there_is_found(both: BothSides):
    """Without another event: nothing but its past tells."""
    issue = opened(both)
    both.sentry.act(issue, "resolve", by="bob")
    both.deliver_all()
    both.forward(minutes=1)
    both.sentry.act(issue, "unresolve", by="bob")
    both.lose_all()
    both.world.forget()
    both.forward(minutes=10)
    both.world.expect("ann")
    assert statuses(both) == ["resolved", "triggered"]


def test_what_a_person_resolved_here_alone_stays_so(world: World, sentry: FakeSentry):
    """Its issue is unresolved as it was, and goes on happening: that is no lost webhook."""
    both = BothSides.join(world, sentry, switches())
    issue = opened(both)
    world.act("bob", respond.resolve)
    world.forget()
    both.happens_again(issue)
    both.lose_all()
    both.forward(hours=1)
    assert statuses(both) == ["resolved"]
    assert lost(both) == 0


def test_webhooks_in_the_wrong_order_are_put_right(both: BothSides):
    """Resolved comes after the regression that followed it."""
    issue = opened(both)
    both.sentry.act(issue, "resolve", by="bob")
    both.forward(seconds=10)
    both.happens_again(issue)
    both.fetch()
    told = [f"{one['resource']}.{one['action']}" for one in both.on_the_way]
    assert told == ["issue.resolved", "issue.unresolved"]
    both.deliver(1)
    both.deliver(0)
    assert statuses(both) == ["resolved"]
    both.world.forget()
    both.forward(minutes=10)
    both.world.expect("ann")
    assert statuses(both) == ["resolved", "triggered"]


def test_what_was_there_before_the_connection_is_left_alone(world: World, sentry: FakeSentry):
    sentry.stop_clock(world.now)
    sentry.do("webhooks", sending=False)
    sentry.issue(project="backend")
    sentry.stop_clock(world.now + timedelta(minutes=1))
    world.now += timedelta(minutes=1)
    both = BothSides.join(world, sentry)
    both.forward(hours=1)
    assert world.incidents() == []


def test_what_is_lost_of_a_project_without_our_rule_is_found_too(both: BothSides):
    """The `issue` webhooks are those of the whole organisation."""
    both.breaks(project="frontend")
    assert both.lose_all() == ["issue.created"]
    both.forward(minutes=10)
    both.world.expect("ann")
    assert lost(both) == 1


def test_what_is_known_here_of_a_project_without_our_rule_is_compared_too(both: BothSides):
    issue = both.breaks(project="frontend")
    both.deliver_all()
    both.world.expect("ann")
    both.sentry.act(issue, "resolve", by="bob")
    both.deliver_all()
    both.forward(minutes=1)
    both.happens_again(issue)
    assert both.lose_all() == ["issue.unresolved"]
    both.world.forget()
    both.forward(minutes=10)
    both.world.expect("ann")
    assert statuses(both) == ["resolved", "triggered"]


@pytest.mark.parametrize("is_there", [True, False], ids=["a rule that filters", "a rule deleted"])
def test_a_rule_decides_nothing_where_the_issue_webhooks_page(both: BothSides, is_there: bool):
    """What its filter lets past and what is told of no more by it, `issue.created` still tells."""
    (rule,) = both.sentry.state()["rules"]
    path, person = f"/api/0/projects/acme/backend/rules/{rule['id']}/", both.sentry.token()
    level = {"id": "sentry.rules.filters.level.LevelFilter", "match": "gte", "level": "50"}
    changed = {**rule, "filters": [level]} if is_there else None
    both.sentry.ask("PUT" if is_there else "DELETE", path, changed, person)
    both.breaks(level="warning")
    assert both.lose_all() == ["issue.created"]
    both.forward(minutes=10)
    both.world.expect("ann")


def test_what_no_webhook_would_have_opened_is_not_missing(world: World, sentry: FakeSentry):
    """New issues are left to the rules, and Sentry alone knows what their filters let through."""
    world.configure(PEOPLE, ONE_STEP, overriding("issue.created: none"))
    both = BothSides.join(world, sentry)
    issue = both.breaks()
    both.breaks(project="frontend")
    both.lose_all()
    both.forward(hours=1)
    assert (world.incidents(), world.deliveries()) == ([], [])
    both.sentry.act(issue, "resolve", by="bob")
    both.forward(minutes=1)
    both.happens_again(issue)
    both.lose_all()
    both.forward(minutes=10)
    world.expect("ann")
    assert both.said()[0] == f"unresolved in Sentry (regressed) ({FOUND})"


def overriding(actions: str) -> str:
    """Return the service, with an integration whose own table has these actions."""
    table = f"overrides: {{action: {{{actions}}}}}, routing_key:"
    return SERVICE.replace("routing_key:", table)


def test_routes_hold_for_what_is_found(world: World, sentry: FakeSentry):
    routed = SERVICE.replace(
        "routing_key:", "routes: [{project: backend, verb: none}], routing_key:"
    )
    world.configure(PEOPLE, ONE_STEP, routed)
    both = BothSides.join(world, sentry)
    both.breaks()
    both.lose_all()
    both.forward(hours=1)
    assert world.incidents() == []
    assert lost(both) == 0


def test_a_page_of_a_list_is_not_the_end_of_it(both: BothSides):
    both.sentry.do("settings", page_size=2)
    for number in range(7):
        both.breaks(title=f"E: {number}")
        both.forward(seconds=1)
    both.lose_all()
    both.forward(minutes=10)
    assert len(both.world.incidents()) == 7
    both.world.forget()


def test_one_look_is_bounded_and_the_next_goes_on_where_it_stopped(both: BothSides):
    both.sentry.do("settings", page_size=1)
    for number in range(14):
        both.breaks(title=f"E: {number}")
    both.lose_all()
    both.sentry.do("forget")
    both.forward(minutes=9, seconds=59)
    first = len(both.world.incidents())
    listed = [path for _, path in both.sentry.requests("GET") if "is%3Aunresolved" in path]
    assert 0 < first < 14
    assert len(listed) <= 10 * 2
    both.forward(minutes=20)
    assert len(both.world.incidents()) == 14
    both.world.forget()


def test_open_issues_are_asked_for_some_at_a_time(both: BothSides):
    issues = [both.breaks(title=f"E: {number}") for number in range(CLOSER + 5)]
    both.deliver_all()
    both.world.forget()
    for issue in issues:
        both.sentry.act(issue, "resolve", by="bob")
    both.lose_all()
    both.forward(minutes=15)
    assert set(statuses(both)) == {"resolved"}
    both.world.forget()


@pytest.mark.parametrize("fault", ALL_FAULTS.values(), ids=ALL_FAULTS)
def test_a_sentry_that_cannot_be_asked_changes_nothing_and_is_asked_again(
    both: BothSides, fault: dict
):
    """Not even 404 for all there is: the organisation was renamed, nothing was deleted."""
    issue = opened(both)
    both.world.sentry_deadline = timedelta(seconds=0.3)
    both.sentry.do("faults", **fault)
    both.forward(hours=5)
    assert statuses(both) == ["triggered"]
    with both.world.database.read() as connection:
        row = connection.execute(select(sentry_connections)).mappings().one()
    assert row["error"]
    assert row["error_at"] == row["looked_at"] + timedelta(minutes=5)
    both.be_well()
    both.world.sentry_deadline = timedelta(seconds=10)
    both.sentry.act(issue, "resolve", by="bob")
    both.lose_all()
    both.forward(hours=1)
    assert statuses(both) == ["resolved"]
    with both.world.database.read() as connection:
        row = connection.execute(select(sentry_connections)).mappings().one()
    assert (row["error"], row["error_at"]) == (None, None)
    both.world.forget()


@pytest.mark.parametrize("status", [400, 403, 500])
def test_one_issue_that_cannot_be_asked_for_holds_up_no_other(both: BothSides, status: int):
    stuck, over, back, stuck_too = (opened(both) for _ in range(4))
    for issue in (back, stuck_too):
        both.sentry.act(issue, "resolve", by="bob")
    both.deliver_all()
    both.forward(minutes=1)
    for issue in (stuck, over):
        both.sentry.act(issue, "resolve", by="bob")
    for issue in (back, stuck_too):
        both.happens_again(issue)
    both.lose_all()
    both.world.forget()
    both.sentry.do("faults", status=status, path=f"/issues/({stuck}|{stuck_too})/")
    both.forward(minutes=10)
    assert statuses(both) == ["triggered", "resolved", "resolved", "resolved", "triggered"]
    with both.world.database.read() as connection:
        assert connection.scalar(select(sentry_connections.c.error)) is None
    both.be_well()
    both.forward(**LOOK)
    assert statuses(both)[0] == "resolved"
    assert statuses(both)[-1] == "triggered"
    assert len(statuses(both)) == 6
    both.world.forget()


@pytest.mark.parametrize("is_understood", [True, False])
def test_what_came_in_while_sentry_was_asked_is_newer_than_its_answer(
    both: BothSides, is_understood: bool
):
    """The answer says resolved; the regression is here before it, understood or still waiting."""
    issue = opened(both)
    world = both.world
    both.forward(minutes=1)
    reconciler = Reconciler(world.database, world.plans, world.vault, load_all())
    world.database.run(lambda c: arm(c, world.now, at_once=True))
    (question,) = reconciler.begin(world.now)
    both.sentry.act(issue, "resolve", by="bob")
    answer = world._runner.run(_ask(both, question.place, issue))
    over = Over(issue_id=issue, stand=stand_of(answer), raw=bytes(answer.raw))
    both._at(world.now + timedelta(seconds=1))
    with world.held():
        world.sentry("issue.unresolved", int(issue))
        if is_understood:
            Inbox(world.database, world.plans, load_all()).work(world.now)
        reconciler.finish(question, Seen(over=[over]), world.now)
    assert statuses(both) == ["triggered"]
    found = [one for one in world.deliveries() if one.url_style == "reconcile"]
    assert [one.outcome for one in found] == ([] if is_understood else ["ignored"])


def test_what_was_newer_than_an_answer_is_looked_at_again(both: BothSides):
    """A late webhook opens, at the instant of a look, what is resolved there: not for good."""
    issue = opened(both)
    both.sentry.act(issue, "resolve", by="bob")
    both.deliver_all()
    world = both.world
    with world.held():
        world.sentry("issue.unresolved", int(issue))
        world.database.run(lambda c: arm(c, world.now, at_once=True))
    assert statuses(both) == ["resolved", "triggered"]
    both.forward(minutes=10)
    assert statuses(both) == ["resolved", "resolved"]


async def _ask(both: BothSides, place, issue):
    return await both.world._to_sentry(place).issue(issue)


def test_one_organisation_that_does_not_answer_holds_up_no_other(world: World, sentry: FakeSentry):
    """Each has a job of its own, and goes its own way."""
    from tocsin.store import sentry as connections
    from tocsin.store.sentry import Opening

    world.configure(
        PEOPLE,
        ONE_STEP,
        SERVICE + "  - {name: other, service: checkout, routing_key: another-routing-key}\n",
    )
    both = BothSides.join(world, sentry)
    other = next(i for i in world.plans.refresh().integrations.values() if i.name == "other")
    opening = Opening(
        host="http://127.0.0.1:9", organization="gone", token="t", scopes=(),
        actor_type=None, actor_id=None,
    )  # fmt: skip
    world.database.run(lambda c: connections.put(c, world.vault, other.id, opening, world.now))
    both.breaks()
    both.lose_all()
    both.forward(minutes=10)
    world.expect("ann")
    with world.database.read() as connection:
        errors = dict(
            connection.execute(
                select(sentry_connections.c.organization, sentry_connections.c.error)
            ).all()
        )
    assert errors["acme"] is None
    assert "cannot be reached" in errors["gone"]


def test_a_token_that_cannot_be_opened_holds_up_no_other_organisation(both: BothSides):
    sealed = both.seal_off()
    both.world.database.run(lambda c: arm(c, both.world.now, at_once=True))
    both.breaks()
    both.lose_all()
    both.forward(minutes=10)
    both.world.expect("ann")
    with both.world.database.read() as connection:
        columns = sentry_connections.c
        errors = dict(connection.execute(select(columns.id, columns.error)).all())
    assert errors[both.connection_id] is None
    assert "the secret keys do not open its token" in errors[sealed]


def test_each_start_asks_at_once(both: BothSides):
    world = both.world
    both.forward(minutes=1)
    world.database.run(lambda c: arm(c, world.now, at_once=True))
    with world.database.read() as connection:
        due = connection.scalar(select(jobs.c.due_at).where(jobs.c.kind == Kind.RECONCILE.value))
    assert due == world.now


# -- quiet ----------------------------------------------------------------------------------------

QUIET = SERVICE.replace(
    "escalation_policy: default", "escalation_policy: default, noise: {resolve_when_quiet_for: 1h}"
)


@pytest.fixture
def ending(both: BothSides) -> BothSides:
    """Give a world where an incident resolves when Sentry was quiet about it for an hour."""
    both.world.configure(PEOPLE, ONE_STEP, QUIET)
    return both


def test_what_goes_on_in_sentry_is_not_quiet_though_no_webhook_tells(ending: BothSides):
    issue = opened(ending)
    for _ in range(6):
        ending.forward(minutes=20)
        ending.happens_again(issue)
        ending.lose_all()
    ending.forward(minutes=55)
    assert statuses(ending) == ["triggered"]
    ending.forward(minutes=15)
    assert statuses(ending) == ["resolved"]
    assert "Sentry was quiet about it for 1h" in ending.said()
    assert [one.action for one in ending.world.deliveries()].count("unresolved") == 0


def test_what_happened_since_sentry_was_last_asked_is_not_missed(ending: BothSides):
    """It is asked once more before it is believed."""
    issue = opened(ending)
    ending.forward(minutes=59)
    ending.happens_again(issue)
    ending.lose_all()
    ending.forward(minutes=30)
    assert statuses(ending) == ["triggered"]


def test_what_is_too_far_down_the_list_is_asked_for_by_itself(
    ending: BothSides, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tocsin.sentry.looking.PAGES", 0)
    issue = opened(ending)
    ending.forward(minutes=40)
    ending.happens_again(issue)
    ending.lose_all()
    ending.forward(minutes=45)
    assert statuses(ending) == ["triggered"]
    ending.forward(minutes=30)
    assert statuses(ending) == ["resolved"]


def test_a_sentry_that_cannot_be_asked_is_waited_for_once_as_long(ending: BothSides):
    opened(ending)
    ending.sentry.do("faults", away=True)
    ending.forward(minutes=110)
    assert statuses(ending) == ["triggered"]
    ending.forward(minutes=15)
    assert statuses(ending) == ["resolved"]


# -- only recorded --------------------------------------------------------------------------------

WARY = SERVICE.replace(
    "escalation_policy: default", "escalation_policy: default, noise: {first_sight: record}"
)


@pytest.fixture
def wary(both: BothSides) -> BothSides:
    """Give a world where a new issue is recorded, and pages when it comes back."""
    both.world.configure(PEOPLE, ONE_STEP, WARY)
    return both


def test_a_regression_of_what_was_only_recorded_is_found_though_its_end_was_lost(wary: BothSides):
    issue = wary.breaks()
    wary.deliver_all()
    wary.sentry.act(issue, "resolve", by="bob")
    assert wary.lose_all() == ["issue.resolved"]
    wary.forward(minutes=1)
    wary.happens_again(issue)
    assert wary.lose_all() == ["issue.unresolved"]
    wary.forward(minutes=10)
    wary.world.expect("ann")
    assert wary.said()[0] == f"unresolved in Sentry (regressed) ({FOUND})"
    wary.forward(hours=1)
    wary.world.forget()
    assert lost(wary) == 1


def test_what_was_only_recorded_and_goes_on_stays_so(wary: BothSides):
    issue = wary.breaks()
    wary.deliver_all()
    for _ in range(3):
        wary.forward(minutes=10)
        wary.happens_again(issue)
        wary.lose_all()
    wary.forward(hours=1)
    assert wary.world.incidents() == []
    assert lost(wary) == 0
