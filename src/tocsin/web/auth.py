"""Who asks, and whether they may: API keys and the access table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from tocsin.core.access import Action, may
from tocsin.core.model import (
    Actor,
)
from tocsin.core.plans import (
    Plans,
)
from tocsin.store.people import ApiKey
from tocsin.web.address import source_of
from tocsin.web.problems import Denied, Unknown
from tocsin.work.manage import Office

#: What an operation needs, in the route handler's ``opt``.
ACTION = "action"


def is_asking_for_methods(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether this is an OPTIONS: Litestar answers it by itself, with the methods of the path."""
    return connection.scope.get("method") == "OPTIONS"


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return where a request comes from, as far as our own proxies say."""
    forwarded = ", ".join(connection.headers.getall("x-forwarded-for", []))
    peer = connection.client.host if connection.client else ""
    return source_of(peer, forwarded, connection.app.state.back.trusted_proxies)


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let in whoever may do what the operation needs. Raises Unknown, Denied."""
    if is_asking_for_methods(connection):
        return
    needed: Action = handler.opt[ACTION]
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unknown(
            "send Authorization: Bearer with an API key (make one: tocsin key create --name …)",
            headers={"WWW-Authenticate": "Bearer"},
        )
    office: Office = connection.app.state.office
    caller = await asyncio.to_thread(office.who, key.strip())
    if caller is None:
        raise Unknown("this API key is not known", headers={"WWW-Authenticate": "Bearer"})
    if not may(caller.role, needed):
        raise Denied(f"the role {caller.role} may not {needed} (see docs/reference/access.md)")
    connection.state.caller = replace(caller, address=address_of(connection))


def actor_of(caller: ApiKey, plans: Plans) -> Actor:
    """Return whom the timeline names: the person behind the key, else the key."""
    user = plans.users.get(caller.user_id or "")
    if user is not None:
        return Actor(name=user.email, user_id=user.id, address=caller.address)
    return Actor(name=f"API key {caller.name}", address=caller.address)
