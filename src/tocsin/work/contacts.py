"""What people set up for themselves: contact methods, rules, notices.

A contact method that somebody adds here gets its code and nothing else until the code was typed.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from tocsin.channels.base import REGISTRY, ChannelKind
from tocsin.core import verification as limits
from tocsin.core.incident import Refused
from tocsin.core.model import (
    Actor,
    MessageType,
    Urgency,
)
from tocsin.core.plans import ContactMethod, User
from tocsin.core.text import clean
from tocsin.core.times import format_span
from tocsin.store import contacts, notifications, setup
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache, changed
from tocsin.store.vault import Vault
from tocsin.store.views import NotificationView
from tocsin.work.configure import details
from tocsin.work.page import check_tests
from tocsin.work.respond import NotFound
from tocsin.work.schedulefile import HoursTable, hours_document, known_zone

T = TypeVar("T")

#: Of one person.
_MOST_METHODS = 20
_MOST_RULES = 50
_NAME_LENGTH = 200
_ADDRESS_LENGTH = 2000

#: Messages of one contact method that are shown.
_LATEST = 5


class Mistaken(ValueError):
    """What a person asks for cannot be; the message says how to make it right."""


class Limited(Exception):
    """Too often; the message says when it may be tried again."""

    def __init__(self, wait: timedelta) -> None:
        """Say how long to wait."""
        self.seconds = max(1, round(wait.total_seconds()))
        super().__init__(f"enough codes were sent for now: ask again in {self.seconds} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMethod:
    """A contact method to add."""

    name: str
    channel: str
    address: str
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRule:
    """A notification rule to have, its contact method by name."""

    urgency: Urgency
    after: timedelta
    contact_method: str


class Profile(msgspec.Struct, kw_only=True):
    """What a person says of themselves; quiet hours as times of day, both or neither."""

    name: str
    time_zone: str
    quiet_from: str = ""
    quiet_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCode:
    """A code that waits to be typed."""

    expires_at: datetime
    tries_left: int


@dataclass(frozen=True, slots=True)
class Contacts:
    """Where people set up how they are reached. Each of these is one transaction."""

    database: Database
    plans: PlansCache
    vault: Vault
    #: Where the person asks from, for the audit log.
    address: str = ""

    def add(self, user_id: str, new: NewMethod, now: datetime) -> tuple[ContactMethod, str | None]:
        """Add a contact method; return it, and the secret where one was made."""
        kind = _checked(new)
        secret = new.secret or kind.make_secret()

        def work(connection: Connection, user: User) -> tuple[str, Change]:
            if any(method.name == new.name for method in user.contact_methods):
                raise Refused(f"there is a contact method {new.name!r} already")
            if len(user.contact_methods) >= _MOST_METHODS:
                raise Refused(f"a person has at most {_MOST_METHODS} contact methods")
            values = {
                "name": new.name,
                "channel": new.channel,
                "address": new.address,
                "secret_encrypted": self.vault.seal(secret) if secret else None,
            }
            id_ = contacts.add(connection, user.id, values, now)
            return id_, _told("added", new.name, user, f"by {new.channel}")

        id_ = self._change(user_id, work, now)
        return self.method(user_id, id_), secret

    def remove(self, user_id: str, id_: str, now: datetime) -> None:
        """Take one out of use, with its rules and what still waits to go there."""

        def work(connection: Connection, user: User) -> tuple[None, Change]:
            method = _own(user, id_)
            contacts.remove(connection, id_, now)
            notifications.cancel_messages(connection, id_)
            return None, _told("removed", method.name, user)

        self._change(user_id, work, now)

    def send_code(self, user_id: str, id_: str, now: datetime) -> datetime:
        """Let a new code go there; return until when it is good. Raises Limited.

        1. Nobody else decides about this contact method meanwhile.
        2. The limits, per contact method and per person.
        3. One code at a time: an older one is no longer good, nor sent.
        """

        def work(connection: Connection) -> datetime:
            method = _own(self._user(connection, user_id), id_)
            if method.is_verified:
                raise Refused(f"{method.name} is verified already")
            contacts.lock(connection, [id_])
            known = contacts.codes(connection, self.vault, [id_]).get(id_)
            sent_at = [at for at in known.sent_at if at > now - _HOUR] if known else []
            most, window = limits.PER_PERSON
            if wait := limits.wait_for_code(sent_at, now):
                raise Limited(wait)
            if contacts.codes_sent_since(connection, user_id, now - window) >= most:
                raise Limited(window)
            code = f"{secrets.randbelow(10**limits.DIGITS):0{limits.DIGITS}d}"
            expires_at = now + limits.GOOD_FOR
            notifications.cancel_messages(connection, id_, MessageType.VERIFICATION)
            contacts.put_code(connection, self.vault, id_, code, expires_at, [*sent_at, now])
            told = (method, MessageType.VERIFICATION, "to verify this contact method", "code")
            notifications.announce(connection, [told], now)
            return expires_at

        return self.database.run(work)

    def verify(self, user_id: str, id_: str, code: str, now: datetime) -> ContactMethod:
        """Compare a code, and verify. Raises Mistaken, and Refused where none is good any more."""

        def work(connection: Connection) -> int | None:
            """Return how many tries are left, None if it was right: a wrong one stays counted."""
            user = self._user(connection, user_id)
            method = _own(user, id_)
            if method.is_verified:
                return None
            if not contacts.count_try(connection, id_, limits.TRIES, now):
                raise Refused("no code is good any more: have a new one sent")
            known = contacts.codes(connection, self.vault, [id_])[id_]
            if not hmac.compare_digest(known.code.encode(), code.strip().encode()[:100]):
                return limits.TRIES - known.wrong_count
            contacts.mark_verified(connection, id_, now)
            told = _told("changed", method.name, user, "verified")
            changed(connection, now, self._by(user), told)
            return None

        left = self.database.run(work)
        if left is not None:
            then = f"{left} tries are left" if left else "have a new one sent"
            raise Mistaken(f"that is not the code; {then}")
        return self.method(user_id, id_)

    def test(self, user_id: str, id_: str, now: datetime) -> str:
        """Let a test go there; return the notification's id. Raises TooManyTests."""

        def work(connection: Connection) -> str:
            method = _own(self._user(connection, user_id), id_)
            if not method.is_usable:
                raise Refused(f"nothing is sent to {method.name}: {_why_not(method)}")
            check_tests(connection, user_id, [id_], now)
            told = (method, MessageType.TEST, "a test you asked for", "test")
            return notifications.announce(connection, [told], now)[0]

        return self.database.run(work)

    def set_rules(self, user_id: str, rules: Sequence[NewRule], now: datetime) -> None:
        """Let a person have these notification rules, in this order."""

        def work(connection: Connection, user: User) -> tuple[None, Change]:
            ids = {method.name: method.id for method in user.contact_methods}
            unknown = [rule.contact_method for rule in rules if rule.contact_method not in ids]
            if unknown:
                raise Mistaken(f"there is no contact method {unknown[0]!r}")
            if len(rules) > _MOST_RULES:
                raise Mistaken(f"a person has at most {_MOST_RULES} notification rules")
            rows = [
                {
                    "urgency": rule.urgency.value,
                    "after_seconds": int(rule.after.total_seconds()),
                    "contact_method_id": ids[rule.contact_method],
                }
                for rule in rules
            ]
            setup.set_rules(connection, user.id, rows, now)
            said = (f"{r.urgency}: {r.contact_method} after {format_span(r.after)}" for r in rules)
            detail = f"notification rules: {', '.join(said) or 'none'}"
            return None, Change(kind="user.changed", subject=user.email, detail=detail)

        self._change(user_id, work, now)

    def set_handoff_notices(self, user_id: str, now: datetime, *, wanted: bool) -> None:
        """Let a person be told, or not, when their time on call begins and ends."""

        def work(connection: Connection, user: User) -> tuple[None, Change]:
            contacts.set_handoff_notices(connection, user.id, wanted=wanted)
            detail = f"handoff notices: {'on' if wanted else 'off'}"
            return None, Change(kind="user.changed", subject=user.email, detail=detail)

        self._change(user_id, work, now)

    def prefer(self, user_id: str, id_: str, now: datetime) -> None:
        """Let one contact method come before the one it came after."""

        def work(connection: Connection, user: User) -> tuple[None, Change]:
            method = _own(user, id_)
            ids = [one.id for one in user.contact_methods]
            at = ids.index(id_)
            ids.insert(max(at - 1, 0), ids.pop(at))
            contacts.set_order(connection, ids)
            return None, _told("changed", method.name, user, "moved up")

        self._change(user_id, work, now)

    def set_profile(self, user_id: str, new: Profile, now: datetime) -> None:
        """Let a person be called so, and live on such a clock. Raises Mistaken."""
        hours = _checked_profile(new)

        def work(connection: Connection, user: User) -> tuple[None, Change]:
            old = profile_of(user)
            values = {
                "name": new.name,
                "time_zone": new.time_zone,
                "quiet_hours": hours_document(hours) if hours else None,
            }
            contacts.set_profile(connection, user.id, values)
            told = "; ".join(details(old, new))
            return None, Change(kind="user.changed", subject=user.email, detail=told)

        self._change(user_id, work, now)

    def waiting_code(self, user_id: str, id_: str, now: datetime) -> WaitingCode | None:
        """Return what is known of the code that waits to be typed; None if none is good."""
        with self.database.read() as connection:
            _own(self._user(connection, user_id), id_)
            found = contacts.codes(connection, self.vault, [id_]).get(id_)
        if found is None or found.expires_at <= now or found.wrong_count >= limits.TRIES:
            return None
        return WaitingCode(expires_at=found.expires_at, tries_left=limits.TRIES - found.wrong_count)

    def messages(self, user_id: str, id_: str) -> list[NotificationView]:
        """Return what was last sent to a contact method."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            _own(self._user(connection, user_id), id_)
            return contacts.messages_to(connection, plans, id_, _LATEST)

    def user(self, user_id: str) -> User:
        """Return a person as they are set up now. Raises NotFound."""
        with self.database.read() as connection:
            return self._user(connection, user_id)

    def method(self, user_id: str, id_: str) -> ContactMethod:
        """Return one of a person's contact methods. Raises NotFound."""
        return _own(self.user(user_id), id_)

    def _user(self, connection: Connection, user_id: str) -> User:
        user = self.plans.current(connection).users.get(user_id)
        if user is None:
            raise NotFound("there is no such person any more")
        return user

    def _by(self, user: User) -> Actor:
        return Actor(name=user.email, user_id=user.id, address=self.address)

    def _change(
        self, user_id: str, work: Callable[[Connection, User], tuple[T, Change]], now: datetime
    ) -> T:
        """Change the configuration, one at a time; every cache will see it."""

        def locked(connection: Connection) -> T:
            setup.lock(connection)
            user = self._user(connection, user_id)
            done, told = work(connection, user)
            changed(connection, now, self._by(user), told)
            return done

        return self.database.run(locked)


def _told(verb: str, name: str, user: User, detail: str = "") -> Change:
    """Write a change of a contact method for the audit log; its address may be a secret."""
    return Change(kind=f"contact_method.{verb}", subject=f"{name} of {user.email}", detail=detail)


_HOUR = timedelta(hours=1)


def _checked(new: NewMethod) -> ChannelKind:
    """Return the channel of a contact method that can be. Raises Mistaken."""
    kind = REGISTRY.get(new.channel)
    if kind is None:
        known = ", ".join(REGISTRY)
        raise Mistaken(f"channel: {new.channel!r} is not one of {known}")
    if not new.name.strip() or clean(new.name, _NAME_LENGTH) != new.name:
        raise Mistaken(f"a name has 1 to {_NAME_LENGTH} characters")
    if len(new.address) > _ADDRESS_LENGTH:
        raise Mistaken(f"an address has at most {_ADDRESS_LENGTH} characters")
    wrong = kind.check(new.address) or (kind.check_secret(new.secret) if new.secret else None)
    if wrong:
        raise Mistaken(wrong)
    return kind


def profile_of(user: User) -> Profile:
    """Return what a person says of themselves."""
    hours = user.quiet_hours
    return Profile(
        name=user.name,
        time_zone=user.time_zone,
        quiet_from=f"{hours.begins:%H:%M}" if hours else "",
        quiet_to=f"{hours.ends:%H:%M}" if hours else "",
    )


def _checked_profile(new: Profile) -> HoursTable | None:
    """Return the quiet hours of a profile that can be. Raises Mistaken."""
    if not new.name.strip() or clean(new.name, _NAME_LENGTH) != new.name:
        raise Mistaken(f"a name has 1 to {_NAME_LENGTH} characters")
    try:
        known_zone(new.time_zone)
        if not new.quiet_from and not new.quiet_to:
            return None
        return HoursTable(from_=new.quiet_from, to=new.quiet_to)
    except ValueError as error:
        raise Mistaken(str(error)) from None


def _own(user: User, id_: str) -> ContactMethod:
    """Return a person's contact method; of others' there is none. Raises NotFound."""
    found = next((method for method in user.contact_methods if method.id == id_), None)
    if found is None:
        raise NotFound("there is no such contact method of yours")
    return found


def _why_not(method: ContactMethod) -> str:
    if not method.is_verified:
        return "it is not verified, have a code sent and type it in"
    return "its address is gone, add a new one"
