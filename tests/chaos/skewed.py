"""Tocsin on a machine whose clock is wrong by what a file says, in seconds, at each look."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tocsin import boot
from tocsin.cli import main


def skewed() -> datetime:
    """Return the wrong time."""
    by = float(Path(os.environ["SKEW"]).read_text("ascii") or 0)
    return datetime.now(UTC) + timedelta(seconds=by)


if __name__ == "__main__":
    boot.now = skewed
    main()
