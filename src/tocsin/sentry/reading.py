"""From Sentry's shapes to ours: how an issue stands, and what an event says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from tocsin.core.context import MOST_FRAMES, MOST_PEOPLE, MOST_TAGS, Context, Suspect
from tocsin.core.mirror import Stand, Turned
from tocsin.core.text import clean
from tocsin.core.times import whole_seconds
from tocsin.sentry.shapes import (
    Account,
    Committer,
    Event,
    Frame,
    Instant,
    Issue,
    Owner,
    Raised,
    Shape,
)

T = TypeVar("T")

# -- how an issue stands --------------------------------------------------------------------------


class _Named(Shape):
    name: str | None = None


class _Activity(Shape):
    """Something that happened to an issue."""

    type: str = ""
    date_created: Instant | None = None
    user: Account | None = None
    #: Told since June 2025 (pull request 93078), none for people. Before that an application's
    #: own user stood where a person's does.
    sentry_app: _Named | msgspec.UnsetType | None = msgspec.field(
        default=msgspec.UNSET, name="sentry_app"
    )

    @property
    def by(self) -> str:
        """Who did it, for people."""
        app = self.sentry_app.name if isinstance(self.sentry_app, _Named) else None
        return clean(app or (self.user and (self.user.name or self.user.email)) or "", 200)

    @property
    def is_persons(self) -> bool:
        """Whether it was a person for sure."""
        return self.sentry_app is None and self.user is not None


class _Lived(Shape):
    """An issue with its past, which only the answer about one issue has."""

    activity: tuple[_Activity, ...] | None = None


#: Activities that make an issue unresolved, that change its status, and whom it is assigned to.
_REOPENING = frozenset({"set_unresolved", "set_regression", "set_escalating"})
_TURNING = _REOPENING | {"set_ignored"}
_RESOLVING = "set_resolved"
_ASSIGNING = frozenset({"assigned", "unassigned"})


def stand_of(issue: Issue) -> Stand:
    """Say how an issue stands; without its past where Sentry tells none."""
    past = _past(issue)
    turns = (one for one in past if one.type in _TURNING or one.type.startswith(_RESOLVING))
    back = _latest(one for one in past if one.type in _REOPENING)
    details, whom = issue.status_details, issue.assigned_to
    return Stand(
        status=issue.status,
        ignored_until=details.ignore_until if details else None,
        assignee=(whom.email or "") if whom else "",
        assignee_name=clean((whom.name or whom.email or "somebody") if whom else "", 200),
        turned=_latest(turns),
        assigned=_latest(one for one in past if one.type in _ASSIGNING),
        reopened_at=back.at if back else None,
    )


def _past(issue: Issue) -> Sequence[_Activity]:
    try:
        return msgspec.json.decode(issue.raw, type=_Lived).activity or ()
    except msgspec.DecodeError:
        return ()


def _latest(past: Iterable[_Activity]) -> Turned | None:
    dated = [
        (one.date_created, one.by, one.is_persons) for one in past if one.date_created is not None
    ]
    if not dated:
        return None
    at, by, is_persons = max(dated)
    return Turned(at=at, by=by, is_persons=is_persons)


# -- what an event says ---------------------------------------------------------------------------


def context_of(event: Event, committers: Iterable[Committer], owners: Iterable[Owner]) -> Context:
    """Keep of an event what helps whoever is paged."""
    raised = event.exceptions
    # The outermost is what people see; the one it came from says where.
    last = raised[-1] if raised else None
    return Context(
        exception=_exception(last, event),
        frames=tuple(_frames(raised)),
        release=clean(
            (event.release.version if event.release else event.tag("release")) or "", 200
        ),
        environment=clean(event.tag("environment") or "", 200),
        tags=tuple(
            (clean(tag.key, 100), clean(tag.value or "", 200)) for tag in event.tags[:MOST_TAGS]
        ),
        suspects=tuple(_first(_suspects(committers), MOST_PEOPLE)),
        owners=tuple(
            _first((clean(one.name or one.email or "", 200) for one in owners), MOST_PEOPLE)
        ),
        event_id=clean(event.event_id or event.id, 64),
        at=event.date_created and whole_seconds(event.date_created),
    )


def _exception(last: Raised | None, event: Event) -> str:
    if last is None:
        return clean(event.title or event.message or "", 500)
    return clean(": ".join(filter(None, (last.type, last.value))), 500)


def _frames(raised: Sequence[Raised]) -> Iterator[str]:
    """Yield the innermost frames of our own code; of any code where none is said to be ours."""
    for one in reversed(raised):
        frames = list(reversed((one.stacktrace and one.stacktrace.frames) or ()))
        own = [frame for frame in frames if frame.in_app] or frames
        if own:
            yield from (clean(_line(frame), 300) for frame in own[:MOST_FRAMES])
            return


def _line(frame: Frame) -> str:
    place = frame.filename or frame.module or "?"
    number = f":{frame.line_no}" if frame.line_no is not None else ""
    return f"{place}{number}" + (f" in {frame.function}" if frame.function else "")


def _suspects(committers: Iterable[Committer]) -> Iterator[Suspect]:
    for one in committers:
        author = one.author or Account()
        commit = next(iter(one.commits), None)
        name = author.name or author.email or ""
        if name:
            yield Suspect(
                name=clean(name, 200),
                email=clean(author.email or "", 320),
                commit=clean(commit.id, 64)[:7] if commit else "",
                message=clean(((commit.message if commit else "") or "").partition("\n")[0], 200),
            )


def _first(things: Iterable[T], count: int) -> Iterator[T]:
    for at, one in enumerate(things):
        if at == count:
            return
        yield one
