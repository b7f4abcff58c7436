"""What everything that can be listed, read, made, changed and removed one by one has in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from tocsin.core.access import Caller
from tocsin.store.lists import Page
from tocsin.work.configfile import NOWHERE, BadFile, explained
from tocsin.work.schedulefile import Table, faults

T = TypeVar("T", bound=Table)

#: One thing as the API shows it: its fields, and its ``id``.
Shown: TypeAlias = dict[str, Any]


class Collection(Protocol):
    """Things of one kind. ``reference`` is an id or, where they have names, a name.

    What a caller does not see is, for them, not there. Raises respond.NotFound,
    configfile.BadFile, and what is in ``refusals``.
    """

    def page(self, limit: int, cursor: str | None, caller: Caller) -> Page[Shown]:
        """List them."""

    def one(self, reference: str, caller: Caller) -> Shown:
        """Show one."""

    def create(self, row: Any, caller: Caller, now: datetime) -> Shown:
        """Make one."""

    def replace(self, reference: str, row: Any, caller: Caller, now: datetime) -> Shown:
        """Let one be exactly so."""

    def merge(
        self, reference: str, fields: Mapping[str, Any], caller: Caller, now: datetime
    ) -> Shown:
        """Change these fields of one."""

    def remove(self, reference: str, caller: Caller, now: datetime) -> None:
        """Take one out of use."""


def merged(row: T, fields: Mapping[str, Any]) -> T:
    """Return a table with some of its fields given anew. Raises BadFile."""
    try:
        return msgspec.convert(msgspec.to_builtins(row) | fields, type(row))
    except msgspec.ValidationError as error:
        raise BadFile([explained(str(error))[1]]) from None


def check(row: Table) -> None:
    """Raise BadFile for what no field of a table shows by itself."""
    findings = [NOWHERE.at(path, message) for path, message in faults(row)]
    if findings:
        raise BadFile(findings)


def document(row: Table) -> Shown:
    """Write a table with every field it has; below it, what says nothing is left out."""
    return {
        written: _plain(getattr(row, name))
        for name, written in zip(row.__struct_fields__, row.__struct_encode_fields__, strict=True)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Table):
        return {name: inner for name, inner in document(value).items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return msgspec.to_builtins(value)
