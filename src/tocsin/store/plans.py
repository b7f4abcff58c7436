"""The configuration, read whole: a ``Plans`` is what every decision is made against."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, select, update

from tocsin.core.model import (
    Actor,
    Priority,
    Role,
    Severity,
    Urgency,
    Verb,
)
from tocsin.core.plans import (
    Absence,
    AwayKind,
    ContactMethod,
    Hold,
    Integration,
    MaintenanceWindow,
    Noise,
    NotificationRule,
    Overrides,
    Plans,
    Policy,
    Route,
    Service,
    Step,
    SupportHours,
    Target,
    Team,
    User,
)
from tocsin.store import audit, jobs, sentry
from tocsin.store.db import Database
from tocsin.store.jobs import Kind
from tocsin.store.kept import KeptKeys
from tocsin.store.schedules import load_schedules, restriction_of
from tocsin.store.tables import (
    absences,
    contact_methods,
    escalation_policies,
    installation,
    integrations,
    maintenance_windows,
    notification_rules,
    services,
    team_members,
    teams,
    users,
)
from tocsin.store.vault import Vault


def revision(connection: Connection) -> int:
    """Return the number of the latest change of configuration."""
    return connection.scalar(select(installation.c.revision)) or 0


def changed(
    connection: Connection, now: datetime, by: Actor, what: audit.Change, *more: audit.Change
) -> None:
    """Note a change of configuration in the audit log: caches and open incidents follow it."""
    audit.add_all(connection, now, by, (what, *more))
    connection.execute(update(installation).values(revision=installation.c.revision + 1))
    jobs.put(connection, [(Kind.RECONSIDER, "all", now)])


class PlansCache:
    """The latest plans; one small query tells whether they still are."""

    def __init__(self, database: Database, vault: Vault) -> None:
        """Load on first use."""
        self._database = database
        self._vault = vault
        self._plans: Plans | None = None
        self._keys: Mapping[str, str] = {}
        self._integrations: Mapping[str, Integration] = {}
        self._looked_at = 0.0
        self._loading = threading.Lock()

    @property
    def known(self) -> Plans | None:
        """The plans as they were seen last, whether they can be seen now or not."""
        return self._plans

    def current(self, connection: Connection) -> Plans:
        """Return the plans as this transaction sees them."""
        known = self._plans
        if known is not None and known.revision == revision(connection):
            return known
        with self._loading:
            plans = load(connection, self._vault)
            if self._plans is None or plans.revision > self._plans.revision:
                self._keys = _routing_keys(connection)
                self._integrations = plans.integrations
                self._plans = plans
            return plans

    def refresh(self, *, at_most_every: float = 0.0) -> Plans:
        """Look at the database (unless that was done less than so many seconds ago)."""
        now = time.monotonic()
        if self._plans is not None and now - self._looked_at < at_most_every:
            return self._plans
        with self._database.read() as connection:
            plans = self.current(connection)
        self._looked_at = now
        return plans

    def by_routing_key(self, hashed: str) -> Integration | None:
        """Return the integration a routing key belongs to, from memory."""
        id_ = self._keys.get(hashed)
        return self._integrations.get(id_) if id_ else None

    def keep(self, kept: KeptKeys) -> None:
        """Let the routing keys outlast this process and the database. Raises OSError."""
        kept.save(self._keys, self._integrations)

    def recall(self, kept: KeptKeys) -> bool:
        """Know the routing keys as they were kept, until there are plans; whether they were."""
        known = kept.load()
        if known is not None and self._plans is None:
            self._keys, self._integrations = known.keys, known.integrations
        return known is not None


def _routing_keys(connection: Connection) -> dict[str, str]:
    columns = integrations.c
    rows = connection.execute(
        select(columns.routing_key_hash, columns.id).where(columns.deleted_at.is_(None))
    )
    return {row.routing_key_hash: row.id for row in rows}


def load(connection: Connection, vault: Vault) -> Plans:
    """Read the whole configuration.

    Deleted services and integrations stay in, for incidents name them; deleted people, teams and
    policies are gone, for nobody may be paged through them. The vault encrypts from now on with the
    key that the database is at.
    """
    setup = connection.execute(select(installation)).one()
    vault.follow(setup.key_check)
    people = _users(connection, vault)
    return Plans(
        revision=setup.revision,
        fallback_user_id=setup.fallback_user_id,
        users=people,
        teams=_teams(connection),
        schedules=load_schedules(connection, people),
        maintenance_windows=tuple(window_of(row) for row in _live(connection, maintenance_windows)),
        sentry=sentry.links(connection),
        policies={row["id"]: policy_of(row) for row in _live(connection, escalation_policies)},
        services={row["id"]: _service(row) for row in _all(connection, services)},
        integrations={
            row["id"]: _integration(row, vault) for row in _all(connection, integrations)
        },
    )


def _users(connection: Connection, vault: Vault) -> dict[str, User]:
    methods, rules = _methods(connection, vault), _rules(connection)
    away: dict[str, list[Absence]] = defaultdict(list)
    for row in sorted(_live(connection, absences), key=lambda one: str(one["id"])):
        away[row["user_id"]].append(absence_of(row))
    return {
        row["id"]: User(
            id=row["id"],
            email=row["email"],
            name=row["name"],
            role=Role(row["role"]),
            time_zone=row["time_zone"],
            contact_methods=tuple(methods[row["id"]]),
            notification_rules=tuple(rules[row["id"]]),
            absences=tuple(away[row["id"]]),
            quiet_hours=restriction_of(row["quiet_hours"]) if row["quiet_hours"] else None,
            handoff_notices=row["handoff_notices"],
        )
        for row in _live(connection, users)
    }


def absence_of(row: RowMapping) -> Absence:
    """Read an absence from its row."""
    return Absence(
        id=row["id"],
        user_id=row["user_id"],
        kind=AwayKind(row["kind"]),
        begins_at=row["begins_at"],
        ends_at=row["ends_at"],
        substitute_id=row["substitute_id"],
    )


def window_of(row: RowMapping) -> MaintenanceWindow:
    """Read a maintenance window from its row."""
    return MaintenanceWindow(
        id=row["id"],
        service_ids=tuple(row["service_ids"]),
        match=route_of(row["match"]) if row["match"] else None,
        begins_at=row["begins_at"],
        ends_at=row["ends_at"],
        reason=row["reason"],
    )


def _all(connection: Connection, table: Table) -> list[RowMapping]:
    return list(connection.execute(select(table)).mappings())


def _live(connection: Connection, table: Table) -> list[RowMapping]:
    return list(connection.execute(select(table).where(table.c.deleted_at.is_(None))).mappings())


def _methods(connection: Connection, vault: Vault) -> dict[str, list[ContactMethod]]:
    found: dict[str, list[ContactMethod]] = defaultdict(list)
    query = (
        select(contact_methods)
        .where(contact_methods.c.deleted_at.is_(None))
        .order_by(contact_methods.c.position)
    )
    for row in connection.execute(query).mappings():
        sealed = row["secret_encrypted"]
        found[row["user_id"]].append(
            ContactMethod(
                id=row["id"],
                user_id=row["user_id"],
                name=row["name"],
                channel=row["channel"],
                address=row["address"],
                secret=vault.open(sealed) if sealed else None,
                is_verified=row["verified_at"] is not None,
                is_enabled=row["disabled_at"] is None,
            )
        )
    return found


def _rules(connection: Connection) -> dict[str, list[NotificationRule]]:
    found: dict[str, list[NotificationRule]] = defaultdict(list)
    query = select(notification_rules).order_by(notification_rules.c.position)
    for row in connection.execute(query).mappings():
        found[row["user_id"]].append(
            NotificationRule(
                id=row["id"],
                urgency=Urgency(row["urgency"]),
                after=timedelta(seconds=row["after_seconds"]),
                contact_method_id=row["contact_method_id"],
            )
        )
    return found


def _teams(connection: Connection) -> dict[str, Team]:
    members: dict[str, list[str]] = defaultdict(list)
    query = select(team_members).order_by(team_members.c.position)
    for row in connection.execute(query):
        members[row.team_id].append(row.user_id)
    return {
        row["id"]: Team(id=row["id"], name=row["name"], member_ids=tuple(members[row["id"]]))
        for row in _live(connection, teams)
    }


def policy_of(row: RowMapping) -> Policy:
    """Read an escalation policy from its row."""
    return Policy(
        id=row["id"],
        name=row["name"],
        repeat=row["repeat"],
        steps=tuple(
            Step(
                targets=tuple(
                    Target(kind=target["kind"], ids=tuple(target["ids"]))
                    for target in step["targets"]
                ),
                wait=timedelta(seconds=step["wait_seconds"]),
                # Steps of schema 0001 have neither.
                id=step.get("id") or f"{row['id']}.{number}",
                everybody=step.get("everybody", False),
            )
            for number, step in enumerate(row["steps"], 1)
        ),
    )


def steps_document(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """Write steps as ``policy_of`` reads them."""
    return [
        {
            "targets": [{"kind": target.kind, "ids": list(target.ids)} for target in step.targets],
            "wait_seconds": int(step.wait.total_seconds()),
            "id": step.id,
            "everybody": step.everybody,
        }
        for step in steps
    ]


def _span(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _service(row: RowMapping) -> Service:
    return Service(
        id=row["id"],
        name=row["name"],
        team_id=row["team_id"],
        escalation_policy_id=row["escalation_policy_id"],
        urgency={key: Urgency(value) for key, value in row["urgency"].items()},
        acknowledge_timeout=_span(row["acknowledge_timeout_seconds"]),
        reopen_window=_span(row["reopen_window_seconds"]),
        auto_resolve_after=_span(row["auto_resolve_after_seconds"]),
        support_hours=_support_hours(row["support_hours"]) if row["support_hours"] else None,
        noise=noise_of(row["noise"]) if row["noise"] else Noise(),
        pages_suspect_author=row["pages_suspect_author"],
        is_deleted=row["deleted_at"] is not None,
    )


def _support_hours(document: Mapping[str, Any]) -> SupportHours:
    return SupportHours(
        time_zone=document["time_zone"],
        hours=restriction_of(document["hours"]),
        outside=Urgency(document["outside"]),
    )


def noise_of(document: Mapping[str, Any]) -> Noise:
    """Read noise rules from their document."""
    held = document["hold"]
    return Noise(
        hold=held
        and Hold(
            lasts=timedelta(seconds=held["seconds"]),
            priorities=frozenset(Priority(word) for word in held["priorities"]),
            events=held["events"],
            users=held["users"],
        ),
        records_first_sight=document["records_first_sight"],
        one_per_release=document["one_per_release"],
        follows_archive=document["follows_archive"],
        quiet_after=_span(document["quiet_after_seconds"]),
        joins_metric_issues=document["joins_metric_issues"],
    )


def noise_document(noise: Noise) -> dict[str, Any] | None:
    """Write noise rules as ``noise_of`` reads them; None where there is none."""
    if noise == Noise():
        return None
    held, quiet = noise.hold, noise.quiet_after
    return {
        "hold": held
        and {
            "seconds": int(held.lasts.total_seconds()),
            "priorities": sorted(one.value for one in held.priorities),
            "events": held.events,
            "users": held.users,
        },
        "records_first_sight": noise.records_first_sight,
        "one_per_release": noise.one_per_release,
        "follows_archive": noise.follows_archive,
        "quiet_after_seconds": int(quiet.total_seconds()) if quiet else None,
        "joins_metric_issues": noise.joins_metric_issues,
    }


def _integration(row: RowMapping, vault: Vault) -> Integration:
    overrides = row["overrides"]
    return Integration(
        id=row["id"],
        name=row["name"],
        service_id=row["service_id"],
        source=row["source"],
        dialect=row["dialect"],
        signing_secrets=vault.open_all(row["signing_secrets_encrypted"]),
        sentry_url=row["sentry_url"],
        is_enabled=row["is_enabled"],
        is_replay_strict=row["is_replay_strict"],
        routes=tuple(route_of(route) for route in row["routes"]),
        overrides=Overrides(
            action={word: Verb(verb) for word, verb in overrides["action"].items()},
            severity={word: Severity(name) for word, name in overrides["severity"].items()},
            priority={word: Priority(name) for word, name in overrides["priority"].items()},
        ),
        is_made_by_us=row["is_made_by_us"],
        is_deleted=row["deleted_at"] is not None,
    )


_ROUTE_LISTS = ("project", "environment", "level", "resource", "action", "title")


def route_of(document: Mapping[str, Any]) -> Route:
    """Read a route from its document."""
    return Route(
        tags=tuple((name, tuple(values)) for name, values in document.get("tags", {}).items()),
        service_id=document.get("service_id"),
        verb=Verb(document["verb"]) if document.get("verb") else None,
        **{name: tuple(document.get(name, ())) for name in _ROUTE_LISTS},
    )
