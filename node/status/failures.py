"""What went wrong lately: collected from all parts of the records, the same fault as one group."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from node.database.callbacks import CallbackState
from node.database.connection import Database
from node.database.fetches import FetchState
from node.database.jobs import JobState
from node.database.queries import in_chunks
from node.database.states import AssociationOutcome, OutboxState
from node.database.tables import (
    NOT_STORED,
    RECORD_NOT_READ,
    VERDICT_NOT_READ,
    AssociationRow,
    AuditRow,
    CallbackRow,
    FetchRow,
    JobRow,
    OutboxRow,
)
from node.receive.files_not_taken import FileNotTaken
from node.status.remedies import remedy

LOOKED_AT = 5000  # of each kind, the latest
JOBS_KEPT = 500  # of a group, to be restarted
GIVEN_UP = ("image given up", "series given up")  # what the audit trail calls images that are not read any more


class Kind(StrEnum):
    """Where something went wrong."""

    FAILED = "failed jobs"
    UNSUITABLE = "unsuitable jobs"
    NOT_STORED = "instances not stored"
    NOT_READ = "images not read"
    REFUSED_ASSOCIATION = "refused associations"
    REFUSED_CONTEXT = "refused contexts"
    REFUSED_DELIVERY = "deliveries refused"
    FILE = "files not taken"
    RECORD = "patient records not read"
    FETCH = "studies not fetched"
    CALLBACK = "callbacks that failed"
    VERDICT = "verdicts left alone"


ALARMING = (Kind.FAILED, Kind.NOT_STORED, Kind.REFUSED_DELIVERY)


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong."""

    kind: Kind
    reason: str
    at: datetime
    who: str = ""  # the sender, the destination, the route
    times: int = 1
    example: str = ""  # a UID, an id, a name
    href: str = ""  # of a page about it
    job: str = ""  # that can be restarted
    until: datetime | None = None  # the last of several


@dataclass(frozen=True)
class Group:
    """The same fault, as often as it came."""

    kind: Kind
    reason: str  # with a mark for what differs
    times: int
    first: datetime
    last: datetime
    whose: tuple[tuple[str, int], ...]  # senders, destinations or routes, the most frequent first
    example: Fault  # the latest
    remedy: str  # what to do, in a sentence
    jobs: tuple[str, ...] = ()  # that can be restarted

    @property
    def key(self) -> str:
        """What tells it from others, for addresses."""
        return hashlib.sha256(f"{self.kind}|{self.reason}".encode()).hexdigest()[:16]


@dataclass
class _Growing:
    times: int = 0
    first: datetime | None = None
    last: datetime | None = None
    whose: dict[str, int] = field(default_factory=dict)
    example: Fault | None = None
    jobs: list[str] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        last = fault.until or fault.at
        self.times += fault.times
        self.first = fault.at if self.first is None else min(self.first, fault.at)
        if self.last is None or last >= self.last:
            self.last, self.example = last, fault
        if fault.who:
            self.whose[fault.who] = self.whose.get(fault.who, 0) + fault.times
        if fault.job and len(self.jobs) < JOBS_KEPT:
            self.jobs.append(fault.job)


# ---- grouping
_MARKS = (
    (re.compile(r"\b[0-9]+(?:\.[0-9]+){4,}\b"), "UID"),
    (re.compile(r"\b[0-9a-f]{12,}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?\b"), "TIME"),
    (re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*[A-Za-z_])", re.IGNORECASE), "N"),
)
_ADDRESS = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)(?::\d+)?")
_CODE = re.compile(r"\b0x[0-9A-Fa-f]+\b")


def pattern_of(reason: str) -> str:
    """A reason with a mark in place of what differs from one time to the next: UIDs, ids, moments and numbers.

    Addresses and status codes stay: they tell one fault from another.
    """
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{chr(0xE000 + len(kept) - 1)}"

    text = _CODE.sub(keep, _ADDRESS.sub(keep, reason))
    for expression, mark in _MARKS:
        text = expression.sub(mark, text)
    return re.sub("\0(.)", lambda found: kept[ord(found[1]) - 0xE000], text)


def grouped(faults: Iterable[Fault]) -> list[Group]:
    """The faults, the same ones together; the latest group first."""
    found: dict[tuple[Kind, str], _Growing] = {}
    for fault in faults:
        found.setdefault((fault.kind, pattern_of(fault.reason)), _Growing()).add(fault)
    groups = [
        Group(
            kind,
            reason,
            one.times,
            one.first,
            one.last,
            tuple(sorted(one.whose.items(), key=lambda pair: -pair[1])),
            one.example,
            remedy(kind.value, reason),
            tuple(one.jobs),
        )
        for (kind, reason), one in found.items()
        if one.first is not None and one.last is not None and one.example is not None
    ]
    return sorted(groups, key=lambda group: group.last, reverse=True)


# ---- collecting
class Failures:
    """Reads what went wrong from the records; changes nothing.

    Parameters
    ----------
    database
        The node's records.
    destinations
        Names of those that are configured; the records may know more.
    files
        What was not taken of watched folders.
    """

    def __init__(
        self,
        database: Database,
        destinations: Sequence[str],
        files: Callable[[], Sequence[FileNotTaken]] = tuple,
    ) -> None:
        self._database, self._destinations, self._files = database, destinations, files

    def groups(self, since: datetime, kind: Kind | None = None) -> list[Group]:
        """What went wrong since then, of one kind or of all.

        Parameters
        ----------
        since
            Timezone aware.
        kind
            None: every one.
        """
        with Session(self._database) as session:
            return grouped(
                fault
                for name, faults in _SOURCES.items()
                if kind is None or kind in name
                for fault in faults(self, session, since)
                if kind is None or fault.kind is kind
            )

    def _jobs(self, session: Session, since: datetime) -> Iterator[Fault]:
        for state, kind in ((JobState.FAILED, Kind.FAILED), (JobState.UNSUITABLE, Kind.UNSUITABLE)):
            rows = session.execute(
                select(JobRow.id, JobRow.route, JobRow.reason, JobRow.updated)
                .where(JobRow.state == state, JobRow.created >= since)
                .order_by(JobRow.created.desc())
                .limit(LOOKED_AT)
            )
            for row in rows:
                yield Fault(kind, row.reason, row.updated, row.route, 1, row.id, f"/jobs/{row.id}", row.id)

    def _associations(self, session: Session, since: datetime) -> Iterator[Fault]:
        refused = or_(AssociationRow.outcome == AssociationOutcome.REFUSED, AssociationRow.contexts_refused != "")
        query = select(AssociationRow).where(AssociationRow.started >= since, refused)
        for row in session.scalars(query.order_by(AssociationRow.started.desc()).limit(LOOKED_AT)):
            who = " ".join(part for part in (row.calling_ae_title, row.peer_address) if part)
            called = f"called as {row.called_ae_title}" if row.called_ae_title else ""
            if row.outcome == AssociationOutcome.REFUSED:
                yield Fault(Kind.REFUSED_ASSOCIATION, row.reason, row.started, who, row.times, called, until=row.ended)
            else:
                yield Fault(Kind.REFUSED_CONTEXT, row.contexts_refused, row.started, who, 1, called)

    def _audit(self, session: Session, since: datetime) -> Iterator[Fault]:
        kinds = (NOT_STORED, RECORD_NOT_READ, VERDICT_NOT_READ, *GIVEN_UP)
        senders: dict[str, list[AuditRow]] = {}
        for kind in kinds:
            query = select(AuditRow).where(AuditRow.what == kind, AuditRow.at >= since)
            for row in session.scalars(query.order_by(AuditRow.id.desc()).limit(LOOKED_AT)):
                if kind == NOT_STORED and not row.who:
                    senders.setdefault(str(row.detail.get("association", "")), []).append(row)
                else:
                    yield from _of_audit(row, row.who)
        names = _senders(session, senders)
        for association, rows in senders.items():
            for row in rows:
                yield from _of_audit(row, names.get(association, ""))

    def _deliveries(self, session: Session, since: datetime) -> Iterator[Fault]:
        for name in self._destinations:
            rows = session.execute(
                select(OutboxRow.answer, OutboxRow.not_before, OutboxRow.job_id)
                .where(
                    OutboxRow.destination == name,
                    OutboxRow.state == OutboxState.REFUSED,
                    OutboxRow.not_before >= since,
                )
                .order_by(OutboxRow.id.desc())
                .limit(LOOKED_AT)
            )
            for row in rows:
                yield Fault(
                    Kind.REFUSED_DELIVERY, row.answer, row.not_before, name, 1, row.job_id, f"/jobs/{row.job_id}"
                )

    def _requests(self, session: Session, since: datetime) -> Iterator[Fault]:
        fetches = select(FetchRow).where(FetchRow.state == FetchState.FAILED, FetchRow.created >= since)
        for row in session.scalars(fetches.order_by(FetchRow.created.desc()).limit(LOOKED_AT)):
            yield Fault(Kind.FETCH, row.reason, row.updated, row.archive, 1, row.study_instance_uid)
        failing = or_(
            CallbackRow.state == CallbackState.FAILED,
            (CallbackRow.state == CallbackState.WAITING) & (CallbackRow.attempts > 0),
        )
        callbacks = select(CallbackRow).where(failing, CallbackRow.created >= since)
        for callback in session.scalars(callbacks.order_by(CallbackRow.created.desc()).limit(LOOKED_AT)):
            yield Fault(
                Kind.CALLBACK,
                callback.answer,
                callback.created,
                callback.receiver,
                callback.attempts,
                callback.study_instance_uid,
                f"/studies/{callback.study_instance_uid}",
            )

    def _of_folders(self, _session: Session, since: datetime) -> Iterator[Fault]:
        for file in self._files():
            if file.at >= since:
                for reason in file.reasons:
                    yield Fault(Kind.FILE, reason, file.at, file.folder, 1, file.name)


_SOURCES: Mapping[tuple[Kind, ...], Callable[[Failures, Session, datetime], Iterator[Fault]]] = {
    (Kind.FAILED, Kind.UNSUITABLE): Failures._jobs,
    (Kind.REFUSED_ASSOCIATION, Kind.REFUSED_CONTEXT): Failures._associations,
    (Kind.NOT_STORED, Kind.NOT_READ, Kind.RECORD, Kind.VERDICT): Failures._audit,
    (Kind.REFUSED_DELIVERY,): Failures._deliveries,
    (Kind.FETCH, Kind.CALLBACK): Failures._requests,
    (Kind.FILE,): Failures._of_folders,
}


def _of_audit(row: AuditRow, who: str) -> Iterator[Fault]:
    detail: Mapping[str, Any] = row.detail
    until = detail.get("until")
    last = datetime.fromisoformat(until) if isinstance(until, str) else None
    study = row.study_instance_uid or ""
    href = f"/studies/{study}" if study else ""
    if row.what == NOT_STORED:
        reason = f"{detail.get('status', '')}: {detail.get('reason', '')}"
        yield Fault(
            Kind.NOT_STORED, reason, row.at, who, row.times, str(detail.get("first") or study), href, until=last
        )
    elif row.what == RECORD_NOT_READ:
        reason, times = f"{detail.get('way', '')}: {detail.get('reason', '')}", int(detail.get("times", 1))
        yield Fault(Kind.RECORD, reason, row.at, who, times, until=last)
    elif row.what == VERDICT_NOT_READ:
        for reason in detail.get("reasons", ()):
            yield Fault(Kind.VERDICT, str(reason), row.at, who, 1, str(detail.get("sop_instance_uid", "")), href)
    else:
        images = int(detail.get("images", 1))
        yield Fault(
            Kind.NOT_READ, str(detail.get("reason", "")), row.at, who, images, str(detail.get("first", "")), href
        )


def _senders(session: Session, associations: Iterable[str]) -> dict[str, str]:
    """By association: who it was, as far as it said."""
    found: dict[str, str] = {}
    for chunk in in_chunks(associations):
        for row in session.scalars(select(AssociationRow).where(AssociationRow.id.in_(chunk))):
            found[row.id] = " ".join(part for part in (row.way, row.calling_ae_title, row.peer_address) if part)
    return found
