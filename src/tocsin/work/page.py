"""Page a person as a test, through all that a page goes through."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from tocsin.core.incident import Refused
from tocsin.core.model import (
    MessageType,
)
from tocsin.core.plans import ContactMethod
from tocsin.store import contacts, notifications
from tocsin.store.db import Database
from tocsin.store.notifications import Progress
from tocsin.store.plans import PlansCache
from tocsin.work.respond import NotFound

#: How many tests go to one contact method: enough to set it up, too few to annoy anybody with.
PER_METHOD = (5, timedelta(hours=1))


class TooManyTests(Refused):
    """Too often; the message says when it may be tried again."""

    def __init__(self, wait: timedelta) -> None:
        """Say how long to wait."""
        self.seconds = max(1, round(wait.total_seconds()))
        most = PER_METHOD[0]
        super().__init__(
            f"at most {most} tests an hour go to one contact method: try again in {self.seconds} s"
        )


def check_tests(connection: Connection, user_id: str, ids: Collection[str], now: datetime) -> None:
    """Hold these contact methods of a person; raise TooManyTests if one had enough of them."""
    contacts.lock(connection, ids)
    most, window = PER_METHOD
    tests = notifications.tests_since(connection, user_id, now - window)
    waits = [sent[-most] + window - now for id_ in ids if len(sent := tests.get(id_, [])) >= most]
    if waits:
        raise TooManyTests(max(waits))


@dataclass(frozen=True, slots=True)
class Pager:
    """Where tests begin and are looked after."""

    database: Database
    plans: PlansCache

    def page(self, email: str, by: str, now: datetime) -> dict[str, ContactMethod]:
        """Let a test go to every contact method a person can be reached by, by notification.

        Raises NotFound, Refused where there is none, and TooManyTests.
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
            check_tests(connection, user.id, [one.id for one in usable], now)
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
