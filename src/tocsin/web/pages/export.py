"""One incident as Markdown, for a ticket or a write-up. What came from outside stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from tocsin.core.context import short
from tocsin.store.casefile import CaseFile
from tocsin.web.pages.history import facts_of, history
from tocsin.web.pages.visit import Visit

#: Whatever Markdown or the HTML in it could read as more than text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&:@$=-])")

#: A number at the beginning of a line would begin a list.
_NUMBERED = re.compile(r"^(\d+)\.", re.MULTILINE)


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line."""
    flat = " ".join(text.split())
    return _NUMBERED.sub(r"\1\\.", _SPECIAL.sub(r"\\\1", flat))


def _at(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def markdown(case: CaseFile, visit: Visit) -> str:
    """Write an incident with its facts and its whole history, the earliest first."""
    return "\n".join(_lines(case, visit)) + "\n"


def _lines(case: CaseFile, visit: Visit) -> Iterator[str]:
    one = case.view
    test = "\\[test\\] " if one.is_test else ""
    yield f"# {test}Incident {one.number}: {escaped(one.title)}"
    yield ""
    facts: list[tuple[str, str]] = [
        ("Status", one.status),
        ("Severity", one.severity),
        ("Priority", one.priority or ""),
        ("Urgency", one.urgency),
        ("Service", one.service.name if one.service else ""),
        ("Source", one.source),
        ("Who has it", ", ".join(person.name for person in one.assignees)),
        ("Began", _at(one.triggered_at)),
        ("Acknowledged", _at(one.acknowledged_at)),
        ("Resolved", _at(one.resolved_at)),
        ("Seen", f"{one.occurrence_count} times"),
        *((name, fact if isinstance(fact, str) else _at(fact)) for name, fact in facts_of(case)),
        *(short(case.context.context) if case.context and case.context.context else ()),
    ]
    yield from (f"- **{escaped(name)}**: {escaped(text)}" for name, text in facts if text)
    yield f"- **Page**: <{visit.back.public_url.rstrip('/')}/incidents/{one.number}>"
    if one.link:
        yield f"- **At the source**: {escaped(one.link)}"
    yield ""
    yield "## Timeline"
    yield ""
    if case.has_more_entries:
        yield "Only the latest entries are here."
        yield ""
    for row in reversed(history(case)):
        again = f" ({row.count} times since {_at(row.since)})" if row.count > 1 else ""
        yield f"- {_at(row.at)} **{escaped(row.actor)}** {escaped(row.text)}{again}"
