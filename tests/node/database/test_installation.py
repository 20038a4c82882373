"""A data folder and a database that do not belong together are never used together."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from node.database.connection import Database, open_database
from node.database.installation import BEGUN, FILE, compare, require_one_installation
from node.database.migrations import migrate
from node.database.tables import InstallationRow
from node.errors import ConfigurationError
from tests.postgres import Postgres

Make = Callable[[str], Database]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    """Makes databases with tables in files of their own."""
    opened: list[Database] = []

    def make(name: str) -> Database:
        database = open_database(f"sqlite:///{tmp_path / name}")
        opened.append(database)
        migrate(database)
        return database

    yield make
    for database in opened:
        database.dispose()


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir()
    return path


def test_the_first_start_makes_one_identity_and_later_starts_find_it(tmp_path: Path, made: Make) -> None:
    database, data = made("node.db"), folder(tmp_path, "data")
    require_one_installation(database, data)
    identity = (data / FILE).read_text()
    assert len(identity.strip()) == 32
    require_one_installation(database, data)
    assert (data / FILE).read_text() == identity
    assert [path.name for path in data.iterdir()] == [FILE]


def test_a_second_folder_on_the_same_database_is_refused_in_a_sentence(tmp_path: Path, made: Make) -> None:
    database = made("node.db")
    one, other = folder(tmp_path, "one"), folder(tmp_path, "other")
    require_one_installation(database, one)
    with pytest.raises(ConfigurationError, match="the database belongs to another data folder") as refused:
        require_one_installation(database, other)
    assert str(other) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(other.iterdir()) == []


def test_a_folder_with_the_database_of_another_node_or_with_an_empty_one_is_refused(tmp_path: Path, made: Make) -> None:
    one, other = folder(tmp_path, "one"), folder(tmp_path, "other")
    require_one_installation(made("one.db"), one)
    require_one_installation(made("other.db"), other)
    with pytest.raises(ConfigurationError, match="do not belong together"):
        require_one_installation(made("other.db"), one)
    with pytest.raises(ConfigurationError, match="no folder yet"):
        require_one_installation(made("empty.db"), one)


@pytest.mark.postgres
def test_a_password_is_not_shown(tmp_path: Path, postgres: Postgres) -> None:
    data = folder(tmp_path, "data")
    (data / FILE).write_text("0" * 32)
    database = open_database(postgres.database().replace("condyle@", "condyle:hushhush@"))
    with pytest.raises(ConfigurationError, match="condyle") as refused:
        compare(database, data)
    assert "hushhush" not in str(refused.value)
    database.dispose()


def test_a_moved_folder_and_a_restored_pair_keep_their_identity(tmp_path: Path, made: Make) -> None:
    database, data = made("node.db"), folder(tmp_path, "data")
    require_one_installation(database, data)
    data.rename(tmp_path / "moved")
    require_one_installation(database, tmp_path / "moved")
    database.dispose()
    shutil.copytree(tmp_path / "moved", tmp_path / "restored")
    shutil.copy(tmp_path / "node.db", tmp_path / "restored.db")
    require_one_installation(made("restored.db"), tmp_path / "restored")


def test_a_first_start_that_was_killed_in_between_is_ended_by_the_next(tmp_path: Path, made: Make) -> None:
    database, data = made("node.db"), folder(tmp_path, "data")
    require_one_installation(database, data)
    (data / FILE).rename(data / BEGUN)  # killed before the folder had it for good
    require_one_installation(database, data)
    (data / FILE).rename(data / BEGUN)
    with Session(database) as session, session.begin():
        session.execute(delete(InstallationRow))  # killed before the database had it
    require_one_installation(database, data)
    assert [path.name for path in data.iterdir()] == [FILE]


def test_an_identity_that_cannot_be_read_is_named(tmp_path: Path, made: Make) -> None:
    data = folder(tmp_path, "data")
    (data / FILE).write_text("something else")
    with pytest.raises(ConfigurationError, match="holds no identity; should be"):
        require_one_installation(made("node.db"), data)


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_on_one_folder_and_one_database_that_start_at_once_agree(
    tmp_path: Path, postgres: Postgres, kind: str
) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}" if kind == "sqlite" else postgres.database())
    migrate(database)
    data = folder(tmp_path, "data")
    with ThreadPoolExecutor(6) as processes:
        list(processes.map(lambda _: require_one_installation(database, data), range(6)))
    compare(database, data)
    database.dispose()


@pytest.mark.postgres
def test_of_two_folders_that_start_at_once_on_one_database_one_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    database = open_database(postgres.database())
    migrate(database)
    folders = [folder(tmp_path, name) for name in "abcd"]

    def start(data: Path) -> bool:
        try:
            require_one_installation(database, data)
        except ConfigurationError:
            return False
        return True

    with ThreadPoolExecutor(4) as processes:
        assert sorted(processes.map(start, folders)) == [False, False, False, True]
    database.dispose()
