"""Connect an organisation of Sentry: form, plan, one step after the other, and the first webhook.

Each step is a request of its own: a page that is left stops there, and goes on when it is opened
again. Between the plan and its first step the token is in the form, sealed by the vault.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.sentry.client import SentryError, host_of
from tocsin.sentry.place import token_of
from tocsin.store.deliveries import LogFilter, log_page
from tocsin.store.joined import of_integration
from tocsin.store.sentry import SentryConnection
from tocsin.store.vault import WrongKeys
from tocsin.web.pages.connect import LATEST, Opened, open_one
from tocsin.web.pages.faults import FAULTS, faults_of
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.connect import Connector, Untested
from tocsin.work.connected import Connections, Standing, Undoing
from tocsin.work.connectplan import Plan, Wish, address_warning, settings_url
from tocsin.work.refusals import Invalid
from tocsin.work.respond import NotFound
from tocsin.work.switches import Switchboard

#: How long the plan may be looked at before the token has to be typed again.
SEALED_FOR = timedelta(minutes=15)

#: How long the first webhook may take before it is said what to look for.
WAITED_FOR = timedelta(seconds=60)

#: What goes wrong on the way to Sentry, or there.
_WRONG = (*FAULTS, SentryError, Untested)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page shows."""

    faults: tuple[str, ...] = ()
    plan: Plan | None = None
    sealed: str = ""
    standing: Standing | None = None
    undoing: Undoing | None = None
    #: A step was just done: the next follows by itself.
    is_going: bool = False
    status: int = 200
    #: What was typed.
    typed: dict[str, str] = field(default_factory=dict)


@get("/integrations/{reference:str}/sentry", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def show_sentry(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show how it is connected; or ask for what is needed to connect it."""
    return _page(visit, _opened(visit, reference), Shown())


@post("/integrations/{reference:str}/sentry", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def change_sentry(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Plan, do the next step, check, or disconnect."""
    one = _opened(visit, reference)
    deeds = {"plan": _plan, "step": _step, "check": _check, "undo": _undo}
    try:
        return deeds.get(visit.form.text("do"), _plan)(visit, one)
    except _WRONG as error:
        faults = tuple(faults_of(error))
        return _page(visit, one, Shown(faults=faults, status=422, typed=_typed(visit)))


def _opened(visit: Visit, reference: str) -> Opened:
    """Return the integration. Raises NotFound for one that takes nothing from Sentry."""
    one = open_one(visit, reference)
    if one.integration.source != "sentry":
        raise NotFound(f"{one.integration.name} is not connected with Sentry: it takes events")
    return one


# -- the parts it stands on -----------------------------------------------------------------------


def _connector(visit: Visit) -> Connector:
    back = visit.back
    return Connector(
        back.desk.database, back.desk.plans, back.vault, back.public_url, back.ask_sentry
    )


def _connections(visit: Visit) -> Connections:
    back = visit.back
    return Connections(
        back.desk.database, back.desk.plans, back.vault, back.public_url, back.ask_sentry
    )


def _typed(visit: Visit) -> dict[str, str]:
    typed = {name: visit.form.text(name) for name in ("org", "host", "projects")}
    return typed if any(typed.values()) else {}


def _token(visit: Visit, name: str) -> str | None:
    """Return a token that was pasted, if one was. Raises Invalid."""
    typed = visit.form.text(name)
    try:
        return token_of(typed) if typed else None
    except ValueError as error:
        raise Invalid(str(error)) from None


def _wish(visit: Visit, one: Opened) -> Wish:
    """Return what was asked for. Raises Invalid."""
    form = visit.form
    known = _connections(visit).connection_of(one.integration.id, visit.caller)
    organization = form.text("org") or (known.organization if known else "")
    if not organization:
        raise Invalid("the slug of the organisation is missing: type it in")
    try:
        host = host_of(form.text("host") or (known.host if known else "https://sentry.io"))
    except ValueError as error:
        raise Invalid(str(error)) from None
    token = _token(visit, "token")
    if not token and known and (known.host, known.organization) == (host, organization):
        # Only there: another address would be told what opens this one.
        token = known.token
    if not token:
        raise Invalid("the token is missing: paste it")
    own = _token(visit, "own_token")
    projects = tuple(word for word in form.text("projects").replace(",", " ").split() if word)
    return Wish(
        integration=one.integration.id,
        service=None,
        host=host,
        organization=organization,
        token=token,
        own_token=own,
        projects=projects,
        tests=form.has("test"),
    )


class _Sealed(msgspec.Struct):
    """A wish on its way through the browser: only we can read it."""

    wish: dict[str, Any]
    user_id: str
    until: datetime
    #: The step that was done just before: that it is the next again would be for ever.
    done: str = ""


def _seal(visit: Visit, wish: Wish, done: str = "") -> str:
    sealed = _Sealed(
        wish=asdict(wish), user_id=visit.user.id, until=visit.now + SEALED_FOR, done=done
    )
    return visit.back.vault.seal(msgspec.json.encode(sealed).decode())


def _open(visit: Visit, one: Opened) -> tuple[Wish, str]:
    """Return the wish that a plan was shown for, and the step before. Raises Invalid."""
    try:
        text = visit.back.vault.open(visit.form.text("sealed"))
        sealed = msgspec.json.decode(text, type=_Sealed)
        wish = Wish(**{**sealed.wish, "projects": tuple(sealed.wish["projects"])})
    except (WrongKeys, msgspec.DecodeError, TypeError, ValueError, KeyError):
        raise Invalid("the plan is not one of ours: ask for it again") from None
    is_theirs = sealed.user_id == visit.user.id and wish.integration == one.integration.id
    if not is_theirs or sealed.until < visit.now:
        raise Invalid("the plan is too old: paste the token again")
    return wish, sealed.done


# -- what is asked for ----------------------------------------------------------------------------


def _plan(visit: Visit, one: Opened) -> Response[bytes]:
    """Look, and say what would be done."""
    wish = _wish(visit, one)
    connector = _connector(visit)
    here = connector.here(wish, visit.caller)
    plan = connector.plan(wish, here, connector.look(wish, here))
    shown = Shown(plan=plan, sealed=_seal(visit, wish), typed=_typed(visit))
    return _page(visit, one, shown)


def _step(visit: Visit, one: Opened) -> Response[bytes]:
    """Do the next step, and show what is left; then wait for what Sentry sends."""
    wish, before = _open(visit, one)
    connector = _connector(visit)
    here = connector.here(wish, visit.caller)
    there = connector.look(wish, here)
    plan = connector.plan(wish, here, there)
    step = plan.next
    is_stuck = plan.is_stuck(before)
    if step is not None and not is_stuck:
        try:
            there = connector.perform(step, wish, here, there, visit.caller, visit.now)
        except _WRONG as error:
            faults = tuple(faults_of(error))
            return _answer(visit, one, Shown(faults=faults, plan=plan, sealed=_seal(visit, wish)))
        visit.back.changed()
        here = connector.here(wish, visit.caller)
        plan = connector.plan(wish, here, there)
        is_stuck = plan.is_stuck(step.key)
    if step is not None and is_stuck:
        faults = (connector.unkept(step, wish, here, there),)
        return _answer(visit, one, Shown(faults=faults, plan=plan, sealed=_seal(visit, wish)))
    if plan.missing or plan.left:
        sealed = _seal(visit, wish, step.key if step else "")
        return _answer(visit, one, Shown(plan=plan, sealed=sealed, is_going=not plan.missing))
    since = f"?since={int(visit.now.timestamp())}" if step and step.key == "test" else ""
    path = f"{one.path}/sentry{since}"
    if visit.is_partial:
        return Response(b"", headers={"hx-redirect": path})
    return visit.go(path, "Connected.")


def _answer(visit: Visit, one: Opened, shown: Shown) -> Response[bytes]:
    """Answer a step: a script takes the part that changes."""
    if visit.is_partial:
        return visit.page("sentry_plan.html", shown=shown, here=one.path)
    return _page(visit, one, shown)


def _check(visit: Visit, one: Opened) -> Response[bytes]:
    """Ask Sentry how the connection stands."""
    standing = _connections(visit).standing(one.integration.id, visit.caller)
    return _page(visit, one, Shown(standing=standing))


def _undo(visit: Visit, one: Opened) -> Response[bytes]:
    """Disconnect: in Sentry and here, or only here."""
    there = _connections(visit)
    if visit.form.has("only_here"):
        there.forget(one.integration.id, visit.caller, visit.now)
        visit.back.changed()
        return visit.go(f"{one.path}/sentry", "Disconnected here. What is in Sentry stays there.")
    token = _token(visit, "token")
    undoing = there.undoing(one.integration.id, token, visit.caller)
    if undoing.missing:
        return _page(visit, one, Shown(undoing=undoing, status=422))
    for rule in undoing.rules:
        there.take_rule(undoing, rule, token)
    there.take_app(undoing, token)
    there.forget(one.integration.id, visit.caller, visit.now)
    visit.back.changed()
    said = "Disconnected: what Tocsin made in Sentry is gone there."
    left = "".join(f" Left for you to do by hand: {line}" for line in undoing.left)
    return visit.go(f"{one.path}/sentry", said + left)


# -- what is done in Sentry -----------------------------------------------------------------------

_SWITCHES = ("resolve", "note", "snooze", "link")


@post("/integrations/{reference:str}/switches", opt={"action": Action.CONFIGURE},
      sync_to_thread=True)  # fmt: skip
def change_switches(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Change what is done in Sentry for what people do here."""
    one = _opened(visit, reference)
    wanted: dict[str, Any] = {name: visit.form.has(name) for name in _SWITCHES}
    wanted["acknowledge"] = visit.form.text("acknowledge") or "off"
    desk = visit.back.desk
    try:
        Switchboard(desk.database, desk.plans).change(
            one.integration.id, wanted, visit.caller, visit.now
        )
    except FAULTS as error:
        return _page(visit, one, Shown(faults=tuple(faults_of(error)), status=422))
    visit.back.changed()
    return visit.go(f"{one.path}/sentry#switches", "Saved. It counts for what is done from now on.")


# -- the page -------------------------------------------------------------------------------------


def _page(visit: Visit, one: Opened, shown: Shown) -> Response[bytes]:
    known = _connections(visit).connection_of(one.integration.id, visit.caller)
    with visit.back.desk.database.read() as connection:
        wanted = LogFilter(integration_id=one.integration.id, limit=LATEST)
        latest = log_page(connection, visit.all_plans, visit.scope, wanted).items
        joined = of_integration(connection, visit.all_plans, one.integration.id, visit.now)
    since = _since(visit)
    came = [delivery for delivery in latest if since and delivery.received_at >= since]
    return visit.page(
        "integration.html",
        shown.status,
        tab="sentry",
        one=one.shown,
        integration=one.integration,
        faults=shown.faults,
        shown=shown,
        known=known,
        joined=joined,
        settings=settings_url(known.host, known.organization) if known else "",
        typed=shown.typed or _known(known),
        warning=address_warning(visit.back.public_url),
        deliveries=latest,
        since=since,
        has_come=bool(came),
        is_late=since is not None and visit.now - since > WAITED_FOR,
        waited_for=WAITED_FOR,
    )


def _known(known: SentryConnection | None) -> dict[str, str]:
    if known is None:
        return {"org": "", "host": "https://sentry.io", "projects": ""}
    projects = ", ".join(rule.project for rule in known.rules)
    return {"org": known.organization, "host": known.host, "projects": projects}


def _since(visit: Visit) -> datetime | None:
    """Return when Sentry was asked for a test, if it was just now."""
    text = visit.query.text("since")
    if not text.isdecimal() or len(text) > 10:
        return None
    return datetime.fromtimestamp(int(text), UTC)


PAGES: tuple[Any, ...] = (show_sentry, change_sentry, change_switches)
