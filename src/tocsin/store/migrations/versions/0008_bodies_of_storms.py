"""bodies of storms: how often an alert said the same lately."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tocsin.store.tables import Document

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Go one step forward."""
    op.add_column("alerts", sa.Column("repeats", Document(), nullable=True))


def downgrade() -> None:
    """Go one step back."""
    with op.batch_alter_table("alerts") as table:
        table.drop_column("repeats")
