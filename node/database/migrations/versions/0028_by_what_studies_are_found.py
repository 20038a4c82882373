"""By what studies are found: digests of accession numbers and patient IDs; of earlier studies those of their patients.

The accession numbers of earlier studies are read from their images while the node runs.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "study_key",
        sa.Column("study_instance_uid", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("digest", sa.String(16), primary_key=True),
    )
    op.create_index("study_by_key", "study_key", ["kind", "digest"])
    # a mark begins with the 12 digits of the patient ID's digest, and without one with its separator
    op.execute(
        "INSERT INTO study_key (study_instance_uid, kind, digest) "
        "SELECT DISTINCT instance.study_instance_uid, 'patient', substr(instance.patient, 1, 12) "
        "FROM instance JOIN study ON study.study_instance_uid = instance.study_instance_uid "
        "WHERE instance.patient NOT LIKE '.%' AND instance.patient <> '' "
        "AND NOT instance.made_by_us"
    )
    op.drop_index("ix_job_study_instance_uid", "job")
    op.create_index("job_of_study", "job", ["study_instance_uid", "state", "route"])
    for name, table, columns, where in (
        ("association_open", "association", ["started"], "ended IS NULL"),
        ("study_in_trouble", "study", ["last_received"], "trouble <> ''"),
        ("job_under_way", "job", ["state", "pipeline", "created"], "state IN ('queued', 'running', 'sending')"),
        ("job_on_request", "job", ["study_instance_uid", "created"], "study_instance_uid = ''"),
    ):
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
