"""The link in a message: it shows one incident, and only its button acknowledges."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest

from tests.browsing import Browser, signed_in
from tests.world import BASE, World
from tocsin.core.model import Incident
from tocsin.store import incidents
from tocsin.work.answer import answer_url


def incident_of(world: World) -> Incident:
    """Return incident 1 as the rules see it."""
    id_ = world.incident().id
    with world.database.read() as connection:
        return incidents.load(connection, [id_])[id_]


@pytest.fixture
def link(world: World) -> str:
    """Give the link in the page that Ann got for incident 1."""
    world.sentry("issue.created", title="Cart is <b>broken</b>")
    document = msgspec.json.decode(world.expect("ann").message.document)
    url: str = document["data"]["acknowledge_url"]
    assert url.startswith(f"{BASE}/a/")
    return url.removeprefix(BASE)


def test_opening_it_any_number_of_times_acknowledges_nothing(world: World, link: str):
    before = world.kinds()
    for method in ("GET", "HEAD"):
        for _ in range(50):
            assert world.raw(method, link).status_code == 200
    assert world.raw("PUT", link).status_code in (404, 405)
    assert (world.incident().status, world.kinds()) == ("triggered", before)


def test_it_shows_the_incident_and_nothing_else_of_the_installation(world: World, link: str):
    world.sentry("issue.created", 2, title="Something else")
    world.forget()
    anybody = Browser(world)
    anybody.get(link)
    for word in ("Cart is <b>broken</b>", "checkout", "triggered", "Acknowledge as Ann"):
        assert word in anybody.words
    for word in (
        "Something else",
        "Bob",
        "Cat",
        "default",
        "payments",
        "sentry:issue",
        "Deliveries",
    ):
        assert word not in anybody.words


def test_the_button_acknowledges_as_the_person_it_was_for(world: World, link: str):
    anybody = Browser(world)
    anybody.get(link)
    anybody.post(link, {"do": "acknowledge"})
    assert "Acknowledged by you." in anybody.words
    incident = world.incident()
    assert (incident.status, incident.acknowledged_by) == ("acknowledged", "ann@example.com")
    assert incident.timeline[-1].text == "acknowledged by link"
    world.forget()


def test_who_acknowledged_can_take_it_back_for_five_minutes(world: World, link: str):
    anybody = Browser(world)
    anybody.get(link)
    anybody.post(link, {"do": "acknowledge"})
    world.forget()
    world.forward(minutes=4)
    anybody.get(link)
    anybody.post(link, {"do": "undo"})
    assert "Taken back: it pages again." in anybody.words
    assert world.incident().status == "triggered"
    assert "acknowledgement undone" in [entry.text for entry in world.incident().timeline]
    world.expect("ann")


def test_after_five_minutes_it_stays(world: World, link: str):
    anybody = Browser(world)
    anybody.get(link)
    anybody.post(link, {"do": "acknowledge"})
    world.forget()
    world.forward(minutes=5)
    anybody.get(link)
    assert "Undo" not in anybody.words
    anybody.get("/login")
    anybody.post(link, {"do": "undo"})
    assert "only an acknowledgement of your own can be taken back" in anybody.words
    assert world.incident().status == "acknowledged"


def test_what_somebody_else_acknowledged_cannot_be_taken_back(world: World, link: str):
    bob = signed_in(world, "bob")
    bob.get("/incidents/1")
    bob.post("/incidents/1/acknowledge")
    world.forget()
    anybody = Browser(world)
    anybody.get(link)
    assert "Undo" not in anybody.words
    anybody.get("/login")
    anybody.post(link, {"do": "undo"})
    assert world.incident().acknowledged_by == "bob@example.com"


def test_a_second_press_changes_nothing(world: World, link: str):
    anybody = Browser(world)
    anybody.get(link)
    for _ in range(3):
        anybody.post(link, {"do": "acknowledge"})
    assert world.kinds().count("acknowledged") == 1
    world.forget()


def test_a_form_from_elsewhere_acknowledges_nothing(world: World, link: str):
    form = "application/x-www-form-urlencoded"
    response = world.ask("POST", link, b"do=acknowledge", {"content-type": form})
    assert response.status_code == 403
    assert world.incident().status == "triggered"


def test_an_old_link_says_so(world: World, link: str):
    world.forward(hours=25)
    world.forget()
    anybody = Browser(world)
    assert anybody.get(link).status_code == 410
    assert "This link is older than 24 hours: sign in to see the incident." in anybody.words
    assert 'href="/login"' in anybody.text
    anybody.get("/login")
    assert anybody.post(link, {"do": "acknowledge"}).status_code == 410
    assert world.incident().status == "triggered"


def test_an_altered_link_is_good_for_nothing(world: World, link: str):
    world.sentry("issue.created", 2)
    world.forget()
    signature, number, minute, tail = link.removeprefix("/a/").split(".")
    bob = world.user("bob").id[-12:]
    wrong = [
        f"{signature}.2.{minute}.{tail}",
        f"{signature}.{number}.{int(minute, 16) + 60:x}.{tail}",
        f"{signature}.{number}.{minute}.{bob}",
        f"{signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}.{number}.{minute}.{tail}",
        f"{signature}.{'9' * 18}.{minute}.{tail}",
        "x",
        "%00",
    ]
    anybody = Browser(world)
    for token in wrong:
        assert anybody.get(f"/a/{token}").status_code in (400, 404), token
        assert "checkout" not in anybody.words, token


def test_the_link_of_somebody_who_left_is_good_for_nothing(world: World, link: str):
    left = answer_url(world.vault, "", incident_of(world), "usr_gone00000000", world.now)
    assert Browser(world).get(left).status_code == 404
    assert world.incident().status == "triggered"


def test_the_link_is_short_enough_for_a_text_message(world: World, link: str):
    assert len(link.removeprefix("/a/")) <= 60
    assert re.fullmatch(r"/a/[A-Za-z0-9_.-]+[a-z0-9]", link)


def test_it_works_for_who_is_signed_in(world: World, link: str):
    bob = signed_in(world, "bob")
    bob.get(link)
    assert 'href="/incidents/1">Open the incident' in bob.text


def test_it_is_good_for_a_day(world: World, link: str):
    world.now += timedelta(hours=23)
    assert world.raw("GET", link).status_code == 200
