"""a series is known by its study too; own results that came back; patients apart; the study that an audit is about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0009"
branch_labels = None
depends_on = None

# As they are from now on; both databases make the table anew, because SQLite cannot change a primary key.
COLUMNS = (
    ("study_instance_uid", sa.String(64), False),
    ("series_instance_uid", sa.String(64), False),
    ("modality", sa.String(16), False),
    ("instances", sa.Integer(), False),
    ("expected", sa.Integer(), True),
    ("first_received", sa.DateTime(timezone=True), False),
    ("last_received", sa.DateTime(timezone=True), False),
    ("last_association_id", sa.String(36), False),
    ("routed_instances", sa.Integer(), False),
    ("study_routed_instances", sa.Integer(), False),
    ("completed", sa.DateTime(timezone=True), True),
)


def upgrade() -> None:
    names = ", ".join(name for name, _, _ in COLUMNS)
    op.create_table(
        "series_of_study",
        *(sa.Column(name, kind, nullable=nullable) for name, kind, nullable in COLUMNS),
        sa.PrimaryKeyConstraint("study_instance_uid", "series_instance_uid"),
    )
    op.execute(f"INSERT INTO series_of_study ({names}) SELECT {names} FROM series")  # noqa: S608 (our own names)
    op.drop_table("series")
    op.rename_table("series_of_study", "series")
    op.create_index("ix_series_series_instance_uid", "series", ["series_instance_uid"])
    op.create_index("ix_series_last_received", "series", ["last_received"])
    for name, column, seen in (
        ("series_undecided", "series_instance_uid", "routed_instances"),
        ("series_undecided_in_study", "study_instance_uid", "study_routed_instances"),
    ):
        undecided = sa.text(f"instances > {seen}")
        op.create_index(name, "series", [column], sqlite_where=undecided, postgresql_where=undecided)

    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.add_column(sa.Column("made_by_us", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("patient", sa.String(length=80), server_default="", nullable=False))

    op.create_index(
        "instance_made_by_us",
        "instance",
        ["received"],
        sqlite_where=sa.text("made_by_us = 1"),
        postgresql_where=sa.text("made_by_us"),
    )

    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.add_column(sa.Column("study_instance_uid", sa.String(length=64), nullable=True))
        batch_op.create_index("ix_audit_study_instance_uid", ["study_instance_uid"])
        batch_op.create_index("audit_by_kind", ["what", "id"])
