"""Errors as pages: the same table as the API's, in the look of everything else."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from litestar import Request, Response

from tocsin.web.pages.visit import SignIn, Visit
from tocsin.web.problems import explain, problem

#: Whoever asks below these is a program.
_PROGRAMS = ("/api/", "/metrics", "/healthz", "/readyz", "/openapi.json", "/static/")


def problem_for_whom(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer for an error: programs with a problem, browsers with a page."""
    is_browser = "text/html" in request.headers.get("accept", "")
    if is_browser and not request.url.path.startswith(_PROGRAMS):
        return page_problem(request, error)
    return problem(request, error)


def page_problem(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer for an error with a page; whoever must sign in first is sent there."""
    visit = Visit(request)
    if isinstance(error, SignIn):
        is_read = request.method in ("GET", "HEAD") and not visit.is_partial
        back = visit.with_query() if is_read else "/"
        return visit.go(f"/login?next={quote(back, safe='')}")
    status, detail = explain(error)
    return visit.page("problem.html", status, title=HTTPStatus(status).phrase, detail=detail)
