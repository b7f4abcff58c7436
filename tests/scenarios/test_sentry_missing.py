"""What counts as missing when Sentry is asked, and what does not, however things have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.both_sides import BothSides, switches
from tests.fakes import FakeSentry
from tests.scenarios.test_sentry_reconcile import lost, overriding, statuses
from tests.world import KEY, ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.reconcile import EVERY
from tocsin.sentry.client import Place
from tocsin.sentry.sender import Issue, webhook
from tocsin.store import sentry as connections
from tocsin.store.sentry import Opening, RuleMade, SentryConnection
from tocsin.work import respond

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
    both.forward(hours=2)
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
    both.forward(hours=2)
    world.configure(PEOPLE, ONE_STEP, SERVICE)
    both.forward(minutes=10)
    assert (world.incidents(), lost(both)) == ([], 0)
    one_more_is_found(both)


def test_issues_of_the_hours_when_it_was_disabled_are_not_missing(both: BothSides):
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
    both.forward(hours=3)
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


# -- a look that is cut short ---------------------------------------------------------------------


class Slowly:
    """The way to a Sentry that takes long: the clock of the loop goes on by as much."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
        loop = world._runner.get_loop()
        real, self._seconds, self._passed = loop.time, seconds, 0.0
        assert world._sentries is not None
        self._lines = world._sentries
        monkeypatch.setattr(loop, "time", lambda: real() + self._passed)
        monkeypatch.setattr(world, "_sentries", self)

    def to(self, place: Place, **options: Any) -> Any:
        """Return a client for a place, which takes its time."""
        asked = self._lines.to(place, **options)
        calls = {name: self._slowed(name, getattr(asked, name)) for name in self._seconds}
        return SimpleNamespace(**calls)

    def _slowed(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def slowed(*args: Any, **options: Any) -> Any:
            self._passed += self._seconds[name]
            for _ in range(3):
                # Whose time is up by now is told so.
                await asyncio.sleep(0)
            return await call(*args, **options)

        return slowed


def test_a_slow_sentry_is_still_asked_how_those_stand_that_are_open_here(
    world: World, sentry: FakeSentry, monkeypatch: pytest.MonkeyPatch
):
    """However many there are that people resolved here alone, which may have come back."""
    both = BothSides.join(world, sentry, switches())
    sentry.do("settings", page_size=2)
    over, *others = [both.breaks(title=f"E: {number}") for number in range(15)]
    both.deliver_all()
    for number in range(2, 16):
        world.act("bob", respond.resolve, number)
    both.forward(minutes=1)
    for issue in others:
        both.happens_again(issue)
    sentry.act(over, "resolve", by="bob")
    both.lose_all()
    both.forward(seconds=1)
    Slowly(world, monkeypatch, issues=4, issue=9)
    both.forward(minutes=9)
    assert statuses(both) == ["resolved"] * 15
    known = connected(both)
    assert (known.error, known.looked_at) == (None, known.seen_until)


def test_a_look_that_ends_early_keeps_how_far_it_came(
    both: BothSides, monkeypatch: pytest.MonkeyPatch
):
    """Else the next one would come no further, for as long as one thing goes wrong."""
    monkeypatch.setattr("tocsin.sentry.looking.PAGES", 1)
    both.sentry.do("settings", page_size=2)
    stuck = both.breaks(title="stuck")
    both.deliver_all()
    both.sentry.act(stuck, "resolve", by="bob")
    for number in range(9):
        both.breaks(title=f"E: {number}")
    both.lose_all()
    both.sentry.do("faults", away=True, path=f"/issues/{stuck}/")
    both.forward(hours=4)
    assert statuses(both) == ["triggered"] * 10
    assert connected(both).error is not None


def test_a_look_begins_with_another_part_after_each_that_ended_early(
    both: BothSides, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tocsin.sentry.looking.PAGES", 1)
    both.sentry.do("settings", page_size=1)
    over = both.breaks(title="over")
    both.deliver_all()
    both.sentry.act(over, "resolve", by="bob")
    for number in range(3):
        both.breaks(project="frontend", title=f"E: {number}")
    both.lose_all()
    both.sentry.do("faults", away=True, path="cursor=")
    both.forward(minutes=10)
    assert statuses(both)[0] == "resolved"
    assert connected(both).error is not None
