"""How one is reached: contact methods, and when each of them is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.channels.base import REGISTRY
from tocsin.core.access import Action
from tocsin.core.incident import Refused
from tocsin.core.model import Urgency
from tocsin.core.notify import reach
from tocsin.core.plans import User
from tocsin.core.times import format_span, parse_span
from tocsin.web.pages.form import number
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.contacts import Contacts, Limited, Mistaken, NewMethod, NewRule
from tocsin.work.oncall import Asked, who_is_on_call
from tocsin.work.page import Pager

#: What each urgency means, and what holds where no rule says anything.
URGENCIES: tuple[tuple[Urgency, str], ...] = (
    (Urgency.HIGH, "When it is urgent"),
    (Urgency.LOW, "When it is not urgent"),
)


class Line(NamedTuple):
    """A notification rule as it is typed."""

    urgency: str
    after: str
    method: str


def contacts_of(visit: Visit) -> Contacts:
    """Return where whoever asks sets up how they are reached."""
    back = visit.back
    return Contacts(back.desk.database, back.desk.plans, back.vault, visit.address)


# -- all of it ------------------------------------------------------------------------------------


@get("/me", opt={"action": Action.READ}, sync_to_thread=True)
def reached(visit: Visiting) -> Response[bytes]:
    """Show how one is reached."""
    return _page(visit)


@post("/me/test", opt={"action": Action.RESPOND}, sync_to_thread=True)
def test_everything(visit: Visiting) -> Response[bytes]:
    """Have a test sent everywhere."""
    desk = visit.back.desk
    try:
        sent = Pager(desk.database, desk.plans).page(visit.user.email, visit.by.name, visit.now)
    except Refused as error:
        return visit.go("/me", str(error), is_bad=True)
    visit.back.wake()
    names = ", ".join(method.name for method in sent.values())
    return visit.go("/me", f"A test is on its way to {names}: what became of it stands there.")


def _page(visit: Visit, status: int = 200, **more: Any) -> Response[bytes]:
    user = _user(visit)
    rules = _lines(user)
    context: dict[str, Any] = {"wrong": [], "typed": None, "editing": None, **more}
    here = contacts_of(visit)
    latest = {one.id: here.messages(user.id, one.id)[:1] for one in user.contact_methods}
    return visit.page(
        "me.html",
        status,
        me=user,
        latest=latest,
        kinds=REGISTRY,
        sentences=_sentences(rules),
        rules=rules,
        urgencies=URGENCIES,
        warnings=list(_warnings(visit, user)),
        **context,
    )


def _user(visit: Visit) -> User:
    """Return whoever asks as they are set up at this moment."""
    return contacts_of(visit).user(visit.user.id)


def _lines(user: User) -> list[Line]:
    names = {method.id: method.name for method in user.contact_methods}
    return [
        Line(rule.urgency.value, format_span(rule.after), names[rule.contact_method_id])
        for rule in user.notification_rules
        if rule.contact_method_id in names
    ]


def _sentences(rules: Sequence[Line]) -> list[tuple[str, str]]:
    """Say at each urgency what happens: ``at once by mail; after 5m by hook``."""
    told = []
    for urgency, when in URGENCIES:
        mine = [rule for rule in rules if rule.urgency == urgency]
        mine.sort(key=lambda rule: parse_span(rule.after))
        parts = [
            f"{'at once' if rule.after == '0s' else f'after {rule.after}'} by {rule.method}"
            for rule in mine
        ]
        usual = "nothing: no rule says anything" if rules else "at once by the first that works"
        told.append((when, "; ".join(parts) or usual))
    return told


def _warnings(visit: Visit, user: User) -> Iterator[str]:
    """Yield what would keep a page from this person."""
    is_reached = any(method.is_usable for method in user.contact_methods)
    schedules = [
        one.schedule for one in who_is_on_call(visit.all_plans, Asked(user=user.id), visit.now)
    ]
    if not is_reached and schedules:
        yield (
            f"You are on call now ({', '.join(schedules)}), and no page can reach you: verify a"
            " contact method."
        )
    elif not is_reached:
        yield "No page can reach you: add a contact method and verify it."
    elif not reach(user, Urgency.HIGH).ways:
        yield (
            "No rule of yours says what to do when it is urgent: you would be told of nothing. Add"
            " one, or remove all rules to be told at once."
        )


# -- one contact method ---------------------------------------------------------------------------


@post("/me/methods", opt={"action": Action.RESPOND}, sync_to_thread=True)
def add_method(visit: Visiting) -> Response[bytes]:
    """Add one, send its code, and show its secret this once."""
    form, here = visit.form, contacts_of(visit)
    new = NewMethod(
        name=form.text("name"), channel=form.text("channel"), address=form.text("address")
    )
    try:
        method, secret = here.add(visit.user.id, new, visit.now)
    except (Mistaken, Refused) as error:
        return _page(visit, 422, wrong=[str(error)], typed=new)
    visit.back.changed()
    said = _send_code(visit, method.id)
    if secret is None:
        return visit.go(f"/me/methods/{method.id}", said)
    return _method(visit, method.id, secret=secret)


@get("/me/methods/{method_id:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_method(visit: Visiting, method_id: FromPath[str]) -> Response[bytes]:
    """Show one, with what was last sent there."""
    return _method(visit, method_id)


@post("/me/methods/{method_id:str}/code", opt={"action": Action.RESPOND}, sync_to_thread=True)
def send_code(visit: Visiting, method_id: FromPath[str]) -> Response[bytes]:
    """Have a code sent there."""
    try:
        said = _send_code(visit, method_id)
    except Refused as error:
        return _method(visit, method_id, 422, wrong=[str(error)])
    return visit.go(f"/me/methods/{method_id}", said)


@post("/me/methods/{method_id:str}/verify", opt={"action": Action.RESPOND}, sync_to_thread=True)
def verify(visit: Visiting, method_id: FromPath[str]) -> Response[bytes]:
    """Take the code that was typed."""
    code = "".join(visit.form.text("code").split())
    try:
        method = contacts_of(visit).verify(visit.user.id, method_id, code, visit.now)
    except (Mistaken, Refused) as error:
        return _method(visit, method_id, 422, wrong=[f"{str(error)[:1].upper()}{str(error)[1:]}."])
    visit.back.changed()
    return visit.go(f"/me/methods/{method_id}", f"{method.name} is verified: pages may go there.")


@post("/me/methods/{method_id:str}/test", opt={"action": Action.RESPOND}, sync_to_thread=True)
def test_method(visit: Visiting, method_id: FromPath[str]) -> Response[bytes]:
    """Have a test sent there."""
    try:
        contacts_of(visit).test(visit.user.id, method_id, visit.now)
    except Refused as error:
        return _method(visit, method_id, 422, wrong=[str(error)])
    visit.back.wake()
    return visit.go(f"/me/methods/{method_id}", "A test is on its way.")


@post("/me/methods/{method_id:str}/up", opt={"action": Action.RESPOND}, sync_to_thread=True)
def prefer_method(visit: Visiting, method_id: FromPath[str]) -> Response[bytes]:
    """Prefer one to that before it."""
    contacts_of(visit).prefer(visit.user.id, method_id, visit.now)
    visit.back.changed()
    return visit.go("/me#methods")


@post("/me/methods/{method_id:str}/remove", opt={"action": Action.RESPOND}, sync_to_thread=True)
def remove_method(visit: Visiting, method_id: FromPath[str]) -> Response[bytes]:
    """Remove one, with the rules that name it."""
    here = contacts_of(visit)
    name = here.method(visit.user.id, method_id).name
    here.remove(visit.user.id, method_id, visit.now)
    visit.back.changed()
    return visit.go("/me", f"{name} was removed, with the rules that named it.")


def _send_code(visit: Visit, id_: str) -> str:
    """Have a code sent; return the sentence that tells of it."""
    try:
        contacts_of(visit).send_code(visit.user.id, id_, visit.now)
    except Limited as error:
        return f"{str(error)[:1].upper()}{str(error)[1:]}."
    visit.back.wake()
    return "A code is on its way: type it in below."


def _method(
    visit: Visit, id_: str, status: int = 200, *, secret: str = "", wrong: Sequence[str] = ()
) -> Response[bytes]:
    here = contacts_of(visit)
    method = here.method(visit.user.id, id_)
    messages = here.messages(visit.user.id, id_)
    return visit.page(
        "me_method.html",
        status,
        method=method,
        kind=REGISTRY.get(method.channel),
        code=None if method.is_verified else here.waiting_code(visit.user.id, id_, visit.now),
        messages=messages,
        is_waiting=any(one.state == "pending" for one in messages[:1]),
        secret=secret,
        wrong=wrong,
    )


# -- rules ----------------------------------------------------------------------------------------


@post("/me/rules", opt={"action": Action.RESPOND}, sync_to_thread=True)
def edit_rules(visit: Visiting) -> Response[bytes]:
    """Add a row, take one away, or save all of them."""
    lines, (verb, _, which) = _typed(visit), visit.form.text("do").partition(" ")
    if verb == "add":
        first = next((one.name for one in _user(visit).contact_methods), "")
        return _page(visit, editing=[*lines, Line(which, "5m" if lines else "0s", first)])
    if verb == "drop":
        gone = number(which)
        return _page(visit, editing=[one for at, one in enumerate(lines) if at != gone])
    try:
        contacts_of(visit).set_rules(visit.user.id, [_rule(one) for one in lines], visit.now)
    except (Mistaken, ValueError) as error:
        return _page(visit, 422, wrong=[str(error)], editing=lines)
    visit.back.changed()
    return visit.go("/me", "Your rules are saved.")


def _typed(visit: Visit) -> list[Line]:
    columns = (visit.form.fields.get(name, ()) for name in ("urgency", "after", "method"))
    return [Line(*(cell.strip() for cell in row)) for row in zip(*columns, strict=False)]


def _rule(line: Line) -> NewRule:
    """Read a rule. Raises ValueError."""
    return NewRule(
        urgency=Urgency(line.urgency), after=parse_span(line.after), contact_method=line.method
    )


PAGES: tuple[Any, ...] = (
    reached,
    test_everything,
    add_method,
    show_method,
    send_code,
    verify,
    test_method,
    prefer_method,
    remove_method,
    edit_rules,
)
