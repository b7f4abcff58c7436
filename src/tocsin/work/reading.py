"""Why a delivery was read as it was, and how it would be read with other overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from tocsin.core.body import NotJson, read_body
from tocsin.core.choice import choose
from tocsin.core.dialect import Dialect, Trace, trace
from tocsin.core.model import Verb
from tocsin.core.plans import Integration, Overrides, Plans, Route
from tocsin.core.routes import matches
from tocsin.store import inbox
from tocsin.work.currentfile import route_table
from tocsin.work.intake import dialect_for


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLine:
    """A route of the integration, as it stands to this delivery."""

    #: What it matches and what it does, as the file has it.
    text: str
    matches: bool
    #: The first that matches is the one that counts.
    is_taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """How a body is read by an integration as it is set up now."""

    dialect: str
    #: What keeps it from being read; None where it is read.
    fault: str | None = None
    trace: Trace | None = None
    routes: tuple[RouteLine, ...] = ()
    #: What it asks in the end: the dialect's verb, or the route's.
    verb: Verb | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A body to read, and how it came in."""

    body: bytes
    resource: str | None
    url_style: str = "native"


def stored_sample(connection: Connection, delivery_id: str) -> tuple[str, Sample] | None:
    """Return a stored delivery to read again, after the id of its integration; or None."""
    found = inbox.stored(connection, delivery_id)
    if found is None:
        return None
    sample = Sample(body=bytes(found.body), resource=found.resource, url_style=found.url_style)
    return found.integration_id, sample


def explain(
    plans: Plans,
    dialects: Mapping[str, Dialect],
    integration: Integration,
    sample: Sample,
    overrides: Overrides | None = None,
) -> Explained:
    """Say how a body is read; with overrides, as if the integration had these."""
    if overrides is not None:
        integration = replace(integration, overrides=overrides)
    name = dialect_for(integration, sample.url_style)
    try:
        body = read_body(sample.body)
    except NotJson as error:
        return Explained(dialect=name, fault=f"{error}")
    found = trace(dialects[name], body, sample.resource, integration)
    if found is None:
        return Explained(dialect=name, fault=f"no shape of the {name} dialect fits this body")
    if found.signal is None:
        fault = "it asks for something, and nothing in it says of which alert"
        return Explained(dialect=name, fault=fault, trace=found)
    signal = found.signal
    fitting = [matches(row, signal) for row in integration.routes]
    at = fitting.index(True) if True in fitting else None
    taken = integration.routes[at] if at is not None else None
    verb = found.verb.value
    # What is about no alert can be followed by no other verb.
    if taken and taken.verb and (signal.dedup_key is not None or taken.verb is Verb.NONE):
        verb = taken.verb
    chosen = choose(signal.choices, plans, integration).service
    service_id = (taken and taken.service_id) or integration.service_id
    service = chosen or plans.services.get(service_id)
    return Explained(
        dialect=name,
        trace=found,
        routes=tuple(
            RouteLine(text=_written(row, plans), matches=fits, is_taken=number == at)
            for number, (row, fits) in enumerate(zip(integration.routes, fitting, strict=True))
        ),
        verb=verb,
        service=service.name if service else None,
    )


def _written(row: Route, plans: Plans) -> str:
    """Write a route in one line."""
    table = route_table(row, plans)
    does = [f"{name} {table.pop(name)}" for name in ("service", "verb") if name in table]
    wants = [f"{name} {' or '.join(words)}" for name, words in table.items()]
    return f"{', '.join(wants) or 'anything'} → {', '.join(does) or 'the usual service'}"
