"""The page behind the link in a message: one incident, one button, nobody signs in.

Opening it changes nothing, however often and by whomever: mail scanners and previews open every
link. Only the button acknowledges, and whoever it was for can take that back for a while.
"""

from __future__ import annotations

from typing import Any

from litestar import HttpMethod, Response, post, route
from litestar.params import FromPath

from tocsin.core.incident import Refused
from tocsin.web.pages.visit import Visit, Visiting
from tocsin.work.answer import Altered, Answers, Expired


def _answers(visit: Visit) -> Answers:
    desk = visit.back.desk
    return Answers(desk.database, desk.plans, visit.back.vault)


def _no_good(visit: Visit, error: Exception) -> Response[bytes]:
    """Say why a link is good for nothing."""
    text = str(error)
    status = 410 if isinstance(error, Expired) else 404
    return visit.page("magic_over.html", status, sentence=f"{text[:1].upper()}{text[1:]}.")


@route(
    "/a/{token:str}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt={"action": None},
    sync_to_thread=True,
)
def show_answer(visit: Visiting, token: FromPath[str]) -> Response[bytes]:
    """Show what the link is about, with its button."""
    try:
        shown = _answers(visit).show(token, visit.now)
    except (Altered, Expired) as error:
        return _no_good(visit, error)
    return visit.page("magic.html", one=shown.incident, shown=shown, address=visit.path)


@post("/a/{token:str}", opt={"action": None}, sync_to_thread=True)
def give_answer(visit: Visiting, token: FromPath[str]) -> Response[bytes]:
    """Acknowledge, or take that back, as the person whom the link was for."""
    answers = _answers(visit)
    undoes = visit.form.text("do") == "undo"
    try:
        (answers.undo if undoes else answers.acknowledge)(token, visit.now)
    except (Altered, Expired) as error:
        return _no_good(visit, error)
    except Refused as error:
        text = str(error)
        return visit.go(visit.path, f"{text[:1].upper()}{text[1:]}.", is_bad=True)
    visit.back.wake()
    return visit.go(visit.path, "Taken back: it pages again." if undoes else "")


PAGES: tuple[Any, ...] = (show_answer, give_answer)
