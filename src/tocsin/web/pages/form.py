"""What a person typed into a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs

from litestar import Request

#: Of the largest number in a form.
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, or of a query, by name."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, encoded: bytes) -> Self:
        """Read ``application/x-www-form-urlencoded``; what is no UTF-8 is replaced."""
        return cls(parse_qs(encoded.decode("latin-1"), keep_blank_values=True, errors="replace"))

    def text(self, name: str) -> str:
        """Return a field without the spaces around it; empty where it is absent."""
        return next(iter(self.fields.get(name, ())), "").strip()

    def maybe(self, name: str) -> str | None:
        """Return a field, None where it is absent or empty."""
        return self.text(name) or None

    def number(self, name: str) -> int | None:
        """Return a whole number of a few digits; None for anything else."""
        return number(self.text(name))

    def many(self, name: str) -> tuple[str, ...]:
        """Return every value of a field that is not empty: of check boxes, of a list."""
        return tuple(value.strip() for value in self.fields.get(name, ()) if value.strip())

    def has(self, name: str) -> bool:
        """Whether a check box is ticked."""
        return name in self.fields


def number(text: str) -> int | None:
    """Read a whole number; None for anything else, and for one that nothing here has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


async def provide_form(request: Request[Any, Any, Any]) -> Form:
    """Read the body of a request; it was bounded before."""
    return Form.read(await request.body())
