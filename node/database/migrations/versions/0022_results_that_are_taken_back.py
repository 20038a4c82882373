"""Results that are taken back, and what destinations had of them before and after."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("withdrawn", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job", sa.Column("withdrawn_by", sa.String(128), nullable=False, server_default=""))
    op.add_column("job", sa.Column("withdrawn_why", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "withdrawal",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("job.id"), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("successor", sa.String(32), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("way", sa.String(24), nullable=False),
        sa.Column("objects", sa.Integer(), nullable=False),
        sa.Column("held_before", sa.Integer(), nullable=True),
        sa.Column("held_after", sa.Integer(), nullable=True),
        sa.Column("still_held", sa.JSON(), nullable=False),
        sa.Column("asked", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note_uid", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
    )
    op.create_index("ix_withdrawal_destination", "withdrawal", ["destination"])
    op.create_index("withdrawal_once", "withdrawal", ["job_id", "destination"], unique=True)
    is_open = sa.text("state IN ('waiting', 'told')")
    op.create_index(
        "withdrawal_open",
        "withdrawal",
        ["destination", "not_before", "id"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
