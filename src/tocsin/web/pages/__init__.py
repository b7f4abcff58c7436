"""The web page: thin handlers over the use cases the API has too, answered as HTML."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from litestar import Router
from litestar.config.csrf import CSRFConfig
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.middleware.csrf import CSRFMiddleware

from tocsin.store.vault import Vault
from tocsin.web.pages import (
    audit,
    connect,
    deliveries,
    doors,
    guide,
    health,
    incident,
    incidents,
    integrations,
    keys,
    live,
    login,
    magic,
    maintenance,
    me,
    noise,
    notifications,
    oncall,
    people,
    policies,
    reached,
    schedule_editor,
    schedules,
    sentry,
    services,
    teams,
    tuning,
    welcome,
)
from tocsin.web.pages.form import provide_form
from tocsin.web.pages.problems import page_problem
from tocsin.web.pages.static import files
from tocsin.web.pages.visit import guard, is_secure, provide_visit

#: Every page there is, room by room.
PAGES: Sequence[Any] = (
    *login.PAGES,
    *incidents.PAGES,
    *live.PAGES,
    *services.PAGES,
    *noise.PAGES,
    *integrations.PAGES,
    *connect.PAGES,
    *sentry.PAGES,
    *tuning.PAGES,
    *deliveries.PAGES,
    *doors.PAGES,
    *welcome.PAGES,
    *people.PAGES,
    *incident.PAGES,
    *magic.PAGES,
    *notifications.PAGES,
    *reached.PAGES,
    *me.PAGES,
    *teams.PAGES,
    *keys.PAGES,
    *audit.PAGES,
    *health.PAGES,
    *guide.PAGES,
    *oncall.PAGES,
    *schedules.PAGES,
    *schedule_editor.PAGES,
    *policies.PAGES,
    *maintenance.PAGES,
)


def build_pages(vault: Vault, public_url: str) -> Router:
    """Return everything that people see in a browser."""
    files()  # Read and packed now, not while the first browser waits.
    return Router(
        path="/",
        guards=[guard],
        dependencies={
            "form": Provide(provide_form),
            "visit": Provide(provide_visit, sync_to_thread=True),
        },
        middleware=[DefineMiddleware(CSRFMiddleware, config=_csrf(vault, public_url))],
        exception_handlers={Exception: page_problem},
        route_handlers=list(PAGES),
        include_in_schema=False,
    )


def _csrf(vault: Vault, public_url: str) -> CSRFConfig:
    secret = vault.sign("csrf", "")
    # Another key, another cookie: one that no longer holds is not taken for ours.
    named = hashlib.sha256(secret.encode()).hexdigest()[:8]
    return CSRFConfig(
        secret=secret,
        cookie_name=f"tocsin_form_{named}",
        cookie_secure=is_secure(public_url),
        cookie_httponly=True,
        cookie_samesite="lax",
    )
