"""Page a person as a test, through all that a page goes through."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tocsin.core.incident import Refused
from tocsin.core.model import (
    MessageType,
)
from tocsin.core.plans import ContactMethod
from tocsin.store import notifications
from tocsin.store.db import Database
from tocsin.store.notifications import Progress
from tocsin.store.plans import PlansCache
from tocsin.work.respond import NotFound


@dataclass(frozen=True, slots=True)
class Pager:
    """Where tests begin and are looked after."""

    database: Database
    plans: PlansCache

    def page(self, email: str, by: str, now: datetime) -> dict[str, ContactMethod]:
        """Let a test go to every contact method a person can be reached by, by notification.

        Raises NotFound, and Refused where there is none.
        """

        def work(connection: Connection) -> dict[str, ContactMethod]:
            users = self.plans.current(connection).users.values()
            user = next((one for one in users if one.email == email), None)
            if user is None:
                raise NotFound(f"there is no user {email}")
            usable = [method for method in user.contact_methods if method.is_usable]
            if not usable:
                raise Refused(
                    f"{email} cannot be reached: there is no contact method that is verified and"
                    " working; add one under `contact_methods` in the configuration, or verify one"
                )
            told = [(one, MessageType.TEST, f"a test by {by}", "test") for one in usable]
            ids = notifications.announce(connection, told, now)
            return dict(zip(ids, usable, strict=True))

        return self.database.run(work)

    def progress(self, ids: Collection[str]) -> list[Progress]:
        """Return how far the tests have come."""
        with self.database.read() as connection:
            return notifications.progress(connection, ids)

    def end(self, ids: Collection[str]) -> None:
        """Let those that did not go out go nowhere later."""
        self.database.run(lambda connection: notifications.cancel(connection, sorted(ids)))
