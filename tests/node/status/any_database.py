"""An empty database of the node of each kind, for what pages ask of it by SQL of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.database.connection import Database, open_database
from node.database.migrations import migrate
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[Database]:
    """An empty one, with all tables."""
    url = f"sqlite:///{tmp_path / 'any.db'}" if request.param == "sqlite" else postgres.database()
    opened = open_database(url)
    migrate(opened)
    yield opened
    opened.dispose()
