"""What Sentry knows of an event is read once, after the page, and helps whoever is paged next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import select

from tests.both_sides import FAULTS, BothSides
from tests.counting import statements
from tests.fakes import FakeSentry
from tests.world import PEOPLE, SERVICE, World
from tocsin.core.mirror import Act
from tocsin.sentry.client import Lines
from tocsin.store.tables import notifications, sentry_tasks
from tocsin.work import respond

TWO_STEPS = """
escalation_policies:
  - name: default
    steps:
      - {targets: [{user: ann@example.com}], wait: 5m}
      - {targets: [{user: bob@example.com}], wait: 5m}
"""

BROKEN = {
    "release": "backend@2.7.1",
    "commits": {"cat@example.com": "Round totals\n\nfor real"},
    "owners": ["bob@example.com"],
}


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """Give a world where people may be told what became of what they were paged for."""
    world.configure(PEOPLE, TWO_STEPS, SERVICE)
    yield world
    world.forget()


@pytest.fixture
def both(world: World, sentry: FakeSentry) -> BothSides:
    return BothSides.join(world, sentry)


def test_the_latest_event_stands_beside_the_incident(both: BothSides):
    both.breaks(**BROKEN)
    both.deliver_all()
    context = both.world.incident().context
    assert context is not None
    assert context.exception == "ZeroDivisionError: division by zero"
    assert context.frames == ("checkout/views.py:42 in charge",)
    assert (context.release, context.environment) == ("backend@2.7.1", "production")
    assert context.owners == ("Bob",)
    (suspect,) = context.suspects
    assert (suspect.name, suspect.email, suspect.commit, suspect.message) == (
        "Cat", "cat@example.com", "a1b2c3d", "Round totals",
    )  # fmt: skip
    both.world.forget()


def test_whoever_is_paged_next_reads_where_it_broke(both: BothSides):
    """The first page does not wait for it."""
    both.breaks(**BROKEN)
    both.deliver_all()
    assert "Where" not in both.world.expect("ann").message.text
    both.forward(minutes=5)
    lines = both.world.expect("bob").message.text.splitlines()
    assert "Where      checkout/views.py:42 in charge" in lines
    assert "Release    backend@2.7.1 (production)" in lines
    assert "Suspect    Cat: Round totals" in lines
    assert "Owners     Bob" in lines
    assert lines[lines.index("Owners     Bob") + 1].startswith("Why you    ")


def test_programs_are_told_it_too(both: BothSides):
    import msgspec

    both.breaks(**BROKEN)
    both.deliver_all()
    assert "context" not in msgspec.json.decode(both.world.expect("ann").message.document)["data"]
    both.forward(minutes=5)
    told = msgspec.json.decode(both.world.expect("bob").message.document)["data"]["context"]
    assert told["frames"] == ["checkout/views.py:42 in charge"]
    assert told["suspects"][0]["email"] == "cat@example.com"


def test_it_is_asked_for_in_the_transaction_that_writes_the_page_and_not_before(both: BothSides):
    both.breaks()
    both.fetch()
    with both.world.held():
        both.deliver_all()
        _inbox(both.world)
        assert both.tasks() == []
        assert pages(both.world) == 0
        both.world.look()
        assert {one["act"] for one in both.tasks()} == {"link", "context"}
        assert pages(both.world) == 1
    both.world.forget()


def _inbox(world: World) -> None:
    from tocsin.dialects import load_all
    from tocsin.work.intake import Inbox

    Inbox(world.database, world.plans, load_all()).work(world.now)


def pages(world: World) -> int:
    with world.database.read() as connection:
        return len(connection.execute(select(notifications.c.id)).all())


def test_it_is_read_once_however_often_it_pages(both: BothSides):
    both.breaks()
    both.deliver_all()
    both.forward(minutes=30)
    both.world.act("ann", respond.acknowledge)
    both.forward(hours=1)
    asked = [path for _, path in both.sentry.requests("GET") if "/events/latest/" in path]
    assert len(asked) == 1
    assert [one["state"] for one in both.tasks() if one["act"] == "context"] == ["done"]


def test_commits_and_owners_that_the_token_may_not_read_are_left_out(both: BothSides):
    both.sentry.do("faults", status=403, path="/committers/")
    both.breaks(**BROKEN)
    both.deliver_all()
    context = both.world.incident().context
    assert context is not None
    assert (context.frames, context.suspects) == (("checkout/views.py:42 in charge",), ())


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_read_is_tried_for_an_hour(both: BothSides, fault: dict):
    both.world.sentry_deadline = timedelta(seconds=0.3)
    both.sentry.do("faults", **fault)
    both.breaks()
    both.deliver_all()
    both.world.expect("ann")
    both.forward(minutes=2)
    assert both.world.incident().context is None
    both.be_well()
    both.world.sentry_deadline = timedelta(seconds=10)
    both.forward(minutes=15)
    assert both.world.incident().context is not None
    both.world.forget()


def test_after_an_hour_it_is_said_that_it_could_not_be_had(both: BothSides):
    from tocsin.store import contexts

    both.sentry.do("faults", status=500)
    both.breaks()
    both.deliver_all()
    both.forward(hours=2)
    with both.world.database.read() as connection:
        kept = contexts.find(connection, [both.world.incident().id])
    (one,) = kept.values()
    assert one.context is None
    assert one.error is not None
    assert "HTTP 500" in one.error
    both.world.forget()


def test_a_webhook_and_its_page_cost_no_more_statements_for_a_connection(
    world: World, sentry: FakeSentry
):
    """But one, that says what is to be asked; nothing in them asks Sentry."""

    def cost(issue: int) -> list[str]:
        with world.held(), statements(world.database) as seen:
            world.sentry("event_alert.triggered", issue)
            _inbox(world)
            world.look()
            said = list(seen)
        world.forget()
        return said

    cost(900)
    alone = cost(901)
    both = BothSides.join(world, sentry)
    both.sentry.do("faults", away=True)
    cost(902)
    joined = cost(903)
    more = [one for one in joined if one not in alone]
    assert [one.split(" (")[0] for one in more] == ["INSERT INTO sentry_tasks"]
    assert len(joined) <= len(alone) + 2  # and the job


def test_a_sentry_that_never_answers_delays_no_page(world: World, sentry: FakeSentry):
    """In real time: a page goes out while the first question still waits for its answer."""
    BothSides.join(world, sentry)

    async def scenario() -> None:
        asked, paged, released, stop = (asyncio.Event() for _ in range(4))

        async def never(_request: httpx2.Request) -> httpx2.Response:
            asked.set()
            await released.wait()
            return httpx2.Response(500)

        async with httpx2.AsyncClient(transport=httpx2.MockTransport(never)) as http:
            world._sentries = Lines(http)
            world._worker._observe = lambda _sent: paged.set()
            await asyncio.to_thread(_feed, world, 1)
            running = asyncio.create_task(world._worker.run(stop))
            async with asyncio.timeout(60):
                await asked.wait()
                await paged.wait()
                paged.clear()
                await asyncio.to_thread(_feed, world, 2)
                world._worker.wake()
                await paged.wait()
            assert not released.is_set()
            stop.set()
            released.set()
            await running

    world._runner.run(scenario())
    assert [one.what for one in world.heard] == ["page", "page"]


def _feed(world: World, issue: int) -> None:
    """Put a webhook into the inbox, as the intake does."""
    from tocsin.core.model import DeliveryStatus
    from tocsin.sentry.sender import Issue, webhook
    from tocsin.store import inbox
    from tocsin.store.db import new_id
    from tocsin.store.inbox import Arrival

    hook = webhook("event_alert", "triggered", Issue(id=str(issue), title="T"))
    integration = next(iter(world.plans.refresh().integrations))
    arrival = Arrival(
        id=new_id("del", world.now),
        integration_id=integration,
        received_at=world.now,
        url_style="native",
        resource="event_alert",
        status=DeliveryStatus.ACCEPTED,
        http_status=202,
        reason=None,
        dedup_key=f"sentry:issue:{issue}",
        headers="[]",
        body=hook.body,
        key=None,
    )
    world.database.run(lambda connection: inbox.put(connection, [arrival]))


def test_what_people_asked_for_goes_before_what_only_looks(both: BothSides):
    both.breaks()
    both.deliver_all()
    both.world.act("ann", respond.resolve)
    from tocsin.store import sentrytasks

    now = both.world.now
    both.world.database.run(
        lambda c: c.execute(sentry_tasks.update().values(state="pending", due_at=now))
    )
    taken = both.world.database.run(
        lambda c: sentrytasks.begin(c, both.connection_id, now, now, 10)
    )
    assert [task.act for task in taken] == [Act.LINK, Act.RESOLVE, Act.CONTEXT]
    both.world.forget()
