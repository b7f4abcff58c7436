"""Link issues to incidents, as people ask for it on Sentry's own pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core import effects as fx
from tocsin.core.access import EVERYTHING
from tocsin.core.choice import choose, offered
from tocsin.core.dialect import Dialect
from tocsin.core.link import link
from tocsin.core.model import (
    Actor,
    IncidentStatus,
    Knowledge,
    Severity,
    Sight,
    Signal,
    Verb,
)
from tocsin.core.noise import ISSUE
from tocsin.core.plans import Integration, Plans, Service
from tocsin.core.text import bounded_key, clean
from tocsin.core.triage import Case, triage
from tocsin.sentry.components import INCIDENT, BadForm, IssueForm, Linked, Option
from tocsin.store import views
from tocsin.store.casebook import Casebook
from tocsin.store.db import Database
from tocsin.store.lists import Filter
from tocsin.store.plans import PlansCache
from tocsin.work.intake import dialect_for
from tocsin.work.respond import NOTE_LENGTH

#: How many incidents are offered at once.
LISTED = 50

_OPEN = tuple(one.value for one in IncidentStatus if one is not IncidentStatus.RESOLVED)

#: The longest label of a list that people choose from.
_LABEL = 120


@dataclass(frozen=True, slots=True)
class Linker:
    """Where issues are linked to incidents."""

    database: Database
    plans: PlansCache
    dialects: Mapping[str, Dialect]
    public_url: str

    def open_incidents(self, integration: Integration, query: str) -> list[Option]:
        """Return the open incidents that an issue may be linked to, the newest first."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            wanted = Filter(
                equal=(("status", _OPEN), ("service_id", _ids(plans, integration))),
                q=query.strip()[:200] or None,
                limit=LISTED,
            )
            found = views.incident_page(connection, plans, EVERYTHING, wanted)
        return [
            Option(
                label=f"#{one.number} {clean(one.title, _LABEL)}"
                + (f" ({one.service.name})" if one.service else ""),
                value=str(one.number),
            )
            for one in found.items
        ]

    def link(self, integration: Integration, form: IssueForm, now: datetime) -> Linked:
        """Make an issue part of an incident that is there; return what it is linked to.

        Raises BadForm, and core.incident.Refused where the incident is resolved.
        """
        reference = form.text(INCIDENT).removeprefix("#")
        by = Actor(name=f"{form.who} (Sentry)", is_source=True)
        signal = self._signal(integration, form, f"Sentry issue {form.issue_id}")

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            id_ = views.incident_id(connection, plans, EVERYTHING, reference) if reference else None
            key = (integration.id, signal.dedup_key or "")
            book = Casebook(connection, plans, now)
            book.load_alerts([key], others=[id_] if id_ else [])
            target, alert = book.incident(id_), book.alert(key)
            if target is None or target.service_id not in _ids(plans, integration):
                raise BadForm(f"there is no incident {clean(reference, 50)!r}: choose one again")
            own = book.incident(alert.incident_id) if alert else None
            gone, taken = link(signal, own, target, by)
            book.apply(taken, alert_key=key, incident_id=target.id)
            if own is not None:
                book.apply(gone, incident_id=own.id)
            book.save()
            return target.id

        return self._linked(self.database.run(work))

    def create(self, integration: Integration, form: IssueForm, now: datetime) -> Linked:
        """Open an incident for an issue, as if it had fired; return what it is linked to.

        One that is open for it already is that one. Raises BadForm.
        """
        title = form.text("title") or f"Sentry issue {form.issue_id}"
        signal = self._signal(integration, form, title)
        details = form.text("details")

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            chosen = choose(form.choices, plans, integration)
            if chosen.missing:
                raise BadForm(f"Tocsin cannot take this: {'; '.join(chosen.missing)}")
            key = (integration.id, signal.dedup_key or "")
            book = Casebook(connection, plans, now)
            book.load_alerts([key])
            alert = book.alert(key)
            incident = book.incident(alert.incident_id) if alert else None
            if incident is not None and incident.is_open:
                return incident.id
            case = Case(
                signal=signal,
                alert=alert,
                incident=incident,
                service=chosen.service or plans.services[integration.service_id],
                now=now,
                windows=plans.maintenance_windows,
                chosen=chosen,
            )
            before = incident.id if incident else None
            id_ = book.apply(triage(case).effects, alert_key=key, incident_id=before)
            assert id_ is not None
            if details:
                by = Actor(name=signal.actor)
                said = fx.Note(text=clean(details, NOTE_LENGTH), by=by)
                book.apply([said], incident_id=id_)
            book.save()
            return id_

        return self._linked(self.database.run(work))

    def _signal(self, integration: Integration, form: IssueForm, title: str) -> Signal:
        """Say of an issue what its webhooks would, so that they meet in one alert."""
        dialect = self.dialects[dialect_for(integration, "native")]
        slug = clean(form.project.slug, 200) if form.project else ""
        link_ = form.web_url or ""
        return Signal(
            resource="issue_link",
            action=None,
            verb=Verb.TRIGGER,
            dedup_key=bounded_key(dialect.dedup[ISSUE].format(id=form.issue_id)),
            title=clean(title),
            severity=Severity.ERROR,
            source=dialect.named_source.format(project=slug) if slug else dialect.source,
            link=clean(link_, 2000) if link_.startswith(("http://", "https://")) else None,
            projects=(slug,) if slug else (),
            text="opened from an issue in Sentry",
            actor=f"{form.who} (Sentry)",
            # A person asks for it: no rule holds it.
            known=Knowledge(about=ISSUE, sight=Sight.BACK),
        )

    def _linked(self, id_: str) -> Linked:
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            one = views.incident_view(connection, plans, id_)
        return Linked(
            web_url=f"{self.public_url}/incidents/{one.number}",
            project=one.service.name if one.service else "Tocsin",
            identifier=str(one.number),
        )


def _ids(plans: Plans, integration: Integration) -> tuple[str, ...]:
    """Return the ids of the services whose incidents are offered; one at least, to narrow by."""
    services: list[Service] = offered(plans, integration)
    return tuple(service.id for service in services) or ("-",)
