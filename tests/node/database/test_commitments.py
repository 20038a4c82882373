from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from node.database import commitments
from node.database.connection import open_database
from node.database.migrations import migrate
from node.database.states import CommitmentDirection, CommitmentState, ForbiddenTransition
from node.database.tables import CommitmentRow

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
REFERENCES = [["1.2.840.1", "1.1"], ["1.2.840.1", "1.2"]]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(database)
    with Session(database) as session:
        yield session
    database.dispose()


def asked(session: Session, direction: CommitmentDirection, uid: str = "2.25.1") -> CommitmentRow:
    commitments.begin(session, uid, direction, "pacs", REFERENCES, NOON)
    return session.get_one(CommitmentRow, uid)


def test_a_report_is_kept_for_what_the_node_asked_and_for_nothing_else(session: Session) -> None:
    row = asked(session, CommitmentDirection.OUT)
    asked(session, CommitmentDirection.IN, "2.25.2")
    report = commitments.Report(2, {"1.2": 0x0112})
    assert commitments.note_report(session, "2.25.1", report)
    assert not commitments.note_report(session, "2.25.2", report)
    assert not commitments.note_report(session, "2.25.3", report)
    session.refresh(row)
    assert (row.state, commitments.report_of(row)) == (CommitmentState.REPORTED, report)


def test_transactions_are_found_by_direction_state_and_peer(session: Session) -> None:
    asked(session, CommitmentDirection.OUT)
    asked(session, CommitmentDirection.IN, "2.25.2")
    waiting = commitments.transactions(CommitmentDirection.OUT, CommitmentState.WAITING, peer="pacs")
    assert [row.transaction_uid for row in session.scalars(waiting)] == ["2.25.1"]
    other = commitments.transactions(CommitmentDirection.OUT, CommitmentState.WAITING, peer="other")
    assert session.scalars(other).all() == []


def test_a_transaction_that_was_reported_does_not_wait_for_longer(session: Session) -> None:
    row = asked(session, CommitmentDirection.OUT)
    commitments.note_report(session, "2.25.1", commitments.Report(1, {}))
    commitments.wait(session, "2.25.1", "asked", NOON + timedelta(hours=1))
    session.refresh(row)
    assert (row.state, row.attempts) == (CommitmentState.REPORTED, 0)


def test_a_confirmed_transaction_does_not_fail_afterwards(session: Session) -> None:
    row = asked(session, CommitmentDirection.OUT)
    commitments.close(session, "2.25.1", CommitmentState.CONFIRMED)
    commitments.close(session, "2.25.1", CommitmentState.FAILED)
    session.refresh(row)
    assert row.state == CommitmentState.CONFIRMED
    with pytest.raises(ForbiddenTransition, match=r"2\.25\.1 is confirmed and cannot become failed"):
        commitments.move(row, CommitmentState.FAILED)


def test_a_peer_that_asks_again_is_answered_again(session: Session) -> None:
    row = asked(session, CommitmentDirection.IN)
    commitments.note_answer(session, "2.25.1", CommitmentState.FAILED, 7, "no answer", NOON)
    session.refresh(row)
    commitments.ask_again(row, NOON)
    assert (row.state, row.attempts) == (CommitmentState.WAITING, 0)
