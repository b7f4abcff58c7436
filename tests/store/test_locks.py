"""Whoever locks incidents and alerts does it in one order: on PostgreSQL nobody is a victim."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

import psycopg
import pytest
from sqlalchemy import ExceptionContext, event, func, select, text

from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.incident import Refused
from tocsin.core.model import DeliveryStatus
from tocsin.dialects import load_all
from tocsin.store.casebook import Casebook
from tocsin.store.db import Database
from tocsin.store.tables import alerts
from tocsin.store.vault import Vault
from tocsin.work import respond
from tocsin.work.intake import Inbox
from tocsin.work.respond import Desk

INCIDENTS = 40
HANDS = 4


@contextmanager
def noting_deadlocks(database: Database) -> Iterator[list[str]]:
    """Note every statement that the database chose as the victim of a deadlock."""
    victims: list[str] = []

    def note(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == "40P01":
            victims.append(context.statement or "")

    event.listen(database.engine, "handle_error", note)
    yield victims
    event.remove(database.engine, "handle_error", note)


@pytest.fixture
def postgres(postgres_url: str, vault: Vault) -> Iterator[World]:
    """Give a world on PostgreSQL whose incidents nobody works on but the test."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        # It looks for deadlocks at once: nobody need wait for it.
        name = psycopg.sql.Identifier(connection.info.dbname)
        connection.execute(
            psycopg.sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '10ms'").format(name)
        )
    database = Database(postgres_url)
    with World(database, vault) as world:
        world.configure(PEOPLE, ONE_STEP, SERVICE)
        for number in range(1, INCIDENTS + 1):
            world.sentry("issue.created", number)
        world.forget()
        with world.held():
            yield world
        world.forget()
    database.close()


def inbox_of(world: World) -> Inbox:
    return Inbox(world.database, world.plans, load_all())


def one_waits(database: Database) -> bool:
    """Whether somebody waits for somebody else's lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with database.read() as connection:
        return bool(connection.scalar(waiting))


@pytest.mark.parametrize("hand", ["resolve", "merge"])
def test_intake_that_waits_for_an_incident_holds_none_of_its_alerts(postgres: World, hand: str):
    """A person has the incident, intake comes, the person goes on to the alerts."""
    world = postgres
    world.sentry("issue.unresolved", 1)
    desk, caller, intake = Desk(world.database, world.plans), world.caller("ann"), inbox_of(world)
    real = Casebook.load_incidents
    intakes: list[threading.Thread] = []

    def hold(book: Casebook, *arguments: object, **options: object) -> None:
        real(book, *arguments, **options)  # type: ignore[arg-type]
        if not intakes:
            intakes.append(threading.Thread(target=intake.work, args=(world.now,)))
            intakes[0].start()
            while intakes[0].is_alive() and not one_waits(world.database):
                pass

    with noting_deadlocks(world.database) as victims, patch.object(
        Casebook, "load_incidents", hold
    ):  # fmt: skip
        if hand == "resolve":
            desk.act("1", respond.resolve(caller.by), caller, world.now)
        else:
            desk.merge("1", "2", caller, world.now)
        intakes[0].join()
    assert victims == []
    assert world.deliveries()[-1].status == DeliveryStatus.PROCESSED
    if hand == "merge":
        # Intake found the alert with another incident than before, and began anew with that.
        assert world.deliveries()[-1].incident_id == world.incident(2).id


def test_hands_and_intake_never_wait_for_each_other_in_a_circle(postgres: World):
    """Four people resolve and merge what one worker takes in again."""
    world = postgres
    for number in range(1, INCIDENTS + 1):
        world.sentry("issue.unresolved", number)
    desk, caller, intake = Desk(world.database, world.plans), world.caller("ann"), inbox_of(world)

    def by_hand(first: int) -> None:
        for number in range(first, INCIDENTS, HANDS):
            # Those that another hand had first are resolved, and no longer to be merged.
            with contextlib.suppress(Refused):
                if first == 1:
                    desk.merge(str(number + 1), str(number), caller, world.now)
                else:
                    desk.act(str(number), respond.resolve(caller.by), caller, world.now)

    def take_in() -> None:
        while intake.work(world.now, 100):
            pass

    with noting_deadlocks(world.database) as victims, ThreadPoolExecutor(HANDS + 1) as pool:
        works: Sequence[Callable[[], None]] = [
            take_in,
            *(lambda first=first: by_hand(first) for first in range(1, HANDS + 1)),  # type: ignore[misc]
        ]
        for done in [pool.submit(work) for work in works]:
            done.result()
    assert victims == []
    assert {one.status for one in world.deliveries()} == {DeliveryStatus.PROCESSED}
    # An alert that fires has an incident that is open, and the other way round.
    with world.database.read() as connection:
        firing = connection.scalar(
            select(func.count()).select_from(alerts).where(alerts.c.resolved_at.is_(None))
        )
    open_ = [one for one in world.incidents() if one.status != "resolved"]
    assert firing == sum(len(one.alerts) for one in open_)
