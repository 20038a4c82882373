"""What readers say about the findings of results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "verdict",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("source_uid", sa.String(64), nullable=False),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("job.id"), nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("object_uid", sa.String(64), nullable=False),
        sa.Column("tracking_uid", sa.String(64), nullable=False),
        sa.Column("tracking_id", sa.String(64), nullable=False),
        sa.Column("finding", sa.JSON(), nullable=True),
        sa.Column("site", sa.JSON(), nullable=True),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("reason", sa.JSON(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("observer", sa.String(64), nullable=False),
        sa.Column("device", sa.String(140), nullable=False),
        sa.Column("sender", sa.String(64), nullable=False),
        sa.Column("observed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_verdict_job_id", "verdict", ["job_id"])
    op.create_index("ix_verdict_source_uid", "verdict", ["source_uid"])
    op.create_index("ix_verdict_study_instance_uid", "verdict", ["study_instance_uid"])
    op.create_index("ix_verdict_received", "verdict", ["received"])
