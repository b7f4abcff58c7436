"""Which row of a table a signal matches: routes, and what maintenance windows are about."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from tocsin.core.model import Signal
from tocsin.core.plans import Route


def route(routes: Sequence[Route], signal: Signal) -> Route | None:
    """Return the first route that matches; every field a route names must match."""
    return next((row for row in routes if matches(row, signal)), None)


def matches(row: Route, signal: Signal) -> bool:
    """Whether every field that the row names matches."""
    tags = dict(signal.tags)
    checks = (
        (row.project, signal.projects),
        (row.environment, (signal.environment,)),
        (row.level, (signal.level,)),
        (row.resource, (signal.resource,)),
        (row.action, (signal.action,)),
        *((wanted, (tags.get(name),)) for name, wanted in row.tags),
    )
    return all(
        not wanted or any(value in wanted for value in values) for wanted, values in checks
    ) and (not row.title or any(fnmatchcase(signal.title, glob) for glob in row.title))
