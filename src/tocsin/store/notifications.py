"""Notifications and their attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from tocsin.core.model import (
    MessageType,
    NotificationState,
)
from tocsin.core.retry import Outcome
from tocsin.store.db import insert_many, update_many
from tocsin.store.tables import attempts, notifications


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message to one contact method, as it waits to be sent."""

    id: str
    incident_id: str
    user_id: str
    contact_method_id: str
    type: MessageType
    reason: str
    state: NotificationState
    attempts: int
    created_at: datetime
    due_at: datetime
    cycle: int
    round: int
    step: int

    @property
    def is_first_page(self) -> bool:
        """Whether it is of the very first step of its incident, and due at once."""
        place = (self.cycle, self.round, self.step)
        return place == (0, 0, 1) and self.due_at == self.created_at


def load(connection: Connection, ids: Sequence[str]) -> dict[str, Notification]:
    """Read notifications by id."""
    names = Notification.__dataclass_fields__
    query = select(*(notifications.c[name] for name in names)).where(notifications.c.id.in_(ids))
    return {
        row["id"]: Notification(
            **{
                **row,
                "type": MessageType(row["type"]),
                "state": NotificationState(row["state"]),
            }
        )
        for row in connection.execute(query).mappings()
    }


def cancel(connection: Connection, ids: Sequence[str]) -> None:
    """Take back those that were not sent."""
    if ids:
        connection.execute(
            update(notifications)
            .where(
                notifications.c.id.in_(ids),
                notifications.c.state == NotificationState.PENDING.value,
            )
            .values(state=NotificationState.CANCELLED.value)
        )


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
