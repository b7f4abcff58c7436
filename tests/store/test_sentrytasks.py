"""Tasks in Sentry: in one pair of hands at a time, in order, and never forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from tests.builders import NOW, an_incident, at
from tocsin.core.mirror import Act, Ask, Task, TaskState
from tocsin.core.plans import SentryLink
from tocsin.core.sentry import Switches
from tocsin.store import jobs, sentrytasks
from tocsin.store.db import Database
from tocsin.store.incidents import incident_row
from tocsin.store.jobs import Kind
from tocsin.store.sentrytasks import Finished
from tocsin.store.tables import alerts, incident_alerts, incidents, sentry_tasks

LEASE = timedelta(minutes=3)
LINK = SentryLink(
    id="sen_1",
    integration_id="int_1",
    selves=frozenset(),
    switches=Switches(resolve=True, snooze=True, note=True),
)
SENTRY = {"int_1": LINK}
RESOLVE = Ask(act=Act.RESOLVE, switch="resolve")
SNOOZE = Ask(act=Act.ARCHIVE, switch="snooze", payload={"until": at(hours=1).isoformat()})
NOTE = Ask(act=Act.NOTE, switch="note", payload={"text": "T"})


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with database.write() as connection:
        yield connection


def an_open_one(connection: Connection, number: int) -> Any:
    incident = an_incident(id=f"inc_{number}", number=number, dedup_key=f"sentry:issue:{number}")
    connection.execute(insert(incidents).values(number=number, **incident_row(incident)))
    row = {
        "id": f"alr_{number}", "integration_id": "int_1", "service_id": "svc_1",
        "dedup_key": f"sentry:issue:{number}", "title": "T", "severity": "error", "source": "S",
        "details": {}, "occurrence_count": 1, "first_seen_at": NOW, "last_seen_at": NOW,
        "incident_id": f"inc_{number}",
    }  # fmt: skip
    connection.execute(insert(alerts).values(**row))
    link = {"incident_id": f"inc_{number}", "alert_id": f"alr_{number}", "is_open": True}
    connection.execute(insert(incident_alerts).values(**link))
    return incident


def put(connection: Connection, incident: Any, *asked: Ask, now: datetime = NOW) -> None:
    sentrytasks.put(connection, [(incident, ask) for ask in asked], SENTRY, now)


def begin(connection: Connection, now: datetime = NOW, limit: int = 10) -> list[Task]:
    return sentrytasks.begin(connection, "sen_1", now, now + LEASE, limit)


def done(task: Task, now: datetime = NOW, **more: Any) -> Finished:
    values = {"state": TaskState.DONE, "at": now, "until": now + LEASE, **more}
    return Finished(task=task, **values)


def test_what_is_switched_off_is_no_task(connection: Connection):
    one = an_open_one(connection, 1)
    off = {"int_1": SentryLink(id="sen_1", integration_id="int_1", selves=frozenset(),
                               switches=Switches())}  # fmt: skip
    sentrytasks.put(connection, [(one, RESOLVE), (one, NOTE)], off, NOW)
    assert connection.execute(select(sentry_tasks)).all() == []
    assert not jobs.exists(connection, Kind.SENTRY, "sen_1")


def test_a_task_is_leased_to_one_until_the_lease_ends(connection: Connection):
    put(connection, an_open_one(connection, 1), RESOLVE)
    (task,) = begin(connection)
    assert begin(connection) == []
    assert sentrytasks.next_due(connection, "sen_1") == NOW + LEASE
    assert [one.id for one in begin(connection, NOW + LEASE)] == [task.id]


def test_who_lost_the_lease_writes_nothing_down(connection: Connection):
    put(connection, an_open_one(connection, 1), RESOLVE)
    (task,) = begin(connection)
    begin(connection, NOW + LEASE)
    assert sentrytasks.finish(connection, [done(task)]) == frozenset()
    later = NOW + LEASE
    assert sentrytasks.finish(connection, [done(task, later)]) == {task.id}


def test_tasks_about_one_issue_wait_for_each_other(connection: Connection):
    put(connection, an_open_one(connection, 1), SNOOZE, RESOLVE)
    put(connection, an_open_one(connection, 2), RESOLVE)
    first = begin(connection)
    assert [(one.issue_id, one.act) for one in first] == [("1", Act.ARCHIVE), ("2", Act.RESOLVE)]
    assert begin(connection) == []
    again = {"state": TaskState.PENDING, "again_at": at(minutes=5)}
    sentrytasks.finish(connection, [done(first[0], **again), done(first[1])])
    # What waits behind another is not due before it: nobody looks in vain.
    assert sentrytasks.next_due(connection, "sen_1") == at(minutes=5)
    (task,) = begin(connection, at(minutes=5))
    assert (task.act, task.attempts) == (Act.ARCHIVE, 1)
    sentrytasks.finish(connection, [done(task, at(minutes=5))])
    assert [one.act for one in begin(connection, at(minutes=5))] == [Act.RESOLVE]


def test_what_looks_is_asked_for_once(connection: Connection):
    from tocsin.core.mirror import LOOKS

    one = an_open_one(connection, 1)
    put(connection, one, *LOOKS)
    put(connection, one, *LOOKS, now=at(minutes=5))
    acts = connection.scalars(select(sentry_tasks.c.act)).all()
    assert sorted(acts) == ["context", "link"]


def test_a_task_put_while_others_are_written_down_is_not_forgotten(database: Database):
    """Who works claims the job; meanwhile a person acts; then the job is finished."""
    with database.write() as connection:
        one, two = an_open_one(connection, 1), an_open_one(connection, 2)
        put(connection, one, RESOLVE)
    with database.write() as connection:
        (job,) = jobs.claim(connection, Kind.SENTRY, NOW, LEASE, 10)
        (task,) = begin(connection)
    with database.write() as connection:
        put(connection, two, RESOLVE, now=at(seconds=1))
    with database.write() as connection:
        sentrytasks.finish(connection, [done(task)])
        # As if it had not seen the other: its job is another's since.
        assert jobs.finish(connection, [job]) == 0
    with database.read() as connection:
        assert jobs.exists(connection, Kind.SENTRY, "sen_1")
        assert sentrytasks.next_due(connection, "sen_1") == at(seconds=1)


def test_what_was_over_long_ago_is_swept(connection: Connection):
    put(connection, an_open_one(connection, 1), RESOLVE, NOTE)
    task, _ = begin(connection)
    sentrytasks.finish(connection, [done(task)])
    assert sentrytasks.sweep(connection, at(days=1), 10) == 1
    assert connection.scalars(select(sentry_tasks.c.act)).all() == ["note"]
