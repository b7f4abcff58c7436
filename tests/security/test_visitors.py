"""S12, S20, S21 and S22: where browsers are sent, who they say they are, and what is told of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin, urlsplit

import pytest

from tests.browsing import Browser, signed_in
from tests.pages.people import PASSWORD, accounts_of, give_password, sign_in
from tests.pages.test_doors import NEW
from tests.pages.test_login import _CONTROL, _SCHEME, _SLASH
from tests.world import BASE, World
from tocsin.store import audit
from tocsin.store.audit import Entry, Wanted

FORM = "application/x-www-form-urlencoded"

# -- S12

OFF_SITE = (*_SLASH, *_SCHEME, *_CONTROL)


def is_ours(location: str) -> bool:
    """Whether a browser that is sent there stays, read as browsers do."""
    read = re.sub(r"[\t\r\n]", "", location).replace("\\", "/").strip()
    return urlsplit(urljoin(f"{BASE}/login", read)).netloc == urlsplit(BASE).netloc


def test_s12_there_are_sixty_forms():
    assert len(set(OFF_SITE)) >= 60
    assert not is_ours("//e.com")
    assert not is_ours("/\\e.com")


def test_s12_no_form_of_next_leads_away(world: World):
    """Whether it is asked for before signing in, sent with the form, or asked for once inside."""
    give_password(world, "ann")
    ann, away = Browser(world), []
    ann.get("/login")
    inside = signed_in(world, "ann")
    with world.held():
        for form in OFF_SITE:
            path = f"/login?{urlencode({'next': form})}"
            for response in (ann._ask("GET", path), inside._ask("GET", path)):
                shown = re.search(r'name="next" value="([^"]*)"', response.text)
                gone = [response.headers.get("location", "/"), shown[1] if shown else "/"]
                away += [(form, "GET", one) for one in gone if not is_ours(one)]
            fields = {"email": "ann@example.com", "password": PASSWORD, "next": form}
            fresh = Browser(world)
            response = fresh.post("/login", fields, follow=False)
            assert response.status_code in (303, 400), (form, response.status_code)
            if not is_ours(response.headers.get("location", "/")):
                away.append((form, "POST", response.headers["location"]))
    assert away == []


# -- S20

FORGED: Mapping[str, str] = {
    "host": "evil.example",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "https",
    "x-forwarded-port": "666",
    "x-forwarded-prefix": "/evil",
    "x-forwarded-server": "evil.example",
    "x-original-url": "/evil.example",
    "x-rewrite-url": "/evil.example",
    "x-host": "evil.example",
    "forwarded": "for=1.2.3.4;host=evil.example;proto=https",
    "x-http-method-override": "DELETE",
}


def test_s20_no_header_of_a_request_is_in_a_link_or_changes_what_is_asked(world: World):
    give_password(world, "ann")
    ann = signed_in(world, "ann")
    world.sentry("issue.created", 1)
    paged = world.expect("ann").message
    cookie = "; ".join(f"{name}={value}" for name, value in ann.cookies.items())
    for path in ("/", "/incidents", "/incidents/1", "/integrations/sentry", "/me", "/nowhere",
                 "/login", "/forgot", "/openapi.json", "/api/v1/incidents"):  # fmt: skip
        for visitor in ({}, {"cookie": cookie}):
            plain = world.raw("GET", path, headers={"accept": "text/html", **visitor})
            forged = world.raw("GET", path, headers={"accept": "text/html", **visitor, **FORGED})
            assert forged.status_code == plain.status_code, path
            assert forged.headers.get("location") == plain.headers.get("location"), path
            assert "evil.example" not in forged.text, path
    form = {"content-type": FORM}
    nobody = Browser(world)
    nobody.get("/forgot")
    body = urlencode({"email": "ann@example.com", "_csrf_token": nobody.token}).encode()
    kept = "; ".join(f"{name}={value}" for name, value in nobody.cookies.items())
    world.raw("POST", "/forgot", content=body, headers={**FORGED, **form, "cookie": kept})
    world.settle()
    mailed = world.expect("ann", "email", "reset").message
    for message in (paged, mailed):
        links = re.findall(r"https?://[^\s/\"]+", message.text + message.document.decode())
        assert {link for link in links if "sentry.example.com" not in link} == {BASE}


@pytest.mark.parametrize(
    ("peer", "told"),
    [("127.0.0.1", "198.51.100.7"), ("203.0.113.9", "203.0.113.9")],
    ids=["of our proxy", "of anybody"],
)
def test_s20_where_a_request_comes_from_is_what_our_proxy_says(world: World, peer: str, told: str):
    """To the API as to pages; 127.0.0.1 is the proxy that is set up here."""
    world._client._transport.client = (peer, 4711)  # type: ignore[attr-defined]
    headers = {"authorization": f"Bearer {world._api_key}",
               "x-forwarded-for": "1.2.3.4, 198.51.100.7"}  # fmt: skip
    body = {"name": "another", "members": []}
    assert world.raw("POST", "/api/v1/teams", json=body, headers=headers).status_code == 201
    ann = signed_in(world, "owner")
    ann.get("/help")
    fields = urlencode({"name": "third", "_csrf_token": ann.token}).encode()
    ann._ask("POST", "/teams", fields, content_type=FORM, x_forwarded_for="1.2.3.4, 198.51.100.7")
    latest = entries(world)[:2]
    assert [(one.kind, one.address) for one in latest] == [("team.added", told)] * 2


# -- S21


@pytest.fixture
def empty(blank: World) -> World:
    return blank


def test_s21_of_two_browsers_that_send_the_form_at_once_one_becomes_the_owner(empty: World):
    """The setup link is only in the log; afterwards it is nowhere."""
    keys = [accounts_of(empty).setup_link(empty.now) for _ in range(2)]
    assert all(keys)
    browsers = [Browser(empty) for _ in range(8)]
    requests = []
    for number, browser in enumerate(browsers):
        path = f"/setup/{keys[number % 2]}"
        browser.get(path)
        fields = NEW | {"email": f"z{number}@example.com", "_csrf_token": browser.token}
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        requests.append(
            (path, urlencode(fields).encode(), {"cookie": cookie, "content-type": FORM})
        )

    async def race() -> list[int]:
        answers = await asyncio.gather(
            *(
                empty._client.post(path, content=body, headers=headers)
                for path, body, headers in requests
            )
        )
        return [one.status_code for one in answers]

    statuses = empty._runner.run(race())
    assert statuses.count(303) == 1
    # Gone; or told to wait, for passwords are hashed two at a time.
    assert set(statuses) <= {303, 404, 429}, statuses
    assert [user.role for user in empty.plans.refresh().users.values()] == ["owner"]
    for path, body, headers in requests:
        assert empty.raw("GET", path).status_code == 404
        assert empty.raw("POST", path, content=body, headers=headers).status_code == 404
    assert accounts_of(empty).setup_link(empty.now) is None


# -- S22


def entries(world: World) -> list[Entry]:
    with world.database.read() as connection:
        return list(audit.page(connection, Wanted(), 200).items)


def test_s22_every_event_of_security_says_who_what_when_and_from_where(empty: World):
    """In at the door, out of it, refused there; passwords, people, roles, keys, what is set up."""
    key = accounts_of(empty).setup_link(empty.now)
    zoe = Browser(empty)
    zoe.get(f"/setup/{key}")
    zoe.post(f"/setup/{key}", NEW)
    zoe.get("/help")
    zoe.post("/password", {"old": PASSWORD, "password": "other odd words"})
    zoe.post("/people/new", {"email": "bob@example.com", "name": "Bob", "role": "responder"})
    zoe.post("/keys", {"name": "k", "role": "viewer"})
    zoe.post("/teams", {"name": "payments"})
    zoe.post("/logout")
    sign_in(Browser(empty), "zoe", "wrong wrong wrong")
    sign_in(Browser(empty), "zoe", "other odd words")
    accounts_of(empty).forgot("zoe@example.com", "127.0.0.1", empty.now)
    empty.settle()
    empty.forget()
    told = entries(empty)
    kinds = {one.kind for one in told}
    assert kinds >= {
        "installation.set_up", "session.began", "session.ended", "session.refused",
        "password.changed", "user.invited", "api_key.added", "team.added",
    }, kinds  # fmt: skip
    for one in told:
        assert one.actor, one
        assert one.at == empty.now, one
        assert one.subject or one.kind.startswith(("installation.", "session.")), one
        assert one.address or one.actor == "command line", one
