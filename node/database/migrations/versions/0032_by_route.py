"""Indexes by which the decisions and the jobs of one route in a span of time are found."""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("decision_by_route", "decision", ["route", "matched", "decided"])
    op.create_index("job_by_route", "job", ["route", "created", "state"])
