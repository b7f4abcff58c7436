"""How an integration is joined with Sentry, and what is done there."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get, patch
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, UnsetType

from tocsin.core.access import Action
from tocsin.core.sentry import Acknowledging
from tocsin.store.joined import SentryView
from tocsin.web.back import Back, asked
from tocsin.work.switches import Switchboard


class SwitchesChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Switches to change; what is absent stays as it is."""

    acknowledge: Acknowledging | UnsetType = UNSET
    resolve: bool | UnsetType = UNSET
    note: bool | UnsetType = UNSET
    snooze: bool | UnsetType = UNSET
    link: bool | UnsetType = UNSET


def switchboard(back: Back) -> Switchboard:
    """Return where switches are."""
    return Switchboard(back.desk.database, back.desk.plans)


@get("/integrations/{reference:str}/sentry", opt={"action": Action.READ}, sync_to_thread=True,
     tags=["integrations"])  # fmt: skip
def get_sentry(
    request: Request[Any, Any, State], state: State, reference: FromPath[str]
) -> SentryView:
    """Show how an integration is joined with Sentry; 404 where it is not."""
    back, caller = asked(request, state)
    return switchboard(back).show(reference, caller, back.clock())


@patch("/integrations/{reference:str}/sentry", opt={"action": Action.CONFIGURE},
       sync_to_thread=True, tags=["integrations"])  # fmt: skip
def change_sentry(
    request: Request[Any, Any, State],
    state: State,
    reference: FromPath[str],
    data: JSONBody[SwitchesChange],
) -> SentryView:
    """Change what is done in Sentry for what people do here."""
    back, caller = asked(request, state)
    wanted: dict[str, Any] = msgspec.to_builtins(data)
    view = switchboard(back).change(reference, wanted, caller, back.clock())
    back.changed()
    return view


JOINED: tuple[Any, ...] = (get_sentry, change_sentry)
