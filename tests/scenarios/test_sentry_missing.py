"""What counts as missing when Sentry is asked, and what does not, however things have changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.both_sides import BothSides
from tests.fakes import FakeSentry
from tests.scenarios.test_sentry_reconcile import lost, overriding, statuses
from tests.world import KEY, ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.reconcile import EVERY
from tocsin.sentry.sender import Issue, webhook
from tocsin.store import sentry as connections
from tocsin.store.sentry import Opening, RuleMade, SentryConnection

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


def connected(both: BothSides) -> SentryConnection:
    with both.world.database.read() as connection:
        found = connections.find(connection, both.world.vault, both.connection_id)
    assert found is not None
    return found


def connect(both: BothSides, **changes: str) -> None:
    """Connect the integration once more: with another token, another organisation."""
    known = connected(both)
    there = {"host": known.host, "organization": known.organization, "token": known.token}
    opening = Opening(scopes=(), actor_type=None, actor_id=None, **{**there, **changes})
    world = both.world
    both.connection_id = world.database.run(
        lambda c: connections.put(c, world.vault, known.integration_id, opening, world.now)
    )


# -- categories -----------------------------------------------------------------------------------

SLOW = {"category": "db_query", "type": "performance_slow_db_query", "level": "info"}


def test_what_sentry_never_tells_of_is_not_missing(both: BothSides):
    """Of what is no error it sends no ``issue.created``, and there is no rule of ours."""
    both.breaks(project="frontend", **SLOW)
    assert both.lose_all() == []
    both.forward(hours=1)
    assert (both.world.incidents(), both.world.deliveries()) == ([], [])
    assert lost(both) == 0


def test_what_is_no_error_is_missing_where_a_rule_of_ours_tells_of_it(both: BothSides):
    both.breaks(project="backend", **SLOW)
    assert both.lose_all() == ["event_alert.triggered"]
    both.forward(minutes=10)
    both.world.expect("ann")
    assert lost(both) == 1


def test_what_is_no_error_and_came_back_is_missing_wherever_it_is(both: BothSides):
    issue = both.breaks(project="frontend", **SLOW)
    both.sentry.act(issue, "resolve", by="bob")
    both.forward(minutes=1)
    both.happens_again(issue)
    assert both.lose_all()[-1] == "issue.unresolved"
    both.forward(minutes=10)
    both.world.expect("ann")


def test_a_rule_tells_nothing_of_what_was_there_before_it(both: BothSides):
    before = both.breaks(project="frontend", **SLOW)
    both.forward(days=2)
    world, rules = both.world, connected(both).rules
    added = RuleMade(project="frontend", rule_id="77", since=world.now)
    world.database.run(lambda c: connections.set_rules(c, both.connection_id, [*rules, added]))
    both.forward(minutes=1)
    after = both.breaks(project="frontend", **SLOW)
    both.lose_all()
    both.forward(minutes=10)
    world.expect("ann")
    assert [one.dedup_key for one in world.incidents()] == [f"sentry:issue:{after}"]
    assert before != after


# -- what opened nothing before -------------------------------------------------------------------


def break_many(both: BothSides, count: int = 6) -> None:
    for number in range(count):
        both.breaks(project="frontend", title=f"E: {number}")
    both.lose_all()


def one_more_is_found(both: BothSides) -> None:
    """See that of what is new now nothing goes unnoticed."""
    issue = both.breaks(title="the one after")
    both.lose_all()
    both.forward(minutes=10)
    both.world.expect("ann")
    assert [one.dedup_key for one in both.world.incidents()] == [f"sentry:issue:{issue}"]


def test_new_issues_that_were_let_pass_are_not_missing_once_they_page_again(
    world: World, sentry: FakeSentry
):
    world.configure(PEOPLE, ONE_STEP, overriding("issue.created: none"))
    both = BothSides.join(world, sentry)
    break_many(both)
    both.forward(days=3)
    world.configure(PEOPLE, ONE_STEP, SERVICE)
    both.forward(minutes=10)
    assert (world.incidents(), lost(both)) == ([], 0)
    one_more_is_found(both)


def test_issues_of_the_weeks_when_it_was_disabled_are_not_missing(both: BothSides):
    world = both.world
    world.configure(
        PEOPLE, ONE_STEP, SERVICE.replace("routing_key:", "enabled: false, routing_key:")
    )
    both.forward(minutes=10)
    break_many(both)
    came_back = both.breaks(project="frontend", title="E: back")
    both.sentry.act(came_back, "resolve", by="bob")
    both.forward(minutes=1)
    both.happens_again(came_back)
    both.lose_all()
    both.forward(days=10)
    world.configure(PEOPLE, ONE_STEP, SERVICE)
    both.forward(minutes=10)
    assert (world.incidents(), lost(both)) == ([], 0)
    one_more_is_found(both)


def test_what_opens_as_before_does_so_since_the_connection_whatever_else_changed(
    world: World, sentry: FakeSentry
):
    """New issues page anew: of what came back before that, still nothing goes unnoticed."""
    world.configure(PEOPLE, ONE_STEP, overriding("issue.created: none"))
    both = BothSides.join(world, sentry)
    issue = both.breaks()
    both.sentry.act(issue, "resolve", by="bob")
    both.forward(minutes=7)
    both.happens_again(issue)
    both.lose_all()
    both.forward(seconds=30)
    world.configure(PEOPLE, ONE_STEP, SERVICE)
    both.forward(minutes=10)
    world.expect("ann")
    assert statuses(both) == ["triggered"]


# -- another token --------------------------------------------------------------------------------


def test_a_new_token_is_tried_at_once_however_long_the_old_one_failed(both: BothSides):
    both.breaks()
    both.lose_all()
    both.sentry.do("faults", status=401)
    both.forward(hours=3)
    assert (statuses(both), connected(both).error is None) == ([], False)
    both.be_well()
    connect(both, token=both.sentry.app_token(both.app))
    both.forward(seconds=1)
    both.world.expect("ann")
    assert connected(both).error is None


# -- another organisation -------------------------------------------------------------------------


def move(both: BothSides, organization: str) -> None:
    """Connect the integration with another organisation, which has the same people."""
    joins = [{"email": "ann@example.com", "role": "owner"}]
    both.sentry.do("organization", slug=organization, projects=["backend"], members=joins)
    token = both.sentry.token(organization=organization)
    connect(both, organization=organization, token=token)


def linked(world: World, link: str) -> None:
    """Let Sentry tell of an issue that this organisation does not have, by such a link."""
    body = webhook("issue", "created", Issue(id="999")).body
    said = body.replace(b"https://sentry.example.com/issues/999/", link.encode())
    world.post(f"/in/{KEY}", said, Sentry_Hook_Resource="issue")
    world.expect("ann")


def test_what_is_open_of_another_organisation_stays_so(both: BothSides):
    """The integration was moved: what the new organisation does not know was not deleted."""
    issue = both.breaks()
    both.deliver_all()
    both.world.expect("ann")
    both.forward(seconds=1)
    move(both, "other")
    both.sentry.do("forget")
    both.forward(hours=1)
    assert statuses(both) == ["triggered"]
    assert not [path for _, path in both.sentry.requests("GET") if f"/issues/{issue}/" in path]


def test_what_the_webhooks_of_another_organisation_opened_stays_so(both: BothSides):
    move(both, "other")
    both.breaks()
    both.deliver_all()
    both.world.expect("ann")
    both.forward(hours=1)
    assert statuses(both) == ["triggered"]


@pytest.mark.parametrize(
    ("link", "ends"),
    [
        ("{host}/organizations/acme/issues/999/", True),
        ("{host}/organizations/other/issues/999/", False),
        ("https://acme.sentry.io/issues/999/", False),
        ("https://sentry.example.com/organizations/acme/issues/999/", True),
        ("https://sentry.example.com/organizations/other/issues/999/", False),
        ("{host}/issues/999/", True),
    ],
)
def test_what_is_gone_was_deleted_unless_its_link_leads_elsewhere(
    both: BothSides, link: str, ends: bool
):
    """Sentry may be asked at another address than the one in its links."""
    linked(both.world, link.format(host=both.sentry.url))
    both.forward(hours=1)
    assert statuses(both) == ["resolved" if ends else "triggered"]


@pytest.mark.parametrize(
    ("link", "ends"),
    [
        ("{host}/organizations/acme/issues/999/", True),
        ("{host}/issues/999/", False),
        ("https://sentry.example.com/organizations/acme/issues/999/", False),
    ],
)
def test_what_was_open_before_the_connection_was_deleted_only_if_its_link_says_where_it_was(
    world: World, sentry: FakeSentry, link: str, ends: bool
):
    linked(world, link.format(host=sentry.url))
    world.forward(minutes=1)
    both = BothSides.join(world, sentry)
    both.forward(hours=1)
    assert statuses(both) == ["resolved" if ends else "triggered"]
