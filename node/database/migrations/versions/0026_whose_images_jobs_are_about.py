"""Whose images jobs are about, by keyed digests; of earlier jobs those of their whole study."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_patient",
        sa.Column("job_id", sa.String(32), sa.ForeignKey("job.id"), primary_key=True),
        sa.Column("mark", sa.String(80), primary_key=True),
        sa.Column("written", sa.Boolean(), primary_key=True),
        sa.Column("patient", sa.String(16), nullable=False),
    )
    op.create_index("ix_job_patient_patient", "job_patient", ["patient"])
    # a mark begins with the 12 digits of the patient ID's digest, and without one with its separator
    op.execute(
        sa.text(
            "INSERT INTO job_patient (job_id, mark, written, patient) "
            "SELECT DISTINCT job.id, instance.patient, :written, substr(instance.patient, 1, 12) "
            "FROM job JOIN instance ON instance.study_instance_uid = job.study_instance_uid "
            "WHERE instance.patient NOT LIKE '.%' AND instance.patient <> '' AND job.study_instance_uid <> ''"
        ).bindparams(sa.bindparam("written", False, sa.Boolean()))
    )
