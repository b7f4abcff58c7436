"""lanes of jobs: a storm of one service does not hold up the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Go one step forward."""
    op.add_column("jobs", sa.Column("lane", sa.String(40), nullable=False, server_default=""))
    waits = sa.text("buried_at IS NULL")
    op.create_index(
        "ix_jobs_lane",
        "jobs",
        ["kind", "lane", "due_at"],
        sqlite_where=waits,
        postgresql_where=waits,
    )


def downgrade() -> None:
    """Go one step back."""
    op.drop_index("ix_jobs_lane", "jobs")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("lane")
