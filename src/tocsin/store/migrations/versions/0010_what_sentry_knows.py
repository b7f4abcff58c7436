"""what Sentry knows: pages to who wrote a suspect commit, and when an issue was last seen there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tocsin.store.tables import Instant

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Go one step forward."""
    op.add_column(
        "services",
        sa.Column("pages_suspect_author", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("alerts", sa.Column("source_seen_at", Instant(), nullable=True))


def downgrade() -> None:
    """Go one step back."""
    with op.batch_alter_table("alerts") as table:
        table.drop_column("source_seen_at")
    with op.batch_alter_table("services") as table:
        table.drop_column("pages_suspect_author")
