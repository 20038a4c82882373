"""Images that were given up are found by an index of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    some = sa.text("given_up <> ''")
    op.create_index("instance_given_up", "instance", ["received"], sqlite_where=some, postgresql_where=some)
