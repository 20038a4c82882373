"""Can the node's database be used? Looked at before a node starts; nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import closing

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.config import Configuration
from node.config.check_result import CheckResult
from node.database import migrations, outbox
from node.database.connection import Database, cause, driver_problem
from node.database.installation import compare
from node.errors import ConfigurationError

KEY = "node.database"
CONNECT_S = 5  # a server that answers at all does so within this time


def database(configuration: Configuration) -> Iterator[CheckResult]:
    """Is the driver installed, does the database answer, and is it the one of the data folder?"""
    url = make_url(configuration.node.database_url)
    shown = url.render_as_string(hide_password=True)
    if (problem := driver_problem(url)) is not None:
        yield CheckResult(KEY, "bad", f"{shown}: {problem}")
        return
    on_sqlite = url.get_backend_name() == "sqlite"
    if on_sqlite and not os.path.exists(str(url.database)):
        if configuration.node.database is not None and not os.path.isdir(os.path.dirname(str(url.database)) or "."):
            sentence = f"{shown}: there is no such folder; should be a folder that this account may write"
            yield CheckResult(KEY, "bad", sentence)
        return  # it is made at the first start
    engine = engine_to_read(url)
    try:
        with closing(engine.connect()) as connection:
            # of a file that is no database nothing is known before something is read from it
            connection.exec_driver_sql("PRAGMA schema_version" if on_sqlite else "SELECT 1")
        compare(engine, configuration.node.data)
        yield from _left_behind(engine, list(configuration.destinations))
    except ConfigurationError as error:
        yield CheckResult(KEY, "bad", str(error).removeprefix(f"{KEY}: "))
    except SQLAlchemyError as error:
        yield CheckResult(KEY, "bad", f"{shown}: {cause(error, url)}")
    else:
        yield CheckResult(KEY, "good", f"{shown} answers")
    finally:
        engine.dispose()


def engine_to_read(url: URL) -> Database:
    """The database at a URL, to be looked at only; nothing is made for it that the node might not be allowed to use."""
    if url.get_backend_name() != "sqlite":
        return create_engine(url, connect_args={"connect_timeout": CONNECT_S})
    # where no node has it open, without the files that the next one might not be allowed
    at_rest = {} if os.path.exists(f"{url.database}-wal") else {"immutable": "1"}
    return create_engine(url.set(database=f"file:{url.database}", query={"mode": "ro", "uri": "true", **at_rest}))


def _left_behind(engine: Database, destinations: Collection[str]) -> Iterator[CheckResult]:
    """Does something wait for destinations that the configuration no longer has?

    Raises
    ------
    ConfigurationError
        If a newer version of the node has used the database.
    """
    with Session(engine) as session:
        if migrations.is_behind(session.connection()):  # the node brings it up to date when it starts
            return
        left = outbox.left_behind(session, destinations)
    for name, what in left.items():
        key = f"destinations.{name}"
        sentence = f"is not in the configuration, and {what} wait for it: they end as failed when the node starts"
        yield CheckResult(key, "doubtful", f"{key}: {sentence}")
