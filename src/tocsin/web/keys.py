"""API keys over the API itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from tocsin.core.access import Action
from tocsin.core.model import Role
from tocsin.core.plans import Plans
from tocsin.core.times import whole_seconds
from tocsin.store.lists import Page
from tocsin.store.people import KeyRow
from tocsin.store.views import PersonView
from tocsin.web.back import back_of, caller_of


class NewKey(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An API key to make: of a person (``user``, an e-mail address) or of nobody."""

    name: str
    role: Role = Role.RESPONDER
    user: str | None = None


class KeyView(msgspec.Struct, kw_only=True):
    """An API key; ``key`` is told when it is made and never again."""

    id: str
    name: str
    role: Role
    user: PersonView | None
    created_at: datetime
    key: str | None = None


class KeyController(Controller):
    """The API keys there are."""

    path = "/api-keys"
    tags = ("api-keys",)

    @get(opt={"action": Action.ADMINISTER}, sync_to_thread=True)
    def list_keys(self, state: State) -> Page[KeyView]:
        """List every API key, the newest first."""
        back = back_of(state)
        plans = back.desk.plans.refresh()
        return Page(tuple(_view(row, plans) for row in back.office.api_keys()), None)

    @post(opt={"action": Action.ADMINISTER}, sync_to_thread=True)
    def create_key(
        self, request: Request[Any, Any, State], state: State, data: JSONBody[NewKey]
    ) -> KeyView:
        """Make an API key; it can do no more than whoever makes it."""
        back = back_of(state)
        plans = back.desk.plans.refresh()
        caller = caller_of(request, plans)
        row, key = back.office.make_key_for(caller, data.name, data.role, data.user, back.clock())
        view = _view(row, plans)
        view.key = key
        return view

    @delete("/{reference:str}", opt={"action": Action.ADMINISTER}, sync_to_thread=True)
    def revoke_key(
        self, request: Request[Any, Any, State], state: State, reference: FromPath[str]
    ) -> None:
        """Revoke an API key, by its id or name."""
        back = back_of(state)
        caller = caller_of(request, back.desk.plans.refresh())
        back.office.revoke_key(reference, caller, back.clock())


def _view(row: KeyRow, plans: Plans) -> KeyView:
    user = plans.users.get(row.user_id or "")
    return KeyView(
        id=row.id,
        name=row.name,
        role=row.role,
        user=PersonView(email=user.email, name=user.name) if user else None,
        created_at=whole_seconds(row.created_at),
    )
