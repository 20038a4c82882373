"""Images and results that rejection notes reject."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("rejected", sa.String(16), nullable=False, server_default=""))
    key_objects = sa.text("sop_class_uid = '1.2.840.10008.5.1.4.1.1.88.59'")
    op.create_index(
        "instance_key_objects", "instance", ["received"], sqlite_where=key_objects, postgresql_where=key_objects
    )
    rejected = sa.text("rejected <> ''")
    op.create_index(
        "instance_rejected", "instance", ["study_instance_uid"], sqlite_where=rejected, postgresql_where=rejected
    )
    op.add_column("job", sa.Column("rejected", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "key_object",
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("patient", sa.String(80), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_key_object_study_instance_uid", "key_object", ["study_instance_uid"])
    waiting = sa.text("state = 'waiting'")
    op.create_index("key_object_waiting", "key_object", ["received"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_table(
        "rejection",
        sa.Column("note_uid", sa.String(64), sa.ForeignKey("key_object.sop_instance_uid"), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
    )
    op.create_index("ix_rejection_sop_instance_uid", "rejection", ["sop_instance_uid"])
