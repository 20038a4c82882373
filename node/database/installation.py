"""Which data folder and which database belong together.

A node on a database with another folder loses studies without a word: rows name files that lie elsewhere. So both hold
the same identity, made at the first start, and every start compares them. Moving the folder, or restoring both, changes
nothing; several processes on one folder and one database are one installation.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from sqlalchemy import inspect, select
from sqlalchemy.dialects import postgresql, sqlite

from node.database.connection import Database
from node.database.tables import InstallationRow
from node.errors import ConfigurationError
from node.files import write_new

FILE = "installation"  # in the data folder
BEGUN = "installation.new"  # the same, until the database has it too


def require_one_installation(database: Database, data: Path) -> None:
    """Compare the identities of the database and the data folder; where neither has one, both get one.

    Safe for processes that start at once, and for one that is killed in between.

    Raises
    ------
    ConfigurationError
        If they do not belong together.
    OSError
        If the data folder cannot be read or written.
    """
    ours = _read(data / FILE)
    if ours is None and not (data / BEGUN).exists() and identity_of(database) is None:
        _write(data / BEGUN, uuid4().hex)
    if ours is None and (begun := _read(data / BEGUN)) is not None:
        _offer(database, begun)
        if identity_of(database) == begun:
            _write(data / FILE, begun)  # not by a new name: what lies there may be another's by now
            (data / BEGUN).unlink(missing_ok=True)
        ours = _read(data / FILE)
    compare(database, data, ours)


def compare(database: Database, data: Path, ours: str | None = None) -> None:
    """Raise `ConfigurationError` where the database and the data folder do not belong together; write nothing.

    Parameters
    ----------
    ours
        The identity of the folder; by default it is read.
    """
    ours = ours or _read(data / FILE)
    theirs = identity_of(database)
    if ours == theirs:
        return
    where = f"node.data: {data.absolute()} and node.database: {database.url.render_as_string(hide_password=True)}"
    if theirs is None:
        why = (
            "the database belongs to no folder yet, the folder to another database; should be the database that the "
            f"folder was used with. If that one is lost, delete {data.absolute() / FILE} to begin with an empty one"
        )
    else:
        why = (
            "the database belongs to another data folder; should be the folder and the database of one node. If this "
            f"folder is a copy of that one, put the line {theirs} into {data.absolute() / FILE}"
        )
    raise ConfigurationError(f"{where} do not belong together: {why}")


def _write(path: Path, identity: str) -> None:
    with suppress(FileExistsError):  # another process was quicker, and what it wrote counts
        write_new(path, f"{identity}\n".encode())


def _read(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise ConfigurationError(f"node.data: {path.absolute()}: holds no identity; should be a line of 32 hex digits")
    return text


def _offer(database: Database, identity: str) -> None:
    """Give the database an identity, unless it has one."""
    dialect = sqlite if database.dialect.name == "sqlite" else postgresql
    with database.begin() as connection:
        connection.execute(dialect.insert(InstallationRow).values(id=1, identity=identity).on_conflict_do_nothing())


def identity_of(database: Database) -> str | None:
    """The identity of the installation that the database belongs to; None before its first start."""
    with database.connect() as connection:
        if not inspect(connection).has_table(InstallationRow.__tablename__):  # not migrated yet
            return None
        return connection.scalar(select(InstallationRow.identity))
