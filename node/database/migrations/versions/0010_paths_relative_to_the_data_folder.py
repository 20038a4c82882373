"""Paths of objects become relative to the data folder, so that it may be moved; cancelled lines get their own state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    made = sa.table("object", sa.column("path", sa.Text), sa.column("job_id", sa.String))
    position = sa.func.instr if op.get_bind().dialect.name == "sqlite" else sa.func.strpos
    room = sa.literal("jobs/").concat(made.c.job_id).concat("/")  # every object lies below it, wherever the folder was
    begin = position(made.c.path, room)
    op.execute(made.update().where(begin > 1).values(path=sa.func.substr(made.c.path, begin)))

    line = sa.table("outbox", sa.column("state", sa.String), sa.column("answer", sa.Text))
    cancelled = (line.c.state == "skipped", line.c.answer == "cancelled by an operator")
    op.execute(line.update().where(*cancelled).values(state="cancelled"))
