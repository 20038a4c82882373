"""The node's database: how it is opened, and the errors that say why it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy import Engine as Database  # SQLAlchemy's word; the node's engine is the one that runs jobs
from sqlalchemy.exc import SQLAlchemyError

from node.config import Configuration
from node.database.texts import storable_json
from node.errors import ConfigurationError, PeerUnavailable

__all__ = ["Database", "cause", "driver_problem", "open_database", "opened_to_look", "opening_errors"]


def open_database(url: str, *, power: bool = True) -> Database:
    """The database at `url`; on SQLite with the write-ahead log, a busy timeout and foreign keys.

    Parameters
    ----------
    url
        As SQLAlchemy reads it. Nothing is contacted before the first statement.
    power
        Whether what is committed survives a power cut too, on SQLite; else only the end of the process, and the disk
        is left alone. A later commit through a database opened with it makes the earlier ones of all as safe.
    """
    database = create_engine(url, pool_pre_ping=True, json_serializer=storable_json)
    if database.dialect.name == "sqlite":

        @event.listens_for(database, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            synchronous = "FULL" if power else "NORMAL"
            for pragma in ("journal_mode=WAL", "busy_timeout=30000", f"synchronous={synchronous}", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return database


def opened_to_look(url: str) -> Database:
    """The database at `url`, to read a little of it and close it again, whoever else has it open.

    On SQLite read only: whoever closes it as the last one would fold the write-ahead log into it and delete that.
    """
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and parts.database:
        address = f"file:{quote(parts.database)}"
        parts = parts.set(database=address, query={"mode": "ro", "uri": "true"})
    return create_engine(parts)


@contextmanager
def opening_errors(configuration: Configuration) -> Iterator[None]:
    """While the database is opened inside, errors name the key of the configuration, and no password.

    Raises
    ------
    ConfigurationError
        If the data folder cannot be written, or the database's driver is not installed.
    PeerUnavailable
        If the database cannot be reached.
    """
    url = make_url(configuration.node.database_url)
    shown = url.render_as_string(hide_password=True)
    if (problem := driver_problem(url)) is not None:
        raise ConfigurationError(f"node.database: {shown}: {problem}")
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"node.data: {configuration.node.data}: cannot be written: {error.strerror}; should be a folder that the "
            "account of the node may write"
        ) from error
    except SQLAlchemyError as error:
        raise PeerUnavailable(f"node.database: {shown} cannot be used: {cause(error, url)}") from error


def driver_problem(url: URL) -> str | None:
    """Why the driver of the database cannot be used, and what to do; None if it can."""
    try:
        url.get_dialect().import_dbapi()
    except ImportError as error:  # not installed, or without the library that it needs
        return f'the driver {url.get_driver_name()} is not there ({error}); install it: pip install "psycopg[binary]"'
    return None


def cause(error: SQLAlchemyError, url: URL) -> str:
    """What the database's driver says of an error, in one line and without the password."""
    said = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
    said = said.partition(" Is the server running on that host")[0]  # libpq's advice to a programmer
    return said.replace(url.password, "***") if url.password else said
