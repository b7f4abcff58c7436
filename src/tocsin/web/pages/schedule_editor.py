"""Make and change schedules; nothing is saved before somebody has seen what comes of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.plans import Schedule
from tocsin.web.pages.refused import REFUSALS, sentences, status_of
from tocsin.web.pages.schedule_form import WEEKDAYS, ScheduleForm
from tocsin.web.pages.timeline import Timeline, timeline
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.pages.wallclock import Wall
from tocsin.work.collection import check
from tocsin.work.oncall import EmptyTurnView, coverage, draft, schedule_named
from tocsin.work.schedulefile import ScheduleTable, schedule_table

#: How much is drawn of what would be, and how much around a change of the clock.
_PREVIEW_WEEKS = 4

_UNITS = (("hour", "hours"), ("day", "days"), ("week", "weeks"), ("month", "months"))


@get("/schedules/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def new_schedule(visit: Visiting) -> Response[bytes]:
    """Ask for a new schedule."""
    local = visit.now.astimezone(visit.zone)
    return _page(visit, None, ScheduleForm.new(visit.zone.key, visit.user.email, local))


@get("/schedules/{reference:str}/edit", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def edit_schedule(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Ask for a change of a schedule."""
    schedule = schedule_named(visit.plans, reference)
    shown = visit.back.collections["schedules"].one(schedule.id, visit.caller)
    return _page(visit, schedule, ScheduleForm.of(shown))


@post("/schedules/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def make_schedule(visit: Visiting) -> Response[bytes]:
    """Make a schedule, or show what it would be."""
    return _answer(visit, None)


@post("/schedules/{reference:str}/edit", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def change_schedule(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Change a schedule, or show what it would be."""
    return _answer(visit, schedule_named(visit.plans, reference))


@post("/schedules/{reference:str}/remove", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def remove_schedule(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Take a schedule out of use, unless a policy names it."""
    schedule = schedule_named(visit.plans, reference)
    try:
        visit.back.collections["schedules"].remove(schedule.id, visit.caller, visit.now)
    except REFUSALS as error:
        said = " ".join(sentences(error))
        return visit.go(f"/schedules/{schedule.id}/edit", said, is_bad=True)
    visit.back.changed()
    return visit.go("/schedules", f"The schedule {schedule.name} is gone.")


def _answer(visit: Visit, schedule: Schedule | None) -> Response[bytes]:
    """Do what the pressed button says: change the form, preview, or save."""
    typed = ScheduleForm.read(visit.form)
    emails = [email for email, _ in _people(visit)]
    what = visit.form.text("do")
    if typed.do(what, emails, visit.now):
        return _page(visit, schedule, typed)
    try:
        table = typed.table()
        check(table)
        if what != "save":
            return _page(visit, schedule, typed, preview=_preview(visit, schedule, table))
        things = visit.back.collections["schedules"]
        if schedule is None:
            shown = things.create(table, visit.caller, visit.now)
        else:
            shown = things.replace(schedule.id, table, visit.caller, visit.now)
    except REFUSALS as error:
        return _page(visit, schedule, typed, status_of(error), wrong=sentences(error))
    visit.back.changed()
    return visit.go(f"/schedules/{shown['id']}", f"The schedule {shown['name']} is saved.")


class Preview:
    """What a schedule that is not saved would be."""

    def __init__(self, visit: Visit, schedule: Schedule) -> None:
        """Draw the next weeks, and the week in which the clock is changed."""
        self.schedule = schedule
        self.wall = Wall(visit, ZoneInfo(schedule.time_zone))
        begins_at = self.wall.monday(visit.now)
        ends_at = self.wall.after(begins_at, 7 * _PREVIEW_WEEKS)
        self.drawn: Timeline = timeline(visit.plans, schedule, self.wall, begins_at, ends_at)
        self.empty_turns: tuple[EmptyTurnView, ...] = coverage(
            schedule, visit.now, ends_at
        ).empty_turns
        self.change = self.wall.next_change(visit.now)
        self.change_week: Timeline | None = None
        if self.change is not None:
            monday = self.wall.monday(self.change.at)
            end = self.wall.after(monday, 7)
            # The night of a change is nearly always that of a Sunday: one day more shows its end.
            end = self.wall.after(end, 1) if end - self.change.at < timedelta(days=2) else end
            self.change_week = timeline(visit.plans, schedule, self.wall, monday, end)


def _preview(visit: Visit, schedule: Schedule | None, table: ScheduleTable) -> Preview:
    """Draw what is not saved, with the overrides that stay. Raises BadFile."""
    if schedule is not None:
        table.overrides = schedule_table(schedule, visit.plans).overrides
    return Preview(visit, draft(visit.plans, table))


def _people(visit: Visit) -> list[tuple[str, str]]:
    people = sorted(visit.plans.users.values(), key=lambda user: user.name)
    return [(user.email, user.name) for user in people]


def _page(
    visit: Visit,
    schedule: Schedule | None,
    typed: ScheduleForm,
    status: int = 200,
    *,
    wrong: Any = (),
    preview: Preview | None = None,
) -> Response[bytes]:
    local: datetime = visit.now.astimezone(visit.zone)
    return visit.page(
        "schedule_edit.html",
        status,
        schedule=schedule,
        typed=typed,
        wrong=wrong,
        preview=preview,
        people=_people(visit),
        teams=sorted(team.name for team in visit.plans.teams.values()),
        zones=sorted(available_timezones()),
        weekdays=WEEKDAYS,
        units=_UNITS,
        today=local,
    )


PAGES: tuple[Any, ...] = (
    new_schedule, edit_schedule, make_schedule, change_schedule, remove_schedule,
)  # fmt: skip
