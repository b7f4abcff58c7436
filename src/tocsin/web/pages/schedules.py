"""Schedules over time: the finished one drawn and as a table, overrides, swaps, calendar links."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.coverage import coverage
from tocsin.core.plans import OverrideKind, Schedule, Shift
from tocsin.core.schedule import instant, standing
from tocsin.core.times import parse_instant
from tocsin.store import calendars
from tocsin.store.calendars import Feed
from tocsin.web.calendar import Feeds
from tocsin.web.pages.form import Form
from tocsin.web.pages.refused import REFUSALS, sentences, status_of
from tocsin.web.pages.timeline import colours, timeline
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.pages.wallclock import Wall
from tocsin.work.oncall import USUAL_WINDOW, moment, schedule_named
from tocsin.work.refusals import Invalid
from tocsin.work.rota import OverrideView, SwapTable, TakeTable
from tocsin.work.schedulefile import OverrideTable, host_of

#: How many weeks a window has.
_WEEKS = ("2", "4")

#: What an override does, in words.
KINDS = (
    (OverrideKind.REPLACE, "comes instead of"),
    (OverrideKind.ADD, "comes besides whoever is on call"),
    (OverrideKind.REMOVE, "is not on call"),
)


@get("/schedules", opt={"action": Action.READ}, sync_to_thread=True)
def list_schedules(visit: Visiting) -> Response[bytes]:
    """List schedules, with who is on call and how much lies ahead that nobody covers."""
    plans, now = visit.plans, visit.now
    rows = [
        {
            "schedule": schedule,
            "team": plans.teams.get(schedule.team_id or ""),
            "now": [plans.users[one.user_id].name for one in standing(schedule, now)],
            "holes": coverage(schedule, plans.users, now, now + USUAL_WINDOW).holes,
        }
        for schedule in sorted(plans.schedules.values(), key=lambda one: one.name)
    ]
    return visit.page("schedules.html", rows=rows)


# -- one over time --------------------------------------------------------------------------------


@get("/schedules/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_schedule(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show a schedule in a window of some weeks."""
    return _show(visit, schedule_named(visit.plans, reference))


def _show(visit: Visit, schedule: Schedule, status: int = 200, **more: Any) -> Response[bytes]:
    zone = ZoneInfo(schedule.time_zone)
    wall = Wall(visit, visit.zone if visit.query.text("zone") == "mine" else zone)
    weeks = int(weeks) if (weeks := visit.query.text("weeks")) in _WEEKS else 2
    begins_at = _begin(visit, wall)
    ends_at = wall.after(begins_at, 7 * weeks)
    drawn = timeline(visit.plans, schedule, wall, begins_at, ends_at, _links(visit, schedule))
    step = timedelta(days=7 * weeks, hours=2)
    view = visit.query.text("view")
    return visit.page(
        "schedule.html",
        status,
        schedule=schedule,
        wall=wall,
        is_own_zone=visit.query.text("zone") == "mine",
        drawn=drawn,
        changes=Wall(visit, zone).changes(begins_at, ends_at),
        weeks=weeks,
        view=view if view in ("table", "timeline") else "",
        earlier=_date(wall, begins_at - step + timedelta(hours=4)),
        later=_date(wall, ends_at),
        team=visit.plans.teams.get(schedule.team_id or ""),
        layers=[_layer_words(visit, layer) for layer in schedule.layers],
        overrides=_overrides(visit, schedule),
        offers=[one for one in visit.back.rota.open_offers(visit.caller, visit.now)
                if one.schedule.id == schedule.id],
        feeds=_feeds_of(visit, schedule),
        colours=colours(visit.plans),
        users=visit.plans.users,
        **{"feed_url": None, "wrong": (), **more},
    )  # fmt: skip


def _begin(visit: Visit, wall: Wall) -> datetime:
    """Return the day the window begins on: the one asked for, else this week's Monday."""
    asked = visit.query.text("from")
    try:
        return wall.midnight(moment(asked, wall.zone.key)) if asked else wall.monday(visit.now)
    except Invalid:
        return wall.monday(visit.now)


def _date(wall: Wall, at: datetime) -> str:
    return f"{wall.local(at):%Y-%m-%d}"


def _links(visit: Visit, schedule: Schedule) -> Callable[[Shift], str | None]:
    """Return where a shift leads to: to its form, unless it is over or one may not."""

    def link(shift: Shift) -> str | None:
        user = visit.plans.users.get(shift.user_id)
        if user is None or shift.ends_at <= visit.now or not visit.may("respond"):
            return None
        asked = {"from": _z(shift.begins_at), "to": _z(shift.ends_at), "user": user.email}
        return f"/schedules/{schedule.id}/shift?{urlencode(asked)}"

    return link


def _z(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _layer_words(visit: Visit, layer: Any) -> dict[str, Any]:
    names = [
        " and ".join(visit.plans.users[id_].name for id_ in turn if id_ in visit.plans.users)
        for turn in layer.participants
    ]
    return {
        "layer": layer,
        "people": [name or "nobody" for name in names],
        "host": host_of(layer.calendar) if layer.calendar else None,
    }


def _overrides(visit: Visit, schedule: Schedule) -> list[dict[str, Any]]:
    """Return the overrides that are not over, the nearest first, with who made them."""
    page = visit.back.rota.overrides(schedule.id, 200, None, visit.caller)
    zone = ZoneInfo(schedule.time_zone)
    found = []
    for one in page.items:
        begins_at, ends_at = (
            instant(datetime.fromisoformat(text), zone) for text in (one.from_, one.to)
        )
        if ends_at > visit.now:
            found.append({
                "id": one.id, "view": one, "begins_at": begins_at, "ends_at": ends_at,
                "words": _override_words(visit, one), "may_remove": _may_remove(visit, one),
            })  # fmt: skip
    return sorted(found, key=lambda one: one["begins_at"])


def _override_words(visit: Visit, one: OverrideView) -> str:
    names = {user.email: user.name for user in visit.plans.users.values()}
    who = names.get(one.user, one.user)
    if one.kind is OverrideKind.REMOVE:
        return f"{who} is not on call"
    if one.kind is OverrideKind.ADD:
        return f"{who} comes besides"
    return f"{who} instead of {names.get(one.instead_of or '', one.instead_of) or 'everybody'}"


def _may_remove(visit: Visit, one: OverrideView) -> bool:
    is_own = one.user == visit.user.email and one.created_by == visit.by.name
    return visit.may("configure") or (visit.may("respond") and is_own)


# -- one shift: take it, or offer it --------------------------------------------------------------


@get("/schedules/{reference:str}/shift", opt={"action": Action.RESPOND}, sync_to_thread=True)
def show_shift(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show what can be done with a shift: take it, or offer one's own."""
    schedule = schedule_named(visit.plans, reference)
    wall = _wall(visit, schedule)
    asked = visit.query
    try:
        begins_at, ends_at = parse_instant(asked.text("from")), parse_instant(asked.text("to"))
    except ValueError as error:
        raise Invalid(f"this shift cannot be read: {error}") from None
    whose = next((u for u in visit.plans.users.values() if u.email == asked.text("user")), None)
    begins_at = max(begins_at, visit.now.replace(second=0, microsecond=0))
    rows = {
        "user": visit.user.email,
        "instead_of": whose.email if whose else "",
        "kind": OverrideKind.REPLACE.value,
        "from": wall.typed(begins_at),
        "to": wall.typed(ends_at),
        "exact_from": _z(begins_at),
        "exact_to": _z(ends_at),
    }
    return _shift_page(visit, schedule, rows, is_mine=whose is not None and whose == visit.user)


def _shift_page(
    visit: Visit,
    schedule: Schedule,
    rows: dict[str, str],
    status: int = 200,
    wrong: Any = (),
    *,
    is_mine: bool = False,
) -> Response[bytes]:
    names = {user.email: user.name for user in visit.plans.users.values()}
    people = sorted(names.items(), key=lambda one: one[1])
    return visit.page(
        "shift.html",
        status,
        schedule=schedule,
        wall=_wall(visit, schedule),
        rows=rows,
        wrong=wrong,
        is_mine=is_mine,
        people=people,
        names=names,
        kinds=[(kind.value, words) for kind, words in KINDS],
    )


@get("/schedules/{reference:str}/overrides", opt={"action": Action.RESPOND}, sync_to_thread=True)
def override_form(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Ask for an override of any kind."""
    schedule = schedule_named(visit.plans, reference)
    wall = _wall(visit, schedule)
    begins_at = visit.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    rows = {
        "user": visit.user.email,
        "instead_of": "",
        "kind": OverrideKind.REPLACE.value,
        "from": wall.typed(begins_at),
        "to": wall.typed(begins_at + timedelta(hours=8)),
        "is_free": "yes",
    }
    return _shift_page(visit, schedule, rows)


@post("/schedules/{reference:str}/overrides", opt={"action": Action.RESPOND}, sync_to_thread=True)
def add_override(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Lay an override over a schedule."""
    schedule = schedule_named(visit.plans, reference)
    form, wall = visit.form, _wall(visit, schedule)
    try:
        kind = OverrideKind(form.text("kind") or "replace")
        row = OverrideTable(
            user=form.text("user") or visit.user.email,
            from_=_edge(form, wall, "from"),
            to=_edge(form, wall, "to"),
            kind=kind,
            instead_of=form.maybe("instead_of") if kind is OverrideKind.REPLACE else None,
        )
        visit.back.rota.add(schedule.id, row, visit.caller, visit.now)
    except (*REFUSALS, ValueError) as error:
        rows = {name: form.text(name) for name in _FIELDS}
        return _shift_page(visit, schedule, rows, status_of(error), sentences(error))
    visit.back.changed()
    who = next((u.name for u in visit.plans.users.values() if u.email == row.user), row.user)
    whose = "You are" if row.user == visit.user.email else f"{who} is"
    done = {
        OverrideKind.REPLACE: f"{whose} on call for that time.",
        OverrideKind.ADD: f"{whose} on call besides for that time.",
        OverrideKind.REMOVE: f"{whose} not on call for that time.",
    }
    return visit.go(_at(schedule, wall, moment(row.from_, schedule.time_zone)), done[kind])


_FIELDS = ("user", "instead_of", "kind", "from", "to", "exact_from", "exact_to", "is_free")


def _edge(form: Form, wall: Wall, name: str) -> str:
    """Return a time as typed; one that nobody changed is the instant that it was made of.

    A clock that is set back shows an hour twice, which only the instant tells apart.
    """
    typed, exact = form.text(name), form.text(f"exact_{name}")
    if exact:
        try:
            if wall.typed(parse_instant(exact)) == typed:
                return exact
        except ValueError:
            pass
    if not typed:
        raise Invalid(f"the field {name} is empty: give a day and a time")
    return typed


def _at(schedule: Schedule, wall: Wall, at: datetime) -> str:
    """Return the address that shows a schedule in the week of an instant."""
    if wall.monday(at) == wall.monday(wall.visit.now):
        return f"/schedules/{schedule.id}"
    return f"/schedules/{schedule.id}?from={_date(wall, wall.monday(at))}"


def _wall(visit: Visit, schedule: Schedule) -> Wall:
    return Wall(visit, ZoneInfo(schedule.time_zone))


@post("/schedules/{reference:str}/overrides/{override_id:str}/remove",
      opt={"action": Action.RESPOND}, sync_to_thread=True)  # fmt: skip
def remove_override(
    visit: Visiting, reference: FromPath[str], override_id: FromPath[str]
) -> Response[bytes]:
    """Take an override back."""
    return _do(
        visit,
        reference,
        lambda id_: visit.back.rota.remove(id_, override_id, visit.caller, visit.now),
        "The override is gone.",
    )


# -- swaps ----------------------------------------------------------------------------------------


@post("/schedules/{reference:str}/swaps", opt={"action": Action.RESPOND}, sync_to_thread=True)
def offer_swap(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Offer a shift, or part of one."""
    schedule = schedule_named(visit.plans, reference)
    form, wall = visit.form, _wall(visit, schedule)
    try:
        row = SwapTable(from_=_edge(form, wall, "from"), to=_edge(form, wall, "to"))
        visit.back.rota.offer(schedule.id, row, visit.caller, visit.now)
    except (*REFUSALS, ValueError) as error:
        rows = {name: form.text(name) for name in _FIELDS}
        rows["instead_of"] = visit.user.email
        return _shift_page(visit, schedule, rows, status_of(error), sentences(error), is_mine=True)
    visit.back.changed()
    return visit.go(
        f"/schedules/{schedule.id}",
        "Your shift is offered. It stays yours until somebody takes it.",
    )


@post("/schedules/{reference:str}/swaps/{swap_id:str}/take",
      opt={"action": Action.RESPOND}, sync_to_thread=True)  # fmt: skip
def take_swap(visit: Visiting, reference: FromPath[str], swap_id: FromPath[str]) -> Response[bytes]:
    """Take a shift that somebody offers."""
    return _do(
        visit,
        reference,
        lambda id_: visit.back.rota.take(id_, swap_id, TakeTable(), visit.caller, visit.now),
        "The shift is yours.",
    )


@post("/schedules/{reference:str}/swaps/{swap_id:str}/withdraw",
      opt={"action": Action.RESPOND}, sync_to_thread=True)  # fmt: skip
def withdraw_swap(
    visit: Visiting, reference: FromPath[str], swap_id: FromPath[str]
) -> Response[bytes]:
    """Withdraw an offer."""
    return _do(
        visit,
        reference,
        lambda id_: visit.back.rota.withdraw(id_, swap_id, visit.caller, visit.now),
        "The offer is withdrawn.",
    )


def _do(
    visit: Visit, reference: str, change: Callable[[str], object], said: str
) -> Response[bytes]:
    """Change a schedule by its id, and go where people came from; a refusal is said there."""
    schedule = schedule_named(visit.plans, reference)
    back = "/oncall" if visit.form.text("back") == "oncall" else f"/schedules/{schedule.id}"
    try:
        change(schedule.id)
    except REFUSALS as error:
        return visit.go(back, " ".join(sentences(error)), is_bad=True)
    visit.back.changed()
    return visit.go(back, said)


# -- calendar links -------------------------------------------------------------------------------


def _feeds_of(visit: Visit, schedule: Schedule) -> list[Feed]:
    if not visit.may("configure"):
        return []
    with visit.back.desk.database.read() as connection:
        found = calendars.feed_page(connection, None, [schedule.id], None, 1000)
    return [feed for feed in found if feed.schedule_id == schedule.id]


@post("/schedules/{reference:str}/feeds", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def make_feed(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Make a calendar link; its address is shown on this page and never again."""
    schedule = schedule_named(visit.plans, reference)
    _feed, key = visit.back.desk.database.run(
        lambda connection: calendars.create_feed(connection, None, schedule.id, visit.now)
    )
    feeds: Feeds = visit.request.app.state.feeds
    return _show(visit, schedule, feed_url=feeds.url(key))


@post("/schedules/{reference:str}/feeds/{feed_id:str}/revoke",
      opt={"action": Action.CONFIGURE}, sync_to_thread=True)  # fmt: skip
def revoke_feed(
    visit: Visiting, reference: FromPath[str], feed_id: FromPath[str]
) -> Response[bytes]:
    """Let a calendar link lead nowhere."""
    schedule = schedule_named(visit.plans, reference)
    if any(feed.id == feed_id for feed in _feeds_of(visit, schedule)):
        visit.back.desk.database.run(
            lambda connection: calendars.revoke_feed(connection, feed_id, visit.now)
        )
    return visit.go(f"/schedules/{schedule.id}#calendar", "The calendar link is revoked.")


PAGES: tuple[Any, ...] = (
    list_schedules, show_schedule, show_shift, override_form, add_override, remove_override,
    offer_swap, take_swap, withdraw_swap, make_feed, revoke_feed,
)  # fmt: skip
