"""Send what is due: claim, send outside any transaction, record.

At least once: a process that dies between the sending and the record leaves a job that is due again
when its lease ends. The receiver knows the repeat by the message's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from tocsin.channels.base import Message
from tocsin.core.message import words
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
from tocsin.core.retry import Outcome, Report, next_attempt
from tocsin.core.times import whole_seconds
from tocsin.core.triage import is_pageable
from tocsin.store import incidents, jobs, notifications, people, views
from tocsin.store.db import Database
from tocsin.store.jobs import Job, Kind
from tocsin.store.notifications import Finished, Notification
from tocsin.store.plans import PlansCache

#: Twice as long as any attempt may take: nobody takes over one that still runs, and what a dead
#: process left behind is soon somebody else's.
LEASE = timedelta(seconds=20)

#: One attempt, from the first byte to the last.
DEADLINE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One attempt about to be made."""

    job: Job
    incident: Incident
    user: User
    method: ContactMethod
    attempt: int
    message: Message
    is_first_page: bool


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


class Outbox:
    """Hands notifications to channels."""

    def __init__(self, database: Database, plans: PlansCache, public_url: str) -> None:
        """Take what it needs; ``public_url`` is the base of every link."""
        self._database = database
        self._plans = plans
        self._public_url = public_url.rstrip("/")

    def begin(self, now: datetime, limit: int) -> list[Sending]:
        """Lease what is due and write down that an attempt begins.

        1. Claim the jobs.
        2. Drop those whose notification is cancelled, or whose page nobody needs any more.
        3. Build each message from the incident as it is now.
        4. Record the attempt, before anything leaves.
        """
        return self._database.run(lambda connection: self._begin(connection, now, limit))

    def _begin(self, connection: Connection, now: datetime, limit: int) -> list[Sending]:
        claimed = jobs.claim(connection, Kind.NOTIFY, now, LEASE, limit)
        if not claimed:
            return []
        plans = self._plans.current(connection)
        waiting = notifications.load(connection, [job.subject_id for job in claimed])
        about = incidents.load(connection, (one.incident_id for one in waiting.values()))
        shown = {
            view.id: view for view in views.incident_views(connection, plans, list(about.values()))
        }
        sendings = [
            sending
            for job in claimed
            if (one := waiting.get(job.subject_id))
            and (sending := self._sending(job, one, about[one.incident_id], shown, plans, now))
        ]
        kept = {sending.job.key for sending in sendings}
        dropped = [job for job in claimed if job.key not in kept]
        jobs.finish(connection, dropped)
        notifications.cancel(connection, [job.subject_id for job in dropped])
        numbered = [(sending.job.subject_id, sending.attempt) for sending in sendings]
        notifications.begin_attempts(connection, numbered, now)
        return sendings

    def _sending(
        self,
        job: Job,
        one: Notification,
        incident: Incident,
        shown: Mapping[str, views.IncidentView],
        plans: Plans,
        now: datetime,
    ) -> Sending | None:
        if one.state is not NotificationState.PENDING:
            return None
        if one.type is MessageType.PAGE and not is_pageable(incident.status):
            return None
        user = plans.users.get(one.user_id)
        methods = user.contact_methods if user else ()
        method = next((m for m in methods if m.id == one.contact_method_id), None)
        if user is None or method is None or not method.is_usable:
            return None
        service = plans.services.get(incident.service_id)
        url = f"{self._public_url}/incidents/{incident.number}"
        said = words(one.type, incident, service.name if service else "?", one.reason, url)
        return Sending(
            job=job,
            incident=incident,
            user=user,
            method=method,
            attempt=one.attempts + 1,
            is_first_page=one.is_first_page,
            message=Message(
                id=one.id,
                type=one.type,
                at=now,
                subject=said.subject,
                text=said.text,
                document=_document(one, shown[incident.id], user, url),
            ),
        )

    def finish(self, made: Sequence[Sent]) -> None:
        """Write down how attempts went: done, again later, or given up where people see it."""
        self._database.run(lambda connection: _finish(connection, made))


def _document(one: Notification, incident: views.IncidentView, user: User, url: str) -> bytes:
    return msgspec.json.encode({
        "type": one.type,
        "timestamp": whole_seconds(one.created_at),
        "data": {
            "incident": incident,
            "user": {"email": user.email, "name": user.name},
            "reason": one.reason,
            "count": 1,
            "acknowledge_url": url,
        },
    })  # fmt: skip


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
    for sent in made:
        if sent.again_at is not None:
            jobs.retry(connection, sent.sending.job, sent.again_at, sent.report.detail)
        elif sent.report.outcome is Outcome.GONE:
            people.disable_contact_method(
                connection, sent.sending.method.id, sent.at, sent.report.detail
            )
    jobs.finish(connection, [sent.sending.job for sent in made if sent.again_at is None])
    incidents.add_entries(connection, [row for sent in made if (row := _entry(sent))])


def _entry(sent: Sent) -> dict[str, Any] | None:
    """Put a page that went out, or never will, on the timeline; of retries only the first."""
    sending, report = sent.sending, sent.report
    if sending.message.type is not MessageType.PAGE:
        return None
    whom = f"{sending.user.name} by {sending.method.name}"
    data = {"notification_id": sending.message.id, "attempt": sending.attempt}
    if sent.state is NotificationState.SENT:
        kind, text = TimelineKind.PAGED, f"paged {whom}: {report.detail}"
    elif sent.state is NotificationState.FAILED:
        kind, text = TimelineKind.PAGE_FAILED, f"could not page {whom}: {report.detail}"
    elif sending.attempt == 1:
        kind, text = TimelineKind.PAGE_FAILED, f"will page {whom} again: {report.detail}"
    else:
        return None
    return incidents.entry(sending.incident, sent.at, kind, text, "tocsin", data)
