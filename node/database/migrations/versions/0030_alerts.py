"""Alerts: what rules find, who is told of it, and until when nobody is; workers that died are found by an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "alert_rule",
        sa.Column("rule", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("seen", moment, nullable=False),
        sa.Column("looked_until", moment, nullable=False),
        sa.Column("silenced_until", moment, nullable=True),
        sa.Column("silenced_by", sa.String(128), server_default="", nullable=False),
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("node", sa.String(128), nullable=False),
        sa.Column("subject", sa.String(160), nullable=False),
        sa.Column("job_id", sa.String(32), nullable=True),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("told", moment, nullable=True),
        sa.Column("absent", moment, nullable=True),
        sa.Column("ended", moment, nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("title", "sentence", "advice", "ending", "link")),
    )
    op.create_index("ix_alert_job_id", "alert", ["job_id"])
    op.create_index("ix_alert_since", "alert", ["since"])
    op.create_index("alert_once", "alert", ["rule", "node", "subject"], unique=True)
    _partial("alert_open", "alert", ["rule", "node"], "state <> 'over'")
    op.create_table(
        "alert_notice",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("alert_id", sa.Integer(), sa.ForeignKey("alert.id"), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("batch", sa.String(32), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", moment, nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("sent", moment, nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
    )
    op.create_index("ix_alert_notice_alert_id", "alert_notice", ["alert_id"])
    op.create_index("ix_alert_notice_batch", "alert_notice", ["batch"])
    op.create_index("ix_alert_notice_created", "alert_notice", ["created"])
    op.create_index("alert_notice_by_channel", "alert_notice", ["channel", "id"])
    _partial("alert_notice_waiting", "alert_notice", ["channel", "not_before", "id"], "state = 'waiting'")
    _partial("event_worker_died", "event", ["at"], "what = 'worker died'")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
