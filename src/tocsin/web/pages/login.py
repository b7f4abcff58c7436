"""Signing in and out."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post

from tocsin.store import sessions
from tocsin.web.pages.visit import Visiting, here


@get("/", opt={"action": None}, sync_to_thread=True)
def home(visit: Visiting) -> Response[bytes]:
    """Lead to what people come for."""
    return visit.go("/incidents" if visit.visitor else "/login")


@get("/login", opt={"action": None}, sync_to_thread=True)
def login_form(visit: Visiting) -> Response[bytes]:
    """Ask who it is."""
    if visit.visitor:
        return visit.go(here(visit.query.text("next")))
    return visit.page("login.html", email="", next=here(visit.query.text("next")), wrong="")


@post("/logout", opt={"action": None}, sync_to_thread=True)
def logout(visit: Visiting) -> Response[bytes]:
    """Let this browser out."""
    if visit.visitor:
        id_ = visit.visitor.session.id
        visit.back.desk.database.run(lambda connection: sessions.end(connection, id_))
    return visit.go("/login")


PAGES: tuple[Any, ...] = (home, login_form, logout)
