"""How often an image ended what read it, and why it is not read any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("reading_attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("instance", sa.Column("given_up", sa.Text(), server_default="", nullable=False))
