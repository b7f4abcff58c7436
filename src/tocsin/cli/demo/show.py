"""What has happened so far in the demo."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.sentry.sender import Answer
from tocsin.store.views import DeliveryView, IncidentView


@dataclass(slots=True)
class Step:
    """One step both ways between Sentry and Tocsin, and what came of it on either side."""

    says: str
    #: Where, and what: in the order in which it happened.
    told: tuple[tuple[str, str], ...] = ()
    #: What came before it was done, line by line.
    details: list[str] = field(default_factory=list)
    #: ``doing``, ``done`` or ``failed``.
    state: str = "doing"

    @property
    def line(self) -> str:
        """All of it in one line."""
        return " ".join(f"{where}: {what}." for where, what in self.told) or self.says


@dataclass(frozen=True, slots=True)
class Sent:
    """A webhook of the fake Sentry, as it says itself."""

    what: str
    was_dropped: bool
    #: What came back; 0 is nothing in time.
    status: int

    @property
    def is_right(self) -> bool:
        """Whether it was taken, or was not to come."""
        return self.was_dropped or 200 <= self.status < 300


@dataclass(slots=True)
class Show:
    """What has happened so far."""

    base: str
    api_key: str = ""
    password: str = ""
    scene: str = ""
    steps: list[Step] = field(default_factory=list)
    #: So many of them had come to an end when one looked last: all they brought about was seen.
    settled: int = 0
    sent: list[Sent] = field(default_factory=list)
    answers: list[tuple[str, Answer, bool]] = field(default_factory=list)
    pages: list[tuple[str, str, str, str]] = field(default_factory=list)
    #: Where whoever was paged last answers without signing in, by the number of the incident.
    links: dict[int, str] = field(default_factory=dict)
    deliveries: tuple[DeliveryView, ...] = ()
    incidents: tuple[IncidentView, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether every answer was the one it had to be, and every step came to its end."""
        return (
            all(right for _, _, right in self.answers)
            and all(one.is_right for one in self.sent)
            and all(step.state != "failed" for step in self.steps)
        )

    def has_rung(self, who: str, number: int) -> bool:
        """Whether somebody was paged about an incident."""
        return any(page[1:] == (who, "page", f"#{number}") for page in self.pages)
