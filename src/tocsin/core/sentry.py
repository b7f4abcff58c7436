"""What is done in Sentry for what people do here: each by a switch of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Acknowledging(StrEnum):
    """What an acknowledgement here does in Sentry."""

    OFF = "off"
    #: The issue is assigned to whoever acknowledged, if Sentry knows their e-mail address.
    ASSIGN = "assign"
    NOTE = "note"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What one connection does in Sentry."""

    acknowledge: Acknowledging = Acknowledging.OFF
    #: Resolved here by a person: resolved there.
    resolve: bool = False
    #: A note here: a note there.
    note: bool = False
    #: Snoozed here: archived there until then.
    snooze: bool = False
    #: The incident is linked in the sidebar of the issue.
    link: bool = True

    @property
    def assigns(self) -> bool:
        """Whether an acknowledgement assigns the issue."""
        return self.acknowledge in (Acknowledging.ASSIGN, Acknowledging.BOTH)

    @property
    def notes_acknowledgement(self) -> bool:
        """Whether an acknowledgement is noted on the issue."""
        return self.acknowledge in (Acknowledging.NOTE, Acknowledging.BOTH)
