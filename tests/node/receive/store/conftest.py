from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.database.connection import Database, open_database
from node.database.tables import Base
from node.receive.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store whose promise is to survive the end of the process."""
    with contextlib.closing(Store(tmp_path, "process")) as store:
        yield store


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    sqlite = f"sqlite:///{tmp_path}/node.db"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    database = open_database(url)
    Base.metadata.create_all(database)
    yield database
    database.dispose()
