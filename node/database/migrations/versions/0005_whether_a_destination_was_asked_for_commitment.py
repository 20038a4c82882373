"""whether a destination was asked for storage commitment; it stood in `answer` until now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("commitment", schema=None) as batch_op:
        batch_op.add_column(sa.Column("asked", sa.Boolean(), server_default=sa.false(), nullable=False))
    commitment = sa.table("commitment", sa.column("asked", sa.Boolean), sa.column("answer"), sa.column("direction"))
    op.execute(
        commitment.update()
        .where(commitment.c.direction == "out", commitment.c.answer == "asked")
        .values(asked=sa.true(), answer="")
    )
