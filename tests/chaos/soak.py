"""Half an hour of work: what grows with time, and should not."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from tests.chaos.ledger import steady
from tests.chaos.providers import Provider
from tests.chaos.rig import Rig, is_idle, rss_mib, running, tell, until
from tests.chaos.taking import ERROR, QUIET
from tests.chaos.verdict import Test, Verdict
from tests.outside import Tocsin
from tocsin.store import sessions
from tocsin.store.tables import users

PER_SECOND = 50
BROWSERS = 50

#: Of so many webhooks one is of a new issue; the others are of some that are known.
NEW = 20
KNOWN = 500

#: Times at which is looked, in all.
LOOKS = 90


@dataclass(frozen=True, slots=True)
class Look:
    """What the process has at one time."""

    rss_mib: float
    files: int
    wal_mib: float


def _look(tocsin: Tocsin) -> Look:
    wal = Path(tocsin.environment["TOCSIN_DATABASE_URL"].removeprefix("sqlite:///") + "-wal")
    return Look(
        rss_mib=rss_mib(tocsin),
        files=len(list(Path(f"/proc/{tocsin.pid}/fd").iterdir())),
        wal_mib=wal.stat().st_size / 2**20 if wal.exists() else 0.0,
    )


def _issue(number: int) -> str:
    return str(10**7 + number // NEW) if number % NEW == 0 else str(number % KNOWN)


def _sign_in(tocsin: Tocsin) -> str:
    keys: list[str] = []

    def begin(connection: object) -> None:
        id_ = connection.scalar(select(users.c.id).limit(1))  # type: ignore[attr-defined]
        keys.append(
            sessions.begin(connection, id_, "chaos", "127.0.0.1", datetime.now(UTC))  # type: ignore[arg-type]
        )

    tell(tocsin, begin)
    return keys[-1]


class Browser:
    """Looks at the list of incidents, and comes again when it is told to."""

    def __init__(self, port: int, key: str) -> None:
        """Look with the key of a session."""
        self._port = port
        self._head = (
            f"GET /live/incidents HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: tocsin={key}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        ).encode()
        self.heard = 0
        self.visits = 0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            with contextlib.suppress(OSError, EOFError):
                await self._visit()
            await asyncio.sleep(2)

    async def _visit(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        try:
            writer.write(self._head)
            await reader.readuntil(b"event: hello")
            self.visits += 1
            while await reader.readuntil(b"\n\n"):
                self.heard += 1
        finally:
            writer.transport.abort()


async def soaked(rig: Rig) -> Verdict:
    """R15."""
    verdict, looks, seconds = Verdict(), list[Look](), rig.soak_minutes * 60
    async with Provider() as provider:
        tocsin = await rig.fresh("sqlite", QUIET.format(base=provider.base))
        async with running(tocsin):
            key = await asyncio.to_thread(_sign_in, tocsin)
            browsers = [Browser(tocsin.port, key) for _ in range(BROWSERS)]
            looking = [asyncio.create_task(browser.run()) for browser in browsers]
            await until(lambda: all(browser.visits for browser in browsers), "all browsers look")
            async with steady(tocsin.port, ERROR, PER_SECOND, issue=_issue) as ledger:
                began = time.perf_counter()
                for at in range(1, LOOKS + 1):
                    await asyncio.sleep(
                        max(0.0, began + at * seconds / LOOKS - time.perf_counter())
                    )
                    looks.append(_look(tocsin))
            deaf = sum(browser.heard == 0 for browser in browsers)
            for one in looking:
                one.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
            await until(lambda: is_idle(tocsin), "all processed")
    third, last = looks[LOOKS // 3 : LOOKS // 2], looks[-LOOKS // 6 :]
    before = statistics.median(look.rss_mib for look in third)
    after = statistics.median(look.rss_mib for look in last)
    verdict.note(
        minutes=round(rig.soak_minutes, 1), accepted=len(ledger.seconds),
        not_202=sum(ledger.others.values()), p99_seconds=ledger.percentile(0.99),
        pages=len(provider.pages()), rss_mib_after_a_third=before, rss_mib_at_the_end=after,
        growth_percent=(after / before - 1) * 100,
        files_after_a_third=max(look.files for look in third),
        files_at_the_end=max(look.files for look in last),
        wal_mib_max=max(look.wal_mib for look in looks), deaf_browsers=deaf,
    )  # fmt: skip
    verdict.must(not ledger.others, f"answers that were no 202: {dict(ledger.others)}")
    verdict.must(after <= before * 1.05, "resident memory grew by more than 5 %")
    grown = verdict.figures["files_at_the_end"] - verdict.figures["files_after_a_third"]
    verdict.must(grown <= 3, "the number of open files grew")
    verdict.must(verdict.figures["wal_mib_max"] <= 64, "the write-ahead log grew beyond 64 MiB")
    verdict.must(deaf == 0, "a browser was told nothing")
    return verdict


TESTS = (
    Test("R15", "a soak: 50 webhooks a second, 50 browsers that look", ("G2", "G9"), soaked,
         only_full=True),
)  # fmt: skip
