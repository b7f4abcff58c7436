"""Every operation of the API: the least role that may, and what who does not see the thing is told.

Paths and bodies have the names of things in braces (``{incident}``); ``two_teams.py`` makes one of
each for every call, of one team or of the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

WINDOW = {"from": "2026-01-06T00:00", "to": "2026-01-07T00:00"}
SPAN = {"from": "2026-02-06T00:00Z", "to": "2026-02-07T00:00Z"}

#: What an operation is to who does not see the thing: it is not there (in the path, or in the body
#: or query), it is left out of the list, it may not be put there; or everybody sees such things.
GONE, UNKNOWN, LEFT_OUT, REFUSED, EVERYBODYS = 404, 400, "left out", 403, None


class Row(NamedTuple):
    """One operation."""

    method: str
    path: str
    least: str
    #: A template, as the path is.
    body: Any = None
    unseen: int | str | None = GONE
    #: A thing that such a list shows to who sees it.
    shows: str = ""
    #: What is answered to who may; with None, anything good.
    answer: int | None = None
    #: The rule is finer than the role: who asks comes to know whether the thing is there.
    is_finer: bool = False
    #: It is about whoever asks: the things of others are nobody else's, whatever their role.
    is_personal: bool = False

    def __str__(self) -> str:
        """Name it."""
        return f"{self.method} {self.path}"


def _collection(
    path: str, least: str, thing: str, body: Any, making: int | None, unseen: int | str | None
) -> list[Row]:
    """Return the operations of a collection; ``making`` is of what the body names."""
    one = f"/{path}/{{{thing}}}"
    listed = LEFT_OUT if unseen else EVERYBODYS
    return [
        Row("GET", f"/{path}", "viewer", None, listed, shows=thing),
        Row("POST", f"/{path}", least, body, making),
        Row("GET", one, "viewer", None, unseen),
        Row("PUT", one, least, body, unseen),
        Row("PATCH", one, least, {}, unseen),
        Row("DELETE", one, least, None, unseen),
    ]


_PERSON = {"email": "{new}@example.com", "name": "{new}"}
_NAMED = {"name": "{new}"}
_OF_TEAM = {"name": "{new}", "team": "{team}"}
_OF_SERVICE = {"name": "{new}", "service": "{service}"}
_COVERING = {"reason": "{new}", "services": ["{service}"], **SPAN}
_AWAY = {"user": "{me}", **SPAN}

SETUP = [
    *_collection("users", "admin", "person", _PERSON, EVERYBODYS, EVERYBODYS),
    *_collection("teams", "manager", "group", _NAMED, EVERYBODYS, EVERYBODYS),
    *_collection("escalation-policies", "manager", "policy", _NAMED, EVERYBODYS, EVERYBODYS),
    *_collection("schedules", "manager", "schedule", _OF_TEAM, REFUSED, GONE),
    *_collection("services", "manager", "service", _OF_TEAM, REFUSED, GONE),
    *_collection("integrations", "manager", "integration", _OF_SERVICE, UNKNOWN, GONE),
    *_collection("maintenance-windows", "manager", "window", _COVERING, UNKNOWN, GONE),
    *_collection("absences", "responder", "absence", _AWAY, EVERYBODYS, EVERYBODYS),
    # What one sees, put where one would not see it.
    Row("PATCH", "/services/{mine.service}", "manager", {"team": "{team}"}, REFUSED),
    Row("PATCH", "/schedules/{mine.schedule}", "manager", {"team": "{team}"}, REFUSED),
    Row("PATCH", "/integrations/{mine.integration}", "manager", {"service": "{service}"}, UNKNOWN),
    Row("PATCH", "/integrations/{mine.integration}", "manager",
        {"routes": [{"level": ["fatal"], "service": "{service}"}]}, UNKNOWN),
    Row("PATCH", "/maintenance-windows/{mine.window}", "manager", {"services": ["{service}"]},
        UNKNOWN),
    Row("PATCH", "/escalation-policies/{policy}", "manager",
        {"steps": [{"targets": [{"schedule": "{schedule}"}]}]}, UNKNOWN),
    Row("POST", "/maintenance-windows/preview", "viewer", {}, LEFT_OUT, shows="incident"),
    Row("POST", "/maintenance-windows/preview", "viewer", {"services": ["{service}"]}, UNKNOWN),
]  # fmt: skip

INCIDENTS = [
    Row("GET", "/incidents", "viewer", None, LEFT_OUT, shows="incident"),
    Row(
        "GET",
        "/incidents?service={service_of_incidents}",
        "viewer",
        None,
        LEFT_OUT,
        shows="incident",
    ),
    Row("GET", "/incidents?q={word}", "viewer", None, LEFT_OUT, shows="incident"),
    Row("POST", "/incidents", "responder", {"service": "{service}", "title": "{new}"}, UNKNOWN),
    Row("GET", "/incidents/{incident}", "viewer"),
    Row("GET", "/incidents/{number}", "viewer"),
    Row("POST", "/incidents/{incident}/acknowledge", "responder"),
    Row("POST", "/incidents/{incident}/resolve", "responder"),
    Row("POST", "/incidents/{incident}/snooze", "responder", {"for": "1h"}),
    Row("POST", "/incidents/{incident}/escalate", "responder", {}),
    Row("POST", "/incidents/{incident}/reassign", "responder", {"policy": "default"}),
    Row("POST", "/incidents/{incident}/notes", "responder", {"text": "seen"}),
    Row("POST", "/incidents/{incident}/priority", "responder", {"priority": "high"}),
    Row("POST", "/incidents/{incident}/responders", "responder", {"user": "{mate}"}),
    Row("POST", "/incidents/{incident}/merge", "responder", {"into": "{another}"}),
    Row("POST", "/incidents/{mine.incident}/merge", "responder", {"into": "{incident}"}),
    Row("POST", "/incidents/{incident}/merge", "responder", {"into": "{mine.incident}"}),
    Row("POST", "/incidents/{incident}/unmerge", "responder", {"alert": "{merged}"}),
    Row("GET", "/deliveries", "viewer", None, LEFT_OUT, shows="delivery"),
    Row(
        "GET",
        "/deliveries?integration={integration_of_deliveries}",
        "viewer",
        None,
        LEFT_OUT,
        shows="delivery",
    ),
    Row("GET", "/deliveries/{delivery}", "viewer"),
    Row("POST", "/deliveries/{delivery}/replay", "manager"),
    Row("GET", "/notifications", "viewer", None, LEFT_OUT, shows="incident"),
    Row("GET", "/notifications?incident={incident}", "viewer", None, LEFT_OUT, shows="incident"),
    Row("GET", "/explain?service={service}", "viewer", None, UNKNOWN),
    Row("GET", "/integrations/{joined}/sentry", "viewer"),
    Row("PATCH", "/integrations/{joined}/sentry", "manager", {"resolve": True}),
]

ROTA = [
    Row("GET", "/oncall", "viewer", None, LEFT_OUT, shows="schedule"),
    Row("GET", "/oncall?user={me}", "viewer", None, LEFT_OUT, shows="schedule"),
    Row("GET", "/oncall?schedule={schedule}", "viewer"),
    Row("GET", "/oncall?service={service}", "viewer", None, GONE),
    Row("POST", "/schedules/preview", "viewer", _NAMED, EVERYBODYS),
    Row("GET", "/schedules/{schedule}/shifts", "viewer"),
    Row("GET", "/schedules/{schedule}/coverage", "viewer"),
    Row("GET", "/schedules/{schedule}/overrides", "viewer"),
    Row("POST", "/schedules/{schedule}/overrides", "responder", {"user": "{me}", **WINDOW}),
    Row("DELETE", "/schedules/{schedule}/overrides/{override}", "responder"),
    Row("GET", "/schedules/{schedule}/swaps", "viewer"),
    Row("POST", "/schedules/{schedule}/swaps", "responder", {"user": "{me}", **WINDOW}),
    Row("POST", "/schedules/{schedule}/swaps/{swap}/take", "responder", {"user": "{me}"}),
    Row("DELETE", "/schedules/{schedule}/swaps/{offer}", "responder"),
    Row("GET", "/calendars", "viewer", None, LEFT_OUT, shows="calendar"),
    Row("GET", "/calendar-feeds", "manager", None, LEFT_OUT, shows="feed", is_finer=True),
    Row("POST", "/calendar-feeds", "manager", {"schedule": "{schedule}"}, UNKNOWN, is_finer=True),
    Row("POST", "/calendar-feeds", "viewer", {"user": "{me}"}, EVERYBODYS),
    Row("DELETE", "/calendar-feeds/{feed}", "manager", is_finer=True),
]

_METHOD = {"name": "{new}", "channel": "email", "address": "n@example.com"}
_MY = "/me/contact-methods"

PERSONAL = [
    Row("GET", _MY, "viewer", None, LEFT_OUT, shows="contact"),
    Row("POST", _MY, "responder", _METHOD, EVERYBODYS),
    Row("DELETE", f"{_MY}/{{contact}}", "responder"),
    Row("POST", f"{_MY}/{{contact}}/send-code", "responder"),
    Row("POST", f"{_MY}/{{contact}}/verify", "responder", {"code": "123456"}, answer=409),
    Row("POST", f"{_MY}/{{contact}}/test", "responder", answer=409),
    Row("GET", "/me/notification-rules", "viewer", None, EVERYBODYS),
    Row("PUT", "/me/notification-rules", "responder", {"items": []}, EVERYBODYS),
    Row("PUT", "/me/handoff-notices", "responder", {"enabled": True}, EVERYBODYS),
]

KEYS = [
    Row("GET", "/api-keys", "admin", None, EVERYBODYS),
    Row("POST", "/api-keys", "admin", {"name": "{new}", "role": "viewer"}, EVERYBODYS),
    Row("DELETE", "/api-keys/{key}", "admin", None, EVERYBODYS),
]

ROWS = [
    *SETUP,
    *INCIDENTS,
    *ROTA,
    *KEYS,
    *(row._replace(is_personal=True) for row in PERSONAL),
    Row("GET", "/me", "viewer", None, EVERYBODYS),
    Row("POST", "/users/{reachable}/page", "responder", None, EVERYBODYS),
]

_IN_BRACES = re.compile(r"\{[^}]*\}")


def shape(method: str, path: str) -> tuple[str, str]:
    """Return an operation whatever the parts of its path are called."""
    return method, _IN_BRACES.sub("{}", path.partition("?")[0])


def fill(template: Any, things: Callable[[str], str]) -> Any:
    """Put the names of things in the place of their braces."""
    if isinstance(template, dict):
        return {key: fill(value, things) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, things) for value in template]
    if isinstance(template, str):
        return _IN_BRACES.sub(lambda found: things(found[0][1:-1]), template)
    return template
