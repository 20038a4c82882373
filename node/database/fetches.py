"""Requests whose study is fetched first: taken by one node at a time, and never forgotten.

A request goes from `waiting` over `fetching` and `arrived` to `done`, or ends as `failed`. What could not be fetched
waits again for a while; what has failed, or is done, waits once more when it is asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import case, literal, or_, select, update
from sqlalchemy.orm import Session

from node.database.tables import FetchRow, Instant

LEASE = timedelta(seconds=60)  # a node that fetches says so again before it is over


class FetchState(StrEnum):
    """How far a request has come."""

    WAITING = "waiting"
    FETCHING = "fetching"
    ARRIVED = "arrived"  # and the pipeline is to run
    DONE = "done"  # its jobs are made
    FAILED = "failed"


OPEN = (FetchState.WAITING, FetchState.FETCHING, FetchState.ARRIVED)


def ask(session: Session, request_id: str, archive: str, study: str, asked: Mapping[str, Any], now: datetime) -> None:
    """Take a request; one that is there already is left as it is, or begun again where it failed or is done.

    Parameters
    ----------
    request_id
        The same for the same request.
    archive
        Name of the destination to fetch from.
    study
        Study Instance UID.
    asked
        What is to run.
    now
        The time, with its zone.
    """
    again = {"state": FetchState.WAITING, "reason": "", "jobs": [], "attempts": 0, "not_before": now}
    row = session.get(FetchRow, request_id)
    if row is None:
        session.add(
            FetchRow(
                id=request_id,
                archive=archive,
                study_instance_uid=study,
                asked=dict(asked),
                created=now,
                updated=now,
                **again,
            )
        )
    elif row.state not in OPEN:
        session.execute(update(FetchRow).where(FetchRow.id == request_id).values(again | {"updated": now}))


def claim(session: Session, now: datetime) -> FetchRow | None:
    """The request that is due next, for this node alone until `LEASE` is over; None where none is."""
    free = or_(FetchRow.claimed_until.is_(None), FetchRow.claimed_until < now)
    due = (FetchRow.state.in_(OPEN), FetchRow.not_before <= now, free)
    found = session.scalar(select(FetchRow.id).where(*due).order_by(FetchRow.not_before, FetchRow.id).limit(1))
    if found is None:
        return None
    state = case((FetchRow.state == FetchState.ARRIVED, FetchState.ARRIVED), else_=FetchState.FETCHING)
    since = case((FetchRow.state == FetchState.WAITING, literal(now, Instant)), else_=FetchRow.updated)
    taken = session.execute(
        update(FetchRow)
        .where(FetchRow.id == found, *due)
        .values(claimed_until=now + LEASE, state=state, updated=since)
        .returning(FetchRow.id)
    )
    return session.get(FetchRow, found) if taken.first() is not None else None


def renew(session: Session, request_id: str, now: datetime) -> None:
    """The node is still at it."""
    session.execute(update(FetchRow).where(FetchRow.id == request_id).values(claimed_until=now + LEASE))


def move(
    session: Session,
    request_id: str,
    state: FetchState,
    now: datetime,
    *,
    reason: str = "",
    jobs: Sequence[str] = (),
    later: timedelta = timedelta(),
    failed_once_more: bool = False,
) -> None:
    """Bring a request into a state, and let go of it.

    Parameters
    ----------
    reason
        Why, where something is in the way.
    jobs
        Ids of those that were made.
    later
        How long it is left alone.
    failed_once_more
        Whether this was a failed attempt.
    """
    since = case((FetchRow.state == state, FetchRow.updated), else_=literal(now, Instant))
    values: dict[str, Any] = {"state": state, "reason": reason, "jobs": list(jobs), "updated": since}
    values |= {"not_before": now + later, "claimed_until": None}
    if failed_once_more:
        values["attempts"] = FetchRow.attempts + 1
    session.execute(update(FetchRow).where(FetchRow.id == request_id).values(values))
