"""Ask Sentry what its webhooks did not tell, within bounds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tocsin.core.mirror import Stand
from tocsin.core.reconcile import (
    CLOSER,
    CREATED,
    DEADLINE,
    PAGES,
    SHARE,
    UNRESOLVED,
    Known,
    Listed,
    Opening,
    Sifting,
    came_back,
    in_turn,
    is_back,
    sift,
)
from tocsin.sentry.client import Sentry
from tocsin.sentry.errors import Broken, NotPermitted, NotThere, RateLimited, Refused, SentryError
from tocsin.sentry.reading import stand_of
from tocsin.sentry.shapes import Issue, IssuePage

#: How far back a list of issues reaches.
_PERIOD = "14d"

#: What may be wrong with one issue, and with no other: it has its turn again.
_OF_ONE = (NotPermitted, Refused, Broken)

#: Given issues, what is known of them here; what is not known is left out.
Recall = Callable[[Sequence[str]], Awaitable[Mapping[str, Known]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What to look for."""

    opening: Opening
    #: Issues that are open here, to whether one that Sentry does not know was deleted: else it may
    #: never have been of this organisation.
    open_issues: Mapping[str, bool]
    #: The top of the list is read as far as what was last seen before this.
    since: datetime
    #: Where to go on further down, from the look before.
    cursor: str | None
    began_at: datetime
    #: How many looks in a row were cut short before: each begins with another part.
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """An issue that is unresolved in Sentry, and whose webhook never came."""

    issue_id: str
    #: ``created`` or ``unresolved``.
    action: str
    at: datetime
    #: The issue, as Sentry tells it.
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """An issue that is open here and not unresolved in Sentry."""

    issue_id: str
    #: None for one that is not there any more.
    stand: Stand | None
    raw: bytes | None
    #: What people call the issue that it was merged into; empty where it was not.
    merged_into: str = ""


@dataclass(slots=True)
class Seen:
    """What a look has found so far; what it could not ask any more is for the next one."""

    missed: list[Missed] = field(default_factory=list)
    over: list[Over] = field(default_factory=list)
    #: Issues that are open here and unresolved there, to when Sentry last saw them.
    last_seen: dict[str, datetime] = field(default_factory=dict)
    #: Whether what is new since the look before was read and looked into, as far as one look may.
    is_caught_up: bool = False
    #: Where the next look goes on further down.
    cursor: str | None = None
    error: str | None = None
    retry_after: timedelta | None = None


async def look(to: Callable[[], Sentry], wanted: Look, recall: Recall) -> Seen:
    """Look once. What goes wrong is part of what is returned, beside what was found before."""
    seen = Seen(cursor=wanted.cursor)
    try:
        async with asyncio.timeout(DEADLINE.total_seconds()):
            await _Walk(to(), wanted, recall, seen).walk()
    except SentryError as error:
        seen.error = str(error)
        seen.retry_after = error.retry_after if isinstance(error, RateLimited) else None
    except TimeoutError:
        seen.error = f"Sentry took longer than {DEADLINE.total_seconds():.0f} s for it all"
    return seen


@dataclass(slots=True)
class _Walk:
    """One look under way."""

    sentry: Sentry
    wanted: Look
    recall: Recall
    seen: Seen
    unresolved: set[str] = field(default_factory=set)
    doubts: dict[str, tuple[Listed, Known | None]] = field(default_factory=dict)
    open_here: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.open_here = frozenset(self.wanted.open_issues)

    async def walk(self) -> None:
        self.seen.cursor = await self._top()
        parts = (self._further, self._open_here, self._look_closer)
        first = self.wanted.failures % len(parts)
        for part in (*parts[first:], *parts[:first]):
            # What a part does not come to, the next look does: it holds up no other part.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHARE.total_seconds()):
                    await part()
            self.seen.is_caught_up |= part == self._look_closer

    async def _page(self, cursor: str | None) -> IssuePage:
        page = await self.sentry.issues("is:unresolved", cursor=cursor, stats_period=_PERIOD)
        await self._take(page.items)
        return page

    async def _top(self) -> str | None:
        """Read from the newest on; return where to go on for what lies below, if anything."""
        cursor: str | None = None
        for _ in range(PAGES):
            page = await self._page(cursor)
            cursor = page.next
            last = page.items[-1].last_seen if page.items else None
            if cursor is None:
                return None
            if last is not None and last < self.wanted.since:
                return self.wanted.cursor or cursor
        return cursor

    async def _further(self) -> None:
        """Go on further down, a little with every look, and begin anew at the end."""
        for _ in range(PAGES):
            if self.seen.cursor is None:
                return
            try:
                self.seen.cursor = (await self._page(self.seen.cursor)).next
            except Refused:
                # The list has changed under a cursor that is old.
                self.seen.cursor = None

    async def _take(self, issues: Sequence[Issue]) -> None:
        """Compare some unresolved issues with what is here."""
        self.unresolved |= {issue.id for issue in issues}
        for issue in issues:
            self._hear_of(issue)
        wanted = self.wanted
        known = await self.recall([one.id for one in issues])
        for issue in issues:
            listed, here = _listed(issue), known.get(issue.id)
            found = sift(listed, here, wanted.opening, wanted.began_at)
            if found is Sifting.LOST and issue.first_seen is not None:
                self._miss(issue, CREATED, issue.first_seen)
            elif found is Sifting.DOUBTFUL:
                self.doubts[issue.id] = (listed, here)

    def _hear_of(self, issue: Issue) -> None:
        if issue.id in self.open_here and issue.last_seen is not None:
            self.seen.last_seen[issue.id] = issue.last_seen

    async def _look_closer(self) -> None:
        """Ask for the past of what may have come back, as many as may be, each in its turn."""
        wanted = self.wanted
        first = sorted(
            self.doubts.values(),
            key=lambda one: (not is_back(one[0]), in_turn(one[0].issue_id, wanted.began_at)),
        )
        for listed, known in first[:CLOSER]:
            try:
                issue = await self.sentry.issue(listed.issue_id)
            except (NotThere, *_OF_ONE):
                continue
            if issue.id != listed.issue_id:
                # Merged since the list was made: the other one is listed by itself.
                continue
            at = came_back(stand_of(issue), known, wanted.opening, wanted.began_at)
            if at is not None:
                self._miss(issue, UNRESOLVED, at)

    def _miss(self, issue: Issue, action: str, at: datetime) -> None:
        self.seen.missed.append(
            Missed(issue_id=issue.id, action=action, at=at, raw=bytes(issue.raw))
        )

    async def _open_here(self) -> None:
        """Ask for what is open here and was not in the list, one by one, as many as may be."""
        wanted = self.wanted
        left = [id_ for id_ in wanted.open_issues if id_ not in self.unresolved]
        for id_ in sorted(left, key=lambda one: in_turn(one, wanted.began_at))[:CLOSER]:
            try:
                issue = await self.sentry.issue(id_)
            except NotThere:
                if wanted.open_issues[id_]:
                    self.seen.over.append(Over(issue_id=id_, stand=None, raw=None))
                continue
            except _OF_ONE:
                continue
            if issue.id != id_:
                into = issue.short_id or f"issue {issue.id}"
                self.seen.over.append(Over(issue_id=id_, stand=None, raw=None, merged_into=into))
                continue
            stand = stand_of(issue)
            if stand.status != "unresolved":
                over = Over(issue_id=id_, stand=stand, raw=bytes(issue.raw))
                self.seen.over.append(over)
            else:
                self._hear_of(issue)


def _listed(issue: Issue) -> Listed:
    return Listed(
        issue_id=issue.id,
        substatus=issue.substatus,
        first_seen=issue.first_seen,
        last_seen=issue.last_seen,
        category=issue.issue_category,
        project=issue.project.slug if issue.project else "",
    )
