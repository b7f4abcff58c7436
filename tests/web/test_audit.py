"""Whoever changes something over the API is told of in the audit log, in the same transaction."""

from __future__ import annotations

import pytest

from tests.web.operations import SPAN
from tests.web.setup_world import Api
from tocsin.core.plans import User
from tocsin.store import audit
from tocsin.store.audit import Entry, Wanted

ANN = "ann@example.com"

#: Where things are made, and with what.
MADE = {
    "/users": {"email": "n@example.com", "name": "N"},
    "/teams": {"name": "n"},
    "/schedules": {"name": "n"},
    "/escalation-policies": {"name": "n"},
    "/services": {"name": "n"},
    "/integrations": {"name": "n", "service": "checkout"},
    "/maintenance-windows": {"reason": "n", **SPAN},
    "/absences": {"user": ANN, **SPAN},
    "/api-keys": {"name": "n", "role": "viewer"},
}

#: What of them is changed.
CHANGED = {
    "/users": {"name": "Another"},
    "/teams": {"members": [ANN]},
    "/schedules": {"time_zone": "Asia/Tokyo"},
    "/escalation-policies": {"repeat": 2},
    "/services": {"acknowledge_timeout": "5m"},
    "/integrations": {"signing_secrets": ["a-secret-that-nobody-sees"]},
}


def entries(api: Api) -> list[Entry]:
    with api.world.database.read() as connection:
        return list(audit.page(connection, Wanted(), 200).items)


@pytest.mark.parametrize("path", MADE)
def test_every_write_is_told_with_who_did_it(api: Api, path: str):
    began = len(entries(api))
    made = api.ok("POST", path, MADE[path], who="owner")
    verbs = ["added"]
    if path in CHANGED:
        api.ok("PATCH", f"{path}/{made['id']}", CHANGED[path], who="owner")
        verbs.append("changed")
    api.ok("DELETE", f"{path}/{made['id']}", None, who="owner")
    told = entries(api)[: -began or None]
    assert [one.kind.partition(".")[2] for one in reversed(told)] == [*verbs, "removed"]
    for one in told:
        assert one.actor == "API key owner"
        assert one.subject
        assert one.address


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
