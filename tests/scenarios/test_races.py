"""What several people do at the same instant happens once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest

from tests.scenarios.test_cases_b import policy
from tests.scenarios.test_engine import ROUND
from tests.world import PEOPLE, SERVICE, World
from tocsin.core.access import Caller
from tocsin.core.incident import Refused
from tocsin.core.model import Actor, Priority
from tocsin.dialects import load_all
from tocsin.store.casebook import Casebook
from tocsin.store.jobs import Kind
from tocsin.work import respond
from tocsin.work.escalate import Clockwork
from tocsin.work.intake import Inbox
from tocsin.work.respond import Desk

HANDS = 8

Action = Callable[[Desk, Caller, World], object]


def by(decide: Callable[[Actor], respond.Decide]) -> Action:
    return lambda desk, caller, world: desk.act("1", decide(caller.by), caller, world.now)


#: What is done, and the kind of the one entry it leaves on the timeline.
ACTIONS: dict[str, tuple[Action, str]] = {
    "acknowledge": (by(respond.acknowledge), "acknowledged"),
    "resolve": (by(respond.resolve), "resolved"),
    "prioritise": (by(lambda actor: respond.prioritise(actor, Priority.LOW)), "raised"),
    "escalate": (lambda desk, caller, world: desk.escalate("1", caller, world.now, 1, 0), "note"),
    "merge": (lambda desk, caller, world: desk.merge("1", "2", caller, world.now), "merged"),
    "ask for help": (
        lambda desk, caller, world: desk.add_responder(
            "1", world.person("cat").user_id or "", caller, world.now
        ),
        "reassigned",
    ),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_what_many_do_at_once_happens_once(blank: World, name: str):
    blank.configure(PEOPLE, policy("ann 5m", "bob 5m", "bob 5m"), SERVICE)
    blank.sentry("issue.created", 1)
    blank.sentry("issue.created", 2)
    blank.forget()
    action, kind = ACTIONS[name]
    desk, before = Desk(blank.database, blank.plans), blank.kinds(1).count(kind)
    callers = [blank.caller(who) for who in ("ann", "bob")] * (HANDS // 2)

    def do(caller: Caller) -> bool:
        try:
            action(desk, caller, blank)
        except Refused:
            return False  # a second press on a step that is no longer the current one
        # A worker looks between the presses, as it would.
        blank.look()
        return True

    with ThreadPoolExecutor(HANDS) as hands:
        done = list(hands.map(do, callers))
    blank.settle()
    assert any(done)
    assert blank.kinds(1).count(kind) == before + 1
    blank.forget()


def test_two_workers_take_turns_from_the_first_time_on(blank: World):
    """Both look at once, each at its incident, at a step that was never taken before."""
    blank.configure(PEOPLE, ROUND, SERVICE)
    real, gate = Casebook.load_turns, threading.Barrier(1 if blank.database.is_sqlite else 2)

    def load_turns(book: Casebook) -> None:
        gate.wait(timeout=30)  # PostgreSQL: both hold their incident now
        real(book)

    with blank.held():
        for number in (1, 2):
            blank.sentry("issue.created", number)
        Inbox(blank.database, blank.plans, load_all()).work(blank.now)

        def look(_worker: int) -> int:
            return Clockwork(blank.database, blank.plans).work(Kind.ESCALATE, blank.now, limit=1)

        with patch.object(Casebook, "load_turns", load_turns), ThreadPoolExecutor(2) as workers:
            assert list(workers.map(look, range(2))) == [1, 1]
    assert sorted(heard.who for heard in blank.take()) == ["ann", "bob"]
    blank.sentry("issue.created", 3)
    blank.expect("cat")


def test_two_workers_that_see_a_release_first_make_one_incident_of_it(blank: World):
    """Neither finds an incident of the release; the database lets one of the two open it."""
    rules = SERVICE.replace("name: checkout, ", "name: checkout, noise: {one_per_release: true}, ")
    blank.configure(PEOPLE, policy("ann 5m"), rules)
    real, once = Casebook.load_alerts, threading.local()
    gate = threading.Barrier(1 if blank.database.is_sqlite else 2)

    def load_alerts(book: Casebook, *args: Any, **more: Any) -> None:
        real(book, *args, **more)
        if not hasattr(once, "was_here"):
            once.was_here = True
            gate.wait(timeout=30)  # PostgreSQL: both have looked now

    with blank.held():
        for number in range(1, 9):
            blank.sentry("event_alert.triggered", number, release="2.4.1")

        def work(_worker: int) -> int:
            return Inbox(blank.database, blank.plans, load_all()).work(blank.now, limit=1)

        with (
            patch.object(Casebook, "load_alerts", load_alerts),
            ThreadPoolExecutor(2) as workers,
        ):
            # Who was second may find its turn taken, and leaves it to the next look.
            assert sum(workers.map(work, range(2))) >= 1
    assert {one.status for one in blank.deliveries()} == {"processed"}
    blank.expect("ann")
    (incident,) = blank.incidents()
    assert len(incident.alerts) == 8
