"""What a test found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.rig import Rig


@dataclass
class Verdict:
    """Figures, and which of them must be how."""

    figures: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def note(self, **figures: Any) -> None:
        """Add figures."""
        self.figures |= {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in figures.items()
        }

    def must(self, holds: bool, what: str) -> None:
        """Fail unless it holds."""
        if not holds:
            self.wrong.append(what)

    def within(self, seconds: float, limit: float, what: str) -> None:
        """Fail if something took longer."""
        self.must(seconds <= limit, f"{what} took {seconds:.1f} s, more than {limit:g}")

    def merged(self, name: str, other: Verdict) -> None:
        """Take over what another found, under a name."""
        self.figures |= {f"{name} {key}": value for key, value in other.figures.items()}
        self.wrong += [f"{name}: {what}" for what in other.wrong]


@dataclass(frozen=True)
class Test:
    """A row of the table."""

    name: str
    #: What is done, in one line.
    title: str
    guarantees: tuple[str, ...]
    run: Callable[[Rig], Awaitable[Verdict]]
    #: Not in the quick set.
    only_full: bool = False
    #: Rows of the quick set run beside each other, each with a database that the others do not
    #: stop. At full size only the last row does, which mostly waits: the figures are to be of a
    #: machine that does nothing else.
    row: int = 0
    #: What it cannot do without.
    needs: str = ""
