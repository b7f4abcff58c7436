"""One-time links: the first owner, and whoever was invited."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from tests.browsing import Browser
from tests.pages.people import PASSWORD, accounts_of, give_password, kinds_told, sign_in
from tests.world import World
from tocsin.core.model import Role
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.work.accounts import COMMAND_LINE, Guest, LinkGone, Newcomer

NEW = {"name": "Zoe", "email": "zoe@example.com", "password": PASSWORD,
       "time_zone": "Europe/Berlin"}  # fmt: skip


@pytest.fixture
def empty(database: Database, vault: Vault) -> World:
    """Give a world with nobody in it."""
    with World(database, vault) as made:
        yield made


def setup_path(world: World) -> str:
    key = accounts_of(world).setup_link(world.now)
    assert key is not None
    return f"/setup/{key}"


def test_the_first_owner_is_made_by_the_link_and_led_on(empty: World):
    path, zoe = setup_path(empty), Browser(empty)
    zoe.get(path)
    assert "Set up Tocsin" in zoe.words
    zoe.post(path, NEW)
    assert "First steps" in zoe.words
    owner = empty.user("zoe")
    assert (owner.role, owner.time_zone, owner.name) == (Role.OWNER, "Europe/Berlin", "Zoe")
    assert sign_in(Browser(empty), "zoe").status_code == 303
    assert "installation.set_up" in kinds_told(empty)


def test_after_that_no_setup_link_is_good_and_none_is_made(empty: World):
    first, second = setup_path(empty), setup_path(empty)
    zoe = Browser(empty)
    zoe.get(first)
    assert zoe.post(first, NEW, follow=False).status_code == 303
    for path in (first, second):
        late = Browser(empty)
        assert late.get(path).status_code == 404
        late.get("/login")
        assert late.post(path, NEW).status_code == 404
    assert accounts_of(empty).setup_link(empty.now) is None


def test_of_two_browsers_that_race_exactly_one_wins(empty: World):
    keys = [setup_path(empty).rpartition("/")[2] for _ in range(2)]
    guest = Guest(address="192.0.2.1", browser="tests")
    made: list[object] = []

    def race(number: int) -> None:
        new = Newcomer(name="Z", email=f"z{number}@example.com", password=PASSWORD, time_zone="UTC")
        try:
            made.append(accounts_of(empty).set_up(keys[number % 2], new, guest, empty.now))
        except LinkGone as gone:
            made.append(gone)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, LinkGone) for one in made) == 3
    assert len(empty.plans.refresh().users) == 1


def test_a_link_that_never_was_or_is_over_is_not_there(empty: World):
    assert Browser(empty).get("/setup/setup_nonsense").status_code == 404
    path = setup_path(empty)
    assert Browser(empty).get(path.replace("/setup/", "/invite/")).status_code == 404
    empty.now += timedelta(hours=24)
    assert Browser(empty).get(path).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"email": "zoe"}, "is not an e-mail address"), ({"name": " "}, "name is missing"),
     ({"password": "short"}, "10 to 1,000 characters"), ({"time_zone": "Mars/Base"}, "time zone")],
)  # fmt: skip
def test_a_wrong_form_is_shown_again_and_uses_nothing_up(
    empty: World, wrong: dict[str, str], said: str
):
    path, zoe = setup_path(empty), Browser(empty)
    zoe.get(path)
    assert zoe.post(path, NEW | wrong).status_code == 422
    assert said in zoe.words
    assert PASSWORD not in zoe.text
    assert zoe.post(path, NEW, follow=False).status_code == 303


def test_an_owner_of_a_file_gets_a_password_by_the_link(world: World):
    path, owner = setup_path(world), Browser(world)
    owner.get(path)
    owner.post(path, NEW | {"email": "owner@example.com"}, follow=False)
    assert world.user("owner").name == "Owner"
    assert sign_in(Browser(world), "owner").status_code == 303


def test_somebody_else_of_a_file_becomes_an_owner_and_keeps_what_they_have(world: World):
    path, ann = setup_path(world), Browser(world)
    ann.get(path)
    ann.post(path, NEW | {"email": "ann@example.com"}, follow=False)
    assert world.user("ann").role is Role.OWNER
    assert len(world.user("ann").contact_methods) == 2


def test_an_invited_person_chooses_a_password_once(world: World):
    made = accounts_of(world).invite(COMMAND_LINE, "zoe@example.com", "Zoe", "responder", world.now)
    world.settle()
    assert "You are invited" in world.expect("zoe", "email", "invitation").message.subject
    path, zoe = f"/invite/{made.key}", Browser(world)
    zoe.get(path)
    assert "Welcome, Zoe" in zoe.words
    assert zoe.post(path, {"password": "zoe@example.com"}).status_code == 422
    assert "is the e-mail address" in zoe.words
    assert zoe.post(path, {"password": PASSWORD}, follow=False).headers["location"] == "/me"
    zoe.get("/people")
    assert "People" in zoe.words
    assert Browser(world).get(path).status_code == 404


def test_an_invitation_is_good_for_a_week_and_mailed_by_its_own_link(world: World):
    made = accounts_of(world).invite(COMMAND_LINE, "zoe@example.com", "Zoe", "responder", world.now)
    world.settle()
    assert f"/invite/{made.key}" in world.expect("zoe", "email", "invitation").message.text
    world.now += timedelta(days=7)
    assert Browser(world).get(f"/invite/{made.key}").status_code == 404


def test_without_a_mail_server_nothing_is_mailed_and_forgetting_leads_to_an_admin(
    database: Database, vault: Vault
):
    with World(database, vault, has_mail=False) as world:
        accounts_of(world).invite(COMMAND_LINE, "zoe@example.com", "Zoe", "owner", world.now)
        give_password(world, "zoe")
        zoe = Browser(world)
        zoe.get("/forgot")
        assert "Ask an admin" in zoe.words
        zoe.post("/forgot", {"email": "zoe@example.com"})
        world.settle()
        world.expect_nothing()


def test_a_link_sent_to_a_wrong_address_ends_when_the_address_is_mended(world: World):
    made = accounts_of(world).invite(COMMAND_LINE, "zeo@example.com", "Zoe", "responder", world.now)
    world.api("PATCH", "/users/zeo@example.com", {"email": "zoe@example.com"})
    nobody = Browser(world)
    assert nobody.get(f"/invite/{made.key}").status_code in (404, 410)
