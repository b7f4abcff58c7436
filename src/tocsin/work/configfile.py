"""The configuration file (contract section 3): YAML in, checked structs out, and back.

Whatever is wrong is told with file, line and a suggestion, and nothing of it is used.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import yaml

from tocsin.channels.base import REGISTRY
from tocsin.channels.email import check as check_email
from tocsin.core.model import (
    Priority,
    Role,
    Severity,
    Urgency,
    Verb,
)
from tocsin.work.noisefile import NoiseTable
from tocsin.work.schedulefile import (
    HoursTable,
    ScheduleTable,
    SupportHoursTable,
    Table,
    faults,
    known_zone,
    one_of,
    span,
    unique,
)

#: Where something stands in the file: keys and list positions from the top.
Path: TypeAlias = tuple[str | int, ...]

SOURCES = ("sentry", "events")
DIALECTS = ("auto", "native", "opsknight", "itoc360", "navi")
REPLAY = ("off", "strict")
MIN_KEY = 8


class BadFile(ValueError):
    """The file is wrong; one line per finding, each with file and line."""

    def __init__(self, findings: Iterable[str]) -> None:
        """Keep the findings."""
        self.findings = tuple(findings)
        super().__init__("\n".join(self.findings))


class ContactMethodTable(Table, kw_only=True):
    """How to reach a person."""

    name: str
    channel: str
    address: str
    #: A webhook's; made when absent.
    secret: str | None = None

    def __post_init__(self) -> None:
        """Check channel, address and secret."""
        one_of("channel", self.channel, REGISTRY)
        kind = REGISTRY[self.channel]
        wrong = kind.check(self.address)
        if wrong is None and self.secret is not None and not self.secret.startswith("stored:"):
            wrong = kind.check_secret(self.secret)
        if wrong:
            raise ValueError(wrong)


class RuleTable(Table, kw_only=True):
    """For this urgency, so long after the page, use this contact method."""

    urgency: Urgency
    after: str = "0s"
    contact_method: str

    def __post_init__(self) -> None:
        """Write the delay in one way."""
        self.after = span(self.after)


class UserTable(Table, kw_only=True):
    """A person."""

    email: str
    name: str
    role: Role = Role.RESPONDER
    time_zone: str = "UTC"
    contact_methods: list[ContactMethodTable] = []
    notification_rules: list[RuleTable] = []
    #: Every day, on the wall clock of ``time_zone``: pages of low urgency wait for its end.
    quiet_hours: HoursTable | None = None
    #: Whether to say when time on call begins and ends.
    handoff_notices: bool = False

    def __post_init__(self) -> None:
        """Check address, zone, and that rules name contact methods that are there."""
        if wrong := check_email(self.email):
            raise ValueError(wrong)
        known_zone(self.time_zone)
        names = [method.name for method in self.contact_methods]
        unique("contact method", names)
        for rule in self.notification_rules:
            one_of("contact method", rule.contact_method, names)


class TeamTable(Table, kw_only=True):
    """People who own services."""

    name: str
    members: list[str] = []


class TargetTable(Table, kw_only=True):
    """Whom a step names: exactly one of these."""

    user: str | None = None
    schedule: str | None = None
    team: str | None = None
    #: Addresses of people who are paged in turn, one at a time.
    round_robin: list[str] | None = None

    def __post_init__(self) -> None:
        """Check that one is named."""
        if sum(getattr(self, name) is not None for name in self.__struct_fields__) != 1:
            raise ValueError(f"a target names exactly one of {', '.join(self.__struct_fields__)}")
        unique("participant", self.round_robin or ())


class StepTable(Table, kw_only=True):
    """One step of a policy."""

    targets: list[TargetTable] = []
    wait: str = "5m"
    everybody: bool = False

    def __post_init__(self) -> None:
        """Write the wait in one way."""
        self.wait = span(self.wait)


class PolicyTable(Table, kw_only=True):
    """An escalation policy."""

    name: str
    repeat: int = 0
    steps: list[StepTable] = []

    def __post_init__(self) -> None:
        """Check the repeat count."""
        if not 0 <= self.repeat <= 100:
            raise ValueError(f"repeat {self.repeat} is not between 0 and 100")


class ServiceTable(Table, kw_only=True):
    """A service."""

    name: str
    team: str | None = None
    escalation_policy: str | None = None
    urgency: dict[str, Urgency] = {}
    support_hours: SupportHoursTable | None = None
    acknowledge_timeout: str | None = None
    reopen_window: str | None = None
    auto_resolve_after: str | None = None
    noise: NoiseTable | None = None
    page_suspect_author: bool = False

    def __post_init__(self) -> None:
        """Check the rows of the urgency table, and write spans in one way."""
        rows = [*Severity, *(f"priority.{priority}" for priority in Priority)]
        for row in self.urgency:
            one_of("urgency row", row, rows)
        for name in ("acknowledge_timeout", "reopen_window", "auto_resolve_after"):
            text = getattr(self, name)
            if text is not None:
                setattr(self, name, span(text))
        # Rules that say nothing are none.
        if self.noise == NoiseTable():
            self.noise = None


Words: TypeAlias = str | list[str]


def _list(words: Words) -> list[str]:
    return [words] if isinstance(words, str) else words


class OverridesTable(Table, kw_only=True):
    """What an integration lays over its dialect's tables."""

    action: dict[str, Verb] = {}
    severity: dict[str, Severity] = {}
    priority: dict[str, Priority] = {}


class IntegrationTable(Table, kw_only=True):
    """An integration."""

    name: str
    service: str
    source: str = "sentry"
    dialect: str = "auto"
    #: Made when absent.
    routing_key: str | None = None
    #: Absent is none, but for the one that connecting to Sentry stored: that one stays.
    signing_secrets: list[str] | None = None
    sentry_url: str | None = None
    enabled: bool = True
    replay_protection: str = "off"
    routes: list[dict[str, Words]] = []
    overrides: OverridesTable = msgspec.field(default_factory=OverridesTable)

    def __post_init__(self) -> None:
        """Check every word that has to be one of some."""
        one_of("source", self.source, SOURCES)
        one_of("dialect", self.dialect, DIALECTS)
        # YAML 1.1 readers and writers take off for false.
        one_of("replay_protection", self.replay_protection, REPLAY)
        if self.routing_key is not None and len(self.routing_key) < MIN_KEY:
            raise ValueError(f"a routing key has at least {MIN_KEY} characters")
        if any(not secret.strip() for secret in self.signing_secrets or ()):
            raise ValueError("a signing secret is not empty: leave the list empty for none")
        if self.sentry_url is not None and not self.sentry_url.startswith(("http://", "https://")):
            raise ValueError(f"sentry_url {self.sentry_url!r} is not an http:// or https:// URL")
        self.routes = [checked_route(route) for route in self.routes]


ROUTE_FIELDS = ("project", "environment", "level", "resource", "action", "title")


def checked_route(route: Mapping[str, Words]) -> dict[str, Words]:
    """Check a route's fields; write its matches as lists."""
    checked: dict[str, Words] = {}
    for field, value in route.items():
        if field in ("service", "verb"):
            if not isinstance(value, str):
                raise ValueError(f"a route's {field} is one word")
            if field == "verb":
                one_of("verb", value, (verb for verb in Verb if verb is not Verb.REGRESS))
            checked[field] = value
        elif field in ROUTE_FIELDS or (field.startswith("tag.") and field != "tag."):
            checked[field] = _list(value)
        else:
            one_of("route field", field, (*ROUTE_FIELDS, "tag.NAME", "service", "verb"))
    return checked


class FallbackTable(Table, kw_only=True):
    """Who is paged when a policy reaches nobody."""

    user: str


class File(Table, kw_only=True):
    """The whole file."""

    users: list[UserTable] = []
    teams: list[TeamTable] = []
    schedules: list[ScheduleTable] = []
    escalation_policies: list[PolicyTable] = []
    services: list[ServiceTable] = []
    integrations: list[IntegrationTable] = []
    fallback: FallbackTable | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file with the line of everything in it."""

    name: str
    lines: Mapping[Path, int]

    def at(self, path: Path, message: str) -> str:
        """Say something of a place, or of the nearest one around it that has a line."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}: {message}"


@dataclass(frozen=True, slots=True)
class _Nowhere(Source):
    """What did not come from a file: nothing has a line."""

    def at(self, path: Path, message: str) -> str:  # noqa: ARG002
        """Say it without a place."""
        return message


NOWHERE = _Nowhere("", {})


def parse(text: str, name: str) -> tuple[File, Source]:
    """Read and check a file. Raises BadFile."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadFile([f"{name}:{line}: not YAML: {error.problem}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadFile([f"{name}:1: not YAML: {error}"]) from None
    lines: dict[Path, int] = {}
    try:
        value = _plain(node, (), lines) if node is not None else {}
    except _Wrong as wrong:
        raise BadFile([f"{name}:{wrong.line}: {wrong}"]) from None
    source = Source(name, lines)
    try:
        file = msgspec.convert(value, File)
    except msgspec.ValidationError as error:
        path, message = explained(str(error))
        raise BadFile([source.at(path, message)]) from None
    findings = [source.at(path, message) for path, message in faults(file)]
    findings += dangling(file, source)
    if findings:
        raise BadFile(findings)
    return file, source


class _Loader(yaml.SafeLoader):
    """YAML 1.2's few plain types: 09:30 stays a time of day, off and no stay words."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"true|false|True|False", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]{1,18}", "-+0123456789"),
    ("tag:yaml.org,2002:null", r"~|null|Null|", "~nN\0"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])


class _Wrong(Exception):
    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


#: Control characters and lone surrogates: PostgreSQL takes no NUL, nothing takes the others well.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _text(node: yaml.Node, *, may_break: bool) -> str:
    """Return the text of a node; lines and tabs stand only in what a title is compared with."""
    text = str(node.value)
    unfit = next((one for one in _UNFIT.findall(text) if not (may_break and one in "\t\n")), None)
    if unfit is not None:
        line = node.start_mark.line + 1
        raise _Wrong(f"the character U+{ord(unfit):04X} may not stand in a text", line)
    return text


def _plain(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    """Turn nodes into values, noting the line of each."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _text(key_node, may_break=False)
            if key in found:
                raise _Wrong(f"{key!r} is there twice", key_node.start_mark.line + 1)
            lines[(*path, key)] = key_node.start_mark.line + 1
            found[key] = _plain(value_node, (*path, key), lines)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, at), lines) for at, item in enumerate(node.value)]
    kind = node.tag.rpartition(":")[2]
    return _SCALARS.get(kind, str)(_text(node, may_break="routes" in path))


_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "null": lambda _: None,
}


_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_PART = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]|\[\.\.\.\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")


def explained(error: str) -> tuple[Path, str]:
    """Turn msgspec's words into ours; return them with the place they are about."""
    at = _AT.search(error)
    message = error[: at.start()] if at else error
    path: Path = tuple(
        int(part[2]) if part[2] else part[1]
        for part in _PART.finditer(at["path"] if at else "")
        if part[1] or part[2]
    )
    if unknown := _UNKNOWN.match(message):
        field = unknown["field"]
        # Other tables may well have it; this one has not.
        others = sorted(set(_all_fields()) - {field})
        close = difflib.get_close_matches(field, others, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return (*path, field), f"unknown key {field!r}{hint}"
    if missing := _MISSING.match(message):
        return path, f"{missing['field']!r} is missing"
    field = f"{path[-1]}: " if path and isinstance(path[-1], str) else ""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return path, f"{field}{message[0].lower()}{message[1:]}"


#: How msgspec calls things, and how the file's readers do.
_WORDS = {
    "`str`": "text (put it in quotes)",
    "`int`": "a number",
    "`int | null`": "a number",
    "`array`": "a list",
    "`object`": "a table",
    "`bool`": "true or false",
    "`null`": "nothing",
    "Invalid enum value": "unknown word",
}


def _all_fields() -> Iterator[str]:
    for table in Table.__subclasses__():
        yield from table.__struct_encode_fields__


def dangling(file: File, source: Source) -> Iterator[str]:
    """Yield what names something that is not in the file, or something that is there twice."""
    names = {
        "user": [user.email for user in file.users],
        "team": [team.name for team in file.teams],
        "schedule": [schedule.name for schedule in file.schedules],
        "escalation policy": [policy.name for policy in file.escalation_policies],
        "service": [service.name for service in file.services],
    }
    named = (
        ("users", "email"), ("teams", "name"), ("schedules", "name"),
        ("escalation_policies", "name"), ("services", "name"), ("integrations", "name"),
    )  # fmt: skip
    for section, field in named:
        seen: set[str] = set()
        for at, row in enumerate(getattr(file, section)):
            value = getattr(row, field)
            if value in seen:
                yield source.at((section, at, field), f"{value!r} is there twice in {section}")
            seen.add(value)
    known = {kind: frozenset(every) for kind, every in names.items()}
    for path, kind, name in references(file):
        if name not in known[kind]:
            yield source.at(path, unknown(kind, name, names[kind]))


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, and which one may be meant."""
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"there is no {kind} {name!r}{hint}"


Reference: TypeAlias = tuple[Path, str, str]


def references(file: File) -> Iterator[Reference]:
    """Yield every name that must be somewhere else in the file: where, of which kind, which."""
    for at, team in enumerate(file.teams):
        for number, member in enumerate(team.members):
            yield ("teams", at, "members", number), "user", member
    for at, schedule in enumerate(file.schedules):
        yield from _named(("schedules", at), schedule, team="team")
        yield from ((("schedules", at, *within), "user", who) for within, who in schedule.people())
    for at, policy in enumerate(file.escalation_policies):
        yield from _policy_references(("escalation_policies", at), policy)
    for at, service in enumerate(file.services):
        yield from _named(
            ("services", at), service, team="team", escalation_policy="escalation policy"
        )
    for at, integration in enumerate(file.integrations):
        yield from _named(("integrations", at), integration, service="service")
        for number, route in enumerate(integration.routes):
            if isinstance(service_name := route.get("service"), str):
                yield ("integrations", at, "routes", number, "service"), "service", service_name
    if file.fallback is not None:
        yield from _named(("fallback",), file.fallback, user="user")


def _policy_references(path: Path, policy: PolicyTable) -> Iterator[Reference]:
    for number, step in enumerate(policy.steps):
        for which, target in enumerate(step.targets):
            place: Path = (*path, "steps", number, "targets", which)
            yield from _named(place, target, user="user", schedule="schedule", team="team")
            for nth, email in enumerate(target.round_robin or ()):
                yield (*place, "round_robin", nth), "user", email


def _named(path: Path, table: Table, **kinds: str) -> Iterator[Reference]:
    """Yield the names in these fields of a table."""
    for field, kind in kinds.items():
        name = getattr(table, field)
        if name is not None:
            yield (*path, field), kind, name


def dump(file: File) -> str:
    """Write a file as YAML that ``parse`` reads as the same."""
    text: str = yaml.safe_dump(
        msgspec.to_builtins(file), sort_keys=False, allow_unicode=True, width=100
    )
    return text
