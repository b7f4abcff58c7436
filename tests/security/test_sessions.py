"""S10: what a browser holds that is signed in, how it comes by it, and when it opens nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.browsing import Browser, signed_in
from tests.pages.people import PASSWORD, accounts_of, give_password, sign_in
from tests.pages.things import SCHEDULE, people
from tests.world import ONE_STEP, SERVICE, World
from tocsin.core import session as limits
from tocsin.store import sessions as store
from tocsin.store.db import Database
from tocsin.store.tables import sessions
from tocsin.store.vault import Vault
from tocsin.work.accounts import COMMAND_LINE

NEW_PASSWORD = "other odd words"


@dataclass(slots=True)
class Watched(Browser):
    """A browser that writes down every cookie it is given, as it is given."""

    lines: list[str] = field(default_factory=list)

    def _ask(self, method: str, path: str, content: bytes = b"", **headers: str) -> Any:
        # Not ``super()``: a dataclass with slots is another class than the one written here.
        response = Browser._ask(self, method, path, content, **headers)
        self.lines += response.headers.get_list("set-cookie")
        return response


def is_in(world: World, key: str, name: str = "tocsin") -> bool:
    """Whether a key opens a page."""
    browser = Browser(world, {name: key})
    browser.get("/me")
    return "Sign out" in browser.text


# -- the cookie ------------------------------------------------------------------------------------


@pytest.fixture
def secure(database: Database, vault: Vault) -> Iterator[World]:
    """Give a world that browsers reach over TLS."""
    with World(database, vault, base="https://tocsin.test") as world:
        world.configure(people("payments"), SERVICE, ONE_STEP, SCHEDULE)
        yield world


def attributes(line: str) -> tuple[str, str, dict[str, str]]:
    """Return name, value and attributes of a cookie as a server sends it."""
    first, *rest = (part.strip() for part in line.split(";"))
    name, _, value = first.partition("=")
    pairs = (part.partition("=") for part in rest)
    return name, value, {key.lower(): value.lower() for key, _, value in pairs}


def test_s10_over_tls_every_cookie_is_out_of_reach(secure: World):
    """Of scripts, of other sites, of other hosts: wherever one is given, changed or taken away."""
    give_password(secure, "ann")
    ann = Watched(secure)
    sign_in(ann, "ann")
    ann.get("/help")
    ann.post("/password", {"old": PASSWORD, "password": NEW_PASSWORD})
    secure.now += limits.ROTATED_EVERY
    ann.get("/help")
    ann.post("/logout")
    reset = accounts_of(secure).link(COMMAND_LINE, secure.user("ann").id, secure.now)
    ann.post(f"/reset/{reset.key}", {"password": PASSWORD})
    given: dict[str, list[str]] = {}
    for line in ann.lines:
        name, value, had = attributes(line)
        given.setdefault(name, []).append(value)
        assert {"secure", "httponly"} <= had.keys(), line
        assert (had["samesite"], had["path"]) == ("lax", "/"), line
        assert "domain" not in had, line
    # In, with another password, a day later, out, in again.
    keys = given["__Host-tocsin"]
    assert len(keys) == len(set(keys)) == 5
    assert keys[3] in ("", '""')
    assert {name for name in given if not name.startswith("tocsin_")} == {
        "__Host-tocsin", "__Host-tocsin-device",
    }  # fmt: skip


def test_s10_over_tls_a_cookie_of_the_plain_name_opens_nothing(secure: World):
    """Another host of the domain could set that one."""
    user = secure.user("ann")
    key = secure.database.run(
        lambda writing: store.begin(writing, user.id, "tests", "127.0.0.1", secure.now)
    )
    assert not is_in(secure, key)
    assert is_in(secure, key, "__Host-tocsin")


def test_s10_a_cookie_is_good_no_longer_than_its_session(world: World):
    give_password(world, "ann")
    ann = Watched(world)
    sign_in(ann, "ann")
    began = world.now
    for _ in range(5):
        world.now += limits.IDLE - timedelta(days=2)
        ann.get("/help")
        _, _, had = attributes([line for line in ann.lines if line.startswith("tocsin=")][-1])
        assert world.now + timedelta(seconds=int(had["max-age"])) <= began + limits.LONGEST


# -- the key ---------------------------------------------------------------------------------------


def test_s10_a_key_is_192_random_bits(world: World):
    """Every bit is as often one as none, and no key comes twice."""
    user, count = world.user("ann"), 400

    def begin_many(writing: Any) -> list[str]:
        return [
            store.begin(writing, user.id, "tests", "127.0.0.1", world.now) for _ in range(count)
        ]

    keys = world.database.run(begin_many)
    random = [base64.urlsafe_b64decode(key.partition("_")[2]) for key in keys]
    assert {len(one) * 8 for one in random} == {192}
    assert len(set(random)) == count
    ones = [sum(int.from_bytes(one) >> bit & 1 for one in random) for bit in range(192)]
    # Seven standard deviations of a coin that is thrown so often.
    assert all(abs(one - count / 2) < 7 * (count / 4) ** 0.5 for one in ones)


def test_s10_of_a_key_the_database_has_the_hash(world: World):
    ann = signed_in(world, "ann")
    old = ann.cookies["tocsin"]
    world.now += limits.ROTATED_EVERY
    ann.get("/help")
    new = ann.cookies["tocsin"]
    with world.database.read() as connection:
        [row] = connection.execute(select(sessions)).mappings()
    assert row["key_hash"] == hashlib.sha256(new.encode()).hexdigest()
    assert row["old_key_hash"] == hashlib.sha256(old.encode()).hexdigest()
    assert old not in str(dict(row))
    assert new not in str(dict(row))


def test_s10_a_key_opens_by_the_cookie_alone_and_only_as_it_is(world: World):
    """Not in an address, not as that of a program, nor the other way round, nor nearly right."""
    ann = signed_in(world, "ann")
    key = ann.cookies["tocsin"]
    assert is_in(world, key)
    for wrong in (key[:-1], key + "A", key.upper(), key.lower(), key.partition("_")[2], "x",
                  hashlib.sha256(key.encode()).hexdigest(), world.key_of("ann")):  # fmt: skip
        assert not is_in(world, wrong), wrong
    for path in (f"/people?tocsin={key}", f"/people;tocsin={key}", f"/people?session={key}"):
        plain = world.raw("GET", path, headers={"accept": "text/html"})
        assert plain.status_code in (303, 404), path
    bearer = {"authorization": f"Bearer {key}"}
    assert world.raw("GET", "/api/v1/me", headers=bearer).status_code == 401
    assert world.raw("GET", "/api/v1/me", headers={"cookie": f"tocsin={key}"}).status_code == 401
    program = {"accept": "text/html", "authorization": f"Bearer {world.key_of('ann')}"}
    assert world.raw("GET", "/people", headers=program).status_code == 303


# -- its end ---------------------------------------------------------------------------------------


def change(world: World, browser: Browser) -> None:
    browser.get("/password")
    browser.post("/password", {"old": PASSWORD, "password": NEW_PASSWORD})


def by_link(world: World, browser: Browser) -> None:
    made = accounts_of(world).link(COMMAND_LINE, world.user("ann").id, world.now)
    browser.post(f"/reset/{made.key}", {"password": NEW_PASSWORD})


def by_somebody_else(world: World, _browser: Browser) -> None:
    owner = signed_in(world, "owner")
    owner.get("/help")
    owner.post(f"/people/{world.user('ann').id}/sign-out")


@pytest.mark.parametrize(
    "ends", [change, by_link, by_somebody_else], ids=["changed", "forgotten", "ended by an owner"]
)
def test_s10_all_keys_there_were_are_dead(world: World, ends: Callable[[World, Browser], None]):
    """Of this browser and of the others; the one before the present one, too."""
    give_password(world, "ann")
    phone, desk = Browser(world), Browser(world)
    sign_in(phone, "ann")
    sign_in(desk, "ann")
    keys = [phone.cookies["tocsin"], desk.cookies["tocsin"]]
    world.now += limits.ROTATED_EVERY
    phone.get("/help")
    desk.get("/help")
    keys += [phone.cookies["tocsin"], desk.cookies["tocsin"]]
    # Nobody has shown the new one yet: the old one is still good.
    assert len(set(keys)) == 4
    assert all(is_in(world, key) for key in (keys[0], keys[1]))
    ends(world, desk)
    assert [is_in(world, key) for key in keys] == [False] * 4
    bob = signed_in(world, "bob")
    assert is_in(world, bob.cookies["tocsin"]), "and nobody else's"


def test_s10_who_changes_a_password_goes_on_with_a_new_key(world: World):
    give_password(world, "ann")
    ann = Browser(world)
    sign_in(ann, "ann")
    before = ann.cookies["tocsin"]
    change(world, ann)
    assert ann.cookies["tocsin"] != before
    assert is_in(world, ann.cookies["tocsin"])


def test_s10_signing_out_ends_both_keys_of_the_browser_and_no_other(world: World):
    give_password(world, "ann")
    ann, phone = Browser(world), signed_in(world, "ann")
    sign_in(ann, "ann")
    old = ann.cookies["tocsin"]
    world.now += limits.ROTATED_EVERY
    ann.get("/help")
    new = ann.cookies["tocsin"]
    ann.post("/logout")
    assert not is_in(world, old)
    assert not is_in(world, new)
    assert is_in(world, phone.cookies["tocsin"])


def test_s10_every_other_browser_is_signed_out_with_one_button(world: World):
    ann, phone, tablet = (signed_in(world, "ann") for _ in range(3))
    bob = signed_in(world, "bob")
    ann.get("/me")
    ann.post("/me/sessions/end-others")
    assert [is_in(world, one.cookies["tocsin"]) for one in (ann, phone, tablet, bob)] == [
        True, False, False, True,
    ]  # fmt: skip


def test_s10_who_was_removed_is_out_at_once(world: World):
    world.api("POST", "/users", {"email": "dan@example.com", "name": "Dan"})
    dan = signed_in(world, "dan")
    assert is_in(world, dan.cookies["tocsin"])
    accounts_of(world).remove(COMMAND_LINE, world.user("dan").id, world.now)
    assert not is_in(world, dan.cookies["tocsin"])


def test_s10_a_lesser_role_counts_from_the_next_page_on(world: World):
    browser = signed_in(world, "admin")
    assert browser.get("/keys").status_code == 200
    world.api("PATCH", "/users/admin@example.com", {"role": "viewer"})
    assert browser.get("/keys").status_code == 403


@pytest.mark.parametrize(
    ("used", "span"), [(False, limits.IDLE), (True, limits.LONGEST)], ids=["idle", "absolute"]
)
def test_s10_a_session_is_over_at_the_second(world: World, used: bool, span: timedelta):
    ann = signed_in(world, "ann")
    began = world.now
    while used and world.now + timedelta(days=5) < began + span:
        world.now += timedelta(days=5)
        ann.get("/help")
    key = ann.cookies["tocsin"]
    world.now = began + span - timedelta(seconds=1)
    assert Browser(world, {"tocsin": key}).get("/me").status_code == 200
    # To look was a use, unless the absolute end is near.
    world.now += span if not used else timedelta(seconds=1)
    late = Browser(world, {"tocsin": ann.cookies["tocsin"]})
    late.get("/me")
    assert "Sign in" in late.words
