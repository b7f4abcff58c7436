"""Who is on call now, team by team, and what lies ahead that nobody covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Response, get

from tocsin.core.access import Action
from tocsin.core.coverage import Hole, coverage, needs_coverage
from tocsin.core.plans import Plans, Schedule, Shift
from tocsin.core.schedule import OnCall, next_change, on_call, shifts, standing
from tocsin.web.pages.timeline import colours
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.pages.wallclock import Wall
from tocsin.work.oncall import USUAL_WINDOW

#: Holes shown of one schedule; the others are counted.
_FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One person on call in a schedule."""

    user_id: str
    name: str
    email: str
    colour: str
    stands: OnCall
    then_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One schedule, now."""

    schedule: Schedule
    duties: tuple[Duty, ...]
    #: When somebody comes, where nobody is on call; None: not within reach.
    covered_at: datetime | None
    #: What lies ahead that nobody covers, or nobody who can be reached.
    holes: tuple[Hole, ...]
    more_holes: int
    #: Whether a policy of a service counts on it.
    is_used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The schedules of a team, or those of none."""

    team: str | None
    cards: tuple[Card, ...]


@get("/oncall", opt={"action": Action.READ}, sync_to_thread=True)
def who_is_on_call(visit: Visiting) -> Response[bytes]:
    """Show who is on call, until when, and who comes next."""
    plans = visit.plans
    named = colours(plans)
    # Whose team a schedule is of does not matter to whoever is on call.
    every = {
        schedule.id: _card(visit.all_plans, schedule, named, visit.now)
        for schedule in sorted(visit.all_plans.schedules.values(), key=lambda one: one.name)
        if schedule.id in plans.schedules or visit.user.id in on_call(schedule, visit.now)
    }
    cards = {id_: card for id_, card in every.items() if id_ in plans.schedules}
    mine = [
        (card, duty)
        for card in every.values()
        for duty in card.duties
        if duty.user_id == visit.user.id
    ]
    return visit.page(
        "oncall.html",
        wall=Wall(visit, visit.zone),
        groups=list(_groups(plans, cards)),
        mine=mine,
        seen=frozenset(cards),
        next_of_mine=None if mine else _next_of(visit),
        offers=visit.back.rota.open_offers(visit.caller, visit.now),
        names={user.id: user.name for user in plans.users.values()},
    )


def _card(plans: Plans, schedule: Schedule, named: Mapping[str, str], now: datetime) -> Card:
    duties = tuple(
        Duty(
            user_id=one.user_id,
            name=plans.users[one.user_id].name,
            email=plans.users[one.user_id].email,
            colour=named.get(one.user_id, "who-0"),
            stands=one,
            then_name=plans.users[one.then.user_id].name if one.then else "",
        )
        for one in standing(schedule, now)
        if one.user_id in plans.users
    )
    holes = (
        coverage(schedule, plans.users, now, now + USUAL_WINDOW).holes if schedule.layers else ()
    )
    return Card(
        schedule=schedule,
        duties=duties,
        covered_at=None if duties else next_change(schedule, now),
        holes=holes[:_FEW],
        more_holes=max(len(holes) - _FEW, 0),
        is_used=needs_coverage(schedule, plans),
    )


def _groups(plans: Plans, cards: Mapping[str, Card]) -> Iterator[Group]:
    by_team: dict[str | None, list[Card]] = {}
    for card in cards.values():
        team = plans.teams.get(card.schedule.team_id or "")
        by_team.setdefault(team.name if team else None, []).append(card)
    for team_name in sorted(by_team, key=lambda name: (name is None, name or "")):
        yield Group(team=team_name, cards=tuple(by_team[team_name]))


def _next_of(visit: Visit) -> tuple[Schedule, Shift] | None:
    """Return when whoever reads is on call next, and for what."""
    window = (visit.now, visit.now + USUAL_WINDOW)
    found: Sequence[tuple[Schedule, Shift]] = [
        (schedule, shift)
        for schedule in visit.all_plans.schedules.values()
        for shift in shifts(schedule, *window)
        if shift.user_id == visit.user.id
    ]
    return min(found, key=lambda one: one[1].begins_at, default=None)


PAGES: tuple[Any, ...] = (who_is_on_call,)
