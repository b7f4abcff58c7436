"""Who would be paged, in sentences."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.params import QueryParameter

from tocsin.core.access import Action
from tocsin.core.explain import explain
from tocsin.core.model import (
    Priority,
    Severity,
)
from tocsin.core.times import parse_instant
from tocsin.web.back import known_to
from tocsin.web.problems import Wrong
from tocsin.work.manage import service_named


class ExplanationView(msgspec.Struct, kw_only=True):
    """What would happen, and what is wrong with it."""

    service: str
    urgency: str
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]


@get("/explain", opt={"action": Action.READ}, sync_to_thread=True, tags=["on call"])
def get_explanation(
    request: Request[Any, Any, State],
    state: State,
    service: Annotated[str, QueryParameter(description="A service's name or id.")],
    at: Annotated[str | None, QueryParameter(description="An instant; now when absent.")] = None,
    severity: Annotated[Severity, QueryParameter(description="How bad it is.")] = Severity.ERROR,
    priority: Annotated[Priority | None, QueryParameter(description="How much it matters.")] = None,
) -> ExplanationView:
    """Say who would be paged for an incident of a service that begins at a time, when and how."""
    back, plans, seen = known_to(request, state)
    found = service_named(seen, service)
    if found is None:
        raise Wrong(f"there is no service {service!r}")
    try:
        begin = parse_instant(at) if at else back.clock()
    except ValueError as error:
        raise Wrong(str(error)) from None
    told = explain(plans, found, severity, priority, begin)
    return ExplanationView(
        service=found.name,
        urgency=told.urgency,
        sentences=told.sentences,
        warnings=told.warnings,
    )
