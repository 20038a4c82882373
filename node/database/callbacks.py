"""Who is to be told of the end of what they asked for: taken by one node at a time, and never forgotten.

A callback waits, first for the end of the jobs, then for its receiver, until it is `told`, or `failed` for good.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.database.tables import CallbackRow

LEASE = timedelta(seconds=120)  # longer than a node is at one


class CallbackState(StrEnum):
    """How far a callback has come."""

    WAITING = "waiting"
    TOLD = "told"
    FAILED = "failed"


def ask(
    session: Session, receiver: str, url: str, study: str, now: datetime, *, request: str = "", jobs: Sequence[str] = ()
) -> None:
    """Have somebody told, once more where they were told before; who still waits for the same is told once.

    Parameters
    ----------
    receiver
        Its name in the configuration.
    url
        Where it is told.
    study
        Study Instance UID.
    now
        The time, with its zone.
    request
        Id of the request whose study is fetched.
    jobs
        Ids, where the study was stored.
    """
    waiting = session.scalars(
        select(CallbackRow).where(
            CallbackRow.study_instance_uid == study, CallbackRow.state == CallbackState.WAITING, CallbackRow.url == url
        )
    )
    if any((row.request, sorted(row.jobs)) == (request, sorted(jobs)) for row in waiting):
        return
    session.add(
        CallbackRow(
            id=uuid.uuid4().hex,
            receiver=receiver,
            url=url,
            study_instance_uid=study,
            request=request,
            jobs=list(jobs),
            state=CallbackState.WAITING,
            not_before=now,
            created=now,
        )
    )


def claim(session: Session, now: datetime, leaving_out: Collection[str] = ()) -> CallbackRow | None:
    """The callback that is due next, for this node alone until `LEASE` is over; None where none is.

    Parameters
    ----------
    leaving_out
        Names of receivers.
    """
    due = (
        CallbackRow.state == CallbackState.WAITING,
        CallbackRow.not_before <= now,
        CallbackRow.receiver.not_in(leaving_out),
    )
    found = session.scalar(select(CallbackRow.id).where(*due).order_by(CallbackRow.not_before, CallbackRow.id).limit(1))
    if found is None:
        return None
    taken = session.execute(
        update(CallbackRow)
        .where(CallbackRow.id == found, *due)
        .values(not_before=now + LEASE)
        .returning(CallbackRow.id)
    )
    return session.get(CallbackRow, found) if taken.first() is not None else None


def move(
    session: Session,
    callback_id: str,
    state: CallbackState,
    now: datetime,
    *,
    answer: str = "",
    later: timedelta = timedelta(),
    failed_once_more: bool = False,
) -> None:
    """Bring a callback into a state, and let go of it.

    Parameters
    ----------
    answer
        Of the receiver, or why there is none.
    later
        How long it is left alone.
    failed_once_more
        Whether this was a failed attempt.
    """
    values: dict[str, Any] = {"state": state, "answer": answer, "not_before": now + later}
    if failed_once_more:
        values["attempts"] = CallbackRow.attempts + 1
    session.execute(update(CallbackRow).where(CallbackRow.id == callback_id).values(values))
