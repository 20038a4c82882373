"""How many instances of one sender were not stored for the same reason within an hour; since when sending fails."""

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
    op.add_column("outbox", sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
    failing = sa.text("failing_since IS NOT NULL")
    op.create_index(
        "outbox_failing",
        "outbox",
        ["destination", "failing_since"],
        sqlite_where=failing,
        postgresql_where=failing,
    )
