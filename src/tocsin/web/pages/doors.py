"""One-time links: set up the installation, choose a password when invited or after forgetting."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.session import LINK_PATH, LinkKind
from tocsin.web.pages.login import accounts_of, refused, secret
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.pages.zones import zone_options
from tocsin.work.accounts import Newcomer
from tocsin.work.configfile import BadFile
from tocsin.work.contacts import Mistaken
from tocsin.work.hashing import Throttled

#: What may be wrong with a password that is chosen.
_UNFIT = (Mistaken, Throttled)


@get("/setup/{key:str}", opt={"action": None}, sync_to_thread=True)
def setup_form(visit: Visiting, key: FromPath[str]) -> Response[bytes]:
    """Ask who the first owner is."""
    accounts_of(visit).find_link(LinkKind.SETUP, key, visit.now)
    new = Newcomer(name="", email="", password="", time_zone="")
    return visit.page("setup.html", new=new, zones=zone_options(), wrong="")


@post("/setup/{key:str}", opt={"action": None}, sync_to_thread=True)
def set_up(visit: Visiting, key: FromPath[str]) -> Response[bytes]:
    """Make the first owner, and lead them on."""
    form = visit.form
    new = Newcomer(
        name=form.text("name"),
        email=form.text("email"),
        password=secret(form),
        time_zone=form.text("time_zone"),
    )
    try:
        entry = accounts_of(visit).set_up(key, new, visit.guest, visit.now)
    except (*_UNFIT, BadFile) as error:
        shown = Mistaken(str(error)) if isinstance(error, BadFile) else error
        zones = zone_options(new.time_zone)
        return refused(visit, "setup.html", shown, new=new, zones=zones)
    visit.back.changed()
    return visit.let_in(entry, "/welcome")


def _choose(visit: Visit, kind: LinkKind, key: str, wrong: Exception | None) -> Response[bytes]:
    link, user = accounts_of(visit).find_link(kind, key, visit.now)
    context: dict[str, Any] = {"whose": user, "link": link, "action": f"{LINK_PATH[kind]}{key}"}
    if wrong is not None:
        return refused(visit, "choose.html", wrong, **context)
    return visit.page("choose.html", wrong="", **context)


def _chosen(visit: Visit, kind: LinkKind, key: str) -> Response[bytes]:
    password = secret(visit.form)
    try:
        entry = accounts_of(visit).use_link(kind, key, password, visit.guest, visit.now)
    except _UNFIT as error:
        return _choose(visit, kind, key, error)
    is_new = kind is LinkKind.INVITATION
    said = "Welcome. Say here how you are paged." if is_new else "Your new password counts."
    return visit.let_in(entry, "/me" if is_new else "/", said)


@get("/invite/{key:str}", opt={"action": None}, sync_to_thread=True)
def invitation(visit: Visiting, key: FromPath[str]) -> Response[bytes]:
    """Ask an invited person for a password."""
    return _choose(visit, LinkKind.INVITATION, key, None)


@post("/invite/{key:str}", opt={"action": None}, sync_to_thread=True)
def take_invitation(visit: Visiting, key: FromPath[str]) -> Response[bytes]:
    """Let an invited person in."""
    return _chosen(visit, LinkKind.INVITATION, key)


@get("/reset/{key:str}", opt={"action": None}, sync_to_thread=True)
def reset_form(visit: Visiting, key: FromPath[str]) -> Response[bytes]:
    """Ask for a new password."""
    return _choose(visit, LinkKind.RESET, key, None)


@post("/reset/{key:str}", opt={"action": None}, sync_to_thread=True)
def reset(visit: Visiting, key: FromPath[str]) -> Response[bytes]:
    """Change a password that was forgotten."""
    return _chosen(visit, LinkKind.RESET, key)


PAGES: tuple[Any, ...] = (setup_form, set_up, invitation, take_invitation, reset_form, reset)
