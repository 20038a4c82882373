"""Verdicts are stored once, come back as they were, and the latest word of a reader about a finding stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.assessment import Answer
from node.database import verdicts
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.database.tables import JobRow, VerdictRow
from node.verdicts import storing
from node.verdicts.verdict import Verdict, observer_digest, observer_key
from tests.node.backlog import NOW, add, job_row
from tests.node.verdicts.said import SAID


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    add(opened, JobRow, [job_row("1")])
    yield opened
    opened.dispose()


def store(database: Database, *said: Verdict) -> int:
    with Session(database) as session, session.begin():
        return storing.store(session, said)


def standing(database: Database) -> list[Verdict]:
    with Session(database) as session:
        return [storing.verdict(row) for row in verdicts.standing(session, "1")]


def test_a_verdict_comes_back_as_it_was_and_the_same_words_again_add_nothing(database: Database) -> None:
    assert store(database, SAID) == 1
    assert store(database, SAID) == 0
    assert standing(database) == [SAID]


def test_the_latest_word_of_a_reader_stands_in_whichever_order_it_comes_and_others_stand_beside_it(
    database: Database,
) -> None:
    earlier = replace(SAID, source_uid="1.2.4", answer=Answer.REJECT, observed=NOW - timedelta(hours=1))
    other = replace(SAID, source_uid="1.2.5", answer=Answer.ACCEPT, observer="somebody else")
    store(database, SAID)
    assert store(database, earlier, other) == 2
    assert {one.source_uid for one in standing(database)} == {SAID.source_uid, other.source_uid}
    with Session(database) as session:
        assert len(session.scalars(select(VerdictRow.id)).all()) == 3


def test_a_reader_is_known_by_a_digest_that_only_this_node_can_make(tmp_path: Path) -> None:
    key = observer_key(tmp_path / "here")
    digest = observer_digest("Roe^Jane^^Dr", key)
    assert digest == observer_digest("ROE^Jane^ ^Dr", key)
    assert digest != observer_digest("Roe^Jane^^Dr", observer_key(tmp_path / "there"))
    assert "roe" not in digest
    assert observer_digest("", key) == ""
