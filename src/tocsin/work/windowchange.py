"""What follows when maintenance windows are made, changed or ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection


def after_windows_change(connection: Connection, now: datetime) -> None:
    """Bring incidents in line with the maintenance windows as they are now.

    Called in the transaction of every change of a window, when its rows are written and the change
    is counted.
    """
