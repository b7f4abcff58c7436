"""Vendor dialects: TOML files, checked when the program starts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from tocsin.core.dialect import FIELDS, Dialect, Shape
from tocsin.core.model import (
    Priority,
    Severity,
    Sight,
    Verb,
)
from tocsin.core.place import Place

#: Every dialect there is; each has a file of that name.
NAMES = ("native", "opsknight", "itoc360", "navi", "events")


class BadDialect(ValueError):
    """A dialect file is wrong; the message says where."""


class ShapeTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[[shapes]]``: one form a body may take; the first that fits is taken."""

    name: str
    resource: str
    needs: list[list[str]] = []
    by_header_only: bool = False
    roots: list[str] = []
    dedup: str | None = None
    digest: list[str] = []
    untitled: str = ""
    has_issue_page: bool = False
    fields: dict[str, list[str]] = {}


class Example(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``[[examples]]``: a body, and what the dialect reads in it. The file proves itself."""

    says: str
    body: str
    resource: str | None = None
    #: Fields of the signal, those worth comparing; none at all for a body nobody understands.
    want: dict[str, Any] = {}


class DialectTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A whole file."""

    name: str
    extends: str | None = None
    shapes: list[ShapeTable] = []
    #: Fields every shape has unless it places them itself.
    fields: dict[str, list[str]] = {}
    details: dict[str, list[str]] = {}
    action: dict[str, Verb] = {}
    aliases: dict[str, str] = {}
    status: dict[str, Verb] = {}
    severity: dict[str, Severity] = {}
    default_severity: Severity = Severity.ERROR
    priority: dict[str, Priority] = {}
    dedup: dict[str, str] = {}
    text: dict[str, str] = {}
    sight: dict[str, Sight] = {}
    metric_kinds: list[str] = []
    named_source: str = "{project}"
    source: str = ""
    empty_titles: list[str] = []
    examples: list[Example] = []


@cache
def table(name: str) -> DialectTable:
    """Read a file as it stands, with what it extends laid under it. Raises BadDialect."""
    document = _document(name)
    base = document.get("extends")
    if base is not None:
        document = _laid_over(_document(base), document)
    try:
        return msgspec.convert(document, DialectTable)
    except msgspec.ValidationError as error:
        raise BadDialect(f"{name}.toml: {error}") from None


def _document(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text("utf-8"))


def _laid_over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a file over its base: tables are merged, shapes by name."""
    merged: dict[str, Any] = {**base, **own}
    for key, value in base.items():
        if isinstance(value, dict) and isinstance(own.get(key), dict):
            merged[key] = _laid_over(value, own[key])
    if "shapes" in base:
        named = {shape["name"]: shape for shape in own.get("shapes", ())}
        unknown = named.keys() - {shape["name"] for shape in base["shapes"]}
        if unknown:
            raise BadDialect(f"{own['name']}.toml: its base has no shape {sorted(unknown)}")
        merged["shapes"] = [
            _laid_over(shape, named.get(shape["name"], {})) for shape in base["shapes"]
        ]
    return merged


@cache
def load(name: str) -> Dialect:
    """Return a dialect, checked. Raises BadDialect."""
    raw = table(name)
    if not raw.examples:
        raise BadDialect(f"{name}.toml has no examples: a dialect must prove itself")
    return Dialect(
        name=raw.name,
        shapes=tuple(_shape(raw, shape) for shape in raw.shapes),
        action=raw.action,
        aliases=raw.aliases,
        status=raw.status,
        severity=raw.severity,
        default_severity=raw.default_severity,
        priority=raw.priority,
        dedup=raw.dedup,
        text=raw.text,
        sight=raw.sight,
        metric_kinds=frozenset(raw.metric_kinds),
        named_source=raw.named_source,
        source=raw.source,
        empty_titles=frozenset(raw.empty_titles),
        details={key: _places(raw, paths) for key, paths in raw.details.items()},
    )


def load_all() -> dict[str, Dialect]:
    """Return every dialect by name. Raises BadDialect."""
    return {name: load(name) for name in NAMES}


def _shape(raw: DialectTable, shape: ShapeTable) -> Shape:
    placed = {**raw.fields, **shape.fields}
    unknown = placed.keys() - FIELDS
    if unknown:
        raise BadDialect(f"{raw.name}.toml, shape {shape.name}: no field {sorted(unknown)}")
    if shape.dedup is not None and shape.dedup not in raw.dedup:
        raise BadDialect(f"{raw.name}.toml, shape {shape.name}: no dedup row {shape.dedup}")
    return Shape(
        resource=shape.resource,
        needs=tuple(_places(raw, group) for group in shape.needs),
        by_header_only=shape.by_header_only,
        roots=tuple(tuple(key for key in root.split(".") if key) for root in shape.roots),
        dedup=shape.dedup,
        digest=_places(raw, shape.digest),
        fields={name: _places(raw, paths) for name, paths in placed.items()},
        untitled=shape.untitled,
        has_issue_page=shape.has_issue_page,
    )


def _places(raw: DialectTable, paths: Iterable[str]) -> tuple[Place, ...]:
    try:
        return tuple(Place.parse(path) for path in paths)
    except re.error as error:
        raise BadDialect(f"{raw.name}.toml: {error.pattern!r} is no expression: {error}") from None
