"""One incident: what broke, who has it, what is next, what changed; and what people do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.channels.base import REGISTRY
from tocsin.core.access import Action
from tocsin.core.incident import Refused
from tocsin.core.model import Priority
from tocsin.core.outlook import Known, outlook
from tocsin.store import casefile, views
from tocsin.store.casefile import CaseFile
from tocsin.web.pages.chart import bars_of
from tocsin.web.pages.export import markdown
from tocsin.web.pages.history import facts_of, history
from tocsin.web.pages.snooze import SPANS, end_of_snooze
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.problems import Wrong
from tocsin.work import respond
from tocsin.work.respond import Decide, NotFound

#: What people call each channel, in a sentence.
CHANNELS = {name: kind.label[0].lower() + kind.label[1:] for name, kind in REGISTRY.items()}

#: What an export holds of a timeline.
_MOST_EXPORTED = 5000

_EXPORT = ".md"


def _open(visit: Visit, reference: str, most_entries: int = casefile.MOST_ENTRIES) -> CaseFile:
    """Read an incident by number or id. Raises NotFound."""
    with visit.back.desk.database.read() as connection:
        id_ = views.incident_id(connection, visit.all_plans, visit.scope, reference)
        if id_ is None:
            raise NotFound(f"there is no incident {reference}")
        return casefile.open_file(connection, visit.all_plans, id_, most_entries)


@get("/incidents/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_incident(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show an incident; as Markdown where the address ends in ``.md``."""
    if reference.endswith(_EXPORT):
        found = _open(visit, reference.removesuffix(_EXPORT), _MOST_EXPORTED)
        text = markdown(found, visit)
        return Response(
            text.encode(),
            media_type="text/markdown; charset=utf-8",
            headers={"cache-control": "no-store"},
        )
    return _shown(visit, reference)


def _shown(
    visit: Visit, reference: str, status: int = 200, wrong: str = "", doing: str = ""
) -> Response[bytes]:
    """Show the page as it is now; ``wrong`` says what to change in the form of ``doing``."""
    found = _open(visit, reference)
    view, plans = found.view, visit.all_plans
    known = Known(
        incident=found.incident,
        plans=plans,
        now=visit.now,
        waiting=found.waiting,
        wake_at=found.wake_at,
        turns=found.turns,
        channels=CHANNELS,
    )
    people = sorted(plans.users.values(), key=lambda one: one.name)
    policies = sorted(plans.policies.values(), key=lambda one: one.name)
    return visit.page(
        "incident.html",
        status,
        one=view,
        case=found,
        next=outlook(known),
        change=found.change,
        rows=history(found),
        facts=facts_of(found),
        chart=bars_of(found, visit.now),
        people=people,
        policies=policies,
        priorities=[one.value for one in Priority],
        spans=SPANS,
        address=f"/incidents/{view.number}",
        wrong=wrong,
        doing=doing,
        typed=visit.form,
    )


# -- what people do -------------------------------------------------------------------------------

#: Given a visit and the incident named, do something; return what to say.
Deed = Callable[[Visit, str], str]


def _decided(decide: Callable[[Visit], Decide], said: str) -> Deed:
    def do(visit: Visit, reference: str) -> str:
        visit.back.desk.act(reference, decide(visit), visit.caller, visit.now)
        return said

    return do


def _snooze(visit: Visit) -> Decide:
    return respond.snooze(visit.by, end_of_snooze(visit.form, visit.now, visit.zone))


def _escalate(visit: Visit, reference: str) -> str:
    """Take the next step, if the one that the person saw is still the current one."""
    step, round_ = visit.form.number("step"), visit.form.number("round")
    visit.back.desk.escalate(reference, visit.caller, visit.now, step, round_)
    return "Escalated: the next step was taken."


def _reassign(visit: Visit) -> Decide:
    kind, _, id_ = visit.form.text("to").partition(":")
    plans = visit.plans
    if kind == "user" and id_ in plans.users:
        return respond.reassign(visit.by, user_id=id_)
    if kind == "policy" and id_ in plans.policies:
        return respond.reassign(visit.by, policy_id=id_)
    raise Wrong("choose a person or a policy that there is")


def _prioritise(visit: Visit) -> Decide:
    word = visit.form.text("priority")
    if word and word not in [one.value for one in Priority]:
        raise Wrong(f"{word!r} is not a priority: choose one of the list")
    return respond.prioritise(visit.by, Priority(word) if word else None)


def _note(visit: Visit) -> Decide:
    text = visit.form.text("text")
    if not text:
        raise Wrong("the note is empty: write something")
    if len(text) > respond.NOTE_LENGTH:
        raise Wrong(f"the note is longer than {respond.NOTE_LENGTH:,} characters: make it shorter")
    return respond.note(visit.by, text)


def _add_responder(visit: Visit, reference: str) -> str:
    user = visit.plans.users.get(visit.form.text("user"))
    if user is None:
        raise Wrong("choose a person who is here")
    visit.back.desk.add_responder(reference, user.id, visit.caller, visit.now)
    return f"{user.name} was asked to help."


def _merge(visit: Visit, reference: str) -> str:
    into = visit.form.text("into").removeprefix("#")
    if not into:
        raise Wrong("name the incident that gets the alerts, by its number")
    try:
        visit.back.desk.merge(reference, into, visit.caller, visit.now)
    except NotFound as error:
        raise Wrong(f"{error}: look its number up in the list") from None
    return f"Merged into #{into}."


def _unmerge(visit: Visit, reference: str) -> str:
    try:
        visit.back.desk.unmerge(reference, visit.form.text("alert"), visit.caller, visit.now)
    except NotFound as error:
        raise Wrong(str(error)) from None
    return "The alert goes its own way."


#: The last part of the address to what it does.
DEEDS: dict[str, Deed] = {
    "acknowledge": _decided(
        lambda visit: respond.acknowledge(visit.by), "Acknowledged: it is yours."
    ),
    "resolve": _decided(lambda visit: respond.resolve(visit.by), "Resolved."),
    "snooze": _decided(_snooze, "Snoozed."),
    "escalate": _escalate,
    "reassign": _decided(_reassign, "Reassigned."),
    "priority": _decided(_prioritise, "Priority set."),
    "note": _decided(_note, "Noted."),
    "responder": _add_responder,
    "merge": _merge,
    "unmerge": _unmerge,
}


@post("/incidents/{reference:str}/{deed:str}", opt={"action": Action.RESPOND}, sync_to_thread=True)
def act(visit: Visiting, reference: FromPath[str], deed: FromPath[str]) -> Response[bytes]:
    """Do one thing to an incident, then show it as it is; one that is refused says why."""
    do = DEEDS.get(deed)
    if do is None:
        raise NotFound(f"nothing called {deed} can be done to an incident")
    page = f"/incidents/{reference}"
    try:
        said = do(visit, reference)
    except Refused as error:
        text = str(error)
        return visit.go(page, f"{text[:1].upper()}{text[1:]}.", is_bad=True)
    except Wrong as error:
        return _shown(visit, reference, 422, error.detail, deed)
    visit.back.wake()
    return visit.go(page, said)


PAGES: tuple[Any, ...] = (show_incident, act)
