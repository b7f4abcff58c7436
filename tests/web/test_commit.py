"""Group commit: requests of a group share a transaction, never each other's misfortune."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from sqlalchemy.exc import DataError, OperationalError

from tests.builders import NOW
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.model import (
    DeliveryStatus,
)
from tocsin.store import inbox
from tocsin.store.db import Database, new_id
from tocsin.store.inbox import Arrival
from tocsin.store.spool import Spool, load_of
from tocsin.store.vault import Vault
from tocsin.web import app
from tocsin.web.commit import GroupCommit, is_away


def arrival(reason: str | None = None) -> Arrival:
    return Arrival(
        id=new_id("del", NOW), integration_id="int_1", received_at=NOW, url_style="native",
        resource=None, status=DeliveryStatus.REJECTED, http_status=400, reason=reason,
        dedup_key=None, headers="[]", body=b"{}", key=None,
    )  # fmt: skip


def keep_together(put: Any, arrivals: Sequence[Arrival]) -> list[str | BaseException]:
    """Hand them in while the thread is held up, so that they are one group."""

    async def work() -> list[str | BaseException]:
        commit = GroupCommit(put, asyncio.get_running_loop(), lambda: None)
        with commit._gathered:
            handed = [asyncio.ensure_future(commit.keep(one)) for one in arrivals]
            await asyncio.sleep(0)
        told = await asyncio.gather(*handed, return_exceptions=True)
        await asyncio.to_thread(commit.close)
        return told

    return asyncio.run(work())


@pytest.mark.parametrize("count", [1, 2, 9])
def test_what_cannot_be_kept_fails_alone(database: Database, count: int):
    """A lone surrogate or a NUL (PostgreSQL) stops its own transaction, and no other's."""
    bad = "\ud800" if database.is_sqlite else "\0"
    arrivals = [arrival() for _ in range(count)]
    arrivals[count // 2 : count // 2] = [arrival(bad)]

    def put(group: Sequence[Arrival]) -> list[str]:
        with database.write(is_urgent=True) as connection:
            return inbox.put(connection, group)

    told = keep_together(put, arrivals)
    failed = [isinstance(one, Exception) for one in told]
    assert failed == [one.reason == bad for one in arrivals]
    assert [one for one in told if isinstance(one, str)] == [a.id for a in arrivals if not a.reason]


def test_while_the_database_is_away_all_fail_at_the_first_try():
    """To try each by itself would only take longer."""
    tries: list[int] = []

    def put(group: Sequence[Arrival]) -> list[str]:
        tries.append(len(group))
        raise OperationalError("INSERT", (), Exception("gone"))

    told = keep_together(put, [arrival() for _ in range(5)])
    assert all(isinstance(one, OperationalError) for one in told)
    assert tries == [5]


@pytest.mark.parametrize("state", ["40P01", "40001"], ids=["a deadlock", "a serialisation failure"])
def test_where_another_process_was_first_it_is_tried_again(
    database: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch, state: str
):
    error = OperationalError("INSERT", (), Exception("try again"))
    error.orig.sqlstate = state  # type: ignore[union-attr]
    failures = [error, error]

    def put(*arguments: Any) -> list[str]:
        if failures:
            raise failures.pop()
        return inbox.put(*arguments)

    with World(database, vault) as world:
        world.configure(PEOPLE, ONE_STEP, SERVICE)
        monkeypatch.setattr(app, "inbox", SimpleNamespace(put=put, is_plain=inbox.is_plain))
        world.sentry("issue.created")
        world.expect("ann", "webhook", "page")


# -- with a spool ---------------------------------------------------------------------------------


class Store:
    """A database that is away, or says nothing, when it is told to."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.is_away = False
        self.answers = threading.Event()
        self.answers.set()
        self.refuses: set[str] = set()

    def put(self, arrivals: Sequence[Arrival]) -> list[str]:
        self.answers.wait()
        if self.is_away:
            raise OperationalError("INSERT", (), Exception("gone"))
        if any(one.id in self.refuses for one in arrivals):
            raise DataError("INSERT", (), Exception("not that"))
        self.kept += [one.id for one in arrivals if one.id not in self.kept]
        return [one.id for one in arrivals]


def accepted() -> Arrival:
    return msgspec.structs.replace(arrival(), status=DeliveryStatus.ACCEPTED, http_status=202)


def with_spool(folder: Path, work: Callable[[GroupCommit], Awaitable[None]], store: Store) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        commit = GroupCommit(store.put, loop, lambda: None, Spool(folder, 2**20))
        try:
            await work(commit)
        finally:
            store.answers.set()
            await asyncio.to_thread(commit.close)

    asyncio.run(run())


async def emptied(commit: GroupCommit) -> None:
    while commit.is_spooling:  # noqa: ASYNC110 - it ends in another thread
        await asyncio.sleep(0.01)


def test_while_the_database_is_away_all_are_kept_and_later_are_in_it_in_order(tmp_path: Path):
    store = Store()
    sent = [accepted() for _ in range(30)]

    async def work(commit: GroupCommit) -> None:
        assert await commit.keep(sent[0]) == sent[0].id
        store.is_away = True
        assert [await commit.keep(one) for one in sent[1:20]] == [one.id for one in sent[1:20]]
        assert commit.spooled.waiting == 19
        assert store.kept == [sent[0].id]
        store.is_away = False
        # While some wait, nobody overtakes them.
        await asyncio.gather(*(commit.keep(one) for one in sent[20:]))
        await emptied(commit)
        assert store.kept == [one.id for one in sent]
        late = accepted()
        await commit.keep(late)
        assert store.kept[-1] == late.id

    with_spool(tmp_path, work, store)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_says_nothing_is_not_waited_for(tmp_path: Path):
    """And what it did all the same of which nobody heard is there once."""
    store = Store()

    async def work(commit: GroupCommit) -> None:
        for _again in range(3):
            await silence(commit)

    async def silence(commit: GroupCommit) -> None:
        sent = [accepted() for _ in range(5)]
        store.kept.clear()
        store.answers.clear()
        async with asyncio.timeout(20):
            assert await commit.keep(sent[0]) == sent[0].id
            assert [await commit.keep(one) for one in sent[1:]] == [one.id for one in sent[1:]]
        assert store.kept == []
        assert commit.spooled.waiting == 5
        store.answers.set()
        await emptied(commit)
        assert store.kept == [one.id for one in sent]

    with_spool(tmp_path, work, store)


def test_what_the_database_refuses_is_set_aside_and_holds_up_nobody(tmp_path: Path):
    store = Store()
    sent = [accepted() for _ in range(7)]
    store.refuses = {sent[3].id}

    async def work(commit: GroupCommit) -> None:
        store.is_away = True
        await asyncio.gather(*(commit.keep(one) for one in sent))
        store.is_away = False
        await emptied(commit)
        assert store.kept == [one.id for one in sent if one is not sent[3]]
        assert commit.spooled.refused == 1

    with_spool(tmp_path, work, store)


def test_what_was_refused_at_the_door_is_not_kept_beside_a_database_that_is_away(tmp_path: Path):
    """Anybody can be refused, as often as they like."""
    store = Store()
    store.is_away = True

    async def work(commit: GroupCommit) -> None:
        one = arrival()
        assert await commit.keep(one) == one.id
        assert commit.spooled.waiting == 0

    with_spool(tmp_path, work, store)


def test_a_process_that_ends_leaves_what_it_could_not_hand_over(tmp_path: Path):
    store = Store()
    store.is_away = True
    sent = [accepted() for _ in range(3)]

    async def first(commit: GroupCommit) -> None:
        await asyncio.gather(*(commit.keep(one) for one in sent))

    async def second(commit: GroupCommit) -> None:
        store.is_away = False
        await emptied(commit)

    with_spool(tmp_path, first, store)
    assert load_of(tmp_path).waiting == 3
    with_spool(tmp_path, second, store)
    assert store.kept == [one.id for one in sent]


@pytest.mark.parametrize(
    ("state", "is_so"),
    [(None, True), ("08006", True), ("57P01", True), ("53100", True), ("54000", False)],
)
def test_which_words_of_a_database_mean_that_it_is_away(state: str | None, is_so: bool):
    error = OperationalError("INSERT", (), Exception("x"))
    error.orig.sqlstate = state  # type: ignore[union-attr]
    assert is_away(error) is is_so
    assert not is_away(DataError("INSERT", (), Exception("x")))
