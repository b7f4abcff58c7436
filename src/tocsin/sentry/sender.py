"""Webhooks made and sent exactly as Sentry does: for ``tocsin send``, the demo and tests.

Bytes: compact separators, non-ASCII escaped (``src/sentry/utils/json.py``). Headers and signature:
``src/sentry/sentry_apps/api/serializers/app_platform_event.py``. One try, one second, no redirect
(``src/sentry/utils/sentry_apps/webhooks.py``): a receiver that is slower has lost the delivery.
"""

from __future__ import annotations

import hmac
import http.client
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

#: Sentry's patience.
TIMEOUT_SECONDS = 1.0

AGENT = "sentry/26.10.0 (https://sentry.io)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An issue in the fake Sentry."""

    id: str
    title: str = "ZeroDivisionError: division by zero — Größe 0"
    culprit: str = "checkout.views.charge"
    level: str = "error"
    priority: str = "high"
    project: str = "backend"
    environment: str = "production"
    release: str = "backend@2.7.1"
    first_seen: str = "2026-01-05T09:00:00.000000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A request, ready to be sent."""

    resource: str | None
    action: str | None
    body: bytes
    #: What is signed with, if anything.
    signs: bool = True
    content_type: str = "application/json"
    extra_headers: Mapping[str, str] = field(default_factory=dict)


_SENTRY = {"type": "application", "id": "sentry", "name": "Sentry"}
_PERSON = {"type": "user", "id": 7, "name": "Jane Doe"}
_INSTALLATION = {"uuid": "7a485448-a9e2-4c85-8a3c-4f44175783c9"}


def encode(body: object) -> bytes:
    """Return the bytes Sentry would send."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode()


def _envelope(action: str, data: dict[str, Any], actor: Mapping[str, Any]) -> dict[str, Any]:
    return {"action": action, "installation": _INSTALLATION, "data": data, "actor": actor}


#: Action to the status and substatus of the issue in its body.
_STATES: Mapping[str, tuple[str, str | None]] = {
    "created": ("unresolved", "new"),
    "assigned": ("unresolved", "ongoing"),
    "unresolved": ("unresolved", "regressed"),
    "resolved": ("resolved", None),
    "ignored": ("ignored", "archived_until_escalating"),
    "archived": ("ignored", "archived_until_escalating"),
}


def _issue_data(issue: Issue, action: str) -> dict[str, Any]:
    status, substatus = _STATES.get(action, ("unresolved", "ongoing"))
    kind, _, value = issue.title.partition(": ")
    return {
        "id": issue.id,
        "shortId": f"{issue.project.upper()}-{issue.id}",
        "title": issue.title,
        "culprit": issue.culprit,
        "level": issue.level,
        "status": status,
        "substatus": substatus,
        "statusDetails": {},
        "priority": issue.priority,
        "platform": "python",
        "project": {"id": "2", "name": issue.project, "slug": issue.project, "platform": "python"},
        "type": "error",
        "metadata": {"type": kind, "value": value},
        "issueType": "error",
        "issueCategory": "error",
        "permalink": f"https://sentry.example.com/issues/{issue.id}/",
        "web_url": f"https://sentry.example.com/issues/{issue.id}/",
        "count": "1",
        "userCount": 1,
        "firstSeen": issue.first_seen,
        "lastSeen": issue.first_seen,
    }


def _issue(issue: Issue, action: str) -> dict[str, Any]:
    data: dict[str, Any] = {"issue": _issue_data(issue, action)}
    if action == "assigned":
        data["assignee"] = {
            "type": "user",
            "id": 7,
            "name": "Jane Doe",
            "email": "jane@example.com",
        }
    if action == "resolved":
        data["resolution_type"] = "now"
    by = _PERSON if action in ("assigned", "resolved", "ignored", "archived") else _SENTRY
    return _envelope(action, data, by)


def _event(issue: Issue) -> dict[str, Any]:
    event_id = uuid.uuid4().hex
    base = "https://sentry.example.com"
    kind, _, value = issue.title.partition(": ")
    return {
        "event_id": event_id,
        "project": 2,
        "release": issue.release,
        "platform": "python",
        "message": "",
        "title": issue.title,
        "culprit": issue.culprit,
        "level": issue.level,
        "datetime": datetime.now(UTC).isoformat(),
        "timestamp": time.time(),
        "metadata": {"type": kind, "value": value, "filename": "checkout/views.py"},
        "tags": [
            ["environment", issue.environment],
            ["level", issue.level],
            ["release", issue.release],
        ],
        "url": f"{base}/api/0/projects/acme/{issue.project}/events/{event_id}/",
        "web_url": f"{base}/organizations/acme/issues/{issue.id}/events/{event_id}/",
        "issue_url": f"{base}/api/0/organizations/acme/issues/{issue.id}/",
        "issue_id": issue.id,
    }


def _event_alert(issue: Issue, action: str) -> dict[str, Any]:
    data = {"event": _event(issue), "triggered_rule": "High error rate"}
    return _envelope(action, data, _SENTRY)


def _error(issue: Issue, action: str) -> dict[str, Any]:
    return _envelope(action, {"error": _event(issue)}, _SENTRY)


def _comment(issue: Issue, action: str) -> dict[str, Any]:
    data = {
        "comment_id": 41,
        "issue_id": int(issue.id) if issue.id.isdecimal() else issue.id,
        "project_slug": issue.project,
        "timestamp": datetime.now(UTC).isoformat(),
        "comment": "Looking at it — rolling back",
    }
    return _envelope(action, data, _PERSON)


#: Action of a metric alert to Sentry's integer status, and the word in its title.
_METRIC = {"critical": (20, "Critical"), "warning": (10, "Warning"), "resolved": (2, "Resolved"),
           "open": (1, "Open")}  # fmt: skip


def _metric_alert(issue: Issue, action: str) -> dict[str, Any]:
    status, word = _METRIC.get(action, (1, action))
    name = "p95 latency of checkout"
    alert = {
        "id": issue.id,
        "identifier": issue.id,
        "organization_id": "1",
        "status": status,
        "status_method": 3,
        "type": 2,
        "title": name,
        "date_started": issue.first_seen,
        "date_closed": issue.first_seen if action == "resolved" else None,
        "projects": [issue.project],
        "alert_rule": {
            "id": "5",
            "name": name,
            "aggregate": "p95(transaction.duration)",
            "environment": issue.environment,
            "time_window": 5,
            "triggers": [],
        },
    }
    data = {
        "metric_alert": alert,
        "description_title": f"{word}: {name}",
        "description_text": "p95 is 2,300 ms over the last 5 minutes",
        "web_url": f"https://sentry.example.com/organizations/acme/alerts/rules/details/5/?alert={issue.id}",
    }
    return _envelope(action, data, _SENTRY)


#: Resource to the maker of its bodies.
BODIES: Mapping[str, Callable[[Issue, str], dict[str, Any]]] = {
    "issue": _issue,
    "event_alert": _event_alert,
    "error": _error,
    "comment": _comment,
    "metric_alert": _metric_alert,
}

#: What can happen to each resource; first, what usually does.
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "issue": tuple(_STATES),
    "event_alert": ("triggered",),
    "error": ("created",),
    "comment": ("created", "updated", "deleted"),
    "metric_alert": tuple(_METRIC),
}


def webhook(resource: str, action: str, issue: Issue) -> Webhook:
    """Make a webhook of the integration platform."""
    body = encode(BODIES[resource](issue, action))
    return Webhook(resource=resource, action=action, body=body)


def legacy_webhook(issue: Issue) -> Webhook:
    """Make one of the legacy plugin: flat, spaces after separators, never signed."""
    event = _event(issue)
    body = {
        "id": issue.id,
        "project": issue.project,
        "project_name": issue.project.capitalize(),
        "project_slug": issue.project,
        "logger": "root",
        "level": issue.level,
        "culprit": issue.culprit,
        "message": "",
        "url": f"https://sentry.example.com/organizations/acme/issues/{issue.id}/?referrer=webhooks_plugin",
        "triggering_rules": ["Send a notification via legacy integrations"],
        "event": {key: event[key] for key in ("event_id", "title", "level", "tags", "metadata")},
    }
    return Webhook(resource=None, action=None, body=json.dumps(body).encode(), signs=False)


def headers_of(hook: Webhook, secret: str | None) -> dict[str, str]:
    """Return the headers Sentry would send with it."""
    headers = {"Content-Type": hook.content_type, "User-Agent": AGENT}
    if hook.resource is not None:
        key = (secret or "no secret is set").encode()
        headers |= {
            "Request-ID": uuid.uuid4().hex,
            "Sentry-Hook-Resource": hook.resource,
            "Sentry-Hook-Timestamp": str(int(time.time())),
        }
        if hook.signs:
            headers["Sentry-Hook-Signature"] = hmac.digest(key, hook.body, "sha256").hex()
    return headers | dict(hook.extra_headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 if nothing did within Sentry's patience."""

    status: int
    body: bytes
    seconds: float


def send(url: str, hook: Webhook, secret: str | None = None) -> Answer:
    """Send once, and never again."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    began = time.perf_counter()
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, body=hook.body, headers=headers_of(hook, secret))
        response = connection.getresponse()
        return Answer(response.status, response.read(), time.perf_counter() - began)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error).encode(), time.perf_counter() - began)
    finally:
        connection.close()
