"""how often a destination's answer said nothing; which presentation contexts of an association were refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("unclear", sa.Integer(), server_default="0", nullable=False))
    op.add_column("association", sa.Column("contexts_refused", sa.Text(), server_default="", nullable=False))
