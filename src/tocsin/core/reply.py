"""Answers to messages: ``1a`` acknowledges what number 1 stands for, ``1c`` closes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from tocsin.core.model import (
    Actor,
    Incident,
    IncidentStatus,
)

#: The highest number; when all are taken, the one that was used the longest ago is taken again.
LAST_CODE = 99


class Ask(Enum):
    """What an answer asks for."""

    ACKNOWLEDGE = "acknowledge"
    CLOSE = "close"
    HELP = "help"


_WORDS: Mapping[str, Ask] = {
    "a": Ask.ACKNOWLEDGE,
    "ack": Ask.ACKNOWLEDGE,
    "acknowledge": Ask.ACKNOWLEDGE,
    "c": Ask.CLOSE,
    "close": Ask.CLOSE,
    "r": Ask.CLOSE,
    "resolve": Ask.CLOSE,
}
_HELP = frozenset({"help", "?"})
_ANSWER = re.compile(r"([0-9]{1,2})\s*([a-z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    """An answer, read."""

    ask: Ask
    code: int = 0


def parse(text: str) -> Command | None:
    """Read an answer: ``1a``, ``1 ack``, ``2C``, ``1 close``, ``help``; None for anything else."""
    said = text.strip().casefold().rstrip(".!")
    if said in _HELP:
        return Command(Ask.HELP)
    match = _ANSWER.fullmatch(said)
    ask = _WORDS.get(match[2]) if match else None
    return Command(ask, int(match[1])) if match and ask else None


@dataclass(frozen=True, slots=True)
class Subject:
    """What a number stands for: an incident, or all that was paged of a service."""

    incident_id: str | None = None
    service_id: str | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """A number in use at one contact method."""

    code: int
    subject: Subject
    used_at: datetime


def assign(known: Iterable[Code], wanted: Iterable[Subject], now: datetime) -> dict[Subject, Code]:
    """Give each subject its number: the one it has, else a free one, else the one used longest ago.

    Of more subjects than there are numbers the first go without.
    """
    by_number = {one.code: one for one in known}
    by_subject = {one.subject: one.code for one in by_number.values()}
    found: dict[Subject, Code] = {}
    for subject in wanted:
        number = by_subject.get(subject)
        if number is None:
            free = (n for n in range(1, LAST_CODE + 1) if n not in by_number)
            number = next(free, None) or min(by_number, key=lambda n: (by_number[n].used_at, n))
            if number in by_number:
                lost = by_number[number].subject
                by_subject.pop(lost, None)
                found.pop(lost, None)
        found[subject] = by_number[number] = Code(number, subject, now)
        by_subject[subject] = number
    return found


#: What is said of an incident that is so already.
_ALREADY: Mapping[tuple[Ask, IncidentStatus], str] = {
    (Ask.ACKNOWLEDGE, IncidentStatus.ACKNOWLEDGED): "already acknowledged",
    (Ask.ACKNOWLEDGE, IncidentStatus.RESOLVED): "already closed",
    (Ask.CLOSE, IncidentStatus.RESOLVED): "already closed",
}
_DONE = {Ask.ACKNOWLEDGE: "acknowledged", Ask.CLOSE: "closed"}

HELP = "Reply with the number and a letter: 1a to acknowledge, 1c to close."


def concerns(ask: Ask, incident: Incident, by: Actor) -> bool:
    """Whether an answer for a whole service is about this incident, too.

    Acknowledging takes what nobody has; closing ends that, and what this person had taken.
    """
    if incident.status is IncidentStatus.TRIGGERED:
        return True
    mine = incident.status is IncidentStatus.ACKNOWLEDGED and incident.acknowledged_by == by.name
    return ask is Ask.CLOSE and mine


def told_of_one(ask: Ask, before: Incident) -> str:
    """Say what an answer did to an incident that was so before."""
    done = _ALREADY.get((ask, before.status)) or _DONE[ask]
    return f"#{before.number} {done}: {before.title}"


def told_of_many(ask: Ask, count: int, service: str) -> str:
    """Say what an answer did to what was paged of a service."""
    if count == 0:
        return f"{service}: already {_DONE[ask]}"
    return f"{service}: {count} {_DONE[ask]}"


def told_unknown(code: int) -> str:
    """Say that a number stands for nothing."""
    return f"There is no {code} here. {HELP}"
