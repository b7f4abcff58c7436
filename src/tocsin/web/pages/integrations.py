"""Integrations: every source there is, how it has been lately, and how one is added."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from litestar import Response, get, post

from tocsin.core.access import Action
from tocsin.web.pages.faults import FAULTS, faults_of
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.collection import Collection, merged
from tocsin.work.configfile import IntegrationTable
from tocsin.work.currentfile import living
from tocsin.work.sources import sources

#: How many a page lists: what each got lately is asked for in one statement.
LIMIT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What somebody adds."""

    name: str
    label: str
    hint: str
    source: str


#: The first is what nearly everybody adds.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="sentry",
            label="Sentry",
            hint="An internal integration: signed, and resolved there is resolved here.",
            source="sentry",
        ),
        Kind(
            name="plugin",
            label="Sentry, legacy WebHooks plugin",
            hint="For old projects that have it. Not signed, and never says that it is over.",
            source="sentry",
        ),
        Kind(
            name="events",
            label="Events API",
            hint="What speaks PagerDuty's Events API v2, or OpsKnight's.",
            source="events",
        ),
    )
}


def things(visit: Visit) -> Collection:
    """Return the collection of integrations."""
    return visit.back.collections["integrations"]


@get("/integrations", opt={"action": Action.READ}, sync_to_thread=True)
def list_integrations(visit: Visiting) -> Response[bytes]:
    """List integrations by name, with how each has been lately."""
    page = things(visit).page(LIMIT, visit.query.maybe("cursor"), visit.caller)
    mine = [visit.plans.integrations[one["id"]] for one in page.items]
    with visit.back.desk.database.read() as connection:
        lately = sources(connection, mine, visit.now)
    return visit.page("integrations.html", page=page, integrations=mine, lately=lately)


@get("/sources", opt={"action": Action.READ}, sync_to_thread=True)
def list_sources(visit: Visiting) -> Response[bytes]:
    """Lead whoever looks for sources to where they are called integrations."""
    return visit.go("/integrations")


@get("/integrations/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def new_integration(visit: Visiting) -> Response[bytes]:
    """Ask what is to come in, and for which service."""
    service = visit.query.text("service")
    kind = visit.query.text("kind")
    return _form(
        visit, {"service": service, "kind": kind if kind in KINDS else "sentry", "name": ""}
    )


@post("/integrations/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def make_integration(visit: Visiting) -> Response[bytes]:
    """Add an integration; its page then says what to do in Sentry."""
    form = visit.form
    kind = KINDS.get(form.text("kind"), KINDS["sentry"])
    service = form.text("service")
    typed = {"service": service, "kind": kind.name, "name": form.text("name")}
    if not service:
        return _form(visit, typed, ["Choose the service that it is about."], status=422)
    fields = {
        "name": form.text("name") or free_name(visit, f"{kind.name}-{service}"),
        "source": kind.source,
    }
    try:
        row = merged(IntegrationTable(name="", service=service), fields)
        made = things(visit).create(row, visit.caller, visit.now)
    except FAULTS as error:
        return _form(visit, typed, faults_of(error), status=422)
    visit.back.changed()
    way = "?kind=plugin" if kind.name == "plugin" else ""
    return visit.go(f"/integrations/{made['id']}{way}", f"{made['name']} is there.")


def free_name(visit: Visit, name: str) -> str:
    """Return a name that no integration has."""
    taken = {one.name for one in living(visit.all_plans.integrations)}
    numbered = (f"{name}-{number}" for number in count(2))
    return next(one for one in chain((name,), numbered) if one not in taken)


def _form(
    visit: Visit, fields: dict[str, str], faults: list[str] | None = None, status: int = 200
) -> Response[bytes]:
    services = [one.name for one in living(visit.plans.services)]
    return visit.page(
        "integration_new.html",
        status,
        fields=fields,
        faults=faults or [],
        services=services,
        pairs=[(name, name) for name in services],
        kinds=list(KINDS.values()),
    )


PAGES: tuple[Any, ...] = (list_integrations, list_sources, new_integration, make_integration)
