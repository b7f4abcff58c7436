"""What a caller sees of the tables that grow, as SQL: ``core.access.Scope`` on queries.

Each function returns the ways in which a row may be seen, or None where every row is; any of them
will do (``if_seen``). A long list takes the newest rows of each way, and then the newest of those
(``newest``): a database goes by an index for each way, and by none for all of them at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    or_,
    select,
    union,
    union_all,
)

from tocsin.core.access import Scope
from tocsin.core.model import MessageType
from tocsin.core.plans import Plans
from tocsin.store.tables import deliveries, incident_assignees, incidents, notifications

#: The ways in which a row may be seen; None: every row is.
Ways: TypeAlias = Sequence[ColumnElement[bool]] | None

#: So few are looked for one by one, which PostgreSQL does fast however rare they are; of more, it
#: soon meets some as it goes through them all.
_FEW = 32

#: Messages that are about a schedule, which ``rule_id`` names.
_OF_SCHEDULES = (MessageType.ON_CALL_BEGINS, MessageType.ON_CALL_ENDS, MessageType.COVERAGE)


def of_incidents(plans: Plans, scope: Scope) -> Ways:
    """Those of services that are seen, and a person's own."""
    if scope.is_everything:
        return None
    ids = list(scope.seen(plans).services)
    return [*_each(incidents.c.service_id, ids), incidents.c.id.in_(_own(scope, ids))]


def of_deliveries(plans: Plans, scope: Scope) -> Ways:
    """Those of integrations that are seen, and of a person's own incidents."""
    if scope.is_everything:
        return None
    seen = scope.seen(plans)
    return [
        *_each(deliveries.c.integration_id, list(seen.integrations)),
        deliveries.c.incident_id.in_(_own(scope, list(seen.services))),
    ]


def of_one_delivery(plans: Plans, scope: Scope) -> Ways:
    """Those that are listed, and those of incidents that are seen: they open from there."""
    ways, of_those = of_deliveries(plans, scope), of_incidents(plans, scope)
    if ways is None or of_those is None:
        return None
    is_of_one = exists().where(incidents.c.id == deliveries.c.incident_id, or_(*of_those))
    return [*ways, is_of_one]


def of_notifications(plans: Plans, scope: Scope) -> Ways:
    """Those of services that are seen, of a person's own incidents, and to that person.

    What is of no service is about people, whom everybody sees, or about a schedule.
    """
    if scope.is_everything:
        return None
    columns, seen = notifications.c, scope.seen(plans)
    names_none = or_(
        columns.type.not_in([type_.value for type_ in _OF_SCHEDULES]),
        columns.rule_id.in_(list(seen.schedules)),
    )
    return [
        or_(
            columns.service_id.in_(list(seen.services)),
            and_(columns.service_id.is_(None), names_none),
        ),
        columns.user_id == scope.user_id,
        columns.incident_id.in_(_own(scope, list(seen.services))),
    ]


def whose(
    connection: Connection, incident_ids: Collection[str]
) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the service of each incident, and the people whose own it is."""
    has, paged = incident_assignees.c, notifications.c
    own = union(
        select(has.incident_id, has.user_id).where(has.incident_id.in_(incident_ids)),
        select(paged.incident_id, paged.user_id).where(paged.incident_id.in_(incident_ids)),
    )
    people: dict[str, set[str]] = defaultdict(set)
    for incident_id, user_id in connection.execute(own):
        people[incident_id].add(user_id)
    query = select(incidents.c.id, incidents.c.service_id).where(incidents.c.id.in_(incident_ids))
    return {row[0]: (row[1], frozenset(people[row[0]])) for row in connection.execute(query)}


def if_seen(query: Select[Any], ways: Ways) -> Select[Any]:
    """Narrow a query to rows that are seen."""
    return query if ways is None else query.where(or_(*ways))


def newest(query: Select[Any], key: ColumnElement[Any], ways: Ways, limit: int) -> Select[Any]:
    """Narrow a query of one table, by nothing but ``key``, to the newest rows that are seen."""
    if ways is not None:
        tops = (query.with_only_columns(key).where(way) for way in ways)
        ordered = (top.order_by(key.desc()).limit(limit).subquery() for top in tops)
        query = query.where(key.in_(union_all(*(select(top) for top in ordered))))
    return query.order_by(key.desc()).limit(limit)


def _each(column: ColumnElement[str], ids: Collection[str]) -> list[ColumnElement[bool]]:
    return [column == id_ for id_ in ids] if len(ids) <= _FEW else [column.in_(ids)]


def _own(scope: Scope, service_ids: Collection[str]) -> Any:
    """Select the incidents a person has, or was paged for; those of these services may be left out.

    Where a person was paged is mostly for services that they see anyway: those need not be sorted.
    """
    has, paged = incident_assignees.c, notifications.c
    return union_all(
        select(has.incident_id).where(has.user_id == scope.user_id),
        select(paged.incident_id).where(
            paged.user_id == scope.user_id, paged.service_id.not_in(service_ids)
        ),
    )
