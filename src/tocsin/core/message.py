"""The words of a message to a person, once for all channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tocsin.core.model import (
    Incident,
    MessageType,
)
from tocsin.core.text import one_line

#: Titles that a message about many incidents names; the rest it counts.
NAMED = 10


@dataclass(frozen=True, slots=True)
class Words:
    """A message for people: one line, and a few; and how to answer, where one can."""

    subject: str
    text: str
    reply: str = ""


_MARK = {
    MessageType.PAGE: "",
    MessageType.ACKNOWLEDGED: "Acknowledged: ",
    MessageType.RESOLVED: "Resolved: ",
}


def words(
    type_: MessageType,
    incident: Incident,
    service: str,
    reason: str,
    url: str,
    answer_url: str | None = None,
    context: Sequence[tuple[str, str]] = (),
) -> Words:
    """Write what a person needs at three in the morning: what, how bad, why me, where to tap.

    ``answer_url`` acknowledges without signing in; ``context`` is what is known besides, each with
    its name.
    """
    mark = "[test] " if incident.is_test else ""
    head = f"[#{incident.number} {incident.severity}] {mark}{_MARK[type_]}{incident.title}"
    lines = [
        f"{mark}{incident.title}",
        "",
        f"Incident   #{incident.number}, {incident.status}",
        f"Service    {service}",
        f"Source     {incident.source}" if incident.source else "",
        f"Severity   {incident.severity} ({incident.urgency} urgency)",
        f"Since      {incident.triggered_at:%Y-%m-%d %H:%M} UTC",
        f"Seen       {incident.occurrence_count} times" if incident.occurrence_count > 1 else "",
        *(f"{name:<10} {text}" for name, text in context),
        f"Why you    {reason}",
        "",
        f"Acknowledge:  {answer_url}" if answer_url else "",
        f"Incident:     {url}",
        f"Source:       {incident.link}" if incident.link else "",
    ]
    kept = [line for at, line in enumerate(lines) if line or at in (1, 9 + len(context))]
    return _written(head, kept)


def words_of_many(incidents: Sequence[Incident], service: str, url: str) -> Words:
    """Write one message about several incidents of a service."""
    head = f"{len(incidents)} unacknowledged on {service}"
    named = [f"#{one.number} {one.severity}  {one.title}" for one in incidents[:NAMED]]
    more = len(incidents) - len(named)
    lines = [
        head,
        "",
        *named,
        *([f"and {more} more"] if more else []),
        "",
        f"Acknowledge or resolve:  {url}",
    ]
    return _written(head, lines)


def _written(subject: str, lines: Sequence[str]) -> Words:
    """Put lines together: what is said in one begins no other, and looks like no other."""
    return Words(one_line(subject), "\n".join(one_line(line) for line in lines) + "\n")


def answerable(said: Words, code: int, count: int) -> Words:
    """Add how to answer."""
    whom = f"all {count}" if count > 1 else "it"
    reply = f"Reply {code}a to acknowledge {whom}, {code}c to close {whom}."
    return replace(said, text=f"{said.text}\n{reply}\n", reply=reply)


def words_of_code(code: str, minutes: int) -> Words:
    """Write the code that verifies a contact method."""
    text = f"{code} is your Tocsin code. It is good for {minutes} minutes."
    return Words(text, f"{text}\nIf you did not ask for it, do nothing: nothing more will come.\n")


def words_of_notice(subject: str, *lines: str) -> Words:
    """Write a message that is about no incident."""
    return _written(subject, (subject, *lines))


def words_of_invitation(name: str, url: str, until: str) -> Words:
    """Write the link by which somebody chooses their first password."""
    subject = "You are invited to Tocsin"
    return words_of_notice(
        subject,
        "",
        f"{name}, this link lets you choose a password. It is good once, until {until}:",
        "",
        url,
    )


def words_of_reset(name: str, url: str, until: str) -> Words:
    """Write the link by which somebody chooses a new password."""
    return words_of_notice(
        "Choose a new Tocsin password",
        "",
        f"{name}, this link lets you choose a new password. It is good once, until {until}:",
        "",
        url,
        "",
        "If you did not ask for it, do nothing: your password stays as it is.",
    )
