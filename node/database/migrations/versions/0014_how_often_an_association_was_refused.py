"""How often the same peer was refused for the same reason within an hour: one row tells."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("association", sa.Column("times", sa.Integer(), server_default="1", nullable=False))
