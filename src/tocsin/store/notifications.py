"""Notifications and their attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    cast,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    update,
)

from tocsin.core.model import (
    MessageType,
    NotificationState,
)
from tocsin.core.plans import ContactMethod
from tocsin.core.retry import Outcome
from tocsin.store import jobs
from tocsin.store.db import insert_many, new_id, update_many
from tocsin.store.jobs import Kind
from tocsin.store.tables import attempts, notifications


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message to one contact method, as it waits to be sent."""

    id: str
    #: None: it is about no incident.
    incident_id: str | None
    service_id: str | None
    user_id: str
    contact_method_id: str
    type: MessageType
    reason: str
    #: The notification rule; for what is about no incident, what it is about (a schedule's id).
    rule_id: str
    state: NotificationState
    attempts: int
    created_at: datetime
    due_at: datetime
    cycle: int
    round: int
    step: int
    #: Whose message says this one too, or tried to.
    bundled_into_id: str | None

    @property
    def is_first_page(self) -> bool:
        """Whether it is of the very first step of its incident, and due at once."""
        place = (self.cycle, self.round, self.step)
        return place == (0, 0, 1) and self.due_at == self.created_at


_COLUMNS = tuple(notifications.c[name] for name in Notification.__dataclass_fields__)

#: As the index has it: a database that is handed the word as a parameter would not use it.
_PENDING = notifications.c.state == literal_column("'pending'")
_IS_PAGE = notifications.c.type == MessageType.PAGE.value


def _notification(row: Any) -> Notification:
    values = {name: row[name] for name in Notification.__dataclass_fields__}
    values["type"] = MessageType(values["type"])
    values["state"] = NotificationState(values["state"])
    return Notification(**values)


def load(connection: Connection, ids: Sequence[str]) -> dict[str, Notification]:
    """Read notifications by id."""
    query = select(*_COLUMNS).where(notifications.c.id.in_(ids))
    return {row["id"]: _notification(row) for row in connection.execute(query).mappings()}


# -- what waits beside each other -----------------------------------------------------------------


def lock_untried(
    connection: Connection,
    incident_ids: Collection[str],
    contact_method_ids: Collection[str],
    ids: Collection[str],
    now: datetime,
) -> list[Notification]:
    """Read and hold the pages of these incidents to these contact methods that are due and new.

    Those of ``ids`` are due whatever they say.

    Whoever else has taken one of them up has either finished by then (it is not among them) or
    waits for us.
    """
    query = (
        select(*_COLUMNS)
        .where(
            notifications.c.incident_id.in_(sorted(incident_ids)),
            notifications.c.contact_method_id.in_(sorted(contact_method_ids)),
            _IS_PAGE,
            _PENDING,
            notifications.c.attempts == 0,
            or_(notifications.c.due_at <= now, notifications.c.id.in_(sorted(ids))),
        )
        .order_by(notifications.c.id)
        .with_for_update()
    )
    return [_notification(row) for row in connection.execute(query).mappings()]


#: A contact method and a service: the lane of ``core/throttle.py``.
LaneKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InLane:
    """A page that is due, in its lane."""

    notification: Notification
    #: Whether this contact method has heard of the incident already, in this run.
    was_told: bool
    #: When its latest attempt began, if that has not ended.
    trying_since: datetime | None


def lanes(
    connection: Connection, keys: Collection[LaneKey], ids: Collection[str], now: datetime
) -> dict[LaneKey, list[InLane]]:
    """Read everything that is due in these lanes, by age; ``ids`` are due whatever they say."""
    columns = notifications.c
    earlier = notifications.alias("earlier")
    told = exists().where(
        earlier.c.incident_id == columns.incident_id,
        earlier.c.type == MessageType.PAGE.value,
        earlier.c.cycle == columns.cycle,
        earlier.c.contact_method_id == columns.contact_method_id,
        earlier.c.state.in_([NotificationState.SENT.value, NotificationState.BUNDLED.value]),
    )
    latest = and_(
        attempts.c.notification_id == columns.id,
        attempts.c.id == columns.id + "." + cast(columns.attempts, String),
        attempts.c.finished_at.is_(None),
    )
    query = (
        select(*_COLUMNS, told.label("was_told"), attempts.c.started_at.label("trying_since"))
        .select_from(notifications.outerjoin(attempts, latest))
        .where(
            tuple_(columns.contact_method_id, columns.service_id).in_(sorted(keys)),
            _IS_PAGE,
            _PENDING,
            or_(columns.due_at <= now, columns.id.in_(sorted(ids))),
        )
        .order_by(columns.due_at, columns.id)
    )
    found: dict[LaneKey, list[InLane]] = defaultdict(list)
    for row in connection.execute(query).mappings():
        found[row["contact_method_id"], row["service_id"]].append(
            InLane(
                notification=_notification(row),
                was_told=row["was_told"],
                trying_since=row["trying_since"],
            )
        )
    return found


def sent_since(
    connection: Connection, contact_method_ids: Collection[str], since: datetime
) -> dict[str, list[tuple[str | None, datetime]]]:
    """Return service and time of each page that went to these contact methods."""
    columns = notifications.c
    query = select(columns.contact_method_id, columns.service_id, columns.sent_at).where(
        columns.contact_method_id.in_(sorted(contact_method_ids)),
        columns.sent_at > since,
        columns.state == NotificationState.SENT.value,
        _IS_PAGE,
    )
    found: dict[str, list[tuple[str | None, datetime]]] = defaultdict(list)
    for method_id, service_id, at in connection.execute(query):
        found[method_id].append((service_id, at))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a notification has come, and what was said of its latest attempt."""

    id: str
    contact_method_id: str
    state: NotificationState
    attempts: int
    #: None while the attempt is under way.
    outcome: Outcome | None
    detail: str | None


def progress(connection: Connection, ids: Collection[str]) -> list[Progress]:
    """Read how far notifications have come, in the order they were made."""
    columns = notifications.c
    latest = attempts.c.id == columns.id + "." + cast(columns.attempts, String)
    query = (
        select(
            columns.id,
            columns.contact_method_id,
            columns.state,
            columns.attempts,
            attempts.c.outcome,
            attempts.c.detail,
        )
        .select_from(notifications.outerjoin(attempts, latest))
        .where(columns.id.in_(sorted(ids)))
        .order_by(columns.id)
    )
    return [
        Progress(
            **{
                **row,
                "state": NotificationState(row["state"]),
                "outcome": Outcome(row["outcome"]) if row["outcome"] else None,
            }
        )
        for row in connection.execute(query).mappings()
    ]


def latest_to(
    connection: Connection, contact_method_id: str, type_: MessageType
) -> Progress | None:
    """Read how far the latest message of a type to a contact method has come."""
    query = (
        select(notifications.c.id)
        .where(
            notifications.c.contact_method_id == contact_method_id,
            notifications.c.type == type_.value,
        )
        .order_by(notifications.c.id.desc())
        .limit(1)
    )
    id_ = connection.scalar(query)
    return progress(connection, [id_])[0] if id_ else None


def pages_of(connection: Connection, incident_ids: Sequence[str]) -> list[Notification]:
    """Read every page of these incidents, in the order they were made."""
    query = (
        select(*_COLUMNS)
        .where(notifications.c.incident_id.in_(incident_ids), _IS_PAGE)
        .order_by(notifications.c.id)
    )
    return [_notification(row) for row in connection.execute(query).mappings()]


# -- changing -------------------------------------------------------------------------------------


def anew(
    page: Notification,
    contact_method_id: str,
    rule_id: str,
    reason: str,
    at: datetime,
    now: datetime,
) -> Notification:
    """Return the same page to another contact method, to be added."""
    return replace(
        page,
        id=new_id("not", now),
        contact_method_id=contact_method_id,
        rule_id=rule_id,
        reason=reason[:500],
        state=NotificationState.PENDING,
        attempts=0,
        created_at=now,
        due_at=at,
        bundled_into_id=None,
    )  # fmt: skip


def add_pages(
    connection: Connection, pages: Sequence[Notification], channels: Mapping[str, str]
) -> None:
    """Add pages; ``channels`` has that of each contact method."""
    rows = [
        {name: getattr(page, name) for name in Notification.__dataclass_fields__}
        | {"type": page.type.value, "state": page.state.value}
        | {"channel": channels[page.contact_method_id]}
        for page in pages
    ]
    insert_many(connection, notifications, rows)


def announce(
    connection: Connection,
    told: Iterable[tuple[ContactMethod, MessageType, str, str]],
    now: datetime,
) -> list[str]:
    """Let messages that are about no incident be due; return their ids.

    Each is where it goes, its type, why (for the person), and what it is about (``rule_id``).
    """
    rows = [
        {
            "id": new_id("not", now),
            "user_id": method.user_id,
            "contact_method_id": method.id,
            "channel": method.channel,
            "type": type_.value,
            "reason": reason,
            "rule_id": about,
            "cycle": 0,
            "round": 0,
            "step": 0,
            "due_at": now,
            "state": NotificationState.PENDING.value,
            "attempts": 0,
            "created_at": now,
        }
        for method, type_, reason, about in told
    ]
    insert_many(connection, notifications, rows)
    ids = [str(row["id"]) for row in rows]
    jobs.put(connection, [(Kind.NOTIFY, id_, now) for id_ in ids])
    return ids


def cancel(connection: Connection, ids: Sequence[str]) -> None:
    """Take back those that were not sent."""
    if ids:
        _cancel(connection, notifications.c.id.in_(ids))


def cancel_messages(
    connection: Connection, contact_method_id: str, type_: MessageType | None = None
) -> None:
    """Take back what still waits for a contact method: of one type, or all but pages.

    Those fail when their time comes, where people see it and others can be paged instead.
    """
    wanted = notifications.c.type == type_.value if type_ else not_(_IS_PAGE)
    _cancel(connection, and_(notifications.c.contact_method_id == contact_method_id, wanted))


def _cancel(connection: Connection, which: ColumnElement[bool]) -> None:
    connection.execute(
        update(notifications).where(which, _PENDING).values(state=NotificationState.CANCELLED.value)
    )


def merge(connection: Connection, into: Sequence[tuple[str, str]], *, is_final: bool) -> None:
    """Note which notification's message says which other (the other, then the one sent).

    It is final at once where both stand and fall together; else the others stay pending until the
    message went out, so that none is lost with it.
    """
    state = {"state": NotificationState.BUNDLED.value} if is_final else {}
    update_many(
        connection,
        notifications,
        "id",
        [{"id": id_, "bundled_into_id": lead, **state} for id_, lead in into],
    )


def settle(connection: Connection, ends: Sequence[tuple[str, NotificationState]]) -> None:
    """Let these be what became of the messages that said them too."""
    update_many(connection, notifications, "id", [{"id": id_, "state": s.value} for id_, s in ends])


def begin_attempts(
    connection: Connection, numbered: Sequence[tuple[str, int]], now: datetime
) -> None:
    """Write down that these attempts (notification id, number) are about to be made."""
    insert_many(
        connection,
        attempts,
        [
            {"id": _attempt_id(id_, number), "notification_id": id_, "number": number,
             "started_at": now}
            for id_, number in numbered
        ],
    )  # fmt: skip
    update_many(
        connection,
        notifications,
        "id",
        [{"id": id_, "attempts": number} for id_, number in numbered],
    )


def latest_attempts(connection: Connection, numbered: Sequence[tuple[str, int]]) -> frozenset[str]:
    """Return the notifications whose attempt of this number is the latest, and hold them.

    The number is the fencing token: it is counted up in the transaction that takes the lease, so
    that nobody writes of an attempt after which another began.
    """
    query = (
        select(notifications.c.id)
        .where(tuple_(notifications.c.id, notifications.c.attempts).in_(sorted(numbered)))
        .order_by(notifications.c.id)
        .with_for_update()
    )
    return frozenset(connection.scalars(query))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How one attempt went; ``state`` is the notification's from now on."""

    notification_id: str
    number: int
    at: datetime
    outcome: Outcome
    detail: str
    state: NotificationState


def finish_attempts(connection: Connection, finished: Sequence[Finished]) -> None:
    """Write down how attempts went."""
    update_many(
        connection,
        attempts,
        "id",
        [
            {
                "id": _attempt_id(one.notification_id, one.number),
                "finished_at": one.at,
                "outcome": one.outcome.value,
                "detail": one.detail[:500],
            }
            for one in finished
        ],
    )
    update_many(
        connection,
        notifications,
        "id",
        [
            {
                "id": one.notification_id,
                "state": one.state.value,
                "sent_at": one.at if one.state is NotificationState.SENT else None,
            }
            for one in finished
            if one.state is not NotificationState.PENDING
        ],
    )


def _attempt_id(notification_id: str, number: int) -> str:
    return f"{notification_id}.{number}"


def tests_since(
    connection: Connection, user_id: str, since: datetime
) -> Mapping[str, list[datetime]]:
    """Return when tests were asked for, by contact method of a person, the oldest first."""
    columns = notifications.c
    query = (
        select(columns.contact_method_id, columns.created_at)
        .where(
            columns.user_id == user_id,
            columns.type == MessageType.TEST.value,
            columns.created_at > since,
        )
        .order_by(columns.created_at)
    )
    found: dict[str, list[datetime]] = defaultdict(list)
    for method_id, at in connection.execute(query):
        found[method_id].append(at)
    return found


def failed_count(connection: Connection, since: datetime) -> int:
    """Count the notifications made since a time that could not be delivered."""
    query = (
        select(func.count())
        .select_from(notifications)
        .where(
            notifications.c.state == NotificationState.FAILED.value,
            notifications.c.created_at >= since,
        )
    )
    return connection.scalar(query) or 0
