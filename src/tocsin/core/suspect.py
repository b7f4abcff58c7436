"""Page who wrote the commit that Sentry suspects, where they are on call anyway.

What Sentry suspects is known only once it was asked, and it is asked after the first pages are
written. So the author is paged as soon as it is known, at once and besides whomever the escalation
pages, which goes on as it would have. In a later run of the escalation it is known from the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin.core import effects as fx
from tocsin.core.context import Suspect
from tocsin.core.escalation import on_call_for, policy_of
from tocsin.core.model import EscalationState, Incident, IncidentStatus
from tocsin.core.notify import pages, reach
from tocsin.core.plans import Plans, User

#: No step of any policy, not the fallback's, and not that of people who were asked for help.
AUTHOR_STEP = -2


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What is known of an incident's suspect commits, and who was paged for it."""

    #: As Sentry has them, the most likely first.
    suspects: Sequence[Suspect] = ()
    #: (user id, run of the escalation) of everybody who was paged, or is about to be.
    paged: frozenset[tuple[str, int]] = frozenset()


def page_author(
    incident: Incident, plans: Plans, suspicion: Suspicion, now: datetime
) -> tuple[fx.Effect, ...]:
    """Page the first of the authors who is on call for it, once in each run of the escalation.

    Nobody where an author was paged in this run already, somebody has it, or it is kept quiet; and
    not before the first step was taken, for that one may page them anyway.
    """
    service = plans.services.get(incident.service_id)
    if service is None or not service.pages_suspect_author or not _pages_now(incident, now):
        return ()
    authors = list(_authors(suspicion.suspects, plans))
    cycle = incident.escalation.cycle
    if any((user.id, cycle) in suspicion.paged for user, _ in authors):
        return ()
    policy = policy_of(incident, plans)
    on_call = on_call_for(policy, plans, now) if policy else frozenset()
    for user, suspect in authors:
        person = reach(user, incident.urgency)
        if user.id in on_call and person.ways:
            why = "wrote the commit that Sentry suspects"
            said = ": ".join(part for part in (suspect.commit, suspect.message) if part)
            told = fx.PageAuthor(
                text=f"pages {user.name}, who {why}{f' ({said})' if said else ''}",
                user_id=user.id,
            )
            reason = f"you {why}"
            return (told, *pages(person, incident.urgency, now, reason, AUTHOR_STEP, 0))
    return ()


def _pages_now(incident: Incident, now: datetime) -> bool:
    stand, quiet = incident.escalation, incident.suppressed_until
    has_begun = stand.step > 0 or stand.state is not EscalationState.RUNNING
    is_quiet = quiet is not None and now < quiet
    return incident.status is IncidentStatus.TRIGGERED and has_begun and not is_quiet


def _authors(suspects: Sequence[Suspect], plans: Plans) -> Iterator[tuple[User, Suspect]]:
    """Yield those whom we know, by their e-mail address."""
    by_email = {user.email.casefold(): user for user in plans.users.values()}
    for suspect in suspects:
        user = by_email.get(suspect.email.casefold())
        if user is not None:
            yield user, suspect
