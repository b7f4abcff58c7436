"""Make the configuration match a file, all of it or nothing; and write it as such a file."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Table

from tocsin.channels.base import REGISTRY
from tocsin.core.model import COMMAND_LINE, Actor
from tocsin.core.plans import (
    Integration,
    Plans,
    Step,
    Target,
)
from tocsin.core.times import parse_span
from tocsin.store import audit, setup
from tocsin.store.db import Database, new_id
from tocsin.store.plans import PlansCache, changed, load, noise_document, steps_document
from tocsin.store.schedules import forget_person, layer_document, set_overrides
from tocsin.store.tables import (
    escalation_policies,
    integrations,
    schedules,
    services,
    teams,
    users,
)
from tocsin.store.vault import Vault, new_key
from tocsin.work.configfile import (
    BadFile,
    File,
    IntegrationTable,
    Path,
    PolicyTable,
    ServiceTable,
    Source,
    TargetTable,
    TeamTable,
    UserTable,
)
from tocsin.work.currentfile import current_file, living
from tocsin.work.noisefile import noise_rules
from tocsin.work.schedulefile import (
    ScheduleTable,
    hours_document,
    layers_of,
    overrides_of,
    support_hours_document,
)

#: How a secret is written where it must not be shown: ``stored:`` and the start of its digest.
STORED = "stored:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a plan."""

    #: ``+``, ``~`` or ``-``.
    sign: str
    #: ``user``, ``service``, …
    kind: str
    name: str
    #: What of it changes, secrets masked.
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What an apply did, or would do."""

    changes: tuple[Change, ...]


class Configurator:
    """Reads and writes the configuration as a file."""

    def __init__(self, database: Database, plans: PlansCache, vault: Vault) -> None:
        """Take what it needs."""
        self._database = database
        self._plans = plans
        self._vault = vault

    def apply(
        self,
        file: File,
        source: Source,
        now: datetime,
        *,
        dry_run: bool,
        by: Actor = COMMAND_LINE,
    ) -> Applied:
        """Make the configuration match; a dry run only says what would change. Raises BadFile."""

        def work(connection: Connection) -> Applied:
            if not dry_run:
                setup.lock(connection)
            plans = load(connection, self._vault)
            keys = setup.routing_keys(connection, self._vault)
            now_file = _managed(plans, keys)
            named = {one.name: keys[one.id] for one in living(plans.integrations)}
            _keep_client_secrets(file, now_file, plans)
            wanted = completed(file, now_file, named, source)
            changes = tuple(differences(now_file, wanted))
            if changes and not dry_run:
                Writer(connection, plans, self._vault, now).write(wanted, changes)
                changed(connection, now, by, *(audited(change) for change in changes))
            return Applied(changes=changes)

        if dry_run:
            with self._database.read() as connection:
                return work(connection)
        return self._database.run(work)

    def export(self) -> File:
        """Return the configuration as a file, secrets as references."""
        with self._database.read() as connection:
            keys = setup.routing_keys(connection, self._vault)
            file = _managed(self._plans.current(connection), keys)
        for row in (*file.users, *file.integrations):
            mask(row)
        return file

    def urls(self, public_url: str, name: str) -> list[str] | None:
        """Return the intake URLs of an integration, or None if there is none of that name."""
        with self._database.read() as connection:
            plans = self._plans.current(connection)
            keys = setup.routing_keys(connection, self._vault)
        found = next((keys[i.id] for i in living(plans.integrations) if i.name == name), None)
        return None if found is None else intake_urls(public_url, found)

    def integration(self, name: str) -> tuple[Integration, str] | None:
        """Return an integration and its routing key, or None."""
        with self._database.read() as connection:
            plans = self._plans.current(connection)
            keys = setup.routing_keys(connection, self._vault)
        found = next((i for i in living(plans.integrations) if i.name == name), None)
        return None if found is None else (found, keys[found.id])


def _managed(plans: Plans, keys: Mapping[str, str]) -> File:
    """Return the configuration but for what we made ourselves, which no file manages."""
    file = current_file(plans, keys)
    ours = {one.name for one in plans.integrations.values() if one.is_made_by_us}
    file.integrations = [row for row in file.integrations if row.name not in ours]
    return file


def intake_urls(public_url: str, routing_key: str) -> list[str]:
    """Return the addresses under which deliveries with this key are taken."""
    return [public_url + path.format(routing_key) for path in _URL_PATHS]


_URL_PATHS = (
    "/in/{}",
    "/api/integrations/sentry?integrationId={}",
    "/functions/v1/events?token={}",
    "/v1/events/sentry/{}",
)


def reference(secret: str) -> str:
    """Return how a stored secret is written in an exported file."""
    return STORED + hashlib.sha256(secret.encode()).hexdigest()[:16]


# -- from two files to a plan ---------------------------------------------------------------------

#: Sections in the order they are written: each names only what stands above it.
SECTIONS = (
    ("users", "user", "email"),
    ("teams", "team", "name"),
    ("schedules", "schedule", "name"),
    ("escalation_policies", "escalation policy", "name"),
    ("services", "service", "name"),
    ("integrations", "integration", "name"),
)

_MASKED = frozenset({"routing_key", "signing_secrets", "contact_methods"})

#: Longer values are not told when they change.
_SHORT = 200


def _named(file: File, section: str, key: str) -> dict[str, msgspec.Struct]:
    return {getattr(row, key): row for row in getattr(file, section)}


def completed(file: File, now_file: File, keys: Mapping[str, str], source: Source) -> File:
    """Put in what a file may leave out or refer to: made keys and stored secrets."""
    rows = (*now_file.integrations, *now_file.users)
    stored = {reference(secret): secret for row in rows for secret in secrets_of(row)}
    findings: list[str] = []

    def real(secret: str, path: Path) -> str:
        if not secret.startswith(STORED):
            return secret
        if secret not in stored:
            findings.append(source.at(path, f"{secret} is not stored here: write the secret"))
        return stored.get(secret, secret)

    taken: dict[str, str] = {}
    for at, row in enumerate(file.integrations):
        path: Path = ("integrations", at)
        row.routing_key = real(
            row.routing_key or keys.get(row.name) or new_key("rk"), (*path, "routing_key")
        )
        if row.routing_key in taken:
            findings.append(
                source.at((*path, "routing_key"), f"{taken[row.routing_key]} has this key already")
            )
        taken[row.routing_key] = row.name
        row.signing_secrets = [
            real(secret, (*path, "signing_secrets", number))
            for number, secret in enumerate(row.signing_secrets or ())
        ]
    people = {user.email for user in file.users}
    overrides = {schedule.name: schedule.overrides or [] for schedule in now_file.schedules}
    for schedule in file.schedules:
        if schedule.overrides is None:
            kept = overrides.get(schedule.name, ())
            schedule.overrides = [one for one in kept if one.people() <= people]
    known = {
        (user.email, method.name): method.secret
        for user in now_file.users
        for method in user.contact_methods
    }
    for at, user in enumerate(file.users):
        for number, method in enumerate(user.contact_methods):
            kind = REGISTRY[method.channel]
            if kind.has_secret:
                secret = method.secret or known.get((user.email, method.name))
                method.secret = real(
                    secret or kind.make_secret() or "",
                    ("users", at, "contact_methods", number, "secret"),
                )
    if findings:
        raise BadFile(findings)
    return file


def _keep_client_secrets(file: File, now_file: File, plans: Plans) -> None:
    """Keep what connecting to Sentry stored, and no file has, unless the file says otherwise."""
    connected = {one.name for id_, one in plans.integrations.items() if id_ in plans.sentry}
    stored = {row.name: row.signing_secrets for row in now_file.integrations}
    for row in file.integrations:
        if row.signing_secrets is None and row.name in connected:
            row.signing_secrets = stored.get(row.name)


def secrets_of(row: Any) -> Iterator[str]:
    """Yield the secrets in a row of the file."""
    if isinstance(row, IntegrationTable):
        yield from filter(None, (row.routing_key, *(row.signing_secrets or ())))
    elif isinstance(row, UserTable):
        yield from (method.secret for method in row.contact_methods if method.secret)


def mask(row: Any, shown: Collection[str] = ()) -> None:
    """Write secrets as references, but for those that may be shown."""

    def masked(secret: str) -> str:
        return secret if secret in shown or secret.startswith(STORED) else reference(secret)

    if isinstance(row, IntegrationTable):
        row.routing_key = masked(row.routing_key) if row.routing_key else None
        row.signing_secrets = [masked(secret) for secret in row.signing_secrets or ()]
    elif isinstance(row, UserTable):
        for method in row.contact_methods:
            method.secret = masked(method.secret) if method.secret else None


def differences(now_file: File, wanted: File) -> Iterator[Change]:
    """Yield what makes the one file the other."""
    for section, kind, key in SECTIONS:
        old, new = _named(now_file, section, key), _named(wanted, section, key)
        for name, row in new.items():
            if name not in old:
                yield Change(sign="+", kind=kind, name=name)
            elif old[name] != row:
                yield Change(sign="~", kind=kind, name=name, details=tuple(details(old[name], row)))
        for name in old:
            if name not in new:
                yield Change(sign="-", kind=kind, name=name)
    if now_file.fallback != wanted.fallback:
        before = now_file.fallback.user if now_file.fallback else "nobody"
        after = wanted.fallback.user if wanted.fallback else "nobody"
        yield Change(sign="~", kind="fallback", name=after, details=(f"user: {before} → {after}",))


def details(old: msgspec.Struct, new: msgspec.Struct) -> Iterator[str]:
    """Yield what of a row changes: short values as they were and are, secrets never."""
    for field, written in zip(new.__struct_fields__, new.__struct_encode_fields__, strict=True):
        before, after = _short(getattr(old, field)), _short(getattr(new, field))
        if getattr(old, field) == getattr(new, field):
            continue
        if field in _MASKED or before is None or after is None:
            yield f"{written} changes"
        else:
            yield f"{written}: {before} → {after}"


def _short(value: Any) -> str | None:
    """Write a value in a few words; None if it takes more."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    elif value in ("", None, []):
        value = "nothing"
    elif isinstance(value, list | dict | msgspec.Struct):
        return None
    text = str(value)
    return text if len(text) <= _SHORT else None


#: What a change did, by its sign.
_DONE = {"+": "added", "~": "changed", "-": "removed"}

_UNSAID = re.compile("[a-z_]+ changes")


def audited(change: Change) -> audit.Change:
    """Write a line of a plan as the audit log does."""
    said = (
        one.removesuffix(" changes").replace("_", " ") + " changed"
        if _UNSAID.fullmatch(one)
        else one
        for one in change.details
    )
    kind = f"{change.kind.replace(' ', '_')}.{_DONE[change.sign]}"
    return audit.Change(kind=kind, subject=change.name, detail="; ".join(said))


# -- from a plan to rows --------------------------------------------------------------------------


class Writer:
    """Writes a checked file; ids are found by name."""

    def __init__(self, connection: Connection, plans: Plans, vault: Vault, now: datetime) -> None:
        self._connection = connection
        self._plans = plans
        self._vault = vault
        self._now = now
        self._ids: dict[str, dict[str, str]] = {
            "users": {user.email: user.id for user in plans.users.values()},
            "teams": {team.name: team.id for team in plans.teams.values()},
            "schedules": {schedule.name: schedule.id for schedule in plans.schedules.values()},
            "escalation_policies": {p.name: p.id for p in plans.policies.values()},
            "services": {service.name: service.id for service in living(plans.services)},
            "integrations": {one.name: one.id for one in living(plans.integrations)},
        }

    def id_of(self, section: str, name: str) -> str:
        """Return the id of what a file names so."""
        return self._ids[section][name]

    def rename(self, section: str, old: str, new: str) -> None:
        """Take the files to call a thing by its new name."""
        self._ids[section][new] = self._ids[section].pop(old)

    def write(self, wanted: File, changes: Sequence[Change]) -> None:
        """Write what changes: what goes first, for names and keys it frees may be taken again."""
        signs = {(change.kind, change.name): change.sign for change in changes}
        for section, kind, _ in reversed(SECTIONS):
            for name, id_ in list(self._ids[section].items()):
                if signs.get((kind, name)) == "-":
                    self._remove(section, id_)
                    del self._ids[section][name]
        for section, kind, key in SECTIONS:
            for row in getattr(wanted, section):
                if (kind, getattr(row, key)) in signs:
                    self._write(section, getattr(row, key), row)
        user = wanted.fallback.user if wanted.fallback else None
        setup.set_fallback(self._connection, self._ids["users"][user] if user else None)

    def _remove(self, section: str, id_: str) -> None:
        setup.remove(self._connection, _TABLES[section][0], id_, self._now)
        if section == "users":
            forget_person(self._connection, id_, self._now)
        elif section == "services":
            # What we made for it no file would ever remove.
            for name, one in list(self._ids["integrations"].items()):
                made = self._plans.integrations.get(one)
                if made is not None and made.is_made_by_us and made.service_id == id_:
                    setup.remove(self._connection, integrations, one, self._now)
                    del self._ids["integrations"][name]

    def _write(self, section: str, name: str, row: Any) -> None:
        table, prefix, values_of = _TABLES[section]
        values = values_of(self, row)
        known = self._ids[section].get(name)
        if known is None:
            known = setup.add(self._connection, table, prefix, values, self._now)
            self._ids[section][name] = known
        else:
            setup.change(self._connection, table, known, values)
        if isinstance(row, UserTable):
            self._write_methods(known, row)
        elif isinstance(row, TeamTable):
            members = [self._ids["users"][email] for email in row.members]
            setup.set_members(self._connection, known, members)
        elif isinstance(row, ScheduleTable):
            wanted = overrides_of(row, self._ids["users"])
            set_overrides(self._connection, known, wanted, "configuration file", self._now)

    def _write_methods(self, user_id: str, row: UserTable) -> None:
        methods = [
            {
                "name": method.name,
                "channel": method.channel,
                "address": method.address,
                "secret_encrypted": self._vault.seal(method.secret) if method.secret else None,
            }
            for method in row.contact_methods
        ]
        ids = setup.set_contact_methods(self._connection, user_id, methods, self._now)
        rules = [
            {
                "urgency": rule.urgency.value,
                "after_seconds": _seconds(rule.after),
                "contact_method_id": ids[rule.contact_method],
            }
            for rule in row.notification_rules
        ]
        setup.set_rules(self._connection, user_id, rules, self._now)

    def user_values(self, row: UserTable) -> dict[str, Any]:
        """Write a person."""
        return {
            "email": row.email,
            "name": row.name,
            "role": row.role.value,
            "time_zone": row.time_zone,
            "quiet_hours": hours_document(row.quiet_hours) if row.quiet_hours else None,
            "handoff_notices": row.handoff_notices,
        }

    def team_values(self, row: TeamTable) -> dict[str, Any]:
        """Write a team."""
        return {"name": row.name}

    def schedule_values(self, row: ScheduleTable) -> dict[str, Any]:
        """Write a schedule but for its overrides."""
        return {
            "name": row.name,
            "time_zone": row.time_zone,
            "team_id": self._ids["teams"][row.team] if row.team else None,
            "layers": [layer_document(layer) for layer in layers_of(row, self._ids["users"])],
        }

    def policy_values(self, row: PolicyTable) -> dict[str, Any]:
        """Write a policy, its targets by id; steps that are still the same keep their ids."""
        steps = [
            Step(
                targets=tuple(self._target(target) for target in step.targets),
                wait=parse_span(step.wait),
                everybody=step.everybody,
            )
            for step in row.steps
        ]
        known = self._plans.policies.get(self._ids["escalation_policies"].get(row.name, ""))
        named = with_ids(known.steps if known else (), steps, lambda: new_id("stp", self._now))
        return {"name": row.name, "repeat": row.repeat, "steps": steps_document(named)}

    def _target(self, target: TargetTable) -> Target:
        if target.round_robin is not None:
            ids = tuple(self._ids["users"][email] for email in target.round_robin)
            return Target(kind="round_robin", ids=ids)
        kind, section, name = next(
            (kind, f"{kind}s", name)
            for kind in ("user", "schedule", "team")
            if (name := getattr(target, kind)) is not None
        )
        return Target(kind=kind, ids=(self._ids[section][name],))

    def service_values(self, row: ServiceTable) -> dict[str, Any]:
        """Write a service."""
        return {
            "name": row.name,
            "team_id": self._ids["teams"][row.team] if row.team else None,
            "escalation_policy_id": (
                self._ids["escalation_policies"][row.escalation_policy]
                if row.escalation_policy
                else None
            ),
            "urgency": {key: value.value for key, value in row.urgency.items()},
            "acknowledge_timeout_seconds": _seconds(row.acknowledge_timeout),
            "reopen_window_seconds": _seconds(row.reopen_window),
            "auto_resolve_after_seconds": _seconds(row.auto_resolve_after),
            "support_hours": (
                support_hours_document(row.support_hours) if row.support_hours else None
            ),
            "noise": noise_document(noise_rules(row.noise)),
            "pages_suspect_author": row.page_suspect_author,
        }

    def integration_values(self, row: IntegrationTable) -> dict[str, Any]:
        """Write an integration, its routes' services by id."""
        return {
            "name": row.name,
            "service_id": self._ids["services"][row.service],
            "source": row.source,
            "dialect": row.dialect,
            **setup.routing_key_values(self._vault, row.routing_key or ""),
            "signing_secrets_encrypted": self._vault.seal_all(row.signing_secrets or []),
            "sentry_url": row.sentry_url,
            "is_enabled": row.enabled,
            "is_replay_strict": row.replay_protection == "strict",
            "routes": [self._route(route) for route in row.routes],
            "overrides": msgspec.to_builtins(
                {name: getattr(row.overrides, name) for name in ("action", "severity", "priority")}
            ),
            # One of that name that we made is the file's from now on.
            "is_made_by_us": False,
        }

    def _route(self, route: Mapping[str, Any]) -> dict[str, Any]:
        tags = {key[4:]: value for key, value in route.items() if key.startswith("tag.")}
        plain = {
            key: value
            for key, value in route.items()
            if not key.startswith("tag.") and key != "service"
        }
        service = route.get("service")
        return plain | {
            "tags": tags,
            "service_id": self._ids["services"][service] if service else None,
        }


def with_ids(old: Sequence[Step], new: Sequence[Step], make: Callable[[], str]) -> tuple[Step, ...]:
    """Give steps the ids of those they were, so that incidents that wait on one find it again.

    Equal ones keep theirs wherever they moved to, and one that was changed in its place stays the
    same step. The rest are new.
    """
    ids: dict[int, str] = {}
    bare = [replace(step, id="") for step in old]
    matcher = difflib.SequenceMatcher(a=[repr(s) for s in bare], b=[repr(s) for s in new])
    for _, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        for a, b in zip(range(a_from, a_to), range(b_from, b_to), strict=False):
            ids[b] = old[a].id
    return tuple(replace(step, id=ids.get(at) or make()) for at, step in enumerate(new))


def _seconds(span: str | None) -> Any:
    return None if span is None else int(parse_span(span).total_seconds())


#: Section to its table, the prefix of its ids, and how a row of the file becomes one of the table.
_TABLES: Mapping[str, tuple[Table, str, Callable[[Writer, Any], dict[str, Any]]]] = {
    "users": (users, "usr", Writer.user_values),
    "teams": (teams, "tea", Writer.team_values),
    "schedules": (schedules, "sch", Writer.schedule_values),
    "escalation_policies": (escalation_policies, "pol", Writer.policy_values),
    "services": (services, "svc", Writer.service_values),
    "integrations": (integrations, "int", Writer.integration_values),
}
