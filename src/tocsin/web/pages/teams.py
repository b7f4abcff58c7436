"""Teams: who is in them, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from tocsin.core.access import Action
from tocsin.core.plans import Team
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.collection import Collection, Shown
from tocsin.work.configfile import BadFile, TeamTable
from tocsin.work.refusals import Conflict, Forbidden, Invalid

_REFUSALS = (BadFile, Conflict, Forbidden, Invalid)


@get("/teams", opt={"action": Action.READ}, sync_to_thread=True)
def list_teams(visit: Visiting) -> Response[bytes]:
    """List teams."""
    return _list(visit)


@post("/teams", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def make_team(visit: Visiting) -> Response[bytes]:
    """Make a team, and go on to who is in it."""
    name = visit.form.text("name")
    try:
        made = _teams(visit).create(TeamTable(name=name), visit.caller, visit.now)
    except _REFUSALS as error:
        return _list(visit, 422, wrong=_sentences(error))
    visit.back.changed()
    return visit.go(f"/teams/{made['id']}", f"{name} was made: choose who is in it.")


@get("/teams/{team_id:str}", opt={"action": Action.READ}, sync_to_thread=True)
def show_team(visit: Visiting, team_id: FromPath[str]) -> Response[bytes]:
    """Show a team, and let it be changed."""
    return _one(visit, _teams(visit).one(team_id, visit.caller))


@post("/teams/{team_id:str}", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def change_team(visit: Visiting, team_id: FromPath[str]) -> Response[bytes]:
    """Change the name and the members; the buttons that move one save too."""
    form = visit.form
    members = _moved(list(form.many("member")), form.text("up"))
    wanted = {"name": form.text("name"), "members": members}
    try:
        _teams(visit).merge(team_id, wanted, visit.caller, visit.now)
    except _REFUSALS as error:
        shown = _teams(visit).one(team_id, visit.caller) | wanted
        return _one(visit, shown, 422, wrong=_sentences(error))
    visit.back.changed()
    return visit.go(f"/teams/{team_id}", "Saved.")


@post("/teams/{team_id:str}/remove", opt={"action": Action.CONFIGURE}, sync_to_thread=True)
def remove_team(visit: Visiting, team_id: FromPath[str]) -> Response[bytes]:
    """Take a team out of use, if nothing names it."""
    shown = _teams(visit).one(team_id, visit.caller)
    try:
        _teams(visit).remove(team_id, visit.caller, visit.now)
    except _REFUSALS as error:
        return _one(visit, shown, 422, wrong=_sentences(error))
    visit.back.changed()
    return visit.go("/teams", f"{shown['name']} was removed.")


def _teams(visit: Visit) -> Collection:
    return visit.back.collections["teams"]


def _moved(members: list[str], up: str) -> list[str]:
    if up in members:
        at = members.index(up)
        members.insert(max(at - 1, 0), members.pop(at))
    return members


def _sentences(error: Exception) -> list[str]:
    return list(error.findings) if isinstance(error, BadFile) else [str(error)]


def _list(visit: Visit, status: int = 200, wrong: Sequence[str] = ()) -> Response[bytes]:
    teams = sorted(visit.plans.teams.values(), key=lambda team: team.name)
    rows = [(team, _services_of(visit, team)) for team in teams]
    return visit.page("teams.html", status, rows=rows, wrong=wrong, name=visit.form.text("name"))


def _services_of(visit: Visit, team: Team) -> list[str]:
    services = visit.plans.services.values()
    return sorted(one.name for one in services if one.team_id == team.id and not one.is_deleted)


def _one(
    visit: Visit, shown: Shown, status: int = 200, wrong: Sequence[str] = ()
) -> Response[bytes]:
    """Show a team: its members first, in their order, then everybody else."""
    people = {user.email: user for user in visit.plans.users.values()}
    members = [people[email] for email in shown["members"] if email in people]
    inside = {user.email for user in members}
    others = sorted(
        (user for user in people.values() if user.email not in inside), key=lambda one: one.name
    )
    return visit.page("team.html", status, team=shown, members=members, others=others, wrong=wrong)


PAGES: tuple[Any, ...] = (list_teams, make_team, show_team, change_team, remove_team)
