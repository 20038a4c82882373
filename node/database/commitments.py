"""Storage commitment transactions: of peers that ask the node, and of the node that asks destinations.

All writing of their table is here, and every change of a transaction's state follows `node.database.states`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from node.database.states import COMMITMENT, CommitmentDirection, CommitmentState, ForbiddenTransition, before, require
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
    """Write a new transaction down: it waits, and is due at once.

    Parameters
    ----------
    peer
        Who asks, or the destination that is asked.
    references
        What is to be kept.
    now
        The time, timezone aware.
    """
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


def due(direction: CommitmentDirection, now: datetime, peer: str | None = None) -> Select[CommitmentRow]:
    """The transactions of one direction that wait no longer, the longest due first."""
    waiting = transactions(direction, CommitmentState.WAITING, peer=peer)
    return waiting.where(CommitmentRow.not_before <= now).order_by(CommitmentRow.not_before)


def waiting(session: Session, direction: CommitmentDirection, peer: str) -> int:
    """How many transactions with that peer wait."""
    of_peer = transactions(direction, CommitmentState.WAITING, peer=peer)
    return session.scalar(of_peer.with_only_columns(func.count())) or 0


# ---- of peers that ask the node
def ask_again(session: Session, transaction_uid: str, now: datetime) -> None:
    """The peer asks for the report once more: it gets it at once."""
    _change(session, CommitmentDirection.IN, CommitmentState.WAITING, transaction_uid, {})
    here = _row(CommitmentDirection.IN, transaction_uid)
    session.execute(update(CommitmentRow).where(*here).values(attempts=0, not_before=now, created=now))


def report_taken(session: Session, transaction_uid: str) -> None:
    """The peer has taken the node's report.

    Raises
    ------
    ForbiddenTransition
        If no peer has asked for such a transaction.
    """
    columns = {"answer": "", "attempts": CommitmentRow.attempts + 1}
    _move(session, CommitmentDirection.IN, CommitmentState.REPORTED, transaction_uid, columns)


def give_up(session: Session, transaction_uid: str, answer: str) -> None:
    """The report could not be delivered for too long; if the peer has taken it meanwhile, that holds."""
    columns = {"answer": answer, "attempts": CommitmentRow.attempts + 1}
    _change(session, CommitmentDirection.IN, CommitmentState.FAILED, transaction_uid, columns)


# ---- of the node that asks destinations
def note_report(session: Session, transaction_uid: str, report: Report) -> None:
    """Keep what a destination reported; one that comes twice, or late, is kept too.

    Raises
    ------
    ForbiddenTransition
        If the node has not begun such a transaction.
    """
    columns = {"answer": json.dumps({"event_type": report.event_type, "failed": dict(report.failed)})}
    _move(session, CommitmentDirection.OUT, CommitmentState.REPORTED, transaction_uid, columns)


def report_of(row: CommitmentRow) -> Report:
    """What `note_report` kept."""
    kept = json.loads(row.answer)
    return Report(int(kept["event_type"]), {str(uid): int(reason) for uid, reason in kept["failed"].items()})


def close(session: Session, transaction_uid: str, *, kept: bool) -> None:
    """End a transaction: the destination keeps all of it, or it does not, or nobody knows.

    Raises
    ------
    ForbiddenTransition
        If it has come to the other end meanwhile.
    """
    state = CommitmentState.CONFIRMED if kept else CommitmentState.FAILED
    _move(session, CommitmentDirection.OUT, state, transaction_uid, {})


# ---- both
def wait(
    session: Session,
    direction: CommitmentDirection,
    transaction_uid: str,
    not_before: datetime,
    *,
    answer: str = "",
    asked: bool = False,
) -> None:
    """Come back to a transaction later; one that does not wait any more is left alone.

    Parameters
    ----------
    not_before
        When, timezone aware.
    answer
        What kept it from being done now.
    asked
        Whether the destination has been asked, and its report is awaited.
    """
    session.execute(
        update(CommitmentRow)
        .where(*_row(direction, transaction_uid), CommitmentRow.state == CommitmentState.WAITING)
        .values(answer=answer, asked=asked, attempts=CommitmentRow.attempts + 1, not_before=not_before)
    )


def _row(direction: CommitmentDirection, transaction_uid: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return CommitmentRow.direction == direction, CommitmentRow.transaction_uid == transaction_uid


def _change(
    session: Session,
    direction: CommitmentDirection,
    state: CommitmentState,
    transaction_uid: str,
    columns: Mapping[str, Any],
) -> bool:
    """Bring a transaction into `state` if it may follow; whether it did. Every change of state is made here."""
    allowed = before(COMMITMENT[direction], state)
    changed = session.execute(
        update(CommitmentRow)
        .where(*_row(direction, transaction_uid), CommitmentRow.state.in_(allowed))
        .values(state=state, **columns)
        .returning(CommitmentRow.transaction_uid)
    )
    return changed.first() is not None


def _move(
    session: Session,
    direction: CommitmentDirection,
    state: CommitmentState,
    transaction_uid: str,
    columns: Mapping[str, Any],
) -> None:
    """As `_change`, and `columns` are written where it is in `state` already; anything else is an error."""
    if _change(session, direction, state, transaction_uid, columns):
        return
    here = _row(direction, transaction_uid)
    now = session.scalar(select(CommitmentRow.state).where(*here))
    what = f"storage commitment transaction {transaction_uid}"
    if now is None:
        raise ForbiddenTransition(f"{what} is not known")
    require(COMMITMENT[direction], what, CommitmentState(now), state)
    if columns:
        session.execute(update(CommitmentRow).where(*here).values(**columns))
