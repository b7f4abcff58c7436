"""Services: what is watched and owned, who answers for it, and what comes in for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.model import IncidentStatus, Priority, Severity, Urgency
from tocsin.core.noise import sentences
from tocsin.core.notify import DEFAULT_URGENCY
from tocsin.core.plans import Plans
from tocsin.store import views
from tocsin.store.incidents import open_counts
from tocsin.store.lists import Filter
from tocsin.web.pages.faults import FAULTS, faults_of
from tocsin.web.pages.form import Form
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.collection import Collection, Shown, merged
from tocsin.work.configfile import ServiceTable
from tocsin.work.currentfile import living
from tocsin.work.schedulefile import DAYS
from tocsin.work.sources import Source, sources

_OPEN = tuple(one.value for one in IncidentStatus if one is not IncidentStatus.RESOLVED)

_SPANS = ("acknowledge_timeout", "reopen_window", "auto_resolve_after")

#: How many a page lists.
LIMIT = 100


def _things(visit: Visit) -> Collection:
    return visit.back.collections["services"]


@get("/services", opt={"action": Action.READ}, sync_to_thread=True)
def list_services(visit: Visiting) -> Response[bytes]:
    """List services by name."""
    page = _things(visit).page(LIMIT, visit.query.maybe("cursor"), visit.caller)
    of_service: dict[str, list[Any]] = {one["id"]: [] for one in page.items}
    for one in living(visit.plans.integrations):
        if one.service_id in of_service:
            of_service[one.service_id].append(one)
    with visit.back.desk.database.read() as connection:
        counts = open_counts(connection)
        lately = sources(
            connection, [one for ones in of_service.values() for one in ones], visit.now
        )
    return visit.page(
        "services.html",
        services=page,
        integrations=of_service,
        counts=counts,
        hints={
            one["id"]: hint(one, visit.plans, of_service[one["id"]], lately) for one in page.items
        },
    )


def hint(
    service: Shown, plans: Plans, integrations: list[Any], lately: Mapping[str, Source]
) -> str:
    """Say what is wrong with a service, the worst first; empty where nothing is."""
    policy = next(
        (one for one in plans.policies.values() if one.name == service["escalation_policy"]), None
    )
    if policy is None:
        return "no escalation policy: only the fallback is paged"
    if not any(step.targets for step in policy.steps):
        return f"the policy {policy.name} has nobody to page"
    if not integrations:
        return "nothing comes in: add an integration"
    if not any(one.is_enabled for one in integrations):
        return "its integrations are disabled"
    silent = next((one.name for one in integrations if lately[one.id].silence), None)
    return f"{silent} is quieter than usual" if silent else ""


@get("/services/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def new_service(visit: Visiting) -> Response[bytes]:
    """Ask what a new service is called, and who answers for it."""
    policies = sorted(one.name for one in visit.plans.policies.values())
    first = policies[0] if len(policies) == 1 else None
    return _form(visit, {"name": visit.query.text("name"), "escalation_policy": first})


@post("/services/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def make_service(visit: Visiting) -> Response[bytes]:
    """Make a service."""
    fields = fields_of(visit.form)
    try:
        made = _things(visit).create(merged(ServiceTable(name=""), fields), visit.caller, visit.now)
    except FAULTS as error:
        return _form(visit, fields, faults_of(error), status=422)
    visit.back.changed()
    return visit.go(f"/services/{made['id']}/integrations", f"{made['name']} is there.")


@get("/services/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_service(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show a service: what is open, and how it is answered for."""
    service = _things(visit).one(reference, visit.caller)
    ids = (service["id"],)
    with visit.back.desk.database.read() as connection:
        wanted = Filter(equal=(("service_id", ids), ("status", _OPEN)), limit=5)
        incidents = views.incident_page(connection, visit.plans, visit.scope, wanted)
        wanted = Filter(equal=(("service_id", ids), ("status", ("resolved",))), limit=5)
        over = views.incident_page(connection, visit.plans, visit.scope, wanted)
        mine = _integrations_of(visit, service)
        lately = sources(connection, mine, visit.now)
    return visit.page(
        "service.html",
        tab="overview",
        service=service,
        open=incidents,
        over=over,
        hint=hint(service, visit.plans, mine, lately),
        integrations=mine,
        default_urgency=DEFAULT_URGENCY,
        rules=tuple(sentences(visit.plans.services[service["id"]].noise)),
    )


def _integrations_of(visit: Visit, service: Shown) -> list[Any]:
    return [one for one in living(visit.plans.integrations) if one.service_id == service["id"]]


@get("/services/{reference:str}/integrations", opt={"action": Action.READ}, sync_to_thread=True)
def service_integrations(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """List what comes in for a service."""
    service = _things(visit).one(reference, visit.caller)
    mine = _integrations_of(visit, service)
    with visit.back.desk.database.read() as connection:
        lately = sources(connection, mine, visit.now)
    return visit.page(
        "service.html", tab="integrations", service=service, integrations=mine, lately=lately
    )


@get("/services/{reference:str}/settings", opt={"action": Action.READ}, sync_to_thread=True)
def service_settings(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show what a service is set to."""
    service = _things(visit).one(reference, visit.caller)
    return _form(visit, service, service=service)


@post("/services/{reference:str}/settings", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def change_service(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Change a service."""
    service = _things(visit).one(reference, visit.caller)
    fields = fields_of(visit.form)
    try:
        _things(visit).merge(service["id"], fields, visit.caller, visit.now)
    except FAULTS as error:
        return _form(visit, fields, faults_of(error), service=service, status=422)
    visit.back.changed()
    return visit.go(f"/services/{service['id']}/settings", "Saved.")


@post("/services/{reference:str}/remove", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def remove_service(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Take a service out of use; what still names it is told."""
    service = _things(visit).one(reference, visit.caller)
    try:
        _things(visit).remove(service["id"], visit.caller, visit.now)
    except FAULTS as error:
        return _form(visit, service, faults_of(error), service=service, status=409)
    visit.back.changed()
    return visit.go("/services", f"{service['name']} is deleted. Its incidents stay.")


def _form(
    visit: Visit,
    fields: Mapping[str, Any],
    faults: list[str] | None = None,
    *,
    service: Shown | None = None,
    status: int = 200,
) -> Response[bytes]:
    plans = visit.plans
    shared = {
        "fields": fields,
        "faults": faults or [],
        "teams": sorted((one.name, one.name) for one in plans.teams.values()),
        "policies": sorted((one.name, one.name) for one in plans.policies.values()),
        "severities": list(Severity),
        "priorities": list(Priority),
        "default_urgency": DEFAULT_URGENCY,
        "days": DAYS,
    }
    if service is None:
        return visit.page("service_new.html", status, **shared)
    return visit.page("service.html", status, tab="settings", service=service, **shared)


def fields_of(form: Form) -> dict[str, Any]:
    """Return the fields of a service as they were typed."""
    rows = [*Severity, *(f"priority.{one}" for one in Priority)]
    fields: dict[str, Any] = {
        "name": form.text("name"),
        "team": form.maybe("team"),
        "escalation_policy": form.maybe("escalation_policy"),
        "urgency": {row: word for row in rows if (word := form.maybe(f"urgency.{row}"))},
        "support_hours": None,
        "page_suspect_author": form.has("page_suspect_author"),
        **{name: form.maybe(name) for name in _SPANS},
    }
    if form.has("has_hours"):
        fields["support_hours"] = {
            "time_zone": form.text("time_zone") or "UTC",
            "days": list(form.many("days")),
            "from": form.text("from"),
            "to": form.text("to"),
            "outside": form.text("outside") or Urgency.LOW.value,
        }
    return fields


PAGES: tuple[Any, ...] = (
    list_services,
    new_service,
    make_service,
    show_service,
    service_integrations,
    service_settings,
    change_service,
    remove_service,
)
