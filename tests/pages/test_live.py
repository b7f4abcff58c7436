"""Browsers that look are told what changes, whoever changed it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.world import World
from tocsin.store import views
from tocsin.web.live import EVERYTHING, Live, Watcher
from tocsin.web.pages import look


@pytest.fixture
def live(world: World) -> Live:
    return Live(world.database, world.plans, lambda: world.now, look.render, every=0.01)


def told(
    live: Live,
    subject: str,
    do: Callable[[], object] = lambda: None,
    watcher: Watcher | None = None,
    since: int | None = None,
    count: int = 1,
) -> list[str]:
    """Return what a browser is told, after its greeting, of what is done while it looks."""

    async def look() -> list[str]:
        messages = aiter(live.watch(subject, watcher or Watcher(), since))
        assert "hello" in (await anext(messages)).decode()
        await asyncio.to_thread(do)
        heard = [(await within(messages.__anext__)).decode() for _ in range(count)]
        live.close()
        assert [one async for one in messages] == []
        return heard

    return asyncio.run(look())


async def within(work: Callable[[], Awaitable[bytes]]) -> bytes:
    return await asyncio.wait_for(work(), 20)


def change_since(world: World) -> int:
    with world.database.read() as connection:
        return views.last_change(connection)


def test_a_new_incident_comes_as_a_row(world: World, live: Live):
    [message] = told(live, EVERYTHING, lambda: world.sentry("issue.created", 7, title="<b>Oops"))
    assert message.startswith("event: rows\n")
    assert 'id="incident-1"' in message
    assert "&lt;b&gt;Oops" in message
    world.take()


def test_an_incident_that_changes_comes_again(world: World, live: Live):
    world.sentry("issue.created", 7)
    world.take()
    [message] = told(live, EVERYTHING, lambda: world.api("POST", "/incidents/1/resolve"))
    assert "resolved" in message
    world.take()


def open_one(world: World, service: str) -> None:
    world.api("POST", "/incidents", {"service": service, "title": "by hand"})
    world.forget()


def leave_team(world: World, *names: str) -> None:
    """Let the team of the service have these members only."""
    world.api("PATCH", "/teams/payments", {"members": [f"{one}@example.com" for one in names]})


def test_who_does_not_see_an_incident_is_not_told_of_it(world: World, live: Live):
    world.api("POST", "/services", {"name": "open", "escalation_policy": "default"})
    leave_team(world, "bob", "cat")
    viewer = Watcher(world.user("viewer").id)

    def both() -> None:
        open_one(world, "checkout")
        open_one(world, "open")

    heard = "".join(told(live, EVERYTHING, both, viewer))
    assert "incident-2" in heard
    assert "incident-1" not in heard


def test_who_has_an_incident_is_told_of_it_whatever_its_team(world: World, live: Live):
    leave_team(world, "bob", "cat")
    [message] = told(
        live, EVERYTHING, lambda: open_one(world, "checkout"), Watcher(world.user("ann").id)
    )
    assert "incident-1" in message


def test_who_leaves_a_team_is_told_of_it_no_more(world: World, live: Live):
    world.api("POST", "/services", {"name": "open", "escalation_policy": "default"})
    viewer = Watcher(world.user("viewer").id)

    def leave() -> None:
        open_one(world, "checkout")
        leave_team(world, "bob", "cat")
        world.api("POST", "/incidents/1/resolve")
        open_one(world, "open")

    heard = "".join(told(live, EVERYTHING, leave, viewer))
    assert "resolved" not in heard


def test_what_came_between_the_page_and_the_watch_is_read_again(world: World, live: Live):
    known = change_since(world)
    world.sentry("issue.created", 7)
    world.take()
    [message] = told(live, EVERYTHING, since=known)
    assert message.startswith("event: again\n")


def test_a_page_of_an_incident_is_told_of_it_alone(world: World, live: Live):
    world.sentry("issue.created", 7)
    world.sentry("issue.created", 8)
    world.take()
    world.take()
    id_ = world.api("GET", "/incidents/2")["id"]

    def both() -> None:
        world.api("POST", "/incidents/1/acknowledge")
        world.api("POST", "/incidents/2/acknowledge")

    [message] = told(live, id_, both)
    assert message.startswith("event: changed\n")
    world.forget()


def test_a_delivery_shows_up_where_somebody_waits_for_it(world: World, live: Live):
    id_ = next(iter(world.plans.refresh().integrations))
    [message] = told(live, id_, lambda: world.sentry("issue.created", 7))
    assert "event: check\n" in message
    assert "event: rows\n" in message
    world.take()


def test_a_storm_is_told_of_in_parts(world: World, live: Live):
    live._watchers[EVERYTHING] = {Watcher()}
    live._newest = "inc_0500"
    changed = {f"inc_{number:04}" for number in range(300, 700)}
    told_of, is_more = live._worth_telling(changed)
    assert told_of[-1] == "inc_0699"
    assert told_of == sorted(told_of)
    assert len([id_ for id_ in told_of if id_ > "inc_0500"]) == 50
    assert len([id_ for id_ in told_of if id_ <= "inc_0500"]) == 100
    assert is_more


def test_a_slow_browser_is_told_to_read_again_and_costs_no_memory():
    async def look() -> list[bytes]:
        watcher = Watcher()
        for number in range(1000):
            watcher.tell(f"data: {number}\n\n".encode())
        messages = aiter(watcher.messages())
        heard = [await anext(messages) for _ in range(17)]
        watcher.tell(b"data: late\n\n")
        return [*heard, await anext(messages)]

    heard = asyncio.run(look())
    assert heard[16] == b"data: 15\n\n"
    assert heard[17].startswith(b"event: again")


def test_many_browsers_that_come_at_once_are_looked_for_by_one(live: Live):
    """As they do after a restart: each comes again after two seconds."""

    async def come() -> int:
        looks = 0
        original = live._look_forever

        async def counted(has_begun: asyncio.Event) -> None:
            nonlocal looks
            looks += 1
            await original(has_begun)

        live._look_forever = counted  # type: ignore[method-assign]
        browsers = [aiter(live.watch(EVERYTHING, Watcher())) for _ in range(50)]
        await asyncio.gather(*(anext(one) for one in browsers))
        live.close()
        return looks

    assert asyncio.run(come()) == 1


def test_what_changed_while_nothing_could_be_seen_is_read_again(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch
):
    original, failures = live._read, iter([True, True])

    def fails_twice(joined: set[str]) -> object:
        if next(failures, False):
            raise OSError("the database is away")
        return original(joined)

    monkeypatch.setattr(live, "_read", fails_twice)
    [message] = told(live, EVERYTHING)
    assert message.startswith("event: again\n")


def test_a_browser_has_to_come_again_after_a_while(monkeypatch: pytest.MonkeyPatch):
    """Whoever was let out meanwhile is not let in again."""
    monkeypatch.setattr("tocsin.web.live._LONGEST", -1.0)

    async def look() -> list[bytes]:
        return [message async for message in Watcher().messages()]

    [hello] = asyncio.run(look())
    assert b"hello" in hello
