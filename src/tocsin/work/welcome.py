"""The first steps of an installation: each is done once what it makes is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection

from tocsin.core.access import Caller
from tocsin.core.plans import Integration, Plans, Policy, Service, User
from tocsin.store import accounts, setup
from tocsin.store.audit import Change
from tocsin.store.db import Database
from tocsin.store.plans import PlansCache, changed
from tocsin.store.vault import Vault
from tocsin.work.configfile import (
    BadFile,
    IntegrationTable,
    PolicyTable,
    ServiceTable,
    explained,
)
from tocsin.work.currentfile import living
from tocsin.work.schedulefile import Table
from tocsin.work.things import within

POLICY = "default"


class Step(StrEnum):
    """The steps, in order."""

    YOU = "you"
    WHO = "who"
    HOW = "how"
    CONNECT = "connect"
    ARRIVE = "arrive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far somebody has come."""

    done: frozenset[Step]
    skipped: frozenset[Step]

    @property
    def left(self) -> tuple[Step, ...]:
        """What is neither done nor put off."""
        return tuple(step for step in Step if step not in self.done | self.skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who gets paged, for what."""

    service: str
    #: Ids.
    people: Sequence[str]
    #: An id; paged when nobody else can be.
    fallback: str


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """Where the first things are made, by the use cases that make all others."""

    database: Database
    plans: PlansCache
    vault: Vault

    def progress(self, user: User) -> Progress:
        """Return how far a person and their installation have come."""
        with self.database.read() as connection:
            plans = self.plans.current(connection)
            skipped = accounts.skipped_steps(connection)
            has_arrived = accounts.has_processed_delivery(connection)
        here = plans.users.get(user.id, user)
        facts = {
            Step.YOU: True,
            Step.WHO: _service(plans) is not None,
            Step.HOW: any(method.is_usable for method in here.contact_methods),
            Step.CONNECT: integration_of(plans) is not None,
            Step.ARRIVE: has_arrived,
        }
        return Progress(
            done=frozenset(step for step, is_done in facts.items() if is_done),
            skipped=frozenset(step for step in Step if step in skipped),
        )

    def skip(self, step: Step, *, is_wanted: bool = True) -> None:
        """Put a step off, or take it up again."""

        def work(connection: Connection) -> None:
            setup.lock(connection)
            skipped = {step.value for step in Step} & accounts.skipped_steps(connection)
            wanted = skipped | {step.value} if is_wanted else skipped - {step.value}
            accounts.skip_steps(connection, sorted(wanted))

        self.database.run(work)

    def make_who(self, who: Who, caller: Caller, now: datetime) -> None:
        """Make a service, the policy that pages these people for it, and the fallback.

        Raises BadFile, and what a change does.
        """
        service = _row(ServiceTable, name=who.service, escalation_policy=POLICY)
        if not who.people:
            raise BadFile(["nobody is chosen: tick at least one person"])

        def work(connection: Connection) -> None:
            setup.lock(connection)
            users = self.plans.current(connection).users
            emails = [users[id_].email for id_ in who.people if id_ in users]
            steps: list[dict[str, Any]] = [
                {"targets": [{"user": email} for email in emails], "wait": "5m"}
            ]
            here = within(connection, self.vault)
            known = _policy(self.plans.current(connection))
            if known is not None and known.steps:
                # It may page others for something else: it stays as it is.
                service.escalation_policy = f"{POLICY} for {service.name}"
            if known is not None and not known.steps:
                here["escalation-policies"].merge(POLICY, {"steps": steps}, caller, now)
            else:
                name = service.escalation_policy
                policy = _row(PolicyTable, name=name, repeat=2, steps=steps)
                here["escalation-policies"].create(policy, caller, now)
            here["services"].create(service, caller, now)
            if who.fallback in users:
                setup.set_fallback(connection, who.fallback)
                told = Change(kind="fallback.changed", subject=users[who.fallback].email)
                changed(connection, now, caller.by, told)

        self.database.run(work)

    def make_integration(self, name: str, caller: Caller, now: datetime) -> str:
        """Connect Sentry to the service there is; return the integration's id.

        Raises BadFile, and what a change does.
        """

        def work(connection: Connection) -> str:
            service = _service(self.plans.current(connection))
            if service is None:
                raise BadFile(["there is no service yet: first say who gets paged"])
            row = _row(IntegrationTable, name=name, service=service.name)
            made: str = within(connection, self.vault)["integrations"].create(row, caller, now)[
                "id"
            ]
            return made

        return self.database.run(work)


def integration_of(plans: Plans) -> Integration | None:
    """Return the first integration that takes what Sentry sends."""
    found = (one for one in living(plans.integrations) if one.source == "sentry")
    return min(found, key=lambda one: one.id, default=None)


def _service(plans: Plans) -> Service | None:
    """Return the first service that pages somebody."""
    found = (
        one
        for one in living(plans.services)
        if (policy := plans.policies.get(one.escalation_policy_id or "")) and policy.steps
    )
    return min(found, key=lambda one: one.id, default=None)


def _row(kind: type[Table], **fields: Any) -> Any:
    if not fields["name"].strip():
        raise BadFile(["a name is missing: type it in"])
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise BadFile([explained(str(error))[1]]) from None


def _policy(plans: Plans) -> Policy | None:
    return next((policy for policy in plans.policies.values() if policy.name == POLICY), None)
