"""The size of an instance or object of 2 GB or more: PostgreSQL's INTEGER ends there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite's integers have no such end
        for table in ("instance", "object"):
            op.alter_column(table, "size", type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)
