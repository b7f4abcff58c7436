"""Noise rules as the configuration file writes them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tocsin.core.model import Priority
from tocsin.core.plans import Hold, Noise
from tocsin.core.times import format_span, parse_span
from tocsin.work.schedulefile import Table, span

#: What becomes of what is seen for the first time.
FirstSight: TypeAlias = Literal["page", "record"]

#: More than that is no threshold of anything.
MOST = 1_000_000


class HoldTable(Table, kw_only=True):
    """How long what is new and matters little waits before it pages."""

    for_: str = msgspec.field(name="for")
    priorities: list[Priority] = msgspec.field(default_factory=lambda: [Priority.LOW])
    events: int | None = None
    users: int | None = None

    def __post_init__(self) -> None:
        """Check the span and the thresholds; write both in one way."""
        self.for_ = span(self.for_)
        if not parse_span(self.for_):
            raise ValueError("a hold lasts longer than nothing: leave it out for none")
        if not self.priorities:
            raise ValueError("a hold needs a priority it is for: low, medium, high or critical")
        self.priorities = [one for one in Priority if one in self.priorities]
        for name in ("events", "users"):
            count = getattr(self, name)
            if count is not None and not 2 <= count <= MOST:
                raise ValueError(f"{name} {count} is not between 2 and {MOST:,}")


class NoiseTable(Table, kw_only=True):
    """How a service is spared what Sentry itself knows to be noise."""

    hold: HoldTable | None = None
    first_sight: FirstSight = "page"
    one_per_release: bool = False
    follow_archive: bool = False
    resolve_when_quiet_for: str | None = None
    join_metric_issues: bool = False

    def __post_init__(self) -> None:
        """Write the span in one way."""
        if self.resolve_when_quiet_for is not None:
            self.resolve_when_quiet_for = span(self.resolve_when_quiet_for)
            if not parse_span(self.resolve_when_quiet_for):
                raise ValueError("resolve_when_quiet_for is longer than nothing")


def noise_rules(table: NoiseTable | None) -> Noise:
    """Read noise rules."""
    if table is None:
        return Noise()
    held, quiet = table.hold, table.resolve_when_quiet_for
    return Noise(
        hold=_hold(held) if held else None,
        records_first_sight=table.first_sight == "record",
        one_per_release=table.one_per_release,
        follows_archive=table.follow_archive,
        quiet_after=parse_span(quiet) if quiet else None,
        joins_metric_issues=table.join_metric_issues,
    )


def _hold(table: HoldTable) -> Hold:
    return Hold(
        lasts=parse_span(table.for_),
        priorities=frozenset(table.priorities),
        events=table.events,
        users=table.users,
    )


def noise_table(noise: Noise) -> NoiseTable | None:
    """Write noise rules; None where there is none."""
    if noise == Noise():
        return None
    held, quiet = noise.hold, noise.quiet_after
    return NoiseTable(
        hold=_hold_table(held) if held else None,
        first_sight="record" if noise.records_first_sight else "page",
        one_per_release=noise.one_per_release,
        follow_archive=noise.follows_archive,
        resolve_when_quiet_for=format_span(quiet) if quiet else None,
        join_metric_issues=noise.joins_metric_issues,
    )


def _hold_table(hold: Hold) -> HoldTable:
    return HoldTable(
        for_=format_span(hold.lasts),
        priorities=list(hold.priorities),
        events=hold.events,
        users=hold.users,
    )
