"""The auditor: whoever can do something is told when pages do not go out, and once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete

from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin import auditor as module
from tocsin.auditor import Auditor, Senses
from tocsin.core.retry import Outcome, Report
from tocsin.store.room import Disk, Room
from tocsin.store.tables import jobs as job_table
from tocsin.work.oversight import Oversight

FALLBACK = "fallback: {user: bob@example.com}"
LOOK = module.EVERY


@dataclass(slots=True)
class Watched:
    """A world, and an auditor that looks at it."""

    world: World
    ticked_at: Callable[[], datetime | None]
    beats: list[datetime] = field(default_factory=list)
    is_heard: bool = True
    room: Room | None = None
    auditor: Auditor = field(init=False)

    def __post_init__(self) -> None:
        self.auditor = self.another()

    def another(self) -> Auditor:
        world = self.world
        senses = Senses(
            clock=lambda: world.now,
            ticked_at=lambda: self.ticked_at(),  # noqa: PLW0108 - it may be another one later
            has_worker=True,
            room=self.room,
            beat=self.beat,
        )
        oversight = Oversight(world.database, world.plans)
        return Auditor(oversight, dict(world.recorders), senses)

    async def beat(self) -> bool:
        self.beats.append(self.world.now)
        return self.is_heard

    def look(self, auditor: Auditor | None = None, times: int = 2) -> None:
        """Let it look so many times, while the work itself stands still."""
        for _ in range(times):
            self.world.now += LOOK
            self.world._runner.run((auditor or self.auditor).audit())

    def wait(self, **span: Any) -> None:
        self.world.now += timedelta(**span)


@pytest.fixture
def watched(world: World) -> Watched:
    world.configure(PEOPLE, ONE_STEP, SERVICE, FALLBACK)
    world.settle()
    return Watched(world, lambda: world.now)


def warning(world: World, who: str = "bob") -> Any:
    return msgspec.json.decode(world.expect(who, "webhook", "warning").message.document)


def test_a_step_that_nobody_takes_is_told_to_the_fallback(watched: Watched):
    world = watched.world
    world.sentry("issue.created")
    world.expect("ann", "webhook", "page")
    watched.wait(minutes=5, seconds=50)
    watched.look()
    world.expect_nothing()
    watched.look()
    said = warning(world)
    assert said["type"] == "tocsin.warning"
    assert said["data"]["reason"] == "steps"
    assert said["data"]["can_page"] is False
    assert "1 steps of escalations" in said["data"]["text"]
    world.expect_nothing()


def test_a_step_whose_job_was_lost_is_found(watched: Watched):
    """As timers are, in a queue that has forgotten them."""
    world = watched.world
    world.sentry("issue.created")
    world.expect("ann", "webhook", "page")
    with world.database.write() as connection:
        connection.execute(delete(job_table))
    watched.wait(minutes=7)
    watched.look()
    assert warning(world)["data"]["reason"] == "steps"


def test_nothing_is_told_while_all_is_done_in_time(watched: Watched):
    world = watched.world
    world.sentry("issue.created")
    world.expect("ann", "webhook", "page")
    for _ in range(20):
        world.forward(seconds=50)
        watched.look(times=1)
    world.expect_nothing()
    assert len(watched.beats) >= 10


def test_one_look_back_after_an_outage_is_no_trouble(watched: Watched):
    """All of it is late, and done before the next look."""
    world = watched.world
    world.sentry("issue.created")
    world.expect("ann", "webhook", "page")
    watched.wait(hours=1)
    watched.look(times=1)
    world.settle()
    watched.look(times=1)
    world.forget()
    assert not watched.auditor._told


def test_what_lasts_is_told_once_an_hour_by_one_of_many(watched: Watched):
    world = watched.world
    others = [watched.another() for _ in range(3)]
    world.sentry("issue.created")
    world.expect("ann", "webhook", "page")
    watched.wait(minutes=7)
    for auditor in (watched.auditor, *others):
        watched.look(auditor)
        watched.look(auditor)
    warning(world)
    world.expect_nothing()
    watched.wait(hours=1)
    for auditor in (watched.auditor, *others):
        watched.look(auditor)
    warning(world)
    world.expect_nothing()


def test_webhooks_that_nobody_processes_are_told(watched: Watched):
    world = watched.world
    with world.held():
        world.sentry("issue.created")
        watched.look(times=7)
        world.expect_nothing()
        watched.look(times=3)
        assert warning(world)["data"]["reason"] == "inbox"
    world.forget()


def test_a_backlog_that_shrinks_is_no_trouble(watched: Watched):
    world = watched.world
    for number in range(30):
        with world.held():
            world.sentry("issue.created", number)
            watched.look(times=1)
    world.forget()
    assert not watched.auditor._told


def test_without_a_fallback_every_owner_is_told(world: World):
    owners = PEOPLE.replace("name: Cat\n", "name: Cat\n    role: owner\n")
    world.configure(owners, ONE_STEP, SERVICE)
    watched = Watched(world, lambda: world.now)
    world.sentry("issue.created")
    world.expect("ann", "webhook", "page")
    with world.database.write() as connection:
        connection.execute(delete(job_table))
    watched.wait(minutes=7)
    watched.look()
    warning(world, "cat")


def test_what_nobody_heard_is_told_again(watched: Watched):
    world = watched.world
    world.sentry("issue.created")
    world.expect("ann", "webhook", "page")
    with world.database.write() as connection:
        connection.execute(delete(job_table))
    watched.wait(minutes=7)
    world.recorders["webhook"].answers = [Report(outcome=Outcome.RETRY, detail="no")] * 2
    watched.look(times=3)
    warning(world)
    warning(world)
    watched.look(times=3)
    warning(world)
    world.expect_nothing()


# -- the heartbeat --------------------------------------------------------------------------------


def test_while_all_is_well_the_heart_beats_once_a_minute(watched: Watched):
    watched.look(times=36)
    assert len(watched.beats) == 6


def test_it_stops_at_the_first_sign_that_pages_do_not_go_out(watched: Watched):
    world = watched.world
    world.sentry("issue.created")
    world.expect("ann", "webhook", "page")
    watched.look(times=1)
    watched.wait(minutes=7)
    watched.look(times=12)
    assert len(watched.beats) == 1
    world.forget()
    world.settle()
    world.forget()
    watched.look(times=1)
    assert len(watched.beats) == 2


def test_one_that_was_not_heard_is_tried_at_the_next_look(watched: Watched):
    watched.is_heard = False
    watched.look(times=3)
    assert len(watched.beats) == 3


def test_a_worker_that_stands_still_is_told(watched: Watched):
    world = watched.world
    stopped_at = world.now
    watched.ticked_at = lambda: stopped_at
    watched.look(times=3)
    world.expect_nothing()
    watched.look(times=2)
    assert warning(world)["data"]["reason"] == "worker"
    assert len(watched.beats) == 1


def test_a_database_that_is_away_is_told_from_memory(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
):
    def gone(*_given: object) -> None:
        raise OSError("gone")

    world = watched.world
    watched.look()
    monkeypatch.setattr(watched.auditor._oversight, "look", gone)
    monkeypatch.setattr(watched.auditor._oversight, "may_tell", gone)
    watched.look(times=6)
    world.expect_nothing()
    watched.look(times=3)
    assert warning(world)["data"]["reason"] == "database"
    watched.look(times=30)
    world.expect_nothing()


# -- the disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "reason", "can_page"), [(9, "room", True), (11, None, True)], ids=["91 %", "89 %"]
)
def test_a_disk_that_is_nearly_full_is_told_once_a_day(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    free: int, reason: str | None, can_page: bool,
):  # fmt: skip
    world = watched.world
    watched.room = Room(tmp_path)
    monkeypatch.setattr(watched.room, "tend", lambda: Disk(total=100 * 2**30, free=free * 2**30))
    auditor = watched.another()
    world._runner.run(auditor.tend())
    watched.look(auditor)
    if reason is None:
        world.expect_nothing()
        return
    said = warning(world)
    assert (said["data"]["reason"], said["data"]["can_page"]) == (reason, can_page)
    watched.wait(hours=20)
    watched.look(auditor)
    world.expect_nothing()
    watched.wait(hours=5)
    watched.look(auditor)
    warning(world)
    assert watched.beats


def test_a_full_disk_is_told_and_the_heart_stops(watched: Watched, tmp_path: Path):
    watched.room = Room(tmp_path)
    watched.room.is_short = True
    auditor = watched.another()
    auditor._disk = Disk(total=100, free=0)
    watched.look(auditor)
    assert warning(watched.world)["data"]["reason"] == "disk"
    assert watched.beats == []


def test_it_runs_until_it_is_stopped(watched: Watched, tmp_path: Path):
    """Meanwhile it looks, and tends to the disk."""
    watched.room, ballast = Room(tmp_path), tmp_path / "ballast"

    async def run() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(watched.another().run(stop))
        while not (watched.beats and ballast.exists()):  # noqa: ASYNC110 - somebody else's
            await asyncio.sleep(0.01)
        stop.set()
        await running

    watched.world._runner.run(run())
