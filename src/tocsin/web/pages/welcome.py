"""The first steps: from an empty installation to a page that rings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, count
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.channels.base import REGISTRY
from tocsin.core.access import Action
from tocsin.core.incident import Refused
from tocsin.core.model import MessageType, Role
from tocsin.core.plans import ContactMethod, User
from tocsin.store import notifications
from tocsin.store.notifications import Progress as Sent
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.pages.zones import zone_options
from tocsin.work.configfile import BadFile
from tocsin.work.contacts import Contacts, Limited, Mistaken, NewMethod
from tocsin.work.refusals import Conflict, Forbidden
from tocsin.work.respond import NotFound
from tocsin.work.welcome import FirstSteps, Step, Who, integration_of

#: What is wrong with a form of these steps.
_WRONG = (BadFile, Conflict, Forbidden, Mistaken, Refused, Limited)


def _steps(visit: Visit) -> FirstSteps:
    return FirstSteps(visit.back.desk.database, visit.back.desk.plans, visit.back.vault)


def _contacts(visit: Visit) -> Contacts:
    return Contacts(visit.back.desk.database, visit.back.desk.plans, visit.back.vault)


def welcome_left(visit: Visit) -> int:
    """Return how many first steps an owner has before them; for a hint, and 0 for others."""
    if visit.visitor is None or visit.user.role is not Role.OWNER:
        return 0
    return len(_steps(visit).progress(visit.user).left)


def _show(
    visit: Visit, status: int = 200, *, at: Step | None = None, wrong: tuple[str, ...] = ()
) -> Response[bytes]:
    plans = visit.back.desk.plans.refresh()
    progress = _steps(visit).progress(visit.user)
    user = plans.users.get(visit.user.id, visit.user)
    chosen = at or _asked(visit) or next(iter(progress.left), None)
    waiting = next((one for one in user.contact_methods if not one.is_verified), None)
    form = visit.form
    return visit.page(
        "welcome.html",
        status,
        progress=progress,
        opened=chosen,
        wrong=wrong,
        form=form,
        me=user,
        people=sorted(plans.users.values(), key=lambda one: one.name.casefold()),
        ticked=form.many("people") if form.fields else (user.id,),
        fallback=form.text("fallback") or plans.fallback_user_id or user.id,
        zones=zone_options(user.time_zone),
        waiting=waiting,
        sent=_sent(visit, waiting) if waiting else None,
        integration=integration_of(visit.scope.seen(plans)),
        has_mail=visit.back.has_mail,
        channels=REGISTRY,
    )


def _asked(visit: Visit) -> Step | None:
    name = visit.query.text("step")
    return Step(name) if name in tuple(Step) else None


def _sent(visit: Visit, method: ContactMethod) -> Sent | None:
    """Return what became of the last code."""
    with visit.back.desk.database.read() as connection:
        return notifications.latest_to(connection, method.id, MessageType.VERIFICATION)


def _do(visit: Visit, step: Step, work: Callable[[], str], then: str = "/welcome") -> Any:
    """Do what a form of a step asks for; show the step again where that cannot be."""
    try:
        said = work()
    except _WRONG as error:
        return _show(visit, 422, at=step, wrong=tuple(str(error).splitlines()))
    visit.back.changed()
    return visit.go(then, said)


@get("/welcome", opt={"action": Action.READ}, sync_to_thread=True)
def welcome(visit: Visiting) -> Response[bytes]:
    """Show the steps, the next one open."""
    return _show(visit)


@post("/welcome/you", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def set_zone(visit: Visiting) -> Response[bytes]:
    """Change one's time zone."""

    def work() -> str:
        fields = {"time_zone": visit.form.text("time_zone")}
        users = visit.back.collections["users"]
        users.merge(visit.user.id, fields, visit.caller, visit.now)
        return f"Times are shown in {fields['time_zone']}."

    response: Response[bytes] = _do(visit, Step.YOU, work)
    return response


@post("/welcome/who", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def set_who(visit: Visiting) -> Response[bytes]:
    """Make the first service, and say who gets paged for it."""
    who = Who(
        service=visit.form.text("service"),
        people=visit.form.many("people"),
        fallback=visit.form.text("fallback"),
    )

    def work() -> str:
        _steps(visit).make_who(who, visit.caller, visit.now)
        return f"The service {who.service} is there, and somebody is paged for it."

    response: Response[bytes] = _do(visit, Step.WHO, work)
    return response


def _free_name(label: str, user: User) -> str:
    """Return a name for a contact method that a person has not given to another."""
    mine = {one.name for one in user.contact_methods}
    numbered = (f"{label} {number}" for number in count(2))
    return next(name for name in chain((label,), numbered) if name not in mine)


@post("/welcome/how", opt={"action": Action.RESPOND}, sync_to_thread=True)
def add_method(visit: Visiting) -> Response[bytes]:
    """Add a contact method, and send its code."""
    channel = visit.form.text("channel")
    kind = REGISTRY.get(channel)

    def work() -> str:
        here = _contacts(visit)
        name = _free_name(kind.label if kind else channel, here.user(visit.user.id))
        new = NewMethod(name=name, channel=channel, address=visit.form.text("address"))
        method, _ = here.add(visit.user.id, new, visit.now)
        here.send_code(visit.user.id, method.id, visit.now)
        return f"A code is on its way to {method.address}."

    response: Response[bytes] = _do(visit, Step.HOW, work, "/welcome?step=how")
    return response


@post("/welcome/how/{method_id:str}/{what:str}", opt={"action": Action.RESPOND},
      sync_to_thread=True)  # fmt: skip
def go_on_with_method(
    visit: Visiting, method_id: FromPath[str], what: FromPath[str]
) -> Response[bytes]:
    """Type the code, have another one sent, or take another address."""
    here, me = _contacts(visit), visit.user.id

    def verify() -> str:
        method = here.verify(me, method_id, visit.form.text("code"), visit.now)
        return f"{method.address} is yours: pages reach you there."

    def send() -> str:
        here.send_code(me, method_id, visit.now)
        return "Another code is on its way."

    def remove() -> str:
        here.remove(me, method_id, visit.now)
        return "It is removed: take another one."

    work = {"verify": verify, "send": send, "remove": remove}.get(what)
    if work is None:
        raise NotFound("there is nothing to do by this name")
    then = "/welcome" if what == "verify" else "/welcome?step=how"
    response: Response[bytes] = _do(visit, Step.HOW, work, then)
    return response


@post("/welcome/connect", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def connect(visit: Visiting) -> Response[bytes]:
    """Make the first integration, and lead to the page that connects it."""
    try:
        id_ = _steps(visit).make_integration(visit.form.text("name"), visit.caller, visit.now)
    except _WRONG as error:
        return _show(visit, 422, at=Step.CONNECT, wrong=tuple(str(error).splitlines()))
    visit.back.changed()
    return visit.go(f"/integrations/{id_}")


@post("/welcome/skip/{step:str}", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def skip(visit: Visiting, step: FromPath[str]) -> Response[bytes]:
    """Put a step off, or take it up again."""
    if step not in tuple(Step):
        raise NotFound("there is no such step")
    is_wanted = not visit.form.has("again")
    _steps(visit).skip(Step(step), is_wanted=is_wanted)
    return visit.go("/welcome" if is_wanted else f"/welcome?step={step}")


PAGES: tuple[Any, ...] = (
    welcome, set_zone, set_who, add_method, go_on_with_method, connect, skip,
)  # fmt: skip
