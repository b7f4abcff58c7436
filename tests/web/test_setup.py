"""The configuration thing by thing, through the API, on both databases."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml

from tests.web.setup_world import Api
from tocsin.work.configfile import parse
from tocsin.work.configure import Configurator

#: One of each kind: its path, what names it, a body, and fields to change.
KINDS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "users",
        "eve@example.com",
        {
            "email": "eve@example.com",
            "name": "Eve",
            "role": "manager",
            "time_zone": "Asia/Kathmandu",
            "contact_methods": [{"name": "mail", "channel": "email", "address": "eve@example.com"}],
            "notification_rules": [{"urgency": "high", "after": "5m", "contact_method": "mail"}],
            "quiet_hours": {"from": "22:00", "to": "07:00"},
            "handoff_notices": True,
        },
        {"name": "Evelyn", "time_zone": "UTC"},
    ),
    (
        "teams",
        "search",
        {"name": "search", "members": ["ann@example.com", "cat@example.com"]},
        {"members": ["bob@example.com"]},
    ),
    (
        "schedules",
        "night",
        {
            "name": "night",
            "time_zone": "America/New_York",
            "team": "payments",
            "layers": [
                {
                    "name": "l",
                    "rotation": {
                        "unit": "day",
                        "length": 1,
                        "start": "2026-01-05T00:00",
                        "days": ["mon", "wed"],
                    },
                    "priority": 3,
                    "participants": ["ann@example.com", ["bob@example.com", "cat@example.com"]],
                    "restrictions": [{"days": ["mon"], "from": "22:00", "to": "06:00"}],
                    "until": "2027-01-04T09:00",
                }
            ],
            "overrides": [
                {
                    "user": "cat@example.com",
                    "from": "2026-02-01T00:00",
                    "to": "2026-02-02T00:00",
                    "kind": "replace",
                    "instead_of": "ann@example.com",
                }
            ],
        },
        {"time_zone": "UTC", "team": None},
    ),
    (
        "escalation-policies",
        "loud",
        {
            "name": "loud",
            "repeat": 2,
            "steps": [
                {"targets": [{"schedule": "primary"}], "wait": "5m", "everybody": False},
                {
                    "targets": [
                        {"user": "bob@example.com"},
                        {"team": "payments"},
                        {"round_robin": ["ann@example.com", "bob@example.com"]},
                    ],
                    "wait": "10m",
                    "everybody": True,
                },
            ],
        },
        {"repeat": 0},
    ),
    (
        "services",
        "billing",
        {
            "name": "billing",
            "team": "payments",
            "escalation_policy": "default",
            "urgency": {"critical": "high", "priority.low": "low"},
            "support_hours": {
                "time_zone": "Europe/Berlin",
                "days": ["mon", "fri"],
                "from": "09:00",
                "to": "17:00",
                "outside": "low",
            },
            "acknowledge_timeout": "30m",
            "reopen_window": "10m",
            "auto_resolve_after": "7d",
            "noise": {
                "hold": {"for": "10m", "priorities": ["low"], "events": 100},
                "first_sight": "record",
                "one_per_release": True,
                "join_metric_issues": True,
                "follow_archive": True,
                "resolve_when_quiet_for": "6h",
            },
            "page_suspect_author": True,
        },
        {"acknowledge_timeout": None, "team": None},
    ),
    (
        "integrations",
        "other",
        {
            "name": "other",
            "service": "checkout",
            "source": "sentry",
            "dialect": "native",
            "routing_key": "another-key-of-ours",
            "signing_secrets": ["the-secret"],
            "sentry_url": "https://acme.sentry.io",
            "enabled": False,
            "replay_protection": "strict",
            "routes": [
                {"project": ["billing"], "tag.team": ["web"], "service": "checkout"},
                {"environment": ["staging"], "verb": "none"},
            ],
            "overrides": {
                "action": {"issue.archived": "resolve"},
                "severity": {"error": "critical"},
                "priority": {},
            },
        },
        {"enabled": True, "routes": []},
    ),
]
EACH = pytest.mark.parametrize(
    ("path", "name", "body", "change"), KINDS, ids=[kind[0] for kind in KINDS]
)

#: What is not shown as it was sent.
SECRET = ("routing_key", "signing_secrets")


def plain(shown: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only the answer has, and secrets."""
    return {key: value for key, value in shown.items() if key not in ("id", "urls", *SECRET)}


# -- all kinds


@EACH
def test_what_is_made_is_shown_listed_replaced_changed_and_removed(
    api: Api, path: str, name: str, body: dict[str, Any], change: dict[str, Any]
):
    made = api.call("POST", f"/{path}", body)
    assert made.status_code == 201
    shown = made.json()
    assert plain(shown) == plain(body)
    for reference in (name, shown["id"]):
        assert plain(api.ok("GET", f"/{path}/{reference}")) == plain(body)
    assert shown["id"] in [one["id"] for one in api.ok("GET", f"/{path}")["items"]]
    changed = api.ok("PATCH", f"/{path}/{name}", change)
    assert plain(changed) == plain(body | change)
    assert changed["id"] == shown["id"]
    assert plain(api.ok("PUT", f"/{path}/{shown['id']}", body)) == plain(body)
    assert api.call("DELETE", f"/{path}/{name}").status_code == 204
    for method in ("GET", "DELETE"):
        assert name in api.no(404, method, f"/{path}/{name}")
    assert "there is no" in api.no(404, "PUT", f"/{path}/{name}", body)
    assert "there is no" in api.no(404, "PATCH", f"/{path}/{name}", change)


@EACH
def test_what_export_writes_is_what_was_put(
    api: Api, path: str, name: str, body: dict[str, Any], change: dict[str, Any]
):
    api.ok("POST", f"/{path}", body)
    section = yaml.safe_load(api.export())[path.replace("-", "_")]
    key = "email" if path == "users" else "name"
    found = next(row for row in section if row[key] == name)
    shown = plain(api.ok("GET", f"/{path}/{name}"))
    # What the file leaves out is a default, which the API shows.
    assert plain(found).keys() <= shown.keys()
    for field, value in plain(found).items():
        if field not in ("layers", "steps", "support_hours", "overrides", "contact_methods"):
            assert shown[field] == value
    world = api.world
    file, source = parse(api.export(), "exported")
    again = Configurator(world.database, world.plans, world.vault)
    assert again.apply(file, source, world.now, dry_run=False).changes == ()


@EACH
def test_an_answer_put_back_changes_nothing(
    api: Api, path: str, name: str, body: dict[str, Any], change: dict[str, Any]
):
    api.ok("POST", f"/{path}", body)
    shown, before, revision = api.ok("GET", f"/{path}/{name}"), api.export(), api.revision()
    shown.pop("id")
    api.ok("PUT", f"/{path}/{name}", shown)
    api.ok("PATCH", f"/{path}/{name}", shown)
    assert (api.export(), api.revision()) == (before, revision)


@EACH
def test_every_write_is_counted(
    api: Api, path: str, name: str, body: dict[str, Any], change: dict[str, Any]
):
    counts, wakes = [api.revision()], list[int]()
    object.__setattr__(api.world._web._hints, "wake", lambda: wakes.append(1))
    for method, at, sent in (
        ("POST", f"/{path}", body),
        ("PATCH", f"/{path}/{name}", change),
        ("PUT", f"/{path}/{name}", body),
        ("DELETE", f"/{path}/{name}", None),
    ):
        api.ok(method, at, sent)
        counts.append(api.revision())
    assert counts == sorted(set(counts))
    assert len(wakes) == 4, "the worker looks at once"


@EACH
def test_a_name_that_is_taken_is_a_conflict(
    api: Api, path: str, name: str, body: dict[str, Any], change: dict[str, Any]
):
    api.ok("POST", f"/{path}", body)
    assert "already" in api.no(409, "POST", f"/{path}", body)
    key = "email" if path == "users" else "name"
    other = next(one[key] for one in api.ok("GET", f"/{path}")["items"] if one[key] != name)
    assert "already" in api.no(409, "PATCH", f"/{path}/{name}", {key: other})
    api.ok("DELETE", f"/{path}/{name}")
    api.ok("POST", f"/{path}", body)


@EACH
def test_an_unknown_key_is_told_with_a_suggestion(
    api: Api, path: str, name: str, body: dict[str, Any], change: dict[str, Any]
):
    key = list(body)[-1]
    wrong = {**body, f"{key}x": body[key]}
    assert f"did you mean '{key}'?" in api.no(400, "POST", f"/{path}", wrong)
    api.ok("POST", f"/{path}", body)
    assert f"did you mean '{key}'?" in api.no(400, "PATCH", f"/{path}/{name}", {f"{key}x": 1})
    for hostile in ([], "text", 5):
        assert api.no(400, "PATCH", f"/{path}/{name}", hostile)


@EACH
def test_lists_go_page_by_page(
    api: Api, path: str, name: str, body: dict[str, Any], change: dict[str, Any]
):
    key = "email" if path == "users" else "name"
    for number in range(5):
        named = {**body, key: f"{number}{body[key]}", **({"routing_key": None} if
                 path == "integrations" else {})}  # fmt: skip
        api.ok("POST", f"/{path}", named)
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.ok("GET", f"/{path}?limit=2{cursor}")
        assert len(page["items"]) <= 2
        seen += [one[key] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == sorted(set(seen))
    assert len(seen) > 5
    assert "cursor" in api.no(400, "GET", f"/{path}?cursor=%C3%BF")


# -- names


def test_renaming_keeps_the_id_and_everything_that_names_it(api: Api):
    for path, old, new in (
        ("users", "ann@example.com", "anna@example.com"),
        ("teams", "payments", "money"),
        ("schedules", "primary", "first"),
        ("escalation-policies", "default", "usual"),
        ("services", "checkout", "shop"),
        ("integrations", "sentry", "sentry-shop"),
    ):
        before = api.ok("GET", f"/{path}/{old}")
        field = "email" if path == "users" else "name"
        after = api.ok("PATCH", f"/{path}/{old}", {field: new})
        assert after["id"] == before["id"]
        assert api.ok("GET", f"/{path}/{new}") == after
    file = yaml.safe_load(api.export())
    assert file["schedules"][0]["layers"][0]["participants"][0] == "anna@example.com"
    assert file["escalation_policies"][0]["steps"][0]["targets"][0] == {"schedule": "first"}
    assert file["services"] == [{"name": "shop", "team": "money", "escalation_policy": "usual"}]
    assert file["integrations"][0]["service"] == "shop"
    api.world.sentry("issue.created")
    api.world.forget()
    assert api.ok("GET", "/incidents/1")["service"] == {"name": "shop"}


def test_a_thing_that_is_named_cannot_go(api: Api):
    for path, name, by in (
        ("users", "bob@example.com", ("team 'payments'", "schedule 'primary'")),
        ("teams", "payments", ("service 'checkout'",)),
        ("schedules", "primary", ("escalation policy 'default'",)),
        ("escalation-policies", "default", ("service 'checkout'",)),
        ("services", "checkout", ("integration 'sentry'",)),
    ):
        said = api.no(409, "DELETE", f"/{path}/{name}")
        assert all(one in said for one in by), said
        assert "change that first" in said


def test_who_is_the_fallback_cannot_go(api: Api):
    api.world.configure(api.export(), "fallback: {user: cat@example.com}")
    api.ok("PUT", "/teams/payments", {"name": "payments", "members": ["bob@example.com"]})
    assert "the fallback" in api.no(409, "DELETE", "/users/cat@example.com")


def test_overrides_that_are_over_hold_nobody_back(api: Api):
    api.ok("PATCH", "/teams/payments", {"members": ["bob@example.com"]})
    cat, ann = "cat@example.com", "ann@example.com"
    past = {"user": cat, "from": "2026-01-01T00:00", "to": "2026-01-02T00:00"}
    ahead = {"user": ann, "from": "2026-02-01T00:00", "to": "2026-02-02T00:00", "instead_of": cat}
    api.ok("POST", "/schedules/primary/overrides", past)
    made = api.ok("POST", "/schedules/primary/overrides", ahead)
    assert "schedule 'primary' (an override)" in api.no(409, "DELETE", f"/users/{cat}")
    api.ok("DELETE", f"/schedules/primary/overrides/{made['id']}")
    api.ok("DELETE", f"/users/{cat}")
    assert api.ok("GET", "/schedules/primary/overrides")["items"] == []
    api.ok("PATCH", "/schedules/primary", {"time_zone": "UTC"})


@pytest.mark.parametrize(
    ("path", "name", "change", "says"),
    [
        ("schedules", "primary", {"time_zone": "Europe/Berln"}, "did you mean Europe/Berlin?"),
        ("users", "ann@example.com", {"time_zone": "Mars/Base"}, "is not known"),
        ("users", "ann@example.com", {"email": "ann"}, "is not an e-mail address"),
        ("users", "ann@example.com", {"name": ""}, "a name is not empty"),
        ("users", "ann@example.com", {"name": "x" * 201}, "at most 200 characters"),
        ("users", "ann@example.com", {"name": "A\nB"}, "control character"),
        ("users", "ann@example.com", {"role": "boss"}, "unknown word 'boss'"),
        ("teams", "payments", {"members": ["eve@example.com"]}, "there is no user"),
        ("teams", "payments", {"members": "ann@example.com"}, "expected a list"),
        ("teams", "payments", {"name": None}, "expected text"),
        ("services", "checkout", {"escalation_policy": "defalt"}, "did you mean 'default'?"),
        ("services", "checkout", {"acknowledge_timeout": "soon"}, "write 30s, 5m, 2h or 7d"),
        ("services", "checkout", {"urgency": {"fatal": "high"}}, "is not known"),
        ("escalation-policies", "default", {"repeat": 101}, "between 0 and 100"),
        ("escalation-policies", "default", {"steps": [{"targets": [{}]}]}, "exactly one of"),
        ("integrations", "sentry", {"routing_key": "short"}, "at least 8 characters"),
        ("integrations", "sentry", {"signing_secrets": ["stored:0000"]}, "write the secret"),
        ("integrations", "sentry", {"routes": [{"service": "no"}]}, "there is no service 'no'"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    api: Api, path: str, name: str, change: dict[str, Any], says: str
):
    said = api.no(400, "PATCH", f"/{path}/{name}", change)
    assert says in said
    assert "\n" not in said
    whole = {**api.ok("GET", f"/{path}/{name}"), **change}
    whole.pop("id")
    assert says in api.no(400, "PUT", f"/{path}/{name}", whole)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ({"rotation": {"unit": "day", "length": 0, "start": "2026-01-05T00:00"}}, "length"),
        ({"rotation": {"unit": "day", "length": -1, "start": "2026-01-05T00:00"}}, "length"),
        ({"rotation": {"unit": "year", "start": "2026-01-05T00:00"}}, "unknown word 'year'"),
        ({"rotation": {"unit": "day", "start": "2026-01-05T00:00Z"}}, "without an offset"),
        ({"rotation": {"unit": "week", "start": "2026-01-05T00:00", "days": ["mon"]}}, "unit day"),
        ({"rotation": {"unit": "day"}}, "'start' is missing"),
        ({}, "either a rotation"),
        ({"calendar": "file:///etc/passwd"}, "is not an http:// or https:// URL"),
        ({"rotation": {"unit": "day", "start": "2026-01-05T00:00"}, "priority": 10**6}, "priority"),
        (
            {
                "rotation": {"unit": "day", "start": "2026-01-05T00:00"},
                "participants": ["nobody@example.com"],
            },
            "there is no user 'nobody@example.com'",
        ),
        (
            {
                "rotation": {"unit": "day", "start": "2026-01-05T00:00"},
                "restrictions": [{"days": ["monday"], "from": "09:00", "to": "17:00"}],
            },
            "did you mean mon?",
        ),
    ],
)
def test_a_layer_that_makes_no_sense_is_told_why(api: Api, layer: dict[str, Any], says: str):
    body = {"name": "s", "layers": [{"name": "l", **layer}]}
    assert says in api.no(400, "POST", "/schedules", body)
    assert says in api.no(400, "POST", "/schedules/preview", body)
    assert says in api.no(400, "PATCH", "/schedules/primary", {"layers": body["layers"]})


@pytest.mark.parametrize(
    "change",
    [
        {"from": "2026-02-02T00:00", "to": "2026-02-01T00:00"},
        {"from": "2026-02-02T00:00", "to": "2026-02-02T00:00"},
        {"from": "2026-02-02T00:00", "to": "2026-02-01T22:59:00Z"},
        # The clock of Berlin skips from 02:00 to 03:00: both are the same instant.
        {"from": "2026-03-29T02:10", "to": "2026-03-29T02:50"},
    ],
)
def test_an_override_that_ends_before_it_begins_is_told(api: Api, change: dict[str, Any]):
    override = {"user": "cat@example.com", **change}
    said = api.no(400, "PATCH", "/schedules/primary", {"overrides": [override]})
    assert "ends after it begins" in said
    said = api.no(400, "POST", "/schedules/primary/overrides", override)
    assert "ends" in said


def test_a_layer_of_ten_thousand_is_taken_quickly(api: Api):
    layer = {
        "name": "l",
        "rotation": {"unit": "hour", "start": "2026-01-05T00:00"},
        "participants": ["ann@example.com", "bob@example.com"] * 5000,
    }
    began = time.perf_counter()
    api.ok("POST", "/schedules", {"name": "long", "layers": [layer]})
    assert len(api.ok("GET", "/schedules/long")["layers"][0]["participants"]) == 10_000
    assert len(api.ok("GET", "/schedules/long/shifts?to=2026-01-06T12:00Z")["items"]) == 24
    assert time.perf_counter() - began < 5


# -- secrets


def test_secrets_are_references_and_references_keep_them(api: Api):
    key = {"routing_key": "a-key-of-ours", "signing_secrets": ["s-one", "s-two"]}
    made = api.ok("POST", "/integrations", {"name": "i", "service": "checkout", **key})
    for shown in (made, api.ok("GET", "/integrations/i"), api.ok("GET", "/integrations")):
        text = str(shown)
        assert "a-key-of-ours" not in text
        assert "s-one" not in text
    assert made["routing_key"].startswith("stored:")
    assert made.get("urls") is None
    kept = {"name": "i", "service": "checkout", "signing_secrets": made["signing_secrets"][:1]}
    api.ok("PUT", "/integrations/i", kept)
    found = api.world.plans.refresh().integrations[made["id"]]
    assert found.signing_secrets == ("s-one",)
    assert api.world.post("/in/a-key-of-ours", b"{}").status_code == 401, "the key is the same"
    api.ok("PUT", "/integrations/i", {"name": "j", "service": "checkout"})
    assert api.world.post("/in/a-key-of-ours", b"{}").status_code == 202, "under any name"


def test_a_made_key_is_shown_once_with_its_addresses(api: Api):
    made = api.ok("POST", "/integrations", {"name": "i", "service": "checkout"})
    assert made["urls"][0] == f"http://tocsin.test/in/{made['routing_key']}"
    assert len(made["urls"]) == 4
    api.world.sentry("issue.created", path=f"/in/{made['routing_key']}")
    api.world.forget()
    assert api.ok("GET", "/incidents/1")["integration"] == {"name": "i"}
    assert made["routing_key"] not in str(api.ok("GET", "/integrations/i"))
    assert made["routing_key"] not in str(api.ok("PATCH", "/integrations/i", {"enabled": False}))


def test_a_made_webhook_secret_is_shown_once(api: Api):
    hook = {"name": "hook", "channel": "webhook", "address": "https://phones.example.com/eve"}
    eve = {"email": "eve@example.com", "name": "Eve", "contact_methods": [hook]}
    secret = api.ok("POST", "/users", eve)["contact_methods"][0]["secret"]
    assert secret.startswith("whsec_")
    again = api.ok("PUT", "/users/eve@example.com", eve)["contact_methods"][0]["secret"]
    assert again.startswith("stored:")
    user = next(u for u in api.world.plans.refresh().users.values() if u.name == "Eve")
    assert user.contact_methods[0].secret == secret


def test_a_key_that_another_integration_has_is_refused(api: Api):
    body = {"name": "i", "service": "checkout", "routing_key": "routing-key-of-the-world"}
    assert "sentry has this key already" in api.no(400, "POST", "/integrations", body)


# -- people and roles


def test_only_owners_make_and_change_owners(api: Api):
    boss = {"email": "boss@example.com", "name": "Boss", "role": "owner"}
    assert "owner" in api.no(403, "POST", "/users", boss, who="admin")
    api.ok("POST", "/users", boss)
    for method, body in (("PATCH", {"name": "B"}), ("PATCH", {"role": "viewer"}), ("DELETE", None)):
        assert "owner" in api.no(403, method, "/users/boss@example.com", body, who="admin")
    assert "owner" in api.no(403, "PATCH", "/users/ann@example.com", {"role": "owner"}, who="admin")


def test_the_last_owner_stays(api: Api):
    api.ok("PATCH", "/users/ann@example.com", {"role": "owner"})
    for method, body in (("PATCH", {"role": "admin"}), ("DELETE", None)):
        said = api.no(409, method, "/users/ann@example.com", body)
        assert "last owner" in said or "still named" in said
    api.ok("PATCH", "/users/bob@example.com", {"role": "owner"})
    api.ok("PATCH", "/users/ann@example.com", {"role": "admin"})


def test_a_key_with_a_person_is_that_person(api: Api):
    assert api.ok("GET", "/me", who="ann") == {
        "name": "ann",
        "role": "responder",
        "user": {"email": "ann@example.com", "name": "Ann"},
    }
    api.world.sentry("issue.created")
    api.world.forget()
    assert api.ok("POST", "/incidents/1/acknowledge", who="ann")["acknowledged_by"] == (
        "ann@example.com"
    )
    api.world.settle()
    api.world.forget()


def test_a_key_loses_what_its_person_loses(api: Api):
    api.ok("PATCH", "/users/cat@example.com", {"role": "viewer"})
    assert api.ok("GET", "/me", who="cat")["role"] == "viewer"
    api.ok("PATCH", "/teams/payments", {"members": []})
    api.ok("DELETE", "/users/cat@example.com")
    assert api.call("GET", "/me", who="cat").status_code == 401
