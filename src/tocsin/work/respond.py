"""What people do to incidents. Every action repeated changes nothing the second time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core import effects as fx
from tocsin.core import incident as rules
from tocsin.core.access import Caller
from tocsin.core.escalation import has_next, look, policy_of
from tocsin.core.model import (
    Actor,
    EscalationState,
    Incident,
    Priority,
    Severity,
    Signal,
    Urgency,
    Verb,
)
from tocsin.core.notify import reach, urgency
from tocsin.core.plans import (
    Plans,
)
from tocsin.core.text import clean
from tocsin.core.triage import begin, unmerge
from tocsin.store import casefile, views
from tocsin.store.casebook import Casebook
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache

#: The longest text of a note.
NOTE_LENGTH = 10_000


class NotFound(LookupError):
    """There is no such thing; the message names it."""


#: Given an incident as it is, what shall happen to it.
Decide = Callable[[Incident, Plans, datetime], Sequence[fx.Effect]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What became of an action on many incidents, by number."""

    done: tuple[int, ...]
    #: Those it changed nothing of: it was so already.
    unchanged: tuple[int, ...]
    #: One sentence for each that refused.
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Desk:
    """Where people act on incidents: what a caller does not see is not found."""

    database: Database
    plans: PlansCache

    def act(self, reference: str, decide: Decide, caller: Caller, now: datetime) -> str:
        """Load the incident (by id or number), decide, save; return its id.

        Raises NotFound, and core.incident.Refused where its state does not allow it.
        """

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            id_ = _found(connection, plans, caller, reference)
            book = Casebook(connection, plans, now)
            book.load_incidents([id_])
            book.apply(decide(_loaded(book, id_), plans, now), incident_id=id_)
            book.save()
            return id_

        return self.database.run(work)

    def act_on(
        self, numbers: Iterable[int], decide: Decide, caller: Caller, now: datetime
    ) -> Acted:
        """Do the same to many incidents, each for itself, in one transaction."""
        wanted = sorted(set(numbers))

        def work(connection: Connection) -> Acted:
            plans = self.plans.current(connection)
            found = casefile.ids_of(connection, plans, caller.scope, wanted)
            book = Casebook(connection, plans, now)
            book.load_incidents(found.values())
            done: list[int] = []
            unchanged: list[int] = []
            refused = [f"there is no incident {one}" for one in wanted if one not in found]
            for number, id_ in sorted(found.items()):
                try:
                    effects = decide(_loaded(book, id_), plans, now)
                except rules.Refused as error:
                    refused.append(str(error))
                    continue
                book.apply(effects, incident_id=id_)
                (done if effects else unchanged).append(number)
            book.save()
            return Acted(done=tuple(done), unchanged=tuple(unchanged), refused=tuple(refused))

        return self.database.run(work)

    def merge(self, reference: str, into: str, caller: Caller, now: datetime) -> str:
        """Give the alerts of an incident to another; return the id of that which ends.

        Raises NotFound, and Refused where one of them is resolved.
        """

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            ids = [_found(connection, plans, caller, one) for one in (reference, into)]
            book = Casebook(connection, plans, now)
            book.load_incidents(ids)
            book.load_alerts_of(ids)
            source, target = (_loaded(book, id_) for id_ in ids)
            gone, taken = rules.merge(source, target, caller.by)
            book.apply(taken, incident_id=target.id)
            book.apply(gone, incident_id=source.id)
            book.save()
            return source.id

        return self.database.run(work)

    def unmerge(self, reference: str, alert: str, caller: Caller, now: datetime) -> str:
        """Let an alert (by id or dedup key) leave an incident; return the id of its own.

        Where the alert is over, it only leaves, and the incident it left is returned.
        Raises NotFound, and Refused where it is the only one.
        """

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            id_ = _found(connection, plans, caller, reference)
            book = Casebook(connection, plans, now)
            book.load_incidents([id_])
            book.load_alerts_of([id_])
            own = _unmerge(book, plans, _loaded(book, id_), alert, caller.by, now)
            book.save()
            return own

        return self.database.run(work)

    def add_responder(self, reference: str, user_id: str, caller: Caller, now: datetime) -> str:
        """Page one more person, besides those who have it; return the incident's id.

        Raises NotFound, and Refused where it is resolved or they cannot be reached.
        """

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            id_ = _found(connection, plans, caller, reference)
            book = Casebook(connection, plans, now)
            book.load_incidents([id_])
            has_it = user_id in views.assignee_ids(connection, id_)
            person = reach(plans.users[user_id], Urgency.HIGH)
            incident = _loaded(book, id_)
            effects = rules.add_responder(incident, person, caller.by, now, has_it=has_it)
            book.apply(effects, incident_id=id_)
            book.save()
            return id_

        return self.database.run(work)

    def escalate(
        self,
        reference: str,
        caller: Caller,
        now: datetime,
        step: int | None = None,
        round_: int | None = None,
    ) -> str:
        """Take the next step now; return the incident's id.

        ``step`` and ``round_`` name the step the person saw: it is taken in this transaction, so
        that a second press finds another one and skips none. Raises NotFound, and Refused.
        """

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            id_ = _found(connection, plans, caller, reference)
            book = Casebook(connection, plans, now)
            book.load_incidents([id_])
            book.load_turns()
            effects = _escalate(_loaded(book, id_), plans, caller.by, step, round_)
            book.apply(effects, incident_id=id_)
            book.apply(look(_loaded(book, id_), plans, now, book.turns), incident_id=id_)
            book.save()
            return id_

        return self.database.run(work)

    def open(
        self,
        service_id: str,
        title: str,
        severity: Severity,
        details: str,
        caller: Caller,
        now: datetime,
        priority: Priority | None = None,
    ) -> str:
        """Open an incident by hand; return its id. A maintenance window keeps it quiet too.

        Raises NotFound.
        """
        by = caller.by
        signal = Signal(
            resource="manual",
            action=None,
            verb=Verb.TRIGGER,
            dedup_key=None,
            title=clean(title),
            severity=severity,
            priority=priority,
            source=by.name,
        )

        def work(connection: Connection) -> str:
            plans = self.plans.current(connection)
            service = caller.scope.seen(plans).services.get(service_id)
            if service is None:
                raise NotFound(f"there is no service {service_id}")
            incident = fx.OpenIncident(
                text="opened by hand",
                by=by,
                signal=signal,
                service_id=service_id,
                urgency=urgency(service, severity, priority, now),
                previous_incident_id=None,
            )
            opened = [*begin(incident, service, plans.maintenance_windows, now)]
            if details:
                opened.append(fx.Note(text=clean(details, NOTE_LENGTH), by=by))
            book = Casebook(connection, plans, now)
            id_ = book.apply(opened)
            book.save()
            assert id_ is not None
            return id_

        return self.database.run(work)


def _found(connection: Connection, plans: Plans, caller: Caller, reference: str) -> str:
    id_ = views.incident_id(connection, plans, caller.scope, reference)
    if id_ is None:
        raise NotFound(f"there is no incident {reference}")
    return id_


def _loaded(book: Casebook, id_: str) -> Incident:
    incident = book.incident(id_)
    assert incident is not None
    return incident


def _unmerge(
    book: Casebook, plans: Plans, incident: Incident, reference: str, by: Actor, now: datetime
) -> str:
    mine = book.alerts_of(incident.id)
    alert = next((one for one in mine if reference in (one.id, one.dedup_key)), None)
    if alert is None:
        raise NotFound(f"incident {incident.number} has no alert {reference}")
    _must_be_open(incident, "taken apart")
    if len(mine) < 2:
        raise rules.Refused(f"{reference} is the only alert of incident {incident.number}")
    own, effects = unmerge(
        alert,
        [one for one in mine if one is not alert],
        book.seen_in(incident.id, alert),
        plans.services[alert.service_id],
        plans.maintenance_windows,
        by,
        now,
    )
    book.apply(effects, incident_id=incident.id)
    if not own:
        return incident.id
    opened = book.apply(own, alert_key=(alert.integration_id, alert.dedup_key))
    assert opened is not None
    return opened


def _escalate(
    incident: Incident, plans: Plans, by: Actor, step: int | None, round_: int | None
) -> Sequence[fx.Effect]:
    _must_be_open(incident, "escalated")
    stand = incident.escalation
    if step not in (None, stand.step) or round_ not in (None, stand.round):
        raise rules.Refused(
            f"step {step} is no longer the current one; it is step {stand.step}"
            f" of round {stand.round}"
        )
    said: list[fx.Effect] = [fx.Note(text="escalated by hand", by=by)]
    if incident.suppressed_until is not None:
        said.append(fx.Unsuppress(text="nothing keeps it quiet any more", by=by))
    # One that had ended begins anew: people, and the fallback, hear of it once more.
    has_ended = stand.state in (EscalationState.EXHAUSTED, EscalationState.NOBODY_NOTIFIED)
    goes_on = not has_ended and has_next(incident, policy_of(incident, plans))
    return (*said, fx.WakeAt(at=None), fx.Resume() if goes_on else fx.Restart())


def acknowledge(by: Actor) -> Decide:
    """Take it."""
    return lambda incident, plans, now: rules.acknowledge(
        incident, by, plans.services.get(incident.service_id), now
    )


def resolve(by: Actor) -> Decide:
    """End it."""
    return lambda incident, _plans, _now: rules.resolve(incident, by)


def snooze(by: Actor, until: datetime) -> Decide:
    """Quiet it until a time."""
    return lambda incident, _plans, _now: rules.snooze(incident, by, until)


def note(by: Actor, text: str) -> Decide:
    """Write something on its timeline."""
    return lambda _incident, _plans, _now: (
        fx.Note(text=clean(text, NOTE_LENGTH), by=by, is_written=True),
    )


def prioritise(by: Actor, priority: Priority | None) -> Decide:
    """Say how much it matters."""
    return lambda incident, plans, now: rules.set_priority(
        incident, by, priority, plans.services.get(incident.service_id), now
    )


def reassign(by: Actor, *, user_id: str | None = None, policy_id: str | None = None) -> Decide:
    """Give it to a person or to another policy: they are paged from the start."""

    def decide(incident: Incident, plans: Plans, _now: datetime) -> Sequence[fx.Effect]:
        _must_be_open(incident, "reassigned")
        is_theirs = (incident.assigned_user_id, incident.assigned_policy_id) == (user_id, policy_id)
        # What another took meanwhile can be given back.
        taken_by = incident.acknowledged_by_id or incident.acknowledged_by
        if is_theirs and not (user_id and taken_by and taken_by != user_id):
            return ()
        to = plans.users[user_id].name if user_id else plans.policies[policy_id or ""].name
        change = fx.Reassign(
            text=f"reassigned to {to}", by=by, user_id=user_id, policy_id=policy_id
        )
        return (change, fx.CancelPages(), fx.Restart())

    return decide


def _must_be_open(incident: Incident, done: str) -> None:
    if not incident.is_open:
        raise rules.Refused(f"incident {incident.number} is resolved and cannot be {done}")
