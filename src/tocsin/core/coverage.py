"""When a page to a schedule would reach nobody: nobody is on call, or nobody who can be reached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from tocsin.core.plans import AwayKind, Plans, Schedule, Shift, User
from tocsin.core.schedule import Gap, gaps, shifts

#: How far ahead people are warned.
AHEAD = timedelta(days=14)

#: The same holes are told again after so long, and not before.
REMIND = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A time in which a page reaches nobody, its end excluded."""

    begins_at: datetime
    ends_at: datetime
    #: Who is on call and cannot be reached; empty: nobody is on call.
    user_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How a schedule is covered in a window, cut to it."""

    #: When nobody is on call.
    gaps: tuple[Gap, ...]
    #: Shifts, or parts of shifts, of people who cannot be reached then.
    unreachable: tuple[Shift, ...]
    #: When a page would reach nobody, whatever the reason, by begin.
    holes: tuple[Hole, ...]

    @property
    def digest(self) -> str:
        """By what the same holes are known again."""
        text = "\n".join(f"{h.begins_at} {h.ends_at} {sorted(h.user_ids)}" for h in self.holes)
        return hashlib.sha256(text.encode()).hexdigest()


def ahead(schedule: Schedule, users: Mapping[str, User], now: datetime) -> Coverage:
    """Look at what is to come."""
    return coverage(schedule, users, now, now + AHEAD)


def coverage(
    schedule: Schedule, users: Mapping[str, User], begins_at: datetime, ends_at: datetime
) -> Coverage:
    """Find the gaps in a window, and the turns of people whom no page would reach."""
    empty = tuple(gaps(schedule, begins_at, ends_at))
    turns = shifts(schedule, begins_at, ends_at)
    silent = [part for turn in turns for part in _silent(turn, users)]
    holes = [Hole(begins_at=gap.begins_at, ends_at=gap.ends_at) for gap in empty]
    holes += _uncovered(turns, silent)
    return Coverage(
        gaps=empty,
        unreachable=tuple(silent),
        holes=tuple(sorted(holes, key=lambda hole: (hole.begins_at, hole.ends_at))),
    )


def needs_coverage(schedule: Schedule, plans: Plans) -> bool:
    """Whether anybody counts on it: it has layers, and a living service's policy names it."""
    used = {
        id_
        for service in plans.services.values()
        if not service.is_deleted
        and (policy := plans.policies.get(service.escalation_policy_id or ""))
        for step in policy.steps
        for target in step.targets
        if target.kind == "schedule"
        for id_ in target.ids
    }
    return bool(schedule.layers) and schedule.id in used


def _is_reachable(user: User | None) -> bool:
    return user is not None and any(method.is_usable for method in user.contact_methods)


def _silent(turn: Shift, users: Mapping[str, User]) -> Iterator[Shift]:
    """Yield the parts of a turn in which a page to its person goes nowhere."""
    user = users.get(turn.user_id)
    if user is None or not _is_reachable(user):
        yield turn
        return
    end = turn.begins_at
    for absence in sorted(user.absences, key=lambda one: one.begins_at):
        if absence.kind is AwayKind.AWAY and not _is_reachable(
            users.get(absence.substitute_id or "")
        ):
            begin, end_ = max(absence.begins_at, end), min(absence.ends_at, turn.ends_at)
            if begin < end_:
                yield Shift(
                    user_id=user.id,
                    begins_at=begin,
                    ends_at=end_,
                    layer=turn.layer,
                    is_override=turn.is_override,
                )
                end = end_


def _uncovered(turns: Sequence[Shift], silent: Sequence[Shift]) -> Iterator[Hole]:
    """Yield when somebody is on call and none of them can be reached."""
    if not silent:
        return
    edges = sorted({at for turn in (*turns, *silent) for at in (turn.begins_at, turn.ends_at)})
    running: Hole | None = None
    for begin, end in pairwise(edges):
        there = {turn.user_id for turn in turns if turn.begins_at <= begin < turn.ends_at}
        mute = {turn.user_id for turn in silent if turn.begins_at <= begin < turn.ends_at}
        if there and there == mute:
            ids = tuple(sorted(there))
            if running and running.ends_at == begin and running.user_ids == ids:
                running = Hole(begins_at=running.begins_at, ends_at=end, user_ids=ids)
                continue
            if running:
                yield running
            running = Hole(begins_at=begin, ends_at=end, user_ids=ids)
    if running:
        yield running
