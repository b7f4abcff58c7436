"""Times as a clock on some wall shows them: of a schedule's zone, or of whoever reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from tocsin.core.schedule import instant
from tocsin.web.pages.look import written
from tocsin.work.oncall import moment

#: Zones whose clock is set forward or back are looked at day by day, so far.
_A_YEAR = 366


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A day on which the clock is set forward or back, as its zone's calendar counts days."""

    at: datetime
    by: timedelta

    @property
    def text(self) -> str:
        """Say it shortly: ``+1 h``."""
        minutes = round(self.by.total_seconds() / 60)
        hours, rest = divmod(abs(minutes), 60)
        size = f"{hours} h" if not rest else f"{hours * 60 + rest} min"
        return f"{'+' if minutes > 0 else '−'}{size}"  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Wall:
    """A clock on a wall; ``visit`` is who reads it."""

    visit: Any
    zone: ZoneInfo

    @property
    def name(self) -> str:
        """Of which zone it is."""
        return self.zone.key

    def local(self, at: datetime) -> datetime:
        """Return an instant as this clock shows it."""
        return at.astimezone(self.zone)

    def time(self, at: datetime) -> str:
        """Write the time of the day: ``09:00``."""
        local = self.local(at)
        if self.visit.preferences.is_24h:
            return f"{local:%H:%M}"
        return f"{local:%I:%M %p}".lstrip("0")

    def date(self, at: datetime) -> str:
        """Write the day: ``Mon 5 Jan``; with the year where it is another one."""
        local = self.local(at)
        year = "" if local.year == self.local(self.visit.now).year else f" {local.year}"
        return f"{local:%a} {local.day} {local:%b}{year}"

    def text(self, at: datetime) -> str:
        """Write an instant: ``Mon 5 Jan 09:00``."""
        return f"{self.date(at)} {self.time(at)}"

    def when(self, at: datetime) -> Markup:
        """Write an instant as ``<time>``; its title is the whole of it, where the reader is."""
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", written(at, self.visit), self.text(at)
        )

    def typed(self, at: datetime) -> str:
        """Write an instant as ``<input type="datetime-local">`` has it."""
        return f"{self.local(at):%Y-%m-%dT%H:%M}"

    def read(self, typed: str) -> datetime:
        """Read what was typed on this clock. Raises Invalid."""
        return moment(typed, self.zone.key)

    def midnight(self, day: datetime) -> datetime:
        """Return when the day of an instant begins."""
        local = self.local(day).replace(tzinfo=None, fold=0)
        return instant(local.replace(hour=0, minute=0, second=0, microsecond=0), self.zone)

    def after(self, day: datetime, days: int) -> datetime:
        """Return the midnight so many days after that of an instant."""
        local = self.local(self.midnight(day) + timedelta(hours=2)).replace(tzinfo=None, fold=0)
        there = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)
        return instant(there, self.zone)

    def monday(self, day: datetime) -> datetime:
        """Return the midnight at which the week of an instant begins."""
        return self.after(day, -self.local(day).weekday())

    def changes(self, begins_at: datetime, ends_at: datetime) -> list[ClockChange]:
        """Return the days in a window on which the clock is set forward or back."""
        found = []
        day = self.midnight(begins_at)
        while day < ends_at:
            following = self.after(day, 1)
            before, after = (self.local(at).utcoffset() or timedelta() for at in (day, following))
            if before != after:
                found.append(ClockChange(day, after - before))
            day = following
        return found

    def next_change(self, at: datetime) -> ClockChange | None:
        """Return the next such day within a year; many zones have none."""
        return next(iter(self.changes(at, self.after(at, _A_YEAR))), None)
