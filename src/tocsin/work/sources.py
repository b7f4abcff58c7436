"""Integrations as their owners look at them: what came in lately, and whether one fell silent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core.plans import Integration
from tocsin.core.silence import Silence, rate, silence
from tocsin.store.deliveries import Lately, lately


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an integration got lately."""

    lately: Lately
    #: Deliveries a day, where enough came to say.
    rate: float | None
    #: None while it is as usual, and for one that is disabled.
    silence: Silence | None


def sources(
    connection: Connection, integrations: Iterable[Integration], now: datetime
) -> dict[str, Source]:
    """Return what each of some integrations got lately, by id, in one statement."""
    wanted = list(integrations)
    found = lately(connection, [one.id for one in wanted])
    return {one.id: _source(one, found[one.id], now) for one in wanted}


def _source(integration: Integration, seen: Lately, now: datetime) -> Source:
    return Source(
        lately=seen,
        rate=rate(seen.arrivals, now, is_cut=seen.is_cut),
        silence=silence(seen.arrivals, now) if integration.is_enabled else None,
    )
