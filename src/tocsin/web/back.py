"""What the handlers of the API stand on, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from litestar import Request
from litestar.datastructures import State
from litestar.params import QueryParameter

from tocsin.channels.guard import IpNetwork
from tocsin.core.access import Caller, scope_of
from tocsin.core.dialect import Dialect
from tocsin.core.plans import Plans
from tocsin.store.lists import MAX_LIMIT
from tocsin.store.people import ApiKey
from tocsin.store.vault import Vault
from tocsin.web.auth import actor_of
from tocsin.work.collection import Collection
from tocsin.work.connect import Ask
from tocsin.work.foresee import Hindsight
from tocsin.work.manage import Office
from tocsin.work.respond import Desk
from tocsin.work.rota import Rota

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Items of one page.")]
Cursor = Annotated[str | None, QueryParameter(description="``next`` of the page before.")]
Words = Annotated[str | None, QueryParameter(description="One value, or several with commas.")]


@dataclass(frozen=True, slots=True)
class Back:
    """What the handlers stand on, in ``app.state``."""

    desk: Desk
    office: Office
    rota: Rota
    hindsight: Hindsight
    #: By the path below ``/api/v1``.
    collections: Mapping[str, Collection]
    clock: Callable[[], datetime]
    wake: Callable[[], None]
    vault: Vault
    dialects: Mapping[str, Dialect]
    public_url: str
    #: Networks whose word on where a request comes from is believed.
    trusted_proxies: Sequence[IpNetwork]
    #: Whether there is a mail server.
    has_mail: bool
    data_dir: Path
    #: Asks Sentry, for a handler in its thread.
    ask_sentry: Ask

    def changed(self) -> None:
        """See a change of configuration here at once, and let the worker look at what it means."""
        self.desk.plans.refresh()
        self.wake()


def back_of(state: State) -> Back:
    """Return what the handlers stand on."""
    back: Back = state.back
    return back


def caller_of(request: Request[Any, Any, State], plans: Plans) -> Caller:
    """Return who asks, in which role, and seeing what."""
    asking: ApiKey = request.state.caller
    scope = scope_of(plans, asking.role, asking.user_id)
    return Caller(by=actor_of(asking, plans), role=asking.role, scope=scope)


def asked(request: Request[Any, Any, State], state: State) -> tuple[Back, Caller]:
    """Return what a handler that changes something stands on, and who asks."""
    back = back_of(state)
    return back, caller_of(request, back.desk.plans.refresh(at_most_every=1.0))


def known_to(request: Request[Any, Any, State], state: State) -> tuple[Back, Plans, Plans]:
    """Return what a handler stands on; the plans; and the plans as far as who asks sees them."""
    back = back_of(state)
    plans = back.desk.plans.refresh()
    return back, plans, caller_of(request, plans).scope.seen(plans)
