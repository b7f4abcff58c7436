"""Connections with Sentry: what was made there for an integration, and what opens it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, insert, select, update

from tocsin.core.plans import SentryLink
from tocsin.core.sentry import Acknowledging, Switches
from tocsin.store import jobs
from tocsin.store.db import new_id
from tocsin.store.jobs import Kind
from tocsin.store.tables import integrations, sentry_connections
from tocsin.store.vault import Vault

_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMade:
    """An alert rule in Sentry that tells a connection of its project."""

    #: The slug of its project.
    project: str
    rule_id: str
    #: Whether Tocsin made it. What it found is somebody else's: disconnecting leaves it.
    was_made: bool = True
    #: Since when it tells; None: as long as there has been the connection.
    since: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentryConnection:
    """One integration, joined with one organisation of Sentry."""

    id: str
    integration_id: str
    host: str
    organization: str
    #: What opens Sentry's API; never shown.
    token: str = field(repr=False)
    #: As whom it acts: ``user`` or ``application``, and their id there. Webhooks name them so.
    actor_type: str | None
    actor_id: str | None
    #: What was made there; None where that is not done yet.
    app_slug: str | None
    app_id: str | None
    installation_id: str | None
    #: What the token may.
    scopes: tuple[str, ...]
    rules: tuple[RuleMade, ...]
    switches: Switches
    looked_at: datetime | None
    seen_until: datetime | None
    cursor: str | None
    #: Since when which actions of an ``issue`` webhook open incidents; None before the first look.
    opening: Mapping[str, datetime] | None
    error: str | None
    error_at: datetime | None
    created_at: datetime


def _select(*where: ColumnElement[bool]) -> Any:
    """Select connections in use: of integrations in use."""
    columns = sentry_connections.c
    return (
        select(sentry_connections)
        .join(integrations, integrations.c.id == columns.integration_id)
        .where(columns.deleted_at.is_(None), integrations.c.deleted_at.is_(None), *where)
        .order_by(columns.id)
    )


def _read(row: RowMapping, vault: Vault) -> SentryConnection:
    plain = {name: row[name] for name in _PLAIN}
    return SentryConnection(
        token=vault.open(row["token_encrypted"]),
        scopes=tuple(row["scopes"]),
        rules=_rules(row["rules"]),
        switches=_switches(row["switches"]),
        opening=_opening(row["opening"]),
        **plain,
    )


_PLAIN = tuple(
    name
    for name in SentryConnection.__dataclass_fields__
    if name not in ("token", "scopes", "rules", "switches", "opening")
)


def _opening(document: dict[str, str] | None) -> dict[str, datetime] | None:
    if document is None:
        return None
    return {action: datetime.fromisoformat(at) for action, at in document.items()}


def _rules(document: list[dict[str, Any]]) -> tuple[RuleMade, ...]:
    return tuple(RuleMade(**{**one, "since": _instant(one.get("since"))}) for one in document)


def _instant(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)


def _switches(document: dict[str, Any]) -> Switches:
    return Switches(**{**document, "acknowledge": Acknowledging(document["acknowledge"])})


def connections(connection: Connection, vault: Vault) -> list[SentryConnection]:
    """Return every connection in use, the oldest first."""
    return [_read(row, vault) for row in connection.execute(_select()).mappings()]


def living_ids(connection: Connection) -> list[str]:
    """Return the id of every connection in use."""
    return [row["id"] for row in connection.execute(_select()).mappings()]


def links(connection: Connection) -> dict[str, SentryLink]:
    """Return what decisions need of every connection in use, by its integration."""
    return {
        row["integration_id"]: SentryLink(
            id=row["id"],
            integration_id=row["integration_id"],
            selves=frozenset(
                (kind, id_)
                for kind, id_ in (
                    ("application", row["app_id"]),
                    (row["actor_type"], row["actor_id"]),
                )
                if kind and id_
            ),
            switches=_switches(row["switches"]),
        )
        for row in connection.execute(_select()).mappings()
    }


def asked_until(connection: Connection) -> dict[str, datetime | None]:
    """Return until when Sentry was asked, by the integration of every connection in use."""
    return {
        row["integration_id"]: row["seen_until"] for row in connection.execute(_select()).mappings()
    }


def find(connection: Connection, vault: Vault, id_: str) -> SentryConnection | None:
    """Return a connection in use."""
    return _first(connection, vault, sentry_connections.c.id == id_)


def of_integration(
    connection: Connection, vault: Vault, integration_id: str
) -> SentryConnection | None:
    """Return the connection of an integration, if it has one."""
    return _first(connection, vault, sentry_connections.c.integration_id == integration_id)


def of_installation(
    connection: Connection, vault: Vault, installation_id: str
) -> list[SentryConnection]:
    """Return the connections that an installation in Sentry may be: whose signature it bears, says.

    Ids are unique within one Sentry, not across two.
    """
    query = _select(sentry_connections.c.installation_id == installation_id)
    return [_read(row, vault) for row in connection.execute(query).mappings()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What was noted of an organisation for an integration, by connections in use and before."""

    #: The uuids of integrations in Sentry, whose client secret was kept then.
    app_ids: frozenset[str] = frozenset()
    #: The alert rules that Tocsin made.
    rules_made: frozenset[RuleMade] = frozenset()


def noted(connection: Connection, integration_id: str, host: str, organization: str) -> Noted:
    """Return what was ever noted of an organisation for an integration."""
    columns = sentry_connections.c
    rows = connection.execute(
        select(columns.app_id, columns.rules).where(
            columns.integration_id == integration_id,
            columns.host == host,
            columns.organization == organization,
        )
    ).all()
    rules = (one for row in rows for one in _rules(row.rules))
    return Noted(
        app_ids=frozenset(row.app_id for row in rows if row.app_id),
        rules_made=frozenset(one for one in rules if one.was_made),
    )


def _first(
    connection: Connection, vault: Vault, *where: ColumnElement[bool]
) -> SentryConnection | None:
    row = connection.execute(_select(*where)).mappings().first()
    return None if row is None else _read(row, vault)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Where an organisation is, what opens it, and as whom."""

    host: str
    organization: str
    token: str = field(repr=False)
    scopes: Sequence[str]
    actor_type: str | None
    actor_id: str | None


def put(
    connection: Connection, vault: Vault, integration_id: str, opening: Opening, now: datetime
) -> str:
    """Connect an integration, or give its connection another token; return the connection's id.

    Either way Sentry is asked at once, however long the last answers made us wait.
    Another organisation is another connection: what was made in the first is forgotten here.
    """
    columns = sentry_connections.c
    known = connection.execute(
        select(columns.id, columns.host, columns.organization).where(
            columns.integration_id == integration_id, columns.deleted_at.is_(None)
        )
    ).first()
    opens = {
        "token_encrypted": vault.seal(opening.token),
        "scopes": sorted(opening.scopes),
        "actor_type": opening.actor_type,
        "actor_id": opening.actor_id,
    }
    if known is not None:
        if (known.host, known.organization) == (opening.host, opening.organization):
            _change(connection, known.id, **opens, error=None, error_at=None)
            jobs.put(connection, [(Kind.RECONCILE, known.id, now)])
            return str(known.id)
        remove(connection, known.id, now)
    id_ = new_id("sen", now)
    connection.execute(
        insert(sentry_connections).values(
            id=id_,
            integration_id=integration_id,
            host=opening.host,
            organization=opening.organization,
            rules=[],
            switches=asdict(Switches()),
            created_at=now,
            **opens,
        )
    )
    jobs.put(connection, [(Kind.RECONCILE, id_, now)])
    return id_


def set_app(
    connection: Connection, id_: str, slug: str, app_id: str, installation_id: str | None
) -> None:
    """Note the integration that was made in Sentry."""
    _change(connection, id_, app_slug=slug, app_id=app_id, installation_id=installation_id)


def set_actor(
    connection: Connection, id_: str, actor_type: str | None, actor_id: str | None
) -> None:
    """Note as whom the token acts."""
    _change(connection, id_, actor_type=actor_type, actor_id=actor_id)


def set_rules(connection: Connection, id_: str, rules: Iterable[RuleMade]) -> None:
    """Note the alert rules that tell of projects, made or found."""
    _change(connection, id_, rules=[asdict(rule) for rule in rules])


def set_switches(connection: Connection, id_: str, switches: Switches) -> None:
    """Let a connection do this in Sentry from now on."""
    _change(connection, id_, switches=asdict(switches))


def note_opening(connection: Connection, id_: str, opening: Mapping[str, datetime]) -> None:
    """Note since when which actions of an ``issue`` webhook open incidents."""
    _change(connection, id_, opening=dict(opening))


def note_reached(
    connection: Connection, id_: str, seen_until: datetime | None, cursor: str | None
) -> None:
    """Note how far Sentry was asked, however the look ended; None: no further than before."""
    _change(connection, id_, cursor=cursor, **({"seen_until": seen_until} if seen_until else {}))


def note_look(connection: Connection, id_: str, looked_at: datetime) -> None:
    """Note that Sentry was asked, and that all went well."""
    _change(connection, id_, looked_at=looked_at, error=None, error_at=None)


def note_error(connection: Connection, id_: str, error: str, at: datetime) -> None:
    """Note why Sentry could not be asked; the time is that of the first such error in a row."""
    columns = sentry_connections.c
    began = connection.scalar(select(columns.error_at).where(columns.id == id_))
    _change(connection, id_, error=error[:_ERROR], error_at=began or at)


def remove(connection: Connection, id_: str, now: datetime) -> None:
    """Take a connection out of use; its token is forgotten."""
    _change(connection, id_, deleted_at=now, token_encrypted="")


def _change(connection: Connection, id_: str, **values: Any) -> None:
    columns = sentry_connections.c
    connection.execute(
        update(sentry_connections)
        .where(columns.id == id_, columns.deleted_at.is_(None))
        .values(**values)
    )
