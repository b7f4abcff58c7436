"""Streams of what changes, for pages that are open."""

from __future__ import annotations

from typing import Any

from litestar import get
from litestar.params import FromPath
from litestar.response import Stream

from tocsin.core.access import Action
from tocsin.store import views
from tocsin.store.lists import MAX_DIGITS
from tocsin.web.live import EVERYTHING, Live, Watcher
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.respond import NotFound


def _stream(visit: Visit, subject: str) -> Stream:
    live: Live = visit.request.app.state.live
    since = visit.query.text("since")
    known = int(since) if since.isdecimal() and len(since) <= MAX_DIGITS else None
    return Stream(
        live.watch(subject, Watcher(visit.user.id), known),
        media_type="text/event-stream",
        # Proxies that hold answers back would hold the news back.
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


@get("/live/incidents", opt={"action": Action.READ}, sync_to_thread=False)
def watch_incidents(visit: Visiting) -> Stream:
    """Tell of every incident that changes."""
    return _stream(visit, EVERYTHING)


@get("/live/incidents/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
def watch_incident(visit: Visiting, reference: FromPath[str]) -> Stream:
    """Tell when an incident changes."""
    with visit.back.desk.database.read() as connection:
        id_ = views.incident_id(connection, visit.all_plans, visit.scope, reference)
    if id_ is None:
        raise NotFound(f"there is no incident {reference}")
    return _stream(visit, id_)


@get("/live/integrations/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
def watch_integration(visit: Visiting, reference: FromPath[str]) -> Stream:
    """Tell of an integration's deliveries."""
    return _stream(visit, visit.back.collections["integrations"].one(reference, visit.caller)["id"])


PAGES: tuple[Any, ...] = (watch_incidents, watch_incident, watch_integration)
