"""Verdicts of readers: each is stored once, and the latest of a reader about a finding counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExtensibleSRStorage,
    SegmentationStorage,
)
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.database.tables import InstanceRow, JobRow, VerdictRow

SEGMENTATION = str(SegmentationStorage)
SOURCES = frozenset(
    str(one)
    for one in (
        BasicTextSRStorage,
        EnhancedSRStorage,
        ComprehensiveSRStorage,
        Comprehensive3DSRStorage,
        ExtensibleSRStorage,
        SegmentationStorage,
    )
)
"""The classes of what may hold a verdict."""
OF_SEGMENTS = "edited segmentation"  # kind of a verdict: of an outline, and so apart from those on values
LOOKS = 3  # attempts at what ends whatever reads it


def looks(sop_class_uid: str) -> int:
    """How often an instance of a class may be looked into for a verdict."""
    return LOOKS if sop_class_uid in SOURCES else 0


def next_to_look_into(session: Session) -> tuple[InstanceRow, int] | None:
    """The instance that has waited longest, and how often it may be looked into after this time; None where none waits.

    The attempt is counted first: an instance may end what reads it, and the node with it.
    """
    waiting = select(InstanceRow).where(InstanceRow.looks_left > 0).order_by(InstanceRow.received).limit(1)
    row = session.scalar(waiting)
    if row is None:
        return None
    left = row.looks_left - 1
    set_looks(session, row, left)
    return row, left


def set_looks(session: Session, row: InstanceRow, left: int) -> None:
    """Say how often an instance may still be looked into; one that came again meanwhile is left as it is."""
    same = (InstanceRow.sop_instance_uid == row.sop_instance_uid, InstanceRow.turn == row.turn)
    session.execute(update(InstanceRow).where(*same).values(looks_left=left))


def look_into_all(session: Session) -> int:
    """Have all that is stored looked into; how much that is."""
    found = session.execute(
        update(InstanceRow)
        .where(InstanceRow.sop_class_uid.in_(SOURCES), InstanceRow.looks_left == 0)
        .values(looks_left=LOOKS)
        .returning(InstanceRow.sop_instance_uid)
    )
    return len(found.all())


def store(session: Session, rows: Sequence[VerdictRow]) -> int:
    """Keep verdicts; how many were not there yet. One that is there is replaced, one of a job that is gone left out."""
    new = 0
    for row in rows:
        job = select(JobRow.id).where(JobRow.id == row.job_id).with_for_update()  # one after the other
        if session.scalar(job) is None:
            continue
        new += session.get(VerdictRow, row.id) is None
        session.merge(row)
        session.flush()
        _settle(session, row)
    return new


def standing(session: Session, job_id: str) -> Iterator[VerdictRow]:
    """The verdicts on a job that no later one takes the place of, oldest first."""
    counts = (VerdictRow.job_id == job_id, VerdictRow.superseded.is_(False))
    yield from session.scalars(select(VerdictRow).where(*counts).order_by(VerdictRow.observed, VerdictRow.id))


def _settle(session: Session, row: VerdictRow) -> None:
    """Of all that one reader says about one finding, let the latest word stand."""
    about = [
        VerdictRow.job_id == row.job_id,
        VerdictRow.tracking_uid == row.tracking_uid,
        VerdictRow.observer == row.observer,
        (VerdictRow.kind == OF_SEGMENTS) if row.kind == OF_SEGMENTS else (VerdictRow.kind != OF_SEGMENTS),
    ]
    if not row.tracking_uid:
        about.append(VerdictRow.object_uid == row.object_uid)
    if not row.observer:  # nobody is named: the device stands for the reader
        about.append(VerdictRow.device == row.device)
    order = (VerdictRow.observed.desc(), VerdictRow.received.desc(), VerdictRow.id)
    said = session.scalars(select(VerdictRow.id).where(*about).order_by(*order)).all()
    session.execute(update(VerdictRow).where(*about).values(superseded=VerdictRow.id != said[0]))
