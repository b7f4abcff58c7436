"""The numbers people answer with, per contact method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from tocsin.core import reply
from tocsin.core.model import (
    IncidentStatus,
    MessageType,
    NotificationState,
)
from tocsin.core.reply import Code, Subject
from tocsin.store import contacts
from tocsin.store.db import insert_many
from tocsin.store.tables import incidents, notifications, reply_codes


def assign(
    connection: Connection, wanted: Mapping[str, tuple[str, Subject]], now: datetime
) -> dict[str, int]:
    """Give each thing wanted (contact method and subject, by any key) its number."""
    contacts.lock(connection, {method_id for method_id, _ in wanted.values()})
    known = load(connection, {method_id for method_id, _ in wanted.values()})
    asked: dict[str, dict[Subject, None]] = defaultdict(dict)
    for method_id, subject in wanted.values():
        asked[method_id][subject] = None
    given = {
        method_id: reply.assign(known[method_id], subjects, now)
        for method_id, subjects in asked.items()
    }
    insert_many(
        connection,
        reply_codes,
        [
            {
                "contact_method_id": method_id,
                "code": one.code,
                "incident_id": one.subject.incident_id,
                "service_id": one.subject.service_id,
                "used_at": one.used_at,
            }
            for method_id, codes in given.items()
            for one in codes.values()
        ],
        "(contact_method_id, code) DO UPDATE SET incident_id = excluded.incident_id,"
        " service_id = excluded.service_id, used_at = excluded.used_at",
    )
    return {
        key: given[method_id][subject].code
        for key, (method_id, subject) in wanted.items()
        if subject in given[method_id]
    }


def load(connection: Connection, contact_method_ids: Collection[str]) -> dict[str, list[Code]]:
    """Read the numbers in use at contact methods."""
    columns = reply_codes.c
    query = select(reply_codes).where(columns.contact_method_id.in_(sorted(contact_method_ids)))
    found: dict[str, list[Code]] = defaultdict(list)
    for row in connection.execute(query):
        subject = Subject(row.incident_id, row.service_id)
        found[row.contact_method_id].append(Code(row.code, subject, row.used_at))
    return found


def paged(connection: Connection, contact_method_id: str, service_id: str) -> list[str]:
    """Return the open incidents of a service that this contact method was paged for."""
    told = select(notifications.c.incident_id).where(
        notifications.c.contact_method_id == contact_method_id,
        notifications.c.service_id == service_id,
        notifications.c.type == MessageType.PAGE.value,
        notifications.c.state.in_([NotificationState.SENT.value, NotificationState.BUNDLED.value]),
    )
    query = select(incidents.c.id).where(
        incidents.c.service_id == service_id,
        incidents.c.status.in_([IncidentStatus.TRIGGERED.value, IncidentStatus.ACKNOWLEDGED.value]),
        incidents.c.id.in_(told),
    )
    return list(connection.scalars(query.order_by(incidents.c.number)))
