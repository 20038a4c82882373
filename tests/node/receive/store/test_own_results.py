"""Where the file of an object lies that the node made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from node.database.connection import Database, open_database
from node.database.tables import Base, JobRow, ObjectRow
from node.receive.store.own_results import OwnResults
from tests.node.backlog import add, job_row


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    yield database
    database.dispose()


def made(database: Database, path: str) -> None:
    """A job has made the object 1.2.3, whose file is written down so."""
    Base.metadata.create_all(database)
    add(database, JobRow, [job_row("a" * 32)])
    facts = {"sop_class_uid": "1", "series_instance_uid": "1", "study_instance_uid": "1", "kind": "report"}
    with Session(database) as session, session.begin():
        session.add(ObjectRow(sop_instance_uid="1.2.3", job_id="a" * 32, path=path, sha256="", size=1, **facts))


@pytest.mark.parametrize("path", ["jobs/ab/objects/1.dcm", "/earlier/place/data/jobs/ab/objects/1.dcm"])
def test_an_object_of_a_job_is_found_where_the_data_folder_is_now(database: Database, path: str) -> None:
    made(database, path)
    own = OwnResults(database, Path("/srv/data"))
    assert own("1.2.3") == Path("/srv/data/jobs/ab/objects/1.dcm")
    assert own("1.2.4") is None


def test_a_database_that_does_not_answer_knows_of_none(database: Database) -> None:
    assert OwnResults(database, Path("/srv/data"))("1.2.3") is None  # it has no tables
