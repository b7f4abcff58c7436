"""Read a body with a dialect's tables. Nothing here knows a vendor.

A dialect is data (``tocsin/dialects/*.toml``). It names the *shapes* a body may have, where in each
shape a field is found (``core/place.py``), and what the words found there mean. ``read`` applies
it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from tocsin.core.body import Body
from tocsin.core.model import (
    Knowledge,
    Priority,
    Severity,
    Sight,
    Signal,
    Verb,
)
from tocsin.core.place import Place, as_text, dig, pairs_of, values_at
from tocsin.core.plans import (
    Integration,
    Overrides,
)
from tocsin.core.text import bounded_key, clean

T = TypeVar("T")

#: The fields a shape or a dialect may place, and nothing else (the loader refuses other names).
FIELDS = frozenset({
    "id", "action", "status", "level", "priority", "title", "link", "project", "environment",
    "tags", "test", "occurred_at", "actor", "assignee", "comment", "description", "substatus",
    "events", "users", "release", "kind", "choices",
})  # fmt: skip

#: Tags kept for routes; a body may carry thousands.
MAX_TAGS = 100

#: Choices of a rule that are read; there are as many as its form has fields.
MAX_CHOICES = 20


_TEXT_OR_OBJECT = (str, dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One form a body may take."""

    #: Its name, and the resource of a delivery read by it.
    resource: str
    #: Of every group at least one place holds text or an object, else the body has another shape.
    needs: tuple[tuple[Place, ...], ...]
    #: Whether the resource named by the sender is needed too (bodies with nothing to tell them by).
    by_header_only: bool
    roots: tuple[tuple[str, ...], ...]
    #: The row of ``Dialect.dedup``; None for a shape that concerns no alert.
    dedup: str | None
    #: With no id: the dedup key is the digest of these.
    digest: tuple[Place, ...]
    fields: Mapping[str, tuple[Place, ...]]
    #: The last resort for a title; ``{id}`` is filled in.
    untitled: str
    #: Whether ``{sentry_url}/issues/{id}/`` is this shape's page at the source.
    has_issue_page: bool

    def fits(self, body: Body) -> bool:
        """Whether the body has this shape."""
        for group in self.needs:
            if not any(isinstance(dig(body, place.keys), _TEXT_OR_OBJECT) for place in group):
                return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A vendor's way to read a source, validated at start."""

    name: str
    shapes: tuple[Shape, ...]
    #: ``resource.action`` (or ``resource.prefix*``) to verb; what is not listed is stored only.
    action: Mapping[str, Verb]
    #: Another word for the same ``resource.action``.
    aliases: Mapping[str, str]
    #: ``resource.status`` to verb; beats the action.
    status: Mapping[str, Verb]
    severity: Mapping[str, Severity]
    default_severity: Severity
    priority: Mapping[str, Priority]
    dedup: Mapping[str, str]
    #: ``resource.action`` to the sentence on the timeline.
    text: Mapping[str, str]
    #: The word of the field ``substatus``, or else ``resource.action``, to how it comes.
    sight: Mapping[str, Sight]
    #: Words of the field ``kind`` that say that it was made of a metric alert.
    metric_kinds: frozenset[str]
    #: The source of a signal with a project, and of one without.
    named_source: str
    source: str
    #: Titles that say nothing.
    empty_titles: frozenset[str]
    details: Mapping[str, tuple[Place, ...]]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What identifies a body: all that intake needs."""

    shape: Shape
    action: str | None
    #: ``resource.action``, as the tables are keyed.
    event: str
    #: The source's own identifier of the subject.
    id: str | None
    dedup_key: str | None
    roots: tuple[Any, ...]


def identify(dialect: Dialect, body: Body, resource: str | None) -> Reading | None:
    """Say which shape a body has and which alert it is about; None if nobody understands it.

    ``resource`` is what the sender named (Sentry's ``Sentry-Hook-Resource`` header), or None. It
    decides where the body holds its object; else the first shape that fits does.
    """
    shape = _shape(dialect, body, resource)
    if shape is None:
        return None
    roots = tuple(dig(body, keys) for keys in shape.roots)
    word = first(body, roots, shape.fields.get("action", ()))
    event = f"{shape.resource}.{word or ''}"
    id_ = first(body, roots, shape.fields.get("id", ()))
    return Reading(
        shape=shape,
        action=as_text(body.get("action")),
        event=dialect.aliases.get(event, event),
        id=id_,
        dedup_key=_dedup_key(dialect, shape, roots, id_),
        roots=roots,
    )


def _shape(dialect: Dialect, body: Body, resource: str | None) -> Shape | None:
    named = next((shape for shape in dialect.shapes if shape.resource == resource), None)
    if named is not None and not named.by_header_only and named.fits(body):
        return named
    fitting = (shape for shape in dialect.shapes if not shape.by_header_only and shape.fits(body))
    return next(fitting, named if named is not None and named.by_header_only else None)


def _dedup_key(
    dialect: Dialect, shape: Shape, roots: tuple[Any, ...], id_: str | None
) -> str | None:
    if shape.dedup is None:
        return None
    if id_ is not None:
        return bounded_key(dialect.dedup[shape.dedup].format(id=id_))
    if not shape.digest:
        return None
    values = [next((dig(root, p.keys) for root in roots), None) for p in shape.digest]
    text = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def first(body: Body, roots: Sequence[Any], places: Sequence[Place]) -> str | None:
    """Return the first text found at any of the places."""
    for place in places:
        text = place.first(body, roots)
        if text is not None:
            return text
    return None


def read(
    dialect: Dialect,
    body: Body,
    resource: str | None,
    integration: Integration | None = None,
) -> Signal | None:
    """Read one body; None if nobody understands it: a dedup key is never guessed.

    ``integration`` lays its overrides over the tables and lends its address for links.
    """
    reading = identify(dialect, body, resource)
    if reading is None:
        return None
    overrides = integration.overrides if integration else Overrides()
    find = _Finder(body, reading)
    verb = _verb(dialect, reading, find("status"), overrides).value
    if reading.dedup_key is None and verb in _TOUCHING:
        return None
    project = find("project")
    return Signal(
        resource=reading.shape.resource,
        action=clean(reading.action, 100) if reading.action else None,
        verb=verb,
        dedup_key=reading.dedup_key,
        title=clean(_title(dialect, find)),
        severity=_severity(dialect, find, overrides).value,
        priority=_priority(dialect, find("priority"), overrides).value,
        source=clean(
            dialect.named_source.format(project=project) if project else dialect.source, 200
        ),
        link=_link(find, integration),
        level=find("level"),
        environment=find("environment"),
        projects=tuple(dict.fromkeys(find.all("project"))),
        tags=tuple(_tags(find)),
        is_test=find("test") == "yes",
        occurred_at=instant(find.value("occurred_at")),
        text=clean(_text(dialect, find)),
        actor=clean(find("actor") or "", 200),
        details={
            name: clean(text, 500)
            for name, places in dialect.details.items()
            if (text := first(body, reading.roots, places))
        },
        known=_known(dialect, reading, find),
        choices=tuple(_choices(find))[:MAX_CHOICES],
    )


def _known(dialect: Dialect, reading: Reading, find: _Finder) -> Knowledge:
    about = reading.shape.dedup or ""
    release = find("release")
    by_event = dialect.sight.get(reading.event)
    by_word = dialect.sight.get(find("substatus") or "")
    sight = by_event if by_event is Sight.UNTOLD else by_word or by_event
    return Knowledge(
        about=about,
        sight=None if sight is Sight.UNTOLD else sight,
        event_count=_count(find("events")),
        user_count=_count(find("users")),
        release=clean(release, 200) if release else None,
        is_metric=about == "metric" or not dialect.metric_kinds.isdisjoint(find.all("kind")),
    )


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None


def _choices(find: _Finder) -> Iterator[tuple[str, str]]:
    """Yield names and values from the first place that has any."""
    for place in find.reading.shape.fields.get("choices", ()):
        roots = (find.body,) if place.is_absolute else find.reading.roots
        for root in roots:
            for found in values_at(find.body, root, place.keys):
                named = [(name, as_text(value)) for name, value in pairs_of(found)]
                chosen = [(clean(name, 100), clean(text, 200)) for name, text in named if text]
                if chosen:
                    yield from chosen
                    return


#: Verbs that cannot be followed without knowing the alert.
_TOUCHING = frozenset({Verb.TRIGGER, Verb.ACKNOWLEDGE, Verb.RESOLVE, Verb.REGRESS})


@dataclass(frozen=True, slots=True)
class _Finder:
    """The fields of one body under one shape."""

    body: Body
    reading: Reading

    def __call__(self, name: str) -> str | None:
        places = self.reading.shape.fields.get(name, ())
        return first(self.body, self.reading.roots, places)

    def all(self, name: str) -> Iterator[str]:
        for place in self.reading.shape.fields.get(name, ()):
            yield from place.find(self.body, self.reading.roots)

    def value(self, name: str) -> Any:
        """Return the first value of whatever type."""
        values = (
            dig(root, place.keys)
            for place in self.reading.shape.fields.get(name, ())
            for root in ((self.body,) if place.is_absolute else self.reading.roots)
        )
        return next((value for value in values if value is not None), None)


class Row(NamedTuple, Generic[T]):
    """The row of a table that a value came from."""

    value: T
    #: ``override``, ``status``, ``dialect``, or ``default`` where no row fits.
    table: str
    #: As the table has it; for a default, the word that no row fits.
    key: str


def _verb(
    dialect: Dialect, reading: Reading, status: str | None, overrides: Overrides
) -> Row[Verb]:
    worded = f"{reading.shape.resource}.{status}"
    by_status = dialect.status.get(worded)
    if by_status is not None:
        return Row(by_status, "status", worded)
    own = {dialect.aliases.get(event, event): verb for event, verb in overrides.action.items()}
    for name, table in (("override", own), ("dialect", dialect.action)):
        if reading.event in table:
            return Row(table[reading.event], name, reading.event)
        prefixed = (key for key in table if key.endswith("*"))
        for key in prefixed:
            if reading.event.startswith(key[:-1]):
                return Row(table[key], name, key)
    return Row(Verb.NONE, "default", reading.event)


def _severity(dialect: Dialect, find: _Finder, overrides: Overrides) -> Row[Severity]:
    words = list(find.all("level"))
    for word in words:
        for name, table in (("override", overrides.severity), ("dialect", dialect.severity)):
            if word in table:
                return Row(table[word], name, word)
    return Row(dialect.default_severity, "default", next(iter(words), ""))


def _priority(dialect: Dialect, word: str | None, overrides: Overrides) -> Row[Priority | None]:
    for name, table in (("override", overrides.priority), ("dialect", dialect.priority)):
        if word is not None and word in table:
            return Row(table[word], name, word)
    return Row(None, "default", word or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A field of a signal, and where in the body its text was found."""

    name: str
    place: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Why a body was read as it was."""

    dialect: str
    #: The resource of the shape that fits.
    shape: str
    #: Whether the sender named it, in its header.
    is_named: bool
    #: Below which keys the fields were looked for.
    roots: tuple[str, ...]
    #: As the body says it, and as the tables have it.
    worded: str
    event: str
    verb: Row[Verb]
    severity: Row[Severity]
    priority: Row[Priority | None]
    #: The template of the dedup key; None for what concerns no alert, or has a key of its digest.
    dedup: str | None
    placed: tuple[Placed, ...]
    #: What became of it all; None where a verb touches an alert that nothing names.
    signal: Signal | None


#: The fields of which a trace says where they were found.
_TRACED = ("id", "title", "link", "level", "priority", "project", "environment", "status")


def trace(
    dialect: Dialect,
    body: Body,
    resource: str | None,
    integration: Integration | None = None,
) -> Trace | None:
    """Say how ``read`` reads a body, row by row; None if no shape fits."""
    reading = identify(dialect, body, resource)
    if reading is None:
        return None
    overrides = integration.overrides if integration else Overrides()
    find = _Finder(body, reading)
    shape = reading.shape
    word = first(body, reading.roots, shape.fields.get("action", ()))
    has_id = shape.dedup is not None and reading.id is not None
    return Trace(
        dialect=dialect.name,
        shape=shape.resource,
        is_named=resource == shape.resource,
        roots=tuple(".".join(keys) for keys in shape.roots),
        worded=f"{shape.resource}.{word or ''}",
        event=reading.event,
        verb=_verb(dialect, reading, find("status"), overrides),
        severity=_severity(dialect, find, overrides),
        priority=_priority(dialect, find("priority"), overrides),
        dedup=dialect.dedup[shape.dedup or ""] if has_id else None,
        placed=tuple(
            found for name in _TRACED if (found := _placed(dialect, find, name)) is not None
        ),
        signal=read(dialect, body, resource, integration),
    )


def _placed(dialect: Dialect, find: _Finder, name: str) -> Placed | None:
    """Return where a field was found, by the rule that ``read`` takes it by."""
    for place in find.reading.shape.fields.get(name, ()):
        for text in place.find(find.body, find.reading.roots):
            if name == "title" and text.strip() in dialect.empty_titles:
                continue
            if name == "link" and not _is_address(text):
                continue
            return Placed(name=name, place=place.text, text=clean(text, 200))
    return None


def _title(dialect: Dialect, find: _Finder) -> str:
    telling = (text for text in find.all("title") if text.strip() not in dialect.empty_titles)
    untitled = find.reading.shape.untitled
    return next(telling, untitled.format(id=find.reading.id or ""))


def _link(find: _Finder, integration: Integration | None) -> str | None:
    for url in find.all("link"):
        if _is_address(url):
            return clean(url, 2000)
    base = integration.sentry_url if integration else None
    if base and find.reading.shape.has_issue_page and (id_ := find.reading.id):
        return f"{base.rstrip('/')}/issues/{quote(clean(id_, 100), safe='')}/"
    return None


def _is_address(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _tags(find: _Finder) -> Iterator[tuple[str, str]]:
    for name, value in list(pairs_of(find.value("tags")))[:MAX_TAGS]:
        text = as_text(value)
        if text is not None:
            yield clean(name, 200), clean(text, 200)


#: ``[ to {assignee}]`` in a sentence: left out where what it names is not known.
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_NAME = re.compile(r"\{([a-z]+)\}")


def _text(dialect: Dialect, find: _Finder) -> str:
    resource, _, event = find.reading.event.partition(".")
    sentence = dialect.text.get(f"{resource}.{event}") or dialect.text.get(f"{resource}.*") or ""
    known = {"action": find.reading.action or "", "event": event}

    def fill(part: str) -> str:
        return _NAME.sub(lambda name: known.get(name[1]) or find(name[1]) or "", part)

    def maybe(part: re.Match[str]) -> str:
        names = _NAME.findall(part[1])
        return fill(part[1]) if all(known.get(name) or find(name) for name in names) else ""

    # Filled in from the outside: what a body says is never read as a template itself.
    pieces, end = [], 0
    for part in _OPTIONAL.finditer(sentence):
        pieces += [fill(sentence[end : part.start()]), maybe(part)]
        end = part.end()
    return "".join([*pieces, fill(sentence[end:])])


def instant(value: Any) -> datetime | None:
    """Read an instant: ISO 8601 text, or seconds since 1970; None for anything else."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
