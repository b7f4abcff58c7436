"""Working the inbox off: what the clock and the routes of people may do to it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.world import KEY, ONE_STEP, PEOPLE, SERVICE, World
from tocsin.core.model import (
    DeliveryStatus,
)
from tocsin.core.repeats import is_kept
from tocsin.dialects import load_all
from tocsin.sentry.sender import Issue, webhook
from tocsin.store import inbox
from tocsin.store.casebook import TOLD_SINGLY
from tocsin.store.db import new_id
from tocsin.store.inbox import Arrival
from tocsin.store.tables import delivery_bodies
from tocsin.work.intake import Inbox


def test_nothing_is_processed_before_it_came_in(world: World):
    """The batch read the clock, waited for its turn, and found what came in meanwhile."""
    came_in = world.now + timedelta(seconds=3)
    with world.database.read() as connection:
        integration = next(iter(world.plans.current(connection).integrations.values()))
    with world.database.write() as connection:
        arrival = Arrival(
            id=new_id("del", came_in), integration_id=integration.id, received_at=came_in,
            url_style="native", resource="issue", status=DeliveryStatus.ACCEPTED, http_status=202,
            reason=None, dedup_key="sentry:issue:1", headers="[]",
            body=webhook("issue", "created", Issue(id="1")).body, key=None,
        )  # fmt: skip
        inbox.put(connection, [arrival])
    assert Inbox(world.database, world.plans, load_all()).work(world.now) == 1
    (delivery,) = world.deliveries()
    assert delivery.latency_ms == 0
    incident = world.incident()
    assert incident.triggered_at == came_in
    assert all(entry.at >= incident.triggered_at for entry in incident.timeline)
    world.jump(seconds=10)
    world.expect("ann")


@pytest.mark.parametrize("verb", ["trigger", "acknowledge", "resolve", "note", "none"])
@pytest.mark.parametrize("resource", ["installation", "preprod_artifact", "comment"])
def test_a_route_gives_no_verb_to_what_is_about_no_alert(blank: World, resource: str, verb: str):
    """There is nothing the verb could be done to: it is stored, and no more."""
    route = f"    routes: [{{resource: {resource}, verb: {verb}}}]"
    routed = (
        SERVICE.partition("integrations:")[0]
        + f"""
integrations:
  - name: sentry
    service: checkout
    routing_key: {KEY}
{route}
"""
    )
    blank.configure(PEOPLE, ONE_STEP, routed)
    body = {"action": "created", "data": {"installation": {"uuid": "u"}}}
    headers = {"sentry_hook_resource": resource}
    assert blank.post(f"/in/{KEY}", json.dumps(body), **headers).status_code == 202
    (delivery,) = blank.deliveries()
    assert (delivery.status, delivery.incident_id) == ("processed", None)
    assert delivery.outcome in ("ignored", "recorded")
    blank.expect_nothing()


def bodies_of(world: World) -> int:
    with world.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(delivery_bodies)) or 0


def test_what_changes_anything_keeps_its_body_in_any_storm(world: World):
    with world.held():
        for _ in range(70):
            world.sentry("issue.created")
    with world.held():
        for _ in range(3):
            world.sentry("issue.resolved")
            world.sentry("issue.unresolved")
    world.forget()
    log = world.deliveries()
    with world.database.read() as connection:
        kept = {one.id: inbox.stored(connection, one.id) is not None for one in log}
    assert all(kept[one.id] for one in log if one.outcome != "deduplicated")
    assert sum(not kept[one.id] for one in log if one.outcome == "deduplicated") == 17


def test_a_storm_of_one_issue_is_counted_exactly_and_told_shortly(world: World):
    """One entry stands for many repeats of one batch; the counts leave none of them out."""
    world.sentry("issue.created")
    world.expect("ann")
    with world.database.read() as connection:
        integration = next(iter(world.plans.current(connection).integrations.values()))
    body = webhook("issue", "created", Issue(id="1")).body
    storm = [
        Arrival(
            id=new_id("del", world.now), integration_id=integration.id, received_at=world.now,
            url_style="native", resource="issue", status=DeliveryStatus.ACCEPTED, http_status=202,
            reason=None, dedup_key="sentry:issue:1", headers="[]", body=body, key=None,
        )
        for _ in range(500)
    ]  # fmt: skip
    with world.database.write() as connection:
        inbox.put(connection, storm)
    box = Inbox(world.database, world.plans, load_all())
    while box.work(world.now, 200):
        pass
    incident = world.incident()
    assert incident.occurrence_count == 501
    assert bodies_of(world) == 1 + len([n for n in range(1, 501) if is_kept(n)])
    with world.database.read() as connection:
        assert inbox.stored(connection, storm[-1].id) is not None
        assert inbox.stored(connection, storm[-2].id) is None
    repeats = [entry for entry in incident.timeline if entry.kind == "repeated"]
    assert sum((entry.data or {}).get("count", 1) for entry in repeats) == 500
    assert len(repeats) == 3 * TOLD_SINGLY
    world.expect_nothing()
