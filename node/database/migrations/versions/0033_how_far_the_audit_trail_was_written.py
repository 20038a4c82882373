"""How far the audit trail was written to its files and sent on; earlier lines are written at the next start."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
    op.create_index("audit_by_number", "audit", ["number"])
    op.create_index(
        "audit_not_chained",
        "audit",
        ["id"],
        sqlite_where=sa.text("number IS NULL"),
        postgresql_where=sa.text("number IS NULL"),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("sent", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("counted_until", sa.DateTime(timezone=True)),
    )
