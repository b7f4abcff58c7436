"""The unit of work: a constant number of statements, whatever it has been through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from tests.builders import NOW, a_service, a_signal, a_step, at, some_plans
from tocsin.core import effects as fx
from tocsin.core.escalation import look
from tocsin.core.incident import acknowledge, resolve
from tocsin.core.model import (
    Actor,
    IncidentStatus,
    Severity,
)
from tocsin.core.triage import Case, triage
from tocsin.dialects import load_all
from tocsin.sentry.sender import Issue, webhook
from tocsin.store import inbox, jobs
from tocsin.store.casebook import Casebook
from tocsin.store.db import Database, new_id
from tocsin.store.inbox import Arrival
from tocsin.store.plans import PlansCache
from tocsin.store.tables import incident_alerts, incidents, notifications
from tocsin.store.vault import Vault
from tocsin.work.configfile import parse
from tocsin.work.configure import Configurator
from tocsin.work.intake import Inbox

PLANS = some_plans(a_step("ann"), a_step("bob"), fallback="cat")
ANN = Actor(name="ann@example.com", user_id="usr_ann")


@contextmanager
def counting(engine: Engine) -> Iterator[list[str]]:
    """Note every statement."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, _p: Any, _x: Any, _many: bool) -> None:
        seen.append(statement.split("\n", maxsplit=1)[0][:80])

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def play(database: Database, *signals: Any, now: Any = NOW) -> None:
    """Decide signals one after another, in one casebook."""
    with database.write() as connection:
        book = Casebook(connection, PLANS, now)
        book.load_alerts(("int_1", signal.dedup_key) for signal in signals)
        for signal in signals:
            key = ("int_1", signal.dedup_key)
            alert = book.alert(key)
            incident = book.incident(alert.incident_id) if alert else None
            decision = triage(
                Case(signal=signal, alert=alert, incident=incident, service=a_service(), now=now)
            )
            is_open = incident is not None and incident.is_open
            book.apply(
                decision.effects,
                alert_key=key,
                incident_id=incident.id if incident and is_open else None,
            )
        book.save()


def all_incidents(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(select(incidents).order_by(incidents.c.number)))


def test_a_whole_life_in_one_batch_leaves_what_it_would_one_by_one(database: Database):
    from tocsin.core.model import (
        Verb,
    )

    resolved = a_signal(verb=Verb.RESOLVE)
    worse = a_signal(severity=Severity.CRITICAL)
    life = [a_signal(), a_signal(), worse, resolved, resolved, a_signal(), a_signal()]
    play(database, *life)
    together = [(i.status, i.severity, i.occurrence_count) for i in all_incidents(database)]
    assert together == [("resolved", "critical", 3), ("triggered", "error", 2)]
    for signal in life:
        other = {"verb": signal.verb, "severity": signal.severity, "dedup_key": "other"}
        play(database, a_signal(**other))
    apart = [(i.status, i.severity, i.occurrence_count) for i in all_incidents(database)][2:]
    assert apart == together


def test_numbers_count_up(database: Database):
    play(database, *(a_signal(dedup_key=f"k{n}") for n in range(5)))
    assert [one.number for one in all_incidents(database)] == [1, 2, 3, 4, 5]


def test_a_resolved_incident_frees_its_alert(database: Database):
    from tocsin.core.model import (
        Verb,
    )

    play(database, a_signal())
    play(database, a_signal(verb=Verb.RESOLVE))
    play(database, a_signal())
    with database.read() as connection:
        open_ = [row.is_open for row in connection.execute(
            select(incident_alerts).order_by(incident_alerts.c.incident_id))]  # fmt: skip
    assert open_ == [False, True]


def act(database: Database, *effects: fx.Effect, now: Any = NOW) -> None:
    with database.write() as connection:
        book = Casebook(connection, PLANS, now)
        id_ = all_incidents(database)[0].id
        book.load_incidents([id_])
        book.apply(effects, incident_id=id_)
        book.save()


def first(database: Database) -> Any:
    from tocsin.store.incidents import load

    with database.read() as connection:
        id_ = connection.scalar(select(incidents.c.id))
        assert id_ is not None
        return load(connection, [id_])[id_]


def pending(database: Database) -> list[str]:
    with database.read() as connection:
        rows = connection.execute(select(notifications).order_by(notifications.c.id))
        return [row.user_id for row in rows if row.state == "pending"]


def test_an_acknowledgement_cancels_pages_and_the_next_step(database: Database):
    play(database, a_signal())
    act(database, *look(first(database), PLANS, NOW))
    assert pending(database) == ["usr_ann"]
    act(database, *acknowledge(first(database), ANN, a_service(), NOW))
    assert pending(database) == []
    with database.read() as connection:
        assert not jobs.exists(connection, jobs.Kind.ESCALATE, first(database).id)
    assert first(database).status is IncidentStatus.ACKNOWLEDGED


def test_who_resolves_by_hand_closes_the_alert_too(database: Database):
    from tocsin.store.tables import alerts

    play(database, a_signal())
    act(database, *resolve(first(database), ANN), now=at(minutes=5))
    with database.read() as connection:
        assert connection.scalar(select(alerts.c.resolved_at)) == at(minutes=5)


def test_a_timeout_becomes_a_job(database: Database):
    play(database, a_signal())
    service = a_service(acknowledge_timeout=timedelta(minutes=30))
    act(database, *acknowledge(first(database), ANN, service, NOW))
    with database.write() as connection:
        assert jobs.take(connection, jobs.Kind.WAKE, at(minutes=29), 1) == []
        assert len(jobs.take(connection, jobs.Kind.WAKE, at(minutes=30), 1)) == 1


# -- statements


CONFIGURATION = """
services: [{name: checkout}]
integrations: [{name: sentry, service: checkout}]
"""


def arrivals(database: Database, vault: Vault, *bodies: bytes) -> Inbox:
    plans = PlansCache(database, vault)
    file, source = parse(CONFIGURATION, "t")
    Configurator(database, plans, vault).apply(file, source, NOW, dry_run=False)
    integration = next(iter(plans.refresh().integrations))
    with database.write() as connection:
        inbox.put(
            connection,
            [
                Arrival(
                    id=new_id("del", NOW),
                    integration_id=integration,
                    received_at=NOW,
                    url_style="native",
                    resource="issue",
                    status=inbox.DeliveryStatus.ACCEPTED,
                    http_status=202,
                    reason=None,
                    dedup_key=None,
                    headers="[]",
                    body=body,
                    key=None,
                )
                for body in bodies
            ],
        )
    return Inbox(database, plans, load_all())


@pytest.mark.parametrize("count", [1, 20, 150])
def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(
    database: Database, vault: Vault, count: int
):
    bodies = [webhook("issue", "created", Issue(id=str(n))).body for n in range(count)]
    work = arrivals(database, vault, *bodies)
    with counting(database.engine) as seen:
        assert work.work(NOW) == count
    assert len(all_incidents(database)) == count
    most = 13 if database.is_sqlite else 16
    assert len(seen) <= most, "\n".join(seen)


def test_keeping_a_group_costs_the_same_whatever_its_size(database: Database):
    counts = []
    for size in (1, 200):
        group = [
            Arrival(
                id=new_id("del", NOW),
                integration_id="int_1",
                received_at=NOW,
                url_style="native",
                resource="issue",
                status=inbox.DeliveryStatus.ACCEPTED,
                http_status=202,
                reason=None,
                dedup_key="k",
                headers="[]",
                body=b"{}",
                key=f"request:{size}-{n}",
            )
            for n in range(size)
        ]
        with counting(database.engine) as seen, database.write(is_urgent=True) as connection:
            inbox.put(connection, group)
        counts.append(len(seen))
    assert counts == ([4, 4] if database.is_sqlite else [1, 1])


def test_one_bad_delivery_holds_up_no_other(database: Database, vault: Vault):
    """Whatever breaks the batch: the rest of it is processed, and that one ends in sight."""
    from unittest.mock import patch

    from tocsin.work import intake

    bodies = [webhook("issue", "created", Issue(id=str(n))).body for n in range(5)]
    work = arrivals(database, vault, *bodies)
    real = intake.triage

    def breaks(case: Case) -> Any:
        if case.signal.dedup_key == "sentry:issue:2":
            raise RuntimeError("a bug")
        return real(case)

    with patch.object(intake, "triage", breaks):
        while work.work(NOW):
            pass
    assert len(all_incidents(database)) == 4
    from tocsin.store.tables import deliveries

    with database.read() as connection:
        statuses = [row.status for row in connection.execute(
            select(deliveries.c.status).order_by(deliveries.c.id))]  # fmt: skip
    assert statuses == ["processed", "processed", "failed", "processed", "processed"]
