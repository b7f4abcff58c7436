"""The inbox: kept once, in order, byte for byte."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from tests.builders import NOW, at
from tocsin.core.model import (
    DeliveryOutcome,
    DeliveryStatus,
    Verb,
)
from tocsin.store import db, inbox
from tocsin.store.db import Database, new_id
from tocsin.store.inbox import Arrival, Fate
from tocsin.store.tables import deliveries, delivery_keys


@pytest.fixture(autouse=True)
def _ids_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ids begin at this test's time, whatever other tests made before."""
    monkeypatch.setattr(db, "_ticker", db._Ticker())


def arrival(**changes: Any) -> Arrival:
    plain = Arrival(
        id=new_id("del", changes.get("received_at", NOW)),
        integration_id="int_1",
        received_at=NOW,
        url_style="native",
        resource="issue",
        status=DeliveryStatus.ACCEPTED,
        http_status=202,
        reason=None,
        dedup_key="sentry:issue:1",
        headers='[["Content-Type","application/json"],["X-Odd","\xff"]]',
        body=b"{}",
        key=None,
    )
    return msgspec.structs.replace(plain, **changes)


def put(database: Database, *arrivals: Arrival) -> list[str]:
    with database.write(is_urgent=True) as connection:
        return inbox.put(connection, arrivals)


def count(database: Database) -> int:
    with database.read() as connection:
        return len(connection.execute(select(deliveries.c.id)).all())


@pytest.mark.parametrize(
    "body",
    [b"{}", b"", b"\0\xff\xfe", bytes(range(256)) * 100, b"x" * 2_000_000],
    ids=["json", "nothing", "no text", "every byte", "two megabytes"],
)
def test_a_body_comes_back_byte_for_byte(database: Database, body: bytes):
    one = arrival(body=body)
    put(database, one)
    with database.read() as connection:
        stored = inbox.stored(connection, one.id)
    assert stored is not None
    assert bytes(stored.body) == body
    assert stored.headers == one.headers


def test_a_repeat_is_the_first_one_and_is_not_kept(database: Database):
    first, again = arrival(key="request:a"), arrival(key="request:a", body=b"[]")
    assert put(database, first) == [first.id]
    assert put(database, again) == [first.id]
    assert count(database) == 1


def test_repeats_in_one_group_are_the_first_of_the_group(database: Database):
    group = [arrival(key="request:a") for _ in range(5)] + [arrival(key="request:b")]
    stands = put(database, *group)
    assert stands == [group[0].id] * 5 + [group[5].id]
    assert count(database) == 2


def test_a_key_counts_for_its_integration_only(database: Database):
    one, other = arrival(key="request:a"), arrival(key="request:a", integration_id="int_2")
    assert put(database, one, other) == [one.id, other.id]


def test_without_a_key_every_copy_is_kept(database: Database):
    put(database, arrival(), arrival())
    assert count(database) == 2


def test_keeping_the_same_group_twice_keeps_it_once(database: Database):
    """A commit whose answer was lost is simply done again."""
    group = [arrival(key=f"request:{n}") for n in range(3)]
    assert put(database, *group) == put(database, *group) == [one.id for one in group]
    assert count(database) == 3


def test_a_replayed_body_is_kept_as_a_duplicate_and_is_no_work(database: Database):
    first = arrival(key="request:a", body_key="sha256:x")
    replayed = arrival(key="request:b", body_key="sha256:x")
    assert put(database, first, replayed) == [first.id, replayed.id]
    with database.write() as connection:
        assert [one.id for one in inbox.claim(connection, 10)] == [first.id]
        outcome = connection.scalar(
            select(deliveries.c.outcome).where(deliveries.c.id == replayed.id)
        )
    assert outcome == DeliveryOutcome.DUPLICATE


def test_the_body_of_a_repeat_was_not_seen(database: Database):
    """Nothing of a repeat is kept, and so its body may still come: it changes something then."""
    first = arrival(key="request:a", body_key="sha256:x")
    repeat = arrival(key="request:a", body_key="sha256:y")
    later = arrival(key="request:b", body_key="sha256:y")
    put(database, first)
    put(database, repeat)
    put(database, later)
    with database.write() as connection:
        assert [one.id for one in inbox.claim(connection, 10)] == [first.id, later.id]


def test_in_one_group_too_the_body_of_a_repeat_was_not_seen(database: Database):
    first = arrival(key="request:a", body_key="sha256:x")
    repeat = arrival(key="request:a", body_key="sha256:y")
    later = arrival(key="request:b", body_key="sha256:y")
    put(database, first, repeat, later)
    with database.write() as connection:
        assert [one.id for one in inbox.claim(connection, 10)] == [first.id, later.id]


def test_processes_that_take_the_same_keys_never_wait_for_each_other(postgres_url: str):
    """Sentry's retries go to any replica: in whatever order, none of them ends as a deadlock."""
    databases = [Database(postgres_url) for _ in range(2)]
    for number in range(60):
        keys = [f"key:{number}-{n}" for n in range(20)]
        gate = threading.Barrier(2)

        def work(at: int, keys: Sequence[str] = keys, gate: threading.Barrier = gate) -> list[str]:
            ordered = keys if at else keys[::-1]
            gate.wait()
            return put(databases[at], *(arrival(key=key) for key in ordered))

        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(work, range(2))
        assert one == other[::-1]
    for database in databases:
        database.close()


def test_deliveries_are_claimed_in_the_order_they_came(database: Database):
    group = [arrival() for _ in range(20)]
    put(database, *group)
    with database.write() as connection:
        claimed = inbox.claim(connection, 100)
    assert [one.id for one in claimed] == [one.id for one in group]


def test_what_is_rejected_is_no_work(database: Database):
    put(database, arrival(status=DeliveryStatus.REJECTED))
    with database.write() as connection:
        assert inbox.claim(connection, 10) == []


def test_two_workers_never_hold_the_same_alerts(postgres_url: str):
    """On PostgreSQL a partition belongs to one transaction at a time."""
    databases = [Database(postgres_url) for _ in range(2)]
    put(databases[0], *(arrival(dedup_key=f"k{n}") for n in range(300)))
    with databases[0].write() as one, databases[1].write() as two:
        first = {(d.id) for d in inbox.claim(one, 1000)}
        second = {(d.id) for d in inbox.claim(two, 1000)}
        assert first
        assert second
        assert not first & second
        keys = [
            {row.dedup_key for row in connection.execute(
                select(deliveries.c.dedup_key).where(deliveries.c.id.in_(ids)))}
            for connection, ids in ((one, first), (two, second))
        ]  # fmt: skip
        assert not keys[0] & keys[1]
    for database in databases:
        database.close()


def fate(one: Arrival) -> Fate:
    return Fate(
        delivery_id=one.id,
        status=DeliveryStatus.PROCESSED,
        processed_at=at(milliseconds=250),
        received_at=NOW,
        verb=Verb.TRIGGER,
        outcome=DeliveryOutcome.TRIGGERED,
        incident_id="inc_1",
    )


def test_what_is_finished_waits_no_longer(database: Database):
    one, other = arrival(), arrival()
    put(database, one, other)
    with database.write() as connection:
        inbox.finish(connection, [fate(one)])
        assert [d.id for d in inbox.claim(connection, 10)] == [other.id]
        row = connection.execute(select(deliveries).where(deliveries.c.id == one.id)).one()
    assert (row.status, row.outcome, row.latency_ms) == ("processed", "triggered", 250)


def test_what_fails_again_and_again_ends_in_sight(database: Database):
    one = arrival()
    put(database, one)
    with database.write() as connection:
        inbox.fail(connection, one.id, "broken", for_good=False)
        assert [d.attempts for d in inbox.claim(connection, 10)] == [1]
        inbox.fail(connection, one.id, "broken", for_good=True)
        assert inbox.claim(connection, 10) == []
        row = connection.execute(select(deliveries)).one()
    assert (row.status, row.reason, row.attempts) == ("failed", "broken", 2)


def test_the_sweep_takes_what_is_old_and_was_processed(database: Database):
    old, waiting, new = (
        arrival(received_at=at(days=-91)),
        arrival(received_at=at(days=-91)),
        arrival(),
    )
    put(database, old, waiting, new)
    with database.write() as connection:
        inbox.finish(connection, [fate(old)])
        assert inbox.sweep(connection, at(days=-90), at(days=-7), 100) == 1
        assert inbox.sweep(connection, at(days=-90), at(days=-7), 100) == 0
        left = set(connection.scalars(select(deliveries.c.id)))
        assert inbox.stored(connection, old.id) is None
    assert left == {waiting.id, new.id}


def test_keys_are_forgotten_after_a_week_but_digests_with_the_deliveries(database: Database):
    old = {"received_at": at(days=-8)}
    put(database, arrival(key="request:a", body_key="sha256:a", **old), arrival(key="request:b"))
    with database.write() as connection:
        inbox.sweep(connection, at(days=-90), at(days=-7), 100)
        left = set(connection.scalars(select(delivery_keys.c.key)))
    assert left == {"sha256:a", "request:b"}


def test_a_storm_of_one_source_does_not_hold_up_what_another_says(database: Database):
    """The one that came last of all is in the first batch; the storm is worked off in order."""
    storm = [arrival() for _ in range(30)]
    late = arrival(integration_id="int_2")
    put(database, *storm, late)
    with database.write() as connection:
        taken = [delivery.id for delivery in inbox.claim(connection, 8)]
    assert taken == [late.id, *(one.id for one in storm[:7])]
