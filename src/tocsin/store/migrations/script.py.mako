"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tocsin.store.tables import Document, Instant, Serial

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Go one step forward."""
    ${upgrades if upgrades else "pass"}
