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

LOCK = 0x636F6E64796C65 % 2**31  # names the lock on PostgreSQL; "condyle"


def migrate(database: Database) -> None:
    """Create or update the tables; several processes may do so at once, and one does it."""
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
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = configuration(connection)
    head = ScriptDirectory.from_config(config).get_current_head()
    if MigrationContext.configure(connection).get_current_revision() != head:
        command.upgrade(config, "head")


def configuration(connection: Connection) -> Any:
    """Alembic's configuration for this folder and connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
