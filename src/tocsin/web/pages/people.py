"""People: who there is and how they are reached; invite, change, let out, remove."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.model import Role
from tocsin.core.plans import User
from tocsin.core.session import LINK_PATH
from tocsin.store import accounts, sessions
from tocsin.web.pages.login import accounts_of
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.web.pages.zones import zone_options
from tocsin.work.accounts import Made
from tocsin.work.configfile import BadFile
from tocsin.work.refusals import Conflict, Forbidden
from tocsin.work.respond import NotFound

#: What each role may, in the words of the form.
ROLES = (
    (Role.VIEWER, "Viewer: sees everything of their teams"),
    (Role.RESPONDER, "Responder: is paged, answers incidents"),
    (Role.MANAGER, "Manager: also sets up services, schedules and policies"),
    (Role.ADMIN, "Admin: also manages people and API keys"),
    (Role.OWNER, "Owner: also manages owners"),
)


def _roles(visit: Visit) -> list[tuple[str, str]]:
    """Return the roles that whoever asks may give."""
    return [(role.value, text) for role, text in ROLES if role is not Role.OWNER
            or visit.caller.may(Action.OWN)]  # fmt: skip


def _person(visit: Visit, reference: str) -> User:
    user = visit.plans.users.get(reference)
    if user is None:
        raise NotFound("there is no such person any more")
    return user


@get("/people", opt={"action": Action.READ}, sync_to_thread=True)
def list_people(visit: Visiting) -> Response[bytes]:
    """List everybody."""
    with visit.back.desk.database.read() as connection:
        seen = sessions.last_seen(connection)
        has_password = accounts.with_password(connection)
    people = sorted(visit.plans.users.values(), key=lambda user: user.name.casefold())
    teams = {
        user.id: sorted(
            team.name for team in visit.plans.teams.values() if user.id in team.member_ids
        )
        for user in people
    }
    return visit.page(
        "people.html", people=people, teams=teams, seen=seen, has_password=has_password
    )


@get("/people/new", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def invite_form(visit: Visiting) -> Response[bytes]:
    """Ask whom to invite."""
    typed = {"email": "", "name": "", "role": Role.RESPONDER.value}
    return visit.page("person_new.html", typed=typed, roles=_roles(visit), wrong=[])


@post("/people/new", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def invite(visit: Visiting) -> Response[bytes]:
    """Invite somebody, and show the link."""
    typed = {name: visit.form.text(name) for name in ("email", "name", "role")}
    try:
        made = accounts_of(visit).invite(
            visit.caller, typed["email"], typed["name"], typed["role"], visit.now,
            visit.user.time_zone,
        )  # fmt: skip
    except (BadFile, Conflict, Forbidden) as error:
        wrong = str(error).splitlines()
        return visit.page("person_new.html", 422, typed=typed, roles=_roles(visit), wrong=wrong)
    visit.back.changed()
    return _show_link(visit, made, typed["name"], typed["email"])


def _show_link(visit: Visit, made: Made, name: str, email: str) -> Response[bytes]:
    """Show a link, this once; it is in no address, so that nobody finds it in a history."""
    return visit.page(
        "person_link.html",
        url=f"{visit.back.public_url}{LINK_PATH[made.kind]}{made.key}",
        kind=made.kind.value,
        id=made.user_id,
        name=name,
        email=email,
    )


def _show(
    visit: Visit, user: User, status: int = 200, typed: Any = None, wrong: Any = ()
) -> Response[bytes]:
    with visit.back.desk.database.read() as connection:
        open_sessions = sessions.of_user(connection, user.id)
        has_password = accounts.password_hash(connection, user.id) is not None
    may_change = visit.may("administer") and (
        user.role is not Role.OWNER or visit.caller.may(Action.OWN)
    )
    now = {"email": user.email, "name": user.name, "role": user.role.value,
           "time_zone": user.time_zone}  # fmt: skip
    teams = [team for team in visit.plans.teams.values() if user.id in team.member_ids]
    return visit.page(
        "person.html",
        status,
        person=user,
        teams=teams,
        sessions=open_sessions,
        has_password=has_password,
        may_change=may_change,
        typed=typed or now,
        roles=_roles(visit),
        zones=zone_options((typed or now)["time_zone"]),
        wrong=wrong,
    )


@get("/people/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_person(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Show one person, and what may be changed of them."""
    return _show(visit, _person(visit, reference))


@post("/people/{reference:str}", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def change_person(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Change name, address, role or zone."""
    user = _person(visit, reference)
    typed = {name: visit.form.text(name) for name in ("email", "name", "role", "time_zone")}
    if not typed["name"]:
        return _show(visit, user, 422, typed, ["a name is missing: type it in"])
    try:
        visit.back.collections["users"].merge(user.id, typed, visit.caller, visit.now)
    except (BadFile, Conflict, Forbidden) as error:
        return _show(visit, user, 422, typed, str(error).splitlines())
    visit.back.changed()
    return visit.go(f"/people/{user.id}", f"{typed['name']} is changed.")


@post("/people/{reference:str}/link", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def make_link(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Make a link by which somebody chooses a password, and show it."""
    user = _person(visit, reference)
    made = accounts_of(visit).link(visit.caller, user.id, visit.now, is_mailed=True)
    visit.back.wake()
    return _show_link(visit, made, user.name, user.email)


@post("/people/{reference:str}/sign-out", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def end_sessions(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Let every browser of a person out."""
    user = _person(visit, reference)
    accounts_of(visit).end_sessions(visit.caller, user.id, visit.now)
    return visit.go(f"/people/{user.id}", f"{user.name} is signed out everywhere.")


@post("/people/{reference:str}/remove", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def remove_person(visit: Visiting, reference: FromPath[str]) -> Response[bytes]:
    """Take a person out; what still names them is told."""
    user = _person(visit, reference)
    try:
        accounts_of(visit).remove(visit.caller, user.id, visit.now)
    except (Conflict, Forbidden) as error:
        return _show(visit, user, 422, wrong=[str(error)])
    visit.back.changed()
    return visit.go("/people", f"{user.name} is removed.")


PAGES: tuple[Any, ...] = (
    list_people, invite_form, invite, show_person, change_person, make_link, end_sessions,
    remove_person,
)  # fmt: skip
