"""Calendars over HTTP: feeds under secret addresses, and those that layers are read from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import icalendar
import pytest
from sqlalchemy import select, update

from tests.calendars.test_reading import calendar
from tests.outside import Answer, Shelf, Tocsin, shelf, until
from tests.web.conftest import Served
from tests.web.test_api import call, problem
from tocsin.store.db import Database
from tocsin.store.tables import api_keys, calendar_feeds, users


def make(served: Served, body: Any, role: str = "owner") -> Any:
    answer = call(served, "POST", "/calendar-feeds", body, role=role)
    assert answer.status == 201, answer.body
    return answer.json


def ask(served: Served, url: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return served.tocsin.request(method, urlsplit(url).path, None, named)


def events(answer: Answer) -> list[icalendar.Event]:
    assert answer.status == 200
    return list(icalendar.Calendar.from_ical(answer.body).walk("VEVENT"))


@pytest.fixture(scope="module")
def ann(served: Served) -> str:
    """Give a viewer's API key that has Ann behind it."""
    made = served.tocsin.run(
        "key", "create", "--name", f"ann-{time.monotonic_ns()}", "--role", "viewer"
    )
    key = made.stdout.strip()
    database = Database(served.tocsin.environment["TOCSIN_DATABASE_URL"])
    with database.write() as connection:
        id_ = connection.scalar(select(users.c.id).where(users.c.email == "ann@example.com"))
        latest = connection.scalar(select(api_keys.c.id).order_by(api_keys.c.id.desc()).limit(1))
        connection.execute(update(api_keys).where(api_keys.c.id == latest).values(user_id=id_))
    database.close()
    return key


@pytest.fixture(scope="module")
def feed(served: Served) -> Any:
    """Give a feed of the schedule, as it was made."""
    return make(served, {"schedule": "primary"})


def test_a_schedules_feed_is_read_by_whoever_has_its_address(served: Served, feed: Any):
    answer = ask(served, feed["url"])
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["cache-control"] == "private"
    (event,) = events(answer)  # Ann alone takes turns: one shift without an end in sight
    assert event["SUMMARY"] == "Ann on call: primary"
    assert event["DTSTART"].dt.isoformat() == "2026-01-05T09:00:00+01:00"
    assert event["DTSTART"].params["TZID"] == "Europe/Berlin"


def test_the_api_and_the_feed_name_the_same_things(served: Served, feed: Any):
    assert feed["schedule"] == {"name": "primary"}
    assert feed["user"] is None
    assert feed["url"].startswith(f"{served.tocsin.base}/calendars/cal_")
    assert feed["url"].endswith(".ics")


def test_a_persons_feed_has_their_own_shifts(served: Served):
    made = make(served, {"user": "ann@example.com"})
    assert made["user"] == {"email": "ann@example.com", "name": "Ann"}
    answer = ask(served, made["url"])
    assert [str(event["SUMMARY"]) for event in events(answer)] == ["Ann on call: primary"]
    assert b"X-WR-CALNAME:Ann on call" in answer.body


def test_a_feed_is_not_sent_again_to_whoever_has_it(served: Served, feed: Any):
    first = ask(served, feed["url"])
    for tag in (
        first.headers["etag"],
        f"W/{first.headers['etag']}",
        f'"x", {first.headers["etag"]}',
        "*",
    ):
        again = ask(served, feed["url"], If_None_Match=tag)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert ask(served, feed["url"], If_None_Match='"other"').body == first.body


def test_head_says_what_get_would(served: Served, feed: Any):
    head, got = ask(served, feed["url"], "HEAD"), ask(served, feed["url"])
    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] == got.headers["etag"]
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers[name] == got.headers[name]


def test_reading_a_feed_changes_nothing(served: Served, feed: Any):
    database = Database(served.tocsin.environment["TOCSIN_DATABASE_URL"])

    def rows() -> list[Any]:
        with database.read() as connection:
            return [tuple(row) for row in connection.execute(select(calendar_feeds))]

    before = rows()
    for method in ("GET", "HEAD"):
        ask(served, feed["url"], method)
    assert rows() == before
    database.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_but_reading_is_done_to_a_feed(served: Served, feed: Any, method: str):
    assert ask(served, feed["url"], method).status == 405
    assert ask(served, feed["url"]).status == 200


def test_a_feed_of_no_key_is_not_there(served: Served, feed: Any):
    path = urlsplit(feed["url"]).path
    for wrong in (
        "/calendars/cal_unknown.ics", "/calendars/.ics", "/calendars/x", path.removesuffix(".ics"),
        path + "x", path.upper(), f"/calendars/{feed['id']}.ics",
        "/calendars/%ff%fe.ics", "/calendars/" + "x" * 5000 + ".ics", "/calendars/a/b.ics",
    ):  # fmt: skip
        answer = served.tocsin.request("GET", wrong)
        assert answer.status == 404, wrong
        problem(answer)


def test_a_revoked_feed_is_not_there_any_more(served: Served):
    made = make(served, {"schedule": "primary"})
    assert ask(served, made["url"]).status == 200
    assert call(served, "DELETE", f"/calendar-feeds/{made['id']}").status == 204
    assert ask(served, made["url"]).status == 404
    assert call(served, "DELETE", f"/calendar-feeds/{made['id']}").status == 404
    assert made["id"] not in [
        one["id"] for one in call(served, "GET", "/calendar-feeds?limit=200").json["items"]
    ]


def test_the_address_is_told_once_and_its_key_is_kept_nowhere(served: Served, feed: Any):
    listed = call(served, "GET", "/calendar-feeds?limit=200").json["items"]
    (mine,) = [one for one in listed if one["id"] == feed["id"]]
    assert mine == feed | {"url": None}
    key = urlsplit(feed["url"]).path.rpartition("/")[2].removesuffix(".ics")
    database = Database(served.tocsin.environment["TOCSIN_DATABASE_URL"])
    with database.read() as connection:
        assert key not in repr(connection.execute(select(calendar_feeds)).all())
    database.close()
    assert key not in served.tocsin.log.read_text()


def test_feeds_are_listed_page_by_page(served: Served):
    made = [make(served, {"schedule": "primary"})["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while len(seen) < 5:
        page = call(served, "GET", f"/calendar-feeds?limit=2{cursor}").json
        seen += [one["id"] for one in page["items"]]
        cursor = f"&cursor={page['next']}"
    assert seen[:5] == made[::-1]
    assert problem(call(served, "GET", "/calendar-feeds?cursor=%C3"))["status"] == 400


def test_a_person_has_their_own_feeds_and_no_others(served: Served, ann: str):
    made = make(served, {"user": "ann@example.com"}, role=ann)
    listed = call(served, "GET", "/calendar-feeds?limit=200", role=ann).json["items"]
    assert made["id"] in [one["id"] for one in listed]
    assert {(one["user"] or {}).get("email") for one in listed} == {"ann@example.com"}
    assert ask(served, made["url"]).status == 200
    assert call(served, "DELETE", f"/calendar-feeds/{made['id']}", role=ann).status == 204


def test_a_person_makes_and_revokes_no_feed_of_anybody_else(served: Served, ann: str, feed: Any):
    for body in ({"schedule": "primary"}, {"user": "bob@example.com"}):
        assert problem(call(served, "POST", "/calendar-feeds", body, role=ann))["status"] == 403
    path = f"/calendar-feeds/{feed['id']}"
    assert problem(call(served, "DELETE", path, role=ann))["status"] == 403
    assert ask(served, feed["url"]).status == 200
    assert call(served, "GET", "/calendar-feeds", role="responder").json["items"] == []


@pytest.mark.parametrize(
    "body",
    [{}, {"schedule": "nothing"}, {"user": "nobody@example.com"}, {"schedule": 1},
     {"schedule": "primary", "user": "ann@example.com"}, {"schedule": "primary", "x": 1}, None],
)  # fmt: skip
def test_a_feed_of_nothing_is_told_why(served: Served, body: Any):
    assert problem(call(served, "POST", "/calendar-feeds", body))["status"] == 400


# -- calendars that layers are read from, by a server of its own


CONFIGURATION = """
users:
  - {{email: ann@example.com, name: Ann}}
schedules:
  - name: primary
    layers: [{{name: rota, calendar: "{url}"}}]
"""


@pytest.fixture
def library() -> Iterator[Shelf]:
    with shelf() as made:
        yield made


def test_a_real_server_reads_a_real_calendar(library: Shelf, database_url: str, tmp_path: Path):
    """From ``apply`` to a feed that says what the calendar said, by whoever is asked."""
    library.documents["/rota.ics"] = calendar(
        ("DTSTART:20260101T000000Z", "DURATION:P1D", "RRULE:FREQ=DAILY",
         "ATTENDEE:mailto:ann@example.com"),
    )  # fmt: skip
    tocsin = Tocsin(tmp_path, database_url)
    url = f"{library.base}/rota.ics?secret"
    tocsin.apply(CONFIGURATION.format(url=url))
    owner, viewer = (
        tocsin.run("key", "create", "--name", role, "--role", role).stdout.strip()
        for role in ("owner", "viewer")
    )
    tocsin.start()
    try:

        def listed() -> Any:
            (one,) = tocsin.api(owner, "GET", "/calendars")["items"]
            assert one["error"] is None
            return one if one["fetched_at"] else None

        one = until(listed, "the calendar was read")
        assert (one["url"], one["schedules"], one["unknown"]) == (url, ["primary"], [])
        assert one["events"] > 400
        (masked,) = tocsin.api(viewer, "GET", "/calendars")["items"]
        assert masked["url"] == f"{library.base}/…"
        made = tocsin.api(owner, "POST", "/calendar-feeds", {"schedule": "primary"})
        shown = events(tocsin.request("GET", urlsplit(made["url"]).path))
        assert {str(event["SUMMARY"]) for event in shown} == {"Ann on call: primary"}
        assert tocsin.stop() == 0
        assert "secret" not in tocsin.log.read_text()
        assert "Traceback" not in tocsin.log.read_text()
    finally:
        tocsin.end()
