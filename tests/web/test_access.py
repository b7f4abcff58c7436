"""Who may do what, and who sees what: every operation of the API, as everybody, on both teams."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.web import operations
from tests.web.operations import EVERYBODYS, GONE, LEFT_OUT, REFUSED, UNKNOWN, Row, fill, shape
from tests.web.setup_world import Api
from tests.web.two_teams import (
    PEOPLE,
    ROLES,
    WORDS,
    Nothing,
    NothingOfATeam,
    Things,
    set_up,
    team_of,
)
from tocsin.web.app import build_framework, described


def role_of(who: str) -> str:
    return "manager" if who == "outsider" else who


def may(row: Row, who: str) -> bool:
    return ROLES.index(role_of(who)) >= ROLES.index(row.least)


def sees(row: Row, who: str, team: str) -> bool:
    if row.unseen is EVERYBODYS or team_of(who) == team:
        return True
    return not row.is_personal and role_of(who) in ("admin", "owner")


def test_the_table_has_every_operation():
    """Whoever adds an operation must say there who may use it, and on what."""
    from litestar.datastructures import State

    there_is = msgspec.json.decode(described(build_framework(state=State())))["paths"]
    there = {
        shape(method.upper(), path.removeprefix("/api/v1"))
        for path, methods in there_is.items()
        for method in methods
    }
    assert {shape(row.method, row.path) for row in operations.ROWS} == there


GROUPS = sorted({row.path.split("/")[1].partition("?")[0] for row in operations.ROWS})


@pytest.mark.parametrize("group", GROUPS)
def test_who_may_do_what_on_which_things(api: Api, group: str):
    """Every operation, as a person of every role and of another team, on things of both teams."""
    set_up(api)
    rows = [row for row in operations.ROWS if row.path.split("/")[1].partition("?")[0] == group]
    assert rows
    # What is only read may be read again.
    read = {(who, team): of(api, team, who) for who in PEOPLE for team in WORDS}
    for row in rows:
        refuse_strangers(api, row)
        for (who, team), known in read.items():
            if may(row, who) or row.is_finer:
                ask(api, row, known if row.method == "GET" else of(api, team, who))
            else:
                refuse(api, row, who)
    api.world.forget()


def of(api: Api, team: str, who: str) -> Things:
    return Things(api, team, who, Things(api, team_of(who), who))


def refuse_strangers(api: Api, row: Row) -> None:
    nothing = Nothing(api, "payments", "viewer")
    path, body = fill(row.path, nothing), fill(row.body, nothing)
    for headers in ({}, {"authorization": "Bearer not-a-key"}):
        answer = api.world.raw(row.method, f"/api/v1{path}", json=body, headers=headers)
        assert answer.status_code == 401, str(row)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


def refuse(api: Api, row: Row, who: str) -> None:
    nothing = Nothing(api, "payments", who)
    path, body = fill(row.path, nothing), fill(row.body, nothing)
    answer = api.call(row.method, path, body, who=who)
    assert answer.status_code == 403, f"{row} as {who}: {answer.text}"
    assert role_of(who) in answer.json()["detail"]


def ask(api: Api, row: Row, things: Things) -> None:
    """Ask for one operation; what is answered must be what the table says."""
    who, team = things.who, things.team
    shown = things(row.shows) if row.shows else things.word
    path, body = fill(row.path, things), fill(row.body, things)
    if not may(row, who):
        answer = api.call(row.method, path, body, who=who)
        assert answer.status_code in (403, row.unseen) or shown not in answer.text, str(row)
    elif not sees(row, who, team):
        is_unseen(api, row, things, path, body)
    else:
        answer = api.call(row.method, path, body, who=who)
        good = answer.status_code < 300 if row.answer is None else answer.status_code == row.answer
        assert good, f"{row} as {who} on {team}: {answer.status_code} {answer.text}"
        assert row.unseen is not LEFT_OUT or is_in(answer.text, shown, things), str(row)


def is_in(text: str, shown: str, things: Things) -> bool:
    """Whether anything of a team is in a text: what was made, or its team's word."""
    return shown in text or things.word in text


def is_unseen(api: Api, row: Row, things: Things, path: str, body: Any) -> None:
    """Ask for what one does not see: it must be as if it were not there, and must not change."""
    who, before = things.who, incidents_of(api, things)
    shown = things(row.shows) if row.shows else ""
    if row.unseen is LEFT_OUT:
        answer = api.call(row.method, path, body, who=who)
        assert answer.status_code < 300, f"{row} as {who}: {answer.text}"
        text = answer.text.replace(path, "")
        assert not is_in(text, shown, things) if shown else things.word not in text, str(row)
        return
    assert row.unseen in (GONE, UNKNOWN, REFUSED), str(row)
    said = api.no(int(row.unseen), row.method, path, body, who=who)
    assert incidents_of(api, things) == before, str(row)
    if row.unseen is REFUSED:
        assert "member" in said, str(row)
        return
    nothing = NothingOfATeam(api, things.team, who, things.mine)
    there = api.no(
        int(row.unseen), row.method, fill(row.path, nothing), fill(row.body, nothing), who=who
    )
    assert plain(said, things) == plain(there, nothing), str(row)


def incidents_of(api: Api, things: Things) -> list[Any]:
    made = [value for thing in (things, things.mine) for value in thing.made.values()]
    return [
        api.ok("GET", f"/incidents/{id_}", who="root") for id_ in made if id_.startswith("inc_")
    ]


def plain(said: str, things: Things) -> str:
    """Return a sentence with what things are in the place of their names."""
    for name, value in things.made.items():
        said = said.replace(value, f"<{name}>")
    return said


def test_what_is_a_persons_needs_the_key_of_a_person(api: Api):
    for row in operations.PERSONAL:
        for role in ROLES:
            nothing = Nothing(api, "payments", role)
            path, body = fill(row.path, nothing), fill(row.body, nothing)
            said = api.no(403, row.method, path, body, who=role)
            assert (role if not may(row, role) else "is nobody's") in said, str(row)
