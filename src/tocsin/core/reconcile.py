"""What Sentry's webhooks lost: Sentry is asked, and what it says is compared with what is here.

Sentry sends each webhook once. So now and then it is asked which issues are unresolved, newest
first, and how those stand that are open here. What differs is fed in as if its webhook had come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from zlib import crc32

from tocsin.core.mirror import Stand, same
from tocsin.core.model import Alert, Verb

#: How often a connection is asked.
EVERY = timedelta(minutes=5)

#: A look begins so long before the last one ended: what was on its way then is seen now.
OVERLAP = timedelta(minutes=10)

#: What happened less long ago may yet be told by its webhook.
ON_ITS_WAY = timedelta(minutes=2)

#: Pages of a list, and issues asked for one by one, at most in one look.
PAGES = 5
CLOSER = 30

#: A whole look, from its first question on; and each of its parts after the top of the list.
DEADLINE = timedelta(minutes=2)
SHARE = DEADLINE / 4

#: The wait after the n-th failure in a row; past the end the last one holds.
AFTER_ERRORS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 10, 30, 60))

#: How long what was lost is counted.
COUNTED_FOR = timedelta(days=7)

#: What is noted with such a delivery, and on the timeline.
FOUND = "found by asking Sentry, webhook missing"


#: The actions of the ``issue`` webhooks that tell of what is unresolved: new, or back.
CREATED = "created"
UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An unresolved issue, as a list tells it."""

    issue_id: str
    substatus: str | None
    first_seen: datetime | None
    last_seen: datetime | None
    #: ``error``, ``outage``, ``db_query`` …; None where Sentry is too old to say.
    category: str | None = None
    #: The slug of its project.
    project: str = ""


#: The category of which Sentry sends ``issue.created``, whatever rules there are.
_TOLD = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What opens an incident here, since when: of what is unknown, nothing else is missed."""

    #: By the action of an ``issue`` webhook. Sentry sends them of every project.
    actions: Mapping[str, datetime]
    #: By the slug of a project: its alert rule tells of a new issue of whatever category.
    rules: Mapping[str, datetime] = field(default_factory=dict)

    def of_new(self, listed: Listed) -> datetime | None:
        """Return since when a webhook tells of an issue when it is new; None if none does."""
        created = self.actions.get(CREATED)
        if created is None or listed.category in (_TOLD, None):
            return created
        rule = self.rules.get(listed.project)
        return None if rule is None else max(created, rule)

    @property
    def of_back(self) -> datetime | None:
        """Since when a webhook tells of what came back; None if none does."""
        return self.actions.get(UNRESOLVED)


def since_when(
    noted: Mapping[str, datetime] | None,
    opening: Collection[str],
    connected_at: datetime,
    now: datetime,
) -> dict[str, datetime]:
    """Return since when each action opens incidents, next to what was noted at the last look.

    One that did not then, or of an integration that was disabled, does from now on: what people
    let pass is not missed afterwards.
    """
    if noted is None:
        return dict.fromkeys(opening, connected_at)
    return {action: noted.get(action, now) for action in sorted(opening)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known here of an issue."""

    last_seen_at: datetime
    #: None while it fires.
    resolved_at: datetime | None
    #: Whether it has an open incident: what is only recorded fires without one.
    is_open: bool
    #: Whether it was Sentry that said so, and not a person here.
    is_sentrys_word: bool = False


class Sifting(StrEnum):
    """What a listed issue is, next to what is known of it."""

    FINE = "fine"
    #: Its first webhook never came.
    LOST = "lost"
    #: It may have come back since: its past tells.
    DOUBTFUL = "doubtful"


#: Substatuses of what came back by itself.
_BACK = frozenset({"regressed", "escalating"})


def sift(listed: Listed, known: Known | None, opening: Opening, now: datetime) -> Sifting:
    """Say whether the webhook of an issue that is unresolved in Sentry may be missing.

    What was there before anything opened incidents counts only once it came back; what was resolved
    here and is only unresolved still, as it was, is not missing.
    """
    if known is not None:
        if known.resolved_at is not None:
            may_be_back = listed.substatus != "new"
        else:
            may_be_back = is_back(listed) and not known.is_open
        return Sifting.DOUBTFUL if may_be_back else Sifting.FINE
    if listed.first_seen is None:
        return Sifting.FINE
    of_new, of_back = opening.of_new(listed), opening.of_back
    if of_new is not None and listed.first_seen >= of_new:
        waits = listed.first_seen > now - ON_ITS_WAY
        return Sifting.FINE if waits else Sifting.LOST
    if of_back is None or listed.last_seen is None or listed.last_seen < of_back:
        return Sifting.FINE
    return Sifting.DOUBTFUL if is_back(listed) else Sifting.FINE


def is_back(listed: Listed) -> bool:
    """Whether an issue says of itself that it came back."""
    return listed.substatus in _BACK


def in_turn(issue_id: str, now: datetime) -> int:
    """Return a place in a row that is another one with every look: everybody has their turn."""
    return crc32(f"{issue_id} {now.isoformat()}".encode())


def came_back(
    stand: Stand, known: Known | None, opening: Opening, now: datetime
) -> datetime | None:
    """Return when an issue came back without our knowing; None if it did not."""
    at = stand.reopened_at
    if stand.status != "unresolved" or at is None or at > now - ON_ITS_WAY:
        return None
    if known is None or known.resolved_at is None:
        # What was only recorded has no incident; that it was over in between was lost too.
        is_open, of_back = known is not None and known.is_open, opening.of_back
        return None if is_open or of_back is None or at < of_back else at
    # Where Sentry said that it was over, Sentry says now that it is not, whichever came first.
    return at if known.is_sentrys_word or at > known.resolved_at else None


def is_overtaken(verb: Verb, alert: Alert | None, asked_at: datetime, *, is_open: bool) -> bool:
    """Whether what Sentry was asked for at a time is older than what has come in since.

    ``is_open`` is whether the alert has an open incident.
    """
    if alert is None:
        return False
    if verb is Verb.TRIGGER:
        return alert.resolved_at is None and is_open
    return alert.resolved_at is not None or alert.last_seen_at >= asked_at


class Ending(StrEnum):
    """How an issue came to be over, in the words of Sentry's webhooks."""

    RESOLVED = "resolved"
    ARCHIVED = "ignored"
    DELETED = "deleted"


_DELETING = frozenset({"pending_deletion", "deletion_in_progress", "pending_deletion_in_progress"})


def ended(stand: Stand | None, by_us: Collection[datetime], now: datetime) -> Ending | None:
    """Say how an issue that is open here has ended in Sentry; None if it goes on.

    ``stand`` is None for one that is not there; ``by_us`` has until when we archived it ourselves.
    """
    if stand is None or stand.status in _DELETING:
        return Ending.DELETED
    if stand.status == "resolved":
        return Ending.RESOLVED
    if stand.status != "ignored":
        return None
    until = stand.ignored_until
    if until is not None and (until <= now or any(same(until, one) for one in by_us)):
        return None
    return Ending.ARCHIVED
