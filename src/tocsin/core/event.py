"""The Events API body (contract section 4): what must be in it, said before it is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tocsin.core.body import Body
from tocsin.core.model import (
    Severity,
)
from tocsin.core.place import as_text
from tocsin.core.text import DEDUP_KEY_LENGTH, clean

ACTIONS = ("trigger", "acknowledge", "resolve")

#: Keys of the body; others are refused where PagerDuty refuses them (``/v2/enqueue``).
KEYS = frozenset({
    "routing_key", "event_action", "dedup_key", "payload", "images", "links", "client",
    "client_url", "service_id",
})  # fmt: skip


def event_errors(body: Body, *, only_known_keys: bool) -> list[str]:
    """Return what is wrong with an event, one sentence each; empty for one to accept."""
    return list(_errors(body, only_known_keys=only_known_keys))


def _errors(body: Body, *, only_known_keys: bool) -> Iterator[str]:
    if only_known_keys:
        for key in sorted(body.keys() - KEYS):
            yield f"'{clean(key, 100)}' is not a key of an event"
    action = body.get("event_action")
    if action not in ACTIONS:
        yield f"'event_action' must be one of {', '.join(ACTIONS)}"
        return
    yield from _key_errors(body.get("dedup_key"), is_needed=action != "trigger")
    if action == "trigger":
        yield from _payload_errors(body.get("payload"))


def _key_errors(key: Any, *, is_needed: bool) -> Iterator[str]:
    if key is not None and not isinstance(key, str):
        yield "'dedup_key' must be a string"
    elif not key and is_needed:
        yield "'dedup_key' is needed to acknowledge or resolve"
    elif key and len(key) > DEDUP_KEY_LENGTH:
        yield f"'dedup_key' may have at most {DEDUP_KEY_LENGTH} characters"


def _payload_errors(payload: Any) -> Iterator[str]:
    if not isinstance(payload, dict):
        yield "'payload' is missing: an object with summary, source and severity"
        return
    summary = as_text(payload.get("summary"))
    if summary is None or not summary.strip():
        yield "'payload.summary' is missing or blank"
    severity = payload.get("severity")
    if severity is not None and not (isinstance(severity, str) and severity in set(Severity)):
        yield f"'payload.severity' must be one of {', '.join(Severity)}"
