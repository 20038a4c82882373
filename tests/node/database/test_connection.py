"""How the database is opened, and what is said where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from node.config import Configuration
from node.database.connection import open_database, opening_errors
from node.errors import ConfigurationError, PeerUnavailable


@pytest.mark.parametrize(("power", "synchronous"), [(True, 2), (False, 1)])  # FULL, NORMAL
def test_sqlite_writes_ahead_and_flushes_as_far_as_is_asked(tmp_path: Path, power: bool, synchronous: int) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}", power=power)
    with database.connect() as connection:
        found = {
            pragma: connection.execute(text(f"PRAGMA {pragma}")).scalar()
            for pragma in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.dispose()
    assert found == {"journal_mode": "wal", "synchronous": synchronous, "foreign_keys": 1, "busy_timeout": 30000}


def test_a_folder_that_cannot_be_made_is_named_with_its_key(tmp_path: Path) -> None:
    configuration = Configuration.model_validate({"node": {"data": str(tmp_path / "file" / "data")}})
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigurationError, match=r"node.data: .*file/data: cannot be written: Not a directory"),
        opening_errors(configuration),
    ):
        configuration.node.data.mkdir(parents=True)


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/no-such-folder/node.db?secret=word"
    configuration = Configuration.model_validate({"node": {"data": str(tmp_path), "database": url}})
    database = open_database(f"sqlite:///{tmp_path}/no-such-folder/node.db")
    with (
        pytest.raises(PeerUnavailable, match=r"node.database: sqlite:.* cannot be used: unable to open database file"),
        opening_errors(configuration),
    ):
        database.connect()
    database.dispose()
