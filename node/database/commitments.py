"""Storage commitment transactions. All writing of their table is here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from node.database.states import COMMITMENT, CommitmentDirection, CommitmentState, before, require
from node.database.tables import CommitmentRow

Reference: TypeAlias = list[str]
"""SOP Class UID and SOP Instance UID."""


@dataclass(frozen=True)
class Report:
    """What a destination reported of a transaction (PS3.4 J.3.3)."""

    event_type: int  # 1: all is kept; 2: failures exist
    failed: Mapping[str, int]  # failure reason by SOP Instance UID


def begin(
    session: Session,
    transaction_uid: str,
    direction: CommitmentDirection,
    peer: str,
    references: Sequence[Reference],
    now: datetime,
) -> None:
    """Write a new transaction down."""
    session.add(
        CommitmentRow(
            transaction_uid=transaction_uid,
            direction=direction,
            peer=peer,
            references=list(references),
            state=CommitmentState.WAITING,
            not_before=now,
            created=now,
        )
    )


def transactions(
    direction: CommitmentDirection, *states: CommitmentState, peer: str | None = None
) -> Select[CommitmentRow]:
    """The transactions of one direction in these states, of one peer where one is named."""
    query = select(CommitmentRow).where(CommitmentRow.direction == direction, CommitmentRow.state.in_(states))
    return query if peer is None else query.where(CommitmentRow.peer == peer)


def move(row: CommitmentRow, state: CommitmentState) -> None:
    """Bring a transaction of the session into `state`.

    Raises
    ------
    ForbiddenTransition
    """
    require(COMMITMENT, f"commitment transaction {row.transaction_uid}", CommitmentState(row.state), state)
    row.state = state


def ask_again(row: CommitmentRow, now: datetime) -> None:
    """The peer asks for the report once more."""
    move(row, CommitmentState.WAITING)
    row.attempts, row.not_before = 0, now


def note_report(session: Session, transaction_uid: str, report: Report) -> bool:
    """Keep what a destination reported of a transaction that the node began; False where there is none such."""
    noted = session.execute(
        update(CommitmentRow)
        .where(
            CommitmentRow.transaction_uid == transaction_uid,
            CommitmentRow.direction == CommitmentDirection.OUT,
        )
        .values(
            state=CommitmentState.REPORTED,
            answer=json.dumps({"event_type": report.event_type, "failed": dict(report.failed)}),
        )
        .returning(CommitmentRow.transaction_uid)
    ).scalar()
    return noted is not None


def report_of(row: CommitmentRow) -> Report:
    """What `note_report` kept."""
    kept = json.loads(row.answer)
    return Report(int(kept["event_type"]), {str(uid): int(reason) for uid, reason in kept["failed"].items()})


def wait(session: Session, transaction_uid: str, answer: str, not_before: datetime) -> None:
    """Come back to a transaction later, unless its report is there already."""
    session.execute(
        update(CommitmentRow)
        .where(CommitmentRow.transaction_uid == transaction_uid, CommitmentRow.state == CommitmentState.WAITING)
        .values(answer=answer, attempts=CommitmentRow.attempts + 1, not_before=not_before)
    )


def close(session: Session, transaction_uid: str, state: CommitmentState) -> None:
    """End a transaction; one that has come to another end meanwhile is left alone."""
    session.execute(
        update(CommitmentRow)
        .where(CommitmentRow.transaction_uid == transaction_uid, CommitmentRow.state.in_(before(COMMITMENT, state)))
        .values(state=state)
    )


def note_answer(
    session: Session, transaction_uid: str, state: CommitmentState, attempts: int, answer: str, not_before: datetime
) -> None:
    """Keep how the peer took the node's report; one that it took already, on another association, stays taken."""
    session.execute(
        update(CommitmentRow)
        .where(CommitmentRow.transaction_uid == transaction_uid, CommitmentRow.state != CommitmentState.REPORTED)
        .values(state=state, attempts=attempts, answer=answer, not_before=not_before)
    )
