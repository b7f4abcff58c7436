"""Whether what is due is done: looked at from outside, and told to whoever can do something.

Nothing here trusts the machinery that it looks at. Steps are looked for in the incidents, not among
the jobs; and what is to be told is sent by whoever found it, not by way of a job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from tocsin.channels.base import Message
from tocsin.core.message import words_of_notice
from tocsin.core.model import MessageType, Role
from tocsin.core.password import Bucket
from tocsin.core.plans import ContactMethod, Plans, User
from tocsin.core.times import whole_seconds
from tocsin.store import accounts, inbox, incidents, jobs
from tocsin.store.db import Database, new_id
from tocsin.store.plans import PlansCache
from tocsin.store.room import Disk

#: What is due for longer is overdue.
OVERDUE = timedelta(seconds=60)

#: A trouble that lasts is told again after so long, by whichever process has it first.
AGAIN = timedelta(hours=1)
_DISK_AGAIN = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that keeps pages from going out, or soon will."""

    #: One word: what it is told under, once in a while.
    name: str
    text: str
    #: Whether pages go out all the same.
    can_page: bool = False
    again: timedelta = AGAIN


def disk_trouble(disk: Disk, *, is_short: bool) -> list[Trouble]:
    """Return what is wrong with a disk; ``is_short``: its ballast was given up."""
    if is_short:
        text = "the disk is full, and no webhook is taken: make room"
        return [Trouble(name="disk", text=text)]
    if disk.is_nearly_full:
        used = 100 - 100 * disk.free // disk.total
        text = f"the disk is {used} % full: make room, or shorten TOCSIN_RETENTION"
        return [Trouble(name="room", text=text, can_page=True, again=_DISK_AGAIN)]
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is overdue."""

    steps: int
    jobs: int
    #: The delivery that waits longest; None if none does.
    waiting: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """One message to one contact method."""

    method: ContactMethod
    message: Message


class Oversight:
    """Looks, and writes what is to be told."""

    def __init__(self, database: Database, plans: PlansCache) -> None:
        """Take what it needs."""
        self._database = database
        self._plans = plans

    def look(self, now: datetime) -> Sight:
        """Count what is overdue."""
        with self._database.read() as connection:
            self._plans.current(connection)
            return Sight(
                steps=incidents.overdue_count(connection, now - OVERDUE),
                jobs=jobs.overdue_count(connection, now - OVERDUE),
                waiting=inbox.longest_waiting(connection),
            )

    def may_tell(self, trouble: Trouble, now: datetime) -> bool:
        """Take the turn to tell it, of all processes: once in a while there is one."""
        bucket = {f"warning:{trouble.name}": Bucket(most=1, every=trouble.again)}
        return self._database.run(lambda connection: accounts.take(connection, bucket, now) is None)

    def write(self, trouble: Trouble, now: datetime) -> list[Warned]:
        """Write it to the fallback, or to every owner where there is none."""
        plans = self._plans.known
        id_ = new_id("wrn", now)
        if plans is None:
            return []
        return [
            Warned(method=method, message=_message(id_, trouble, user, now))
            for user in _told(plans)
            for method in user.contact_methods
            if method.is_usable
        ]


def _told(plans: Plans) -> Sequence[User]:
    fallback = plans.users.get(plans.fallback_user_id or "")
    if fallback is not None:
        return [fallback]
    return [user for user in plans.users.values() if user.role is Role.OWNER]


def _message(id_: str, trouble: Trouble, user: User, now: datetime) -> Message:
    head = "Tocsin needs you" if trouble.can_page else "Tocsin may not be able to page"
    said = words_of_notice(f"{head}: {trouble.text}", "See `tocsin doctor`, or the page Health.")
    document = {
        "type": MessageType.WARNING,
        "timestamp": whole_seconds(now),
        "data": {
            "user": {"email": user.email, "name": user.name},
            "reason": trouble.name,
            "can_page": trouble.can_page,
            "text": said.text.strip(),
        },
    }
    return Message(
        id=id_,
        type=MessageType.WARNING,
        at=now,
        subject=said.subject,
        text=said.text,
        document=msgspec.json.encode(document),
    )
