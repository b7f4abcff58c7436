"""What is done in Sentry, on the page of an integration, in the API, and for ``tocsin doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.both_sides import BothSides
from tests.browsing import Browser, signed_in
from tests.fakes import FakeSentry
from tests.pages.things import people
from tests.world import ONE_STEP, SERVICE, World
from tocsin.core.sentry import Acknowledging, Switches
from tocsin.store.db import Database
from tocsin.store.vault import Vault
from tocsin.work import respond
from tocsin.work.doctor import Patient, examine


@pytest.fixture
def world(database: Database, vault: Vault) -> Iterator[World]:
    with World(database, vault) as world:
        world.configure(people("payments"), SERVICE, ONE_STEP)
        yield world
        world.forget()


@pytest.fixture
def both(world: World, sentry: FakeSentry) -> BothSides:
    return BothSides.join(world, sentry, Switches())


@pytest.fixture
def manager(world: World) -> Browser:
    return signed_in(world, "manager")


def switches_of(world: World) -> Switches:
    (link,) = world.plans.refresh().sentry.values()
    return link.switches


def page_of(browser: Browser, tab: str = "") -> str:
    browser.get(f"/integrations/sentry{tab}")
    return browser.text


def test_switches_are_changed_where_sentry_is(both: BothSides, manager: Browser):
    assert 'name="snooze"' not in page_of(manager)
    assert (
        'href="/integrations/' in manager.text.partition("Joined with acme")[2].partition("</s")[0]
    )
    assert 'name="snooze"' in page_of(manager, "/sentry")
    manager.post(
        "/integrations/sentry/switches",
        {"acknowledge": "both", "resolve": "on", "snooze": "on"},
    )
    assert "Saved" in manager.text
    assert manager.response.url.path.endswith("/sentry")
    assert switches_of(both.world) == Switches(
        acknowledge=Acknowledging.BOTH, resolve=True, snooze=True, link=False
    )


def test_what_a_form_cannot_say_is_refused(both: BothSides, manager: Browser):
    before = switches_of(both.world)
    page_of(manager, "/sentry")
    response = manager.post("/integrations/sentry/switches", {"acknowledge": "loudly"})
    assert response.status_code == 422
    assert "off, assign, note or both" in manager.text
    assert switches_of(both.world) == before


def test_who_may_not_configure_reads_what_is_on(both: BothSides):
    viewer = signed_in(both.world, "viewer")
    text = page_of(viewer)
    assert "Joined with acme" in text
    assert 'action="/integrations/' not in text.partition("Joined with acme")[2].partition("</s")[0]


def test_the_page_counts_the_webhooks_that_were_lost_this_week(both: BothSides, manager: Browser):
    def counted() -> str:
        texts = {counted_on(tab) for tab in ("", "/sentry")}
        assert len(texts) == 1
        return texts.pop()

    def counted_on(tab: str) -> str:
        text = page_of(manager, tab).partition("Webhooks lost in the last 7 days")[2]
        return text.partition("<dd>")[2].partition("<")[0].strip()

    both.breaks()
    both.lose_all()
    assert counted() == "0"
    both.forward(minutes=10)
    assert counted() == "1"
    both.world.jump(days=8)
    manager = signed_in(both.world, "manager")
    assert counted() == "0"


def test_the_page_of_an_incident_says_where_it_broke(both: BothSides, manager: Browser):
    both.breaks(release="backend@2.7.1", commits={"cat@example.com": "<b>Round</b> totals"})
    both.deliver_all()
    manager.get("/incidents/1")
    assert "checkout/views.py:42 in charge" in manager.text
    assert "backend@2.7.1" in manager.text
    assert "&lt;b&gt;Round&lt;/b&gt; totals" in manager.text
    manager.get("/incidents/1.md")
    assert "**Where**" in manager.text


def test_the_page_of_an_incident_says_that_sentry_could_not_be_asked(
    both: BothSides, manager: Browser
):
    both.sentry.do("faults", status=403, path="/events/")
    both.breaks()
    both.deliver_all()
    manager.get("/incidents/1")
    assert "Sentry could not be asked" in manager.text
    assert "event:read" in manager.text


def test_the_api_shows_and_changes_the_switches(both: BothSides):
    world = both.world
    shown = world.api("GET", "/integrations/sentry/sentry")
    assert shown["organization"] == "acme"
    assert shown["switches"] == {
        "acknowledge": "off", "resolve": False, "note": False, "snooze": False, "link": True,
    }  # fmt: skip
    assert (shown["lost_webhooks"], shown["waiting"], shown["failed"]) == (0, 0, 0)
    assert "token" not in str(shown)
    changed = world.api("PATCH", "/integrations/sentry/sentry", {"acknowledge": "assign"})
    assert changed["switches"]["acknowledge"] == "assign"
    assert changed["switches"]["link"] is True
    for wrong in ({"acknowledge": "loudly"}, {"resolve": "yes"}, {"unknown": True}):
        response = world.call("PATCH", "/integrations/sentry/sentry", wrong)
        assert response.status_code == 400, response.text


def test_what_is_not_connected_is_not_there(world: World):
    response = world.call("GET", "/integrations/sentry/sentry")
    assert response.status_code == 404
    assert "tocsin sentry connect" in response.json()["detail"]


def findings(both: BothSides, folder: Path) -> list[str]:
    world = both.world
    with world.database.read() as connection:
        patient = Patient(
            connection=connection,
            plans=world.plans.current(connection),
            now=world.now,
            data_dir=folder,
            public_url="https://tocsin.example.com",
            has_smtp=True,
        )
        return [one.text for one in examine(patient) if one.check == "Sentry"]


def test_the_doctor_tells_of_what_could_not_be_done_in_sentry(both: BothSides, tmp_path: Path):
    both.world.api("PATCH", "/integrations/sentry/sentry", {"resolve": True})
    both.breaks()
    both.deliver_all()
    assert findings(both, tmp_path) == []
    both.sentry.do("faults", status=403, method="PUT")
    both.world.act("ann", respond.resolve)
    (failed,) = findings(both, tmp_path)
    assert failed == "sentry: 1 acts could not be done in Sentry within the last day"
    both.sentry.do("faults", status=500)
    both.forward(minutes=6)
    assert any("Sentry cannot be asked since" in text for text in findings(both, tmp_path))


def test_apply_leaves_a_connection_alone(both: BothSides):
    """Its token is in no file; so are its switches."""
    before = switches_of(both.world)
    # As connecting does, which stores a client secret that no file has.
    both.world.api("PATCH", "/integrations/sentry", {"signing_secrets": ["of-the-application"]})
    both.world.configure(people("payments"), SERVICE, ONE_STEP)
    assert switches_of(both.world) == before
    (sentry,) = both.world.plans.refresh().integrations.values()
    assert sentry.signing_secrets == ("of-the-application",)
