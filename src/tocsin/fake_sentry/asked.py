"""One request to the API, and the lists that answer it page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tocsin.fake_sentry.life import Life
from tocsin.fake_sentry.things import ROLES, App, Json, Organization, Person, Refusal, Token, World

T = TypeVar("T")

_NO = "You do not have permission to perform this action."


@dataclass(slots=True)
class Asked:
    """A request, and who asks."""

    world: World
    life: Life
    token: Token
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    #: Where the list goes on, as ``Link`` says it.
    link: str = ""

    @property
    def said(self) -> Json:
        """The body."""
        try:
            read = json.loads(self.body or b"{}")
        except ValueError:
            raise Refusal(400, "JSON parse error") from None
        if not isinstance(read, dict):
            raise Refusal(400, "Invalid data. Expected a dictionary.")
        return read

    @property
    def by(self) -> Person | App:
        """Who does it."""
        found = self.token.person or self.token.app
        if found is None:
            raise Refusal(403, _NO)
        return found

    def may(self, home: Organization | None, *scopes: str) -> None:
        """Refuse unless the token has one of these scopes, and its person's role has it too."""
        person, app = self.token.person, self.token.app
        if home is not None and not (
            person in home.people or app in home.apps or (person is None and app is None)
        ):
            raise Refusal(403, _NO)
        has = self.token.scopes
        if person is not None:
            has = has & ROLES[person.role]
        if not has & set(scopes):
            raise Refusal(403, _NO)

    def page(self, things: Sequence[T], write: Callable[[T], Any]) -> list[Any]:
        """Return a page of a list by offset."""
        offset = _number(self.query.get("cursor", "0:0:0").split(":")[1:2])
        size = self._size()
        more = len(things) > offset + size
        self._set_link(f"0:{max(0, offset - size)}:1", f"0:{offset + size}:0", offset > 0, more)
        return [write(one) for one in things[offset : offset + size]]

    def keyed_page(
        self, things: Sequence[T], key: Callable[[T], int], write: Callable[[T], Any]
    ) -> list[Any]:
        """Return a page of a list, the highest keys first; the cursor is a key, then an offset."""
        parts = self.query.get("cursor", "").split(":")
        rows = sorted(things, key=key, reverse=True)
        start = 0
        if parts[0]:
            value, offset = _number(parts[0:1]), _number(parts[1:2])
            start = sum(key(one) > value for one in rows) + offset
        size = self._size()
        page, rest = rows[start : start + size], rows[start + size :]
        following = "0:0:0"
        if rest:
            value = key(rest[0])
            first = sum(key(one) > value for one in rows)
            following = f"{value}:{start + size - first}:0"
        self._set_link(f"{parts[0] or 0}:0:1", following, start > 0, bool(rest))
        return [write(one) for one in page]

    def _size(self) -> int:
        wanted = self.query.get("limit") or self.query.get("per_page") or "100"
        return max(1, min(_number([wanted]), self.world.page_size, 100))

    def _set_link(self, before: str, after: str, has_before: bool, has_after: bool) -> None:  # noqa: FBT001
        # The address is what Sentry believes to be its own; who follows it may end anywhere.
        base = f"http://internal.sentry.invalid{self.path}?&cursor="
        self.link = (
            f'<{base}{before}>; rel="previous"; results="{str(has_before).lower()}";'
            f' cursor="{before}", <{base}{after}>; rel="next";'
            f' results="{str(has_after).lower()}"; cursor="{after}"'
        )


def _number(parts: Sequence[str]) -> int:
    text = next(iter(parts), "0")
    if not text.isdecimal():
        raise Refusal(400, "Invalid cursor parameter.")
    return int(text)
