"""What happened to an incident, in order: changes, and every attempt to tell people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tocsin.core.dialect import instant
from tocsin.core.model import TimelineKind
from tocsin.store.casefile import CaseFile
from tocsin.store.incidents import times
from tocsin.store.views import EntryView

#: Kind of entry to its picture; others have none of their own.
PICTURES = {
    TimelineKind.OPENED.value: "alert",
    TimelineKind.REPEATED.value: "alert",
    TimelineKind.RAISED.value: "up",
    TimelineKind.ACKNOWLEDGED.value: "person",
    TimelineKind.ACKNOWLEDGE_TIMEOUT.value: "clock",
    TimelineKind.SNOOZED.value: "moon",
    TimelineKind.WOKE.value: "clock",
    TimelineKind.RESOLVED.value: "check",
    TimelineKind.REOPENED.value: "alert",
    TimelineKind.STEP.value: "up",
    TimelineKind.PAGED.value: "bell",
    TimelineKind.PAGE_FAILED.value: "stop",
    TimelineKind.NOTE.value: "note",
    TimelineKind.REASSIGNED.value: "person",
    TimelineKind.ERROR.value: "stop",
}

#: Entries that tell of trouble.
_BAD = frozenset({TimelineKind.PAGE_FAILED.value, TimelineKind.ERROR.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the history."""

    at: datetime
    kind: str
    text: str
    actor: str
    #: How many entries of one kind it stands for, and since when.
    count: int = 1
    since: datetime | None = None

    @property
    def picture(self) -> str:
        """The name of its picture."""
        return PICTURES.get(self.kind, "info")

    @property
    def is_bad(self) -> bool:
        """Whether it tells of trouble."""
        return self.kind in _BAD


def history(case: CaseFile) -> list[Row]:
    """Return every change and every attempt, the latest first; repeats in a row are one line."""
    told = {
        (entry.data.get("notification_id"), entry.data.get("attempt"))
        for entry in case.entries
        if entry.data
    }
    rows = [_row(entry) for entry in case.entries]
    oldest = case.entries[-1].at if case.entries and case.has_more_entries else None
    for one in case.notifications:
        whom = one.user.name if one.user else "somebody who has left"
        for attempt in one.attempts:
            if (one.id, attempt.number) in told or (oldest and attempt.started_at < oldest):
                continue
            outcome = attempt.outcome or "on its way"
            what = f"attempt {attempt.number} to tell {whom} by {one.contact_method or one.channel}"
            said = f"{what}: {outcome}" + (f", {attempt.detail}" if attempt.detail else "")
            is_lost = attempt.outcome not in (None, "delivered")
            kind = TimelineKind.PAGE_FAILED if is_lost else TimelineKind.PAGED
            rows.append(Row(at=attempt.started_at, kind=kind.value, text=said, actor="tocsin"))
    rows.sort(key=lambda row: row.at, reverse=True)
    return _gathered(rows)


def _row(entry: EntryView) -> Row:
    is_repeat = entry.kind == TimelineKind.REPEATED.value
    count = times(entry.data) if is_repeat else 1
    since = entry.at if count > 1 else None
    return Row(at=entry.at, kind=entry.kind, text=entry.text, actor=entry.actor, count=count,
               since=since)  # fmt: skip


def _gathered(rows: list[Row]) -> list[Row]:
    """Let repeats that follow each other be one line."""
    found: list[Row] = []
    for row in rows:
        last = found[-1] if found else None
        if last and row.kind == last.kind == TimelineKind.REPEATED.value and row.text == last.text:
            found[-1] = Row(
                at=last.at,
                kind=last.kind,
                text=last.text,
                actor=last.actor,
                count=last.count + row.count,
                since=row.at,
            )
        else:
            found.append(row)
    return found


#: Names of details as people read them, in the order in which they help.
_FACTS = (
    ("culprit", "Culprit"),
    ("transaction", "Transaction"),
    ("environment", "Environment"),
    ("release", "Release"),
    ("level", "Level"),
    ("substatus", "Substatus"),
    ("rule", "Alert rule"),
    ("description", "Description"),
    ("platform", "Platform"),
    ("count", "Events"),
    ("user_count", "Users affected"),
    ("first_seen", "First seen"),
    ("last_seen", "Last seen"),
    ("assigned_to", "Assigned to"),
    ("url", "URL"),
    ("browser", "Browser"),
    ("os", "System"),
    ("device", "Device"),
    ("runtime", "Runtime"),
    ("server_name", "Server"),
    ("short_id", "Sentry id"),
)


#: Details that are instants.
_INSTANTS = frozenset({"first_seen", "last_seen"})


def facts_of(case: CaseFile) -> list[tuple[str, str | datetime]]:
    """Return what the source says of an incident, by its first alert; names people can read."""
    if not case.alerts:
        return []
    details = dict(case.alerts[0].details)
    known: list[tuple[str, str | datetime]] = []
    for name, label in _FACTS:
        if text := details.pop(name, ""):
            at = instant(text) if name in _INSTANTS else None
            known.append((label, at or text))
    others: list[tuple[str, str | datetime]] = [
        (name.replace("_", " ").capitalize(), text) for name, text in details.items() if text
    ]
    return [*known, *others]
