"""Incidents: the list, and one with all that people do to it."""

from __future__ import annotations

from typing import Any

from litestar import Response, get

from tocsin.core.access import Action
from tocsin.store import views
from tocsin.store.views import Filter
from tocsin.web.pages.visit import Visiting


@get("/incidents", opt={"action": Action.READ}, sync_to_thread=True)
def list_incidents(visit: Visiting) -> Response[bytes]:
    """List incidents, the newest first."""
    with visit.back.desk.database.read() as connection:
        page = views.incident_page(connection, visit.plans, Filter())
    return visit.page("incidents.html", incidents=page)


PAGES: tuple[Any, ...] = (list_incidents,)
