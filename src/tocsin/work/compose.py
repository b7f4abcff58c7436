"""Write the messages: to people and to programs, from things as they are when they are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec

from tocsin.channels.base import Message
from tocsin.core import coverage
from tocsin.core.context import Context, short
from tocsin.core.message import (
    NAMED,
    Words,
    answerable,
    words,
    words_of_code,
    words_of_many,
    words_of_notice,
)
from tocsin.core.model import (
    Incident,
    IncidentStatus,
    MessageType,
)
from tocsin.core.plans import ContactMethod, Plans, Schedule, User
from tocsin.core.schedule import on_call, standing
from tocsin.core.times import whole_seconds
from tocsin.store.contacts import Verification
from tocsin.store.notifications import Notification
from tocsin.store.views import IncidentView


def page_message(
    one: Notification,
    about: Sequence[Incident],
    view: IncidentView,
    user: User,
    service: str,
    base: str,
    code: int | None,
    now: datetime,
    answer_url: str,
    context: Context | None = None,
) -> Message:
    """Write what a page says, or that an incident was acknowledged or resolved.

    ``about`` begins with the incident of the notification, which ``view`` shows; ``code`` is the
    number to answer with, ``answer_url`` where one acknowledges without signing in.
    """
    incident, count = about[0], len(about)
    if count > 1:
        query = urlencode({"service": service, "status": IncidentStatus.TRIGGERED.value})
        url = f"{base}/incidents?{query}"
        said = words_of_many(about, service, url)
        more: dict[str, Any] = {
            "incidents": [{"number": i.number, "title": i.title} for i in about[:NAMED]]
        }
    else:
        page = f"{base}/incidents/{incident.number}"
        asks = one.type is MessageType.PAGE
        url = answer_url if asks else page
        known = short(context) if context and asks else ()
        answer = url if asks else None
        said = words(one.type, incident, service, one.reason, page, answer, known)
        more = {"context": context} if context and asks else {}
    if code is not None:
        said = answerable(said, code, count)
        more["reply_code"] = code
    return _message(
        one, said, user, now, {"incident": view}, {"count": count, "acknowledge_url": url, **more}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message that is about no incident, and what it is written from."""

    one: Notification
    user: User
    method: ContactMethod
    plans: Plans
    base: str
    verification: Verification | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    words: Words
    #: For programs, beside the words.
    more: Mapping[str, Any]


def notice_message(notice: Notice) -> Message | None:
    """Write it; None where what it would say is no longer true."""
    said = _NOTICES[notice.one.type](notice)
    if said is None:
        return None
    return _message(notice.one, said.words, notice.user, notice.now, {}, said.more)


def is_notice(type_: MessageType) -> bool:
    """Whether a message of this type is about no incident."""
    return type_ in _NOTICES


def _message(
    one: Notification,
    said: Words,
    user: User,
    now: datetime,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> Message:
    document = {
        "type": one.type,
        "timestamp": whole_seconds(one.created_at),
        "data": {
            **before,
            "user": {"email": user.email, "name": user.name},
            "reason": one.reason,
            **after,
        },
    }
    return Message(
        id=one.id,
        type=one.type,
        at=now,
        subject=said.subject,
        text=said.text,
        reply=said.reply,
        document=msgspec.json.encode(document),
    )


def _told(said: Words) -> _Said:
    return _Said(words=said, more={"text": said.text.strip()})


def _code(notice: Notice) -> _Said | None:
    found = notice.verification
    if found is None or found.expires_at <= notice.now or notice.method.is_verified:
        return None
    minutes = max(1, int((found.expires_at - notice.now) / timedelta(minutes=1)))
    return _Said(words=words_of_code(found.code, minutes), more={"code": found.code})


def _test(notice: Notice) -> _Said:
    return _told(
        words_of_notice(
            "Test: Tocsin reaches you here",
            f"{notice.user.name}, this is what a page to {notice.method.name} takes to arrive.",
            "There is nothing to do.",
        )
    )


def _begins(notice: Notice) -> _Said | None:
    schedule = notice.plans.schedules.get(notice.one.rule_id)
    mine = schedule and next(
        (one for one in standing(schedule, notice.now) if one.user_id == notice.user.id), None
    )
    if schedule is None or not mine:
        return None
    until = f" until {_local(mine.ends_at, notice.user)}" if mine.ends_at else ""
    return _told(words_of_notice(f"You are on call for {schedule.name}{until}", *_then(notice)))


def _ends(notice: Notice) -> _Said | None:
    schedule = notice.plans.schedules.get(notice.one.rule_id)
    if schedule is None:
        return _told(words_of_notice(f"You are no longer {notice.one.reason}"))
    people = on_call(schedule, notice.now)
    if notice.user.id in people:
        return None
    names = " and ".join(notice.plans.users[id_].name for id_ in people)
    now = f"{names} {'are' if len(people) > 1 else 'is'}" if people else "Nobody is"
    subject = f"You are no longer on call for {schedule.name}"
    return _told(words_of_notice(subject, f"{now} on call now."))


def _then(notice: Notice) -> list[str]:
    usable = [method.name for method in notice.user.contact_methods if method.is_usable]
    return [f"Pages reach you by {', '.join(usable)}.", f"What is open:  {notice.base}/incidents"]


def _coverage(notice: Notice) -> _Said | None:
    schedule = notice.plans.schedules.get(notice.one.rule_id)
    if schedule is None:
        return None
    users = notice.plans.users
    found = coverage.ahead(schedule, users, notice.now)
    if not found.holes:
        return None
    days = coverage.AHEAD.days
    lines = [f"In the next {days} days:", ""]
    for hole in found.holes[:NAMED]:
        span = f"{_of(schedule, hole.begins_at)} to {_of(schedule, hole.ends_at)}"
        names = ", ".join(users[id_].name for id_ in hole.user_ids)
        lines.append(f"{span}: {f'{names} cannot be reached' if names else 'nobody on call'}")
    if len(found.holes) > NAMED:
        lines.append(f"and {len(found.holes) - NAMED} more")
    return _told(words_of_notice(f"Pages of {schedule.name} would reach nobody at times", *lines))


def _local(at: datetime, user: User) -> str:
    return f"{at.astimezone(ZoneInfo(user.time_zone)):%a %d %b %H:%M} ({user.time_zone})"


def _of(schedule: Schedule, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(schedule.time_zone)):%a %d %b %H:%M}"


_NOTICES: Mapping[MessageType, Callable[[Notice], _Said | None]] = {
    MessageType.VERIFICATION: _code,
    MessageType.TEST: _test,
    MessageType.ON_CALL_BEGINS: _begins,
    MessageType.ON_CALL_ENDS: _ends,
    MessageType.COVERAGE: _coverage,
}
