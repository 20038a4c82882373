"""What tests of sign-in share: the tables, made at once instead of step by step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.database.connection import Database, open_database
from node.database.tables import Base
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of the node, of each kind that it may be; the tests are marked with `postgres`."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'node.db'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.database()
    opened = open_database(url, power=False)
    Base.metadata.create_all(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An empty database of the node, where it does not matter of which kind."""
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}", power=False)
    Base.metadata.create_all(opened)
    yield opened
    opened.dispose()
