"""What Sentry knows of the latest event of an issue, for whoever has to mend it."""

from __future__ import annotations

from datetime import datetime

import msgspec

#: How much of each is kept.
MOST_FRAMES = 5
MOST_TAGS = 20
MOST_PEOPLE = 5


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that Sentry suspects, and who wrote it."""

    name: str
    email: str = ""
    #: Short, as people write it.
    commit: str = ""
    #: The first line of its message.
    message: str = ""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of an event, once; every text is bounded."""

    #: ``ZeroDivisionError: division by zero``.
    exception: str = ""
    #: Where in our own code, the innermost first: ``checkout/views.py:42 in charge``.
    frames: tuple[str, ...] = ()
    release: str = ""
    environment: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    suspects: tuple[Suspect, ...] = ()
    #: Who owns the code, people and teams.
    owners: tuple[str, ...] = ()
    event_id: str = ""
    at: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing that a person could use."""
        return not (self.exception or self.frames or self.release or self.tags)


#: How long a line of a message is at most.
_LINE = 120


def short(context: Context) -> list[tuple[str, str]]:
    """Return what a message says of it: a few lines, each with its name."""
    suspect = next(iter(context.suspects), None)
    said = suspect and (f"{suspect.name}: {suspect.message}" if suspect.message else suspect.name)
    place = f"{context.release} ({context.environment})" if context.environment else context.release
    lines = (
        ("Where", next(iter(context.frames), "")),
        ("Release", place if context.release else ""),
        ("Suspect", said or ""),
        ("Owners", ", ".join(context.owners)),
    )
    return [(name, _cut(text)) for name, text in lines if text]


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
