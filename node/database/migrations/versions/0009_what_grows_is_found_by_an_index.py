"""what grows is found by an index; which installation the database belongs to; headers that could not be read.

A decision that was made while headers could not be read is made again: its series and its study count as undecided.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

import node.database.tables

revision = "0009"
down_revision = "0005"
branch_labels = None
depends_on = None

UNREADABLE = "readable headers"  # what the trace of such a decision holds


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column("study", sa.Column("trouble", sa.Text(), server_default="", nullable=False))
    op.add_column("job", sa.Column("cleaned", node.database.tables.Instant(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("transaction_uid", sa.String(length=64), nullable=True))
    for table, column in (
        ("job", "state"),
        ("outbox", "destination"),
        ("outbox", "state"),
        ("outbox", "not_before"),
        ("commitment", "state"),
    ):
        op.drop_index(f"ix_{table}_{column}", table)
    op.create_index("ix_association_started", "association", ["started"])
    op.create_index("ix_commitment_created", "commitment", ["created"])
    op.create_index("commitment_due", "commitment", ["direction", "state", "not_before"])
    op.create_index("commitment_due_at_peer", "commitment", ["direction", "peer", "state", "not_before"])
    op.create_index("job_by_state", "job", ["state", "created", "id"])
    _partial("job_not_cleaned", "job", ["updated", "id"], "cleaned IS NULL")
    op.create_index("outbox_by_state", "outbox", ["destination", "state", "delivered"])
    _partial("outbox_waiting", "outbox", ["destination", "not_before", "id"], "state = 'waiting'")
    _partial(
        "outbox_unconfirmed",
        "outbox",
        ["destination", "job_id", "id"],
        "state = 'delivered' AND confirm = 1 AND transaction_uid IS NULL",
        "state = 'delivered' AND confirm AND transaction_uid IS NULL",
    )
    _partial("outbox_in_transaction", "outbox", ["transaction_uid"], "transaction_uid IS NOT NULL")
    _note_transactions()
    _decide_again()


def _partial(name: str, table: str, columns: list[str], where: str, postgresql: str | None = None) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(postgresql or where))


def _note_transactions() -> None:
    """Write on the lines of the outbox which open transaction they are in; until now only the transactions said so."""
    connection = op.get_bind()
    open_ = connection.execute(
        sa.text(
            'SELECT transaction_uid, peer, "references" FROM commitment '
            "WHERE direction = 'out' AND state IN ('waiting', 'reported')"
        )
    ).all()
    for transaction, peer, references in open_:
        of = json.loads(references) if isinstance(references, str) else references
        for _, uid in of:
            connection.execute(
                sa.text(
                    "UPDATE outbox SET transaction_uid = :transaction "
                    "WHERE sop_instance_uid = :uid AND destination = :peer AND state = 'delivered'"
                ),
                {"transaction": transaction, "uid": uid, "peer": peer},
            )


def _decide_again() -> None:
    connection = op.get_bind()
    decisions = connection.execute(
        sa.text(
            "SELECT DISTINCT level, study_instance_uid, series_instance_uid FROM decision "
            "WHERE CAST(trace AS TEXT) LIKE :mark"
        ),
        {"mark": f"%{UNREADABLE}%"},
    ).all()
    for level, study, series in decisions:
        column = "routed_instances" if level == "series" else "study_routed_instances"
        which = "series_instance_uid = :series" if level == "series" else "study_instance_uid = :study"
        connection.execute(
            sa.text(f"UPDATE series SET {column} = 0 WHERE {which}"),  # noqa: S608 (names of our own)
            {"series": series} if level == "series" else {"study": study},
        )
