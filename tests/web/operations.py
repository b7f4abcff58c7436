"""Operations on what people set up, each with the least role that may: rows for the access test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

WINDOW = {"from": "2026-01-06T00:00", "to": "2026-01-07T00:00"}
SPAN = {"from": "2026-02-06T00:00Z", "to": "2026-02-07T00:00Z"}
ANN, BOB = "ann@example.com", "bob@example.com"

#: Collection to the least role that writes, and a body with a name of its own.
BODIES: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "users": ("admin", lambda new: {"email": f"{new}@example.com", "name": new}),
    "teams": ("manager", lambda new: {"name": new}),
    "schedules": ("manager", lambda new: {"name": new}),
    "escalation-policies": ("manager", lambda new: {"name": new}),
    "services": ("manager", lambda new: {"name": new}),
    "integrations": ("manager", lambda new: {"name": new, "service": "checkout"}),
    "maintenance-windows": ("manager", lambda new: {"reason": new, **SPAN}),
    "absences": ("responder", lambda _new: {"user": ANN, **SPAN}),
}


def _of_bob(new: str) -> dict[str, str]:
    """Return a day of one of Bob's weeks, another one for each role."""
    nth = int(new.rstrip("m").rpartition("x")[2])
    day = datetime(2026, 1, 13, tzinfo=UTC) + timedelta(weeks=2 * nth)
    return {"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()}


class Row(NamedTuple):
    """One operation; ``{thing}`` is the id of what ``makes`` (path, body, whose key) made."""

    method: str
    path: str
    least: str
    body: Callable[[str], Any] = lambda _new: None
    makes: tuple[str, Callable[[str], Any], str] | None = None
    #: As the description of the API names the parts of the path.
    described: str = ""


def _collection(path: str, least: str, body: Callable[[str], Any]) -> list[Row]:
    one, made = f"/{path}/{{thing}}", (f"/{path}", body, "owner")
    described = f"/{path}/{{reference}}"
    return [
        Row("GET", f"/{path}", "viewer"),
        Row("POST", f"/{path}", least, body),
        Row("GET", one, "viewer", makes=made, described=described),
        Row("PUT", one, least, body, made, described),
        Row("PATCH", one, least, lambda _new: {}, made, described),
        Row("DELETE", one, least, makes=made, described=described),
    ]


def _rota(path: str, method: str, least: str, body: Any = None, **more: Any) -> Row:
    described = f"/schedules/{{reference}}/{more.pop('described', path)}"
    return Row(method, f"/schedules/primary/{path}", least, lambda _new: body, None, described)


def _made(at: str, body: Any, who: str) -> tuple[str, Callable[[str], Any], str]:
    return (f"/schedules/primary/{at}", lambda _new: body, who)


KEY = ("/api-keys", lambda new: {"name": new, "role": "viewer"}, "owner")

ROWS: list[Row] = [
    row for path, (least, body) in BODIES.items() for row in _collection(path, least, body)
] + [
    Row("GET", "/api-keys", "admin"),
    Row("POST", "/api-keys", "admin", KEY[1]),
    Row("DELETE", "/api-keys/{thing}", "admin", makes=KEY, described="/api-keys/{reference}"),
    Row("GET", "/oncall", "viewer"),
    Row("POST", "/maintenance-windows/preview", "viewer", lambda _new: {}),
    Row("POST", "/schedules/preview", "viewer", lambda new: {"name": new}),
    _rota("shifts", "GET", "viewer"),
    _rota("coverage", "GET", "viewer"),
    _rota("overrides", "GET", "viewer"),
    _rota("overrides", "POST", "responder", {"user": ANN, **WINDOW}),
    _rota("overrides/{thing}", "DELETE", "responder", described="overrides/{override_id}")._replace(
        makes=_made("overrides", {"user": ANN, **WINDOW}, "ann")
    ),
    _rota("swaps", "GET", "viewer"),
    _rota("swaps", "POST", "responder", {"user": ANN, **WINDOW}),
    _rota("swaps/{thing}/take", "POST", "responder", {"user": ANN},
          described="swaps/{swap_id}/take")._replace(
        makes=("/schedules/primary/swaps", _of_bob, "bob")
    ),
    _rota("swaps/{thing}", "DELETE", "responder", described="swaps/{swap_id}")._replace(
        makes=_made("swaps", WINDOW, "ann")
    ),
]  # fmt: skip


def told() -> set[tuple[str, str]]:
    """Return every operation of the table, as the API describes it."""
    return {(row.method, row.described or row.path) for row in ROWS}
