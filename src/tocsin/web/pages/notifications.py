"""What went out: every message to every contact method, with its attempts."""

from __future__ import annotations

from typing import Any

from litestar import Response, get

from tocsin.core.access import Action
from tocsin.core.model import NotificationState
from tocsin.store import views
from tocsin.store.lists import DEPTH, Filter
from tocsin.web.pages.visit import Visiting
from tocsin.web.problems import Wrong

_STATES = tuple(state.value for state in NotificationState)

#: A filter that matches nothing: of a name that is nobody's.
_NOTHING = ("-",)


@get("/notifications", opt={"action": Action.READ}, sync_to_thread=True)
def list_notifications(visit: Visiting) -> Response[bytes]:
    """List what went out, or waits to, the newest first."""
    query = visit.query
    state, person, q = query.text("state"), query.text("person"), query.text("q")[:200]
    if state and state not in _STATES:
        raise Wrong(f"state: {state!r} is not one of {', '.join(_STATES)}")
    users = visit.plans.users.values()
    pairs: list[tuple[str, tuple[str, ...]]] = []
    if state:
        pairs.append(("state", (state,)))
    if person:
        pairs.append(("user_id", tuple(u.id for u in users if u.email == person) or _NOTHING))
    wanted = Filter(equal=tuple(pairs), q=q or None, cursor=query.maybe("before"))
    with visit.back.desk.database.read() as connection:
        page = views.notification_page(connection, visit.all_plans, visit.scope, wanted)
        about = views.incidents_of(connection, page.items)
    people = sorted((one.name, one.email) for one in users)
    return visit.page(
        "notifications.html",
        page=page,
        about=about,
        state=state,
        person=person,
        q=q,
        states=[("", "Any state"), *((one, one) for one in _STATES)],
        people=[("", "Anybody"), *((email, name) for name, email in people)],
        older=visit.with_query(before=page.next) if page.next else None,
        was_cut=page.next is not None and len(page.items) < wanted.limit,
        depth=DEPTH,
    )


PAGES: tuple[Any, ...] = (list_notifications,)
