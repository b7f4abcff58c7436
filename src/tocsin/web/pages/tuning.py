"""How an integration reads what it gets: its mapping, its routes, and its other settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.dialect import Dialect
from tocsin.core.model import Priority, Severity, Verb
from tocsin.core.plans import Overrides
from tocsin.store.deliveries import LogFilter, log_page
from tocsin.web.pages.connect import Opened, open_one
from tocsin.web.pages.faults import FAULTS, faults_of
from tocsin.web.pages.form import Form
from tocsin.web.pages.integrations import things
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.configfile import DIALECTS, ROUTE_FIELDS
from tocsin.work.currentfile import living
from tocsin.work.intake import dialect_for
from tocsin.work.reading import Explained, Sample, explain, stored_sample

#: Stored deliveries that a mapping may be tried on.
TRIED = 20

#: Empty rows for new routes.
_SPARE = 2

#: Verbs that may be chosen: the last is only a dialect's.
VERBS = tuple(verb for verb in Verb if verb is not Verb.REGRESS)

#: The tables of a mapping, and what their rows may give.
TABLES: Mapping[str, tuple[str, ...]] = {
    "action": VERBS,
    "severity": tuple(Severity),
    "priority": tuple(Priority),
}


# -- the mapping ----------------------------------------------------------------------------------


@get("/integrations/{reference:str}/mapping", opt={"action": Action.READ}, sync_to_thread=True)
def show_mapping(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show what the words of the source become."""
    one = open_one(visit, reference)
    return _mapping(visit, one, one.shown["overrides"])


@post(
    "/integrations/{reference:str}/mapping", opt={"action": Action.CONFIGURE}, sync_to_thread=True
)
def change_mapping(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Save the overrides, or only try them on a delivery."""
    one = open_one(visit, reference)
    typed = overrides_of(visit.form)
    if visit.form.text("do") == "try":
        return _tried(visit, one, typed)
    try:
        things(visit).merge(one.integration.id, {"overrides": typed}, visit.caller, visit.now)
    except FAULTS as error:
        return _mapping(visit, one, typed, faults_of(error), status=422)
    visit.back.changed()
    return visit.go(f"{one.path}/mapping", "Saved. It counts for what comes in from now on.")


def overrides_of(form: Form) -> dict[str, dict[str, str]]:
    """Return what is to be laid over the dialect: every row where something was chosen."""
    found: dict[str, dict[str, str]] = {table: {} for table in TABLES}
    for name in form.fields:
        table, _, key = name.partition("|")
        if table in found and key and (value := form.text(name)):
            found[table][key] = value
    for table, rows in found.items():
        key, value = form.text(f"new.{table}"), form.text(f"new.{table}.is")
        if key and value:
            rows[key] = value
    return found


def _tried(visit: Visit, one: Opened, typed: Mapping[str, Any]) -> Response[bytes]:
    try:
        overrides = msgspec.convert(typed, _Overrides)
    except msgspec.ValidationError:
        fault = "A row asks for something that is not on its list: choose again."
        return _mapping(visit, one, typed, [fault], status=422)
    form = visit.form
    pasted, delivery_id = form.text("body"), form.text("delivery")
    if pasted:
        sample = Sample(body=pasted.encode("utf-8", "replace"), resource=form.maybe("resource"))
    else:
        with visit.back.desk.database.read() as connection:
            found = stored_sample(connection, delivery_id)
        if found is None or found[0] != one.integration.id:
            fault = "Choose one of the deliveries, or paste a body, to try it on."
            return _mapping(visit, one, typed, [fault], status=422)
        sample = found[1]
    result = explain(
        visit.all_plans,
        visit.back.dialects,
        one.integration,
        sample,
        Overrides(
            action=overrides.action, severity=overrides.severity, priority=overrides.priority
        ),
    )
    return _mapping(visit, one, typed, tried=result)


class _Overrides(msgspec.Struct):
    """Overrides as typed, checked."""

    action: dict[str, Verb]
    severity: dict[str, Severity]
    priority: dict[str, Priority]


def _mapping(
    visit: Visit,
    one: Opened,
    overrides: Mapping[str, Mapping[str, str]],
    faults: list[str] | None = None,
    *,
    tried: Explained | None = None,
    status: int = 200,
) -> Response[bytes]:
    with visit.back.desk.database.read() as connection:
        wanted = LogFilter(integration_id=one.integration.id, limit=TRIED)
        latest = log_page(connection, visit.all_plans, visit.scope, wanted).items
    style = latest[0].url_style if latest else "native"
    dialect = visit.back.dialects[dialect_for(one.integration, style)]
    own: Mapping[str, Any] = {table: overrides.get(table) or {} for table in TABLES}
    return visit.page(
        "integration.html",
        status,
        tab="mapping",
        one=one.shown,
        integration=one.integration,
        dialect=dialect,
        tables={name: rows_of(dialect, name, own[name]) for name in TABLES},
        choices=TABLES,
        faults=faults or [],
        deliveries=latest,
        tried=tried,
        form=visit.form,
    )


def rows_of(
    dialect: Dialect, table: str, own: Mapping[str, str]
) -> list[tuple[str, str | None, str | None]]:
    """Return the rows of a table: the word, what the dialect gives, what the override gives."""
    given: Mapping[str, Any] = getattr(dialect, table)
    words = [*given, *(word for word in own if word not in given)]
    return [(word, given[word].value if word in given else None, own.get(word)) for word in words]


# -- routes ---------------------------------------------------------------------------------------


@get("/integrations/{reference:str}/routes", opt={"action": Action.READ}, sync_to_thread=True)
def show_routes(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show which signals go to other services."""
    one = open_one(visit, reference)
    return _routes(visit, one, [typed_route(row) for row in one.shown["routes"]])


@post("/integrations/{reference:str}/routes", opt={"action": Action.CONFIGURE},
      sync_to_thread=True)  # fmt: skip
def change_routes(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Change which signals go to other services."""
    one = open_one(visit, reference)
    typed = typed_routes(visit.form)
    try:
        routes = [route_of(row) for row in typed]
        things(visit).merge(one.integration.id, {"routes": routes}, visit.caller, visit.now)
    except FAULTS as error:
        return _routes(visit, one, typed, faults_of(error), status=422)
    visit.back.changed()
    return visit.go(f"{one.path}/routes", "Saved. It counts for what comes in from now on.")


#: The cells of a route: what it matches, then what it does.
CELLS = (*ROUTE_FIELDS, "tags", "service", "verb")


def typed_route(row: Mapping[str, Any]) -> dict[str, str]:
    """Write a route as the cells of the form."""
    cells = dict.fromkeys(CELLS, "")
    tags = []
    for name, value in row.items():
        words = value if isinstance(value, str) else ", ".join(value)
        if name.startswith("tag."):
            tags.append(f"{name.removeprefix('tag.')}={'|'.join(value)}")
        else:
            cells[name] = words
    cells["tags"] = ", ".join(tags)
    return cells


def typed_routes(form: Form) -> list[dict[str, str]]:
    """Return the rows that say anything, in the order of their numbers."""
    rows: list[tuple[float, dict[str, str]]] = []
    at = 0
    while form.has(f"r{at}.service"):
        cells = {cell: form.text(f"r{at}.{cell}") for cell in CELLS}
        number = form.text(f"r{at}.order")
        if any(cells.values()) and not form.has(f"r{at}.gone"):
            rows.append((float(number) if number.isdecimal() else at + 1.0, cells))
        at += 1
    return [cells for _, cells in sorted(rows, key=lambda row: row[0])]


def route_of(cells: Mapping[str, str]) -> dict[str, Any]:
    """Read the cells of the form as a route of the file."""
    route: dict[str, Any] = {}
    for name in ROUTE_FIELDS:
        if words := _words(cells[name], ","):
            route[name] = words
    for pair in _words(cells["tags"], ","):
        name, _, values = pair.partition("=")
        route[f"tag.{name.strip()}"] = _words(values, "|")
    for name in ("service", "verb"):
        if cells[name]:
            route[name] = cells[name]
    return route


def _words(text: str, between: str) -> list[str]:
    return [word.strip() for word in text.split(between) if word.strip()]


def _routes(
    visit: Visit,
    one: Opened,
    rows: list[dict[str, str]],
    faults: list[str] | None = None,
    status: int = 200,
) -> Response[bytes]:
    spare = [dict.fromkeys(CELLS, "") for _ in range(_SPARE)]
    return visit.page(
        "integration.html",
        status,
        tab="routes",
        one=one.shown,
        integration=one.integration,
        rows=[*rows, *spare] if visit.may(Action.CONFIGURE) else rows,
        cells=CELLS,
        verbs=VERBS,
        # One of another team that a route names already may stay named.
        services=sorted(
            {service.name for service in living(visit.plans.services)}
            | {row["service"] for row in rows if row["service"]}
        ),
        faults=faults or [],
    )


# -- settings -------------------------------------------------------------------------------------


@get("/integrations/{reference:str}/settings", opt={"action": Action.READ}, sync_to_thread=True)
def show_settings(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show what an integration is set to."""
    one = open_one(visit, reference)
    return _settings(visit, one, one.shown)


@post("/integrations/{reference:str}/settings", opt={"action": Action.CONFIGURE},
      sync_to_thread=True)  # fmt: skip
def change_settings(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Change what an integration is set to."""
    one = open_one(visit, reference)
    form = visit.form
    fields: dict[str, Any] = {
        "name": form.text("name"),
        "service": form.text("service"),
        "dialect": form.text("dialect") or "auto",
        "sentry_url": form.maybe("sentry_url"),
        "enabled": form.has("enabled"),
        "replay_protection": "strict" if form.has("strict") else "off",
    }
    if form.maybe("routing_key"):
        fields["routing_key"] = form.text("routing_key")
    try:
        things(visit).merge(one.integration.id, fields, visit.caller, visit.now)
    except FAULTS as error:
        return _settings(visit, one, fields, faults_of(error), status=422)
    visit.back.changed()
    return visit.go(f"{one.path}/settings", "Saved.")


@post("/integrations/{reference:str}/remove", opt={"action": Action.CONFIGURE},
      sync_to_thread=True)  # fmt: skip
def remove_integration(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Take an integration out of use."""
    one = open_one(visit, reference)
    try:
        things(visit).remove(one.integration.id, visit.caller, visit.now)
    except FAULTS as error:
        return _settings(visit, one, one.shown, faults_of(error), status=409)
    visit.back.changed()
    name = one.shown["name"]
    return visit.go("/integrations", f"{name} is deleted: what is sent to its URL is refused.")


#: How dialects are called where their own name says too little.
_DIALECT_NAMES = {
    "auto": "by the address it comes in by",
    "native": "Tocsin",
    "opsknight": "OpsKnight",
    "itoc360": "ITOC360",
    "navi": "Navi.sh",
}


def _settings(
    visit: Visit,
    one: Opened,
    fields: Mapping[str, Any],
    faults: list[str] | None = None,
    status: int = 200,
) -> Response[bytes]:
    return visit.page(
        "integration.html",
        status,
        tab="settings",
        one=one.shown,
        integration=one.integration,
        fields=fields,
        dialect_pairs=[(name, _DIALECT_NAMES.get(name, name)) for name in DIALECTS],
        pairs=[(service.name, service.name) for service in living(visit.plans.services)],
        faults=faults or [],
    )


PAGES: tuple[Any, ...] = (
    show_mapping,
    change_mapping,
    show_routes,
    change_routes,
    show_settings,
    change_settings,
    remove_integration,
)
