"""What tests of the node's records share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from node.database.connection import Database, open_database
from node.database.migrations import migrate
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[Database]:
    """An empty database of the node, of each kind that it may be; the tests are marked with `postgres`."""
    url = f"sqlite:///{tmp_path / 'node.db'}" if request.param == "sqlite" else postgres.database()
    opened = open_database(url)
    migrate(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A session with it, in which nothing is committed."""
    with Session(database) as session:
        yield session
