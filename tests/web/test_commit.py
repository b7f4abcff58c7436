"""Group commit: requests of a group share a transaction, never each other's misfortune."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.builders import NOW
from tests.world import ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.model import (
    DeliveryStatus,
)
from tocsin.store import inbox
from tocsin.store.db import Database, new_id
from tocsin.store.inbox import Arrival
from tocsin.store.vault import Vault
from tocsin.web import app
from tocsin.web.commit import GroupCommit


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
