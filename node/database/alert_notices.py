"""What channels are to be told of alerts: waiting until they were told, by one node at a time.

What is due for a channel at the same time is a batch and goes in one message, whose id stays however often it is sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, func, literal, select, update
from sqlalchemy.orm import Session

from node.database.tables import AlertNoticeRow, Instant

LEASE = timedelta(minutes=10)  # longer than a node is at one message
LARGEST_BATCH = 100


class NoticeState(StrEnum):
    """How far a notice has come."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given up"


# The state stands in the statement itself: only so a database sees that an index of such rows will do.
_WAITS: ColumnElement[bool] = AlertNoticeRow.state == literal(NoticeState.WAITING.value, literal_execute=True)


@dataclass(frozen=True)
class Batch:
    """What goes to a channel in one message."""

    id: str
    attempts: int  # that failed
    created: datetime  # the oldest of it
    contents: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Unsent:
    """What a channel could not be told yet."""

    channel: str
    notices: int
    since: datetime
    answer: str  # why


def add(
    session: Session, alert_id: int, channel: str, content: dict[str, Any], not_before: datetime, now: datetime
) -> None:
    """Have a channel told of an alert from a moment on."""
    session.add(
        AlertNoticeRow(
            alert_id=alert_id,
            channel=channel,
            content=content,
            state=NoticeState.WAITING,
            not_before=not_before,
            created=now,
        )
    )


def claim(session: Session, channel: str, now: datetime) -> Batch | None:
    """What a channel is to be told next, for this node alone until `LEASE` is over; None where nothing is due."""
    due = (_WAITS, AlertNoticeRow.channel == channel, AlertNoticeRow.not_before <= now)
    order = (AlertNoticeRow.not_before, AlertNoticeRow.id)
    first = session.execute(select(AlertNoticeRow.batch).where(*due).order_by(*order).limit(1)).first()
    if first is None:
        return None
    batch = first.batch or uuid.uuid4().hex
    members: ColumnElement[bool] = AlertNoticeRow.batch == batch
    if first.batch is None:
        unbegun = select(AlertNoticeRow.id).where(*due, AlertNoticeRow.batch.is_(None))
        members = AlertNoticeRow.id.in_(unbegun.order_by(*order).limit(LARGEST_BATCH))
    values = {"batch": batch, "not_before": now + LEASE}
    taken = update(AlertNoticeRow).where(members, *due).values(values).returning(AlertNoticeRow.id)
    ids = session.scalars(taken).all()
    if not ids:
        return None
    whole = select(AlertNoticeRow).where(AlertNoticeRow.id.in_(ids)).order_by(AlertNoticeRow.id)
    rows = session.scalars(whole, execution_options={"populate_existing": True}).all()
    oldest = min(row.created for row in rows)
    return Batch(batch, max(row.attempts for row in rows), oldest, tuple(row.content for row in rows))


def note_sent(session: Session, batch: str, answer: str, now: datetime) -> None:
    """The channel has been told."""
    _change(session, batch, {"state": NoticeState.SENT, "answer": answer, "sent": now})


def put_off(session: Session, batch: str, answer: str, not_before: datetime) -> None:
    """The channel could not be told; it is tried again from that moment on."""
    values = {"answer": answer, "not_before": not_before, "attempts": AlertNoticeRow.attempts + 1}
    _change(session, batch, values)


def give_up(session: Session, batch: str, answer: str) -> None:
    """The channel is not told any more."""
    _change(session, batch, {"state": NoticeState.GIVEN_UP, "answer": answer, "attempts": AlertNoticeRow.attempts + 1})


def _change(session: Session, batch: str, values: dict[str, Any]) -> None:
    session.execute(update(AlertNoticeRow).where(AlertNoticeRow.batch == batch, _WAITS).values(values))


def unsent(session: Session) -> Sequence[Unsent]:
    """The channels that could not be told of something, by name."""
    since = func.min(AlertNoticeRow.created, type_=Instant)
    rows = session.execute(
        select(AlertNoticeRow.channel, func.count(), since, func.max(AlertNoticeRow.answer))
        .where(_WAITS, AlertNoticeRow.attempts > 0)
        .group_by(AlertNoticeRow.channel)
        .order_by(AlertNoticeRow.channel)
    )
    return [Unsent(channel, number, first, answer) for channel, number, first, answer in rows]


def last_word(session: Session, channel: str) -> AlertNoticeRow | None:
    """What a channel was told last, or what is waiting for it; None where it was told nothing yet."""
    of_channel = select(AlertNoticeRow).where(AlertNoticeRow.channel == channel)
    return session.scalar(of_channel.order_by(AlertNoticeRow.id.desc()).limit(1))


def give_up_all_but(session: Session, channels: Collection[str]) -> None:
    """Tell nobody what waits for channels that have left the configuration."""
    gone = (_WAITS, AlertNoticeRow.channel.not_in(channels))
    values = {"state": NoticeState.GIVEN_UP, "answer": "the channel has left the configuration"}
    session.execute(update(AlertNoticeRow).where(*gone).values(values))
