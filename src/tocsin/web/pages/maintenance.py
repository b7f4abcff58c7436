"""Maintenance windows: those that are now, planned and over, and a form that shows what it hits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.times import parse_instant, parse_span
from tocsin.store.lists import MAX_LIMIT
from tocsin.web.pages.form import Form
from tocsin.web.pages.refused import REFUSALS, sentences, status_of
from tocsin.web.pages.schedule_form import converted
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.pages.wallclock import Wall
from tocsin.work.collection import Shown
from tocsin.work.configfile import ROUTE_FIELDS
from tocsin.work.currentfile import living
from tocsin.work.dated import PreviewTable, WindowTable
from tocsin.work.refusals import Invalid

#: How long, from its beginning; the first: until the time that is typed.
SPANS = (("", "until a time"), ("30m", "30 minutes"), ("1h", "1 hour"), ("4h", "4 hours"))

#: What of an incident is compared, and what it is called.
MATCHED = (
    ("title", "Title", "Whole titles; * stands for anything: *timeout*"),
    ("environment", "Environment", "production"),
    ("project", "Project", "The project at the source"),
    ("level", "Level", "The source's word: error, warning"),
    ("resource", "Resource", "issue, event_alert, metric_alert"),
    ("action", "Action", "created, triggered"),
)
assert {name for name, _label, _hint in MATCHED} == set(ROUTE_FIELDS)


@dataclass(slots=True, kw_only=True)
class WindowForm:
    """A maintenance window, as typed."""

    services: list[str] = field(default_factory=list)
    #: Lines by match field; ``tags`` has lines such as ``browser = Chrome``.
    match: dict[str, str] = field(default_factory=dict)
    begins: str = ""
    span: str = "1h"
    ends: str = ""
    reason: str = ""

    @classmethod
    def read(cls, form: Form) -> Self:
        """Read what was typed."""
        named = (*(name for name, _label, _hint in MATCHED), "tags")
        return cls(
            services=list(form.many("services")) if form.text("which") != "all" else [],
            match={name: form.text(f"match.{name}") for name in named},
            begins=form.text("from"),
            span=form.text("span"),
            ends=form.text("to"),
            reason=form.text("reason"),
        )

    @classmethod
    def of(cls, shown: Mapping[str, Any], wall: Wall) -> Self:
        """Read one that is there, as the API shows it."""
        match = shown.get("match") or {}
        tags = [
            f"{name[4:]} = {value}"
            for name, values in match.items()
            if name.startswith("tag.")
            for value in values
        ]
        lines = {name: "\n".join(match.get(name, ())) for name, _label, _hint in MATCHED}
        return cls(
            services=list(shown["services"]),
            match=lines | {"tags": "\n".join(tags)},
            begins=wall.typed(parse_instant(shown["from"])),
            span="",
            ends=wall.typed(parse_instant(shown["to"])),
            reason=shown["reason"],
        )

    @property
    def is_narrowed(self) -> bool:
        """Whether it is for some incidents only."""
        return any(self.match.values())

    def matched(self) -> dict[str, Any]:
        """Return which incidents it concerns, as the API takes it. Raises Invalid."""
        found = {
            name: [line.strip() for line in text.splitlines() if line.strip()]
            for name, text in self.match.items()
        }
        for line in found.pop("tags", []):
            name, equals, value = (part.strip() for part in line.partition("="))
            if not (name and equals and value):
                raise Invalid(f"the tag {line!r} is not of the form name = value: write one a line")
            found.setdefault(f"tag.{name}", []).append(value)
        match = {name: values for name, values in found.items() if values}
        return {"services": self.services, "match": match or None}

    def times(self, wall: Wall) -> tuple[datetime, datetime]:
        """Return from when until when it is. Raises Invalid."""
        begins_at = wall.read(self.begins) if self.begins else wall.visit.now
        if self.span:
            try:
                return begins_at, begins_at + parse_span(self.span)
            except ValueError as error:
                raise Invalid(str(error)) from None
        if not self.ends:
            raise Invalid("it has no end: choose how long it is, or type until when")
        return begins_at, wall.read(self.ends)


@get("/maintenance", opt={"action": Action.READ}, sync_to_thread=True)
def list_windows(visit: Visiting) -> Response[bytes]:
    """List maintenance windows: now, planned, over."""
    page = visit.back.collections["maintenance-windows"].page(
        MAX_LIMIT, visit.query.maybe("cursor"), visit.caller
    )
    groups: dict[str, list[dict[str, Any]]] = {"Now": [], "Planned": [], "Over": []}
    for shown in page.items:
        begins_at, ends_at = parse_instant(shown["from"]), parse_instant(shown["to"])
        is_over, is_planned = ends_at <= visit.now, begins_at > visit.now
        name = "Over" if is_over else "Planned" if is_planned else "Now"
        groups[name].append({
            "shown": shown, "begins_at": begins_at, "ends_at": ends_at,
            "match": _match_words(shown),
        })  # fmt: skip
    groups["Planned"].sort(key=lambda one: one["begins_at"])
    return visit.page(
        "maintenance.html",
        wall=Wall(visit, visit.zone),
        groups=groups,
        is_empty=not page.items,
        more=page.next,
    )


def _match_words(shown: Shown) -> list[str]:
    match: Mapping[str, list[str]] = shown.get("match") or {}
    return [f"{name.removeprefix('tag.')}: {' or '.join(v)}" for name, v in match.items()]


@get("/maintenance/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def new_window(visit: Visiting) -> Response[bytes]:
    """Ask for a new window; ``service`` in the address chooses one."""
    return _page(visit, None, WindowForm(services=list(visit.query.many("service"))))


@post("/maintenance/new", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def make_window(visit: Visiting) -> Response[bytes]:
    """Make a window, or show what it would have matched."""
    return _answer(visit, None)


@get("/maintenance/{window_id:str}/edit", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def edit_window(visit: Visiting, window_id: FromPath[str]) -> Response[bytes]:
    """Ask for a change of a window."""
    shown = visit.back.collections["maintenance-windows"].one(window_id, visit.caller)
    return _page(visit, shown, WindowForm.of(shown, Wall(visit, visit.zone)))


@post("/maintenance/{window_id:str}/edit", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def change_window(visit: Visiting, window_id: FromPath[str]) -> Response[bytes]:
    """Change a window, or show what it would have matched."""
    return _answer(
        visit, visit.back.collections["maintenance-windows"].one(window_id, visit.caller)
    )


@post("/maintenance/{window_id:str}/end", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def end_window(visit: Visiting, window_id: FromPath[str]) -> Response[bytes]:
    """End a window now, or call one off that has not begun."""
    windows = visit.back.collections["maintenance-windows"]
    has_begun = parse_instant(windows.one(window_id, visit.caller)["from"]) <= visit.now
    try:
        windows.remove(window_id, visit.caller, visit.now)
    except REFUSALS as error:
        return visit.go("/maintenance", " ".join(sentences(error)), is_bad=True)
    visit.back.changed()
    said = "The maintenance is over: incidents page again." if has_begun else "It is called off."
    return visit.go("/maintenance", said)


def _answer(visit: Visit, old: Shown | None) -> Response[bytes]:
    typed = WindowForm.read(visit.form)
    windows = visit.back.collections["maintenance-windows"]
    try:
        if visit.form.text("which") == "some" and not typed.services:
            raise Invalid("no service is ticked: tick one, or choose all services")
        if visit.form.text("do") != "save":
            preview = converted(typed.matched(), PreviewTable)
            return _page(
                visit,
                old,
                typed,
                matched=visit.back.hindsight.matched(preview, visit.caller, visit.now),
            )
        row = converted(_fields(visit, typed, old), WindowTable)
        if old is None:
            windows.create(row, visit.caller, visit.now)
        else:
            windows.replace(old["id"], row, visit.caller, visit.now)
    except REFUSALS as error:
        return _page(visit, old, typed, status_of(error), wrong=sentences(error))
    visit.back.changed()
    said = "The maintenance window is saved: what it matches is recorded and pages nobody."
    return visit.go("/maintenance", said)


def _fields(visit: Visit, typed: WindowForm, old: Shown | None) -> dict[str, Any]:
    """Return a window as the API takes it; times that nobody changed stay to the second."""
    wall = Wall(visit, visit.zone)
    begins_at, ends_at = typed.times(wall)
    was = WindowForm.of(old, wall) if old else None
    is_same_begin = old is not None and was is not None and typed.begins == was.begins
    is_same_end = old is not None and was is not None and (typed.span, typed.ends) == ("", was.ends)
    return {
        **typed.matched(),
        "from": old["from"] if old and is_same_begin else _z(begins_at),
        "to": old["to"] if old and is_same_end else _z(ends_at),
        "reason": typed.reason,
    }


def _z(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _page(
    visit: Visit,
    old: Shown | None,
    typed: WindowForm,
    status: int = 200,
    *,
    wrong: Any = (),
    matched: Any = None,
) -> Response[bytes]:
    wall = Wall(visit, visit.zone)
    has_begun = old is not None and parse_instant(old["from"]) <= visit.now
    names = [service.name for service in living(visit.plans.services)]
    return visit.page(
        "maintenance_edit.html",
        status,
        wall=wall,
        old=old,
        has_begun=has_begun,
        typed=typed,
        which="some" if typed.services or visit.form.text("which") == "some" else "all",
        services=names,
        spans=SPANS,
        fields=MATCHED,
        wrong=wrong,
        matched=matched,
        looks_back=timedelta(days=7),
    )


PAGES: tuple[Any, ...] = (
    list_windows, new_window, make_window, edit_window, change_window, end_window,
)  # fmt: skip
