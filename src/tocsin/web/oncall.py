"""Who is on call, and how people change that: thin handlers over use cases."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeAlias

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody, QueryParameter

from tocsin.core.access import Action
from tocsin.store.lists import Page
from tocsin.web.back import Back, Cursor, Limit, asked, known_to
from tocsin.work.oncall import (
    USUAL_WINDOW,
    Asked,
    CoverageView,
    OnCallView,
    ShiftsView,
    coverage,
    draft,
    moment,
    schedule_named,
    shifts_of,
    who_is_on_call,
)
from tocsin.work.rota import OverrideView, SwapTable, SwapView, TakeTable
from tocsin.work.schedulefile import OverrideTable, ScheduleTable

Asking: TypeAlias = Request[Any, Any, State]

#: A plus sign in a query that was not escaped: it arrives as a space.
_LOST_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:?[0-9]{2}$)")

From = Annotated[
    str | None,
    QueryParameter(
        name="from",
        description="An instant, or a time on the clock of the schedule's zone; now if absent.",
    ),
]
To = Annotated[
    str | None,
    QueryParameter(name="to", description="As ``from``; four weeks after it if absent."),
]


class OnCallList(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on call; empty where nobody is."""

    items: tuple[OnCallView, ...]


@get("/oncall", opt={"action": Action.READ}, sync_to_thread=True, tags=["oncall"])
def list_oncall(
    request: Asking,
    state: State,
    schedule: Annotated[str | None, QueryParameter(description="A name or id.")] = None,
    service: Annotated[
        str | None, QueryParameter(description="A name or id: the schedules its policy names.")
    ] = None,
    user: Annotated[str | None, QueryParameter(description="An e-mail address or id.")] = None,
    at: Annotated[str | None, QueryParameter(description="An instant; now if absent.")] = None,
) -> OnCallList:
    """Say who is on call, since when, until when, and who comes next."""
    back, _, seen = known_to(request, state)
    about = Asked(schedule=schedule, service=service, user=user)
    when = back.clock() if at is None else _moment(at, "UTC")
    found = who_is_on_call(seen, about, when)
    return OnCallList(items=tuple(found))


def _moment(text: str, time_zone: str) -> datetime:
    return moment(_LOST_PLUS.sub("+", text), time_zone)


def _window(
    back: Back, begins: str | None, ends: str | None, time_zone: str
) -> tuple[datetime, datetime]:
    begins_at = back.clock() if begins is None else _moment(begins, time_zone)
    return begins_at, begins_at + USUAL_WINDOW if ends is None else _moment(ends, time_zone)


class ScheduleController(Controller):
    """Schedules over time, and changes of what they say."""

    path = "/schedules"
    tags = ("schedules",)

    @get("/{reference:str}/shifts", opt={"action": Action.READ}, sync_to_thread=True)
    def list_shifts(
        self,
        request: Asking,
        state: State,
        reference: FromPath[str],
        begins: From = None,
        ends: To = None,
    ) -> ShiftsView:
        """Say who is on call when in a window of at most two years, and when nobody is."""
        back, _, seen = known_to(request, state)
        schedule = schedule_named(seen, reference)
        return shifts_of(seen, schedule, *_window(back, begins, ends, schedule.time_zone))

    @post("/preview", opt={"action": Action.READ}, sync_to_thread=True, status_code=200)
    def preview(
        self,
        request: Asking,
        state: State,
        data: JSONBody[ScheduleTable],
        begins: From = None,
        ends: To = None,
    ) -> ShiftsView:
        """Say what the shifts of a schedule would be; nothing is saved.

        Overrides that are left out are those of the schedule of that name, if there is one.
        """
        back, _, seen = known_to(request, state)
        schedule = draft(seen, data)
        return shifts_of(seen, schedule, *_window(back, begins, ends, schedule.time_zone))

    @get("/{reference:str}/coverage", opt={"action": Action.READ}, sync_to_thread=True)
    def get_coverage(
        self,
        request: Asking,
        state: State,
        reference: FromPath[str],
        days: Annotated[int, QueryParameter(ge=1, le=731, description="How far ahead.")] = 28,
    ) -> CoverageView:
        """Say what lies ahead that nobody covers: gaps, and turns with nobody in them."""
        back, _, seen = known_to(request, state)
        schedule = schedule_named(seen, reference)
        now = back.clock()
        return coverage(schedule, now, now + timedelta(days=days))

    # -- overrides

    @get("/{reference:str}/overrides", opt={"action": Action.READ}, sync_to_thread=True)
    def list_overrides(
        self,
        request: Asking,
        state: State,
        reference: FromPath[str],
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[OverrideView]:
        """List overrides, the newest first; of several at a time that one wins."""
        back, caller = asked(request, state)
        return back.rota.overrides(reference, limit, cursor, caller)

    @post("/{reference:str}/overrides", opt={"action": Action.RESPOND}, sync_to_thread=True)
    def add_override(
        self,
        request: Asking,
        state: State,
        reference: FromPath[str],
        data: JSONBody[OverrideTable],
    ) -> OverrideView:
        """Change who is on call for a time. Responders may only come themselves."""
        back, caller = asked(request, state)
        made = back.rota.add(reference, data, caller, back.clock())
        back.changed()
        return made

    @delete("/{reference:str}/overrides/{override_id:str}", opt={"action": Action.RESPOND},
            sync_to_thread=True)  # fmt: skip
    def remove_override(
        self, request: Asking, state: State, reference: FromPath[str], override_id: FromPath[str]
    ) -> None:
        """Take an override back. Responders may only take back what they added themselves."""
        back, caller = asked(request, state)
        back.rota.remove(reference, override_id, caller, back.clock())
        back.changed()

    # -- swaps

    @get("/{reference:str}/swaps", opt={"action": Action.READ}, sync_to_thread=True)
    def list_swaps(
        self,
        request: Asking,
        state: State,
        reference: FromPath[str],
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[SwapView]:
        """List offers that were not withdrawn, the newest first."""
        back, caller = asked(request, state)
        return back.rota.swaps(reference, limit, cursor, caller)

    @post("/{reference:str}/swaps", opt={"action": Action.RESPOND}, sync_to_thread=True)
    def offer_swap(
        self, request: Asking, state: State, reference: FromPath[str], data: JSONBody[SwapTable]
    ) -> SwapView:
        """Offer (part of) a shift; nothing changes until somebody takes it."""
        back, caller = asked(request, state)
        made = back.rota.offer(reference, data, caller, back.clock())
        back.changed()
        return made

    @post("/{reference:str}/swaps/{swap_id:str}/take", opt={"action": Action.RESPOND},
          sync_to_thread=True, status_code=200)  # fmt: skip
    def take_swap(
        self,
        request: Asking,
        state: State,
        reference: FromPath[str],
        swap_id: FromPath[str],
        data: JSONBody[TakeTable | None] = None,
    ) -> SwapView:
        """Take an offered shift; 409 if another was first, or it was withdrawn."""
        back, caller = asked(request, state)
        taken = back.rota.take(reference, swap_id, data or TakeTable(), caller, back.clock())
        back.changed()
        return taken

    @delete("/{reference:str}/swaps/{swap_id:str}", opt={"action": Action.RESPOND},
            sync_to_thread=True)  # fmt: skip
    def withdraw_swap(
        self, request: Asking, state: State, reference: FromPath[str], swap_id: FromPath[str]
    ) -> None:
        """Withdraw an offer that nobody has taken."""
        back, caller = asked(request, state)
        back.rota.withdraw(reference, swap_id, caller, back.clock())
        back.changed()


ONCALL = (list_oncall, ScheduleController)
