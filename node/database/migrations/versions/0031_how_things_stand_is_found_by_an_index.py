"""Jobs that have not ended, and images that were given up, are found by an index of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, table, columns, where in (
        ("job_open", "job", ["pipeline", "state", "updated"], "state IN ('queued', 'running', 'sending')"),
        ("instance_given_up", "instance", ["received"], "given_up <> ''"),
    ):
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
