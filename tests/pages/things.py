"""Something behind every parameter of every path, for tests that walk all pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from tests.world import PEOPLE, World

PARAMETER = re.compile(r"\{([a-z_]+):[a-z]+\}")

#: The first part of a path and a parameter in it, to the name of a thing of ``made``, or to itself.
FILL: Mapping[tuple[str, str], str] = {
    ("a", "token"): "answer",
    ("deliveries", "delivery_id"): "delivery",
    ("incidents", "deed"): "acknowledge",
    ("incidents", "reference"): "1",
    ("integrations", "reference"): "sentry",
    ("invite", "key"): "invitation",
    ("keys", "key_id"): "key",
    ("maintenance", "window_id"): "window",
    ("me", "absence_id"): "nobody",
    ("me", "feed_id"): "nobody",
    ("me", "key_id"): "nobody",
    ("me", "method_id"): "method",
    ("me", "session_id"): "nobody",
    ("people", "reference"): "person",
    ("policies", "reference"): "default",
    ("reset", "key"): "reset",
    ("schedules", "feed_id"): "feed",
    ("schedules", "override_id"): "override",
    ("schedules", "reference"): "primary",
    ("schedules", "swap_id"): "nobody",
    ("services", "reference"): "checkout",
    ("setup", "key"): "setup",
    ("teams", "team_id"): "team",
    ("welcome", "method_id"): "nobody",
    ("welcome", "step"): "how",
    ("welcome", "what"): "code",
}

#: First parts of paths whose things are of the team ``payments``.
OF_THE_TEAM = frozenset(
    {"deliveries", "incidents", "integrations", "maintenance", "schedules", "services"}
)

SCHEDULE = """
schedules:
  - name: primary
    team: payments
    layers:
      - {name: weekly, rotation: {unit: week, start: "2026-01-05T09:00"},
         participants: [bob@example.com, cat@example.com]}
"""

ROLES = ("viewer", "responder", "manager", "admin", "owner")


def people(team: str) -> str:
    """Return the people with one of each role, all of them in a team."""
    users = "\n".join(
        f"  - {{email: {role}@example.com, name: {role.title()}, role: {role}}}" for role in ROLES
    )
    members = ", ".join(f"{role}@example.com" for role in ROLES)
    here = f"  - {{name: {team}, members: [{members}]}}"
    if team == "payments":
        there = "  - {name: payments, members: [bob@example.com, cat@example.com]}"
        all_of_them = f"ann@example.com, bob@example.com, cat@example.com, {members}"
        joined = f"  - {{name: payments, members: [{all_of_them}]}}"
        return PEOPLE.replace("teams:", f"{users}\nteams:").replace(there, joined)
    return PEOPLE.replace("teams:", f"{users}\nteams:\n{here}")


def keys_of(path: str) -> list[tuple[str, str]]:
    """Return what a path needs to be filled in."""
    segment = path.split("/")[2 if path.startswith("/live/") else 1]
    return [(segment, name) for name in PARAMETER.findall(path)]


def made(world: World) -> Mapping[str, str]:
    """Make a thing of every kind, of the team ``payments``; return their ids."""
    world.sentry("issue.created", 1)
    world.forget()
    begins, ends = (f"{world.now + timedelta(hours=n):%Y-%m-%dT%H:%MZ}" for n in (1, 2))
    span = {"from": begins, "to": ends}
    window = {"services": ["checkout"], "reason": "upgrade", **span}
    override = {"user": "bob@example.com", **span}
    key = {"name": "of nobody", "role": "viewer"}
    return {
        "delivery": world.api("GET", "/deliveries")["items"][0]["id"],
        "window": world.api("POST", "/maintenance-windows", window)["id"],
        "override": world.api("POST", "/schedules/primary/overrides", override)["id"],
        "feed": world.api("POST", "/calendar-feeds", {"schedule": "primary"})["id"],
        "person": world.user("ann").id,
        "team": world.api("GET", "/teams/payments")["id"],
        "key": world.api("POST", "/api-keys", key)["id"],
    }


def filled(path: str, things: Mapping[str, str]) -> str:
    """Return a path with a thing behind each parameter."""

    def one(match: re.Match[str]) -> str:
        segment = path.split("/")[2 if path.startswith("/live/") else 1]
        what = FILL[segment, match[1]]
        return things.get(what, what)

    return PARAMETER.sub(one, path)
