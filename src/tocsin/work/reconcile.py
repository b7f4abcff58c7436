"""Ask Sentry what its webhooks did not tell, and feed it in as if they had.

What is found becomes a delivery: dialect, routes, log and replay are those of webhooks. Its key
says what was found and next to what, so that asking twice finds it once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from tocsin.core.dialect import Dialect, identify, read
from tocsin.core.mirror import issue_of
from tocsin.core.model import DeliveryStatus, Verb
from tocsin.core.plans import Integration
from tocsin.core.reconcile import (
    AFTER_ERRORS,
    CREATED,
    EVERY,
    FOUND,
    OVERLAP,
    UNRESOLVED,
    Ending,
    Known,
    Opening,
    ended,
    since_when,
)
from tocsin.core.retry import MAX_RETRY_AFTER
from tocsin.sentry.client import Place
from tocsin.sentry.looking import Look, Missed, Over, Seen
from tocsin.sentry.place import leads_to
from tocsin.store import inbox, jobs, missing, sentry, sentrytasks
from tocsin.store.db import Database, new_id
from tocsin.store.inbox import Arrival
from tocsin.store.jobs import Job, Kind
from tocsin.store.missing import STYLE, Remembered
from tocsin.store.plans import PlansCache
from tocsin.store.sentry import SentryConnection
from tocsin.store.vault import Vault, WrongKeys
from tocsin.work.intake import dialect_for
from tocsin.work.mirror import place_of, wait_for_keys

#: Looks at a time, and how long each is nobody else's: more than it may take.
AT_ONCE = 10
LEASE = timedelta(minutes=5)

_SENTRY = {"type": "application", "id": "sentry", "name": "Sentry"}

#: As Sentry would have named it.
_RESOURCE = "issue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A connection to be asked now."""

    job: Job
    connection_id: str
    integration: Integration
    installation_id: str | None
    place: Place
    look: Look


class Reconciler:
    """Knows whom to ask, and what is new in the answers."""

    def __init__(
        self, database: Database, plans: PlansCache, vault: Vault, dialects: Mapping[str, Dialect]
    ) -> None:
        """Take what it needs."""
        self._database = database
        self._plans = plans
        self._vault = vault
        self._dialects = dialects

    def begin(self, now: datetime) -> list[Question]:
        """Lease the connections that are due; drop the jobs of those that are gone."""
        return self._database.run(lambda connection: self._begin(connection, now))

    def _begin(self, connection: Connection, now: datetime) -> list[Question]:
        questions = []
        for job in jobs.claim(connection, Kind.RECONCILE, now, LEASE, AT_ONCE):
            try:
                there = sentry.find(connection, self._vault, job.subject_id)
            except WrongKeys:
                wait_for_keys(connection, job, now)
                continue
            if there is None:
                jobs.finish(connection, [job])
                continue
            integration = self._plans.current(connection).integrations[there.integration_id]
            opening = self._opening(integration) if integration.is_enabled else ()
            since = since_when(there.opening, opening, there.created_at, now)
            if since != there.opening:
                sentry.note_opening(connection, there.id, since)
            if not integration.is_enabled:
                jobs.put(connection, [(Kind.RECONCILE, job.subject_id, now + EVERY)])
                continue
            questions.append(self._question(connection, job, there, integration, since, now))
        return questions

    def _question(
        self,
        connection: Connection,
        job: Job,
        there: SentryConnection,
        integration: Integration,
        opening: Mapping[str, datetime],
        now: datetime,
    ) -> Question:
        since = there.seen_until or there.created_at
        return Question(
            job=job,
            connection_id=there.id,
            integration=integration,
            installation_id=there.installation_id,
            place=place_of(there),
            look=Look(
                opening=Opening(
                    actions=opening,
                    rules={one.project: one.since or there.created_at for one in there.rules},
                ),
                open_issues=dict(self._open_issues(connection, there, integration)),
                since=since - OVERLAP,
                cursor=there.cursor,
                began_at=now,
                failures=job.failures,
            ),
        )

    def _open_issues(
        self, connection: Connection, there: SentryConnection, integration: Integration
    ) -> Iterator[tuple[str, bool]]:
        """Yield the issues that are open here, and whether each was surely in this organisation.

        Those of another one, that the integration was connected with or hears too, are left out.
        """
        place = place_of(there)
        for alert in missing.open_alerts(connection, integration.id):
            issue, is_there = issue_of(alert.dedup_key), leads_to(place, alert.link)
            if issue and is_there is not False and self._key(integration, issue) == alert.dedup_key:
                yield issue, is_there or alert.first_seen_at >= there.created_at

    def _key(self, integration: Integration, issue_id: str) -> str:
        """Return the dedup key that a webhook about an issue would have had."""
        dialect = self._dialects[dialect_for(integration, STYLE)]
        reading = identify(dialect, _hook(CREATED, issue_id), _RESOURCE)
        return (reading.dedup_key if reading else None) or ""

    def _opening(self, integration: Integration) -> Collection[str]:
        """Return with which actions an ``issue`` webhook opens an incident of an integration.

        Sentry sends those of every project, whatever rules it has.
        """
        dialect = self._dialects[dialect_for(integration, STYLE)]
        told = {
            action: read(dialect, _hook(action, "1"), _RESOURCE, integration)
            for action in (CREATED, UNRESOLVED)
        }
        return frozenset(
            action for action, signal in told.items() if signal and signal.verb is Verb.TRIGGER
        )

    def recall(self, question: Question, issue_ids: Sequence[str]) -> Mapping[str, Known]:
        """Return what is known here of issues."""
        keys = {self._key(question.integration, id_): id_ for id_ in issue_ids}
        with self._database.read() as connection:
            found = missing.recall(connection, question.integration.id, keys)
        return {keys[key]: one.known for key, one in found.items()}

    def finish(self, question: Question, seen: Seen, now: datetime) -> None:
        """Feed in what was found, note how the look went, and say when to look again."""
        self._database.run(lambda connection: self._finish(connection, question, seen, now))

    def _finish(
        self, connection: Connection, question: Question, seen: Seen, now: datetime
    ) -> None:
        inbox.put(connection, list(self._arrivals(connection, question, seen, now)))
        self._note_last_seen(connection, question, seen)
        job, id_ = question.job, question.connection_id
        seen_until = question.look.began_at if seen.is_caught_up else None
        sentry.note_reached(connection, id_, seen_until, seen.cursor)
        if seen.error is not None:
            wait = AFTER_ERRORS[min(job.failures, len(AFTER_ERRORS) - 1)]
            asked = min(seen.retry_after or timedelta(), MAX_RETRY_AFTER)
            sentry.note_error(connection, id_, seen.error, now)
            jobs.retry(connection, job, now + max(wait, asked), seen.error)
            return
        sentry.note_look(connection, id_, now)
        # A job that lost its lease to another is that one's to put.
        if jobs.finish(connection, [job]):
            jobs.put(connection, [(Kind.RECONCILE, id_, now + EVERY)])

    def _note_last_seen(self, connection: Connection, question: Question, seen: Seen) -> None:
        """Keep when Sentry last saw what is open here, if any service goes by that."""
        services = self._plans.current(connection).services.values()
        if not any(service.noise.quiet_after for service in services):
            return
        integration = question.integration
        last_seen = {self._key(integration, id_): at for id_, at in seen.last_seen.items()}
        missing.note_last_seen(connection, integration.id, last_seen)

    def _arrivals(
        self, connection: Connection, question: Question, seen: Seen, now: datetime
    ) -> Iterator[Arrival]:
        integration = question.integration
        issues = {one.issue_id for one in seen.missed} | {one.issue_id for one in seen.over}
        keys = {id_: self._key(integration, id_) for id_ in issues}
        known = missing.recall(connection, integration.id, keys.values())
        by_us = sentrytasks.archived_by_us(connection, question.connection_id, issues)
        for one in seen.missed:
            key = keys[one.issue_id]
            found = _missed(one, known.get(key))
            if found is not None:
                yield self._arrival(question, key, found, now)
        for over in seen.over:
            key = keys[over.issue_id]
            began_at, here = question.look.began_at, known.get(key)
            ending = ended(over.stand, by_us.get(over.issue_id, ()), began_at)
            # What came in since is newer: the next look says what became of it.
            if ending is not None and here is not None and here.known.last_seen_at < began_at:
                yield self._arrival(question, key, _over(over, ending, here), now)

    def _arrival(self, question: Question, key: str, found: _Found, now: datetime) -> Arrival:
        body: dict[str, Any] = {
            "action": found.action,
            "installation": {"uuid": question.installation_id},
            "data": {"issue": msgspec.Raw(found.issue)},
            "actor": _SENTRY,
        }
        return Arrival(
            id=new_id("del", now),
            integration_id=question.integration.id,
            # What came in since is newer than what Sentry was asked for.
            received_at=question.look.began_at,
            url_style=STYLE,
            resource=_RESOURCE,
            status=DeliveryStatus.ACCEPTED,
            http_status=202,
            reason=FOUND,
            dedup_key=key,
            headers=msgspec.json.encode([["Sentry-Hook-Resource", _RESOURCE]]).decode(),
            body=msgspec.json.encode(body),
            key=f"{STYLE}:{found.issue_id}:{found.action}:{found.marks}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What differs: as a webhook would have told it, and next to what."""

    issue_id: str
    action: str
    #: The issue in JSON.
    issue: bytes
    marks: str


def _hook(action: str, issue_id: str) -> dict[str, Any]:
    """Return the least that a webhook about an issue says."""
    return {"action": action, "data": {"issue": {"id": issue_id}}}


def _missed(one: Missed, here: Remembered | None) -> _Found | None:
    resolved_at = here.known.resolved_at if here else None
    is_open = here is not None and resolved_at is None and here.known.is_open
    if is_open or (here is not None and one.action == CREATED):
        # It came while we asked.
        return None
    marks = f"{one.at.isoformat()}:{resolved_at.isoformat() if resolved_at else ''}"
    return _Found(issue_id=one.issue_id, action=one.action, issue=one.raw, marks=marks)


def _over(over: Over, ending: Ending, here: Remembered) -> _Found:
    why = f"merged into {over.merged_into}" if over.merged_into else Ending.DELETED.value
    gone = {"id": over.issue_id, "title": here.title, "substatus": why}
    is_gone = ending is Ending.DELETED or over.raw is None
    return _Found(
        issue_id=over.issue_id,
        action=(Ending.RESOLVED if is_gone else ending).value,
        issue=msgspec.json.encode(gone) if is_gone else over.raw or b"",
        marks=here.known.last_seen_at.isoformat(),
    )


def arm(connection: Connection, now: datetime, *, at_once: bool = False) -> None:
    """Let every connection be asked that nobody is about to ask; ``at_once`` all of them now."""
    wanted = [
        id_
        for id_ in sentry.living_ids(connection)
        if at_once or not jobs.exists(connection, Kind.RECONCILE, id_)
    ]
    jobs.put(connection, [(Kind.RECONCILE, id_, now) for id_ in wanted])
