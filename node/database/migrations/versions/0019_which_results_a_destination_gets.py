"""Which results a destination of a job gets, and why it got one or not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("conditions", sa.JSON(), nullable=True))
    op.add_column("job", sa.Column("hand_over", sa.JSON(), nullable=True))
