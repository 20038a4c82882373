"""What the node is at now: who sends, what waits and runs, whether destinations take what they are sent.

Everything is asked of an index, and of the last hour or day at most: nothing takes longer the more the node has done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, Select, cast, extract, func, literal, select
from sqlalchemy.orm import Session

from node.database import outbox, pauses
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.outbox import UNCONFIRMED
from node.database.pauses import PauseKind
from node.database.queries import UNDER_WAY, JobView, in_chunks, job_views
from node.database.states import OutboxState
from node.database.tables import NOT_STORED, AssociationRow, AuditRow, InstanceRow, JobRow, LaneRow, OutboxRow, PauseRow
from node.status.overview import with_places

HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
BIN_S = 120  # of the curve of the last hour
BINS = int(HOUR.total_seconds()) // BIN_S
COUNTED = 100_000  # instances of the last hour; of more, the latest
UP_TO = 10_000  # lines, jobs and audit lines are counted; more is told as "10,000 or more"
SENDERS_SHOWN, UNDER_WAY_SHOWN, REQUESTS_SHOWN = 12, 30, 10
LINES_LOOKED_AT = 300  # of a destination, the latest: since when it takes what it is sent
UNDER_WAY_IN_SQL = tuple(literal(state.value, literal_execute=True) for state in UNDER_WAY)  # as the index has them


@dataclass(frozen=True)
class Sender:
    """Who has sent within the hour, or has an association open."""

    title: str  # calling AE title; empty where the way knows none
    address: str
    way: str
    is_open: int  # associations
    associations: int
    instances: int  # within the hour
    curve: tuple[int, ...]  # instances by stretches of `BIN_S`, the earliest first
    last: datetime  # when the latest association began


@dataclass(frozen=True)
class Reception:
    """What came within the hour."""

    senders: Sequence[Sender]
    more_senders: int
    is_open: int  # associations
    instances: int
    is_counted_whole: bool  # else there were more
    curve: tuple[int, ...]

    @property
    def a_minute(self) -> float:
        """Instances a minute in the last two stretches."""
        return sum(self.curve[-2:]) * 60 / (2 * BIN_S)


@dataclass(frozen=True)
class Queue:
    """What of one pipeline is under way."""

    pipeline: str
    counts: Mapping[str, int]  # by state
    oldest: datetime | None  # of those that are queued


@dataclass(frozen=True)
class DestinationNow:
    """Whether objects arrive at a destination, as the last tries tell."""

    name: str
    where: str
    state: str  # up, down, not everything, not used yet, paused
    since: datetime | None  # that it is so; of "up": at least
    waiting: int
    waiting_since: datetime | None
    last_delivered: datetime | None
    delivered: int  # in 24 hours
    refused: int
    word: str  # its last one where it does not take everything
    paused: str = ""  # by whom and why


@dataclass(frozen=True)
class Numbers:
    """At the top of the page."""

    jobs: Mapping[str, int]  # under way, by state
    done: int  # of the last 24 hours, as what follows
    failed: int
    unsuitable: int
    waiting: int  # objects
    not_stored: int  # instances


class Present:
    """Reads the node's records; changes nothing."""

    def __init__(self, database: Database, destinations: Mapping[str, str], workers: int = 1) -> None:
        self._database, self._workers = database, workers
        self._destinations = destinations  # by name: where it is

    def _session(self) -> Session:
        return Session(self._database, expire_on_commit=False)

    def numbers(self, queues: Sequence[Queue], destinations: Sequence[DestinationNow], now: datetime) -> Numbers:
        """The numbers as of `now`."""
        ended = (JobState.DONE, JobState.FAILED, JobState.UNSUITABLE)
        with self._session() as session:
            done, failed, unsuitable = (
                _up_to(session, select(JobRow.id).where(JobRow.state == state, JobRow.created >= now - DAY))
                for state in ended
            )
            latest = select(AuditRow.at, AuditRow.times).where(AuditRow.what == NOT_STORED)
            latest_ones = latest.order_by(AuditRow.id.desc()).limit(UP_TO // 10).subquery()
            not_stored = session.scalar(select(func.sum(latest_ones.c.times)).where(latest_ones.c.at >= now - DAY))
        jobs = {state.value: sum(queue.counts.get(state, 0) for queue in queues) for state in UNDER_WAY}
        waiting = sum(one.waiting for one in destinations)
        return Numbers(jobs, done, failed, unsuitable, waiting, not_stored or 0)

    def reception(self, now: datetime) -> Reception:
        """Who sends, and how much came within the hour."""
        with self._session() as session:
            rows = session.scalars(
                select(AssociationRow)
                .where((AssociationRow.started >= now - HOUR) & (AssociationRow.outcome != "refused"))
                .order_by(AssociationRow.started.desc())
                .limit(UP_TO)
            ).all()
            known = {row.id for row in rows}
            still_open = select(AssociationRow).where(AssociationRow.ended.is_(None))
            earlier = session.scalars(still_open.order_by(AssociationRow.started.desc()).limit(UP_TO)).all()
            counts = _arrivals(session, now)
            rows = [*rows, *(row for row in earlier if row.id not in known)]
            missing = {association for association, _ in counts} - {row.id for row in rows}
            for chunk in in_chunks(sorted(missing)):
                rows += session.scalars(select(AssociationRow).where(AssociationRow.id.in_(chunk)))
        return _reception(rows, counts)

    def queues(self) -> tuple[Queue, ...]:
        """What is under way, by pipeline; the one with the oldest job first."""
        oldest = func.min(JobRow.created, type_=JobRow.created.type)
        query = select(JobRow.pipeline, JobRow.state, func.count(), oldest).where(JobRow.state.in_(UNDER_WAY_IN_SQL))
        counts, since = dict[str, dict[str, int]](), dict[str, datetime]()
        with self._session() as session:
            for pipeline, state, count, began in session.execute(query.group_by(JobRow.pipeline, JobRow.state)):
                counts.setdefault(pipeline, {})[state] = count
                if state == JobState.QUEUED and began is not None:
                    since[pipeline] = began
        names = sorted(counts, key=lambda name: (name not in since, since.get(name), name))
        return tuple(Queue(name, counts[name], since.get(name)) for name in names)

    def under_way(self) -> tuple[JobView, ...]:
        """Jobs that a worker is at or that wait for one, the oldest first; then those that are being sent."""
        rows: list[JobRow] = []
        with self._session() as session:
            for state in (JobState.RUNNING, JobState.QUEUED, JobState.SENDING):
                query = select(JobRow).where(JobRow.state == state).order_by(JobRow.created, JobRow.id)
                rows += session.scalars(query.limit(UNDER_WAY_SHOWN - len(rows)))
            return with_places(session, job_views(session, rows), self._workers)

    def requests(self) -> tuple[JobView, ...]:
        """Jobs that are about no study; the latest first."""
        no_study = JobRow.study_instance_uid == literal("", literal_execute=True)
        query = select(JobRow).where(no_study).order_by(JobRow.created.desc()).limit(REQUESTS_SHOWN)
        with self._session() as session:
            return tuple(job_views(session, session.scalars(query).all()))

    def destinations(self, now: datetime) -> tuple[DestinationNow, ...]:
        """Those that are configured, and others for which something waits."""
        with self._session() as session:
            failing = {one.destination: one for one in outbox.failing(session, now)}
            lanes = session.scalars(select(LaneRow.destination).order_by(LaneRow.destination)).all()
            names = dict.fromkeys([*self._destinations, *lanes])
            paused = {row.name: row for row in pauses.every(session) if row.kind == PauseKind.DESTINATION}
            found = [self._destination(session, name, failing.get(name), now) for name in names]
        found = [_held(one, paused[one.name]) if one.name in paused else one for one in found]
        return tuple(one for one in found if one.name in self._destinations or one.waiting)

    def _destination(
        self, session: Session, name: str, failing: outbox.Failing | None, now: datetime
    ) -> DestinationNow:
        of_name = OutboxRow.destination == name
        waits = OutboxRow.state == literal(OutboxState.WAITING.value, literal_execute=True)
        taken = {
            state: session.execute(
                select(OutboxRow.delivered, OutboxRow.attempts, OutboxRow.confirm, OutboxRow.answer)
                .where(of_name, OutboxRow.state == state, OutboxRow.delivered.is_not(None))
                .order_by(OutboxRow.delivered.desc())
                .limit(LINES_LOOKED_AT)
            ).all()
            for state in (OutboxState.DELIVERED, OutboxState.CONFIRMED)
        }
        lines = sorted(((row.delivered, row.attempts) for rows in taken.values() for row in rows), reverse=True)
        not_confirmed = (row.answer for row in taken[OutboxState.DELIVERED] if row.confirm)
        of_state = {
            state: select(OutboxRow.id).where(of_name, OutboxRow.state == state)
            for state in (*taken, OutboxState.REFUSED)
        }
        delivered = sum(_up_to(session, of_state[state].where(OutboxRow.delivered >= now - DAY)) for state in taken)
        state, since = _state(lines, failing)
        return DestinationNow(
            name=name,
            where=self._destinations.get(name, "no longer in the configuration"),
            state=state,
            since=since,
            waiting=_up_to(session, select(OutboxRow.id).where(of_name, waits)),
            waiting_since=failing.since if failing else None,
            last_delivered=lines[0][0] if lines else None,
            delivered=delivered,
            refused=_up_to(session, of_state[OutboxState.REFUSED]),
            word=_last_word(session, name) or next((one for one in not_confirmed if one.startswith(UNCONFIRMED)), ""),
        )


def _up_to(session: Session, query: Select[Any]) -> int:
    """How many rows there are, counted to `UP_TO`."""
    return session.scalar(select(func.count()).select_from(query.limit(UP_TO).subquery())) or 0


def _state(lines: Sequence[tuple[datetime, int]], failing: outbox.Failing | None) -> tuple[str, datetime | None]:
    """Whether a destination takes what it is sent, in a word or two, and since when."""
    if failing is not None:
        return ("not everything" if failing.takes_some else "down"), failing.since
    return ("up", _up_since(lines)) if lines else ("not used yet", None)


def _held(destination: DestinationNow, pause: PauseRow) -> DestinationNow:
    """A destination that is paused: whether it would take what it is sent is not known meanwhile."""
    return replace(destination, state="paused", since=pause.since, paused=pauses.sentence(pause))


def _up_since(lines: Sequence[tuple[datetime, int]]) -> datetime:
    """Since when a destination has taken everything at once, as its latest lines say, the latest first."""
    recovered = next((delivered for delivered, attempts in lines if attempts > 1), None)
    return recovered or lines[-1][0]


def _last_word(session: Session, destination: str) -> str:
    """The last answer of a destination to a line that was tried and still waits."""
    failing = OutboxRow.destination == destination, OutboxRow.failing_since.is_not(None)
    last = select(OutboxRow.answer).where(*failing).order_by(OutboxRow.failing_since.desc()).limit(1)
    return session.scalar(last) or ""


def _arrivals(session: Session, now: datetime) -> dict[tuple[str, int], int]:
    """By association and stretch of the last hour, counted backwards from 0: number of instances."""
    latest = (
        select(InstanceRow.association_id, InstanceRow.received)
        .where(InstanceRow.received >= now - HOUR)
        .order_by(InstanceRow.received.desc())
        .limit(COUNTED)
        .subquery()
    )
    if session.get_bind().dialect.name == "sqlite":
        epoch = cast(func.strftime("%s", latest.c.received), Integer)
    else:
        epoch = cast(func.floor(extract("epoch", latest.c.received)), Integer)
    stretch = (literal(int(now.timestamp())) - epoch) // BIN_S
    by_stretch = select(latest.c.association_id, stretch.label("stretch")).subquery()
    key = (by_stretch.c.association_id, by_stretch.c.stretch)
    counts: dict[tuple[str, int], int] = {}
    for association, ago, count in session.execute(select(*key, func.count()).group_by(*key)):
        place = (association, min(max(ago, 0), BINS - 1))  # clocks of machines that share a database differ
        counts[place] = counts.get(place, 0) + count
    return counts


def _reception(rows: Sequence[AssociationRow], counts: Mapping[tuple[str, int], int]) -> Reception:
    of_sender: dict[tuple[str, str, str], list[AssociationRow]] = {}
    for row in rows:
        of_sender.setdefault((row.calling_ae_title, row.peer_address, row.way), []).append(row)
    by_association: dict[str, list[tuple[int, int]]] = {}
    for (association, stretch), count in counts.items():
        by_association.setdefault(association, []).append((stretch, count))
    senders = []
    for (title, address, way), theirs in of_sender.items():
        came = [pair for row in theirs for pair in by_association.get(row.id, ())]
        still_open = sum(row.ended is None for row in theirs)
        curve = _curve(came)
        senders.append(
            Sender(title, address, way, still_open, len(theirs), sum(curve), curve, max(row.started for row in theirs))
        )
    senders.sort(key=lambda one: (-one.is_open, -one.instances, one.title, one.address))
    total = sum(counts.values())
    return Reception(
        senders[:SENDERS_SHOWN],
        max(0, len(senders) - SENDERS_SHOWN),
        sum(one.is_open for one in senders),
        total,
        total < COUNTED,
        _curve((stretch, count) for (_, stretch), count in counts.items()),
    )


def _curve(pairs: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    curve = [0] * BINS
    for stretch, count in pairs:
        curve[BINS - 1 - stretch] += count
    return tuple(curve)
