"""since when Sentry tells: which of its webhooks open incidents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tocsin.store.tables import Document

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Go one step forward."""
    op.add_column("sentry_connections", sa.Column("opening", Document(), nullable=True))


def downgrade() -> None:
    """Go one step back."""
    with op.batch_alter_table("sentry_connections") as table:
        table.drop_column("opening")
