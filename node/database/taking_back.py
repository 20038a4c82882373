"""What is taken back of destinations: a row for each job and destination, worked off by the destination's lane.

A row waits until the destination has been told, then until it has been asked what it still has: that is the proof. What
a destination may have is what was ever begun to be sent to it, whether or not it answered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, and_, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from dicom_sr.profile import LATER_KINDS, EncodedObject
from dicom_sr.rejection_reasons import RejectionReason
from node.database.outbox import UNSETTLED, encoded_object
from node.database.queries import in_chunks
from node.database.states import WITHDRAWAL, ForbiddenTransition, OutboxState, WithdrawalState, before
from node.database.tables import JobRow, ObjectRow, OutboxRow, WithdrawalRow

SUPERSEDED = "superseded by a later result of the same study"
HELD_SHOWN = 20  # UIDs of what a destination still has that a row keeps
OPEN = (WithdrawalState.WAITING, WithdrawalState.TOLD)

# The states stand in the statement itself: only so a database sees that an index of such rows will do.
IS_OPEN: ColumnElement[bool] = WithdrawalRow.state.in_([literal(one.value, literal_execute=True) for one in OPEN])

# Refused and never taken: not there. Everything else that was begun may be, also without an answer.
_MAY_BE_THERE: ColumnElement[bool] = and_(
    OutboxRow.sha256 != "",
    or_(
        OutboxRow.delivered.is_not(None),
        OutboxRow.state.not_in((OutboxState.REFUSED, OutboxState.SKIPPED)),
    ),
)

# DICOM objects that were written with a result, not what a reader said about it later.
_OF_RESULT: ColumnElement[bool] = and_(ObjectRow.sop_class_uid != "", ObjectRow.kind.not_in(LATER_KINDS))


@dataclass(frozen=True)
class Held:
    """What a destination says it has of what is taken back."""

    number: int | None  # None: it did not say
    uids: Sequence[str] = ()

    @classmethod
    def of(cls, found: Collection[str] | None) -> Held:
        """By the SOP Instance UIDs that it named; None where it cannot be asked."""
        return cls(None) if found is None else cls(len(found), sorted(found))


# ---- what may be there
def may_have(session: Session, job_ids: Iterable[str]) -> dict[tuple[str, str], int]:
    """How many objects of each job each destination may have; by job and destination."""
    found: dict[tuple[str, str], int] = {}
    for chunk in in_chunks(job_ids):
        rows = session.execute(
            select(OutboxRow.job_id, OutboxRow.destination, func.count())
            .where(OutboxRow.job_id.in_(chunk), _MAY_BE_THERE)
            .group_by(OutboxRow.job_id, OutboxRow.destination)
            .order_by(OutboxRow.job_id, OutboxRow.destination)
        )
        found |= {(job, name): number for job, name, number in rows}
    return found


def objects_there(session: Session, row: WithdrawalRow, data: Path) -> list[EncodedObject]:
    """What the destination of a row may have of its job.

    Where a later result takes its place: without what that one sent under the same UID, and without what readers said.
    """
    where = [OutboxRow.job_id == row.job_id, OutboxRow.destination == row.destination, _MAY_BE_THERE]
    if row.successor is not None:
        where += [_OF_RESULT, _not_of(row.successor)]
    rows = session.scalars(
        select(ObjectRow)
        .join(OutboxRow, OutboxRow.sop_instance_uid == ObjectRow.sop_instance_uid)
        .where(*where)
        .order_by(ObjectRow.order, ObjectRow.sop_instance_uid)
    )
    return [encoded_object(one, data) for one in rows]


# ---- new rows
def take_back(session: Session, job_id: str, reason: RejectionReason, why: str, now: datetime) -> list[str]:
    """Have all that a job sent be taken back wherever it went; the destinations.

    What was taken back before, because a later result took its place, is told once more with this reason.
    """
    found = may_have(session, [job_id])
    for _, destination in found:
        _queue(session, job_id, destination, found[job_id, destination], reason, why, None, now)
    return [destination for _, destination in found]


def supersede(session: Session, job: JobRow, earlier: Sequence[str], now: datetime) -> list[str]:
    """Have the DICOM objects of the results that a job revises be taken back where all of its own have arrived.

    FHIR servers and HL7 receivers replace the earlier report by themselves. What a reader said about the earlier
    result stays.

    Parameters
    ----------
    job
        It has been sent.
    earlier
        The jobs that it revises.
    now
        The time, timezone aware.

    Returns
    -------
    list[str]
        The destinations that have an earlier result and get nothing of this one.
    """
    if not earlier:
        return []
    states: dict[str, set[str]] = {}
    for destination, state in session.execute(
        select(OutboxRow.destination, OutboxRow.state)
        .join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
        .where(OutboxRow.job_id == job.id, _OF_RESULT)
        .distinct()
    ):
        states.setdefault(destination, set()).add(state)
    taken = {str(OutboxState.DELIVERED), str(OutboxState.CONFIRMED)}
    arrived = {name for name, found in states.items() if found & taken and found <= {*taken, OutboxState.SKIPPED}}
    without: set[str] = set()
    for job_id in earlier:
        numbers = session.execute(
            select(OutboxRow.destination, func.count())
            .join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
            .where(OutboxRow.job_id == job_id, _MAY_BE_THERE, _OF_RESULT, _not_of(job.id))
            .group_by(OutboxRow.destination)
        ).all()
        known = set(session.scalars(select(WithdrawalRow.destination).where(WithdrawalRow.job_id == job_id)))
        for destination, number in numbers:
            if destination in arrived - known:
                quality = RejectionReason.QUALITY
                _queue(session, job_id, destination, number, quality, SUPERSEDED, job.id, now)
            elif destination not in states and destination not in known:
                without.add(destination)
    return sorted(without)


def _not_of(job_id: str) -> ColumnElement[bool]:
    """Objects that a job did not send under the same UID."""
    return OutboxRow.sop_instance_uid.not_in(select(OutboxRow.sop_instance_uid).where(OutboxRow.job_id == job_id))


def _queue(
    session: Session,
    job_id: str,
    destination: str,
    objects: int,
    reason: RejectionReason,
    why: str,
    successor: str | None,
    now: datetime,
) -> None:
    told: dict[str, object] = {
        "code": reason.value,
        "why": why,
        "successor": successor,
        "state": WithdrawalState.WAITING,
        "objects": objects,
        "held_before": None,
        "held_after": None,
        "still_held": [],
        "asked": None,
        "attempts": 0,
        "not_before": now,
        "created": now,
        "answer": "",
    }
    of = (WithdrawalRow.job_id == job_id, WithdrawalRow.destination == destination)
    if not session.execute(update(WithdrawalRow).where(*of).values(told).returning(WithdrawalRow.id)).all():
        session.execute(
            insert(WithdrawalRow).values(job_id=job_id, destination=destination, way="", note_uid="", **told)
        )


def is_replaced(session: Session, row: WithdrawalRow) -> bool:
    """Whether the destination of a row has what a later job made in place of the row's, and is to keep that."""
    later, latest = set[str](), {row.job_id}
    while latest := set(session.scalars(select(JobRow.id).where(JobRow.predecessor.in_(latest)))) - later:
        later |= latest
    delivered = (
        select(JobRow.id)
        .join(OutboxRow, OutboxRow.job_id == JobRow.id)
        .where(
            JobRow.id.in_(later),
            JobRow.withdrawn.is_(None),
            OutboxRow.destination == row.destination,
            OutboxRow.delivered.is_not(None),
        )
    )
    return session.scalar(delivered.limit(1)) is not None


# ---- working them off
def next_due(session: Session, destination: str, now: datetime) -> WithdrawalRow | None:
    """The row of a destination that is due; one whose job has something to send or to confirm there is not."""
    on_its_way = select(OutboxRow.id).where(
        OutboxRow.job_id == WithdrawalRow.job_id, OutboxRow.destination == WithdrawalRow.destination, UNSETTLED
    )
    return session.scalar(
        select(WithdrawalRow)
        .where(WithdrawalRow.destination == destination, IS_OPEN, WithdrawalRow.not_before <= now, ~on_its_way.exists())
        .order_by(WithdrawalRow.not_before, WithdrawalRow.id)
        .limit(1)
    )


def note_before(session: Session, row_id: int, held: Held) -> None:
    """Write down what the destination had before it was told; what was written down first stays."""
    session.execute(
        update(WithdrawalRow)
        .where(WithdrawalRow.id == row_id, WithdrawalRow.held_before.is_(None))
        .values(held_before=held.number)
    )


def note_after(session: Session, row_id: int, held: Held, now: datetime) -> None:
    """Write down what the destination has, now that it was told."""
    values = {"held_after": held.number, "still_held": list(held.uids[:HELD_SHOWN]), "asked": now}
    session.execute(update(WithdrawalRow).where(WithdrawalRow.id == row_id).values(values))


def move(
    session: Session, row_id: int, state: WithdrawalState, answer: str, *, way: str = "", note_uid: str = ""
) -> None:
    """Bring a row into `state`, with the peer's last word.

    Parameters
    ----------
    row_id
        Of the row.
    state
        To be in afterwards.
    answer
        What the peer answered, or why it was not told.
    way
        How it was told; empty: as it stands in the row.
    note_uid
        SOP Instance UID of the rejection note, where one was sent.

    Raises
    ------
    ForbiddenTransition
        If the row is in a state that `node.database.states` does not let it leave so: it is taken back anew.
    """
    values: dict[str, object] = {"state": state, "answer": answer, "attempts": 0}
    values |= {name: value for name, value in (("way", way), ("note_uid", note_uid)) if value}
    changed = session.execute(
        update(WithdrawalRow)
        .where(WithdrawalRow.id == row_id, WithdrawalRow.state.in_(before(WITHDRAWAL, state)))
        .values(values)
        .returning(WithdrawalRow.id)
    )
    if not changed.all():
        now = session.scalar(select(WithdrawalRow.state).where(WithdrawalRow.id == row_id))
        raise ForbiddenTransition(f"withdrawal {row_id} is {now} and cannot become {state}")


def put_off(session: Session, row_id: int, until: datetime, answer: str | None = None) -> None:
    """Let a row wait for longer, and count that it was tried; `answer` is what the peer said, or why not."""
    values: dict[str, object] = {"not_before": until, "attempts": WithdrawalRow.attempts + 1}
    if answer is not None:
        values["answer"] = answer
    session.execute(update(WithdrawalRow).where(WithdrawalRow.id == row_id, IS_OPEN).values(values))


def leave_all_but(session: Session, destinations: Collection[str], answer: str) -> list[tuple[str, str]]:
    """Leave what is to be taken back at destinations other than these; job and destination of each."""
    gone = session.execute(
        update(WithdrawalRow)
        .where(IS_OPEN, WithdrawalRow.destination.not_in(destinations))
        .values(state=WithdrawalState.LEFT, answer=answer)
        .returning(WithdrawalRow.job_id, WithdrawalRow.destination)
    )
    return [(job_id, destination) for job_id, destination in gone]


def of_jobs(session: Session, job_ids: Iterable[str]) -> list[WithdrawalRow]:
    """What is, or was, taken back of some jobs; in the order of the jobs, by destination."""
    found: list[WithdrawalRow] = []
    for chunk in in_chunks(job_ids):
        rows = session.scalars(select(WithdrawalRow).where(WithdrawalRow.job_id.in_(chunk)))
        place = {job_id: number for number, job_id in enumerate(chunk)}
        found += sorted(rows, key=lambda row: (place[row.job_id], row.destination))
    return found
