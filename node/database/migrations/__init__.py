"""Brings a database up to the tables of `node.database.tables`, step by step; a newer node updates an older one's.

To change a table: change `node.database.tables`, then write the step with ``condyle``'s virtual environment active:
``python -m node.database.migrations "what changes"``. A test holds models and steps together.

Tests: `__main__` and `env` are what Alembic runs; `tests/node/test_migrations.py` has it run them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from node.database.connection import Database
from node.errors import ConfigurationError

LOCK = 0x636F6E64796C65 % 2**31  # names the lock on PostgreSQL; "condyle"


def migrate(database: Database) -> None:
    """Create or update the tables; several processes may do so at once, and one does it.

    Raises
    ------
    ConfigurationError
        If a newer version of the node has changed them already.
    """
    with database.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # DDL alone would not begin a transaction there
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        upgrade(connection)
        connection.commit()


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date inside the transaction of `connection`."""
    from alembic import command

    if is_behind(connection):
        command.upgrade(configuration(connection), "head")


def is_behind(connection: Connection) -> bool:
    """Whether an earlier version of the node made the tables, and they have not been brought up to date yet.

    Raises
    ------
    ConfigurationError
        If a newer version made them: what it keeps there, this one does not understand.
    """
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    steps = ScriptDirectory.from_config(configuration(connection))
    current = MigrationContext.configure(connection).get_current_revision()
    head = steps.get_current_head()
    if current is not None and current not in {step.revision for step in steps.walk_revisions()}:
        raise ConfigurationError(
            f"node.database: a newer version of Condyle has used it (step {current}; this one ends with step {head}): "
            "install that version again, or put back a copy of the database from before it"
        )
    return current != head


def configuration(connection: Connection) -> Any:
    """Alembic's configuration for this folder and connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
