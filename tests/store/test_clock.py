"""The clock that all servers of a database share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tocsin.store.clock import DatabaseClock
from tocsin.store.db import Database


class Machine:
    """A machine whose time of day is wrong, and whose steady clock counts."""

    def __init__(self, wrong_by: timedelta) -> None:
        self.wrong_by = wrong_by
        self.seconds = 1000.0

    def wall(self) -> datetime:
        return datetime.now(UTC) + self.wrong_by

    def steady(self) -> float:
        return self.seconds


def off(clock: DatabaseClock) -> timedelta:
    """Return how far it is from the time of the database, which is on this machine."""
    return abs(clock() - datetime.now(UTC))


def test_a_machine_whose_time_is_wrong_goes_by_the_databases(postgres_url: str):
    database = Database(postgres_url)
    for wrong_by in (timedelta(hours=1), timedelta(days=-1), timedelta()):
        machine = Machine(wrong_by)
        clock = DatabaseClock(database, machine.wall, machine.steady)
        assert off(clock) >= abs(wrong_by) - timedelta(seconds=1)
        clock.look()
        assert off(clock) < timedelta(seconds=30)
        before = clock()
        machine.wrong_by = timedelta(days=9)
        assert clock() == before, "a correction of the time of day moves nothing"
        machine.seconds += 60
        assert clock() == before + timedelta(minutes=1)
    database.close()


def test_an_answer_that_took_long_is_not_believed(postgres_url: str):
    database, machine = Database(postgres_url), Machine(timedelta(hours=1))

    def slow() -> float:
        machine.seconds += 2
        return machine.seconds

    clock = DatabaseClock(database, machine.wall, slow)
    clock.look()
    assert off(clock) > timedelta(minutes=50)
    database.close()
