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
    commitments.note_report(session, "2.25.1", report)
    for other in ("2.25.2", "2.25.3"):
        with pytest.raises(ForbiddenTransition, match=rf"{other} is not known"):
            commitments.note_report(session, other, report)
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
    commitments.wait(session, CommitmentDirection.OUT, "2.25.1", NOON + timedelta(hours=1), asked=True)
    session.refresh(row)
    assert (row.state, row.attempts, row.asked) == (CommitmentState.REPORTED, 0, False)


def test_a_confirmed_transaction_does_not_fail_afterwards(session: Session) -> None:
    row = asked(session, CommitmentDirection.OUT)
    commitments.close(session, "2.25.1", kept=True)
    with pytest.raises(ForbiddenTransition, match=r"2\.25\.1 is confirmed and cannot become failed"):
        commitments.close(session, "2.25.1", kept=False)
    session.refresh(row)
    assert row.state == CommitmentState.CONFIRMED


def test_a_report_that_comes_late_is_kept_and_one_that_comes_again_takes_its_place(session: Session) -> None:
    row = asked(session, CommitmentDirection.OUT)
    commitments.close(session, "2.25.1", kept=False)
    for report in (commitments.Report(2, {"1.2": 0x0112}), commitments.Report(1, {})):
        commitments.note_report(session, "2.25.1", report)
        session.refresh(row)
        assert (row.state, commitments.report_of(row)) == (CommitmentState.REPORTED, report)


def test_a_peer_that_asks_again_is_answered_again(session: Session) -> None:
    row = asked(session, CommitmentDirection.IN)
    commitments.give_up(session, "2.25.1", "no answer")
    session.refresh(row)
    assert (row.state, row.attempts, row.answer) == (CommitmentState.FAILED, 1, "no answer")
    commitments.ask_again(session, "2.25.1", NOON)
    session.refresh(row)
    assert (row.state, row.attempts) == (CommitmentState.WAITING, 0)


def test_a_peer_that_took_the_report_meanwhile_is_neither_put_off_nor_given_up(session: Session) -> None:
    row = asked(session, CommitmentDirection.IN)
    commitments.report_taken(session, "2.25.1")
    commitments.wait(session, CommitmentDirection.IN, "2.25.1", NOON + timedelta(hours=1), answer="cannot be reached")
    commitments.give_up(session, "2.25.1", "cannot be reached")
    session.refresh(row)
    assert (row.state, row.attempts, row.answer, row.not_before) == (CommitmentState.REPORTED, 1, "", NOON)
