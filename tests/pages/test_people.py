"""The page of people: who sees it, who changes what."""

from __future__ import annotations

import pytest

from tests.browsing import Browser, signed_in
from tests.pages.people import PASSWORD, give_password, kinds_told, link_on, sign_in
from tests.world import World
from tocsin.core.model import Role


def test_everybody_sees_who_there_is_and_how_they_are_reached(world: World):
    signed_in(world, "bob").get("/people")
    viewer = signed_in(world, "viewer")
    viewer.get("/people")
    assert "ann@example.com" in viewer.words
    assert "payments" in viewer.words
    assert "cannot be reached" in viewer.words, "the owner has no contact method"
    assert "has no password yet" in viewer.words
    assert "Invite somebody" not in viewer.words
    assert "phones.example.com" not in viewer.text, "addresses are their person's own"


def test_an_admin_invites_somebody_and_gets_the_link_to_pass_on(world: World):
    admin = signed_in(world, "admin")
    admin.get("/people/new")
    admin.post("/people/new", {"email": "zoe@example.com", "name": "<b>Zoe", "role": "manager"})
    assert "&lt;b&gt;Zoe" in admin.text
    path = link_on(admin)
    world.expect("zoe", "email", "invitation")
    zoe = Browser(world)
    zoe.get(path)
    zoe.post(path, {"password": PASSWORD}, follow=False)
    assert world.user("zoe").role is Role.MANAGER
    zoe.get("/people")
    assert "People" in zoe.words
    assert {"user.invited", "password.changed", "session.began"} <= set(kinds_told(world))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"email": "ann@example.com"}, "already"), ({"email": "zoe"}, "is not an e-mail address"),
     ({"name": ""}, "name is missing"), ({"role": "king"}, "role"),
     ({"role": "owner"}, "may not make or change an owner")],
)  # fmt: skip
def test_a_wrong_invitation_is_shown_again(world: World, wrong: dict[str, str], said: str):
    admin = signed_in(world, "admin")
    admin.get("/people/new")
    typed = {"email": "zoe@example.com", "name": "Zoe", "role": "viewer"} | wrong
    assert admin.post("/people/new", typed).status_code == 422
    assert said in admin.words
    assert f'value="{typed["email"]}"' in admin.text


def test_an_admin_changes_name_role_and_zone(world: World):
    admin = signed_in(world, "admin")
    id_ = world.user("bob").id
    admin.get(f"/people/{id_}")
    fields = {"name": "Robert", "email": "bob@example.com", "role": "manager",
              "time_zone": "Asia/Tokyo"}  # fmt: skip
    admin.post(f"/people/{id_}", fields)
    assert "Robert is changed" in admin.words
    bob = world.user("bob")
    assert (bob.name, bob.role, bob.time_zone) == ("Robert", Role.MANAGER, "Asia/Tokyo")
    assert len(bob.contact_methods) == 1
    assert admin.post(f"/people/{id_}", fields | {"time_zone": "Mars"}).status_code == 422
    assert admin.post(f"/people/{id_}", fields | {"name": ""}).status_code == 422


def test_an_admin_does_not_touch_an_owner(world: World):
    admin = signed_in(world, "admin")
    id_ = world.user("owner").id
    admin.get(f"/people/{id_}")
    assert "Make a" not in admin.words
    assert admin.post(f"/people/{id_}/link").status_code == 403
    assert admin.post(f"/people/{id_}/sign-out").status_code == 403
    assert admin.post(f"/people/{id_}/remove").status_code in (403, 422)
    fields = {"name": "O", "email": "owner@example.com", "role": "viewer", "time_zone": "UTC"}
    assert admin.post(f"/people/{id_}", fields).status_code == 422
    assert world.user("owner").role is Role.OWNER


def test_the_last_owner_stays_one(world: World):
    owner = signed_in(world, "owner")
    id_ = world.user("owner").id
    owner.get(f"/people/{id_}")
    fields = {"name": "O", "email": "owner@example.com", "role": "viewer", "time_zone": "UTC"}
    assert owner.post(f"/people/{id_}", fields).status_code == 422
    assert "last owner" in owner.words


def test_a_reset_link_lets_somebody_choose_anew(world: World):
    give_password(world, "bob")
    admin = signed_in(world, "admin")
    id_ = world.user("bob").id
    admin.get(f"/people/{id_}")
    admin.post(f"/people/{id_}/link")
    path = link_on(admin)
    world.expect("bob", "email", "reset")
    bob = Browser(world)
    bob.get(path)
    bob.post(path, {"password": "other odd words"}, follow=False)
    assert sign_in(Browser(world), "bob").status_code == 401
    assert sign_in(Browser(world), "bob", "other odd words").status_code == 303


def test_an_admin_signs_somebody_out_everywhere(world: World):
    bob = signed_in(world, "bob")
    admin = signed_in(world, "admin")
    id_ = world.user("bob").id
    admin.get(f"/people/{id_}")
    assert "in 1 browser" in admin.words
    admin.post(f"/people/{id_}/sign-out")
    bob.get("/people")
    assert "Sign in" in bob.words


def test_who_is_still_named_is_not_removed_and_it_is_told_where(world: World):
    admin = signed_in(world, "admin")
    id_ = world.user("bob").id
    admin.get(f"/people/{id_}")
    assert admin.post(f"/people/{id_}/remove").status_code == 422
    assert "team 'payments'" in admin.words


def test_who_is_removed_is_gone_and_signed_out(world: World):
    world.api("PATCH", "/teams/payments", {"members": ["bob@example.com"]})
    viewer = signed_in(world, "viewer")
    admin = signed_in(world, "admin")
    id_ = world.user("viewer").id
    admin.get(f"/people/{id_}")
    admin.post(f"/people/{id_}/remove")
    assert "Viewer is removed" in admin.words
    viewer.get("/people")
    assert "Sign in" in viewer.words
    assert admin.get(f"/people/{id_}").status_code == 404


@pytest.mark.parametrize("who", ["viewer", "responder", "manager"])
def test_who_is_no_admin_changes_nobody(world: World, who: str):
    browser = signed_in(world, who)
    id_ = world.user("bob").id
    browser.get(f"/people/{id_}")
    assert "Remove" not in browser.words
    assert browser.get("/people/new").status_code == 403
    for path in ("/people/new", f"/people/{id_}", f"/people/{id_}/link",
                 f"/people/{id_}/sign-out", f"/people/{id_}/remove"):  # fmt: skip
        assert browser.post(path, {"name": "X"}).status_code == 403, path
