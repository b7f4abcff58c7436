"""noise: rules of services, what belongs together, and what a rule at the source chose."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tocsin.store.tables import Document

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Go one step forward."""
    op.add_column("services", sa.Column("noise", Document(), nullable=True))
    op.add_column(
        "alerts", sa.Column("about", sa.String(length=20), nullable=False, server_default="")
    )
    op.add_column(
        "alerts",
        sa.Column("is_archived", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("incidents", sa.Column("group_key", sa.String(length=255), nullable=True))
    op.add_column(
        "incidents",
        sa.Column("is_urgency_chosen", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    has_group = sa.text("group_key IS NOT NULL AND status <> 'resolved'")
    op.create_index(
        "uq_incidents_group_open",
        "incidents",
        ["service_id", "group_key"],
        unique=True,
        sqlite_where=has_group,
        postgresql_where=has_group,
    )
