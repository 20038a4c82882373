"""The objects that jobs made, and the outbox: a line per object and destination. All writing of both tables is here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypedDict, cast

from sqlalchemy import ColumnElement, Select, and_, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from dicom_sr.profile import LATER_KINDS, EncodedObject, Kind
from dicom_sr.words import counted
from node.data_folder import resolved, to_store
from node.database.after_commit import after_commit
from node.database.pauses import PauseKind, names_of_paused
from node.database.queries import in_chunks
from node.database.states import OUTBOX, ForbiddenTransition, OutboxState, WithdrawalState, before
from node.database.tables import Instant, JobRow, ObjectRow, OutboxRow, WithdrawalRow
from node.errors import JobFailed
from node.metrics import CONFIRMED

UNSETTLED: ColumnElement[bool] = or_(  # lines that still have a way to go
    OutboxRow.state == OutboxState.WAITING, and_(OutboxRow.state == OutboxState.DELIVERED, OutboxRow.confirm)
)

# The states stand in the statement itself: only so a database sees that an index of such lines will do.
WAITS: ColumnElement[bool] = OutboxRow.state == literal(OutboxState.WAITING.value, literal_execute=True)
_TAKEN: ColumnElement[bool] = OutboxRow.state.in_((OutboxState.DELIVERED, OutboxState.CONFIRMED))
_UNASKED: ColumnElement[bool] = and_(  # delivered, to be confirmed, and in no transaction yet
    OutboxRow.state == literal(OutboxState.DELIVERED.value, literal_execute=True),
    OutboxRow.confirm,
    OutboxRow.transaction_uid.is_(None),
)


# Lines of the result that a destination refused, so that the job has failed; what is written later is no part of it.
REFUSED_OF_RESULT: ColumnElement[bool] = and_(
    OutboxRow.state == OutboxState.REFUSED,
    ~select(ObjectRow.kind)
    .where(ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid, ObjectRow.kind.in_(LATER_KINDS))
    .correlate(OutboxRow)
    .exists(),
)


UNCONFIRMED = "delivered, not confirmed: "  # begins what is shown of a line whose confirmation fails


@dataclass(frozen=True)
class OutboxLine(EncodedObject):
    """An encoded object on its way to one destination."""

    line: int = 0  # id in the outbox


# ---- objects
class _Fields(TypedDict):
    """An encoded object as keywords."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    path: Path
    kind: Kind
    order: int
    sha256: str
    size: int
    twin_of: str | None


def _fields(row: ObjectRow, data: Path) -> _Fields:
    return {
        "sop_class_uid": row.sop_class_uid,
        "sop_instance_uid": row.sop_instance_uid,
        "series_instance_uid": row.series_instance_uid,
        "study_instance_uid": row.study_instance_uid,
        "path": resolved(row.path, data),
        "kind": cast(Kind, row.kind),
        "order": row.order,
        "sha256": row.sha256,
        "size": row.size,
        "twin_of": row.twin_of,
    }


def encoded_object(row: ObjectRow, data: Path) -> EncodedObject:
    """The object of a row, as its encoder described it; its file lies in the data folder `data`."""
    return EncodedObject(**_fields(row, data))


def keep_objects(session: Session, job_id: str, objects: Iterable[EncodedObject], data: Path) -> None:
    """Write down the objects that a job made; those that are known already stay as they are.

    Their paths are written down relative to the data folder `data`.

    Raises
    ------
    JobFailed
        If one was sent before with other bytes.
    """
    for chunk in in_chunks(objects):
        uids = [item.sop_instance_uid for item in chunk]
        rows = session.scalars(select(ObjectRow).where(ObjectRow.sop_instance_uid.in_(uids)))
        known = {row.sop_instance_uid: row for row in rows}
        new = []
        for item in chunk:
            values = {**asdict(item), "path": to_store(item.path, data), "job_id": job_id}
            row = known.get(item.sop_instance_uid)
            if row is None:
                new.append(values)
            elif row.sha256 != item.sha256:
                _replace(session, row, values)
        if new:
            session.execute(insert(ObjectRow), new)


def _replace(session: Session, row: ObjectRow, values: dict[str, object]) -> None:
    """Put other bytes under a UID: allowed only while the former ones were never sent."""
    sent = select(OutboxRow.id).where(OutboxRow.sop_instance_uid == row.sop_instance_uid, OutboxRow.sha256 != "")
    if session.scalar(sent.limit(1)) is not None:
        raise JobFailed(f"{row.kind} {row.sop_instance_uid} was sent before with other bytes; it stays as it is")
    for name, value in values.items():
        setattr(row, name, value)
    session.flush()


def reports_sent(session: Session, job_id: str, data: Path) -> tuple[EncodedObject, ...]:
    """The reports of a job that were queued for any destination."""
    queued = select(OutboxRow.id).where(OutboxRow.sop_instance_uid == ObjectRow.sop_instance_uid).exists()
    rows = session.scalars(
        select(ObjectRow)
        .where(ObjectRow.job_id == job_id, ObjectRow.kind == "report", queued)
        .order_by(ObjectRow.sop_instance_uid)
    )
    return tuple(encoded_object(row, data) for row in rows)


def sent_to(
    session: Session, job_id: str, destination: str, kinds: Sequence[Kind], data: Path
) -> tuple[EncodedObject, ...]:
    """The objects of a job, of some kinds, that were queued for a destination."""
    rows = session.scalars(
        select(ObjectRow)
        .join(OutboxRow, OutboxRow.sop_instance_uid == ObjectRow.sop_instance_uid)
        .where(OutboxRow.job_id == job_id, OutboxRow.destination == destination, ObjectRow.kind.in_(kinds))
        .order_by(ObjectRow.sop_instance_uid)
    )
    return tuple(encoded_object(row, data) for row in rows)


def number_sent(session: Session, job_ids: Sequence[str]) -> int:
    """Of how many of the jobs anything was queued."""
    return session.scalar(select(func.count(OutboxRow.job_id.distinct())).where(OutboxRow.job_id.in_(job_ids))) or 0


# ---- lines: new ones
def queue(
    session: Session, job_id: str, destination: str, objects: Sequence[EncodedObject], *, confirm: bool, now: datetime
) -> int:
    """Have objects of a job wait for a destination; returns how many do.

    After a restart of the job, what was refused or left out waits again; what was delivered does not.

    Parameters
    ----------
    job_id
        Of the job.
    destination
        Its name in the configuration.
    objects
        What the destination takes, written down before by `keep_objects`.
    confirm
        Whether an object counts as sent only once the destination has said that it keeps it.
    now
        The time, timezone aware: they may be sent from now on.
    """
    waiting = 0
    new: list[dict[str, object]] = []
    for chunk in in_chunks(objects):
        uids = [item.sop_instance_uid for item in chunk]
        here = [OutboxRow.destination == destination, OutboxRow.sop_instance_uid.in_(uids)]
        known = set(session.scalars(select(OutboxRow.sop_instance_uid).where(*here)))
        ended = OutboxRow.state.in_((OutboxState.REFUSED, OutboxState.SKIPPED, OutboxState.CANCELLED))
        waiting += _change(
            session, OutboxState.WAITING, *here, OutboxRow.job_id == job_id, ended, columns={"not_before": now}
        )
        new += [
            {
                "sop_instance_uid": item.sop_instance_uid,
                "job_id": job_id,
                "destination": destination,
                "order": item.order,
                "state": OutboxState.WAITING,
                "not_before": now,
                "confirm": confirm,
            }
            for item in chunk
            if item.sop_instance_uid not in known
        ]
    if new:
        session.execute(insert(OutboxRow), new)
    return waiting + len(new)


def queue_twin(session: Session, line_id: int, now: datetime) -> None:
    """Have the twin of a line's object wait for the same destination, unless it did before."""
    line = session.get_one(OutboxRow, line_id)
    twin = session.scalars(_twins(line)).one()
    known = select(OutboxRow.id).where(
        OutboxRow.sop_instance_uid == twin.sop_instance_uid, OutboxRow.destination == line.destination
    )
    if session.scalar(known) is None:
        session.add(
            OutboxRow(
                sop_instance_uid=twin.sop_instance_uid,
                job_id=line.job_id,
                destination=line.destination,
                order=line.order,
                state=OutboxState.WAITING,
                not_before=now,
                confirm=line.confirm,
            )
        )


def _twins(line: OutboxRow) -> Select[ObjectRow]:
    return select(ObjectRow).where(ObjectRow.twin_of == line.sop_instance_uid, ObjectRow.job_id == line.job_id).limit(1)


# ---- lines: questions, each answered by an index, however many lines there are
def next_job(session: Session, destination: str, now: datetime) -> str | None:
    """The job that has waited longest for the destination and is due; one that fails again and again goes behind."""
    return session.scalar(
        select(OutboxRow.job_id)
        .where(OutboxRow.destination == destination, WAITS, OutboxRow.not_before <= now)
        .order_by(OutboxRow.not_before, OutboxRow.id)
        .limit(1)
    )


def count_sent(session: Session, job_id: str) -> int:
    """How many objects destinations have taken of the job, or will take whatever becomes of it: its derived series."""
    series = select(ObjectRow.sop_instance_uid).where(ObjectRow.job_id == job_id, ObjectRow.kind == "derived_series")
    on_their_way = and_(WAITS, OutboxRow.sop_instance_uid.in_(series))
    counts = select(func.count()).select_from(OutboxRow)
    return session.scalars(counts.where(OutboxRow.job_id == job_id, or_(_TAKEN, on_their_way))).one()


def has_unasked(session: Session, destination: str) -> bool:
    """Whether the destination took something that it has not been asked to confirm."""
    return session.scalar(_unasked(destination).limit(1)) is not None


def unasked(session: Session, destination: str, limit: int) -> list[tuple[OutboxRow, ObjectRow]]:
    """What the destination took and has not been asked to confirm, job by job; at most so many lines."""
    ids = session.scalars(_unasked(destination).limit(limit)).all()
    found: list[tuple[OutboxRow, ObjectRow]] = []
    for chunk in in_chunks(ids):
        found += _with_objects(session, select(OutboxRow, ObjectRow).where(OutboxRow.id.in_(chunk)))
    return found


def _unasked(destination: str) -> Select[int]:
    """In the order of the index of such lines, which leads the database to it."""
    return (
        select(OutboxRow.id)
        .where(OutboxRow.destination == destination, _UNASKED)
        .order_by(OutboxRow.job_id, OutboxRow.id)
    )


def unconfirmed(session: Session, transaction_uid: str) -> list[tuple[OutboxRow, ObjectRow]]:
    """The lines of a commitment transaction that are still to be confirmed."""
    return _with_objects(
        session,
        select(OutboxRow, ObjectRow).where(
            OutboxRow.transaction_uid == transaction_uid, OutboxRow.state == OutboxState.DELIVERED, OutboxRow.confirm
        ),
    )


def _with_objects(session: Session, query: Select[OutboxRow, ObjectRow]) -> list[tuple[OutboxRow, ObjectRow]]:
    rows = session.execute(
        query.join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid).order_by(
            OutboxRow.job_id, OutboxRow.id
        )
    )
    return [(line, made) for line, made in rows]


def find_twin(session: Session, line_id: int) -> str | None:
    """SOP Instance UID of what may stand in for a line's object where its class is refused; None where nothing may."""
    twin = session.scalars(_twins(session.get_one(OutboxRow, line_id))).first()
    return None if twin is None else twin.sop_instance_uid


def waiting_lines(session: Session, destination: str, job_id: str, data: Path) -> list[OutboxLine]:
    """The job's lines that wait for a destination: images first, reports last."""
    rows = session.execute(
        select(OutboxRow.id, ObjectRow)
        .join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
        .where(
            OutboxRow.destination == destination,
            OutboxRow.state == OutboxState.WAITING,
            OutboxRow.job_id == job_id,
        )
        .order_by(OutboxRow.order, OutboxRow.id)
    )
    return [OutboxLine(**_fields(row, data), line=line) for line, row in rows]


def digests_sent(session: Session, uids: Iterable[str]) -> dict[str, set[str]]:
    """By SOP Instance UID: SHA-256 of everything that was sent under it, to any destination."""
    sent: dict[str, set[str]] = {}
    for chunk in in_chunks(uids):
        rows = session.execute(
            select(OutboxRow.sop_instance_uid, OutboxRow.sha256).where(
                OutboxRow.sop_instance_uid.in_(chunk), OutboxRow.sha256 != ""
            )
        )
        for uid, sha256 in rows:
            sent.setdefault(uid, set()).add(sha256)
    return sent


def count_states(session: Session, lines: Iterable[int]) -> dict[OutboxState, int]:
    """How many of the lines are in each state."""
    counts: dict[OutboxState, int] = {}
    for chunk in in_chunks(lines):
        for state, number in session.execute(
            select(OutboxRow.state, func.count()).where(OutboxRow.id.in_(chunk)).group_by(OutboxRow.state)
        ):
            counts[OutboxState(state)] = counts.get(OutboxState(state), 0) + number
    return counts


@dataclass(frozen=True)
class LeftBehind:
    """What is on its way to a destination that is not in the configuration."""

    objects: int
    jobs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{counted(self.objects, 'object')} of {counted(len(self.jobs), 'job')}"


def left_behind(session: Session, destinations: Collection[str]) -> dict[str, LeftBehind]:
    """By name: what is on its way to other destinations than these."""
    rows = session.execute(
        select(OutboxRow.destination, OutboxRow.job_id, func.count())
        .where(UNSETTLED, OutboxRow.destination.not_in(destinations))
        .group_by(OutboxRow.destination, OutboxRow.job_id)
        .order_by(OutboxRow.destination, OutboxRow.job_id)
    )
    found: dict[str, LeftBehind] = {}
    for name, job_id, objects in rows:
        before = found.get(name, LeftBehind(0, ()))
        found[name] = LeftBehind(before.objects + objects, (*before.jobs, job_id))
    return found


# ---- lines: changes
def move(session: Session, line_id: int, state: OutboxState, answer: str, *, delivered: datetime | None = None) -> None:
    """Bring a line into `state`, with the peer's last word.

    Parameters
    ----------
    line_id
        Of the line.
    state
        To be in afterwards.
    answer
        What the peer answered, or why it was not sent.
    delivered
        When the peer took it, if it did.

    Raises
    ------
    ForbiddenTransition
        If the line is in a state that `node.database.states` does not let it leave so: it got another answer
        meanwhile.
    """
    columns: dict[str, object] = {"answer": answer}
    if delivered is not None:
        columns["delivered"] = delivered
    if not _change(session, state, OutboxRow.id == line_id, columns=columns):
        now = session.scalar(select(OutboxRow.state).where(OutboxRow.id == line_id))
        raise ForbiddenTransition(f"line {line_id} of the outbox is {now} and cannot become {state}")


def _change(session: Session, state: OutboxState, *where: ColumnElement[bool], columns: Mapping[str, object]) -> int:
    """Bring the lines that `where` finds, and whose state may be followed by `state`, into it; returns how many.

    Every change of a line's state is made here, by one statement: nothing comes in between the look and the change.

    Parameters
    ----------
    columns
        What else becomes of them.
    """
    changed = session.execute(
        update(OutboxRow)
        .where(*where, OutboxRow.state.in_(before(OUTBOX, state)))
        .values(
            {
                "state": state,
                "failing_since": None,
                **({"unclear": 0} if state is OutboxState.WAITING else {}),
                **columns,
            }
        )
        .returning(OutboxRow.id)
    )
    return len(changed.all())


def begin_attempt(session: Session, line: OutboxLine) -> bool:
    """Count an attempt, and note which bytes are sent: never others under this UID. False where it waits no more."""
    begun = session.execute(
        update(OutboxRow)
        .where(OutboxRow.id == line.line, OutboxRow.state == OutboxState.WAITING)
        .values(attempts=OutboxRow.attempts + 1, sha256=line.sha256)
        .returning(OutboxRow.id)
    )
    return begun.first() is not None


def attempts(session: Session, line_id: int) -> int:
    """How often the line was tried."""
    return session.get_one(OutboxRow, line_id).attempts


def put_off(
    session: Session, line_id: int, answer: str, not_before: datetime, *, now: datetime, count: bool = False
) -> None:
    """Let a line that waits wait for longer, as a try has failed; one that does not wait any more is left alone.

    Parameters
    ----------
    count
        Whether this was an attempt that is not counted yet.
    """
    since = func.coalesce(OutboxRow.failing_since, literal(now, Instant))
    values: dict[str, object] = {"answer": answer, "not_before": not_before, "failing_since": since}
    if count:
        values["attempts"] = OutboxRow.attempts + 1
    session.execute(
        update(OutboxRow).where(OutboxRow.id == line_id, OutboxRow.state == OutboxState.WAITING).values(values)
    )


@dataclass(frozen=True)
class Failing:
    """A destination that does not take what it is sent."""

    destination: str
    since: datetime
    waiting: int  # objects
    takes_some: bool  # it has taken others since then


def failing(session: Session, before: datetime) -> list[Failing]:
    """The destinations at which something has waited since before then, and was tried; by name.

    One that an operator has paused is not among them.
    """
    counts = select(func.count()).select_from(OutboxRow)
    return [
        Failing(
            name,
            began,
            session.scalars(counts.where(OutboxRow.destination == name, WAITS)).one(),
            takes_some=takes_some,
        )
        for name, (began, takes_some) in failing_since(session, before).items()
    ]


def failing_since(session: Session, before: datetime) -> dict[str, tuple[datetime, bool]]:
    """As `failing`, without counting what waits: since when, and whether the destination has taken others since."""
    since = func.min(OutboxRow.failing_since, type_=Instant)
    rows = session.execute(
        select(OutboxRow.destination, since)
        .where(
            OutboxRow.failing_since.is_not(None),
            OutboxRow.failing_since < before,
            OutboxRow.destination.not_in(names_of_paused(PauseKind.DESTINATION)),
        )
        .group_by(OutboxRow.destination)
        .order_by(OutboxRow.destination)
    ).all()
    taken = select(OutboxRow.id).limit(1)
    return {
        name: (
            began,
            session.scalar(taken.where(OutboxRow.destination == name, _TAKEN, OutboxRow.delivered > began)) is not None,
        )
        for name, began in rows
        if began is not None
    }


def begin_anew(session: Session, destination: str, now: datetime) -> None:
    """Have all that waits for a destination be due now, and forget since when it failed: it was paused meanwhile."""
    session.execute(
        update(OutboxRow)
        .where(
            OutboxRow.destination == destination,
            WAITS,
            or_(OutboxRow.failing_since.is_not(None), OutboxRow.not_before > now),
        )
        .values(failing_since=None, not_before=now)
    )


def count_unclear(session: Session, line_id: int) -> int:
    """Count that the peer took a line's object in and did not say what became of it; how often it has done so."""
    often = session.execute(
        update(OutboxRow)
        .where(OutboxRow.id == line_id)
        .values(unclear=OutboxRow.unclear + 1)
        .returning(OutboxRow.unclear)
    )
    return often.scalar_one()


def note_unconfirmed(session: Session, destination: str, answer: str) -> None:
    """Show on the lines that wait for confirmation why it does not come."""
    said = f"{UNCONFIRMED}{answer}"
    where = (OutboxRow.destination == destination, OutboxRow.state == OutboxState.DELIVERED, OutboxRow.confirm)
    session.execute(update(OutboxRow).where(*where, OutboxRow.answer != said).values(answer=said))


def hold_back(session: Session, destination: str, job_id: str) -> None:
    """Have all lines of a job wait for as long as the first of them, since they are sent together and in order."""
    here = (OutboxRow.destination == destination, OutboxRow.job_id == job_id, OutboxRow.state == OutboxState.WAITING)
    first = session.scalar(select(OutboxRow.not_before).where(*here).order_by(OutboxRow.id).limit(1))
    if first is not None:
        session.execute(update(OutboxRow).where(*here, OutboxRow.not_before < first).values(not_before=first))


def cancel(session: Session, job_id: str, answer: str) -> None:
    """Leave out what a job has not sent yet."""
    _change(session, OutboxState.CANCELLED, OutboxRow.job_id == job_id, columns={"answer": answer})


def give_up(session: Session, job_id: str, destination: str, why: str) -> None:
    """End all lines of a job to a destination that nobody sends to any more: what was delivered counts as it is."""
    here = (OutboxRow.job_id == job_id, OutboxRow.destination == destination)
    _change(session, OutboxState.REFUSED, *here, OutboxRow.state == OutboxState.WAITING, columns={"answer": why})
    unconfirmed = select(OutboxRow.id).where(*here, OutboxRow.state == OutboxState.DELIVERED, OutboxRow.confirm)
    give_up_confirming(session, session.scalars(unconfirmed).all(), f"delivered; the destination {why}")


def send_again(session: Session, destination: str, lines: Iterable[int], *, confirm: bool, now: datetime) -> int:
    """Have lines that the destination took before wait once more: it has lost what it had. Returns how many do.

    Parameters
    ----------
    destination
        Its name in the configuration.
    lines
        Of objects whose files are still there.
    confirm
        As for `queue`.
    now
        The time, timezone aware: they may be sent from now on.
    """
    again = {"attempts": 0, "not_before": now, "confirm": confirm, "answer": "to be sent again, by an operator"}
    waiting = 0
    for chunk in in_chunks(lines):
        took = OutboxRow.state.in_((OutboxState.DELIVERED, OutboxState.CONFIRMED))
        where = (OutboxRow.id.in_(chunk), OutboxRow.destination == destination, took)
        waiting += _change(session, OutboxState.WAITING, *where, columns=again)
    return waiting


def taken_since(
    session: Session, destination: str, since: datetime, data: Path
) -> list[tuple[int, EncodedObject, str]]:
    """What the destination took since then: each line, its object and the job that made it, in order of delivery.

    What was taken back is left out.
    """
    rows = session.execute(
        select(OutboxRow.id, ObjectRow, OutboxRow.job_id)
        .join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
        .join(JobRow, JobRow.id == OutboxRow.job_id)
        .where(
            OutboxRow.destination == destination,
            OutboxRow.state.in_((OutboxState.DELIVERED, OutboxState.CONFIRMED)),
            OutboxRow.delivered >= since,
            JobRow.withdrawn.is_(None),
            JobRow.rejected == "",
            ~_taken_back(destination).exists(),
        )
        .order_by(OutboxRow.delivered, OutboxRow.id)
    )
    return [(line, encoded_object(row, data), job_id) for line, row, job_id in rows]


def _taken_back(destination: str) -> Select[int]:
    """The withdrawal that a line's job has at a destination which was told to give up what it has, or will be."""
    return select(WithdrawalRow.id).where(
        WithdrawalRow.job_id == OutboxRow.job_id,
        WithdrawalRow.destination == destination,
        WithdrawalRow.state.not_in((WithdrawalState.LEFT, WithdrawalState.REFUSED)),
    )


def confirm(session: Session, destination: str, uids: Collection[str], answer: str) -> None:
    """Note that the destination keeps these objects; what was not delivered to it is left alone.

    Parameters
    ----------
    destination
        Its name in the configuration.
    uids
        SOP Instance UIDs.
    answer
        How it is known.
    """
    for chunk in in_chunks(sorted(uids)):
        here = (OutboxRow.destination == destination, OutboxRow.sop_instance_uid.in_(chunk))
        if confirmed := _change(session, OutboxState.CONFIRMED, *here, columns={"answer": answer}):
            after_commit(session, partial(CONFIRMED.labels(destination).inc, confirmed))


def enter_transaction(session: Session, lines: Iterable[int], transaction_uid: str) -> None:
    """Note which open commitment transaction these lines are in."""
    for chunk in in_chunks(lines):
        session.execute(update(OutboxRow).where(OutboxRow.id.in_(chunk)).values(transaction_uid=transaction_uid))


def leave_transaction(session: Session, transaction_uid: str) -> None:
    """The transaction has ended; what is not confirmed may enter another."""
    session.execute(update(OutboxRow).where(OutboxRow.transaction_uid == transaction_uid).values(transaction_uid=None))


def give_up_confirming(session: Session, lines: Iterable[int], answer: str) -> None:
    """Settle for delivered: the destination cannot be asked whether it keeps the objects."""
    for chunk in in_chunks(lines):
        session.execute(update(OutboxRow).where(OutboxRow.id.in_(chunk)).values(confirm=False, answer=answer))


def stop_confirming(session: Session, job_id: str, answer: str) -> None:
    """Settle for delivered with all that a job has sent: whether it is kept is not waited for."""
    here = (OutboxRow.job_id == job_id, OutboxRow.state == OutboxState.DELIVERED, OutboxRow.confirm)
    session.execute(update(OutboxRow).where(*here).values(confirm=False, answer=answer))


def jobs_of(session: Session, destination: str, uids: Collection[str]) -> list[str]:
    """The jobs whose objects these are, of those on their way to the destination."""
    found: set[str] = set()
    for chunk in in_chunks(sorted(uids)):
        found |= set(
            session.scalars(
                select(OutboxRow.job_id)
                .where(OutboxRow.destination == destination, OutboxRow.sop_instance_uid.in_(chunk))
                .distinct()
            )
        )
    return sorted(found)
