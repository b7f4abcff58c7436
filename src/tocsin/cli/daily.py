"""Commands of every day: incidents and deliveries."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import typer

from tocsin.boot import Store, now, open_store
from tocsin.cli.output import print_json, print_table, say
from tocsin.config import load
from tocsin.core.access import EVERYTHING, Caller
from tocsin.core.explain import explain
from tocsin.core.model import (
    Actor,
    DeliveryStatus,
    IncidentStatus,
    Priority,
    Role,
    Severity,
)
from tocsin.core.text import one_line
from tocsin.core.times import parse_instant
from tocsin.store import views
from tocsin.store.deliveries import delivery_detail, delivery_page
from tocsin.store.lists import Filter
from tocsin.work.manage import Office, service_named
from tocsin.work.respond import Decide, Desk, NotFound


@contextmanager
def _store() -> Iterator[Store]:
    store = open_store(load())
    try:
        yield store
    finally:
        store.close()


def me() -> Caller:
    """Return who types: whoever can open the database may do anything to it."""
    try:
        name = f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        name = "command line"
    return Caller(by=Actor(name=name), role=Role.OWNER, scope=EVERYTHING)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else ""


def _words(text: str | None, allowed: type, option: str) -> tuple[str, ...]:
    found = tuple(word.strip() for word in (text or "").split(",") if word.strip())
    known = [member.value for member in allowed]  # type: ignore[attr-defined]
    for word in found:
        if word not in known:
            raise typer.BadParameter(
                f"{word!r} is not one of {', '.join(known)}", param_hint=option
            )
    return found


def list_incidents(status: str | None, service: str | None, limit: int, *, as_json: bool) -> None:
    """Print a page of incidents; exit 1 if there is none."""
    statuses = _words(status, IncidentStatus, "--status")
    with _store() as store, store.database.read() as connection:
        plans = store.plans.current(connection)
        equal: list[tuple[str, tuple[str, ...]]] = [("status", statuses)] if statuses else []
        if service is not None:
            ids = tuple(one.id for one in plans.services.values() if one.name == service)
            equal.append(("service_id", ids or ("-",)))
        wanted = Filter(equal=tuple(equal), limit=limit)
        page = views.incident_page(connection, plans, EVERYTHING, wanted)
    if as_json:
        print_json(page.items)
    else:
        print_table(
            ("#", "status", "severity", "service", "seen", "since", "title"),
            [
                (
                    one.number,
                    one.status,
                    one.severity,
                    one.service.name if one.service else "",
                    one.occurrence_count,
                    _time(one.triggered_at),
                    one.title,
                )
                for one in page.items
            ],
        )
    if not page.items:
        raise typer.Exit(1)


def show_incident(reference: str, *, as_json: bool) -> None:
    """Print one incident with its timeline."""
    with _store() as store, store.database.read() as connection:
        plans = store.plans.current(connection)
        id_ = views.incident_id(connection, plans, EVERYTHING, reference)
        if id_ is None:
            raise NotFound(f"there is no incident {reference}")
        one = views.incident_detail(connection, plans, id_)
    if as_json:
        print_json(one)
        return
    say(one_line(f"#{one.number} {one.title}"))
    say(f"{one.status}, {one.severity}, {one.urgency} urgency, {one.occurrence_count} seen")
    for name, value in (("service", one.service and one.service.name), ("link", one.link)):
        if value:
            say(one_line(f"{name}: {value}"))
    say()
    print_table(
        ("at", "what", "who", "text"),
        [(_time(entry.at), entry.kind, entry.actor, entry.text) for entry in one.timeline],
    )


def act(reference: str, action: Callable[[Actor], Decide], *, as_json: bool) -> None:
    """Do something to an incident, and print it as it is then."""
    work(
        lambda desk, caller, at: desk.act(reference, action(caller.by), caller, at),
        as_json=as_json,
    )


def work(do: Callable[[Desk, Caller, datetime], str], *, as_json: bool) -> None:
    """Do something at the desk, and print the incident it returns as it is then."""
    with _store() as store:
        id_ = do(Desk(store.database, store.plans), me(), now())
        with store.database.read() as connection:
            one = views.incident_view(connection, store.plans.current(connection), id_)
    if as_json:
        print_json(one)
    else:
        say(one_line(f"#{one.number} is {one.status}: {one.title}"))


def named(email: str | None = None, policy: str | None = None) -> tuple[str | None, str | None]:
    """Return the ids of a person and a policy by address and name. Raises BadParameter."""
    with _store() as store:
        plans = store.plans.refresh()
    user = next((one for one in plans.users.values() if one.email == email), None)
    given = next((one for one in plans.policies.values() if one.name == policy), None)
    if email is not None and user is None:
        raise typer.BadParameter(f"there is no user {email!r}")
    if policy is not None and given is None:
        raise typer.BadParameter(f"there is no escalation policy {policy!r}")
    return user.id if user else None, given.id if given else None


def explain_service(
    name: str, at: str | None, severity: Severity, priority: Priority | None, *, as_json: bool
) -> None:
    """Print who would be paged; exit 1 if something of it would not work."""
    with _store() as store:
        plans = store.plans.refresh()
    service = service_named(plans, name)
    if service is None:
        known = ", ".join(sorted(one.name for one in plans.services.values() if not one.is_deleted))
        raise NotFound(f"there is no service {name}; there are: {known or 'none'}")
    try:
        begin = parse_instant(at) if at else now()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from None
    told = explain(plans, service, severity, priority, begin)
    if as_json:
        print_json(told)
    else:
        for sentence in told.sentences:
            say(sentence)
        for warning in told.warnings:
            say(f"Warning: {warning}", err=True)
    if told.warnings:
        raise typer.Exit(1)


def list_deliveries(
    integration: str | None, status: str | None, limit: int, *, as_json: bool
) -> None:
    """Print a page of deliveries; exit 1 if there is none."""
    statuses = _words(status, DeliveryStatus, "--status")
    with _store() as store, store.database.read() as connection:
        plans = store.plans.current(connection)
        equal: list[tuple[str, tuple[str, ...]]] = [("status", statuses)] if statuses else []
        if integration is not None:
            ids = tuple(one.id for one in plans.integrations.values() if one.name == integration)
            equal.append(("integration_id", ids or ("-",)))
        wanted = Filter(equal=tuple(equal), limit=limit)
        page = delivery_page(connection, plans, EVERYTHING, wanted)
    if as_json:
        print_json(page.items)
    else:
        print_table(
            ("received", "id", "integration", "resource", "action", "http", "became", "reason"),
            [
                (
                    _time(one.received_at),
                    one.id,
                    one.integration.name if one.integration else "",
                    one.resource,
                    one.action,
                    one.http_status,
                    one.became,
                    one.reason,
                )
                for one in page.items
            ],
        )
    if not page.items:
        raise typer.Exit(1)


def show_delivery(id_: str, *, as_json: bool) -> None:
    """Print one delivery with its request."""
    with _store() as store, store.database.read() as connection:
        one = delivery_detail(connection, store.plans.current(connection), EVERYTHING, id_)
    if one is None:
        raise NotFound(f"there is no delivery {id_}")
    if as_json:
        print_json(one)
        return
    shown = ("status", "http_status", "verb", "outcome", "reason", "dedup_key", "incident_id")
    for name in shown:
        if (value := getattr(one, name)) is not None:
            say(one_line(f"{name}: {value}"))
    say()
    for header, text in one.headers:
        say(one_line(f"{header}: {text}"))
    say(f"\n{one.body}")


def replay_delivery(id_: str, *, as_json: bool) -> None:
    """Feed a delivery in again, and print the new one's id."""
    with _store() as store:
        new = Office(store.database, store.plans, store.vault).replay(id_, me(), now())
    if new is None:
        raise NotFound(f"there is no delivery {id_}")
    if as_json:
        print_json({"delivery_id": new})
    else:
        say(new)
