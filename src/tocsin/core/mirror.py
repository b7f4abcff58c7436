"""What is done in Sentry for what happens here: when, whether it still holds, and what comes back.

A *task* is one thing to be done about one issue. What a person does in Sentry wins over a task that
was made before: whoever does a task looks at the issue first, and asks ``decide``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

from tocsin.core import effects as fx
from tocsin.core.body import Body
from tocsin.core.context import Context
from tocsin.core.model import TOCSIN, Actor, Incident, IncidentStatus
from tocsin.core.place import as_text
from tocsin.core.plans import User
from tocsin.core.sentry import Switches
from tocsin.core.text import clean


class Act(StrEnum):
    """What a task does, in the order in which the tasks of one connection are done."""

    ASSIGN = "assign"
    RESOLVE = "resolve"
    ARCHIVE = "archive"
    NOTE = "note"
    LINK = "link"
    #: Read the latest event, for people here; it changes nothing in Sentry.
    CONTEXT = "context"


#: Those that change the issue itself: of two that do, the later one counts.
CHANGES = frozenset({Act.ASSIGN, Act.RESOLVE, Act.ARCHIVE})

#: What each is called in a sentence: "could not be …".
SAID: Mapping[Act, str] = {
    Act.ASSIGN: "assigned",
    Act.RESOLVE: "resolved",
    Act.ARCHIVE: "archived",
    Act.NOTE: "noted",
    Act.LINK: "linked",
    Act.CONTEXT: "looked into",
}


class TaskState(StrEnum):
    """How far a task has come."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    #: It was not done, for it no longer held.
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Something to be done in Sentry about every issue of an incident."""

    act: Act
    #: Which switch has to be on: the name of a field or property of ``Switches``; none for what is
    #: always done.
    switch: str = ""
    #: What it takes: texts by name.
    payload: Mapping[str, str] = field(default_factory=dict)

    def is_on(self, switches: Switches) -> bool:
        """Whether it is to be done over a connection."""
        return not self.switch or bool(getattr(switches, self.switch))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to be done in Sentry about one issue."""

    id: str
    connection_id: str
    service_id: str
    incident_id: str
    issue_id: str
    act: Act
    payload: Mapping[str, str]
    #: How often it was begun before.
    attempts: int
    created_at: datetime
    #: Whether a try was begun before, also one of which nobody knows how it ended.
    was_begun: bool = False


# -- what a person's act becomes ------------------------------------------------------------------

#: Dedup keys that name an issue, in every dialect; a metric alert or a lone event is none.
_ISSUE = re.compile(r"sentry(?::issue:|-)([0-9]{1,20})")

#: The longest note that Sentry is given.
_NOTE = 4000


def issue_of(dedup_key: str) -> str | None:
    """Return the Sentry issue that an alert is about; None if it is about something else."""
    found = _ISSUE.fullmatch(dedup_key)
    return found[1] if found else None


def is_persons(by: Actor) -> bool:
    """Whether a person did it here, or a program in the name of people: not a source, nor we."""
    return by is not TOCSIN and not by.is_source


def asks(effect: fx.Said, incident: Incident, user: User | None) -> tuple[Ask, ...]:
    """Return what an effect asks to be done in Sentry; ``user`` is the person who did it.

    Only what people do is done there: what a source says, or the clock, is not.
    """
    write = _ASKS.get(type(effect))
    if write is None or not is_persons(effect.by):
        return ()
    return write(effect, incident, user, user.name if user else effect.by.name)


def _acknowledged(
    _effect: fx.Acknowledge, incident: Incident, user: User | None, who: str
) -> tuple[Ask, ...]:
    said = _note("notes_acknowledgement", f"{who} acknowledged {_named(incident)}")
    if user is None:
        return (said,)
    payload = {"email": user.email, "user_id": user.id}
    return (Ask(act=Act.ASSIGN, switch="assigns", payload=payload), said)


def _resolved(
    _effect: fx.Resolve, _incident: Incident, _user: User | None, _who: str
) -> tuple[Ask, ...]:
    return (Ask(act=Act.RESOLVE, switch="resolve"),)


def _snoozed(
    effect: fx.Snooze, _incident: Incident, _user: User | None, _who: str
) -> tuple[Ask, ...]:
    return (Ask(act=Act.ARCHIVE, switch="snooze", payload={"until": effect.until.isoformat()}),)


def _noted(effect: fx.Note, incident: Incident, _user: User | None, who: str) -> tuple[Ask, ...]:
    return (_note("note", f"{who} on {_named(incident)}: {effect.text}"),) * effect.is_written


_ASKS: Mapping[type, Callable[..., tuple[Ask, ...]]] = {
    fx.Acknowledge: _acknowledged,
    fx.Resolve: _resolved,
    fx.Snooze: _snoozed,
    fx.Note: _noted,
}


def _named(incident: Incident) -> str:
    return f"incident #{incident.number} in Tocsin"


def _note(switch: str, text: str) -> Ask:
    return Ask(act=Act.NOTE, switch=switch, payload={"text": clean(text, _NOTE)})


#: What is done for every incident, once.
LOOKS = (Ask(act=Act.LINK, switch="link"), Ask(act=Act.CONTEXT))


def begins(effect: fx.Effect, before: Incident) -> bool:
    """Whether an incident is to be looked into now: its first pages are written, or none will be.

    Never sooner: what is asked with this effect is saved in the transaction that saves the pages.
    """
    if isinstance(effect, fx.TakeStep):
        return before.escalation.step == 0
    return isinstance(effect, fx.EndEscalation | fx.Suppress)


def looked_into(incident: Incident) -> tuple[Ask, ...]:
    """Return what is asked for an incident when it begins."""
    return LOOKS if issue_of(incident.dedup_key) else ()


# -- whether it still holds -----------------------------------------------------------------------


def superseded(task: Task, incident: Incident | None, now: datetime, *, fires: bool) -> str | None:
    """Say why a task no longer holds here, whatever Sentry says; None if it does.

    ``fires`` is whether the alert of its issue fires now.
    """
    if incident is None:
        return "its incident is gone"
    if task.act is Act.RESOLVE and fires:
        return "it fires again"
    if task.act is Act.ASSIGN and (
        not incident.is_open or incident.acknowledged_by_id != task.payload.get("user_id")
    ):
        return "somebody else has it, or nobody"
    if task.act is Act.ARCHIVE:
        until = until_of(task)
        is_so = incident.status is IncidentStatus.SNOOZED and incident.snoozed_until == until
        if not is_so or until is None or until <= now:
            return "it is not snoozed so any more"
    return None


def until_of(task: Task) -> datetime | None:
    """Return until when a task archives."""
    text = task.payload.get("until")
    return datetime.fromisoformat(text) if text else None


def minutes_until(until: datetime, now: datetime) -> int:
    """Return for how many minutes to archive: never shorter than until then."""
    return max(1, ceil((until - now) / timedelta(minutes=1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A change of an issue in Sentry."""

    at: datetime
    #: Who, for people; empty where Sentry does not say.
    by: str
    #: Whether it was a person, and no application.
    is_persons: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How an issue stands in Sentry."""

    #: ``unresolved``, ``resolved``, ``ignored``, or what Sentry calls an issue that is going.
    status: str
    ignored_until: datetime | None = None
    #: The e-mail address and name of whom it is assigned to; empty for nobody.
    assignee: str = ""
    assignee_name: str = ""
    #: The last change of its status, and of whom it is assigned to, as far as Sentry tells.
    turned: Turned | None = None
    assigned: Turned | None = None
    #: When it last came to be unresolved, having been something else.
    reopened_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What the tasks done before left of an issue: found so, nobody has changed it since."""

    status: str | None = None
    until: datetime | None = None
    assignee: str = ""
    #: When the last task left it so: its status, and whom it is assigned to.
    left_at: datetime | None = None
    assigned_at: datetime | None = None


def left_by(act: Act, payload: Mapping[str, str], before: Ours, at: datetime | None) -> Ours:
    """Return what one more task, done at a time, leaves of an issue."""
    if act is Act.ASSIGN:
        return replace(before, assignee=payload.get("email", ""), assigned_at=at)
    until = payload.get("until")
    return replace(
        before,
        status=LEAVES[act],
        until=datetime.fromisoformat(until) if until else None,
        left_at=at,
    )


class Verdict(StrEnum):
    """What to do with a task, now that it is known how the issue stands."""

    DO = "do"
    #: It is so already.
    ALREADY = "already"
    #: Somebody has changed it in Sentry: they win.
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict, and why."""

    verdict: Verdict
    why: str = ""


#: What an issue's status is called on a timeline.
_STATUS = {"ignored": "archived", "resolved": "resolved", "unresolved": "unresolved"}

#: The status that a task leaves.
LEAVES: Mapping[Act, str] = {Act.RESOLVE: "resolved", Act.ARCHIVE: "ignored"}


#: So far Sentry's clock may be ahead of ours.
_SKEW = timedelta(minutes=1)


def _is_newer(turned: Turned | None, left_at: datetime | None, *, has_name: bool) -> bool:
    """Whether Sentry tells of a change that is none of ours, though it left the same."""
    if turned is None:
        return False
    is_later = left_at is not None and turned.at > left_at + _SKEW
    return is_later or (has_name and turned.is_persons)


def decide(task: Task, stand: Stand, ours: Ours, *, has_name: bool = False) -> Ruling:
    """Decide whether a task is still to be done: whatever a person did in Sentry since, wins.

    ``has_name`` is whether we act there as the application, so that what a person did is not ours.
    """
    if task.act not in CHANGES:
        return Ruling(Verdict.DO)
    if stand.status not in _STATUS:
        return Ruling(Verdict.DROP, f"in Sentry it is {stand.status.replace('_', ' ')}")
    if task.act is Act.ASSIGN:
        return _assign(task, stand, ours, has_name=has_name)
    if stand.status == LEAVES[task.act] and same(stand.ignored_until, until_of(task)):
        return Ruling(Verdict.ALREADY)
    is_ours = (
        ours.status == stand.status
        and same(stand.ignored_until, ours.until)
        and not _is_newer(stand.turned, ours.left_at, has_name=has_name)
    )
    if stand.status == "unresolved":
        is_theirs = stand.turned is not None and stand.turned.at > task.created_at
    else:
        is_theirs = not is_ours
    if not is_theirs:
        return Ruling(Verdict.DO)
    by = f" by {stand.turned.by}" if stand.turned and stand.turned.by else ""
    return Ruling(Verdict.DROP, f"in Sentry it was set to {_STATUS[stand.status]}{by}")


def _assign(task: Task, stand: Stand, ours: Ours, *, has_name: bool) -> Ruling:
    wanted = task.payload.get("email", "")
    if stand.assignee and stand.assignee.lower() == wanted.lower():
        return Ruling(Verdict.ALREADY)
    # We assign to people alone: nobody, or a team that has no address, is never our doing.
    is_ours = (
        ours.assignee != ""
        and stand.assignee.lower() == ours.assignee.lower()
        and not _is_newer(stand.assigned, ours.assigned_at, has_name=has_name)
    )
    if stand.assigned is None or stand.assigned.at <= task.created_at or is_ours:
        return Ruling(Verdict.DO)
    whom = f"assigned to {stand.assignee_name}" if stand.assignee_name else "unassigned"
    return Ruling(Verdict.DROP, f"in Sentry it was {whom} since")


#: Sentry archives for a number of whole minutes.
_BLUR = timedelta(minutes=2)


def same(one: datetime | None, other: datetime | None) -> bool:
    """Whether two instants are the same, as far as Sentry keeps them."""
    if one is None or other is None:
        return one is other
    return abs(one - other) < _BLUR


# -- the doing of it -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A task with what it takes to do it."""

    task: Task
    ours: Ours
    #: Where people read of the incident, and what it is called.
    web_url: str
    number: int
    #: Our installation in Sentry, where there is one.
    installation_id: str | None
    #: Whether we act there as the application, and not as the person whose token it is.
    has_name: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a task went."""

    task: Task
    verdict: Verdict
    #: Why it was dropped, or could not be done; one sentence.
    why: str = ""
    #: Whether it failed, and if so, whether the same is worth another try.
    has_failed: bool = False
    is_temporary: bool = False
    #: Whether nothing else can be had either: Sentry is away, or wants fewer calls.
    is_everywhere: bool = False
    retry_after: timedelta | None = None
    context: Context | None = None


# -- what comes back ------------------------------------------------------------------------------

#: What a webhook tells, to the tasks that may have brought it about.
ECHOES: Mapping[tuple[str, str], Act] = {
    ("issue", "resolved"): Act.RESOLVE,
    ("issue", "ignored"): Act.ARCHIVE,
    ("issue", "archived"): Act.ARCHIVE,
    ("issue", "assigned"): Act.ASSIGN,
    ("comment", "created"): Act.NOTE,
}

#: For so long after a task what it brought about is told as its echo. An application does nothing
#: else; a person whose token we use may do the same again by hand.
ECHO_FOR: Mapping[str, timedelta] = {
    "application": timedelta(hours=1),
    "user": timedelta(minutes=10),
}

#: What is noted with such a delivery.
ECHO = "echo of what Tocsin did in Sentry"


def actor_of(body: Body) -> tuple[str, str] | None:
    """Return the kind and id of who did what a webhook tells; None where it does not say."""
    actor = body.get("actor")
    if not isinstance(actor, dict):
        return None
    kind, id_ = as_text(actor.get("type")), as_text(actor.get("id"))
    return (kind, id_) if kind and id_ else None


def comment_of(body: Body) -> str:
    """Return what a comment says that a webhook tells of; empty where it tells of none."""
    data = body.get("data")
    return (as_text(data.get("comment")) or "") if isinstance(data, dict) else ""


@dataclass(frozen=True, slots=True)
class Trace:
    """What we did in Sentry: when, None while we do it, and the note's text if it was one."""

    done_at: datetime | None
    text: str | None = None


def is_echo(
    actor: tuple[str, str] | None, trace: Trace, received_at: datetime, comment: str = ""
) -> bool:
    """Whether a webhook about what we did is its echo.

    A person whose token we use also writes comments of their own: those say something else.
    """
    lasts = ECHO_FOR.get(actor[0]) if actor else None
    if actor is None or lasts is None:
        return False
    is_theirs = trace.text is not None and actor[0] != "application"
    if is_theirs and clean(comment, _NOTE).strip() != (trace.text or "").strip():
        return False
    return trace.done_at is None or received_at - trace.done_at <= lasts


def echo_of(resource: str, action: str | None) -> Act | None:
    """Return what we must have done for a webhook to be its echo; None if it never is one."""
    return ECHOES.get((resource, action or ""))
