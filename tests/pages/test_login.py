"""Signing in and out: who gets in, who does not, and how often one may try."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.browsing import Browser, signed_in
from tests.pages.people import PASSWORD, accounts_of, give_password, kinds_told, sign_in, told
from tests.world import World
from tocsin.core import session as limits
from tocsin.store import sessions
from tocsin.web.pages.visit import here


def test_who_knows_the_password_gets_in_and_where_they_wanted(world: World):
    give_password(world, "ann")
    ann = Browser(world)
    response = sign_in(ann, "ann")
    assert (response.status_code, response.headers["location"]) == (303, "/people")
    assert ann.get("/people").status_code == 200
    assert "Ann" in ann.words


def test_the_case_of_an_address_does_not_matter(world: World):
    give_password(world, "ann")
    assert sign_in(Browser(world), "ANN").status_code == 303


@pytest.mark.parametrize(("who", "password"), [("ann", "wrong wrong"), ("nobody", PASSWORD),
                                               ("bob", PASSWORD), ("ann", "x" * 5000)])  # fmt: skip
def test_everybody_else_is_told_the_same(world: World, who: str, password: str):
    give_password(world, "ann")
    browser = Browser(world)
    response = sign_in(browser, who, password)
    assert response.status_code == 401
    assert "do not belong together" in browser.words
    assert f'value="{who}@example.com"' in browser.text
    assert password not in browser.text
    assert "tocsin" not in browser.cookies


def test_spaces_are_part_of_a_password(world: World):
    give_password(world, "ann", password=" three odd words ")
    assert sign_in(Browser(world), "ann", "three odd words").status_code == 401
    assert sign_in(Browser(world), "ann", " three odd words ").status_code == 303


def test_signing_in_makes_a_new_session_and_ends_the_one_there_was(world: World):
    give_password(world, "ann", "bob")
    browser = Browser(world)
    sign_in(browser, "ann")
    before = browser.cookies["tocsin"]
    browser.cookies["tocsin"] = "chosen-by-an-attacker"
    sign_in(browser, "ann")
    assert browser.cookies["tocsin"] not in (before, "chosen-by-an-attacker")
    browser.get("/people")
    second = browser.cookies["tocsin"]
    token = browser.text.partition('name="_csrf_token" value="')[2].partition('"')[0]
    browser.post("/login", {"email": "bob@example.com", "password": PASSWORD, "_csrf_token": token})
    assert browser.cookies["tocsin"] != second
    with world.database.read() as connection:
        assert sessions.find(connection, second, world.now) is None


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(world: World):
    give_password(world, "ann")
    response = sign_in(Browser(world), "ann")
    cookies = response.headers.get_list("set-cookie")
    [session] = [line.lower() for line in cookies if line.startswith("tocsin=")]
    assert "httponly" in session
    assert "samesite=lax" in session
    assert "path=/" in session
    assert "domain" not in session


def test_signing_out_ends_the_session_not_only_the_cookie(world: World):
    give_password(world, "ann")
    ann = Browser(world)
    sign_in(ann, "ann")
    stolen = Browser(world, dict(ann.cookies))
    ann.get("/people")
    ann.post("/logout")
    assert "Sign in" in ann.words
    stolen.get("/people")
    assert "Sign in" in stolen.words
    assert kinds_told(world)[-1] == "session.ended"


# -- guessing -------------------------------------------------------------------------------------


def guess(world: World, who: str, times: int, source: str = "203.0.113.1") -> list[int]:
    browser = Browser(world)
    return [
        sign_in(browser, who, f"guess {number}....", x_forwarded_for=source).status_code
        for number in range(times)
    ]


def test_guesses_from_one_machine_are_few_and_say_when_to_try_again(world: World):
    give_password(world, "ann")
    assert guess(world, "ann", 6) == [401, 401, 401, 401, 429, 429]
    browser = Browser(world)
    response = sign_in(browser, "ann", x_forwarded_for="203.0.113.1")
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= 900
    assert "try again in" in browser.words


def test_who_waits_may_try_again(world: World):
    give_password(world, "ann")
    guess(world, "ann", 6)
    world.now += timedelta(minutes=10)
    assert sign_in(Browser(world), "ann", x_forwarded_for="203.0.113.1").status_code == 303


def test_guesses_at_one_account_from_many_machines_are_few(world: World):
    give_password(world, "ann")
    counted = 0
    for minute in range(15):
        for number in range(4):
            source = f"198.51.{minute}.{number}"
            counted += guess(world, "ann", 1, source).count(401)
        world.now += timedelta(minutes=1)
    assert counted <= 20


def test_the_browser_of_the_real_person_gets_in_while_others_guess(world: World):
    give_password(world, "ann")
    ann = Browser(world)
    sign_in(ann, "ann")
    ann.get("/people")
    ann.post("/logout")
    for number in range(20):
        guess(world, "ann", 1, f"198.51.100.{number}")
    assert sign_in(Browser(world), "ann", x_forwarded_for="192.0.2.1").status_code == 429
    assert sign_in(ann, "ann", x_forwarded_for="192.0.2.1").status_code == 303


def test_the_real_person_gets_in_from_a_new_machine_while_one_other_guesses(world: World):
    give_password(world, "ann")
    guess(world, "ann", 30)
    assert sign_in(Browser(world), "ann", x_forwarded_for="192.0.2.1").status_code == 303


def test_a_known_browser_of_one_person_is_unknown_to_another(world: World):
    give_password(world, "ann", "bob")
    bob = Browser(world)
    sign_in(bob, "bob")
    device = bob.cookies["tocsin-device"]
    for number in range(20):
        guess(world, "ann", 1, f"198.51.100.{number}")
    other = Browser(world, {"tocsin-device": device})
    assert sign_in(other, "ann", x_forwarded_for="192.0.2.1").status_code == 429
    forged = Browser(world, {"tocsin-device": f"{world.user('ann').id}.abc.def"})
    assert sign_in(forged, "ann", x_forwarded_for="192.0.2.1").status_code == 429


def test_one_machine_cannot_try_one_password_on_everybody(world: World):
    tried = [guess(world, f"person-{number}", 1)[0] for number in range(60)]
    assert tried.count(401) == 30


def test_an_address_nobody_has_is_throttled_as_one_that_somebody_has(world: World):
    assert guess(world, "nobody", 6) == [401, 401, 401, 401, 429, 429]


def test_signing_in_rightly_uses_nothing_up(world: World):
    give_password(world, "ann")
    for _ in range(12):
        assert sign_in(Browser(world), "ann", x_forwarded_for="203.0.113.1").status_code == 303


def test_the_audit_log_tells_of_failures_but_not_of_each(world: World):
    give_password(world, "ann")
    for number in range(20):
        guess(world, "ann", 1, f"198.51.100.{number}")
    refused = [row for row in told(world) if row[1] == "session.refused"]
    assert 1 <= len(refused) <= 6
    assert refused[0] == ("somebody", "session.refused", "ann@example.com")
    sign_in(Browser(world), "owner")
    assert told(world)[-1][2] == "owner@example.com"


# -- sessions -------------------------------------------------------------------------------------


def test_a_session_gets_a_new_key_once_a_day(world: World):
    ann = signed_in(world, "ann")
    first = ann.cookies["tocsin"]
    ann.get("/people")
    assert ann.cookies["tocsin"] == first
    world.now += limits.ROTATED_EVERY
    late = Browser(world, dict(ann.cookies))
    ann.get("/people")
    assert ann.cookies["tocsin"] != first
    late.get("/people")
    assert "People" in late.words, "a request under way does not fail"
    ann.get("/people")
    world.now += limits.OLD_KEY_GOOD_FOR
    late.get("/people")
    assert "Sign in" in late.words
    ann.get("/people")
    assert "People" in ann.words


def test_a_new_key_that_got_lost_on_the_way_locks_nobody_out(world: World):
    ann = signed_in(world, "ann")
    first = ann.cookies["tocsin"]
    world.now += limits.ROTATED_EVERY
    ann.get("/people")
    lost = ann.cookies["tocsin"]
    ann.cookies["tocsin"] = first
    world.now += timedelta(hours=1)
    ann.get("/people")
    assert "People" in ann.words
    assert ann.cookies["tocsin"] not in (first, lost)
    stranger = Browser(world, {"tocsin": lost})
    stranger.get("/people")
    assert "Sign in" in stranger.words


def test_a_session_ends_when_it_is_not_used_and_in_any_case_after_a_month(world: World):
    idle, busy = signed_in(world, "ann"), signed_in(world, "bob")
    for _ in range(29):
        world.now += timedelta(days=1)
        busy.get("/people")
        assert "People" in busy.words
    idle.get("/people")
    assert "Sign in" in idle.words
    world.now += timedelta(days=1)
    busy.get("/people")
    assert "Sign in" in busy.words


def test_sessions_that_are_over_are_swept(world: World):
    signed_in(world, "ann")
    world.now += limits.IDLE
    assert world.database.run(lambda connection: sessions.sweep(connection, world.now, 100)) == 1


# -- changing a password --------------------------------------------------------------------------


def test_changing_the_password_ends_every_other_session(world: World):
    give_password(world, "ann")
    ann, phone = Browser(world), Browser(world)
    sign_in(ann, "ann")
    sign_in(phone, "ann")
    ann.get("/password")
    done = ann.post("/password", {"old": PASSWORD, "password": "other odd words"}, follow=False)
    assert done.status_code == 303
    ann.get("/people")
    assert "People" in ann.words
    phone.get("/people")
    assert "Sign in" in phone.words
    assert sign_in(Browser(world), "ann").status_code == 401
    assert sign_in(Browser(world), "ann", "other odd words").status_code == 303
    assert "password.changed" in kinds_told(world)


def test_a_password_is_not_changed_without_the_old_one_or_into_a_bad_one(world: World):
    give_password(world, "ann")
    ann = Browser(world)
    sign_in(ann, "ann")
    ann.get("/password")
    wrong = ann.post("/password", {"old": "no", "password": "other odd words"})
    assert wrong.status_code == 401
    assert "is another one" in ann.words
    short = ann.post("/password", {"old": PASSWORD, "password": "short"})
    assert short.status_code == 422
    assert "10 to 1,000 characters" in ann.words
    for _ in range(5):
        last = ann.post("/password", {"old": "no", "password": "other odd words"})
    assert last.status_code == 429


def test_hashes_of_older_parameters_are_written_anew(world: World):
    from argon2 import PasswordHasher

    from tocsin.store import accounts

    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(PASSWORD)
    id_ = world.user("ann").id
    world.database.run(lambda connection: accounts.set_password(connection, id_, old, world.now))
    sign_in(Browser(world), "ann")
    with world.database.read() as connection:
        assert accounts.password_hash(connection, id_) != old
    assert sign_in(Browser(world), "ann").status_code == 303


# -- forgetting it --------------------------------------------------------------------------------


def test_a_forgotten_password_is_mailed_a_link_that_works_once(world: World):
    give_password(world, "ann")
    other = signed_in(world, "ann")
    ann = Browser(world)
    ann.get("/forgot")
    ann.post("/forgot", {"email": "ann@example.com"})
    assert "a link is on its way" in ann.words
    text = world.expect("ann", "email", "reset").message.text
    path = text.partition("http://tocsin.test")[2].split()[0]
    ann.get(path)
    assert "Choose a new password" in ann.words
    ann.get(path)  # whoever only looks uses nothing up
    done = ann.post(path, {"password": "other odd words"}, follow=False)
    assert done.status_code == 303
    ann.get("/people")
    assert "People" in ann.words
    other.get("/people")
    assert "Sign in" in other.words
    assert Browser(world).get(path).status_code == 404


def test_nothing_tells_whether_an_address_is_known(world: World):
    said = []
    for who in ("ann", "nobody"):
        browser = Browser(world)
        browser.get("/forgot")
        response = browser.post("/forgot", {"email": f"{who}@example.com"})
        said.append((response.status_code, browser.words.replace(who, "X")))
    assert said[0] == said[1]
    world.expect("ann", "email", "reset")
    world.expect_nothing()


def test_links_are_not_asked_for_without_end(world: World):
    browser, codes = Browser(world), []
    for _ in range(12):
        browser.get("/forgot")
        codes.append(browser.post("/forgot", {"email": "ann@example.com"}).status_code)
    assert codes == [200] * 10 + [429] * 2
    assert len(world.take()) == 3


def test_a_link_is_over_after_an_hour_and_when_the_next_is_made(world: World):
    for _ in range(2):
        accounts_of(world).forgot("ann@example.com", "192.0.2.1", world.now)
    world.settle()
    first, second = [
        heard.message.text.partition("http://tocsin.test")[2].split()[0] for heard in world.take()
    ]
    assert Browser(world).get(first).status_code == 200
    assert Browser(world).get(second).status_code == 200
    browser = Browser(world)
    browser.get(second)
    browser.post(second, {"password": "other odd words"}, follow=False)
    assert Browser(world).get(first).status_code == 404
    accounts_of(world).forgot("ann@example.com", "192.0.2.1", world.now)
    world.settle()
    third = world.take()[0].message.text.partition("http://tocsin.test")[2].split()[0]
    world.now += timedelta(hours=1)
    assert Browser(world).get(third).status_code == 404


# -- where it leads -------------------------------------------------------------------------------

_SLASH = ("//e.com", "///e.com", "////e.com", "/\\e.com", "\\/e.com", "\\\\e.com", "/\\/e.com",
          "//e.com/%2e%2e", "//e.com:80", "//u@e.com", "//u:p@e.com", "//[::1]", "//e.com#/a",
          "//e.com?/a", "//%65.com")  # fmt: skip
_SCHEME = ("http://e.com", "https://e.com", "HTTPS://e.com", "http:e.com", "http:/e.com",
           "https:///e.com", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x",
           "vbscript:x", "ftp://e.com", "file:///etc/passwd", "mailto:a@e.com", "blob:x",
           "http://tocsin.test@e.com", "http://tocsin.test.e.com", "http://e.com/tocsin.test",
           "e.com", "e.com/", "www.e.com", ".e.com", "@e.com", "?x", "#x", "", " ")  # fmt: skip
_CONTROL = ("/\t/e.com", "/\n/e.com", "/\r/e.com", "\t//e.com", " //e.com", "\n//e.com",
            "/\x00/e.com", "/\x0b/e.com", "/\x1f/e.com", "\x00//e.com", "/ /e.com", "/a\r\nX: y",
            "/a\nSet-Cookie: x=y", "/\x7f/e.com", "java\tscript:x", "ht\ntp://e.com",
            "\u2028//e.com", "\u00a0//e.com", "/" + "a" * 3000)  # fmt: skip


@pytest.mark.parametrize("path", [*_SLASH, *_SCHEME, *_CONTROL])
def test_no_other_site_is_gone_on_to(path: str):
    assert here(path) == "/"


@pytest.mark.parametrize(
    ("path", "to"),
    [("/incidents?status=triggered&q=a%20b", "/incidents?status=triggered&q=a%20b"),
     ("/schedules/über", "/schedules/%C3%BCber"), ("/%2f%2fe.com", "/%2f%2fe.com"),
     ("/a//b", "/a//b"), ("/@e.com", "/@e.com"), ("/a#b", "/a#b")],
)  # fmt: skip
def test_paths_of_ours_are_gone_on_to(path: str, to: str):
    assert here(path) == to


def test_a_bad_way_on_in_a_form_leads_to_the_first_page(world: World):
    give_password(world, "ann")
    ann = Browser(world)
    ann.get("/login?next=//e.com")
    assert 'name="next" value="/"' in ann.text
    fields = {"email": "ann@example.com", "password": PASSWORD, "next": "https://e.com"}
    assert ann.post("/login", fields, follow=False).headers["location"] == "/"
