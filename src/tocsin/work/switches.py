"""What is done in Sentry for what people do here: each kind of act has a switch of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from tocsin.core.access import Caller
from tocsin.core.plans import Plans
from tocsin.core.sentry import Switches
from tocsin.store import joined, setup
from tocsin.store import sentry as connections
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.joined import SentryView
from tocsin.store.plans import PlansCache, changed
from tocsin.work.refusals import Invalid
from tocsin.work.respond import NotFound


@dataclass(frozen=True, slots=True)
class Switchboard:
    """Where switches are seen and changed: what a caller does not see is not found."""

    database: Database
    plans: PlansCache

    def show(self, reference: str, caller: Caller, now: datetime) -> SentryView:
        """Show how an integration (by id or name) is joined with Sentry. Raises NotFound."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            return _shown(connection, plans, _found(plans, reference, caller), now)

    def change(
        self, reference: str, wanted: Mapping[str, Any], caller: Caller, now: datetime
    ) -> SentryView:
        """Change some switches; what is not named stays. Raises NotFound, Invalid."""

        def work(connection: Connection) -> SentryView:
            setup.lock(connection)
            plans = self.plans.current(connection)
            id_ = _found(plans, reference, caller)
            link = plans.sentry[id_]
            switches = _switched(link.switches, wanted)
            if switches != link.switches:
                connections.set_switches(connection, link.id, switches)
                told = Change(
                    kind="sentry_switches.changed",
                    subject=plans.integrations[id_].name,
                    detail=_told(link.switches, switches),
                )
                changed(connection, now, caller.by, told)
            return _shown(connection, plans, id_, now)

        return self.database.run(work)


def _found(plans: Plans, reference: str, caller: Caller) -> str:
    seen = caller.scope.seen(plans).integrations.values()
    living = (one for one in seen if not one.is_deleted)
    found = next((one for one in living if reference in (one.id, one.name)), None)
    if found is None:
        raise NotFound(f"there is no integration {reference}")
    if found.id not in plans.sentry:
        raise NotFound(
            f"the integration {found.name} is not connected with Sentry: connect it with"
            " `tocsin sentry connect`"
        )
    return found.id


def _shown(connection: Connection, plans: Plans, id_: str, now: datetime) -> SentryView:
    view = joined.of_integration(connection, plans, id_, now)
    if view is None:
        raise NotFound("it is no longer connected with Sentry")
    return view


def _switched(known: Switches, wanted: Mapping[str, Any]) -> Switches:
    try:
        return msgspec.convert({**asdict(known), **wanted}, Switches)
    except msgspec.ValidationError as error:
        raise Invalid(f"{error}: acknowledge is off, assign, note or both; the others are"
                      " true or false") from None  # fmt: skip


def _told(before: Switches, after: Switches) -> str:
    """Say what is different, for the audit log."""
    old = asdict(before)
    return ", ".join(
        f"{name}: {_word(old[name])} to {_word(value)}"
        for name, value in asdict(after).items()
        if value != old[name]
    )


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
