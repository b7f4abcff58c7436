"""What follows when a page failed for good: another way to its person, or the next step at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core.escalation import FALLBACK_STEP
from tocsin.core.incident import HELP_STEP
from tocsin.core.model import (
    EscalationState,
    Incident,
    IncidentStatus,
    NotificationState,
    TimelineKind,
    Urgency,
)
from tocsin.core.notify import quiet_until
from tocsin.core.plans import ContactMethod, Plans
from tocsin.store import contacts, incidents, jobs, notifications
from tocsin.store.jobs import Kind
from tocsin.store.notifications import Notification

#: The rule of a page that takes the place of one that failed.
INSTEAD_RULE = "instead"

_INSTEAD = " (instead of "

#: What reached somebody, or still may.
_HOPEFUL = frozenset({NotificationState.PENDING, NotificationState.SENT, NotificationState.BUNDLED})


@dataclass(frozen=True, slots=True)
class _Pages:
    """All pages of one incident."""

    pages: Mapping[str, Notification]

    def lost_with(self, ids: Collection[str]) -> list[Notification]:
        """Return those that failed, with those that failed with them."""
        return [
            one
            for one in self.pages.values()
            if (one.id in ids or one.bundled_into_id in ids)
            and self._state(one) is NotificationState.FAILED
        ]

    def _state(self, one: Notification) -> NotificationState:
        """What became of it: of twins, what became of the one that was sent."""
        lead = self.pages.get(one.bundled_into_id or "")
        return lead.state if lead and one.state is NotificationState.BUNDLED else one.state

    def is_hopeful(self, cycle: int, place: tuple[int, int] | None = None) -> bool:
        """Whether a page of a run (or of one step of it) went out, or is on its way."""
        return any(
            self._state(one) in _HOPEFUL
            for one in self.pages.values()
            if one.cycle == cycle and place in (None, (one.round, one.step))
        )

    def of_person(self, lost: Notification) -> list[Notification]:
        """Return the pages to the same person in the same step."""
        place = (lost.user_id, lost.cycle, lost.round, lost.step)
        return [
            one
            for one in self.pages.values()
            if (one.user_id, one.cycle, one.round, one.step) == place
        ]


def go_on(
    connection: Connection,
    plans: Plans,
    held: Mapping[str, Incident],
    lost_ids: Collection[str],
    gone: Collection[str],
    now: datetime,
) -> None:
    """Let pages that failed for good not be the end of it.

    ``held`` are the incidents they are about, locked; ``gone`` are contact methods that the plans
    still have, and that take nothing any more.

    1. The person is paged at once by the next contact method that was not tried in this step.
    2. Where they have none, and nobody else was paged in this step, the next step is taken at once.
    3. Where nobody was paged in the whole run, its end pages the fallback.
    """
    known: dict[str, dict[str, Notification]] = {id_: {} for id_ in held}
    for one in notifications.pages_of(connection, list(held)):
        known[one.incident_id or ""][one.id] = one
    methods = {
        user.id: [one for one in user.contact_methods if one.is_usable and one.id not in gone]
        for user in plans.users.values()
    }
    anew: list[Notification] = []
    sooner: list[tuple[Kind, str, datetime]] = []
    for id_, pages in known.items():
        incident, all_pages = held[id_], _Pages(pages)
        for lost in all_pages.lost_with(lost_ids):
            if not _concerns(incident, lost):
                continue
            at = _due(plans, incident, lost, now)
            mine = all_pages.of_person(lost)
            waiting = [
                one
                for one in mine
                if one.state is NotificationState.PENDING and one.contact_method_id not in gone
            ]
            if any(one.due_at <= now or one.attempts for one in waiting):
                continue
            if waiting:
                first = min(waiting, key=lambda one: (one.due_at, one.id))
                sooner.append((Kind.NOTIFY, first.id, min(at, first.due_at)))
                continue
            tried = {one.contact_method_id for one in mine}
            way = next((one for one in methods.get(lost.user_id, ()) if one.id not in tried), None)
            if way is not None:
                page = _instead(lost, way, _name(plans, lost), at, now)
                pages[page.id] = page
                anew.append(page)
    channels = {one.id: one.channel for ways in methods.values() for one in ways}
    notifications.add_pages(connection, anew, channels)
    jobs.put(connection, [(Kind.NOTIFY, one.id, one.due_at) for one in anew])
    jobs.postpone(connection, sooner)
    changed = [
        incident
        for id_, incident in held.items()
        if _step_on(connection, incident, _Pages(known[id_]), lost_ids, now)
    ]
    jobs.put(connection, [(Kind.ESCALATE, incident.id, now) for incident in changed])


def _concerns(incident: Incident, lost: Notification) -> bool:
    """Whether anybody still needs it."""
    if lost.step == HELP_STEP:
        return incident.is_open
    same_run = lost.cycle == incident.escalation.cycle
    return same_run and incident.status is IncidentStatus.TRIGGERED


def _due(plans: Plans, incident: Incident, lost: Notification, now: datetime) -> datetime:
    user = plans.users.get(lost.user_id)
    is_loud = incident.urgency is not Urgency.LOW or lost.step in (FALLBACK_STEP, HELP_STEP)
    if user is None or is_loud:
        return now
    return quiet_until(user, now)


def _name(plans: Plans, lost: Notification) -> str:
    user = plans.users.get(lost.user_id)
    methods = user.contact_methods if user else ()
    return next(
        (one.name for one in methods if one.id == lost.contact_method_id),
        "a contact method that is gone",
    )


def _instead(
    lost: Notification, way: ContactMethod, name: str, at: datetime, now: datetime
) -> Notification:
    reason = f"{lost.reason.partition(_INSTEAD)[0]}{_INSTEAD}{name})"
    return notifications.anew(lost, way.id, INSTEAD_RULE, reason, at, now)


def _step_on(
    connection: Connection,
    incident: Incident,
    pages: _Pages,
    lost_ids: Collection[str],
    now: datetime,
) -> bool:
    """Say of an incident that nobody was reached; return whether to look at it again now."""
    stand = incident.escalation
    places = {
        (one.round, one.step)
        for one in pages.lost_with(lost_ids)
        if one.step != HELP_STEP and _concerns(incident, one)
    }
    unreached = {place for place in places if not pages.is_hopeful(stand.cycle, place)}
    if not unreached or stand.state is EscalationState.NOBODY_NOTIFIED:
        return False
    if incident.suppressed_until is not None and now < incident.suppressed_until:
        return False
    was_reached = pages.is_hopeful(stand.cycle)
    if stand.state is EscalationState.RUNNING:
        if not was_reached:
            incidents.say_unreached(connection, incident.id)
        return (stand.round, stand.step) in unreached
    if was_reached:
        return False
    # It had ended, and told nobody: it ends once more, by whoever is left.
    incidents.say_unreached(connection, incident.id, goes_on=True)
    return True


# -- pages whose way is gone before they went ----------------------------------------------------


def give_up(
    connection: Connection, plans: Plans, lost: Sequence[Notification], now: datetime
) -> frozenset[str]:
    """Give up pages that have nowhere to go any more; return those that could not be given up now.

    Somebody else holds their incident, whom this must not wait for.
    """
    if not lost:
        return frozenset()
    held = incidents.lock(
        connection, {one.incident_id for one in lost if one.incident_id}, skip_locked=True
    )
    mine = [one for one in lost if one.incident_id in held]
    wanted = [one for one in mine if _concerns(held[one.incident_id or ""], one)]
    if wanted:
        notifications.settle(connection, [(one.id, NotificationState.FAILED) for one in wanted])
        incidents.add_entries(
            connection, [_entry(connection, plans, one, held, now) for one in wanted]
        )
        about = {one.incident_id or "": held[one.incident_id or ""] for one in wanted}
        go_on(connection, plans, about, {one.id for one in wanted}, (), now)
    return frozenset(one.id for one in lost if one.incident_id and one.incident_id not in held)


def _entry(
    connection: Connection,
    plans: Plans,
    one: Notification,
    held: Mapping[str, Incident],
    now: datetime,
) -> dict[str, object]:
    who, name = contacts.names_of(connection, one.contact_method_id)
    methods: Iterable[ContactMethod] = (
        plans.users[one.user_id].contact_methods if one.user_id in plans.users else ()
    )
    is_there = any(method.id == one.contact_method_id for method in methods)
    why = "this contact method can no longer be used" if is_there else "this contact method is gone"
    return incidents.entry(
        held[one.incident_id or ""],
        now,
        TimelineKind.PAGE_FAILED,
        f"could not page {who} by {name}: {why}",
        "tocsin",
        {"notification_id": one.id},
    )
