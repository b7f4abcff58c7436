"""What a change may name and where it may put things, for somebody who does not see everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tocsin.core.access import Caller
from tocsin.core.plans import Plans
from tocsin.work.configfile import BadFile, File, IntegrationTable, references, unknown
from tocsin.work.configure import reference
from tocsin.work.currentfile import living
from tocsin.work.refusals import Forbidden


class Bounds:
    """The bounds of one caller."""

    def __init__(self, caller: Caller, plans: Plans) -> None:
        """Take who asks, and the plans as they are."""
        self._scope = caller.scope
        self._teams = {team.name: team.id for team in plans.teams.values()}
        seen = caller.scope.seen(plans)
        #: By what one is called: the names that are seen of it. Other kinds are everybody's.
        self._seen: Mapping[str, frozenset[str]] = {
            "service": _names(living(seen.services)),
            "schedule": _names(seen.schedules.values()),
            "integration": _names(living(seen.integrations)),
        }

    def hides(self, noun: str, name: str) -> bool:
        """Whether the thing of this name is not seen."""
        return noun in self._seen and name not in self._seen[noun]

    def check(self, section: str, old: Any, new: Any, base: File) -> None:
        """Raise BadFile for what is not seen, and Forbidden for what would not be seen any more.

        What a row names already it may go on naming, whoever changes the rest of it.
        """
        if self._scope.is_everything or new is None:
            return
        before = set(_named(section, old))
        findings = [
            unknown(noun, name, self._seen[noun])
            for noun, name in _named(section, new)
            if self.hides(noun, name) and (noun, name) not in before
        ]
        if isinstance(new, IntegrationTable) and new.routing_key in set(self._hidden_keys(base)):
            findings.append(
                "another integration has this key already: leave it out to have one made"
            )
        if findings:
            raise BadFile(findings)
        self._must_stay_in_sight(getattr(old, "team", None), getattr(new, "team", None))

    def _must_stay_in_sight(self, old: str | None, new: str | None) -> None:
        if new != old and new in self._teams and not self._scope.has_team(self._teams[new]):
            raise Forbidden(
                f"nobody gives things to a team they are no member of: become a member of {new!r}"
                " first, or ask an admin"
            )

    def _hidden_keys(self, base: File) -> Iterator[str]:
        for row in base.integrations:
            if row.routing_key and self.hides("integration", row.name):
                yield from (row.routing_key, reference(row.routing_key))


def _names(things: Iterable[Any]) -> frozenset[str]:
    return frozenset(thing.name for thing in things)


def _named(section: str, row: Any) -> list[tuple[str, str]]:
    """Return what a row names: what each is called, and its name."""
    if row is None:
        return []
    alone = File()
    setattr(alone, section, [row])
    return [(noun, name) for _, noun, name in references(alone)]
