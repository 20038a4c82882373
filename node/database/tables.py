"""The node's own tables, in one database beside the job engine's. Pixels are files; here are UIDs and states.

No patient name, ID or birth date is in any of these tables; patients are told apart by digests whose key lies in the
data folder (`node.study.patients`). Everybody may read; only these modules write (a test holds
them to it):

===============  =========================================================================================
table            written by
===============  =========================================================================================
AssociationRow   node.receive.store.receipt_import, node.database.history
InstanceRow      node.receive.store.receipt_import, node.receive.store.retention, node.database.erasure,
                 node.route.facts_reader, node.database.verdicts, node.database.rejections
SeriesRow        node.receive.store.receipt_import, node.receive.store.retention, node.route.completion,
                 node.database.erasure, node.database.rejections
StudyRow         node.receive.store.receipt_import, node.receive.store.retention, node.route.completion,
                 node.database.erasure, node.database.rejections
StudyKeyRow      node.receive.store.receipt_import, node.receive.store.study_keys, node.receive.store.retention,
                 node.database.erasure
DecisionRow      node.route.dispatch, node.database.erasure, node.database.history
JobRow           node.database.job_states, node.database.withdrawals, node.database.erasure
JobPatientRow    node.database.job_patients, node.database.erasure
EventRow         node.database.job_states, node.database.erasure, node.database.history
ObjectRow        node.database.outbox, node.database.erasure
OutboxRow        node.database.outbox, node.database.erasure
CommitmentRow    node.database.commitments, node.database.history
ExecutorRow      node.run.job_engine
LaneRow          node.send.outbox
ModelVersionRow  node.models.versions
WithdrawalRow    node.database.taking_back, node.database.erasure
KeyObjectRow     node.receive.store.receipt_import, node.database.rejections, node.database.erasure
RejectionRow     node.database.rejections, node.database.erasure
FetchRow         node.database.fetches, node.database.erasure, node.database.history
CallbackRow      node.database.callbacks, node.database.erasure, node.database.history
VerdictRow       node.database.verdicts, node.verdicts.storing, node.database.erasure
AuditRow         node.database.audit, node.receive.store.receipt_import, node.database.history,
                 node.access.refused
AuditHeadRow     node.audit.trail
InstallationRow  node.database.installation
AlertRuleRow     node.database.alerts
AlertRow         node.database.alerts, node.database.history
AlertNoticeRow   node.database.alert_notices, node.database.alerts, node.database.history
PauseRow         node.database.pauses
UserRow          node.access.users
SessionRow       node.access.sessions
ApiTokenRow      node.access.api_tokens
===============  =========================================================================================
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    false,
    text,
)
from sqlalchemy import String as PlainString
from sqlalchemy import Text as PlainText
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from node.database.texts import storable


class Instant(TypeDecorator[datetime]):
    """A timezone-aware UTC moment, on databases that keep no zone too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """The moment in UTC, as it is stored."""
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """The moment with its zone, as it is read."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class String(TypeDecorator[str]):
    """A text of a certain length, whoever wrote it: what a database would refuse of it is replaced."""

    impl = PlainString
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """The text as it is stored, and as it is looked for."""
        return value if value is None else storable(value)


class Text(String):
    """A text of any length."""

    impl = PlainText
    cache_ok = True


KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"  # Key Object Selection Document Storage: none of its study's images
WORKER_DIED = "worker died"  # what an `EventRow` may tell
BYTES = BigInteger().with_variant(Integer, "sqlite")  # a size: SQLite's integers are as large, and PostgreSQL's are not


def _partial(name: str, *columns: str, where: str, postgresql: str | None = None) -> Index:
    """An index of some rows only; `postgresql` where its word for a truth value is another than SQLite's."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(postgresql or where))


class Base(DeclarativeBase):
    """Base of all tables: how Python types become columns."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Instant,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[Any]: JSON,
    }


class AssociationRow(Base):
    """One association (or one STOW request, folder import, ...), accepted or refused; or refused storage commitment."""

    __tablename__ = "association"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    way: Mapped[str] = mapped_column(String(16))  # dimse, stow, folder, import, orthanc, fetch; commitment
    calling_ae_title: Mapped[str] = mapped_column(String(64), default="")
    called_ae_title: Mapped[str] = mapped_column(String(64), default="")
    peer_address: Mapped[str] = mapped_column(String(64), default="")
    started: Mapped[datetime] = mapped_column(index=True)
    ended: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(32), default="open")  # an AssociationOutcome
    reason: Mapped[str] = mapped_column(Text, default="")
    contexts_refused: Mapped[str] = mapped_column(Text, default="", server_default="")  # which, and why
    # of a refused one: how often within the hour, by the same peer and for the same reason; `ended` is the last time
    times: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    stored: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)  # known when it has ended in order

    __table_args__ = (_partial("association_open", "started", where="ended IS NULL"),)


class InstanceRow(Base):
    """The receipt of one stored instance."""

    __tablename__ = "instance"

    sop_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    series_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)  # relative to the store's folder
    size: Mapped[int] = mapped_column(BYTES)
    association_id: Mapped[str] = mapped_column(String(36), index=True)
    received: Mapped[datetime] = mapped_column(index=True)
    times_received: Mapped[int] = mapped_column(Integer, default=1)  # the same instance sent again is a receipt too
    revision: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # how often with another data set
    turn: Mapped[int] = mapped_column(BYTES, default=0, server_default="0")  # of the receipt: the latest one counts
    fsynced: Mapped[bool] = mapped_column(default=False)
    # a result of this software: none of its study's images
    made_by_us: Mapped[bool] = mapped_column(default=False, server_default=false())
    patient: Mapped[str] = mapped_column(String(80), default="", server_default="")  # see `node.study.patients`
    reading_attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # that ended what read it
    given_up: Mapped[str] = mapped_column(Text, default="", server_default="")  # why it is not read; empty: it is
    # how often it may still be looked into for a reader's verdict; 0: it has been, or cannot hold one
    looks_left: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    rejected: Mapped[str] = mapped_column(String(16), default="", server_default="")  # a `RejectionReason`; empty: not

    __table_args__ = (
        _partial("instance_made_by_us", "received", where="made_by_us = 1", postgresql="made_by_us"),
        _partial("instance_to_look_into", "received", where="looks_left > 0"),
        _partial("instance_key_objects", "received", where=f"sop_class_uid = '{KEY_OBJECTS}'"),
        _partial("instance_given_up", "received", where="given_up <> ''"),
        _partial("instance_rejected", "study_instance_uid", where="rejected <> ''"),
    )


class SeriesRow(Base):
    """What is known of one series of one study; completion reads and writes it.

    Some devices give one Series Instance UID to several studies: each study's part is a series of its own.
    """

    __tablename__ = "series"

    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    series_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    modality: Mapped[str] = mapped_column(String(16), default="")
    instances: Mapped[int] = mapped_column(Integer, default=0)  # distinct instances stored
    expected: Mapped[int | None]  # from the headers, where they say
    first_received: Mapped[datetime]
    last_received: Mapped[datetime] = mapped_column(index=True)
    last_association_id: Mapped[str] = mapped_column(String(36), default="")
    routed_instances: Mapped[int] = mapped_column(Integer, default=0)  # how many the last series-level decision saw
    study_routed_instances: Mapped[int] = mapped_column(Integer, default=0)  # how many the last study-level one saw
    completed: Mapped[datetime | None]

    # Completion asks many times a second for what is not yet decided: a handful of rows, however many series there are.
    __table_args__ = (
        _partial("series_undecided", "series_instance_uid", where="instances > routed_instances"),
        _partial("series_undecided_in_study", "study_instance_uid", where="instances > study_routed_instances"),
    )


class StudyRow(Base):
    """One study: when something of it came, first and last, and how far it has been decided about."""

    __tablename__ = "study"

    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    first_received: Mapped[datetime]
    last_received: Mapped[datetime] = mapped_column(index=True)
    routed_instances: Mapped[int] = mapped_column(Integer, default=0)  # how many the last study-level decision saw
    completed: Mapped[datetime | None]
    # why it cannot be decided about for now, for people; empty: nothing is in the way
    trouble: Mapped[str] = mapped_column(Text, default="", server_default="")

    __table_args__ = (_partial("study_in_trouble", "last_received", where="trouble <> ''"),)


ACCESSION, PATIENT_ID = "accession", "patient"  # what a `StudyKeyRow` may be of


class StudyKeyRow(Base):
    """By what a study is found: keyed digests of its accession number and its patients' IDs (`node.study.patients`)."""

    __tablename__ = "study_key"

    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)  # ACCESSION or PATIENT_ID
    digest: Mapped[str] = mapped_column(String(16), primary_key=True)  # empty: its images state none

    __table_args__ = (Index("study_by_key", "kind", "digest"),)


class DecisionRow(Base):
    """What one route decided about one complete series or study, clause by clause."""

    __tablename__ = "decision"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    route: Mapped[str] = mapped_column(String(64))
    level: Mapped[str] = mapped_column(String(8))
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    series_instance_uid: Mapped[str | None] = mapped_column(String(64), index=True)
    matched: Mapped[bool]
    trace: Mapped[dict[str, Any]]
    job_id: Mapped[str | None] = mapped_column(String(32))
    decided: Mapped[datetime] = mapped_column(index=True)

    # the page of routes counts those of a few days, of each route
    __table_args__ = (Index("decision_by_route", "route", "matched", "decided"),)


class JobRow(Base):
    """One job: one pipeline on one study for one route."""

    __tablename__ = "job"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    route: Mapped[str] = mapped_column(String(64))
    pipeline: Mapped[str] = mapped_column(String(64))
    pipeline_version: Mapped[str] = mapped_column(String(32), default="")
    weights: Mapped[str] = mapped_column(String(64), default="", server_default="")  # digest of those that it runs with
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    series_instance_uids: Mapped[list[str]]
    sop_instance_uids: Mapped[list[str]]
    settings: Mapped[dict[str, Any]]
    destinations: Mapped[list[str]]
    conditions: Mapped[dict[str, Any] | None]  # by destination: which results it gets, as configured; others get all
    hand_over: Mapped[dict[str, Any] | None]  # by such a destination: whether it got the result, clause by clause
    priority: Mapped[int] = mapped_column(Integer, default=100)
    shadow: Mapped[bool] = mapped_column(default=False)  # run, send nothing
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text, default="")
    step: Mapped[str] = mapped_column(String(16), default="", server_default="")  # that a worker began with last
    attempt: Mapped[int] = mapped_column(Integer, default=0)  # how often it was begun since the job was queued
    predecessor: Mapped[str | None] = mapped_column(String(32))
    # which of its images had been sent again with another data set, as a digest; empty: none
    revision: Mapped[str] = mapped_column(String(64), default="", server_default="")
    prior: Mapped[dict[str, Any] | None]  # the earlier report that the job was given, or that it was given none
    created: Mapped[datetime] = mapped_column(index=True)
    updated: Mapped[datetime]
    cleaned: Mapped[datetime | None]  # when its folder and its checkpoints were deleted
    withdrawn: Mapped[datetime | None]  # when its result was taken back
    withdrawn_by: Mapped[str] = mapped_column(String(128), default="", server_default="")
    withdrawn_why: Mapped[str] = mapped_column(Text, default="", server_default="")
    # which of its images, or of the objects that it made, were rejected since, and why; empty: none
    rejected: Mapped[str] = mapped_column(Text, default="", server_default="")

    __table_args__ = (
        Index("job_by_state", "state", "created", "id"),
        Index("job_by_route", "route", "created", "state"),
        Index("job_of_study", "study_instance_uid", "state", "route"),  # all that a search for studies asks of jobs
        _partial("job_under_way", "state", "pipeline", "created", where="state IN ('queued', 'running', 'sending')"),
        _partial("job_on_request", "study_instance_uid", "created", where="study_instance_uid = ''"),
        _partial("job_not_cleaned", "updated", "id", where="cleaned IS NULL"),
    )


class JobPatientRow(Base):
    """Whom the images of a job name, or whom its objects do where that is somebody else: `node.study.patients`."""

    __tablename__ = "job_patient"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    mark: Mapped[str] = mapped_column(String(80), primary_key=True)  # keyed digests
    written: Mapped[bool] = mapped_column(primary_key=True)  # in the objects
    patient: Mapped[str] = mapped_column(String(16), index=True)  # the patient ID's part of the mark


class EventRow(Base):
    """One change of state of a job, with its time: the timeline on the status page."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    what: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime]
    seconds: Mapped[float | None] = mapped_column(Float)  # how long the step took

    __table_args__ = (_partial("event_worker_died", "at", where=f"what = '{WORKER_DIED}'"),)


class ObjectRow(Base):
    """One object that a job made."""

    __tablename__ = "object"

    sop_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    series_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    path: Mapped[str] = mapped_column(Text)  # relative to the data folder: `node.data_folder`
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BYTES)
    order: Mapped[int] = mapped_column(Integer, default=0)  # images first, reports last
    twin_of: Mapped[str | None] = mapped_column(String(64))  # sent only where a peer refuses the class of this object


class OutboxRow(Base):
    """One object on its way to one destination."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    sop_instance_uid: Mapped[str] = mapped_column(ForeignKey("object.sop_instance_uid"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    destination: Mapped[str] = mapped_column(String(64))
    order: Mapped[int] = mapped_column(Integer, default=0)  # images first, reports last
    state: Mapped[str] = mapped_column(String(16))  # an OutboxState
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    not_before: Mapped[datetime]
    delivered: Mapped[datetime | None]
    confirm: Mapped[bool] = mapped_column(default=False)  # done only when confirmed, not when delivered
    transaction_uid: Mapped[str | None] = mapped_column(String(64))  # of the open commitment transaction that it is in
    sha256: Mapped[str] = mapped_column(String(64), default="")  # of the file when it was first sent; never another
    answer: Mapped[str] = mapped_column(Text, default="")  # the peer's last word
    unclear: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # how often its answer said nothing
    failing_since: Mapped[datetime | None]  # of one that waits after a failed try: when the first of them failed

    # The sender asks many times a second what is due, however much waits for a destination that is down.
    __table_args__ = (
        Index("outbox_once", "sop_instance_uid", "destination", unique=True),
        Index("outbox_by_state", "destination", "state", "delivered"),
        _partial("outbox_waiting", "destination", "not_before", "id", where="state = 'waiting'"),
        _partial(
            "outbox_unconfirmed",
            "destination",
            "job_id",
            "id",
            where="state = 'delivered' AND confirm = 1 AND transaction_uid IS NULL",
            postgresql="state = 'delivered' AND confirm AND transaction_uid IS NULL",
        ),
        _partial("outbox_failing", "destination", "failing_since", where="failing_since IS NOT NULL"),
        _partial("outbox_in_transaction", "transaction_uid", where="transaction_uid IS NOT NULL"),
    )


class WithdrawalRow(Base):
    """What a job sent to one destination, taken back, with the proof of what the destination had before and after."""

    __tablename__ = "withdrawal"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"))
    destination: Mapped[str] = mapped_column(String(64), index=True)
    code: Mapped[str] = mapped_column(String(16))  # a `RejectionReason`: why, as the note says it
    why: Mapped[str] = mapped_column(Text, default="")  # in words
    successor: Mapped[str | None] = mapped_column(String(32))  # the job whose result takes its place, if one does
    state: Mapped[str] = mapped_column(String(16))  # a `WithdrawalState`
    way: Mapped[str] = mapped_column(String(24), default="")  # how the destination was told
    objects: Mapped[int] = mapped_column(Integer)  # how many it may have
    held_before: Mapped[int | None] = mapped_column(Integer)  # of them, when it was asked before; None: it did not say
    held_after: Mapped[int | None] = mapped_column(Integer)
    still_held: Mapped[list[str]]  # SOP Instance UIDs of those; the first of many
    asked: Mapped[datetime | None]  # when it was asked last
    note_uid: Mapped[str] = mapped_column(String(64), default="")  # SOP Instance UID of the rejection note
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    not_before: Mapped[datetime]
    created: Mapped[datetime]
    answer: Mapped[str] = mapped_column(Text, default="")  # the peer's last word

    __table_args__ = (
        Index("withdrawal_once", "job_id", "destination", unique=True),
        _partial("withdrawal_open", "destination", "not_before", "id", where="state IN ('waiting', 'told')"),
    )


class KeyObjectRow(Base):
    """A key object document that came in: nobody has looked into it yet, or it is a rejection note."""

    __tablename__ = "key_object"

    sop_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    patient: Mapped[str] = mapped_column(String(80), default="")  # as `InstanceRow.patient`
    state: Mapped[str] = mapped_column(String(16))  # a RejectionNoteState
    code: Mapped[str] = mapped_column(String(16), default="")  # a `RejectionReason`; empty: it rejects nothing yet
    attempts: Mapped[int] = mapped_column(Integer, default=0)  # at reading it that failed
    received: Mapped[datetime]

    __table_args__ = (_partial("key_object_waiting", "received", where="state = 'waiting'"),)


class RejectionRow(Base):
    """One object that a rejection note rejects; it may come after the note."""

    __tablename__ = "rejection"

    note_uid: Mapped[str] = mapped_column(ForeignKey("key_object.sop_instance_uid"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class CommitmentRow(Base):
    """A storage commitment transaction: asked of us, or asked by us."""

    __tablename__ = "commitment"

    transaction_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    direction: Mapped[str] = mapped_column(String(8))  # a CommitmentDirection
    peer: Mapped[str] = mapped_column(String(64))
    references: Mapped[list[Any]]  # [sop_class_uid, sop_instance_uid] pairs
    state: Mapped[str] = mapped_column(String(16))  # a CommitmentState
    # out: the destination has been asked, and its report is awaited
    asked: Mapped[bool] = mapped_column(default=False, server_default=false())
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    not_before: Mapped[datetime]
    created: Mapped[datetime] = mapped_column(index=True)
    answer: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (
        Index("commitment_due", "direction", "state", "not_before"),
        Index("commitment_due_at_peer", "direction", "peer", "state", "not_before"),
    )


class FetchRow(Base):
    """A request to run a pipeline on a study that is fetched from an archive first."""

    __tablename__ = "fetch"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    archive: Mapped[str] = mapped_column(String(64))  # name of the destination that it is fetched from
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    asked: Mapped[dict[str, Any]]  # what is to run, as POST /run has it; no accession number
    state: Mapped[str] = mapped_column(String(16), index=True)  # a FetchState
    reason: Mapped[str] = mapped_column(Text, default="")
    jobs: Mapped[list[str]]  # ids of those that were made
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    not_before: Mapped[datetime]
    claimed_until: Mapped[datetime | None]  # by a node that fetches it; it is free again then
    created: Mapped[datetime] = mapped_column(index=True)
    updated: Mapped[datetime]  # since when it is in its state


class VerdictRow(Base):
    """What a reader says about one finding of a job's result: `node.verdicts.verdict`."""

    __tablename__ = "verdict"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))  # a VerdictKind
    source_uid: Mapped[str] = mapped_column(String(64), index=True)  # SOP Instance UID of what says it
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    object_uid: Mapped[str] = mapped_column(String(64))  # of the job's object that it is about
    tracking_uid: Mapped[str] = mapped_column(String(64), default="")  # of the finding; empty: the whole object
    tracking_id: Mapped[str] = mapped_column(String(64), default="")
    finding: Mapped[list[str] | None]  # a code: value, scheme, meaning
    site: Mapped[list[str] | None]
    answer: Mapped[str] = mapped_column(String(16))  # an Answer
    reason: Mapped[list[str] | None]
    comment: Mapped[str] = mapped_column(Text, default="")  # without what identifies the patient
    # of a modified finding: {"name": code, "before": number or code, "after": number or code, "unit": code or null}
    changes: Mapped[list[Any]]
    observer: Mapped[str] = mapped_column(String(64), default="")  # keyed digest of the reader's name
    device: Mapped[str] = mapped_column(String(140), default="")
    sender: Mapped[str] = mapped_column(String(64), default="")
    observed: Mapped[datetime]
    received: Mapped[datetime] = mapped_column(index=True)
    superseded: Mapped[bool] = mapped_column(default=False)  # a later one by the same reader takes its place


class CallbackRow(Base):
    """Somebody who is to be told of the end of what they asked for."""

    __tablename__ = "callback"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    receiver: Mapped[str] = mapped_column(String(64))  # of run_requests.callbacks
    url: Mapped[str] = mapped_column(Text)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    request: Mapped[str] = mapped_column(String(32))  # id of the FetchRow; empty: the study was stored
    jobs: Mapped[list[str]]  # ids, of a study that was stored
    state: Mapped[str] = mapped_column(String(16))  # a CallbackState
    answer: Mapped[str] = mapped_column(Text, default="")  # of the receiver, or why there is none
    attempts: Mapped[int] = mapped_column(Integer, default=0)  # that failed
    not_before: Mapped[datetime]
    created: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (Index("callback_due", "state", "not_before"),)


class AlertRuleRow(Base):
    """A rule of the configuration: which node looks at it, how far, and until when nobody is told."""

    __tablename__ = "alert_rule"

    rule: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(128), default="")  # the node, where several share a database
    seen: Mapped[datetime]  # when it last renewed that claim, by the database's clock
    looked_until: Mapped[datetime]  # of rules about results: of jobs that ended before, all is told
    silenced_until: Mapped[datetime | None]
    silenced_by: Mapped[str] = mapped_column(String(128), default="", server_default="")


class AlertRow(Base):
    """What a rule has found about one subject, such as a destination; it is told once, and once when it is over."""

    __tablename__ = "alert"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    rule: Mapped[str] = mapped_column(String(64))
    node: Mapped[str] = mapped_column(String(128), default="")  # that it concerns; empty: all on this database
    subject: Mapped[str] = mapped_column(String(160), default="")
    job_id: Mapped[str | None] = mapped_column(String(32), index=True)  # of a result
    severity: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))  # an AlertState
    since: Mapped[datetime] = mapped_column(index=True)
    told: Mapped[datetime | None]  # when last; None: not yet
    absent: Mapped[datetime | None]  # since when it is gone, while it counts as lasting
    ended: Mapped[datetime | None]
    times: Mapped[int] = mapped_column(Integer, default=0)  # how often it has begun
    title: Mapped[str] = mapped_column(Text)  # what is wrong, in a few words
    sentence: Mapped[str] = mapped_column(Text)  # with the facts
    advice: Mapped[str] = mapped_column(Text, default="")  # what to do
    ending: Mapped[str] = mapped_column(Text, default="")  # what is said when it is over
    link: Mapped[str] = mapped_column(Text, default="")  # path on the status page

    __table_args__ = (
        Index("alert_once", "rule", "node", "subject", unique=True),
        _partial("alert_open", "rule", "node", where="state <> 'over'"),
    )


class AlertNoticeRow(Base):
    """What one channel is to be told of an alert; those of one batch go in one message."""

    __tablename__ = "alert_notice"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alert.id"), index=True)
    channel: Mapped[str] = mapped_column(String(64))
    content: Mapped[dict[str, Any]]  # a `node.alerts.messages.Notice`; no patient's name or ID
    state: Mapped[str] = mapped_column(String(16))  # a NoticeState
    batch: Mapped[str | None] = mapped_column(String(32), index=True)  # id of the message, once somebody has begun it
    attempts: Mapped[int] = mapped_column(Integer, default=0)  # that failed
    not_before: Mapped[datetime]
    created: Mapped[datetime] = mapped_column(index=True)
    sent: Mapped[datetime | None]
    answer: Mapped[str] = mapped_column(Text, default="")  # the channel's last word

    __table_args__ = (
        Index("alert_notice_by_channel", "channel", "id"),
        _partial("alert_notice_waiting", "channel", "not_before", "id", where="state = 'waiting'"),
    )


class ExecutorRow(Base):
    """A process that runs jobs, and when it last reported that it lives (by the database's clock)."""

    __tablename__ = "executor"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    seen: Mapped[datetime]


class LaneRow(Base):
    """Which node sends to a destination, where several share a database, and when it last renewed that claim."""

    __tablename__ = "lane"

    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(128))
    seen: Mapped[datetime]


class ModelVersionRow(Base):
    """A version of its model that a route was given, by an operator; the last row of a route is in force."""

    __tablename__ = "model_version"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    route: Mapped[str] = mapped_column(String(64))
    pipeline: Mapped[str] = mapped_column(String(64))
    bundle: Mapped[str | None] = mapped_column(String(64))  # digest in `node.models.store`; None: as configured
    weights: Mapped[str] = mapped_column(String(64))  # digest of what inference reads of it; empty: as configured
    trained_on: Mapped[str] = mapped_column(Text, default="")  # as the bundle stated it
    source: Mapped[str] = mapped_column(Text, default="")  # the folder that it was copied from
    before: Mapped[int | None]  # the row whose version `condyle model back` puts in force; None: as configured
    since: Mapped[datetime]
    who: Mapped[str] = mapped_column(String(128), default="")

    __table_args__ = (Index("model_version_by_route", "route", "id"),)


NODE_STARTED, NODE_STOPPED = "node started", "node stopped"  # what an `AuditRow` may be of
NOT_STORED, ERASED = "instance not stored", "study erased"
WITHDRAWN = "result withdrawn"  # by an operator, or because its images were rejected
MODEL_CHANGED = "model changed"  # another version of a route's model was put in force
FILE_NOT_TAKEN = "file not taken"  # of a watched folder
VERDICT_NOT_READ = "verdict not read"  # of a report or a segmentation that came in, or a part of it
PATIENT_CHANGED = "patient changed"  # merged or corrected, where that concerns jobs
PATIENT_CHANGE_REFUSED = "patient change refused"  # a merge that cannot be followed
SIGN_IN_REFUSED = "sign-in refused"
ALERT_SILENCED = "alert silenced"  # by an operator, for a time; or to be told again
ALERT_CHANNEL_TESTED = "alert channel tested"
PATIENT_VIEWED = "patient viewed"  # who the patient of a study is, or a report, was shown on the page
RECORD_NOT_READ = "record not read"  # a message or a bundle that ended what reads it, or broke it
REJECTION_NOTE = "rejection note"  # that came in
NOT_DECIDED = "cannot decide"  # about a series or study
IMAGE_GIVEN_UP, SERIES_GIVEN_UP = "image given up", "series given up"  # not read any more
AUDIT_LOST = "audit file shortened"  # lines that were written are gone
AUDIT_CHANGED = "audit file changed"  # lines are others than those that were written
# what an operator did
JOB_RESTARTED, JOB_CANCELLED, JOB_SENT = "job restarted", "job cancelled", "job sent to more destinations"
SENT_AGAIN = "results sent again"  # to a destination, all that it took since a time
PIPELINE_RUN, DECIDED_ANEW = "pipeline run by hand", "study decided anew"
PAUSED, RESUMED = "paused", "resumed"  # a route or a destination
IMPORTED = "files imported"
ROUTES_CHANGED = "routes changed"  # in the configuration file, from the page
CONFIGURATION_IN_FORCE = "configuration in force"  # at a start, or after a reload
CONFIGURATION_REFUSED = "configuration refused"  # at a reload; the one before stays in force
SIGNED_IN, SIGNED_OUT = "signed in", "signed out"  # a person, to the page
USER_CHANGED = "user changed"  # added, removed, disabled, or given another role or password
API_TOKEN_CHANGED = "API token changed"  # made or revoked


class AuditRow(Base):
    """Who did what: refusals, operator actions, configuration in force.

    Instances that were not stored are counted within the hour, by sender, study, status and reason: one row has all.
    """

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    what: Mapped[str] = mapped_column(String(64))
    who: Mapped[str] = mapped_column(String(128), default="")
    study_instance_uid: Mapped[str | None] = mapped_column(String(64), index=True)  # that it is about
    detail: Mapped[dict[str, Any]]
    times: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    counted_as: Mapped[str | None] = mapped_column(String(36))  # by which receipts tell that the count has grown
    number: Mapped[int | None] = mapped_column(BYTES)  # in the chain; None: not written there yet

    __table_args__ = (
        Index("audit_by_kind", "what", "id"),
        Index("audit_by_who", "who", "id"),
        Index("audit_counted_as", "counted_as", unique=True),
        Index("audit_by_number", "number"),
        _partial("audit_not_chained", "id", where="number IS NULL"),
    )


class AuditHeadRow(Base):
    """How far the audit trail has been written to its file and sent on, in its only row."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    number: Mapped[int] = mapped_column(BYTES, default=0)  # of the last line in the file
    digest: Mapped[str] = mapped_column(String(64), default="")  # of that line
    sent: Mapped[int] = mapped_column(BYTES, default=0)  # number of the last line that the syslog server was sent
    counted_until: Mapped[datetime | None]  # lines before that grow no more, and were written with their count


class UserRow(Base):
    """Somebody who signs in with a name and a password that the node itself keeps."""

    __tablename__ = "user_account"  # "user" is a word of SQL

    name: Mapped[str] = mapped_column(String(64), primary_key=True)  # in lower case
    password: Mapped[str] = mapped_column(String(256))  # its argon2 hash
    role: Mapped[str] = mapped_column(String(16))  # a Role
    sees_patients: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime]
    disabled: Mapped[datetime | None]  # since when they may not sign in
    last_sign_in: Mapped[datetime | None]


class SessionRow(Base):
    """A browser in which somebody has signed in; its cookie holds a token that is stored as a digest only."""

    __tablename__ = "session"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the token
    name: Mapped[str] = mapped_column(String(128), index=True)
    way: Mapped[str] = mapped_column(String(16))  # password, openid
    role: Mapped[str] = mapped_column(String(16))  # as it was when they signed in; a change ends the session
    sees_patients: Mapped[bool] = mapped_column(default=False)
    address: Mapped[str] = mapped_column(String(64), default="")
    browser: Mapped[str] = mapped_column(String(200), default="")  # what it calls itself
    created: Mapped[datetime]
    seen: Mapped[datetime] = mapped_column(index=True)  # last, to a minute

    __table_args__ = (Index("session_by_digest", "digest", unique=True),)


class ApiTokenRow(Base):
    """A token that a program shows, stored as a digest only."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the token
    scopes: Mapped[list[str]]  # of Scope
    made_by: Mapped[str] = mapped_column(String(128))
    created: Mapped[datetime]
    expires: Mapped[datetime | None]
    last_used: Mapped[datetime | None]  # to a minute
    revoked: Mapped[datetime | None]

    __table_args__ = (
        Index("api_token_by_digest", "digest", unique=True),
        Index("api_token_by_name", "name", unique=True),
    )


class InstallationRow(Base):
    """Which installation the database belongs to, in its only row; the data folder says the same."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # always 1
    identity: Mapped[str] = mapped_column(String(32))


class PauseRow(Base):
    """A route whose jobs are not begun, or a destination that is sent nothing, until an operator resumes it."""

    __tablename__ = "pause"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)  # a `node.database.pauses.PauseKind`
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[datetime]
    who: Mapped[str] = mapped_column(String(128), default="", server_default="")
    why: Mapped[str] = mapped_column(Text, default="", server_default="")
