"""Watch the schedules: whose time on call begins and ends, and when nobody would be there.

Each schedule has two jobs: one due at its next handoff, one once a day. A third, for all, is due
every half minute and does one cheap query: where the configuration is no longer what this process
saw last, it lets the others be due now. So a handoff is exact, a change is noticed within the
minute, whichever replica comes first, and a process that starts looks at everything once.

What was told is kept in the transaction that tells it: each notice goes out once. After an outage
people hear how things stand, not what they missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from tocsin.core.coverage import AHEAD, REMIND, ahead, coverage, needs_coverage
from tocsin.core.model import (
    MessageType,
)
from tocsin.core.plans import ContactMethod, Plans, Schedule, User
from tocsin.core.retry import MAX_JOB_ATTEMPTS, backoff
from tocsin.core.schedule import next_change, on_call
from tocsin.store import jobs, notifications, watch
from tocsin.store.db import Database
from tocsin.store.jobs import Job, Kind
from tocsin.store.plans import PlansCache
from tocsin.work.batches import batch_or_each

#: How often the configuration is compared with what was seen last.
EVERY = timedelta(seconds=30)

#: How often a schedule is looked at for holes while nothing changes.
_DAILY = timedelta(days=1)

#: What the one job for all is about.
_ALL = "all"

#: The jobs that each schedule has.
_EACH = (Kind.HANDOFF, Kind.COVERAGE)


def arm(connection: Connection, now: datetime) -> None:
    """Let the watch begin, in a database where nobody has yet."""
    if not jobs.exists(connection, Kind.WATCH, _ALL):
        jobs.put(connection, [(Kind.WATCH, _ALL, now)])


class Watchman:
    """Does what is due for schedules."""

    def __init__(self, database: Database, plans: PlansCache) -> None:
        """Take what it needs; nothing was seen yet."""
        self._database = database
        self._plans = plans
        self._seen: int | None = None

    def work(self, kind: Kind, now: datetime, limit: int = 50) -> int:
        """Do jobs of one kind that are due, at most ``limit``; return how many were done.

        A batch that fails is done again job by job; the one that keeps failing is buried.
        """

        def batch(size: int, taken: list[Job]) -> int:
            done, seen = self._database.run(
                lambda connection: self._batch(connection, kind, now, size, taken)
            )
            # Only now is it true: a transaction that failed has let nobody look at anything.
            self._seen = seen
            return done

        return batch_or_each(batch, limit, lambda job, error: self._fail(job, now, error))

    def _batch(
        self, connection: Connection, kind: Kind, now: datetime, limit: int, taken: list[Job]
    ) -> tuple[int, int | None]:
        """Return how many were done, and the revision that was seen."""
        taken[:] = jobs.take(connection, kind, now, limit)
        if not taken:
            return 0, self._seen
        plans = self._plans.current(connection)
        jobs.finish(connection, taken)
        if kind is Kind.WATCH:
            self._look(connection, plans, now)
            return len(taken), plans.revision
        for job in taken:
            if schedule := plans.schedules.get(job.subject_id):
                again_at = _DO[kind](connection, plans, schedule, now)
                jobs.put(connection, [(kind, schedule.id, again_at)])
        return len(taken), self._seen

    def _look(self, connection: Connection, plans: Plans, now: datetime) -> None:
        """Let every schedule be looked at now, if anything at all was changed."""
        jobs.put(connection, [(Kind.WATCH, _ALL, now + EVERY)])
        if plans.revision == self._seen:
            return
        jobs.put(connection, [(kind, id_, now) for id_ in plans.schedules for kind in _EACH])
        gone = set(watch.watched(connection)) - plans.schedules.keys()
        if gone:
            watch.forget(connection, gone)

    def _fail(self, job: Job, now: datetime, error: Exception) -> None:
        def note(connection: Connection) -> None:
            text = f"{type(error).__name__}: {error}"
            if job.kind is not Kind.WATCH and job.failures + 1 >= MAX_JOB_ATTEMPTS:
                jobs.bury(connection, job, now, text)
            else:
                jobs.retry(connection, job, now + backoff(job.failures + 1), text)

        self._database.run(note)


def _hand_off(connection: Connection, plans: Plans, schedule: Schedule, now: datetime) -> datetime:
    """Tell whose time on call begins and ends, as it is now; return when to look again."""
    there = on_call(schedule, now)
    before = watch.load(connection, schedule.id).user_ids
    if set(there) != set(before):
        told = [
            (method, type_, f"on call for {schedule.name}", schedule.id)
            for type_, ids in (
                (MessageType.ON_CALL_ENDS, [id_ for id_ in before if id_ not in there]),
                (MessageType.ON_CALL_BEGINS, [id_ for id_ in there if id_ not in before]),
            )
            for user, method in _reachable(ids, plans)
            if user.handoff_notices
        ]
        notifications.announce(connection, told, now)
        watch.put_on_call(connection, schedule.id, there)
    # One that never changes by itself is looked at again when somebody changes it.
    return next_change(schedule, now) or now + AHEAD


def _cover(connection: Connection, plans: Plans, schedule: Schedule, now: datetime) -> datetime:
    """Tell the schedule's team of the holes ahead, unless they know; return when to look again.

    What was told is compared in the window it was told for: the days that come in sight as time
    goes on are no news until the weekly reminder, what somebody changes is, at once.
    """
    again_at = now + _DAILY
    known = watch.load(connection, schedule.id)
    team = plans.teams.get(schedule.team_id or "")
    found = ahead(schedule, plans.users, now)
    if team is None or not needs_coverage(schedule, plans) or not found.holes:
        if known.told_gaps is not None:
            watch.put_told(connection, schedule.id, None, None)
        return again_at
    if known.told_gaps is not None and known.told_gaps_at is not None:
        told_at = known.told_gaps_at
        same = coverage(schedule, plans.users, told_at, told_at + AHEAD)
        if now < told_at + REMIND and same.digest == known.told_gaps:
            return min(again_at, told_at + REMIND)
    told = [
        (method, MessageType.COVERAGE, f"member of {team.name}", schedule.id)
        for _, method in _reachable(team.member_ids, plans)
    ]
    notifications.announce(connection, told, now)
    watch.put_told(connection, schedule.id, found.digest, now)
    return again_at


def _reachable(ids: Iterable[str], plans: Plans) -> Iterable[tuple[User, ContactMethod]]:
    """Yield people who can be reached, with the contact method they prefer."""
    for id_ in ids:
        user = plans.users.get(id_)
        method = next((m for m in user.contact_methods if m.is_usable), None) if user else None
        if user and method:
            yield user, method


_DO: Mapping[Kind, Callable[[Connection, Plans, Schedule, datetime], datetime]] = {
    Kind.HANDOFF: _hand_off,
    Kind.COVERAGE: _cover,
}

#: The kinds of job that a ``Watchman`` does.
KINDS = (Kind.WATCH, *_EACH)
