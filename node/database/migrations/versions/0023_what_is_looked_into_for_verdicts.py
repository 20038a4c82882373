"""What came in and may hold a reader's verdict is looked into, a few times at most; what came before is left alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("looks_left", sa.Integer(), server_default="0", nullable=False))
    where = sa.text("looks_left > 0")
    op.create_index("instance_to_look_into", "instance", ["received"], sqlite_where=where, postgresql_where=where)
