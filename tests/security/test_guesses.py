"""S11: a thousand guesses at a password, from one machine and from two hundred.

What is counted are comparisons of hashes, where they are made: those cost the processor, and only
they let somebody in. Seconds are measured in the long profile, against a real server.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import select

from tests.chaos.ledger import Ledger, Template, steady
from tests.conftest import fresh_sqlite
from tests.outside import Tocsin
from tests.pages.people import PASSWORD, accounts_of, give_password
from tests.security.door import IS_FULL, tell
from tests.world import World
from tocsin.core.session import LinkKind
from tocsin.store import accounts
from tocsin.store.db import Database
from tocsin.store.tables import users
from tocsin.work.accounts import Accounts, Guest, WrongPassword
from tocsin.work.hashing import Hashing, Throttled

GUESSES = 1000
QUARTER = timedelta(minutes=15)
MOST = 20

#: Of IPv4's loopback network, as if each were a machine.
SOURCES = [f"127.0.0.{number}" for number in range(2, 202)]


@dataclass
class Counted:
    """A hasher that counts, by the parameters of the hash; and how many are at it at once."""

    hasher: PasswordHasher
    by: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hash(self, password: bytes) -> str:
        made = self.hasher.hash(password)
        self.by.append(str(extract_parameters(made)))
        return made

    def verify(self, hashed: str, password: bytes) -> bool:
        with self.lock:
            self.by.append(str(extract_parameters(hashed)))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self.hasher.verify(hashed, password)
        finally:
            with self.lock:
                self.at_once -= 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hasher, name)


def counting(world: World, hasher: PasswordHasher | None = None) -> tuple[Accounts, Counted]:
    """Return where people are let in, with hashes that take no time unless a hasher is given."""
    counted = Counted(hasher or PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    hashing = Hashing()
    hashing._hasher = counted  # type: ignore[assignment]
    return Accounts(world.database, world.plans, world.vault, hashing=hashing), counted


def guest(source: str, device: str = "") -> Guest:
    return Guest(address=source, browser="tests", device=device)


def guess(doors: Accounts, world: World, email: str, source: str) -> str:
    """Try a wrong password; return how it was refused."""
    try:
        doors.sign_in(email, "three wrong words", guest(source), world.now)
    except (WrongPassword, Throttled) as refused:
        return type(refused).__name__
    raise AssertionError("a wrong password let somebody in")


def many(world: World, count: int = GUESSES // 5) -> int:
    """Return how many guesses: a thousand, where that is not too long, and in the long profile."""
    return GUESSES if IS_FULL else count if world.database.is_sqlite else GUESSES // 20


@pytest.mark.parametrize(
    ("who", "sources", "at_least"),
    [
        ("ann", SOURCES, GUESSES),
        ("ann", SOURCES[:1], GUESSES // 2),
        ("nobody", SOURCES, GUESSES // 5),
        ("nobody", SOURCES[:1], GUESSES // 5),
    ],
    ids=["from two hundred", "from one", "nobody, from two hundred", "nobody, from one"],
)
def test_s11_a_thousand_guesses_at_one_account_are_twenty(
    world: World, who: str, sources: list[str], at_least: int
):
    """And whoever knows the password gets in all the while."""
    give_password(world, "ann")
    doors, counted = counting(world)
    known = doors.sign_in("ann@example.com", PASSWORD, guest("192.0.2.1"), world.now).device
    counted.by.clear()
    count, began = many(world, at_least), world.now
    for number, source in zip(range(count), itertools.cycle(sources), strict=False):
        world.now = began + QUARTER * number / count
        guess(doors, world, f"{who}@example.com", source)
    assert 4 <= len(counted.by) <= MOST
    at = world.now
    assert doors.sign_in("ann@example.com", PASSWORD, guest("192.0.2.1", known), at).user_id
    if len(sources) == 1 or who == "nobody":
        assert doors.sign_in("ann@example.com", PASSWORD, guest("192.0.2.2"), at).user_id


def test_s11_who_has_no_browser_that_is_known_gets_in_by_a_mailed_link(world: World):
    """While two hundred machines guess; and what they guess goes on costing nothing."""
    give_password(world, "ann")
    doors, _ = counting(world)
    for source in SOURCES[:30]:
        guess(doors, world, "ann@example.com", source)
    with pytest.raises(Throttled):
        doors.sign_in("ann@example.com", PASSWORD, guest("192.0.2.1"), world.now)
    accounts_of(world).forgot("ann@example.com", "192.0.2.1", world.now)
    world.settle()
    mailed = world.expect("ann", "email", "reset").message.text
    key = re.search(r"/reset/(\S+)", mailed)
    assert key is not None
    entry = doors.use_link(
        LinkKind.RESET, key[1], "three other words", guest("192.0.2.1"), world.now
    )
    assert entry.user_id == world.user("ann").id


@pytest.mark.parametrize("sources", [SOURCES[:1], SOURCES], ids=["one machine", "two hundred"])
def test_s11_one_password_tried_on_everybody(world: World, sources: list[str]):
    """One machine comes to thirty accounts; of each account there is one guess, whoever it is."""
    give_password(world, "ann", "bob", "cat")
    doors, counted = counting(world)
    names = ["ann", "bob", "cat", *(f"person-{number}" for number in range(many(world) - 3))]
    told = Counter(
        guess(doors, world, f"{name}@example.com", source)
        for name, source in zip(names, itertools.cycle(sources), strict=False)
    )
    most = 30 if len(sources) == 1 else many(world)
    assert told["WrongPassword"] == len(counted.by) == min(most, many(world))
    assert len(set(counted.by)) <= 2, "those of people, and those of nobody"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ann@example.com", "three wrong words"),
        ("nobody@example.com", "three wrong words"),
        ("bob@example.com", "three wrong words"),
        ("ann@example.com", "x" * 5000),
        ("nobody@example.com", "x" * 5000),
        ("ann@example.com", ""),
        ("no address", "\ud800"),
    ],
    ids=["wrong", "nobody", "no password", "long", "long, nobody", "empty", "no address"],
)
def test_s11_whoever_it_is_one_hash_is_compared_and_by_the_same_parameters(
    world: World, email: str, password: str
):
    """From the very first guess on: nothing is made beforehand that a first one would wait for."""
    doors, counted = counting(world, PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    ann = world.user("ann").id
    doors.give_password(ann, PASSWORD, world.now)
    [made] = counted.by
    counted.by.clear()
    with pytest.raises(WrongPassword):
        doors.sign_in(email, password, guest("192.0.2.1"), world.now)
    assert counted.by == [made]


def test_s11_what_is_compared_for_nobody_costs_what_a_password_costs():
    """By the parameters that are set up, and of a length that any hash has."""
    hashing = Hashing()
    of_somebody = extract_parameters(hashing._hasher.hash("three odd words"))
    assert extract_parameters(hashing._nobodys) == of_somebody
    assert (of_somebody.memory_cost, of_somebody.time_cost) == (47_104, 3)
    assert hashing._nobodys != hashing._nobodys
    with pytest.raises(VerifyMismatchError):  # it is a hash, and not one that is refused unread
        hashing._hasher.verify(hashing._nobodys, "three odd words")


def test_s11_two_hashes_at_once_two_wait_and_everybody_else_is_told_to_come_again():
    """Forty guesses at one moment, none of which ends before all have come."""
    counted = Counted(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    hashing = Hashing()
    hashed = counted.hasher.hash("right")
    all_came, refused = threading.Event(), threading.Semaphore(0)

    class Slow(Counted):
        def verify(self, hashed: str, password: bytes) -> bool:
            with self.lock:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            assert all_came.wait(20)
            with self.lock:
                self.at_once -= 1
            return self.hasher.verify(hashed, password)

    slow = Slow(counted.hasher)
    hashing._hasher = slow  # type: ignore[assignment]

    def one(_number: int) -> bool | None:
        try:
            return hashing.is_right(hashed, "wrong")
        except Throttled:
            refused.release()
            return None

    with ThreadPoolExecutor(40) as pool:
        answers = pool.map(one, range(40))
        for _ in range(36):
            assert refused.acquire(timeout=20)
        all_came.set()
        told = Counter(answers)
    assert told == {False: 4, None: 36}
    assert slow.most_at_once == 2


# -- against a real server ------------------------------------------------------------------------

ON_A_QUIET_MACHINE = pytest.mark.skipif(not IS_FULL, reason="takes a minute (test-full)")

#: How a guess is refused: it was compared and is wrong; or there were too many.
WRONG, TOO_MANY = 401, 429

CONFIGURATION = """
users:
  - {email: ann@example.com, name: Ann}
PEOPLE
escalation_policies:
  - {name: default, steps: [{targets: [{user: ann@example.com}], wait: 1h}]}
services: [{name: checkout, escalation_policy: default}]
integrations: [{name: sentry, service: checkout, routing_key: key-of-sentry}]
"""

PAIRS = 60


class Guesser:
    """A browser at an address of the loopback network."""

    def __init__(self, tocsin: Tocsin) -> None:
        """Get a form once: its token is good for many."""
        self.port = tocsin.port
        page = tocsin.request("GET", "/login", headers={"Accept": "text/html"})
        token = re.search(rb'name="_csrf_token" value="([^"]*)"', page.body)
        assert token is not None
        self.token = token[1].decode()
        self.cookie = page.headers["set-cookie"].partition(";")[0]

    def sign_in(self, email: str, password: str, source: str) -> tuple[int, float]:
        """Type both; return what was answered, and after how long."""
        fields = {"email": email, "password": password, "_csrf_token": self.token}
        headers = {"Cookie": self.cookie, "Content-Type": "application/x-www-form-urlencoded"}
        with closing(
            HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(source, 0))
        ) as connection:
            connection.connect()
            began = time.perf_counter()
            connection.request("POST", "/login", urlencode(fields), headers)
            response = connection.getresponse()
            response.read()
            return response.status, time.perf_counter() - began


@pytest.fixture
def real(tmp_path: Path, sqlite_template: Path) -> Iterator[Tocsin]:
    """Give a server with people who all have passwords."""
    tocsin = Tocsin(tmp_path, fresh_sqlite(tmp_path, sqlite_template))
    people = "\n".join(
        f"  - {{email: p{number}@example.com, name: P{number}}}" for number in range(PAIRS)
    )
    tocsin.apply(CONFIGURATION.replace("PEOPLE", people))
    database = Database(tocsin.environment["TOCSIN_DATABASE_URL"])
    hashed = PasswordHasher(time_cost=3, memory_cost=47_104, parallelism=1).hash(PASSWORD)
    now = datetime.now(UTC)
    with database.read() as connection:
        ids = list(connection.scalars(select(users.c.id)))
    for id_ in ids:
        database.run(lambda writing, id_=id_: accounts.set_password(writing, id_, hashed, now))
    database.close()
    tocsin.start()
    try:
        yield tocsin
    finally:
        tocsin.end()


@ON_A_QUIET_MACHINE
def test_s11_over_sockets_a_thousand_guesses_are_twenty_and_webhooks_come_in_meanwhile(
    real: Tocsin,
):
    """From two hundred addresses, sixteen at once, beside fifty webhooks a second."""
    guesser, known = Guesser(real), Guesser(real)
    template = Template("/in/key-of-sentry", level="warning")

    async def webhooks(seconds: float) -> Ledger:
        async with steady(real.port, template, 50) as ledger:
            await asyncio.sleep(seconds)
        return ledger

    before = asyncio.run(webhooks(5)).percentile(0.99)
    ends = threading.Event()

    async def meanwhile() -> Ledger:
        async with steady(real.port, template, 50) as ledger:
            await asyncio.to_thread(ends.wait)
        return ledger

    with ThreadPoolExecutor(17) as pool:
        taking = pool.submit(lambda: asyncio.run(meanwhile()))
        answers = Counter(
            status
            for status, _ in pool.map(
                lambda number: guesser.sign_in(
                    "ann@example.com", f"three wrong words {number}", SOURCES[number % 200]
                ),
                range(GUESSES),
            )
        )
        ends.set()
        ledger = taking.result()
    p99 = ledger.percentile(0.99)
    tell(f"S11 guesses {GUESSES} {dict(answers)}, intake p99 {before:.3f} -> {p99:.3f} s")
    assert answers[WRONG] <= MOST
    assert answers.keys() == {WRONG, TOO_MANY}
    assert not ledger.others
    assert p99 <= 0.5
    # Whoever is not under attack gets in from wherever they are.
    assert known.sign_in("p1@example.com", PASSWORD, "127.0.1.1")[0] == 303


@ON_A_QUIET_MACHINE
def test_s11_nothing_in_the_time_tells_whether_somebody_is_known(real: Tocsin):
    """One of each in turn, every one at an account of its own: the medians are a tenth apart."""
    guesser = Guesser(real)
    taken: dict[str, list[float]] = {"p": [], "nobody": []}
    guesser.sign_in("warm@example.com", "three wrong words", "127.0.1.1")
    for number in range(PAIRS):
        for kind in ("p", "nobody") if number % 2 else ("nobody", "p"):
            status, seconds = guesser.sign_in(
                f"{kind}{number}@example.com", "three wrong words", SOURCES[number]
            )
            assert status == WRONG
            taken[kind].append(seconds)
    somebody, nobody = (statistics.median(times) for times in taken.values())
    apart = abs(somebody - nobody) / nobody
    tell(f"S11 known {somebody:.4f} s, unknown {nobody:.4f} s, {apart:.1%} apart")
    assert apart <= 0.1
