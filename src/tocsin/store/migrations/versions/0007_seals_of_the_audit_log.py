"""seals of the audit log: each row is tied to the one before it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Go one step forward."""
    op.add_column("audit", sa.Column("seal", sa.String(length=64), nullable=True))
    op.add_column("installation", sa.Column("audit_seal", sa.String(length=64), nullable=True))
    op.add_column("installation", sa.Column("audit_sealed", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Go one step back."""
    with op.batch_alter_table("installation") as table:
        table.drop_column("audit_sealed")
        table.drop_column("audit_seal")
    with op.batch_alter_table("audit") as table:
        table.drop_column("seal")
