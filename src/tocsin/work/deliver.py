"""Send what is due: claim, send outside any transaction, record.

At least once: a process that dies between the sending and the record leaves a job that is due again
when its lease ends. The receiver knows the repeat by the message's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from tocsin.channels.base import REGISTRY, ChannelKind, Message
from tocsin.core.model import (
    Incident,
    MessageType,
    NotificationState,
    TimelineKind,
)
from tocsin.core.plans import (
    ContactMethod,
    Plans,
    User,
)
from tocsin.core.reply import Subject
from tocsin.core.retry import Outcome, Report, next_attempt
from tocsin.store import contacts, contexts, incidents, jobs, notifications, people, replies, views
from tocsin.store.contexts import Kept
from tocsin.store.db import Database
from tocsin.store.jobs import Job, Kind
from tocsin.store.notifications import Finished, Notification
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault
from tocsin.work.answer import answer_url
from tocsin.work.compose import Notice, is_notice, notice_message, page_message
from tocsin.work.dispatch import Dispatched, Dispatcher, Outgoing, keep
from tocsin.work.unreached import go_on

#: Twice as long as any attempt may take: nobody takes over one that still runs, and what a dead
#: process left behind is soon somebody else's.
LEASE = timedelta(seconds=20)

#: One attempt, from the first byte to the last.
DEADLINE = timedelta(seconds=10)

#: How long after a message that failed those it said too look for themselves.
_AFTER_THEIR_LEAD = timedelta(seconds=1)

#: When a notice that could not be written is tried again: it must not hold up the pages.
_UNWRITTEN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One attempt about to be made."""

    job: Job
    #: None for a message that is about no incident.
    incident: Incident | None
    user: User
    method: ContactMethod
    attempt: int
    message: Message
    is_first_page: bool
    #: The notifications that wait for its outcome, for the message says them too.
    along: tuple[Notification, ...] = ()
    #: The other incidents that the message is about, each with a notification of it.
    also: tuple[tuple[Incident, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One attempt made."""

    sending: Sending
    report: Report
    at: datetime

    @property
    def again_at(self) -> datetime | None:
        """When it is tried again, or None."""
        return next_attempt(self.report, self.sending.attempt, self.at)

    @property
    def state(self) -> NotificationState:
        """What the notification is now."""
        if self.report.outcome is Outcome.DELIVERED:
            return NotificationState.SENT
        return NotificationState.PENDING if self.again_at else NotificationState.FAILED

    @property
    def state_along(self) -> NotificationState | None:
        """What those are now that the message said too; None: they wait on, each for itself.

        An address that takes nothing takes none of them; one that was given up on after many
        attempts may have room for those that had fewer.
        """
        if self.report.outcome is Outcome.RETRY:
            return None
        is_sent = self.state is NotificationState.SENT
        return NotificationState.BUNDLED if is_sent else self.state


class Outbox:
    """Hands notifications to channels."""

    def __init__(
        self,
        database: Database,
        plans: PlansCache,
        vault: Vault,
        public_url: str,
        kinds: Mapping[str, ChannelKind] = REGISTRY,
    ) -> None:
        """Take what it needs; ``public_url`` is the base of every link."""
        self._database = database
        self._plans = plans
        self._vault = vault
        self._public_url = public_url.rstrip("/")
        self._kinds = kinds

    def begin(self, now: datetime, limit: int) -> list[Sending]:
        """Lease what is due and write down that an attempt begins.

        1. Claim the jobs.
        2. Decide what goes, alone or with others, and what waits; drop what nobody needs.
        3. Build each message from things as they are now.
        4. Record the attempt, before anything leaves.
        """
        return self._database.run(lambda connection: self._begin(connection, now, limit))

    def _begin(self, connection: Connection, now: datetime, limit: int) -> list[Sending]:
        claimed = jobs.claim(connection, Kind.NOTIFY, now, LEASE, limit)
        if not claimed:
            return []
        plans = self._plans.current(connection)
        found = Dispatcher(connection, plans, self._kinds, LEASE, now).dispatch(claimed)
        sendings = self._write(connection, plans, found, now)
        begun = {sending.job.subject_id for sending in sendings}
        found.going = [one for one in found.going if one.one.id in begun]
        keep(connection, found, claimed)
        numbered = [(sending.job.subject_id, sending.attempt) for sending in sendings]
        notifications.begin_attempts(connection, numbered, now)
        return sendings

    def _write(
        self, connection: Connection, plans: Plans, found: Dispatched, now: datetime
    ) -> list[Sending]:
        notices = [one for one in found.going if is_notice(one.one.type)]
        pages = [one for one in found.going if one.one.incident_id in found.incidents]
        leads = {one.one.incident_id: found.incidents[one.one.incident_id or ""] for one in pages}
        shown = {
            view.id: view for view in views.incident_views(connection, plans, list(leads.values()))
        }
        about = {one.one.id: _about(one, found.incidents) for one in pages}
        codes = self._reply_codes(connection, pages, about, now)
        known = (
            contexts.find(connection, [one.id for one in leads.values()])
            if plans.sentry and leads
            else {}
        )
        return [
            *self._write_notices(connection, plans, notices, found, now),
            *(
                self._page(one, about[one.one.id], shown, plans, codes.get(one.one.id), known, now)
                for one in pages
            ),
        ]

    def _page(
        self,
        going: Outgoing,
        about: Mapping[str, Incident],
        shown: Mapping[str, views.IncidentView],
        plans: Plans,
        code: int | None,
        known: Mapping[str, Kept],
        now: datetime,
    ) -> Sending:
        one = going.one
        incident = about[one.id]
        user = plans.users[one.user_id]
        service = plans.services.get(incident.service_id)
        message = page_message(
            one,
            list(about.values()),
            shown[incident.id],
            user,
            service.name if service else "?",
            self._public_url,
            code,
            now,
            answer_url(self._vault, self._public_url, incident, user.id, now),
            known[incident.id].context if incident.id in known else None,
        )
        return Sending(
            job=going.job,
            incident=incident,
            user=user,
            method=going.method,
            attempt=one.attempts + 1,
            is_first_page=one.is_first_page,
            message=message,
            along=going.along if going.is_bundle else (),
            also=tuple((other, id_) for id_, other in about.items() if id_ != one.id),
        )

    def _reply_codes(
        self,
        connection: Connection,
        pages: Sequence[Outgoing],
        about: Mapping[str, Mapping[str, Incident]],
        now: datetime,
    ) -> dict[str, int]:
        """Give each page to a channel that takes replies the number to answer with."""
        wanted = {
            one.one.id: (one.method.id, _subject(list(about[one.one.id].values())))
            for one in pages
            if one.one.type is MessageType.PAGE
            and (kind := self._kinds.get(one.method.channel))
            and kind.takes_replies
        }
        return replies.assign(connection, wanted, now) if wanted else {}

    def _write_notices(
        self,
        connection: Connection,
        plans: Plans,
        notices: Sequence[Outgoing],
        found: Dispatched,
        now: datetime,
    ) -> list[Sending]:
        asked = [one.method.id for one in notices if one.one.type is MessageType.VERIFICATION]
        codes = contacts.codes(connection, self._vault, asked) if asked else {}
        sendings = []
        for going in notices:
            user = plans.users[going.one.user_id]
            notice = Notice(
                one=going.one,
                user=user,
                method=going.method,
                plans=plans,
                base=self._public_url,
                verification=codes.get(going.method.id),
                now=now,
            )
            try:
                message = notice_message(notice)
            except Exception:  # noqa: BLE001 - one that cannot be written must not stop the pages
                found.held[going.one.id] = now + _UNWRITTEN
                continue
            if message is not None:
                sendings.append(
                    Sending(
                        job=going.job,
                        incident=None,
                        user=user,
                        method=going.method,
                        attempt=going.one.attempts + 1,
                        message=message,
                        is_first_page=False,
                    )
                )
        return sendings

    def finish(self, made: Sequence[Sent]) -> None:
        """Write down how attempts went: done, again later, or given up where people see it."""
        self._database.run(lambda connection: self._finish(connection, made))

    def _finish(self, connection: Connection, made: Sequence[Sent]) -> None:
        # Incidents before notifications, as everywhere; and plans as they were, for what is gone
        # only now is not seen by others before all of this is.
        lost = _lost(made)
        held = incidents.lock(connection, lost.values()) if lost else {}
        plans = self._plans.current(connection) if lost else None
        made = _latest(connection, made)
        if not made:
            return
        lost = _lost(made)
        _finish(connection, made)
        if lost and plans is not None:
            gone = {one.sending.method.id for one in made if one.report.outcome is Outcome.GONE}
            go_on(connection, plans, held, lost.keys(), gone, max(one.at for one in made))


def _latest(connection: Connection, made: Sequence[Sent]) -> list[Sent]:
    """Return those after which no other attempt began.

    A process that was frozen past its lease has nothing to say: somebody else took over, and what
    that led to counts.
    """
    numbered = [(sent.sending.job.subject_id, sent.sending.attempt) for sent in made]
    latest = notifications.latest_attempts(connection, numbered)
    return [sent for sent in made if sent.sending.job.subject_id in latest]


def _about(going: Outgoing, known: Mapping[str, Incident]) -> dict[str, Incident]:
    """Return the incidents a message is about, each once, by the notification that says it."""
    first: dict[str, str] = {}
    for one in (going.one, *going.along):
        first.setdefault(one.incident_id or "", one.id)
    return {id_: known[incident_id] for incident_id, id_ in first.items() if incident_id in known}


def _subject(about: Sequence[Incident]) -> Subject:
    if len(about) > 1:
        return Subject(service_id=about[0].service_id)
    return Subject(incident_id=about[0].id)


def _lost(made: Sequence[Sent]) -> dict[str, str]:
    """Return the pages that failed for good, each with its incident."""
    return {
        id_: incident.id
        for sent in made
        if sent.state is NotificationState.FAILED
        and sent.sending.message.type is MessageType.PAGE
        and sent.sending.incident is not None
        for incident, id_ in (
            (sent.sending.incident, sent.sending.job.subject_id),
            # Those that wait on, each for itself, have not failed yet.
            *(sent.sending.also if sent.state_along else ()),
        )
    }


def _finish(connection: Connection, made: Sequence[Sent]) -> None:
    notifications.finish_attempts(
        connection,
        [
            Finished(
                notification_id=sent.sending.job.subject_id,
                number=sent.sending.attempt,
                at=sent.at,
                outcome=sent.report.outcome,
                detail=sent.report.detail,
                state=sent.state,
            )
            for sent in made
        ],
    )
    _finish_along(connection, made)
    for sent in made:
        if sent.again_at is not None:
            jobs.retry(connection, sent.sending.job, sent.again_at, sent.report.detail)
        elif sent.report.outcome is Outcome.GONE:
            people.disable_contact_method(
                connection, sent.sending.method.id, sent.at, sent.report.detail
            )
    jobs.finish(connection, [sent.sending.job for sent in made if sent.again_at is None])
    incidents.add_entries(connection, [row for sent in made for row in _entries(sent)])


def _finish_along(connection: Connection, made: Sequence[Sent]) -> None:
    """Let those that waited share the outcome, or be taken along when it is tried again.

    Should it not be (its own incident was acknowledged), they go by themselves a moment later.
    """
    jobs.postpone(
        connection,
        [
            (Kind.NOTIFY, one.id, sent.again_at + _AFTER_THEIR_LEAD)
            for sent in made
            if sent.again_at is not None
            for one in sent.sending.along
        ],
    )
    ends = [(one.id, state) for sent in made if (state := sent.state_along)
            for one in sent.sending.along]  # fmt: skip
    if ends:
        notifications.settle(connection, ends)
        jobs.take_back(connection, [(Kind.NOTIFY, id_) for id_, _ in ends])


def _entries(sent: Sent) -> list[dict[str, Any]]:
    """Put a page that went out, or never will, on the timeline; of retries only the first."""
    sending, report = sent.sending, sent.report
    if sending.message.type is not MessageType.PAGE or sending.incident is None:
        return []
    others = len(sending.also)
    bundle = f" (bundled with {others} other{'s' if others > 1 else ''})" if others else ""
    whom = f"{sending.user.name} by {sending.method.name}{bundle}"
    if sent.state is NotificationState.SENT:
        kind, text = TimelineKind.PAGED, f"paged {whom}"
    elif sent.state is NotificationState.FAILED:
        kind, text = TimelineKind.PAGE_FAILED, f"could not page {whom}"
    elif sending.attempt == 1:
        kind, text = TimelineKind.PAGE_FAILED, f"will page {whom} again"
    else:
        return []
    # Those that wait on, each for itself, have not failed yet.
    also = sending.also if sent.state_along else ()
    return [
        incidents.entry(
            incident,
            sent.at,
            kind,
            f"{text}: {report.detail}",
            "tocsin",
            {"notification_id": id_, "attempt": sending.attempt},
        )
        for incident, id_ in ((sending.incident, sending.message.id), *also)
    ]
