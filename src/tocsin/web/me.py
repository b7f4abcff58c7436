"""What people set up for themselves, and tests: thin handlers over ``work/contacts.py``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, Request, delete, get, post, put
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody

from tocsin.core.access import Action
from tocsin.core.model import (
    Urgency,
)
from tocsin.core.plans import ContactMethod, User
from tocsin.core.times import format_span, parse_span
from tocsin.store.people import ApiKey
from tocsin.web.auth import actor_of
from tocsin.web.problems import Denied, Wrong
from tocsin.work.contacts import Contacts, Limited, NewMethod, NewRule
from tocsin.work.page import Pager, TooManyTests


class _In(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What all bodies are: no unknown key."""


class AddContactMethod(_In, kw_only=True):
    """A contact method to add; a webhook's secret is made where none is given."""

    name: str
    channel: str
    address: str
    secret: str | None = None


class TypedCode(_In, kw_only=True):
    """The code as it was typed."""

    code: str


class Rule(_In, kw_only=True):
    """At this urgency, so long after the page (``5m``), by the contact method of this name."""

    urgency: Urgency
    after: str = "0s"
    contact_method: str


class Rules(_In, kw_only=True):
    """All of them, in order; none: at once, by the first contact method."""

    items: list[Rule]


class HandoffNotices(_In, kw_only=True):
    """Whether to be told when one's time on call begins and ends."""

    enabled: bool


class MethodView(msgspec.Struct, kw_only=True):
    """One address of a person."""

    id: str
    name: str
    channel: str
    address: str
    is_verified: bool
    #: False: the address is gone.
    is_enabled: bool


class AddedMethodView(MethodView, kw_only=True):
    """A contact method as it was added; its secret is shown here and never again."""

    secret: str | None


class MethodsView(msgspec.Struct, kw_only=True):
    """A person's contact methods, in the order they prefer."""

    items: list[MethodView]


class CodeSent(msgspec.Struct, kw_only=True):
    """A code is on its way."""

    expires_at: datetime


class Made(msgspec.Struct, kw_only=True):
    """A notification that was made."""

    notification_id: str
    contact_method: str
    channel: str


class ManyMade(msgspec.Struct, kw_only=True):
    """Notifications that were made: ``GET /notifications?user=…`` tells what becomes of them."""

    items: list[Made]


class TooMany(HTTPException):
    """Too often; the detail says when to try again."""

    status_code = 429


def _contacts(request: Request[Any, Any, State], state: State) -> Contacts:
    desk, office, caller = state.back.desk, state.back.office, request.state.caller
    return Contacts(desk.database, desk.plans, office.vault, caller.address)


def _me(request: Request[Any, Any, State]) -> str:
    """Return the id of the person behind the key. Raises Denied."""
    caller: ApiKey = request.state.caller
    if caller.user_id is None:
        raise Denied(f"the key {caller.name} is nobody's: this needs the key of a person")
    return caller.user_id


def _shown(method: ContactMethod) -> dict[str, Any]:
    return {
        "id": method.id,
        "name": method.name,
        "channel": method.channel,
        "address": method.address,
        "is_verified": method.is_verified,
        "is_enabled": method.is_enabled,
    }


class MyContactMethods(Controller):
    """The contact methods of whoever asks."""

    path = "/me/contact-methods"
    tags = ("me",)

    @get(opt={"action": Action.READ}, sync_to_thread=True)
    def list_contact_methods(self, request: Request[Any, Any, State], state: State) -> MethodsView:
        """List your contact methods, in the order you prefer."""
        user = _contacts(request, state).user(_me(request))
        return MethodsView(items=[MethodView(**_shown(one)) for one in user.contact_methods])

    @post(opt={"action": Action.RESPOND}, sync_to_thread=True)
    def add_contact_method(
        self, request: Request[Any, Any, State], state: State, data: JSONBody[AddContactMethod]
    ) -> AddedMethodView:
        """Add one. Nothing but its code is sent there until you typed the code."""
        new = NewMethod(
            name=data.name, channel=data.channel, address=data.address, secret=data.secret
        )
        method, secret = _contacts(request, state).add(_me(request), new, state.back.clock())
        return AddedMethodView(**_shown(method), secret=secret)

    @delete("/{method_id:str}", opt={"action": Action.RESPOND}, sync_to_thread=True)
    def remove_contact_method(
        self, request: Request[Any, Any, State], state: State, method_id: FromPath[str]
    ) -> None:
        """Remove one, and the notification rules that name it."""
        _contacts(request, state).remove(_me(request), method_id, state.back.clock())

    @post("/{method_id:str}/send-code", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=202)  # fmt: skip
    def send_code(
        self, request: Request[Any, Any, State], state: State, method_id: FromPath[str]
    ) -> CodeSent:
        """Have a code sent there: once a minute, five times an hour."""
        try:
            expires_at = _contacts(request, state).send_code(
                _me(request), method_id, state.back.clock()
            )
        except Limited as error:
            headers = {"Retry-After": str(error.seconds)}
            raise TooMany(str(error), headers=headers) from None
        state.back.wake()
        return CodeSent(expires_at=expires_at)

    @post("/{method_id:str}/verify", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=200)  # fmt: skip
    def verify(
        self,
        request: Request[Any, Any, State],
        state: State,
        method_id: FromPath[str],
        data: JSONBody[TypedCode],
    ) -> MethodView:
        """Type the code. It is good for 15 minutes and five tries."""
        method = _contacts(request, state).verify(
            _me(request), method_id, data.code, state.back.clock()
        )
        return MethodView(**_shown(method))

    @post("/{method_id:str}/test", opt={"action": Action.RESPOND}, sync_to_thread=True,
          status_code=202)  # fmt: skip
    def test(
        self, request: Request[Any, Any, State], state: State, method_id: FromPath[str]
    ) -> Made:
        """Have a test sent there."""
        here, me = _contacts(request, state), _me(request)
        with _few_tests():
            made = here.test(me, method_id, state.back.clock())
        state.back.wake()
        method = here.method(me, method_id)
        return Made(notification_id=made, contact_method=method.name, channel=method.channel)


@contextlib.contextmanager
def _few_tests() -> Iterator[None]:
    try:
        yield
    except TooManyTests as error:
        raise TooMany(str(error), headers={"Retry-After": str(error.seconds)}) from None


class MyNotices(Controller):
    """When and of what whoever asks is notified."""

    path = "/me"
    tags = ("me",)

    @get("/notification-rules", opt={"action": Action.READ}, sync_to_thread=True)
    def get_rules(self, request: Request[Any, Any, State], state: State) -> Rules:
        """List your notification rules."""
        return _rules(_contacts(request, state).user(_me(request)))

    @put("/notification-rules", opt={"action": Action.RESPOND}, sync_to_thread=True)
    def put_rules(
        self, request: Request[Any, Any, State], state: State, data: JSONBody[Rules]
    ) -> Rules:
        """Replace your notification rules."""
        here, me = _contacts(request, state), _me(request)
        try:
            rules = [
                NewRule(
                    urgency=rule.urgency,
                    after=parse_span(rule.after),
                    contact_method=rule.contact_method,
                )
                for rule in data.items
            ]
        except ValueError as error:
            raise Wrong(str(error)) from None
        here.set_rules(me, rules, state.back.clock())
        return _rules(here.user(me))

    @put("/handoff-notices", opt={"action": Action.RESPOND}, sync_to_thread=True)
    def put_handoff_notices(
        self, request: Request[Any, Any, State], state: State, data: JSONBody[HandoffNotices]
    ) -> HandoffNotices:
        """Be told, or not, when your time on call begins and ends."""
        here, me = _contacts(request, state), _me(request)
        here.set_handoff_notices(me, state.back.clock(), wanted=data.enabled)
        return HandoffNotices(enabled=here.user(me).handoff_notices)


def _rules(user: User) -> Rules:
    names = {method.id: method.name for method in user.contact_methods}
    return Rules(
        items=[
            Rule(
                urgency=rule.urgency,
                after=format_span(rule.after),
                contact_method=names[rule.contact_method_id],
            )
            for rule in user.notification_rules
            if rule.contact_method_id in names
        ]
    )


@post("/users/{email:str}/page", opt={"action": Action.RESPOND}, sync_to_thread=True,
      status_code=202, tags=["users"])  # fmt: skip
def page_user(request: Request[Any, Any, State], state: State, email: FromPath[str]) -> ManyMade:
    """Test the whole chain: a message to each contact method the person can be reached by.

    At most five an hour to one contact method.
    """
    desk = state.back.desk
    by = actor_of(request.state.caller, desk.plans.refresh(at_most_every=1.0)).name
    with _few_tests():
        made = Pager(desk.database, desk.plans).page(email, by, state.back.clock())
    state.back.wake()
    return ManyMade(
        items=[
            Made(notification_id=id_, contact_method=method.name, channel=method.channel)
            for id_, method in made.items()
        ]
    )


HANDLERS = (MyContactMethods, MyNotices, page_user)
