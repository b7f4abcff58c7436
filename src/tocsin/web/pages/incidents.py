"""Incidents: the list, and what is done to many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Response, get, post

from tocsin.core.access import Action
from tocsin.core.model import IncidentStatus, Severity, Urgency
from tocsin.core.plans import Plans
from tocsin.store import casefile, sight, views
from tocsin.store.casefile import MOST_COUNTED, OPEN
from tocsin.store.lists import DEPTH, MAX_DIGITS, Filter
from tocsin.web.pages.form import Form
from tocsin.web.pages.look import plural
from tocsin.web.pages.snooze import SPANS, end_of_snooze
from tocsin.web.pages.visit import Visit, Visiting, here
from tocsin.web.pages.welcome import welcome_left
from tocsin.web.problems import Wrong
from tocsin.work import respond
from tocsin.work.respond import Acted, Decide

#: Incidents of one page, which is also as many as one form can name.
PAGE = 50

#: A filter that matches nothing: of a name that is nobody's.
_NOTHING = ("-",)

#: Tab to its name, and to the states it shows; none: all.
TABS: dict[str, tuple[str, tuple[IncidentStatus, ...]]] = {
    "open": ("Open", OPEN),
    "mine": ("Mine", OPEN),
    "resolved": ("Resolved", (IncidentStatus.RESOLVED,)),
    "all": ("All", ()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What the address asks for, as the templates and scripts read it."""

    tab: str
    statuses: tuple[str, ...]
    service: str
    severity: str
    urgency: str
    status: str
    assignee: str
    q: str

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the tab was chosen."""
        assignee = "" if self.tab == "mine" else self.assignee
        return any((self.service, self.severity, self.urgency, self.status, assignee, self.q))


def _word(query: Form, name: str, allowed: type[Any]) -> str:
    """Read one or several words of an enum. Raises Wrong."""
    words = [word.strip() for word in query.text(name).split(",") if word.strip()]
    known = [member.value for member in allowed]
    for word in words:
        if word not in known:
            raise Wrong(f"{name}: {word!r} is not one of {', '.join(known)}")
    return ",".join(words)


def narrowed(query: Form, me: str) -> Narrowed:
    """Read the filters of an address. Raises Wrong for words that nothing has."""
    status = _word(query, "status", IncidentStatus)
    tab = query.text("tab")
    if tab not in TABS:
        tab = "all" if status else "open"
    shown = tuple(one.value for one in TABS[tab][1])
    wanted = tuple(word for word in status.split(",") if word)
    both = tuple(word for word in wanted if not shown or word in shown)
    return Narrowed(
        tab=tab,
        statuses=(both or _NOTHING) if wanted else shown,
        service=query.text("service"),
        severity=_word(query, "severity", Severity),
        urgency=_word(query, "urgency", Urgency),
        status=status,
        assignee=me if tab == "mine" else query.text("assignee"),
        q=query.text("q")[:200],
    )


def _filter(found: Narrowed, plans: Plans, cursor: str | None) -> Filter:
    names = {name.strip() for name in found.service.split(",")}
    services = (
        tuple(one.id for one in plans.services.values() if {one.id, one.name} & names) or _NOTHING
    )
    equal: list[tuple[str, tuple[str, ...]]] = [
        ("status", found.statuses),
        ("severity", tuple(word for word in found.severity.split(",") if word)),
        ("urgency", tuple(word for word in found.urgency.split(",") if word)),
        ("service_id", services if found.service else ()),
    ]
    pairs = tuple((column, values) for column, values in equal if values)
    return Filter(equal=pairs, q=found.q or None, limit=PAGE, cursor=cursor)


@get("/incidents", opt={"action": Action.READ}, sync_to_thread=True)
def list_incidents(visit: Visiting) -> Response[bytes]:
    """List incidents, the newest first."""
    found = narrowed(visit.query, visit.user.email)
    cursor = visit.query.maybe("before")
    wanted = _filter(found, visit.plans, cursor)
    person = next(
        (one.id for one in visit.plans.users.values() if one.email == found.assignee), "-"
    )
    with visit.back.desk.database.read() as connection:
        page = views.incident_page(
            connection,
            visit.all_plans,
            visit.scope,
            wanted,
            person if found.assignee else None,
        )
        ways = sight.of_incidents(visit.all_plans, visit.scope)
        counts = casefile.counts(connection, visit.user.id, ways)
        latest = None if page.items else casefile.latest(connection, ways)
        change = views.last_change(connection)
    return visit.page(
        "incidents.html",
        incidents=page,
        found=found,
        tabs=_tabs(visit, found, counts),
        latest=latest,
        steps_left=welcome_left(visit) if latest is None and not page.items else 0,
        change=change,
        is_first=cursor is None,
        older=visit.with_query(before=page.next) if page.next else None,
        was_cut=page.next is not None and len(page.items) < PAGE,
        depth=DEPTH,
        spans=SPANS,
        choices=_choices(visit.plans),
    )


def _tabs(
    visit: Visit, found: Narrowed, counts: casefile.Counts
) -> list[tuple[str, str, bool, Any]]:
    figures = {"open": counts.open, "mine": counts.mine, "resolved": counts.resolved}
    rows = []
    for key, (name, _) in TABS.items():
        address = visit.with_query(tab=key, status=None, before=None)
        rows.append((address, name, key == found.tab, _figure(figures.get(key))))
    return rows


def _figure(count: int | None) -> str | None:
    if count is None:
        return None
    return f"{MOST_COUNTED:,}+" if count > MOST_COUNTED else str(count)


def _choices(plans: Plans) -> dict[str, list[tuple[str, str]]]:
    """Return what each filter can be set to."""
    services = sorted(one.name for one in plans.services.values() if not one.is_deleted)
    people = sorted((one.name, one.email) for one in plans.users.values())
    return {
        "service": [("", "Any service"), *((name, name) for name in services)],
        "severity": [("", "Any severity"), *((one.value, one.value) for one in Severity)],
        "urgency": [("", "Any urgency"), *((one.value, one.value) for one in Urgency)],
        "status": [("", "Any status"), *((one.value, one.value) for one in IncidentStatus)],
        "assignee": [("", "Anybody"), *((email, name) for name, email in people)],
    }


# -- many at once ---------------------------------------------------------------------------------

#: What the buttons ask for, and how it is told afterwards.
_DONE = {"acknowledge": "acknowledged", "resolve": "resolved", "snooze": "snoozed"}


def _decide(visit: Visit, action: str) -> Decide:
    if action == "acknowledge":
        return respond.acknowledge(visit.by)
    if action == "resolve":
        return respond.resolve(visit.by)
    return respond.snooze(visit.by, _until(visit))


def _until(visit: Visit) -> datetime:
    return end_of_snooze(visit.form, visit.now, visit.zone)


@post("/incidents/bulk", opt={"action": Action.RESPOND}, sync_to_thread=True)
def act_on_many(visit: Visiting) -> Response[bytes]:
    """Acknowledge, resolve or snooze all that were ticked, and say what became of each."""
    back = here(visit.form.text("next"), "/incidents")
    action = visit.form.text("action")
    numbers = [int(one) for one in visit.form.many("number")[:PAGE] if _is_number(one)]
    if action not in _DONE:
        return visit.go(back, f"Choose one of {', '.join(_DONE)}.", is_bad=True)
    if not numbers:
        return visit.go(back, "Nothing was ticked: tick the incidents first.", is_bad=True)
    try:
        decide = _decide(visit, action)
    except Wrong as error:
        return visit.go(back, f"{error.detail}.", is_bad=True)
    acted = visit.back.desk.act_on(numbers, decide, visit.caller, visit.now)
    visit.back.wake()
    return visit.go(back, told(acted, _DONE[action]), is_bad=bool(acted.refused))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def told(acted: Acted, done: str) -> str:
    """Say what became of an action on many."""
    parts: list[str] = []
    if acted.done or not acted.refused:
        parts.append(f"{plural(len(acted.done), 'incident')} {done}")
    if acted.unchanged:
        parts.append(f"{len(acted.unchanged)} changed nothing ({_numbers(acted.unchanged)})")
    if acted.refused:
        parts.append(f"{len(acted.refused)} refused: {'; '.join(acted.refused)}")
    return ". ".join(part[0].upper() + part[1:] for part in parts) + "."


def _numbers(found: Sequence[int]) -> str:
    return ", ".join(f"#{number}" for number in found)


PAGES: tuple[Any, ...] = (list_incidents, act_on_many)
