"""How many instances of one sender were not stored for the same reason within an hour: one row of the audit tells."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("times", sa.Integer(), server_default="1", nullable=False))
    op.add_column("audit", sa.Column("counted_as", sa.String(36), nullable=True))
    op.create_index("audit_counted_as", "audit", ["counted_as"], unique=True)
