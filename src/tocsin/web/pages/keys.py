"""API keys: those there are, a new one shown once, and their end."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action, least
from tocsin.core.model import Role
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.refusals import Conflict, Forbidden, Invalid
from tocsin.work.respond import NotFound


@get("/keys", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def list_keys(visit: Visiting) -> Response[bytes]:
    """List API keys, and offer to make one."""
    return _page(visit)


@post("/keys", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def make_key(visit: Visiting) -> Response[bytes]:
    """Make an API key, and show it this once."""
    form = visit.form
    try:
        role = role_of(form.text("role"))
        row, key = visit.back.office.make_key_for(
            visit.caller, form.text("name"), role, form.maybe("user"), visit.now
        )
    except (Forbidden, Invalid, NotFound) as error:
        return _page(visit, 422, wrong=[str(error)])
    return _page(visit, made=(row.name, key))


@post("/keys/{key_id:str}/revoke", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
def revoke_key(visit: Visiting, key_id: FromPath[str]) -> Response[bytes]:
    """Let an API key open nothing any more."""
    try:
        gone = visit.back.office.revoke_key(key_id, visit.caller, visit.now)
    except (Conflict, Forbidden) as error:
        return _page(visit, 422, wrong=[str(error)])
    return visit.go("/keys", f"{gone.name} was revoked: it opens nothing any more.")


def _page(visit: Visit, status: int = 200, **more: Any) -> Response[bytes]:
    context = {"made": None, "wrong": [], **more}
    people = sorted(visit.plans.users.values(), key=lambda user: user.email)
    return visit.page(
        "keys.html",
        status,
        keys=visit.back.office.api_keys(),
        roles=roles_up_to(visit.caller.role),
        people=people,
        typed=visit.form,
        **context,
    )


def roles_up_to(most: Role) -> list[Role]:
    """Return the roles that may do no more than one."""
    return [role for role in Role if least(role, most) is role]


def role_of(word: str) -> Role:
    """Read a role. Raises Invalid."""
    try:
        return Role(word)
    except ValueError:
        raise Invalid(f"{word!r} is no role: choose one of {', '.join(Role)}") from None


PAGES: tuple[Any, ...] = (list_keys, make_key, revoke_key)
