"""What goes out when several take up what is due at once; and what a batch costs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from tests.scenarios.test_cases_b import policy
from tests.scenarios.test_cases_d import BY_MAIL, rules
from tests.world import PEOPLE, SERVICE, World
from tocsin.core.retry import Outcome, Report
from tocsin.core.throttle import PERSONAL
from tocsin.store.db import Database
from tocsin.store.jobs import Kind
from tocsin.store.tables import attempts, notifications, timeline
from tocsin.work.deliver import LEASE, Sending, Sent


def open_incidents(world: World, count: int, begin: int = 0) -> None:
    """Open incidents and take their first steps; nothing is sent."""
    with contextlib.suppress(_Enough), world.held():
        for number in range(begin, begin + count):
            world.sentry("issue.created", id_=number, title=f"T{number}")
        while world._worker._inbox.work(world.now):
            pass
        while world._worker._clockwork.work(Kind.ESCALATE, world.now):
            pass
        raise _Enough
    world._is_held = False


class _Enough(Exception):
    """Leave a block without what it does at its end."""


@contextlib.contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Note every statement."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, _p: Any, _x: Any, _many: bool) -> None:
        seen.append(" ".join(statement.split())[:100])

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def work_off(world: World, limit: int, threads: int = 4) -> list[Sending]:
    """Let several processes take up all that is due, in small batches, and deliver it."""
    outboxes = [world.outbox() for _ in range(threads)]

    def one(number: int) -> list[Sending]:
        made: list[Sending] = []
        idle = 0
        while idle < 3:
            begun = outboxes[number].begin(world.now, limit)
            idle = 0 if begun else idle + 1
            done = Report(outcome=Outcome.DELIVERED, detail="delivered")
            outboxes[number].finish(
                [Sent(sending=sending, report=done, at=world.now) for sending in begun]
            )
            made += begun
        return made

    with ThreadPoolExecutor(threads) as pool:
        return [sending for made in pool.map(one, range(threads)) for sending in made]


def states(database: Database) -> Counter[str]:
    with database.read() as connection:
        return Counter(connection.scalars(select(notifications.c.state)))


def paged_entries(database: Database) -> Counter[str]:
    with database.read() as connection:
        query = select(timeline.c.incident_id).where(timeline.c.kind == "paged")
        return Counter(connection.scalars(query))


def test_d3_many_who_work_at_once_send_one_message_per_incident(blank: World):
    blank.configure(rules("hook 0s", "hook 0s", "hook 1m"), policy("ann 2h"), SERVICE)
    open_incidents(blank, 30)
    blank.now += timedelta(minutes=1)
    sent = work_off(blank, limit=7)
    assert len(sent) == 30
    assert states(blank.database) == {"sent": 30, "bundled": 60}
    assert set(paged_entries(blank.database).values()) == {1}


def test_d5_many_who_work_at_once_send_one_bundle(blank: World):
    blank.configure(BY_MAIL, policy("ann 2h"), SERVICE)
    blank.sentry("issue.created", id_=1000)
    blank.expect("ann", "email")
    open_incidents(blank, 60)
    blank.now += timedelta(seconds=5)
    assert work_off(blank, limit=7) == []
    blank.now += PERSONAL.spans[0]
    (bundle,) = work_off(blank, limit=7)
    assert bundle.message.subject == "60 unacknowledged on checkout"
    assert states(blank.database) == {"sent": 2, "bundled": 59}
    assert set(paged_entries(blank.database).values()) == {1}


def test_d5_a_burst_of_new_pages_is_one_message_at_once(blank: World):
    blank.configure(BY_MAIL, policy("ann 2h"), SERVICE)
    open_incidents(blank, 60)
    (bundle,) = work_off(blank, limit=7)
    assert bundle.message.subject == "60 unacknowledged on checkout"


def test_a_provider_that_is_away_for_an_hour_is_no_flood_afterwards(blank: World):
    blank.configure(BY_MAIL, policy("ann 20h"), SERVICE)
    away = [Report(outcome=Outcome.RETRY, detail="away")] * 10_000
    blank.recorders["email"].answers = away
    for number in range(30):
        blank.sentry("issue.created", id_=number)
        blank.forward(minutes=2)
    tries = len(blank.take())
    assert tries < 100, "trying is bounded, too"
    blank.recorders["email"].answers = []
    blank.forward(minutes=11)
    told = blank.take()
    assert [heard.message.subject for heard in told] == ["30 unacknowledged on checkout"]
    assert states(blank.database) == {"sent": 1, "bundled": 29}
    assert set(paged_entries(blank.database).values()) == {1}
    assert len(paged_entries(blank.database)) == 30


def test_who_was_frozen_past_the_lease_writes_nothing(blank: World):
    """Somebody else took over meanwhile: what that led to stands, whatever the first one learnt."""
    blank.configure(PEOPLE, policy("ann 2h"), SERVICE)
    open_incidents(blank, 1)
    frozen, other = blank.outbox(), blank.outbox()
    (first,) = frozen.begin(blank.now, 10)
    assert other.begin(blank.now, 10) == [], "it is leased"
    blank.now += LEASE
    (second,) = other.begin(blank.now, 10)
    assert (second.message.id, second.attempt) == (first.message.id, 2)
    refused = Report(outcome=Outcome.GONE, detail="gone for good")
    frozen.finish([Sent(sending=first, report=refused, at=blank.now)])
    assert states(blank.database) == {"pending": 1}
    assert all(one.is_usable for one in blank.user("ann").contact_methods)
    delivered = Report(outcome=Outcome.DELIVERED, detail="delivered")
    other.finish([Sent(sending=second, report=delivered, at=blank.now)])
    frozen.finish([Sent(sending=first, report=refused, at=blank.now)])
    assert states(blank.database) == {"sent": 1}
    with blank.database.read() as connection:
        said = connection.execute(select(attempts.c.number, attempts.c.outcome)).all()
    assert sorted(said) == [(1, None), (2, "delivered")]
    assert blank.kinds().count("paged") == 1
    assert "page_failed" not in blank.kinds()
    blank.settle()
    blank.expect_nothing()


@pytest.mark.parametrize("moment", ["begin", "finish"])
def test_a_worker_that_is_stopped_sends_what_it_leased_and_writes_down_what_it_sent(
    blank: World, monkeypatch: pytest.MonkeyPatch, moment: str
):
    """Nobody has to wait for the lease, and nothing goes out again."""
    blank.configure(PEOPLE, policy("ann 2h"), SERVICE)
    open_incidents(blank, 3)
    worker, entered, goes_on = blank._worker, threading.Event(), threading.Event()
    real = getattr(worker._outbox, moment)

    def held(*given: Any) -> Any:
        entered.set()
        goes_on.wait(30)
        return real(*given)

    monkeypatch.setattr(worker._outbox, moment, held)

    async def run() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        await asyncio.to_thread(entered.wait, 30)
        stop.set()
        await asyncio.sleep(0.05)
        goes_on.set()
        await running

    blank._runner.run(run())
    assert states(blank.database) == {"sent": 3}
    assert len(blank.take()) == 3


def test_whose_lease_ended_and_was_taken_by_nobody_writes_down_how_it_went(blank: World):
    blank.configure(PEOPLE, policy("ann 2h"), SERVICE)
    open_incidents(blank, 1)
    outbox = blank.outbox()
    (sending,) = outbox.begin(blank.now, 10)
    blank.now += LEASE * 3
    delivered = Report(outcome=Outcome.DELIVERED, detail="delivered")
    outbox.finish([Sent(sending=sending, report=delivered, at=blank.now)])
    assert states(blank.database) == {"sent": 1}
    blank.settle()
    blank.expect_nothing()


@pytest.mark.parametrize("people", [PEOPLE, BY_MAIL], ids=["webhook", "e-mail"])
def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(blank: World, people: str):
    blank.configure(people, policy("ann 2h"), SERVICE)
    counts = []
    for size in (2, 40):
        open_incidents(blank, size, begin=size * 100)
        blank.now += timedelta(hours=3)
        outbox = blank.outbox()
        with statements(blank.database.engine) as seen:
            begun = outbox.begin(blank.now, 50)
        counts.append(len([one for one in seen if not one.startswith(("SET", "BEGIN"))]))
        made = [
            Sent(
                sending=sending,
                report=Report(outcome=Outcome.DELIVERED, detail="ok"),
                at=blank.now,
            )
            for sending in begun
        ]
        outbox.finish(made)
        outbox.begin(blank.now, 200)
        blank.forget()
    assert counts[0] == counts[1], seen
    # Without the twins of one incident it would be seven.
    assert counts[0] <= {PEOPLE: 9, BY_MAIL: 16}[people], seen


def test_a_notice_that_cannot_be_written_does_not_stop_the_pages(
    blank: World, monkeypatch: pytest.MonkeyPatch
):
    from tocsin.core.model import (
        MessageType,
    )
    from tocsin.work import compose

    def fails(_notice: object) -> None:
        raise KeyError("no such zone")

    blank.configure(PEOPLE, policy("ann 2h"), SERVICE)
    monkeypatch.setitem(compose._NOTICES, MessageType.TEST, fails)  # type: ignore[arg-type]
    blank.api("POST", "/users/ann@example.com/page")
    blank.sentry("issue.created")
    blank.expect("ann")
    blank.expect_nothing()
    monkeypatch.undo()
    blank.forward(minutes=5)
    blank.expect("ann", "webhook", "test")
    blank.expect("ann", "email", "test")
