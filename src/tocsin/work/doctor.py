"""Everything that could stop a page, looked for before one is needed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Connection

from tocsin.core.coverage import Hole, ahead, needs_coverage
from tocsin.core.explain import explain
from tocsin.core.model import (
    Severity,
)
from tocsin.core.plans import Plans
from tocsin.store import incidents, jobs, joined, notifications, sealed, seals
from tocsin.store.room import disk_of
from tocsin.store.spool import SPOOL, load_of
from tocsin.store.vault import Vault
from tocsin.work.currentfile import living

#: Due work that waits longer has nobody who does it.
OVERDUE = timedelta(seconds=60)

#: How far back failed notifications are looked for.
LATELY = timedelta(days=1)

#: Less room than this on the disk is little (design: a webhook takes a few kB for its retention).
LITTLE_ROOM = 500 * 2**20

#: Hosts in a public URL that lead nobody but this machine's own users back here.
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that could stop a page, and what to do about it."""

    check: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is looked at."""

    connection: Connection
    plans: Plans
    now: datetime
    data_dir: Path
    public_url: str
    has_smtp: bool
    #: None: the secret keys are not looked at.
    vault: Vault | None = None


def _setup(patient: Patient) -> Iterator[tuple[str, str]]:
    plans = patient.plans
    if not plans.users:
        yield "there are no users", "add them to the configuration file and run `tocsin apply`"
    if not living(plans.services):
        yield "there are no services", "add one to the configuration file and run `tocsin apply`"
    if not living(plans.integrations):
        yield (
            "there are no integrations: no webhook will be taken",
            "add one to the configuration file, run `tocsin apply`, and give its URL to Sentry",
        )
    for one in living(plans.integrations):
        if not one.is_enabled:
            yield (
                f"the integration {one.name} is disabled: its webhooks are refused",
                "set `enabled: true`, or remove it",
            )


def _paging(patient: Patient) -> Iterator[tuple[str, str]]:
    for service in living(patient.plans.services):
        told = explain(patient.plans, service, Severity.CRITICAL, None, patient.now)
        for warning in told.warnings:
            text, _, remedy = warning.rpartition(": ")
            yield (
                f"{service.name}: {text or warning}",
                remedy if text else f"see `tocsin explain {service.name}`",
            )


def _contact_methods(patient: Patient) -> Iterator[tuple[str, str]]:
    for user in patient.plans.users.values():
        for method in user.contact_methods:
            if not method.is_enabled:
                yield (
                    f"{user.name}'s {method.name} was switched off, for its receiver is gone",
                    "mend or remove it",
                )
            elif not method.is_verified:
                yield f"{user.name}'s {method.name} is not verified", "type the code it was sent"
    channels = {m.channel for user in patient.plans.users.values() for m in user.contact_methods}
    if "email" in channels and not patient.has_smtp:
        yield "people have e-mail addresses, and no SMTP server is set", "set TOCSIN_SMTP_URL"


def _coverage(patient: Patient) -> Iterator[tuple[str, str]]:
    for schedule in patient.plans.schedules.values():
        if not needs_coverage(schedule, patient.plans):
            continue
        holes = ahead(schedule, patient.plans.users, patient.now).holes
        if holes:
            first = holes[0]
            more = f", and {len(holes) - 1} times more" if len(holes) > 1 else ""
            yield (
                f"{schedule.name}: nobody can be reached {_span(first)}{more} within two weeks",
                "add people or an override, or name a next step in every policy that uses it",
            )


def _span(hole: Hole) -> str:
    return f"from {hole.begins_at:%Y-%m-%d %H:%M} to {hole.ends_at:%Y-%m-%d %H:%M} UTC"


def _work(patient: Patient) -> Iterator[tuple[str, str]]:
    connection, now = patient.connection, patient.now
    if overdue := jobs.overdue_count(connection, now - OVERDUE):
        yield (
            f"{overdue} pieces of work are overdue by more than a minute",
            "start `tocsin serve`, or look at its log",
        )
    if late := incidents.overdue_count(connection, now - OVERDUE):
        yield (
            f"the next step of {late} incidents is more than a minute late",
            "start `tocsin serve`, or look at its log",
        )
    if buried := jobs.buried_count(connection):
        yield (
            f"{buried} pieces of work were given up",
            "look for `last_error` in the jobs table; please report it, for it is a bug",
        )
    if failed := notifications.failed_count(connection, now - LATELY):
        yield (
            f"{failed} notifications could not be delivered within the last day",
            "see `tocsin incidents N` for the providers' answers",
        )


def _sentry(patient: Patient) -> Iterator[tuple[str, str]]:
    for one in joined.all_of(patient.connection, patient.plans, patient.now):
        name = one.integration.name
        if one.error is not None and one.error_at is not None:
            since = f"{one.error_at:%Y-%m-%d %H:%M} UTC"
            text = f"Sentry cannot be asked since {since}, and lost webhooks are not found"
            yield f"{name}: {text} ({one.error})", f"see `tocsin sentry status {name}`"
        if one.failed:
            yield (
                f"{name}: {one.failed} acts could not be done in Sentry within the last day",
                "the timelines of the incidents say why; `tocsin sentry status` checks the token",
            )
    yield from _suspects(patient.plans)


def _suspects(plans: Plans) -> Iterator[tuple[str, str]]:
    """Find services that wait for what only a connection with Sentry could tell."""
    for service in living(plans.services):
        feeds = [
            one.id
            for one in living(plans.integrations)
            if service.id in (one.service_id, *(row.service_id for row in one.routes))
        ]
        if service.pages_suspect_author and not any(id_ in plans.sentry for id_ in feeds):
            yield (
                f"{service.name}: suspect authors are to be paged, and nothing of it is connected",
                "run `tocsin sentry connect`, or switch `page_suspect_author` off",
            )


def _log(patient: Patient) -> Iterator[tuple[str, str]]:
    if wrong := seals.broken_at(patient.connection):
        yield (
            f"the audit log is not what it was: {wrong}",
            "compare it with a backup; somebody has written to the database past Tocsin",
        )


def _secrets(patient: Patient) -> Iterator[tuple[str, str]]:
    if patient.vault is None:
        return
    found, names = sealed.survey(patient.connection, patient.vault), patient.vault.names
    for where, count in sorted(found.closed.items()):
        yield (
            f"{count} secrets in {where} are opened by none of the keys",
            "put the key that is missing back into TOCSIN_SECRET_KEYS, or enter them anew",
        )
    if found.at != 0:
        yield (
            f"the first secret key, {names[0]}, is not in use yet",
            "when every server has been started with it, run `tocsin secrets rotate`",
        )
        return
    if old := found.total - found.sealed[0]:
        yield f"{old} secrets are sealed by an older key", "run `tocsin secrets rotate`"
    for place in range(1, len(names)):
        if not found.sealed[place]:
            yield (
                f"the secret key {names[place]} opens nothing any more",
                "a day after the rotation take it out of TOCSIN_SECRET_KEYS: links last so long",
            )


def _spool(patient: Patient) -> Iterator[tuple[str, str]]:
    load = load_of(patient.data_dir / SPOOL)
    if load.waiting:
        yield (
            f"{load.waiting} webhooks wait on this machine until the database takes them",
            "start `tocsin serve` with this data folder, or look at its log",
        )
    if load.refused:
        yield (
            f"{load.refused} webhooks on this machine were refused by the database",
            f"look at the files in {patient.data_dir / SPOOL}; please report it, for it is a bug",
        )


def _machine(patient: Patient) -> Iterator[tuple[str, str]]:
    free = shutil.disk_usage(patient.data_dir).free
    if free < LITTLE_ROOM:
        yield (
            f"only {free // 2**20} MiB are free under {patient.data_dir}",
            "make room, or shorten TOCSIN_RETENTION",
        )
    elif (disk := disk_of(patient.data_dir)).is_nearly_full:
        yield (
            f"the disk of {patient.data_dir} is {100 - 100 * disk.free // disk.total} % full",
            "make room, or shorten TOCSIN_RETENTION",
        )
    if (urlsplit(patient.public_url).hostname or "") in _LOCAL:
        yield (
            f"links in messages begin with {patient.public_url}, which a phone cannot open",
            "set TOCSIN_PUBLIC_URL to the address that people and Sentry use",
        )


#: What is looked at, in the order it is told.
CHECKS: Sequence[tuple[str, Callable[[Patient], Iterator[tuple[str, str]]]]] = (
    ("set-up", _setup),
    ("paging", _paging),
    ("contact methods", _contact_methods),
    ("schedules", _coverage),
    ("work", _work),
    ("Sentry", _sentry),
    ("audit log", _log),
    ("secret keys", _secrets),
    ("spool", _spool),
    ("machine", _machine),
)


def examine(patient: Patient) -> list[Finding]:
    """Look at everything; return what could stop a page."""
    return [
        Finding(check=name, text=text, remedy=remedy)
        for name, check in CHECKS
        for text, remedy in check(patient)
    ]
