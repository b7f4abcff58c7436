"""Due work: once, by whoever holds it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.builders import NOW, at
from tocsin.store import jobs
from tocsin.store.db import Database
from tocsin.store.jobs import Kind
from tocsin.store.tables import jobs as table

LEASE = timedelta(minutes=1)


def put(database: Database, *subjects: str, due: float = 0) -> None:
    with database.write() as connection:
        jobs.put(connection, [(Kind.NOTIFY, s, at(seconds=due)) for s in subjects])


def subjects(found: list[jobs.Job]) -> list[str]:
    return [job.subject_id for job in found]


def test_a_job_is_due_at_its_time_and_not_before(database: Database):
    put(database, "a", due=10)
    with database.write() as connection:
        assert jobs.due_kinds(connection, at(seconds=9)) == frozenset()
        assert jobs.claim(connection, Kind.NOTIFY, at(seconds=9), LEASE, 10) == []
        assert jobs.due_kinds(connection, at(seconds=10)) == {Kind.NOTIFY}
        assert subjects(jobs.claim(connection, Kind.NOTIFY, at(seconds=10), LEASE, 10)) == ["a"]


def test_a_claimed_job_is_nobody_elses_until_its_lease_ends(database: Database):
    put(database, "a")
    with database.write() as connection:
        first = jobs.claim(connection, Kind.NOTIFY, NOW, LEASE, 10)
        assert jobs.claim(connection, Kind.NOTIFY, at(seconds=59), LEASE, 10) == []
        second = jobs.claim(connection, Kind.NOTIFY, at(seconds=60), LEASE, 10)
    assert subjects(first) == subjects(second) == ["a"]
    assert second[0].lease > first[0].lease


def test_who_lost_the_lease_cannot_finish(database: Database):
    put(database, "a")
    with database.write() as connection:
        late = jobs.claim(connection, Kind.NOTIFY, NOW, LEASE, 10)
        jobs.claim(connection, Kind.NOTIFY, at(minutes=2), LEASE, 10)
        assert jobs.finish(connection, late) == 0
        assert jobs.exists(connection, Kind.NOTIFY, "a")


def test_a_finished_job_is_gone(database: Database):
    put(database, "a", "b")
    with database.write() as connection:
        claimed = jobs.claim(connection, Kind.NOTIFY, NOW, LEASE, 10)
        assert jobs.finish(connection, claimed[:1]) == 1
        assert jobs.finish(connection, []) == 0
        assert not jobs.exists(connection, Kind.NOTIFY, claimed[0].subject_id)
        assert jobs.exists(connection, Kind.NOTIFY, claimed[1].subject_id)


def test_putting_a_job_twice_moves_it(database: Database):
    put(database, "a", due=10)
    put(database, "a", due=20)
    with database.write() as connection:
        assert jobs.next_due(connection) == at(seconds=20)
        assert len(jobs.claim(connection, Kind.NOTIFY, at(seconds=20), LEASE, 10)) == 1


def test_putting_a_job_takes_it_from_whoever_works_on_it(database: Database):
    put(database, "a")
    with database.write() as connection:
        held = jobs.claim(connection, Kind.NOTIFY, NOW, LEASE, 10)
        jobs.put(connection, [(Kind.NOTIFY, "a", at(seconds=5))])
        assert jobs.finish(connection, held) == 0


def test_the_oldest_come_first_and_kinds_apart(database: Database):
    with database.write() as connection:
        jobs.put(connection, [(Kind.NOTIFY, f"n{n}", at(seconds=-n)) for n in range(5)])
        jobs.put(connection, [(Kind.ESCALATE, "e", NOW)])
        assert subjects(jobs.take(connection, Kind.NOTIFY, NOW, 2)) == ["n4", "n3"]
        assert subjects(jobs.take(connection, Kind.ESCALATE, NOW, 10)) == ["e"]


@pytest.mark.parametrize("how", ["take", "claim"])
def test_a_storm_of_one_service_does_not_hold_up_another(database: Database, how: str):
    storm = [f"storm{number:02}" for number in range(40)]
    lanes = {**dict.fromkeys(storm, "svc_1"), "late": "svc_2", "later": "svc_2", "early": "svc_3"}
    with database.write() as connection:
        due = [*((one, at(seconds=0)) for one in storm), ("late", at(seconds=5))]
        due += [("later", at(seconds=6)), ("early", at(seconds=99))]
        jobs.put(connection, [(Kind.NOTIFY, *one) for one in due], lanes)
        if how == "take":
            found = jobs.take(connection, Kind.NOTIFY, at(seconds=10), 10)
        else:
            found = jobs.claim(connection, Kind.NOTIFY, at(seconds=10), LEASE, 10)
            # What was claimed is held, and only that.
            assert len(jobs.claim(connection, Kind.NOTIFY, at(seconds=10), LEASE, 99)) == 32
            assert jobs.finish(connection, found) == 10
    assert subjects(found)[0] == "late"
    assert set(subjects(found)[1:]) < set(storm)


def test_of_many_services_those_that_wait_longest_go_first(database: Database):
    storm = [f"storm{number:02}" for number in range(20)]
    others = [f"other{number}" for number in range(9)]
    lanes = dict.fromkeys(storm, "svc_a") | {one: f"svc_{one}" for one in others}
    with database.write() as connection:
        jobs.put(connection, [(Kind.NOTIFY, one, NOW) for one in storm], lanes)
        late = [(Kind.NOTIFY, one, at(seconds=9 - n)) for n, one in enumerate(others)]
        jobs.put(connection, late, lanes)
        found = subjects(jobs.take(connection, Kind.NOTIFY, at(seconds=10), 10))
    assert found[:5] == ["other8", "other7", "other6", "other5", "other4"]


def test_a_job_that_is_put_again_stays_in_its_lane(database: Database):
    with database.write() as connection:
        jobs.put(connection, [(Kind.NOTIFY, "a", NOW)], {"a": "svc_1"})
        jobs.put(connection, [(Kind.NOTIFY, "a", at(seconds=1))])
        assert connection.scalar(select(table.c.lane)) == "svc_1"


def test_what_fails_is_tried_again_and_at_last_buried(database: Database):
    put(database, "a")
    with database.write() as connection:
        job = jobs.claim(connection, Kind.NOTIFY, NOW, LEASE, 10)[0]
        jobs.retry(connection, job, at(seconds=30), "no answer")
        assert jobs.next_due(connection) == at(seconds=30)
        again = jobs.claim(connection, Kind.NOTIFY, at(seconds=30), LEASE, 10)[0]
        assert again.failures == 1
        jobs.bury(connection, again, NOW, "given up")
        assert jobs.next_due(connection) is None
        row = connection.execute(select(table)).one()
    assert (row.failures, row.last_error) == (2, "given up")


def test_a_job_taken_back_does_not_happen(database: Database):
    put(database, "a", "b")
    with database.write() as connection:
        jobs.take_back(connection, [(Kind.NOTIFY, "a")])
        assert subjects(jobs.take(connection, Kind.NOTIFY, NOW, 10)) == ["b"]


def test_two_workers_take_different_jobs(postgres_url: str):
    databases = [Database(postgres_url) for _ in range(2)]
    put(databases[0], *map(str, range(10)))
    with databases[0].write() as one, databases[1].write() as two:
        first = subjects(jobs.take(one, Kind.NOTIFY, NOW, 5))
        second = subjects(jobs.claim(two, Kind.NOTIFY, NOW, LEASE, 10))
        assert len(first) == len(second) == 5
        assert not set(first) & set(second)
    for database in databases:
        database.close()


def test_overdue_jobs_are_counted(database: Database):
    put(database, "a", "b")
    put(database, "c", due=100)
    with database.read() as connection:
        assert jobs.overdue_count(connection, at(seconds=60)) == 2
