"""The database of a node, for commands that read it whether or not the node is running."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect

from node.config import Configuration
from node.config.route_settings import read_with_settings
from node.database import migrations
from node.database.connection import Database, open_database, opening_errors
from node.database.installation import compare
from node.database.tables import JobRow
from node.errors import ConfigurationError, PeerUnavailable


def opened(config: Path) -> tuple[Configuration, Database]:
    """The configuration in `config` and its database, which is not modified.

    Raises
    ------
    ConfigurationError
        If a newer version of the node has used the database, or an earlier one and the node has not run since, or the
        database and the data folder do not belong together.
    PeerUnavailable
        If there is no database yet, or it does not answer.
    """
    configuration = read_with_settings(config)
    if configuration.node.database is None and not (configuration.node.data / "node.db").exists():
        raise PeerUnavailable(
            f"node.data: {configuration.node.data}: no node has run here yet; start one with condyle serve"
        )
    with opening_errors(configuration):
        database = open_database(configuration.node.database_url)
        known = inspect(database).has_table(JobRow.__tablename__)
        with database.connect() as connection:
            behind = known and migrations.is_behind(connection)
    if not known:
        raise PeerUnavailable("node.database: is empty: no node has used it yet; start one with condyle serve")
    if behind:
        raise ConfigurationError(
            "node.database: an earlier version of Condyle has used it: condyle serve brings it up to date at its start"
        )
    compare(database, configuration.node.data)
    return configuration, database
