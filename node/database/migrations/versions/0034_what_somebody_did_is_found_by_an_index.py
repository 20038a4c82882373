"""What somebody did is found in the audit trail by an index."""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("audit_by_who", "audit", ["who", "id"])
