"""Noise rules of a service: what each does, in sentences, and a form to change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.model import Priority
from tocsin.core.noise import sentences
from tocsin.web.pages.faults import FAULTS, faults_of
from tocsin.web.pages.form import Form
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.collection import Collection, Shown

_AT = "/services/{reference:str}/noise"


def _things(visit: Visit) -> Collection:
    return visit.back.collections["services"]


@get(_AT, opt={"action": Action.READ}, sync_to_thread=True)
def service_noise(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show what a service is spared."""
    service = _things(visit).one(reference, visit.caller)
    return _form(visit, service, service.get("noise") or {})


@post(_AT, opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def change_noise(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Change what a service is spared."""
    service = _things(visit).one(reference, visit.caller)
    rules = rules_of(visit.form)
    try:
        _things(visit).merge(service["id"], {"noise": rules}, visit.caller, visit.now)
    except FAULTS as error:
        return _form(visit, service, rules, faults_of(error), status=422)
    visit.back.changed()
    return visit.go(f"/services/{service['id']}/noise", "Saved.")


def _form(
    visit: Visit,
    service: Shown,
    rules: Mapping[str, Any],
    faults: list[str] | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    return visit.page(
        "service.html",
        status,
        tab="noise",
        service=service,
        noise=rules,
        faults=faults or [],
        priorities=list(Priority),
        rules=tuple(sentences(visit.plans.services[service["id"]].noise)),
    )


def rules_of(form: Form) -> dict[str, Any]:
    """Return noise rules as they were typed; a hold without a span is none."""
    lasts = form.maybe("hold_for")
    hold = {
        "for": lasts,
        "priorities": list(form.many("priorities")),
        **{name: _number(form.maybe(name)) for name in ("events", "users")},
    }
    return {
        "hold": hold if lasts else None,
        "first_sight": "record" if form.has("record_first_sight") else "page",
        "resolve_when_quiet_for": form.maybe("resolve_when_quiet_for"),
        **{
            name: form.has(name)
            for name in ("one_per_release", "follow_archive", "join_metric_issues")
        },
    }


def _number(text: str | None) -> int | str | None:
    """Return a number; what is none is left for the check to refuse as it was typed."""
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if text is not None and is_number else text


PAGES: tuple[Any, ...] = (service_noise, change_noise)
