"""The REST API (contract section 5): thin handlers over use cases and views."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, Router, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody, QueryParameter

from tocsin.core.access import Action, Caller
from tocsin.core.model import (
    Actor,
    DeliveryOutcome,
    DeliveryStatus,
    IncidentStatus,
    Severity,
    Urgency,
)
from tocsin.core.times import parse_instant, parse_span
from tocsin.store import views
from tocsin.store.deliveries import delivery_detail, delivery_page
from tocsin.store.lists import Filter, Page
from tocsin.store.people import ApiKey
from tocsin.store.views import (
    DeliveryDetail,
    DeliveryView,
    IncidentDetail,
    IncidentView,
    NotificationView,
    PersonView,
)
from tocsin.web import me, schemas
from tocsin.web.auth import guard
from tocsin.web.back import Back, Cursor, Limit, Words, asked, caller_of, known_to
from tocsin.web.back import back_of as _back
from tocsin.web.calendar import FeedController, list_calendars
from tocsin.web.explain import get_explanation
from tocsin.web.joined import JOINED
from tocsin.web.keys import KeyController
from tocsin.web.oncall import ONCALL
from tocsin.web.problems import Wrong
from tocsin.web.setup import SETUP
from tocsin.work import respond
from tocsin.work.manage import service_named
from tocsin.work.respond import Desk, NotFound

#: A filter that matches nothing: of a name that is nobody's.
_NOBODY = ("-",)


def _split(words: str | None, allowed: type[Any], name: str) -> tuple[str, ...]:
    """Read ``a,b`` as words of an enum. Raises Wrong."""
    found = tuple(word.strip() for word in (words or "").split(",") if word.strip())
    known = [member.value for member in allowed]
    for word in found:
        if word not in known:
            raise Wrong(f"{name}: {word!r} is not one of {', '.join(known)}")
    return found


def _equal(*pairs: tuple[str, tuple[str, ...]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((column, values) for column, values in pairs if values)


class IncidentController(Controller):
    """Incidents, and what people do to them."""

    path = "/incidents"
    tags = ("incidents",)

    @get(opt={"action": Action.READ}, sync_to_thread=True)
    def list_incidents(
        self,
        request: Request[Any, Any, State],
        state: State,
        status: Words = None,
        service: Words = None,
        severity: Words = None,
        urgency: Words = None,
        assignee: Annotated[
            str | None, QueryParameter(description="An e-mail address: who has it.")
        ] = None,
        q: Annotated[
            str | None, QueryParameter(description="Part of the title, or a dedup key.")
        ] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[IncidentView]:
        """List incidents, the newest first."""
        back = _back(state)
        with back.desk.database.read() as connection:
            plans = back.desk.plans.current(connection)
            scope = caller_of(request, plans).scope
            wanted = Filter(
                equal=_equal(
                    ("status", _split(status, IncidentStatus, "status")),
                    ("severity", _split(severity, Severity, "severity")),
                    ("urgency", _split(urgency, Urgency, "urgency")),
                    ("service_id", _ids(scope.seen(plans).services, service)),
                ),
                q=q,
                limit=limit,
                cursor=cursor,
            )
            person = next((u.id for u in plans.users.values() if u.email == assignee), "-")
            return views.incident_page(
                connection, plans, scope, wanted, person if assignee is not None else None
            )

    @post(opt={"action": Action.RESPOND}, sync_to_thread=True)
    def open_incident(
        self, request: Request[Any, Any, State], state: State, data: JSONBody[schemas.OpenIncident]
    ) -> IncidentView:
        """Open an incident by hand."""
        back, plans, seen = known_to(request, state)
        service = service_named(seen, data.service)
        if service is None:
            raise Wrong(f"there is no service {data.service!r}")
        if not data.title.strip():
            raise Wrong("the title is empty")
        id_ = back.desk.open(
            service.id,
            data.title,
            data.severity,
            data.details,
            caller_of(request, plans),
            back.clock(),
            data.priority,
        )
        back.wake()
        return _shown(back, id_)

    @get("/{reference:str}", opt={"action": Action.READ}, sync_to_thread=True)
    def get_incident(
        self, request: Request[Any, Any, State], state: State, reference: FromPath[str]
    ) -> IncidentDetail:
        """Show one incident, by id or number, with its alerts, timeline and notifications."""
        back = _back(state)
        with back.desk.database.read() as connection:
            plans = back.desk.plans.current(connection)
            scope = caller_of(request, plans).scope
            id_ = views.incident_id(connection, plans, scope, reference)
            if id_ is None:
                raise NotFound(f"there is no incident {reference}")
            return views.incident_detail(connection, plans, id_)

    @post("/{reference:str}/acknowledge", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def acknowledge(
        self, request: Request[Any, Any, State], state: State, reference: FromPath[str]
    ) -> IncidentView:
        """Take it: escalation stops."""
        return _act(request, state, reference, respond.acknowledge)

    @post("/{reference:str}/resolve", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def resolve(
        self, request: Request[Any, Any, State], state: State, reference: FromPath[str]
    ) -> IncidentView:
        """End it."""
        return _act(request, state, reference, respond.resolve)

    @post("/{reference:str}/snooze", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def snooze(
        self,
        request: Request[Any, Any, State],
        state: State,
        reference: FromPath[str],
        data: JSONBody[schemas.Snooze],
    ) -> IncidentView:
        """Quiet it for a while; then it triggers again."""
        until = _until(data, _back(state).clock())
        return _act(request, state, reference, lambda by: respond.snooze(by, until))

    @post("/{reference:str}/escalate", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def escalate(
        self,
        request: Request[Any, Any, State],
        state: State,
        reference: FromPath[str],
        data: JSONBody[schemas.Escalate | None] = None,
    ) -> IncidentView:
        """Take the next step now; 409 if the step named is no longer the current one."""
        seen = data or schemas.Escalate()
        return _done(
            request,
            state,
            lambda desk, caller, now: desk.escalate(reference, caller, now, seen.step, seen.round),
        )

    @post("/{reference:str}/reassign", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def reassign(
        self,
        request: Request[Any, Any, State],
        state: State,
        reference: FromPath[str],
        data: JSONBody[schemas.Reassign],
    ) -> IncidentView:
        """Give it to a person or to another policy."""
        plans = _back(state).desk.plans.refresh()
        user = next((u for u in plans.users.values() if u.email == data.user), None)
        policy = next((p for p in plans.policies.values() if p.name == data.policy), None)
        if (data.user is None) == (data.policy is None):
            raise Wrong("name exactly one of user (an e-mail address) and policy (a name)")
        if user is None and policy is None:
            raise Wrong(f"there is no {'user' if data.user else 'policy'} of that name")
        return _act(
            request,
            state,
            reference,
            lambda by: respond.reassign(
                by, user_id=user.id if user else None, policy_id=policy.id if policy else None
            ),
        )

    @post("/{reference:str}/notes", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def note(
        self,
        request: Request[Any, Any, State],
        state: State,
        reference: FromPath[str],
        data: JSONBody[schemas.NoteText],
    ) -> IncidentView:
        """Write a note on its timeline."""
        if not data.text.strip():
            raise Wrong("the note is empty")
        if len(data.text) > respond.NOTE_LENGTH:
            raise Wrong(f"a note has at most {respond.NOTE_LENGTH} characters")
        return _act(request, state, reference, lambda by: respond.note(by, data.text))

    @post("/{reference:str}/priority", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def priority(
        self,
        request: Request[Any, Any, State],
        state: State,
        reference: FromPath[str],
        data: JSONBody[schemas.SetPriority],
    ) -> IncidentView:
        """Say how much it matters."""
        return _act(request, state, reference, lambda by: respond.prioritise(by, data.priority))

    @post("/{reference:str}/merge", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def merge(
        self,
        request: Request[Any, Any, State],
        state: State,
        reference: FromPath[str],
        data: JSONBody[schemas.Merge],
    ) -> IncidentView:
        """End it, and give its alerts to another incident, which ends with the last of them."""
        return _done(
            request,
            state,
            lambda desk, caller, now: desk.merge(reference, str(data.into), caller, now),
        )

    @post("/{reference:str}/unmerge", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def unmerge(
        self,
        request: Request[Any, Any, State],
        state: State,
        reference: FromPath[str],
        data: JSONBody[schemas.Unmerge],
    ) -> IncidentView:
        """Let an alert go its own way; the answer is its own incident, or, if it is over, this."""
        return _done(
            request,
            state,
            lambda desk, caller, now: desk.unmerge(reference, data.alert, caller, now),
        )

    @post("/{reference:str}/responders", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def add_responder(
        self,
        request: Request[Any, Any, State],
        state: State,
        reference: FromPath[str],
        data: JSONBody[schemas.AddResponder],
    ) -> IncidentView:
        """Page one more person, whatever the state of the incident, besides those who have it."""
        plans = _back(state).desk.plans.refresh()
        user = next((one for one in plans.users.values() if one.email == data.user), None)
        if user is None:
            raise Wrong(f"there is no user {data.user!r}")
        return _done(
            request,
            state,
            lambda desk, caller, now: desk.add_responder(reference, user.id, caller, now),
        )


def _ids(things: Any, names: str | None) -> tuple[str, ...]:
    """Return the ids of things by name or id; a name of nothing matches nothing."""
    if names is None:
        return ()
    wanted = {name.strip() for name in names.split(",")}
    found = tuple(thing.id for thing in things.values() if {thing.id, thing.name} & wanted)
    return found or _NOBODY


def _until(data: JSONBody[schemas.Snooze], now: datetime) -> datetime:
    if (data.for_ is None) == (data.until is None):
        raise Wrong('say for how long: {"for": "1h"}, or until when: {"until": "…"}')
    try:
        until = parse_instant(data.until) if data.until else now + parse_span(data.for_ or "")
    except (ValueError, OverflowError) as error:
        raise Wrong(str(error)) from None
    if until <= now:
        raise Wrong("a snooze ends in the future")
    return until


def _act(
    request: Request[Any, Any, State],
    state: State,
    reference: str,
    action: Callable[[Actor], respond.Decide],
) -> IncidentView:
    return _done(
        request,
        state,
        lambda desk, caller, now: desk.act(reference, action(caller.by), caller, now),
    )


def _done(
    request: Request[Any, Any, State], state: State, work: Callable[[Desk, Caller, datetime], str]
) -> IncidentView:
    back, caller = asked(request, state)
    id_ = work(back.desk, caller, back.clock())
    back.wake()
    return _shown(back, id_)


def _shown(back: Back, id_: str) -> IncidentView:
    with back.desk.database.read() as connection:
        return views.incident_view(connection, back.desk.plans.current(connection), id_)


class DeliveryController(Controller):
    """The delivery log."""

    path = "/deliveries"
    tags = ("deliveries",)

    @get(opt={"action": Action.READ}, sync_to_thread=True)
    def list_deliveries(
        self,
        request: Request[Any, Any, State],
        state: State,
        integration: Words = None,
        status: Words = None,
        outcome: Words = None,
        q: Annotated[
            str | None, QueryParameter(description="Part of the dedup key or reason, or an id.")
        ] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[DeliveryView]:
        """List deliveries, the newest first."""
        back = _back(state)
        with back.desk.database.read() as connection:
            plans = back.desk.plans.current(connection)
            scope = caller_of(request, plans).scope
            wanted = Filter(
                equal=_equal(
                    ("integration_id", _ids(scope.seen(plans).integrations, integration)),
                    ("status", _split(status, DeliveryStatus, "status")),
                    ("outcome", _split(outcome, DeliveryOutcome, "outcome")),
                ),
                q=q,
                limit=limit,
                cursor=cursor,
            )
            return delivery_page(connection, plans, scope, wanted)

    @get("/{delivery_id:str}", opt={"action": Action.READ}, sync_to_thread=True)
    def get_delivery(
        self, request: Request[Any, Any, State], state: State, delivery_id: FromPath[str]
    ) -> DeliveryDetail:
        """Show one delivery with its headers (secrets masked) and body."""
        back = _back(state)
        with back.desk.database.read() as connection:
            plans = back.desk.plans.current(connection)
            scope = caller_of(request, plans).scope
            found = delivery_detail(connection, plans, scope, delivery_id)
        if found is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        return found

    @post("/{delivery_id:str}/replay", opt={"action": Action.REPLAY}, sync_to_thread=True,
          status_code=202)  # fmt: skip
    def replay(
        self, request: Request[Any, Any, State], state: State, delivery_id: FromPath[str]
    ) -> schemas.Replayed:
        """Feed a stored delivery in again, as a new one."""
        back, caller = asked(request, state)
        new = back.office.replay(delivery_id, caller, back.clock())
        if new is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        back.wake()
        return schemas.Replayed(delivery_id=new)


@get("/notifications", opt={"action": Action.READ}, sync_to_thread=True, tags=["notifications"])
def list_notifications(
    request: Request[Any, Any, State],
    state: State,
    incident: Annotated[str | None, QueryParameter(description="An id or number.")] = None,
    user: Annotated[str | None, QueryParameter(description="An e-mail address.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[NotificationView]:
    """List notifications with their attempts, the newest first."""
    back = _back(state)
    with back.desk.database.read() as connection:
        plans = back.desk.plans.current(connection)
        scope = caller_of(request, plans).scope
        pairs: list[tuple[str, tuple[str, ...]]] = []
        if incident is not None:
            found = views.incident_id(connection, plans, scope, incident)
            pairs.append(("incident_id", (found,) if found else _NOBODY))
        if user is not None:
            ids = tuple(one.id for one in plans.users.values() if one.email == user)
            pairs.append(("user_id", ids or _NOBODY))
        wanted = Filter(equal=_equal(*pairs), limit=limit, cursor=cursor)
        return views.notification_page(connection, plans, scope, wanted)


@get("/me", opt={"action": Action.READ}, sync_to_thread=True, tags=["me"])
def get_me(request: Request[Any, Any, State], state: State) -> schemas.Me:
    """Say who asks."""
    caller: ApiKey = request.state.caller
    user = _back(state).desk.plans.refresh(at_most_every=1.0).users.get(caller.user_id or "")
    person = PersonView(email=user.email, name=user.name) if user else None
    return schemas.Me(name=caller.name, role=caller.role, user=person)


def build_router() -> Router:
    """Return everything below ``/api/v1``."""
    return Router(
        path="/api/v1",
        guards=[guard],
        route_handlers=[
            IncidentController,
            DeliveryController,
            FeedController,
            KeyController,
            list_calendars,
            list_notifications,
            get_me,
            *me.HANDLERS,
            get_explanation,
            *ONCALL,
            *SETUP,
            *JOINED,
        ],
        security=[{"apiKey": []}],
    )
