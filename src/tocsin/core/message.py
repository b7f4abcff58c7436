"""The words of a message to a person, once for all channels."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.core.model import (
    Incident,
    MessageType,
)


@dataclass(frozen=True, slots=True)
class Words:
    """A message for people: one line, and a few."""

    subject: str
    text: str


_MARK = {
    MessageType.PAGE: "",
    MessageType.ACKNOWLEDGED: "Acknowledged: ",
    MessageType.RESOLVED: "Resolved: ",
}


def words(
    type_: MessageType, incident: Incident, service: str, reason: str, acknowledge_url: str
) -> Words:
    """Write what a person needs at three in the morning: what, how bad, why me, where to tap."""
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
        f"Why you    {reason}",
        "",
        f"Acknowledge or resolve:  {acknowledge_url}",
        f"At the source:           {incident.link}" if incident.link else "",
    ]
    kept = [line for at, line in enumerate(lines) if line or at in (1, 9)]
    return Words(subject=head, text="\n".join(kept) + "\n")
