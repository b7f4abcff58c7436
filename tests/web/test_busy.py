"""When processing makes way for webhooks: for those that are at work, not for those that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders import NOW
from tocsin.core.plans import Integration
from tocsin.dialects import load_all
from tocsin.web.deadlines import Deadlines
from tocsin.web.intake import Intake, Ports

INTEGRATION = Integration(
    id="int_1", name="sentry", service_id="svc_1", source="sentry", dialect="auto",
    signing_secrets=(), sentry_url=None, is_enabled=True, is_replay_strict=False,
)  # fmt: skip


async def never(*_arguments: Any) -> Any:
    await asyncio.get_running_loop().create_future()


async def at_once(arrival: Any, *_arguments: Any) -> str:
    return str(arrival.id)


async def whole_body() -> Any:
    return {"type": "http.request", "body": b'{"issue":{"id":"1"},"action":"created"}'}


async def nowhere(_message: Any) -> None:
    pass


def busy(receive: Callable[[], Awaitable[Any]], keep: Any, headers: Any = ()) -> int:
    """Send six requests; return how many are at work once nothing moves any more."""

    async def work() -> int:
        deadlines = Deadlines(asyncio.get_running_loop())
        ports = Ports(
            plans=SimpleNamespace(by_routing_key=lambda _hash: INTEGRATION),  # type: ignore[arg-type]
            dialects=load_all(), keep=keep, stored=never, outcome=never, who=never,
            events_of=never, count=lambda *_: None, max_body=1000,
        )  # fmt: skip
        intake = Intake(ports, lambda: NOW, deadlines)
        scope = {"path": "/in/key", "method": "POST", "query_string": b"", "headers": [*headers]}
        tasks = [asyncio.ensure_future(intake(scope, receive, nowhere)) for _ in range(6)]
        for _ in range(20):
            await asyncio.sleep(0)
        count = intake.at_work
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        deadlines.close()
        assert intake.at_work == 0
        return count

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("receive", "keep", "headers", "count"),
    [
        pytest.param(never, never, (), 0, id="half a body is no work"),
        pytest.param(whole_body, never, (), 6, id="what is being kept is"),
        pytest.param(whole_body, at_once, [(b"prefer", b"wait=10")], 0, id="to wait is none"),
    ],
)
def test_who_is_at_work(receive: Any, keep: Any, headers: Any, count: int):
    """Six clients that never finish must not slow down what pages people."""
    assert busy(receive, keep, headers) == count
