"""Run by Alembic: steps go through the connection that `node.database.migrations` hands over, in its transaction."""

from __future__ import annotations

from typing import Any

from alembic import context

from node.database.tables import Base


def ours(name: str | None, kind: str, parents: Any) -> bool:
    """Whether a table is one of ours: the job engine keeps its own in the same database."""
    return kind != "table" or name in Base.metadata.tables


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_name=ours,
    render_as_batch=True,  # SQLite can change little of a table in place
    transactional_ddl=False,  # the transaction is the caller's
)
context.run_migrations()
