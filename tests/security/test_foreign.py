"""S8: what leaves in other forms than a page: streams, exports, raw bodies, feeds, lists.

One generated table, as everybody: by the cookie of a browser, and by every kind of API key. What is
of another team is not there, in the same words as what nobody has. Every operation of the API and
every page there is are in tables of their own (``tests/web/test_access.py``,
``tests/pages/test_access.py``); that the three have every route is the first test here.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.browsing import signed_in
from tests.pages.things import ROLES, SCHEDULE, made, people
from tests.web import operations
from tests.web.operations import shape
from tests.world import ONE_STEP, SERVICE, World
from tocsin.core.model import Role
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.web.pages import PAGES
from tocsin.work.manage import Office

#: What is neither a page nor an operation of the API; feeds are at the end of this file.
NEITHER = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/calendars/{}"}

#: Of a team that has nothing.
FAR = tuple(f"far-{role}" for role in ROLES)


def everybody() -> str:
    """Return a person of every role in the team of all things, and one of every role in another."""
    users = "\n".join(
        f"  - {{email: {who}@example.com, name: {who.title()}, role: {role}}}"
        for who, role in zip(FAR, ROLES, strict=True)
    )
    members = ", ".join(f"{who}@example.com" for who in FAR)
    team = f"  - {{name: others, members: [{members}]}}"
    return people("payments").replace("teams:", f"{users}\nteams:\n{team}")


@pytest.fixture
def world(database: Database, vault: Vault) -> Iterator[World]:
    with World(database, vault) as world:
        world.configure(everybody(), SERVICE, ONE_STEP, SCHEDULE)
        yield world
        world.forget()


def test_s8_every_route_is_in_one_of_the_tables(world: World):
    routes = {shape("", re.sub(r":[a-z]+\}", "}", route.path))[1]
              for route in world._web._framework.routes}  # fmt: skip
    pages = {shape("", re.sub(r":[a-z]+\}", "}", path))[1] for one in PAGES for path in one.paths}
    of_api = {f"/api/v1{shape('', row.path)[1]}" for row in operations.ROWS}
    left = routes - pages - of_api - NEITHER
    assert {path for path in left if not path.startswith(("/static/", "/_openapi"))} == set()
    assert routes >= NEITHER
    assert of_api <= routes


# -- the table -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """Something that leaves: where, for whom, and what stands in it."""

    path: str
    #: What an answer has in it that shows the thing.
    shows: bytes
    #: A list: nobody is refused, and what is foreign is left out.
    is_list: bool = False
    least: str = "viewer"
    #: Concerns no team: whoever may, sees all of it.
    is_of_all: bool = False


#: Unlike anything else on a page.
TITLE = "a title of payments"

OF_PAGES = (
    Way("/live/incidents/1", b"event: hello"),
    Way("/live/incidents/{incident}", b"event: hello"),
    Way("/live/integrations/sentry", b"event: hello"),
    Way("/incidents/1.md", TITLE.encode()),
    Way("/incidents/{incident}.md", TITLE.encode()),
    Way("/incidents/{incident}", TITLE.encode()),
    Way("/deliveries/{delivery}", b"sentry:issue:1"),
    Way("/deliveries/{delivery}/body", TITLE.encode()),
    Way("/incidents?tab=all", TITLE.encode(), is_list=True),
    Way("/deliveries", b"/deliveries/{delivery}", is_list=True),
    Way("/deliveries?incident=1", b"/deliveries/{delivery}", is_list=True),
    Way("/notifications", TITLE.encode(), is_list=True),
    Way("/audit.csv", b"maintenance_window.added", least="admin", is_of_all=True),
    Way("/audit", b"maintenance_window.added", least="admin", is_of_all=True),
)

OF_API = (
    Way("/incidents/1", TITLE.encode()),
    Way("/incidents/{incident}", TITLE.encode()),
    Way("/deliveries/{delivery}", b"{body}"),
    Way("/integrations/sentry", b'"checkout"'),
    Way("/schedules/primary/shifts", b"bob@example.com"),
    Way("/incidents", TITLE.encode(), is_list=True),
    Way("/deliveries", b"{delivery}", is_list=True),
    Way("/notifications", b"{incident}", is_list=True),
    Way("/calendar-feeds", b"{feed}", is_list=True, least="manager"),
)


@pytest.fixture
def things(world: World) -> Mapping[str, str]:
    """Give an incident of payments, with all that comes of one."""
    world.sentry("issue.created", 1, title=TITLE)
    world.forget()
    world.api("POST", "/incidents/1/acknowledge")
    found = dict(made(world))
    told = world.api("GET", "/deliveries?limit=200")["items"][-1]["id"]
    detail = world.api("GET", f"/deliveries/{told}")
    world.forget()
    incident = detail["incident_id"]
    start = base64.b64decode(detail["body_base64"])[:30]
    return found | {
        "delivery": told, "incident": incident, "body": base64.b64encode(start).decode(),
    }  # fmt: skip


def filled(text: str, things: Mapping[str, str]) -> str:
    return re.sub(r"\{([a-z]+)\}", lambda found: things[found[1]], text)


def opened(world: World, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Ask, as a browser that goes away when it has heard something; return what it heard."""
    path, _, query = path.partition("?")
    heard: dict[str, Any] = {"status": 0, "body": b""}

    async def go() -> None:
        something = asyncio.Event()

        async def receive() -> Any:
            if not heard.get("asked"):
                heard["asked"] = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await something.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                heard["status"] = message["status"]
                kind = dict(message["headers"]).get(b"content-type", b"")
                heard["ends"] = not kind.startswith(b"text/event-stream")
            else:
                heard["body"] += message.get("body", b"")
                if not (heard["ends"] and message.get("more_body")):
                    something.set()

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": query.encode(), "client": ("127.0.0.1", 1),
            "server": ("tocsin.test", 80),
            "headers": [(b"host", b"tocsin.test"),
                        *((name.encode(), value.encode()) for name, value in headers.items())],
        }  # fmt: skip
        async with asyncio.timeout(20):
            await world._web(scope, receive, send)

    world._runner.run(go())
    return heard["status"], heard["body"]


def is_foreign(way: Way, who: str, role: str) -> bool:
    return who.startswith("far-") and role not in ("admin", "owner") and not way.is_of_all


def fault(
    way: Way, things: Mapping[str, str], answers: tuple[tuple[int, bytes], tuple[int, bytes]],
    *, may: bool, foreign: bool,
) -> str:  # fmt: skip
    """Return what is wrong with an answer, and with that for what nobody has; empty if nothing."""
    (status, body), (of_nothing, nothing) = answers
    shows = filled(way.shows.decode(), things).encode()
    if not may:
        return "" if status == 403 and shows not in body else f"{status}, not 403"
    if way.is_list:
        if status != 200:
            return f"{status}, not 200"
        return "" if (shows in body) is not foreign else f"shown is {shows in body}"
    if not foreign:
        return "" if status == 200 and shows in body else f"{status}, {body[:80]!r}"
    if status != 404 or shows in body:
        return f"{status}, not 404"
    is_same = of_nothing == 404 and plain(body) == plain(nothing, NOTHING, things)
    return "" if is_same else "it tells what is there from what is not"


#: Names as those of the things of a team, which nothing has.
NOTHING = {"incident": "inc_nothing", "delivery": "del_nothing"}

#: What is named by itself, to what nothing is called.
NAMES = {"1": "99", "sentry": "no-integration", "primary": "no-schedule"}


def of_nothing(path: str) -> str:
    """Return the same path, of something that nobody has."""
    named = rf"/({'|'.join(NAMES)})\b"
    return re.sub(named, lambda found: f"/{NAMES[found[1]]}", filled(path, NOTHING))


def plain(body: bytes, named: Mapping[str, str] = {}, instead: Mapping[str, str] = {}) -> bytes:
    """Return an answer without what is new on every page, and with other names in it."""
    text = re.sub(rb'("x-csrftoken": |name="_csrf_token" value=)"[0-9a-f]*"', b"", body)
    if named:
        names = [(value, instead[name]) for name, value in named.items()]
        for old, new in (*names, *((made, real) for real, made in NAMES.items())):
            text = re.sub(rb"\b%b\b" % old.encode(), new.encode(), text)
    return text


@pytest.mark.parametrize("far", [False, True], ids=["own", "foreign"])
def test_s8_by_browser_what_is_foreign_is_not_there(
    world: World, things: Mapping[str, str], far: bool
):
    wrong = []
    for who in FAR if far else ROLES:
        role = who.removeprefix("far-")
        browser = signed_in(world, who)
        cookie = {"accept": "text/html", "cookie": f"tocsin={browser.cookies['tocsin']}"}
        for way in OF_PAGES:
            answers = (
                opened(world, filled(way.path, things), cookie),
                opened(world, of_nothing(way.path), cookie) if far else (0, b""),
            )
            may = ROLES.index(role) >= ROLES.index(way.least)
            found = fault(way, things, answers, may=may, foreign=is_foreign(way, who, role))
            wrong += [(who, way.path, found)] if found else []
    assert wrong == []


def test_s8_nobody_is_shown_anything(world: World, things: Mapping[str, str]):
    """Without a cookie, with one that is none, with the key of a program: go and sign in."""
    for way, headers in itertools.product(
        OF_PAGES,
        ({}, {"cookie": "tocsin=session_x"}, {"authorization": f"Bearer {world._api_key}"}),
    ):
        status, body = opened(world, filled(way.path, things), {"accept": "text/html", **headers})
        assert (status, TITLE.encode() in body) == (303, False), way.path
    session = signed_in(world, "owner").cookies["tocsin"]
    for way, headers in itertools.product(
        OF_API,
        ({}, {"authorization": "Bearer x"}, {"cookie": f"tocsin={session}"},
         {"authorization": f"Bearer {session}"}, {"authorization": f"Basic {world._api_key}"}),
    ):  # fmt: skip
        status, body = opened(world, f"/api/v1{filled(way.path, things)}", headers)
        assert (status, TITLE.encode() in body) == (401, False), way.path


def scopes(world: World) -> Iterator[tuple[str, str, str]]:
    """Yield every kind of API key: whose it is, the role that counts, the key."""
    office = Office(world.database, world.plans, world.vault)
    for role in ROLES:
        yield "nobody's", role, office.create_api_key(f"of {role}", Role(role), world.now)
        for who in (role, f"far-{role}"):
            email = f"{who}@example.com"
            yield who, role, office.create_key_of(email, f"of {who}", None, world.now)
    for who, role in itertools.product(("owner", "far-owner"), ROLES[:3]):
        key = office.create_key_of(f"{who}@example.com", f"{who}/{role}", Role(role), world.now)
        yield who, role, key


def test_s8_by_api_key_what_is_foreign_is_not_there(world: World, things: Mapping[str, str]):
    """Of every role: nobody's, of a person of the team, of one of another, and of lesser rights."""
    wrong, seen = [], 0
    for who, role, key in scopes(world):
        bearer, seen = {"authorization": f"Bearer {key}"}, seen + 1
        for way in OF_API:
            foreign = is_foreign(way, who, role)
            path, nothing = (f"/api/v1{one}" for one in (filled(way.path, things),
                                                         of_nothing(way.path)))  # fmt: skip
            answers = (
                opened(world, path, bearer), opened(world, nothing, bearer) if foreign else (0, b"")
            )  # fmt: skip
            # Feeds are listed to everybody: to whoever may not configure, their own.
            may = way.is_list or ROLES.index(role) >= ROLES.index(way.least)
            lacks = foreign or ROLES.index(role) < ROLES.index(way.least)
            found = fault(way, things, answers, may=may, foreign=lacks)
            wrong += [(who, role, way.path, found)] if found else []
    assert wrong == []
    assert seen == 21


# -- feeds -----------------------------------------------------------------------------------------


def test_s8_a_feed_is_read_by_its_address_alone(world: World, things: Mapping[str, str]):
    """Whoever asks: what names it elsewhere, and who is signed in, opens nothing."""
    shown = world.api("POST", "/calendar-feeds", {"schedule": "primary"})
    address, id_ = shown["url"].removeprefix(world.base), shown["id"]
    status, body = opened(world, address, {})
    assert (status, b"BEGIN:VEVENT" in body) == (200, True)
    owner = {"cookie": f"tocsin={signed_in(world, 'owner').cookies['tocsin']}",
             "authorization": f"Bearer {world._api_key}"}  # fmt: skip
    key = address.removeprefix("/calendars/").removesuffix(".ics")
    for name in (id_, "primary", "bob@example.com", world.user("bob").id, key[:-1], key.upper(),
                 f"{key}x", "", ".", "%2e%2e", "*"):  # fmt: skip
        for headers in ({}, owner):
            status, body = opened(world, f"/calendars/{name}.ics", headers)
            assert (status, b"VEVENT" in body) == (404, False), name
    assert opened(world, f"/calendars/{key}", owner)[0] == 404
    listed = world.api("GET", "/calendar-feeds")
    assert key not in str(listed)
    assert {one["id"] for one in listed["items"]} >= {id_, things["feed"]}
    assert world.call("DELETE", f"/calendar-feeds/{id_}").status_code < 300
    assert opened(world, address, owner)[0] == 404
