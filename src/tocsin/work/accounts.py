"""Who is let in: passwords, sessions, one-time links. Each of these is one transaction.

Passwords are hashed outside of it, for that takes long.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from tocsin.core import password as rules
from tocsin.core.access import EVERYTHING, Action, Caller
from tocsin.core.model import Actor, Role
from tocsin.core.password import Bucket
from tocsin.core.plans import Plans, User
from tocsin.core.session import LinkKind
from tocsin.store import accounts, audit, jobs, sessions, setup
from tocsin.store.accounts import Link
from tocsin.store.db import Database
from tocsin.store.jobs import Kind
from tocsin.store.plans import PlansCache
from tocsin.store.vault import Vault
from tocsin.work.configfile import BadFile, UserTable, explained
from tocsin.work.contacts import Mistaken
from tocsin.work.hashing import HASHING, Hashing, Throttled
from tocsin.work.refusals import Forbidden
from tocsin.work.respond import NotFound
from tocsin.work.things import within

#: Whoever is not signed in.
_SOMEBODY = Actor(name="somebody")

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

_WRONG = "this e-mail address and this password do not belong together"


class WrongPassword(Exception):
    """Nobody is let in by this; it says not which half is wrong."""

    def __init__(self, said: str = _WRONG) -> None:
        """Say so."""
        super().__init__(said)


class LinkGone(NotFound):
    """A link that is used, over, or never was."""

    def __init__(self) -> None:
        """Say so, with the remedy."""
        super().__init__("this link was used already, or is over: ask for a new one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A browser that asks to be let in."""

    address: str
    browser: str
    #: What ``Entry.device`` gave it when it was let in before.
    device: str = ""
    #: The session it has, which ends when it begins another.
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A browser that was let in: what goes into its cookies."""

    user_id: str
    key: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A link for somebody, told here and never again."""

    user_id: str
    kind: LinkKind
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """What the first owner types."""

    name: str
    email: str
    password: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """Where people are let in and out."""

    database: Database
    plans: PlansCache
    vault: Vault
    #: Whether links can be mailed.
    has_mail: bool = False
    hashing: Hashing = field(default=HASHING)

    # -- in and out

    def sign_in(self, email: str, password: str, guest: Guest, now: datetime) -> Entry:
        """Let somebody in by their password. Raises Throttled, WrongPassword.

        1. Take a token out of each bucket that the try counts against.
        2. Compare, whether there is such a person or not.
        3. Let in: a new key, a browser that is known from now on, the tokens given back.
        """
        user = find_user(self.plans.refresh(), email)
        buckets = self._buckets(email, user, guest)
        wait = self.database.run(lambda connection: accounts.take(connection, buckets, now))
        if wait is not None:
            self._tell_of_failure(email, user, guest, "too many tries", now)
            raise Throttled(wait)
        with self.database.read() as connection:
            hashed = accounts.password_hash(connection, user.id) if user else None
        if user is None or hashed is None or not self.hashing.is_right(hashed, password):
            if user is None or hashed is None:
                self.hashing.is_right(None, password)
            self._tell_of_failure(email, user, guest, "wrong password", now)
            raise WrongPassword
        newer = self.hashing.make(password) if self.hashing.is_outdated(hashed) else None

        def work(connection: Connection) -> Entry:
            self._must_still_be(connection, user, hashed)
            accounts.give_back(connection, buckets, now)
            if newer is not None:
                accounts.rehash(connection, user.id, hashed, newer)
            return self._enter(connection, user, guest, now)

        return self.database.run(work)

    def sign_out(self, user: User, session_id: str, address: str, now: datetime) -> None:
        """Let a browser out."""

        def work(connection: Connection) -> None:
            sessions.end(connection, session_id)
            audit.add(connection, now, _actor(user), "session.ended", user.email, "", address)

        self.database.run(work)

    def change_password(self, user: User, old: str, new: str, guest: Guest, now: datetime) -> Entry:
        """Let somebody have another password; every other browser of theirs is let out.

        Raises Throttled, WrongPassword, Mistaken.
        """
        _must_be_fit(new, user.email)
        bucket = {_key("change", user.id): rules.DEVICE}
        wait = self.database.run(lambda connection: accounts.take(connection, bucket, now))
        if wait is not None:
            raise Throttled(wait)
        with self.database.read() as connection:
            hashed = accounts.password_hash(connection, user.id)
        if not self.hashing.is_right(hashed, old):
            raise WrongPassword("the password you have now is another one: type it again")
        made = self.hashing.make(new)

        def work(connection: Connection) -> Entry:
            self._must_still_be(connection, user, hashed)
            accounts.give_back(connection, bucket, now)
            self._set_password(connection, user, made, "changed", guest.address, now)
            return self._enter(connection, user, guest, now)

        return self.database.run(work)

    def end_sessions(self, caller: Caller, user_id: str, now: datetime) -> int:
        """Let every browser of a person out; return how many. Raises NotFound, Forbidden."""

        def work(connection: Connection) -> int:
            user = self._whom(connection, caller, user_id)
            count = sessions.end_all(connection, user.id)
            audit.add(connection, now, caller.by, "session.ended", user.email, "all of them")
            return count

        return self.database.run(work)

    # -- people

    def invite(
        self, caller: Caller, email: str, name: str, role: str, now: datetime, zone: str = "UTC"
    ) -> Made:
        """Add a person, with a link by which they choose a password. Raises what a change does."""
        row = _row(email=email, name=name, role=role, time_zone=zone)

        def work(connection: Connection) -> Made:
            shown = within(connection, self.vault)["users"].create(row, caller, now)
            audit.add(connection, now, caller.by, "user.invited", row.email, f"as {row.role}")
            return self._link(connection, LinkKind.INVITATION, shown["id"], now, is_mailed=True)

        return self.database.run(work)

    def link(self, caller: Caller, user_id: str, now: datetime, *, is_mailed: bool = False) -> Made:
        """Make a link by which a person chooses a password; earlier ones are no longer good.

        It is an invitation for whoever has none yet. Raises NotFound, Forbidden.
        """

        def work(connection: Connection) -> Made:
            user = self._whom(connection, caller, user_id)
            has_one = accounts.password_hash(connection, user.id) is not None
            kind = LinkKind.RESET if has_one else LinkKind.INVITATION
            accounts.end_links(connection, user.id, now)
            audit.add(connection, now, caller.by, "password.link_made", user.email, kind.value)
            return self._link(connection, kind, user.id, now, is_mailed=is_mailed)

        return self.database.run(work)

    def remove(self, caller: Caller, user_id: str, now: datetime) -> None:
        """Take a person out, and out of every browser. Raises what a change does."""

        def work(connection: Connection) -> None:
            user = self._whom(connection, caller, user_id)
            within(connection, self.vault)["users"].remove(user.id, caller, now)
            sessions.end_all(connection, user.id)
            accounts.end_links(connection, user.id, now)

        self.database.run(work)

    def forgot(self, email: str, address: str, now: datetime) -> None:
        """Mail a link to whoever has this address; nothing tells whether somebody has.

        Raises Throttled where one machine asks too often.
        """
        source = {_key("forgot-source", _source(address)): rules.FORGOT_SOURCE}
        account = {_key("forgot", email.casefold()): rules.FORGOT_ACCOUNT}
        user = find_user(self.plans.refresh(), email)

        def work(connection: Connection) -> None:
            wait = accounts.take(connection, source, now)
            if wait is not None:
                raise Throttled(wait)
            is_enough = accounts.take(connection, account, now) is not None
            if user is None or is_enough or not self.has_mail:
                return
            audit.add(connection, now, _SOMEBODY, "password.link_made", user.email, "forgot it",
                      address)  # fmt: skip
            self._link(connection, LinkKind.RESET, user.id, now, is_mailed=True)

        self.database.run(work)

    # -- links

    def find_link(self, kind: LinkKind, key: str, now: datetime) -> tuple[Link, User | None]:
        """Return a good link, and whose it is. Raises LinkGone."""
        with self.database.read() as connection:
            link = accounts.find_link(connection, key)
            plans = self.plans.current(connection)
            if link is None or link.kind is not kind or not link.is_good(now):
                raise LinkGone
            user = plans.users.get(link.user_id or "")
            is_open = accounts.needs_owner(connection) if kind is LinkKind.SETUP else user
            if not is_open:
                raise LinkGone
        return link, user

    def use_link(
        self, kind: LinkKind, key: str, password: str, guest: Guest, now: datetime
    ) -> Entry:
        """Choose a password by a link, and be let in. Raises LinkGone, Mistaken, Throttled."""
        link, user = self.find_link(kind, key, now)
        assert user is not None
        _must_be_fit(password, user.email)
        hashed = self.hashing.make(password)

        def work(connection: Connection) -> Entry:
            if not accounts.use_link(connection, link.id, now):
                raise LinkGone
            self._set_password(connection, user, hashed, f"by {kind}", guest.address, now)
            return self._enter(connection, user, guest, now)

        return self.database.run(work)

    def setup_link(self, now: datetime) -> str | None:
        """Return the key of a new link to set up; None where an owner can sign in."""

        def work(connection: Connection) -> str | None:
            if not accounts.needs_owner(connection):
                return None
            return accounts.add_link(connection, LinkKind.SETUP, None, now)[1]

        return self.database.run(work)

    def set_up(self, key: str, new: Newcomer, guest: Guest, now: datetime) -> Entry:
        """Make the first owner, and let them in. Of several at once exactly one is made.

        Somebody of this address from a configuration file becomes the owner, or is it already.
        Raises LinkGone, Mistaken, BadFile, Throttled.
        """
        link, _ = self.find_link(LinkKind.SETUP, key, now)
        row = _row(email=new.email, name=new.name, role=Role.OWNER, time_zone=new.time_zone)
        _must_be_fit(new.password, row.email)
        hashed = self.hashing.make(new.password)
        caller = _as_owner(new.email, guest.address)

        def work(connection: Connection) -> Entry:
            setup.lock(connection)
            if not accounts.needs_owner(connection) or not accounts.use_link(
                connection, link.id, now
            ):
                raise LinkGone
            users = within(connection, self.vault)["users"]
            known = find_user(self.plans.current(connection), row.email)
            if known is None:
                id_ = users.create(row, caller, now)["id"]
            else:
                id_ = users.merge(known.id, {"role": Role.OWNER}, caller, now)["id"]
            user = User(id=id_, email=row.email, name=row.name, role=row.role, time_zone="UTC")
            audit.add(connection, now, _actor(user), "installation.set_up", row.email, "",
                      guest.address)  # fmt: skip
            self._set_password(connection, user, hashed, "first", guest.address, now)
            return self._enter(connection, user, guest, now)

        return self.database.run(work)

    def give_password(self, user_id: str, password: str, now: datetime) -> None:
        """Let a person have a password that was chosen for them."""
        hashed = self.hashing.make(password)
        self.database.run(
            lambda connection: accounts.set_password(connection, user_id, hashed, now)
        )

    # -- parts of these

    @staticmethod
    def _must_still_be(connection: Connection, user: User, hashed: str | None) -> None:
        """Raise WrongPassword where the password was changed while it was compared."""
        if accounts.password_hash(connection, user.id, is_held=True) != hashed:
            raise WrongPassword

    def _enter(self, connection: Connection, user: User, guest: Guest, now: datetime) -> Entry:
        if guest.session_id is not None:
            sessions.end(connection, guest.session_id)
        key = sessions.begin(connection, user.id, guest.browser, guest.address, now)
        audit.add(connection, now, _actor(user), "session.began", user.email, guest.browser[:200],
                  guest.address)  # fmt: skip
        return Entry(user_id=user.id, key=key, device=self._device(user.id, guest))

    def _set_password(
        self,
        connection: Connection,
        user: User,
        hashed: str,
        how: str,
        address: str,
        now: datetime,
    ) -> None:
        accounts.set_password(connection, user.id, hashed, now)
        accounts.end_links(connection, user.id, now)
        sessions.end_all(connection, user.id)
        audit.add(connection, now, _actor(user), "password.changed", user.email, how, address)

    def _link(
        self, connection: Connection, kind: LinkKind, user_id: str, now: datetime, *,
        is_mailed: bool,
    ) -> Made:  # fmt: skip
        goes_out = is_mailed and self.has_mail
        id_, key = accounts.add_link(
            connection, kind, user_id, now, self.vault if goes_out else None
        )
        if goes_out:
            jobs.put(connection, [(Kind.MAIL, id_, now)])
        return Made(user_id=user_id, kind=kind, key=key)

    def _whom(self, connection: Connection, caller: Caller, reference: str) -> User:
        """Return a person whom the caller may let in and out. Raises NotFound, Forbidden."""
        users = self.plans.current(connection).users
        user = users.get(reference)
        if user is None:
            raise NotFound("there is no such person any more")
        if user.role is Role.OWNER and not caller.may(Action.OWN):
            raise Forbidden(f"the role {caller.role} may not change an owner: ask an owner")
        return user

    # -- how often

    def _buckets(self, email: str, user: User | None, guest: Guest) -> Mapping[str, Bucket]:
        """Return what a try counts against: a browser known to the account has its own bucket."""
        device = user and self._known_device(user.id, guest.device)
        if device:
            return {_key("device", device): rules.DEVICE}
        account, source = (user.id if user else email.casefold()), _source(guest.address)
        return {
            _key("account", account): rules.ACCOUNT,
            _key("account-source", account, source): rules.ACCOUNT_FROM_SOURCE,
            _key("source", source): rules.SOURCE,
        }

    def _device(self, user_id: str, guest: Guest) -> str:
        known = self._known_device(user_id, guest.device)
        if known:
            return guest.device
        text = f"{user_id}.{secrets.token_urlsafe(16)}"
        return f"{text}.{self.vault.sign('device', text)}"

    def _known_device(self, user_id: str, device: str) -> str | None:
        """Return what is signed of a device cookie, if it was given for this person."""
        text, _, signature = device.rpartition(".")
        is_theirs = text.startswith(f"{user_id}.") and self.vault.has_signed(
            "device", text, signature
        )
        return text if is_theirs else None

    def _tell_of_failure(
        self, email: str, user: User | None, guest: Guest, why: str, now: datetime
    ) -> None:
        """Write a failed try into the audit log, unless that has enough of them for now."""
        bucket = {_key("told", user.id): rules.TOLD} if user else {"told": rules.TOLD_OF_NOBODY}

        def work(connection: Connection) -> None:
            if accounts.take(connection, bucket, now) is None:
                audit.add(connection, now, _SOMEBODY, "session.refused",
                          user.email if user else _typed(email), why, guest.address)  # fmt: skip

        self.database.run(work)


def _typed(email: str) -> str:
    """Return what was typed for an address, if it is one: people type passwords there, too."""
    return email if _ADDRESS.fullmatch(email) else "no address"


def _as_owner(name: str, address: str = "") -> Caller:
    """Return whoever is at the machine itself, or was given its setup link."""
    by = Actor(name=name, address=address)
    return Caller(by=by, role=Role.OWNER, scope=EVERYTHING)


#: Whoever can open the database may do everything.
COMMAND_LINE = _as_owner("command line")


def _actor(user: User) -> Actor:
    return Actor(name=user.email, user_id=user.id)


def find_user(plans: Plans, email: str) -> User | None:
    """Return the person of an address; the case of its letters counts only between two of them."""
    folded = email.casefold()
    found = [user for user in plans.users.values() if user.email.casefold() == folded]
    return min(found, key=lambda user: user.email != email, default=None)


def _row(**fields: Any) -> UserTable:
    """Return a person as the collection takes them. Raises BadFile."""
    if not fields["name"].strip():
        raise BadFile(["a name is missing: type it in"])
    try:
        return msgspec.convert(fields, UserTable)
    except msgspec.ValidationError as error:
        raise BadFile([explained(str(error))[1]]) from None


def _must_be_fit(password: str, email: str) -> None:
    wrong = rules.fault(password, email)
    if wrong:
        raise Mistaken(wrong)


def _key(what: str, *parts: str) -> str:
    """Return the key of a bucket: what people type may be long, and is nobody's business."""
    whole = "\0".join(parts).encode("utf-8", "surrogatepass")
    return f"{what}:{hashlib.sha256(whole).hexdigest()[:40]}"


def _source(address: str) -> str:
    """Return the machine, or its network: of IPv6 everybody has a /64 of addresses."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        if mapped is None:
            return str(ipaddress.ip_network((found, 64), strict=False))
        found = mapped
    return str(found)
