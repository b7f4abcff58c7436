"""Whoever changes something over the API is told of in the audit log, in the same transaction."""

from __future__ import annotations

import pytest

from tests.web import operations
from tests.web.operations import Row, fill
from tests.web.setup_world import Api
from tests.web.two_teams import Things, email_of, set_up
from tocsin.core.plans import User
from tocsin.store import audit
from tocsin.store.audit import Entry, Wanted

#: What reads, though it is sent as a body.
_READS = {"/maintenance-windows/preview", "/schedules/preview"}

#: What is set up; what happens to incidents is on their timelines. What moves things between teams
#: changes nothing within one.
WRITES = [
    row
    for row in (*operations.SETUP, *operations.ROTA, *operations.KEYS)
    if row.method != "GET" and row.path not in _READS and "{mine." not in row.path
]

#: Where changing nothing would be no change.
_FIELDS = {
    "users": {"name": "Another"},
    "teams": {"members": ["ann@example.com"]},
    "schedules": {"time_zone": "Asia/Tokyo"},
    "escalation-policies": {"repeat": 2},
    "services": {"acknowledge_timeout": "5m"},
    "integrations": {"signing_secrets": ["a-secret-that-nobody-sees"]},
}


def entries(api: Api) -> list[Entry]:
    with api.world.database.read() as connection:
        return list(audit.page(connection, Wanted(), 200).items)


@pytest.mark.parametrize("row", WRITES, ids=str)
def test_every_write_is_told_with_who_did_it(api: Api, row: Row):
    set_up(api)
    who = "responder" if row.least == "responder" else "owner"
    things = Things(api, "payments", who, Things(api, "payments", who))
    at, body = fill(row.path, things), fill(row.body, things)
    if body == {}:
        body = _FIELDS.get(at.split("/")[1], {})
    before = len(entries(api))
    api.ok(row.method, at, body, who=who)
    told = entries(api)
    assert len(told) == before + 1
    assert told[0].actor == email_of(who)
    assert told[0].subject
    assert told[0].address
    thing, verb = told[0].kind.split(".")
    assert verb in ("added", "changed", "removed")
    assert thing


PERSONAL = [
    ("POST", "/me/contact-methods", {"name": "n", "channel": "email", "address": "n@example.com"}),
    ("DELETE", "/me/contact-methods/{m}", None),
    ("PUT", "/me/notification-rules", {"items": []}),
    ("PUT", "/me/handoff-notices", {"enabled": True}),
    ("POST", "/calendar-feeds", {"user": "ann@example.com"}),
]


@pytest.mark.parametrize(("method", "path", "body"), PERSONAL)
def test_what_people_change_of_themselves_is_told(api: Api, method: str, path: str, body: object):
    ann: User = api.world.user("ann")
    before = len(entries(api))
    api.ok(method, path.format(m=ann.contact_methods[0].id), body, who="ann")
    told = entries(api)
    assert len(told) == before + 1
    assert told[0].actor == "ann@example.com"
    assert "ann@example.com" in told[0].subject


def test_what_is_refused_is_not_told(api: Api):
    before = entries(api)
    api.no(400, "POST", "/teams", {"name": ""})
    api.no(409, "DELETE", "/teams/payments")
    api.no(403, "POST", "/users", {"email": "e@example.com", "name": "E"}, who="viewer")
    assert entries(api) == before


def test_a_secret_is_never_told(api: Api):
    api.ok("PATCH", "/integrations/sentry", {"signing_secrets": ["hush-hush-hush"]})
    api.ok("PATCH", "/integrations/sentry", {"routing_key": "another-routing-key"})
    told = entries(api)
    assert [one.detail for one in told[:2]] == ["routing key changed", "signing secrets changed"]
    everything = "".join(f"{one.subject}{one.detail}" for one in told)
    assert "hush" not in everything
    assert "another-routing-key" not in everything


def test_short_values_are_told_as_they_were_and_are(api: Api):
    api.ok("PATCH", "/services/checkout", {"name": "shop", "acknowledge_timeout": "5m"})
    assert entries(api)[0].subject == "shop"
    detail = entries(api)[0].detail
    assert detail == "name: checkout → shop; acknowledge_timeout: nothing → 5m"
    api.ok("PATCH", "/teams/payments", {"members": ["ann@example.com"]})
    told = entries(api)[0].detail
    assert told == "members: bob@example.com, cat@example.com → ann@example.com"


def test_a_file_tells_one_row_for_each_change(api: Api):
    before = len(entries(api))
    api.world.configure("users:\n  - {email: zoe@example.com, name: Zoe, role: owner}")
    told = entries(api)
    kinds = {(one.kind, one.subject) for one in told[: len(told) - before]}
    assert ("user.added", "zoe@example.com") in kinds
    assert ("service.removed", "checkout") in kinds
    assert {one.actor for one in told[: len(told) - before]} == {"command line"}
