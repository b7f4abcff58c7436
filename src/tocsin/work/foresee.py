"""What a maintenance window would have kept quiet, had it been there before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import Connection

from tocsin.core.access import Caller
from tocsin.core.body import NotJson, read_body
from tocsin.core.dialect import Dialect, read
from tocsin.core.model import (
    Incident,
    Signal,
    Verb,
)
from tocsin.core.plans import Plans, Route
from tocsin.core.routes import matches
from tocsin.store import inbox
from tocsin.store.db import Database
from tocsin.store.incidents import opened_since, opening_delivery
from tocsin.store.plans import PlansCache, route_of
from tocsin.store.sight import of_incidents
from tocsin.store.views import IncidentView, incident_views
from tocsin.work.dated import MatchTable, match_values
from tocsin.work.intake import dialect_for

#: How far back is looked, how many incidents are looked at, and how many are shown.
LOOKS_BACK = timedelta(days=7)
MOST_READ = 2000
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Hindsight:
    """Reads old incidents again."""

    database: Database
    plans: PlansCache
    dialects: Mapping[str, Dialect]

    def matched(self, row: MatchTable, caller: Caller, now: datetime) -> list[IncidentView]:
        """Return the latest incidents seen that a window would have matched. Raises Invalid.

        By service, and by what opened each, read again from its delivery; of an incident whose
        delivery is no longer kept, or that was opened by hand, only the title is known.
        """
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            values = match_values(row, caller.scope.seen(plans))
            wanted = route_of(values["match"]) if values["match"] else None
            ways, since = of_incidents(plans, caller.scope), now - LOOKS_BACK
            latest = opened_since(connection, since, values["service_ids"], ways, MOST_READ)
            matching = (
                incident
                for incident in latest
                if wanted is None or self._matches(connection, plans, incident, wanted)
            )
            found = list(islice(matching, MOST_SHOWN))
            return incident_views(connection, plans, found)

    def _matches(
        self, connection: Connection, plans: Plans, incident: Incident, wanted: Route
    ) -> bool:
        signal = self._signal(connection, plans, incident)
        return matches(wanted, signal)

    def _signal(self, connection: Connection, plans: Plans, incident: Incident) -> Signal:
        """Return what opened an incident, as far as that is known."""
        plain = Signal(
            resource="manual",
            action=None,
            verb=Verb.TRIGGER,
            dedup_key=incident.dedup_key,
            title=incident.title,
            severity=incident.severity,
        )
        id_ = opening_delivery(connection, incident.id)
        delivery = inbox.stored(connection, id_) if id_ else None
        integration = plans.integrations.get(delivery.integration_id) if delivery else None
        if delivery is None or integration is None:
            return plain
        dialect = self.dialects[dialect_for(integration, delivery.url_style)]
        try:
            found = read(dialect, read_body(delivery.body), delivery.resource, integration)
        except NotJson:
            return plain
        return found or plain
