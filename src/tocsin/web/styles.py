"""The URLs that senders know: where each has its key, and how each answers.

One row per URL of contract section 4. A row names the status of every refusal; how a body is read
is the dialect's business, not the URL's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

import msgspec


class Refusal(Enum):
    """Why a request is refused, in the order it is looked at."""

    NO_KEY = auto()
    UNKNOWN_KEY = auto()
    FORBIDDEN = auto()
    DISABLED = auto()
    CONTENT_TYPE = auto()
    ENCODED = auto()
    SIGNATURE = auto()
    NOT_JSON = auto()
    INVALID = auto()


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted delivery, as an answer tells of it."""

    delivery_id: str
    integration_id: str
    received_at: datetime
    #: The body, which is JSON.
    body: bytes
    dedup_key: str | None
    resolves: bool
    #: Not, if it was signed and is no JSON.
    is_readable: bool = True
    #: What became of it, if the sender waited and it was processed in time.
    outcome: str | None = None
    incident_id: str | None = None
    was_awaited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """One URL."""

    name: str
    #: With a trailing slash the routing key follows.
    path: str
    accepted: int
    refused: Mapping[Refusal, int]
    answer: Callable[[Kept], dict[str, Any]]
    refuse: Callable[[str, list[str]], dict[str, Any]]
    #: Whether the body must say that it is JSON.
    needs_json_type: bool = False
    #: Whether the key is in the body, which must be readable then before anything is known of it.
    has_key_in_body: bool = False
    #: Whether the answer tells more of the delivery than that it is kept.
    tells_more: bool = False
    #: Seconds it waits for the outcome of its own accord.
    waits: float = 0.0


_USUAL = {
    Refusal.NO_KEY: 401,
    Refusal.UNKNOWN_KEY: 401,
    Refusal.FORBIDDEN: 403,
    Refusal.DISABLED: 403,
    Refusal.CONTENT_TYPE: 400,
    Refusal.ENCODED: 415,
    Refusal.SIGNATURE: 401,
    Refusal.NOT_JSON: 400,
    Refusal.INVALID: 400,
}


def accepted(kept: Kept) -> dict[str, Any]:
    """Answer as Tocsin and Navi.sh do."""
    answer: dict[str, Any] = {"status": "accepted", "delivery_id": kept.delivery_id}
    return answer | _awaited(kept)


def _awaited(kept: Kept) -> dict[str, Any]:
    if not kept.was_awaited:
        return {}
    return {"outcome": kept.outcome, "incident_id": kept.incident_id}


def _event_row(kept: Kept) -> dict[str, Any]:
    """Answer as ITOC360 does: the row it would have made of it."""
    return {
        "id": kept.delivery_id,
        "tenant_id": "tocsin",
        "provider_id": 1,
        "source_id": kept.integration_id,
        "type": "RESOLVE" if kept.resolves else "ALERT",
        "fingerprint": kept.dedup_key or "",
        "payload": msgspec.Raw(kept.body),
        "created_at": kept.received_at,
    } | _awaited(kept)


#: What OpsKnight's answer calls an outcome; others keep their name.
_OPSKNIGHT_ACTION = {"recorded": "ignored", "suppressed": "triggered", "duplicate": "deduplicated"}


def _result(kept: Kept) -> dict[str, Any]:
    """Answer as OpsKnight does."""
    outcome = kept.outcome or "accepted"
    action = _OPSKNIGHT_ACTION.get(outcome, outcome)
    result = {"action": action, "delivery_id": kept.delivery_id}
    return {"status": "success", "result": result} | _awaited(kept)


def _enqueued(kept: Kept) -> dict[str, Any]:
    """Answer as PagerDuty does."""
    answer = {
        "status": "success",
        "message": "Event processed",
        "dedup_key": kept.dedup_key,
    }
    return answer | _awaited(kept)


def _error(reason: str, _errors: list[str]) -> dict[str, Any]:
    return {"status": "rejected", "error": reason}


def _bare_error(reason: str, _errors: list[str]) -> dict[str, Any]:
    return {"error": reason}


def _invalid_event(reason: str, errors: list[str]) -> dict[str, Any]:
    return {"status": "invalid event", "message": reason, "errors": errors or [reason]}


STYLES: tuple[Style, ...] = (
    Style(
        name="native",
        path="/in/",
        accepted=202,
        refused=_USUAL,
        answer=accepted,
        refuse=_error,
    ),
    Style(
        name="navi",
        path="/v1/events/sentry/",
        accepted=202,
        refused=_USUAL | {Refusal.DISABLED: 401},
        answer=accepted,
        refuse=_error,
        needs_json_type=True,
    ),
    Style(
        name="itoc360",
        path="/functions/v1/events",
        accepted=200,
        refused=_USUAL,
        answer=_event_row,
        refuse=_bare_error,
        tells_more=True,
    ),
    Style(
        name="opsknight",
        path="/api/integrations/sentry",
        accepted=202,
        refused=_USUAL | {Refusal.NO_KEY: 400, Refusal.UNKNOWN_KEY: 404},
        answer=_result,
        refuse=_error,
    ),
    Style(
        name="events",
        path="/api/events",
        accepted=202,
        refused=_USUAL,
        answer=_result,
        refuse=_error,
        waits=1.0,
    ),
    Style(
        name="pagerduty",
        path="/v2/enqueue",
        accepted=202,
        refused=dict.fromkeys(Refusal, 400) | {Refusal.ENCODED: 415},
        answer=_enqueued,
        refuse=_invalid_event,
        has_key_in_body=True,
        tells_more=True,
    ),
)


_BY_PATH = {style.path: style for style in STYLES if not style.path.endswith("/")}
_BY_PREFIX = [style for style in STYLES if style.path.endswith("/")]


def style_of(path: str) -> tuple[Style, str] | None:
    """Return the style of a path and what follows it, or None if it is no intake URL."""
    for style in _BY_PREFIX:
        if path.startswith(style.path):
            return style, path[len(style.path) :]
    exact = _BY_PATH.get(path.rstrip("/"))
    return None if exact is None else (exact, "")
