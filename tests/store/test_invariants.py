"""What must never be is refused by the database itself."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, insert
from sqlalchemy.exc import IntegrityError

from tests.builders import NOW
from tocsin.store.db import Database
from tocsin.store.tables import (
    alerts,
    delivery_keys,
    incident_alerts,
    incidents,
    integrations,
    notifications,
    users,
)

ALERT = {
    "id": "alr_1", "integration_id": "int_1", "service_id": "svc_1", "dedup_key": "k",
    "title": "T", "severity": "error", "source": "s", "details": {}, "occurrence_count": 1,
    "first_seen_at": NOW, "last_seen_at": NOW,
}  # fmt: skip
INCIDENT = {
    "id": "inc_1", "service_id": "svc_1", "dedup_key": "k", "title": "T", "status": "triggered",
    "severity": "error", "urgency": "high", "source": "s", "occurrence_count": 1,
    "is_test": False, "escalation_step": 0, "escalation_round": 0, "escalation_state": "running",
    "escalation_cycle": 0, "escalation_has_reached": False, "triggered_at": NOW,
    "group_key": "release:backend:2.4.1",
}  # fmt: skip
NOTIFICATION = {
    "id": "not_1", "incident_id": "inc_1", "user_id": "usr_1", "contact_method_id": "cm_1",
    "channel": "email", "type": "incident.page", "reason": "r", "cycle": 0, "round": 0,
    "step": 1, "rule_id": "default", "due_at": NOW, "state": "pending", "attempts": 0,
    "created_at": NOW,
}  # fmt: skip
USER = {
    "id": "usr_1", "email": "ann@example.com", "name": "Ann", "role": "viewer",
    "time_zone": "UTC", "created_at": NOW,
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "row", "same"),
    [
        pytest.param(alerts, ALERT, {"id": "alr_2"}, id="one alert per integration and key"),
        pytest.param(
            incident_alerts,
            {"incident_id": "inc_1", "alert_id": "alr_1", "is_open": True},
            {"incident_id": "inc_2"},
            id="one open incident per alert",
        ),
        pytest.param(
            incidents,
            INCIDENT,
            {"id": "inc_2"},
            id="one open incident per group of a service",
        ),
        pytest.param(
            delivery_keys,
            {"integration_id": "int_1", "key": "k", "delivery_id": "del_1", "received_at": NOW},
            {"delivery_id": "del_2"},
            id="one first delivery per idempotency key",
        ),
        pytest.param(
            notifications,
            NOTIFICATION,
            {"id": "not_2"},
            id="one notification per incident, round, step, contact method and rule",
        ),
        pytest.param(users, USER, {"id": "usr_2"}, id="one living person per address"),
    ],
)
def test_a_second_one_is_refused(
    database: Database, table: Table, row: dict[str, Any], same: dict[str, Any]
):
    with database.write() as connection:
        connection.execute(insert(table).values(**row))
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(table).values(**row | same))


@pytest.mark.parametrize(
    ("table", "row", "other"),
    [
        pytest.param(
            incident_alerts,
            {"incident_id": "inc_1", "alert_id": "alr_1", "is_open": False},
            {"incident_id": "inc_2", "is_open": True},
            id="a closed incident of the same alert",
        ),
        pytest.param(
            incidents,
            INCIDENT | {"status": "resolved"},
            {"id": "inc_2", "status": "triggered"},
            id="a resolved incident of the same group",
        ),
        pytest.param(incidents, INCIDENT, {"id": "n", "service_id": "svc_2"}, id="another service"),
        pytest.param(notifications, NOTIFICATION, {"id": "n", "cycle": 1}, id="another run"),
        pytest.param(notifications, NOTIFICATION, {"id": "n", "round": 1}, id="another round"),
        pytest.param(notifications, NOTIFICATION, {"id": "n", "rule_id": "2"}, id="another rule"),
        pytest.param(
            users, USER | {"deleted_at": NOW}, {"id": "n", "deleted_at": None}, id="one who left"
        ),
    ],
)
def test_what_only_looks_the_same_is_not(
    database: Database, table: Table, row: dict[str, Any], other: dict[str, Any]
):
    with database.write() as connection:
        connection.execute(insert(table).values(**row))
        connection.execute(insert(table).values(**row | other))


def test_a_naive_time_never_gets_in(database: Database):
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(Exception, match="no time zone"), database.write() as connection:
        connection.execute(insert(alerts).values(**ALERT | {"first_seen_at": naive}))


def test_a_reader_cannot_write(sqlite_url: str):
    database = Database(sqlite_url)
    with pytest.raises(Exception, match="readonly"), database.read() as connection:
        connection.execute(insert(users).values(**USER))
    database.close()


def test_integrations_share_no_routing_key(database: Database):
    row = {
        "id": "int_1", "name": "a", "source": "sentry", "dialect": "auto",
        "service_id": "svc_1", "routing_key_hash": "h", "routing_key_encrypted": "e",
        "signing_secrets_encrypted": "e", "is_enabled": True, "is_replay_strict": False,
        "routes": [], "overrides": {}, "created_at": NOW,
    }  # fmt: skip
    from tocsin.store.tables import services

    with database.write() as connection:
        connection.execute(
            insert(services).values(id="svc_1", name="s", urgency={}, created_at=NOW)
        )
        connection.execute(insert(integrations).values(**row))
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(integrations).values(**row | {"id": "int_2", "name": "b"}))
