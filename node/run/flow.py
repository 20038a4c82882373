"""What a job does, step by step: prepare, infer, encode, hand over. Plain functions that know no job engine.

Every step may be done twice, after a crash between its work and the note that it is done, and then finds its own work
and does nothing: inference that finished is not repeated, objects that were written are not written again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Engine as Database
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dicom_sr.errors import UnsuitableInput
from node.config import Configuration, Destination
from node.database import job_states
from node.database.jobs import JobState
from node.database.tables import AssociationRow, EventRow, InstanceRow, JobRow, ObjectRow, OutboxRow
from node.errors import JobFailed, NodeError, WorkerDied
from node.run.job_folder import JobFolder
from node.run.pool import Pool, Stopping
from pipelines.context import ClinicalContext

log = logging.getLogger(__name__)

MAX_STARTS = 3  # a step that was begun so often, and took its worker or the node with it each time, is not begun again
PREPARE, HAND_OVER = "prepare", "hand over"
CHUNK = 500  # identifiers in one IN (...)

T = TypeVar("T")

Contexts = Callable[[JobRow, list[Path]], ClinicalContext | None]


class Prior(Protocol):
    """An earlier report for a job, or that there is none."""

    @property
    def note(self) -> dict[str, Any]: ...
    @property
    def summary(self) -> str: ...
    @property
    def content(self) -> bytes | None: ...


class Priors(Protocol):
    """What `node.prior.search` does for a job."""

    def find(self, job: JobRow, paths: Sequence[Path]) -> Prior | None:
        """The patient's last report by the job's pipeline; None where the pipeline wants none."""

    def keep(self, job: JobRow, reports: Sequence[tuple[str, Path]]) -> None:
        """Keep the job's reports for the patient's next study."""

    def purge(self) -> int:
        """Delete what was kept for long enough."""


class Flow:
    """The steps, with what they need.

    Parameters
    ----------
    contexts
        Finds the patient's record for a job; the files are the job's instances.
    priors
        Finds the patient's earlier report for a job, and keeps what the job reports.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        pool: Pool,
        contexts: Contexts | None = None,
        priors: Priors | None = None,
    ) -> None:
        self._configuration, self._database, self._pool = configuration, database, pool
        self._contexts, self._priors = contexts, priors

    def folder(self, job_id: str) -> JobFolder:
        return JobFolder(self._configuration.node.data.absolute() / "jobs" / job_id)

    # ---- steps
    def prepare(self, job_id: str) -> dict[str, Any]:
        """Find the job's files and hold them against the pipeline's input contract."""
        folder = self.folder(job_id)
        with self._step(job_id, PREPARE) as job:
            answer = folder.read_json("checked.json")
            if answer is None:
                paths, attributes = self._instances(job)
                folder.write_study(job.study_instance_uid, paths, attributes)
                try:  # a record of somebody else is a reason not to run, too
                    if self._contexts is not None and (context := self._contexts(job, paths)) is not None:
                        folder.write_context(context, self._configuration.records.key_file)
                    answer = self._call(job, "check", "prepare")
                except UnsuitableInput as error:
                    return {"unsuitable": str(error)}
            self._find_prior(job)
            job.pipeline_version = answer["version"]  # written down with the step's note
            return {"unsuitable": None}

    def infer(self, job_id: str) -> dict[str, Any]:
        """Run the pipeline; a result that is there already is taken as it is."""
        folder = self.folder(job_id)
        with self._step(job_id, "infer") as job:
            note = folder.finished_result()
            if note is None:
                try:
                    note = self._call(job, "infer", "infer")
                except UnsuitableInput as error:
                    return {"unsuitable": str(error), "result": None}
            return {"unsuitable": None, "result": note["sha256"]}

    def encode(self, job_id: str, result: str | None, not_run: str | None) -> dict[str, Any]:
        """Write the DICOM objects of the result, or those which say that there is none, where somebody wants them."""
        with self._step(job_id, "encode") as job:
            return {"objects": self._encode(job, result, not_run)}

    def hand_over(self, job_id: str, objects: str | None, state: str, reason: str = "") -> None:
        """Put every object on its way to every destination that takes it, and the job into `state`, all at once.

        Raises
        ------
        JobFailed
            If an object went out before with other bytes, or a destination is no longer configured.
        """
        with self._step(job_id, HAND_OVER) as job:
            self._hand_over(job, objects, JobState(state), reason, step=HAND_OVER)

    def fail(self, job_id: str, reason: str) -> None:
        """End the job as failed; where a destination wants to know of missing results, it will."""
        with Session(self._database) as session:
            job = session.get_one(JobRow, job_id)
        if job.state not in (JobState.QUEUED, JobState.RUNNING):
            return
        try:
            self._hand_over(job, self._encode(job, None, reason), JobState.FAILED, reason)
        except NodeError as error:
            log.warning("cannot report the missing result", extra={"job": job_id, "reason": str(error)})
            self._hand_over(job, None, JobState.FAILED, reason)

    # ---- around every step
    @contextmanager
    def _step(self, job_id: str, name: str) -> Iterator[JobRow]:
        """Do a step of a job that is running: note how long it took, or that the node was stopped in it."""
        start = time.perf_counter()
        with Session(self._database, expire_on_commit=False) as session:
            job = session.get_one(JobRow, job_id)
            if job.state == JobState.QUEUED:
                job = job_states.move(session, job_id, JobState.RUNNING)
                session.commit()
        try:
            yield job
        except Stopping:
            with Session(self._database) as session, session.begin():
                job_states.note(session, job_id, "interrupted", name)
            raise
        if name == HAND_OVER:  # noted with what it does
            return
        with Session(self._database) as session, session.begin():  # one flush of the disk for all of it
            job_states.note(session, job_id, name, seconds=time.perf_counter() - start)
            if name == PREPARE:
                version = {"pipeline_version": job.pipeline_version}
                session.execute(update(JobRow).where(JobRow.id == job_id).values(version))

    def _call(self, job: JobRow, do: str, step: str, **more: Any) -> dict[str, Any]:
        """Have a worker do it, again where the worker dies, until it has been begun too often."""
        request = {
            "do": do,
            "folder": str(self.folder(job.id).path),
            "pipeline": job.pipeline,
            "settings": job.settings,
            **more,
        }
        while True:
            try:
                return self._pool.call(
                    request,
                    priority=job.priority,
                    began=lambda: self._begin(job.id, step),
                    cancelled=lambda: self._ended(job.id),
                )
            except WorkerDied as error:
                log.warning("worker died", extra={"job": job.id, "step": step, "reason": str(error)})
                with Session(self._database) as session, session.begin():
                    job_states.note(session, job.id, "worker died", str(error))

    def _begin(self, job_id: str, step: str) -> None:
        """Note that a worker begins with the step, unless it has taken too many with it already."""
        with Session(self._database) as session, session.begin():
            job_states.locked(session, job_id)
            events = session.execute(
                select(EventRow.what, EventRow.detail).where(EventRow.job_id == job_id).order_by(EventRow.id.desc())
            ).all()
            starts = 0
            for what, detail in events:
                if what == "queued":
                    break
                starts += (what == "begun" and detail == step) - (what == "interrupted" and detail == step)
            if starts >= MAX_STARTS:
                died = [detail for what, detail in events if what == "worker died"]
                how = f": {died[0]}" if died else ""
                raise JobFailed(f"{step} was begun {starts} times and took its process with it each time{how}")
            session.execute(update(JobRow).where(JobRow.id == job_id).values(attempt=starts + 1))
            job_states.note(session, job_id, "begun", step)

    def _ended(self, job_id: str) -> bool:
        """Whether an operator has ended the job; while the database is away, nobody has."""
        try:
            with Session(self._database) as session:
                return session.get_one(JobRow, job_id).state == JobState.FAILED
        except OperationalError:
            return False

    # ---- prepare
    def _instances(self, job: JobRow) -> tuple[list[Path], dict[str, dict[str, str]]]:
        store = self._configuration.node.data.absolute() / "instances"
        paths: dict[str, Path] = {}
        attributes: dict[str, dict[str, str]] = {}
        with Session(self._database) as session:
            for uids in _chunks(job.sop_instance_uids):
                rows = session.execute(
                    select(InstanceRow, AssociationRow)
                    .outerjoin(AssociationRow, AssociationRow.id == InstanceRow.association_id)
                    .where(InstanceRow.sop_instance_uid.in_(uids))
                )
                for instance, association in rows:
                    paths[instance.sop_instance_uid] = store / instance.path
                    if association is not None:
                        attributes[instance.series_instance_uid] = {
                            "calling_ae_title": association.calling_ae_title,
                            "called_ae_title": association.called_ae_title,
                            "peer_address": association.peer_address,
                        }
        if missing := [uid for uid in job.sop_instance_uids if uid not in paths]:
            raise JobFailed(f"{len(missing)} of {len(job.sop_instance_uids)} instances are no longer stored")
        return list(paths.values()), attributes

    def _find_prior(self, job: JobRow) -> None:
        """Put the patient's earlier report into the job's folder and note in its record which it is: once for all."""
        folder = self.folder(job.id)
        if self._priors is None or folder.read_json("prior.json") is not None:
            return
        study = folder.read_json("study.json") or {"paths": []}
        start = time.perf_counter()
        prior = self._priors.find(job, [Path(path) for path in study["paths"]])
        if prior is None:
            return
        with Session(self._database) as session, session.begin():
            session.execute(update(JobRow).where(JobRow.id == job.id).values(prior=prior.note))
            job_states.note(session, job.id, "earlier report", prior.summary, seconds=time.perf_counter() - start)
        folder.write_prior(prior.content, prior.note)

    # ---- encode
    def _profiles(self, job: JobRow, not_run: str | None) -> dict[str, dict[str, Any]]:
        """The distinct encodings that the job's destinations ask for, by their digest."""
        if job.shadow:
            return {}
        wanted = [self._destination(name) for name in job.destinations]
        fields = [self._encoding(one) for one in wanted if not_run is None or one.profile.not_run_reports]
        return {_digest(of)[:12]: of for of in fields}

    def _destination(self, name: str) -> Destination:
        try:
            return self._configuration.destinations[name]
        except KeyError:
            raise JobFailed(f"destination {name} is no longer in the configuration") from None

    def _encoding(self, destination: Destination) -> dict[str, Any]:
        node = self._configuration.node
        fields = {
            **destination.profile.model_dump(mode="json", exclude={"not_run_reports"}),
            "not_run_reports": True,  # whether anybody wants them is decided here
            "uid_root": node.uid_root,
            "institution": node.institution,
        }
        return fields | ({"identifier_system": destination.identifier_system} if destination.kind == "fhir" else {})

    def _reports_of(self, job_id: str | None) -> list[dict[str, Any]]:
        """The reports of an earlier job that went out to anybody, as the encoders want them named."""
        if job_id is None:
            return []
        sent = select(OutboxRow.id).where(OutboxRow.sop_instance_uid == ObjectRow.sop_instance_uid).exists()
        with Session(self._database) as session:
            reports = session.scalars(
                select(ObjectRow)
                .where(ObjectRow.job_id == job_id, ObjectRow.kind == "report", sent)
                .order_by(ObjectRow.sop_instance_uid)
            ).all()
        names = ("kind", "sop_class_uid", "sop_instance_uid", "series_instance_uid", "study_instance_uid", "path")
        return [{name: getattr(report, name) for name in (*names, "order", "sha256")} for report in reports]

    def _encode(self, job: JobRow, result: str | None, not_run: str | None) -> str | None:
        """Have the objects written; returns what they are known by, None where nobody wants any."""
        profiles = self._profiles(job, not_run)
        if not profiles:
            return None
        predecessors = self._reports_of(job.predecessor) if not_run is None else []
        of = _digest([result, not_run, predecessors, profiles, *([job.revision] if job.revision else ())])
        if self.folder(job.id).finished_objects(of) is None:
            self._call(
                job,
                "encode",
                "encode",
                result=result,
                reason=not_run,
                predecessors=predecessors,
                profiles=profiles,
                created=job.created.isoformat(),
                revision=job.revision,
                of=of,
            )
        return of

    # ---- hand over
    def _hand_over(
        self, job: JobRow, objects: str | None, state: JobState, reason: str, step: str | None = None
    ) -> None:
        start = time.perf_counter()
        items = [] if objects is None else self._objects(job.id, objects)
        if self._priors is not None and state == JobState.SENDING:
            reports = [
                (item["sop_instance_uid"], Path(item["path"]))
                for item in items
                if item["kind"] == "report" and None in item["twin_of"].values()
            ]
            self._priors.keep(job, reports)
        with Session(self._database) as session, session.begin():
            if job_states.locked(session, job.id).state not in (JobState.QUEUED, JobState.RUNNING):
                return  # done before, or ended by an operator
            for chunk in _chunks(items):
                self._keep_objects(session, job.id, chunk)
            waiting = 0
            for destination in job.destinations if items else []:
                if state == JobState.SENDING or self._destination(destination).profile.not_run_reports:
                    waiting += self._queue_objects(session, job, destination, items)
            job_states.move(session, job.id, state, reason=reason)
            if step is not None:
                job_states.note(session, job.id, step, seconds=time.perf_counter() - start)
            if not waiting:
                job_states.settle(session, job.id)

    def _objects(self, job_id: str, of: str) -> list[dict[str, Any]]:
        note = self.folder(job_id).finished_objects(of)
        if note is None:
            raise JobFailed("the objects of the job are no longer what was encoded")
        return list(note["objects"])

    def _keep_objects(self, session: Session, job_id: str, items: Sequence[dict[str, Any]]) -> None:
        uids = [item["sop_instance_uid"] for item in items]
        known = {
            record.sop_instance_uid: record
            for record in session.scalars(select(ObjectRow).where(ObjectRow.sop_instance_uid.in_(uids)))
        }
        new = []
        for item in items:
            fields = {
                "sop_instance_uid": item["sop_instance_uid"],
                "sop_class_uid": item["sop_class_uid"],
                "series_instance_uid": item["series_instance_uid"],
                "study_instance_uid": item["study_instance_uid"],
                "job_id": job_id,
                "kind": item["kind"],
                "path": item["path"],
                "sha256": item["sha256"],
                "size": item["size"],
                "order": item["order"],
                "twin_of": next((uid for uid in item["twin_of"].values() if uid is not None), None),
            }
            record = known.get(item["sop_instance_uid"])
            if record is None:
                new.append(fields)
            elif record.sha256 != item["sha256"]:
                self._replace(session, record, fields)
        if new:
            session.execute(insert(ObjectRow), new)

    def _replace(self, session: Session, record: ObjectRow, fields: dict[str, Any]) -> None:
        """Other bytes under a UID: allowed only while nobody can have seen the former ones."""
        tried = session.scalar(
            select(func.count())
            .select_from(OutboxRow)
            .where(OutboxRow.sop_instance_uid == record.sop_instance_uid, OutboxRow.sha256 != "")
        )
        if tried:
            raise JobFailed(
                f"{record.kind} {record.sop_instance_uid} was sent before with other bytes; it stays as it is"
            )
        for name, value in fields.items():
            setattr(record, name, value)
        session.flush()

    def _queue_objects(self, session: Session, job: JobRow, name: str, items: list[dict[str, Any]]) -> int:
        """Have the objects that the destination takes wait for it; returns how many do."""
        destination = self._configuration.destinations[name]
        profile = _digest(self._encoding(destination))[:12]
        due = [
            item
            for item in items
            if item["twin_of"].get(profile, "") is None and item["kind"] in destination.profile.kinds
        ]
        now = datetime.now(UTC)
        known: set[str] = set()
        waiting = 0
        for chunk in _chunks([item["sop_instance_uid"] for item in due]):
            here = [OutboxRow.destination == name, OutboxRow.sop_instance_uid.in_(chunk)]
            known |= set(session.scalars(select(OutboxRow.sop_instance_uid).where(*here)))
            again = session.execute(  # a restart: what was refused or left out is tried again
                update(OutboxRow)
                .where(*here, OutboxRow.job_id == job.id, OutboxRow.state.in_(("refused", "skipped")))
                .values(state="waiting", not_before=now)
                .returning(OutboxRow.id)
            )
            waiting += len(again.all())
        confirm = destination.kind != "folder" and (
            destination.commitment if destination.kind == "dimse" else destination.confirm
        )
        new = [
            {
                "sop_instance_uid": item["sop_instance_uid"],
                "job_id": job.id,
                "destination": name,
                "order": item["order"],
                "state": "waiting",
                "not_before": now,
                "confirm": confirm,
            }
            for item in due
            if item["sop_instance_uid"] not in known
        ]
        if new:
            session.execute(insert(OutboxRow), new)
        return waiting + len(new)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def _digest(of: Any) -> str:
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
