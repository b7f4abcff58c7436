"""Of what is due: what goes out now, what one message says with what else, and what waits.

Two kinds of company. Pages of *one incident* to one contact method (several rules that came due in
an outage) stand and fall together: one is sent, the others are bundled at once. Pages of *one
service* to a bundled channel go by ``core/throttle.py``; the others stay pending, with jobs of
their own, until the message went out: whatever dies on the way, nobody's page dies with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy import Connection

from tocsin.channels.base import ChannelKind
from tocsin.core.incident import HELP_STEP
from tocsin.core.model import (
    Incident,
    MessageType,
    NotificationState,
    Urgency,
)
from tocsin.core.plans import ContactMethod, Plans
from tocsin.core.throttle import Hold, Lane, Waiting, decide, rests_until, throttle_of
from tocsin.core.triage import is_pageable
from tocsin.store import contacts, incidents, jobs, notifications
from tocsin.store.jobs import Job, Kind
from tocsin.store.notifications import InLane, LaneKey, Notification
from tocsin.work.unreached import give_up

#: Contact method to the service and time of each page that went there.
Sent: TypeAlias = dict[str, list[tuple[str | None, datetime]]]

#: By then whoever holds an incident now is done with it.
_SETTLED = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message that goes out now."""

    job: Job
    one: Notification
    method: ContactMethod
    #: What the same message says too.
    along: tuple[Notification, ...] = ()
    #: Whether those wait for its outcome.
    is_bundle: bool = False


@dataclass(slots=True)
class Dispatched:
    """What becomes of the jobs that were claimed; those in neither part are dropped."""

    going: list[Outgoing] = field(default_factory=list)
    #: Notification to when its job is due again; also of some whose job was not claimed.
    held: dict[str, datetime] = field(default_factory=dict)
    #: Every incident that what goes is about.
    incidents: Mapping[str, Incident] = field(default_factory=dict)


class Dispatcher:
    """Decides for one batch, in a constant number of statements."""

    def __init__(
        self,
        connection: Connection,
        plans: Plans,
        kinds: Mapping[str, ChannelKind],
        lease: timedelta,
        now: datetime,
    ) -> None:
        """Take what it needs; ``lease`` is how long an attempt may be under way."""
        self._connection = connection
        self._plans = plans
        self._kinds = kinds
        self._lease = lease
        self._now = now
        self._methods = {
            method.id: method for user in plans.users.values() for method in user.contact_methods
        }
        self._jobs: dict[str, Job] = {}
        self._found = Dispatched()

    def dispatch(self, claimed: Sequence[Job]) -> Dispatched:
        """Decide.

        1. Read what the jobs are about; drop what is cancelled, give up what has nowhere to go.
        2. Read what waits beside it: of the same incidents, and of the same lanes.
        3. Read the incidents of all of it; pages that nobody needs any more drop out.
        4. Gather what is one message, and let lanes decide whether it goes now.
        """
        self._jobs = {job.subject_id: job for job in claimed}
        loaded = notifications.load(self._connection, list(self._jobs))
        due = [one for one in loaded.values() if self._has_a_way(one)]
        lost = [one for one in loaded.values() if self._is_lost(one)]
        unsettled = give_up(self._connection, self._plans, lost, self._now)
        self._found.held |= dict.fromkeys(unsettled, self._now + _SETTLED)
        pages = [one for one in due if one.type is MessageType.PAGE]
        laned = self._awake([one for one in pages if self._is_bundled(one)])
        alone = [one for one in pages if not self._is_bundled(one)]
        lanes: Mapping[LaneKey, list[InLane]] = {}
        if laned:
            contacts.lock(self._connection, {method_id for method_id, _ in laned})
            lanes = notifications.lanes(self._connection, laned, self._jobs, self._now)
        untried = self._untried(alone)
        about = (one.incident_id for one in (*due, *_all(lanes)) if one.incident_id)
        self._found.incidents = incidents.load(self._connection, about)
        for one in due:
            if one.type is not MessageType.PAGE:
                self._go(one)
        self._go_alone(alone, untried)
        self._go_by_lanes(lanes)
        return self._found

    def _has_a_way(self, one: Notification) -> bool:
        """Nothing but its code goes to a contact method that is not verified."""
        method = self._methods.get(one.contact_method_id)
        if method is None or one.state is not NotificationState.PENDING:
            return False
        return method.is_usable or (one.type is MessageType.VERIFICATION and method.is_enabled)

    def _is_lost(self, one: Notification) -> bool:
        """Whether it is a page that waited for a contact method that takes nothing any more."""
        is_page = one.type is MessageType.PAGE and one.state is NotificationState.PENDING
        return is_page and not self._has_a_way(one)

    def _is_bundled(self, one: Notification) -> bool:
        kind = self._kinds.get(self._methods[one.contact_method_id].channel)
        if kind is None or not kind.is_bundled:
            return False
        # Whom somebody asks for help by name is told at once, and what for.
        return one.service_id is not None and one.step != HELP_STEP

    def _needs_somebody(self, one: Notification) -> bool:
        incident = self._found.incidents.get(one.incident_id or "")
        if incident is None:
            return False
        return incident.is_open if one.step == HELP_STEP else is_pageable(incident.status)

    def _go(
        self, one: Notification, along: Iterable[Notification] = (), *, is_bundle: bool = False
    ) -> None:
        self._found.going.append(
            Outgoing(
                job=self._jobs[one.id],
                one=one,
                method=self._methods[one.contact_method_id],
                along=tuple(along),
                is_bundle=is_bundle,
            )
        )

    # -- of one incident

    def _untried(self, pages: Sequence[Notification]) -> list[Notification]:
        if not pages:
            return []
        return notifications.lock_untried(
            self._connection,
            {one.incident_id for one in pages if one.incident_id},
            {one.contact_method_id for one in pages},
            self._jobs,
            self._now,
        )

    def _go_alone(self, pages: Sequence[Notification], untried: Sequence[Notification]) -> None:
        # What is new was read again, under a lock: if it is not there any more, somebody had it.
        together: dict[tuple[str | None, str], dict[str, Notification]] = defaultdict(dict)
        for one in (*(page for page in pages if page.attempts), *untried):
            if self._needs_somebody(one):
                together[one.incident_id, one.contact_method_id][one.id] = one
        for group in together.values():
            mine = [one for one in group.values() if one.id in self._jobs]
            if mine:
                lead = min(mine, key=lambda one: (not one.attempts, one.due_at, one.id))
                self._go(lead, (one for one in group.values() if one.id != lead.id))

    # -- of one service

    def _awake(self, pages: Sequence[Notification]) -> set[LaneKey]:
        """Hold what only gathers, and return the lanes of which more has to be known.

        In a storm thousands wait in a lane: they are not read again for each few that join them.
        """
        if not pages:
            return set()
        sent = self._sent({one.contact_method_id for one in pages})
        resting: dict[str, datetime] = {}
        for one in pages:
            until = self._rests_until(one, sent)
            if until > self._now and not one.attempts and one.bundled_into_id is None:
                resting[one.id] = until
        awake = {_lane_of(one) for one in pages if one.id not in resting}
        self._found.held |= {one.id: resting[one.id] for one in pages if _lane_of(one) not in awake}
        return awake

    def _rests_until(self, one: Notification, sent: Sent) -> datetime:
        out = [at for service, at in sent[one.contact_method_id] if service == one.service_id]
        throttle = throttle_of(self._methods[one.contact_method_id].channel)
        return rests_until(one.due_at, out, throttle, self._now)

    def _sent(self, method_ids: set[str]) -> Sent:
        longest = max(throttle_of(self._methods[id_].channel).longest for id_ in method_ids)
        return notifications.sent_since(self._connection, method_ids, self._now - longest)

    def _go_by_lanes(self, lanes: Mapping[LaneKey, Sequence[InLane]]) -> None:
        if not lanes:
            return
        sent = self._sent({method_id for method_id, _ in lanes})
        by_urgency = sorted(
            lanes.items(), key=lambda lane: (not any(map(self._is_loud, lane[1])), lane[0])
        )
        for key, pages in by_urgency:
            self._go_by_lane(key, pages, sent)

    def _go_by_lane(
        self,
        key: LaneKey,
        pages: Sequence[InLane],
        sent: Sent,
    ) -> None:
        method_id, service_id = key
        trying = {page.notification.id for page in pages if self._is_under_way(page)}
        others = [
            page
            for page in pages
            if page.notification.id not in trying and page.notification.step != HELP_STEP
        ]
        for page in others:
            if page.notification.bundled_into_id in trying:
                self._found.held[page.notification.id] = self._now + self._lease
        free = {
            page.notification.id: page
            for page in others
            if page.notification.bundled_into_id not in trying
            and self._needs_somebody(page.notification)
        }
        if not free.keys() & self._jobs.keys():
            return
        lane = Lane(
            waiting=[self._waiting(page) for page in free.values()],
            out=[at for service, at in sent[method_id] if service == service_id],
            all_out=[at for _, at in sent[method_id]],
            is_busy=bool(trying)
            or any(page.notification.attempts for id_, page in free.items()
                   if id_ not in self._jobs),
        )  # fmt: skip
        verdict = decide(lane, throttle_of(self._methods[method_id].channel), self._now)
        if isinstance(verdict, Hold):
            mine = free.keys() & self._jobs.keys()
            self._found.held |= dict.fromkeys(mine, verdict.until)
            return
        sent[method_id].append((service_id, self._now))
        along = [free[id_].notification for id_ in verdict.along]
        self._found.held |= {one.id: self._now + self._lease for one in along}
        self._go(free[verdict.lead].notification, along, is_bundle=True)

    def _is_under_way(self, page: InLane) -> bool:
        since = page.trying_since
        return (
            since is not None
            and since > self._now - self._lease
            and page.notification.id not in self._jobs
        )

    def _is_loud(self, page: InLane) -> bool:
        incident = self._found.incidents.get(page.notification.incident_id or "")
        return incident is not None and incident.urgency is Urgency.HIGH and not page.was_told

    def _waiting(self, page: InLane) -> Waiting:
        one = page.notification
        return Waiting(
            id=one.id,
            due_at=one.due_at,
            is_retry=one.attempts > 0,
            is_loud=self._is_loud(page),
            is_held=one.id in self._jobs,
        )


def keep(connection: Connection, found: Dispatched, claimed: Sequence[Job]) -> None:
    """Write down what was decided, but for the attempts themselves."""
    with_others = [one for one in found.going if one.along]
    for is_bundle in (False, True):
        merged = [
            (other.id, one.one.id)
            for one in with_others
            if one.is_bundle is is_bundle
            for other in one.along
        ]
        notifications.merge(connection, merged, is_final=not is_bundle)
    jobs.postpone(connection, [(Kind.NOTIFY, id_, at) for id_, at in found.held.items()])
    kept = found.held.keys() | {one.one.id for one in found.going}
    dropped = [job for job in claimed if job.subject_id not in kept]
    jobs.finish(connection, dropped)
    notifications.cancel(connection, [job.subject_id for job in dropped])


def _lane_of(one: Notification) -> LaneKey:
    return one.contact_method_id, one.service_id or ""


def _all(lanes: Mapping[LaneKey, Sequence[InLane]]) -> Iterable[Notification]:
    return (page.notification for pages in lanes.values() for page in pages)
