"""Answers to messages."""

from __future__ import annotations

import pytest

from tests.builders import NOW, an_incident, at
from tocsin.core.model import (
    Actor,
    IncidentStatus,
)
from tocsin.core.reply import LAST_CODE, Ask, Code, Command, Subject, assign, concerns, parse

ANN = Actor(name="ann@example.com", user_id="usr_ann")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("1a", Command(Ask.ACKNOWLEDGE, 1)),
        (" 1 ack ", Command(Ask.ACKNOWLEDGE, 1)),
        ("12A.", Command(Ask.ACKNOWLEDGE, 12)),
        ("2c", Command(Ask.CLOSE, 2)),
        ("2 Close!", Command(Ask.CLOSE, 2)),
        ("3r", Command(Ask.CLOSE, 3)),
        ("HELP", Command(Ask.HELP)),
        ("?", Command(Ask.HELP)),
        ("", None),
        ("a", None),
        ("1", None),
        ("a1", None),
        ("100a", None),
        ("-1a", None),
        ("1a 2a", None),
        ("1x", None),
        ("\u0661a", None),
        ("1a" * 10_000, None),
    ],
)
def test_an_answer_is_read(text: str, command: Command | None):
    assert parse(text) == command


def incident(number: int) -> Subject:
    return Subject(incident_id=f"inc_{number}")


def test_a_subject_keeps_its_number_and_a_new_one_gets_the_lowest_that_is_free():
    known = [Code(1, incident(1), NOW), Code(3, incident(3), NOW)]
    given = assign(known, [incident(3), incident(9)], at(minutes=1))
    assert {subject: code.code for subject, code in given.items()} == {
        incident(3): 3,
        incident(9): 2,
    }
    assert all(code.used_at == at(minutes=1) for code in given.values())


def test_when_all_are_taken_the_one_used_longest_ago_is_taken_again():
    known = [Code(n, incident(n), at(minutes=n)) for n in range(1, LAST_CODE + 1)]
    known[41] = Code(42, incident(42), at(minutes=-5))
    assert assign(known, [incident(200)], at(days=1))[incident(200)].code == 42


def test_of_more_subjects_than_numbers_no_two_share_one():
    many = [incident(n) for n in range(250)]
    given = assign([], many, NOW)
    assert sorted(code.code for code in given.values()) == list(range(1, LAST_CODE + 1))
    assert many[-1] in given


@pytest.mark.parametrize(
    ("ask", "status", "by", "is_meant"),
    [
        (Ask.ACKNOWLEDGE, IncidentStatus.TRIGGERED, None, True),
        (Ask.ACKNOWLEDGE, IncidentStatus.ACKNOWLEDGED, "bob@example.com", False),
        (Ask.CLOSE, IncidentStatus.TRIGGERED, None, True),
        (Ask.CLOSE, IncidentStatus.ACKNOWLEDGED, "ann@example.com", True),
        (Ask.CLOSE, IncidentStatus.ACKNOWLEDGED, "bob@example.com", False),
        (Ask.CLOSE, IncidentStatus.SNOOZED, "ann@example.com", False),
    ],
)
def test_what_an_answer_for_a_service_concerns(
    ask: Ask, status: IncidentStatus, by: str | None, is_meant: bool
):
    assert concerns(ask, an_incident(status=status, acknowledged_by=by), ANN) is is_meant
