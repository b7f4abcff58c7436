"""The delivery log over many rows: served by indexes, or bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.builders import NOW, a_service, an_integration, some_plans
from tocsin.core.access import EVERYTHING, Scope, scope_of
from tocsin.core.model import DeliveryOutcome, DeliveryStatus, Role
from tocsin.store import db
from tocsin.store import deliveries as log
from tocsin.store.db import Database, insert_columns, new_id
from tocsin.store.deliveries import LogFilter, Window, count_in, ids_in, lately, log_page
from tocsin.store.inbox import drop_bodies
from tocsin.store.tables import deliveries, delivery_bodies

#: Integration 2 is of a team, 1 of none.
PLANS = replace(
    some_plans(teams={"search": ("bob",)}),
    services={
        "svc_1": a_service(),
        "svc_2": a_service(id="svc_2", name="search", team_id="tea_search"),
    },
    integrations={
        "int_1": an_integration(),
        "int_2": an_integration(id="int_2", name="other", service_id="svc_2"),
    },
)


@pytest.fixture(autouse=True)
def _ids_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ids begin at this test's time, whatever other tests made before."""
    monkeypatch.setattr(db, "_ticker", db._Ticker())


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Note every statement."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, _p: Any, _x: Any, _many: bool) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    engine = database._reader
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def fill(database: Database, count: int, **columns: Any) -> list[str]:
    """Keep so many processed deliveries of integration 1, a minute apart; return their ids."""
    at = [NOW + timedelta(minutes=number) for number in range(count)]
    ids = [new_id("del", one) for one in at]
    row: dict[str, Any] = {
        "integration_id": "int_1", "url_style": "native", "status": "processed",
        "http_status": 202, "outcome": "triggered", "dedup_key": "sentry:issue:1", "partition": 0,
    } | columns  # fmt: skip
    values = {name: [value] * count for name, value in row.items()}
    with database.write() as connection:
        insert_columns(connection, deliveries, {**values, "id": ids, "received_at": at})
        bodies = {"delivery_id": ids, "headers": ["[]"] * count, "body": [b"{}"] * count}
        insert_columns(connection, delivery_bodies, bodies)
    return ids


def page(database: Database, scope: Scope = EVERYTHING, **wanted: Any) -> log.LogPage:
    with database.read() as connection:
        return log_page(connection, PLANS, scope, LogFilter(**wanted))


def ids_of(found: log.LogPage) -> list[str]:
    return [one.id for one in found.items]


def test_the_log_goes_from_page_to_page(database: Database):
    ids = fill(database, 7)
    first = page(database, limit=3)
    second = page(database, limit=3, cursor=first.next)
    third = page(database, limit=3, cursor=second.next)
    assert [*ids_of(first), *ids_of(second), *ids_of(third)] == ids[::-1]
    assert third.next is None


def test_filters_go_together(database: Database):
    fill(database, 3)
    refused = fill(database, 2, status="rejected", outcome=None, reason="the signature is wrong")
    fill(database, 2, status="rejected", outcome=None, integration_id="int_2")
    both = {"integration_id": "int_1", "status": "rejected"}
    assert ids_of(page(database, **both)) == refused[::-1]
    assert ids_of(page(database, **both, q="SIGNATURE")) == refused[::-1]
    assert ids_of(page(database, **both, q="%")) == []
    assert len(page(database, status="rejected").items) == 4
    assert len(page(database, outcome="triggered", integration_id="int_1").items) == 3
    assert ids_of(page(database, q=refused[0])) == [refused[0]]


def test_what_is_of_another_team_is_left_out_whatever_is_asked_for(database: Database):
    seen = fill(database, 5)
    fill(database, 2, status="rejected", integration_id="int_2")
    fill(database, 60, integration_id="int_2")
    ann, bob = (scope_of(PLANS, Role.RESPONDER, user_id) for user_id in ("usr_ann", "usr_bob"))
    assert ids_of(page(database, ann)) == seen[::-1]
    first = page(database, ann, limit=3)
    assert ids_of(page(database, ann, limit=3, cursor=first.next)) == seen[:2][::-1]
    assert ids_of(page(database, ann, status="rejected")) == []
    assert ids_of(page(database, ann, q="issue:1", outcome="triggered")) == seen[::-1]
    assert len(page(database, bob, limit=200).items) == 67
    assert len(page(database, bob, status="rejected").items) == 2


def test_the_deliveries_of_an_incident_are_found(database: Database):
    fill(database, 2)
    mine = fill(database, 2, incident_id="inc_9")
    assert ids_of(page(database, incident_id="inc_9")) == mine[::-1]
    assert ids_of(page(database, incident_id="inc_9", status="rejected")) == []


def test_a_search_looks_through_so_many_and_then_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log, "DEPTH", 5)
    old = fill(database, 1, dedup_key="needle")
    fill(database, 8)
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        found = page(database, q="needle", cursor=cursor)
        seen += ids_of(found)
        cursor = found.next
        if cursor is None:
            break
        assert found.was_cut
    assert seen == old
    assert cursor is None


@pytest.mark.parametrize("count", [3, 60])
def test_a_page_is_at_most_two_statements_whatever_it_shows(database: Database, count: int):
    fill(database, count)
    for wanted in ({}, {"q": "nothing"}, {"integration_id": "int_1", "status": "rejected"}):
        with counted(database) as seen:
            page(database, **wanted)
        assert len(seen) <= 2, seen


def test_what_integrations_got_lately_is_one_statement(database: Database):
    fill(database, 5)
    fill(database, 3, integration_id="int_2", status="rejected")
    with counted(database) as seen, database.read() as connection:
        found = lately(connection, ["int_1", "int_2", "int_3"])
    assert len(seen) == 1
    assert len(found["int_1"].arrivals) == 5
    assert (found["int_1"].is_trouble, found["int_2"].is_trouble) == (False, True)
    assert found["int_2"].arrivals == ()
    assert found["int_3"].last_at is None


def test_a_window_has_what_came_in_it(database: Database):
    ids = fill(database, 10)
    later, end = NOW + timedelta(minutes=2), NOW + timedelta(minutes=5)
    window = Window(integration_id="int_1", begins_at=later, ends_at=end)
    trouble = Window(integration_id="int_1", begins_at=later, ends_at=end, is_of_trouble=True)
    with database.read() as connection:
        assert ids_in(connection, window, None, 50) == ids[2:5]
        assert ids_in(connection, window, ids[2], 1) == [ids[3]]
        assert count_in(connection, window) == 3
        assert ids_in(connection, trouble, None, 50) == []


def test_a_window_leaves_out_what_has_no_body(database: Database):
    ids = fill(database, 3)
    with database.write() as connection:
        drop_bodies(connection, [ids[1]])
        window = Window(integration_id="int_1", begins_at=NOW, ends_at=NOW + timedelta(hours=1))
        assert ids_in(connection, window, None, 50) == [ids[0], ids[2]]
        assert count_in(connection, window) == 2


def test_a_window_has_either_what_was_taken_or_what_was_not(database: Database):
    refused = fill(database, 5, status="rejected")
    window = {"integration_id": "int_1", "begins_at": NOW, "ends_at": NOW + timedelta(hours=1)}
    with database.read() as connection:
        assert ids_in(connection, Window(**window), None, 50) == []
        assert ids_in(connection, Window(**window, is_of_trouble=True), None, 50) == refused


#: Every combination of filters that the page offers.
COMBINATIONS: list[dict[str, Any]] = [
    {name: value for name, value in (
        ("incident_id", incident), ("integration_id", integration), ("status", status),
        ("outcome", outcome), ("q", q),
    ) if value}
    for incident in (None, "inc_9")
    for integration in (None, "int_1")
    for status in (None, *(one.value for one in DeliveryStatus))
    for outcome in (None, DeliveryOutcome.TRIGGERED.value)
    for q in ("", "needle")
]  # fmt: skip


@pytest.mark.parametrize("wanted", COMBINATIONS, ids=str)
def test_every_filter_is_served_by_an_index(database: Database, wanted: dict[str, Any]):
    """Nothing is sorted or read whole; what no index serves looks through ``DEPTH`` rows."""
    with counted(database) as seen:
        page(database, **wanted)
    plan = explained(database, wanted)
    if database.is_sqlite:
        assert "USING INDEX" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
    else:
        assert "Seq Scan on deliveries" not in plan, plan
    assert len(seen) <= 2


def explained(database: Database, wanted: dict[str, Any]) -> str:
    """Return how the database means to read a page."""
    from sqlalchemy.dialects import postgresql, sqlite

    filtered = LogFilter(**wanted)
    rest = log._rest(filtered)
    query = log._indexed(filtered).where(*rest)
    if rest:
        query = query.where(deliveries.c.id >= "del_0")
    dialect = sqlite.dialect() if database.is_sqlite else postgresql.dialect()
    written = str(query.limit(51).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    with database.write() as connection:
        if database.is_sqlite:
            rows = connection.execute(text(f"EXPLAIN QUERY PLAN {written}")).all()
            return "\n".join(str(row[-1]) for row in rows)
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        return "\n".join(row[0] for row in connection.execute(text(f"EXPLAIN {written}")))
