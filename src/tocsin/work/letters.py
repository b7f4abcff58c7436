"""Mail one-time links: claim, send outside any transaction, record. At least once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection

from tocsin.channels.base import Message
from tocsin.core.message import Words, words_of_invitation, words_of_reset
from tocsin.core.model import MessageType
from tocsin.core.plans import User
from tocsin.core.retry import Report, next_attempt
from tocsin.core.session import LINK_PATH, LinkKind
from tocsin.core.times import whole_seconds
from tocsin.store import accounts, jobs
from tocsin.store.accounts import Letter
from tocsin.store.db import Database
from tocsin.store.jobs import Job, Kind
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault

_LEASE = timedelta(seconds=20)
_AT_ONCE = 20

_TYPES = {
    LinkKind.INVITATION: MessageType.INVITATION,
    LinkKind.RESET: MessageType.RESET,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One mail about to be sent."""

    job: Job
    link_id: str
    address: str
    message: Message


@dataclass(frozen=True, slots=True)
class Postman:
    """Hands links to the e-mail channel."""

    database: Database
    plans: PlansCache
    vault: Vault
    #: Base of every link.
    public_url: str

    def begin(self, now: datetime) -> list[Posting]:
        """Lease what is due, and write it; what is used or over by now is dropped."""

        def work(connection: Connection) -> list[Posting]:
            claimed = jobs.claim(connection, Kind.MAIL, now, _LEASE, _AT_ONCE)
            if not claimed:
                return []
            users = self.plans.current(connection).users
            ids = [job.subject_id for job in claimed]
            found = accounts.letters(connection, self.vault, ids, now)
            going = [
                self._posting(job, letter, user, now)
                for job in claimed
                if (letter := found.get(job.subject_id)) and (user := users.get(letter.user_id))
            ]
            kept = {posting.link_id for posting in going}
            jobs.finish(connection, [job for job in claimed if job.subject_id not in kept])
            return going

        return self.database.run(work)

    def _posting(self, job: Job, letter: Letter, user: User, now: datetime) -> Posting:
        said = self._words(letter, user)
        document = {
            "type": _TYPES[letter.kind],
            "timestamp": whole_seconds(letter.created_at),
            "data": {"user": {"email": user.email, "name": user.name}},
        }
        return Posting(
            job=job,
            link_id=letter.id,
            address=user.email,
            message=Message(
                id=letter.id,
                type=_TYPES[letter.kind],
                at=now,
                subject=said.subject,
                text=said.text,
                document=msgspec.json.encode(document),
            ),
        )

    def _words(self, letter: Letter, user: User) -> Words:
        url = f"{self.public_url.rstrip('/')}{LINK_PATH[letter.kind]}{letter.key}"
        local = letter.expires_at.astimezone(ZoneInfo(user.time_zone))
        until = f"{local:%a %d %b %H:%M} ({user.time_zone})"
        write = words_of_invitation if letter.kind is LinkKind.INVITATION else words_of_reset
        return write(user.name, url, until)

    def finish(self, made: Sequence[tuple[Posting, Report]], now: datetime) -> None:
        """Write down how it went: out, or again later, or given up where people see it."""

        def work(connection: Connection) -> None:
            for posting, report in made:
                again_at = next_attempt(report, posting.job.failures + 1, now)
                if again_at is not None:
                    jobs.retry(connection, posting.job, again_at, report.detail)
                    continue
                jobs.finish(connection, [posting.job])
                accounts.mailed(connection, posting.link_id)

        if made:
            self.database.run(work)
