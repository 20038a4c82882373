"""What a job does, step by step: prepare, infer, encode, hand over. Plain functions that know no job engine.

Derived series are handed over as soon as they are written, while the rest is being encoded.

Every step may be done twice, after a crash between its work and the note that it is done, and then finds its own work
and does nothing: inference that finished is not repeated, objects that were written are not written again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypedDict, TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from dicom_sr.errors import UnsuitableInput
from dicom_sr.profile import EncodingProfile
from dicom_sr.versions import Earlier
from dicom_sr.words import counted
from node.config import Configuration, Destination, FhirDestination
from node.data_folder import job_folder
from node.database import job_patients, job_states, outbox
from node.database.after_commit import after_commit
from node.database.connection import Database
from node.database.device import of_device
from node.database.jobs import ON_REQUEST, JobState
from node.database.tables import WORKER_DIED, JobRow
from node.errors import JobFailed, MustWait, NodeError, NoRoom, ReaderDied, StorageAway, WorkerDied
from node.files import FULL, free_bytes, is_full
from node.metrics import STEP
from node.models.versions import placed
from node.reading import Reader
from node.run.choice import Choice, choose
from node.run.earlier_results import earlier_results
from node.run.hand_over import destination_of, digest, encoding, note_choice, queue
from node.run.job_folder import JobFolder
from node.run.job_images import JobImages
from node.run.messages import Check, Checked, Done, Encode, Encoded, Infer, Inferred, JobRequest, Settings
from node.run.notes import CheckNote, ObjectsNote, PriorNote, ResultNote, StudyNote
from node.run.pool import Interrupted, NoneFree, Pool, Position, Stopping
from node.run.shadow_folder import as_destination, folder_of, write
from node.study.current_patients import CurrentPatients, identity_of
from node.study.images import store_is_away
from node.study.patients import Person, marking_key
from pipelines.base import answers_from_record
from pipelines.context import ClinicalContext
from pipelines.registry import pipeline_type

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  # until a step that has to wait is tried again
IMAGES_MISSING_S = 3600.0  # so long it waits for its images where others can be read, then the job fails
LOOK_S = 0.02
MAX_STARTS = 3  # a step that ended its worker or the node so often is not begun again
HAND_OVER = "hand over"
PATIENCE_S = 0.25  # so long what is done in a moment waits for a worker, then the process beside them does it
WRITES = ("prepare", "infer", "encode")  # steps that begin only above the disk floor; what they made still goes out

A = TypeVar("A", Checked, Inferred, Encoded)
R = TypeVar("R")


class Held(BaseException):
    """The job's route is paused: leave the job queued, and give up its place among those that were claimed.

    Not an `Exception`, as `Stopping` is none.
    """


Contexts = Callable[[JobRow, list[Path]], ClinicalContext | None]


class Prior(Protocol):
    """An earlier report for a job, or that there is none."""

    @property
    def note(self) -> dict[str, Any]:
        """For the job's row: which report it is and where it came from; a restart goes by it."""

    @property
    def summary(self) -> str:
        """For the timeline, in a line."""

    @property
    def content(self) -> bytes | None:
        """The report as a Part 10 file; None where there is none."""


class Priors(Protocol):
    """What `node.prior.search` does for a job."""

    def find(self, job: JobRow, paths: Sequence[Path]) -> Prior | None:
        """The patient's last report by the job's pipeline; None where the pipeline wants none."""

    def keep(self, job: JobRow, reports: Sequence[tuple[str, Path]]) -> None:
        """Keep the job's reports for the patient's next study."""

    def purge(self) -> int:
        """Delete what was kept for long enough."""


# ---- what the steps return: the job engine keeps it, so that a finished step is not repeated after a crash
class Prepared(TypedDict):
    """Why the pipeline does not run; None where it does."""

    unsuitable: str | None


class Inference(TypedDict):
    """SHA-256 of the result, or why there is none."""

    unsuitable: str | None
    result: str | None


class Encoding(TypedDict):
    """What the objects are known by; None where nobody wants any."""

    objects: str | None


@dataclass
class _Step:
    """A step that is being done, and what its end will note of the job."""

    job: JobRow  # as it was when the step began; nothing is written through it
    pipeline_version: str | None = None
    weights: str = ""  # digest of those that it runs with
    left_aside: tuple[str, ...] = ()  # images that the pipeline did not use, in sentences


class Flow:
    """The steps, with what they need.

    Parameters
    ----------
    reader
        Reads what the node must know of the images.
    contexts
        Finds the patient's record for a job; the files are the job's instances.
    priors
        Finds the patient's earlier report for a job, and keeps what the job reports.
    correct, patients
        As for `JobImages`.
    aside
        A process beside those of `pool`, for what is done in a moment, while these are at something long.
    paused
        Why the jobs of a route are held, by its name; None: they are not.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        pool: Pool,
        reader: Reader,
        contexts: Contexts | None = None,
        priors: Priors | None = None,
        correct: Callable[[Collection[Path]], object] = lambda _: None,
        patients: CurrentPatients | None = None,
        *,
        aside: Pool | None = None,
        paused: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._configuration, self._database, self._pool = configuration, database, pool
        self._aside, self._paused = aside, paused
        self._contexts, self._priors = contexts, priors
        self._images = JobImages(database, configuration.node.data, reader, correct, patients)
        self._instances = configuration.node.data.absolute() / "instances"
        self._waiting: dict[str, MustWait] = {}  # by job: why
        self._looked_at = ""  # the job that is checked before its turn
        self._at: set[str] = set()  # jobs of which a step is being done, or waits for a worker

    def reconfigure(self, configuration: Configuration) -> None:
        """Work by it from the next step on."""
        self._configuration = configuration

    def folder(self, job_id: str) -> JobFolder:
        """Where the steps of a job leave what they have made."""
        return JobFolder(job_folder(self._data, job_id), self._key_file)

    # ---- steps
    def prepare(self, job_id: str) -> Prepared:
        """Find the job's files and hold them against the pipeline's input contract."""
        folder = self.folder(job_id)
        while self._looked_at == job_id:
            self._pool.pause(LOOK_S)
        with self._step(job_id, "prepare") as step:
            checked = folder.read_note(CheckNote)
            if checked is None or step.job.step != "prepare":  # it may have been checked while it waited
                note = self._images.study_note(step.job)
                folder.write_note(note)
                with Session(self._database) as session, session.begin():
                    job_patients.note_images(session, job_id, note.people)
                try:  # images of several patients, or a record that is somebody else's, keep the pipeline from running
                    self._require_one_patient(step.job, note)
                    self._find_context(step.job)
                    if checked is None:
                        request = Check(*self._asked(step.job), key_file=self._key_file)
                        answer = self._call(step.job, "prepare", request, Checked)
                        checked = CheckNote(answer.version, answer.weights)
                except UnsuitableInput as error:
                    return {"unsuitable": str(error)}
            self._find_prior(step.job)
            step.pipeline_version, step.weights = checked.version, checked.weights
            return {"unsuitable": None}

    def infer(self, job_id: str) -> Inference:
        """Run the pipeline, unless its result is there already."""
        with self._step(job_id, "infer") as step:
            try:
                result = self._infer(step.job)
            except UnsuitableInput as error:
                return {"unsuitable": str(error), "result": None}
            note = self.folder(job_id).read_note(ResultNote)
            if note is not None:
                step.left_aside, step.weights, step.pipeline_version = note.left_aside, note.weights, note.version
            return {"unsuitable": None, "result": result}

    def encode(self, job_id: str, result: str | None, not_run: str | None) -> Encoding:
        """Write the objects of the result, or those that report a missing result, if any destination wants them.

        Parameters
        ----------
        job_id
            Of the job.
        result
            SHA-256 of the result; None where there is none.
        not_run
            Why there is none.
        """
        with self._step(job_id, "encode") as step:
            return {"objects": self._encode(step.job, result, not_run)}

    def hand_over(self, job_id: str, objects: str | None, state: str, reason: str = "") -> None:
        """Queue every object for every destination that takes it and move the job to `state`, in one transaction.

        Parameters
        ----------
        job_id
            Of the job.
        objects
            What the objects are known by, as `encode` returned it; None where there are none.
        state
            Of the job from now on: a `JobState`, as the job engine keeps it.
        reason
            Why, where the pipeline did not run.

        Raises
        ------
        JobFailed
            If an object went out before with other bytes, a destination is no longer configured, or one was edited to
            ask for objects that can no longer be encoded.
        """
        with self._step(job_id, HAND_OVER) as step:
            if step.job.state in (JobState.QUEUED, JobState.RUNNING):
                objects = self._encode_what_is_missing(step.job, objects, None if state == JobState.SENDING else reason)
            self._hand_over(step.job, objects, JobState(state), reason, step=HAND_OVER)

    def fail(self, job_id: str, reason: str) -> None:
        """End the job as failed. Destinations that want a report on missing results get one, if none has the result."""
        with Session(self._database) as session:
            job = session.get_one(JobRow, job_id)
            sent = outbox.count_sent(session, job_id)
        if job.state not in (JobState.QUEUED, JobState.RUNNING):
            return
        has_result = sent > 0 and self.folder(job_id).finished_result() is not None
        if has_result:
            reason = f"{reason}; {counted(sent, 'object')} went out before"
        try:
            objects = None if has_result else self._encode(job, None, reason)
            self._hand_over(job, objects, JobState.FAILED, reason)
        except MustWait:
            raise
        except NodeError as error:
            log.warning("cannot report the missing result", extra={"job": job_id, "reason": str(error)})
            self._hand_over(job, None, JobState.FAILED, reason)

    # ---- before its steps
    def is_at(self, job_id: str) -> bool:
        """Whether a step of the job is being done, or waits for a worker."""
        return job_id in self._at

    def refuses(self, job_id: str) -> bool:
        """Whether the pipeline's check refuses a job that nobody has begun; the job itself stays as it was.

        Whatever keeps that from being known now, the job's own steps will say. What is accepted is not checked again.
        """
        self._looked_at = job_id  # before the question whether somebody is at it: who begins with it asks the other way
        try:
            with Session(self._database) as session:
                job = session.get(JobRow, job_id)
            if job is None or job.state != JobState.QUEUED or self.is_at(job_id):
                return False
            return self._refuses(job)
        finally:
            self._looked_at = ""

    def _refuses(self, job: JobRow) -> bool:
        folder = self.folder(job.id)
        if self._aside is None or folder.read_note(CheckNote) is not None:
            return False
        try:
            note = self._images.study_note(job)
            folder.write_note(note)
            if note.patients > 1:
                return True
            self._images.require_one_study(job)
            self._aside.call(Check(*self._asked(job), key_file=self._key_file), position=_position(job, heavy=False))
        except UnsuitableInput:
            return True
        except (NodeError, OSError) as error:
            log.info("job is checked when its turn comes", extra={"job": job.id, "reason": type(error).__name__})
        return False

    # ---- what is nobody's fault
    def patiently(self, job_id: str, name: str, work: Callable[[], R], *, wait: bool = True) -> R:
        """Do a step; while there is no room on the disk, or images cannot be read, wait and do it again.

        A step that ended what read something for it is done again too, `MAX_STARTS` times in all.

        Parameters
        ----------
        job_id
            Of the job.
        name
            Of the step.
        work
            What it does; it may be done again.
        wait
            Else the reason is raised at once.

        Raises
        ------
        MustWait
            If it has to wait and is not to.
        JobFailed
            If it was cancelled meanwhile, or its own images stay away while others can be read.
        ReaderDied
            If what reads something for it ended each time.
        Stopping
            If the node is being stopped.
        """
        began, pause_s, died = time.monotonic(), FIRST_PAUSE_S, 0
        self._at.add(job_id)
        try:
            while True:
                try:
                    if name in WRITES:
                        self._require_room()
                    done = work()
                except ReaderDied as error:
                    died += 1
                    if died == MAX_STARTS:
                        raise
                    log.warning("reader died", extra={"job": job_id, "step": name, "reason": str(error)})
                    self._note(job_id, "reader died", str(error))
                    continue
                except Exception as error:
                    if is_full(error):
                        why: MustWait = NoRoom(FULL)
                    elif isinstance(error, MustWait):
                        why = error
                    else:
                        raise
                    if not wait:
                        raise why from error
                else:
                    if job_id in self._waiting:
                        self._note(job_id, "goes on", name)
                    return done
                self._wait(job_id, why, pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                lost = isinstance(why, StorageAway) and time.monotonic() - began > IMAGES_MISSING_S
                if lost and not store_is_away(self._instances):
                    raise JobFailed(str(why))
        finally:
            self._at.discard(job_id)
            self._waiting.pop(job_id, None)

    def problem(self) -> str | None:
        """Why jobs wait, or None."""
        waiting = list(self._waiting.values())
        return f"{counted(len(waiting), 'job')} waiting: {waiting[0]}" if waiting else None

    def _require_room(self) -> None:
        """Raise `NoRoom` where the disk has less room than reception leaves free."""
        floor_mb, free = self._configuration.receive.disk_floor_mb, free_bytes(self._configuration.node.data)
        if free < floor_mb * 2**20:
            raise NoRoom(f"only {free // 2**20} MB are free on the disk, less than receive.disk_floor_mb, {floor_mb}")

    def _wait(self, job_id: str, why: MustWait, pause_s: float) -> None:
        """Say once that the job waits, and wait a while.

        Raises
        ------
        JobFailed
            If it was cancelled meanwhile.
        """
        before, self._waiting[job_id] = self._waiting.get(job_id), why
        if type(before) is not type(why):
            log.warning("job waits", extra={"job": job_id, "reason": str(why)})
            self._note(job_id, "waits", str(why))
            with suppress(SQLAlchemyError), Session(self._database) as session, session.begin():
                job_states.wait_again(session, job_id)
        self._pool.pause(pause_s)
        if self._ended(job_id):
            raise JobFailed(job_states.CANCELLED)

    def _note(self, job_id: str, what: str, detail: str) -> None:
        """Add a line to the job's timeline, if the database has room for it."""
        with suppress(SQLAlchemyError), Session(self._database) as session, session.begin():
            job_states.note(session, job_id, what, detail)

    # ---- around every step
    @contextmanager
    def _step(self, job_id: str, name: str) -> Iterator[_Step]:
        """Do a step of a job, and add to its timeline how long it took, or that the node was stopped."""
        start = time.perf_counter()
        with Session(self._database, expire_on_commit=False) as session:
            step = _Step(session.get_one(JobRow, job_id))
        try:
            yield step
        except Stopping:
            with Session(self._database) as session, session.begin():
                job_states.note(session, job_id, "interrupted", name)
            raise
        if name == HAND_OVER:  # noted with what it does
            return
        with Session(self._database) as session, session.begin():  # one flush of the disk for all of it
            job_states.note(session, job_id, name, seconds=time.perf_counter() - start)
            for sentence in step.left_aside:
                job_states.note(session, job_id, "left aside", sentence)
            if step.pipeline_version is not None:
                job_states.note_version(session, job_id, step.pipeline_version)
            if step.weights:
                job_states.note_weights(session, job_id, step.weights)
            self._count_step(session, step.job, name, time.perf_counter() - start)

    @staticmethod
    def _count_step(session: Session, job: JobRow, name: str, seconds: float) -> None:
        after_commit(session, partial(STEP.labels(job.pipeline, job.route, name).observe, seconds))

    def _asked(self, job: JobRow) -> tuple[Path, str, Settings]:
        """What every request to a worker begins with."""
        return self.folder(job.id).path, job.pipeline, placed(job.settings, self._data)

    @property
    def _data(self) -> Path:
        return self._configuration.node.data.absolute()

    @property
    def _key_file(self) -> Path | None:
        return self._configuration.records.key_file

    def _infer(self, job: JobRow) -> str:
        """SHA-256 of the job's result; the pipeline runs only where there is none that can be used.

        A result that an earlier version of the node kept is such a one, as it could execute.

        Raises
        ------
        UnsuitableInput
            If the pipeline says that the images cannot be used.
        """
        folder = self.folder(job.id)
        note = folder.finished_result()
        if note is not None:
            return note.sha256
        if folder.lacks_its_context and self._paths(job):  # a record that came with a request is nowhere else
            self._find_context(job)
        self._images.require_its_own(job)
        try:
            inferred = self._call(job, "infer", Infer(*self._asked(job), key_file=self._key_file), Inferred)
            self._images.require_its_own(job)  # none was replaced meanwhile
        except JobFailed:
            folder.forget_result()
            raise
        return inferred.sha256

    def _call(
        self,
        job: JobRow,
        step: str,
        request: JobRequest,
        kind: type[A],
        series_there: Callable[[], None] = lambda: None,
    ) -> A:
        """Have a worker do it; repeat it if the worker dies, at most `MAX_STARTS` times in all."""
        died = ""
        while True:
            try:
                answer = self._ask(job, step, request, died, series_there)
            except Interrupted:
                with Session(self._database) as session, session.begin():
                    job_states.take_back_start(session, job.id)
                raise
            except (UnsuitableInput, JobFailed, MustWait) as error:
                why = error if isinstance(error, MustWait) else self._images.away(job)
                if why is None:
                    raise
                with Session(self._database) as session, session.begin():
                    job_states.take_back_start(session, job.id)
                raise why from error
            except WorkerDied as error:
                died = str(error)
                log.warning("worker died", extra={"job": job.id, "step": step, "reason": died})
                with Session(self._database) as session, session.begin():
                    job_states.note(session, job.id, WORKER_DIED, died)
            else:
                assert isinstance(answer, kind), f"{step} was answered by {type(answer).__name__}"
                return answer

    def _ask(self, job: JobRow, step: str, request: JobRequest, died: str, series_there: Callable[[], None]) -> Done:
        """Have a worker do it; what is done in a moment, the process beside them where none of them is free."""
        light = _is_light(job, request)

        def ask(pool: Pool, patience_s: float | None = None) -> Done:
            unseen = pool is self._aside and isinstance(request, Check)
            return pool.call(
                request,
                position=_position(job, heavy=not light),
                patience_s=patience_s,
                began=partial(self._begin, job, step, died, unseen),
                series_there=series_there,
                cancelled=lambda: self._ended(job.id),
                waiting=lambda: self._wait_for_worker(job),
            )

        if not light or self._aside is None:
            return ask(self._pool)
        while True:  # one that hangs may keep either from the others
            for pool in (self._pool, self._aside):
                with suppress(NoneFree):
                    return ask(pool, PATIENCE_S)
            self._wait_for_worker(job)

    def _begin(self, job: JobRow, step: str, died: str, unseen: bool) -> None:
        """Count that a worker begins with the step; from then on the job is running.

        Parameters
        ----------
        job
            Which.
        step
            Name of the step.
        died
            What a worker that was at it before ended with.
        unseen
            The job stays queued: it is only checked, beside the workers, and goes on waiting for one of them.

        Raises
        ------
        Held
            If its route is paused.
        JobFailed
            If the step was begun too often already, or an operator has ended the job.
        """
        self._hold_if_paused(job)
        with Session(self._database) as session, session.begin():
            state = job_states.locked(session, job.id).state
            if state == JobState.FAILED:
                raise JobFailed(job_states.CANCELLED)
            starts = job_states.count_start(session, job.id, step, MAX_STARTS)
            if starts is None:
                how = f": {died}" if died else ""
                raise JobFailed(f"{step} was begun {MAX_STARTS} times and took its process with it each time{how}")
            if state == JobState.QUEUED and not unseen:
                job_states.move(session, job.id, JobState.RUNNING)
            job_states.note(session, job.id, "begun", step)

    def _wait_for_worker(self, job: JobRow) -> None:
        """A step has to wait for a worker: the job is queued, again if need be.

        Raises
        ------
        Held
            If its route was paused meanwhile.
        JobFailed
            If it was ended meanwhile.
        """
        if self._ended(job.id):
            raise JobFailed(job_states.CANCELLED)
        with suppress(OperationalError):
            self._hold_if_paused(job)
            with Session(self._database) as session:
                waits = session.get_one(JobRow, job.id).state == JobState.QUEUED
            if not waits:
                with Session(self._database) as session, session.begin():
                    job_states.wait_again(session, job.id)

    def _hold_if_paused(self, job: JobRow) -> None:
        why = self._paused(job.route)
        if why is None:
            return
        with Session(self._database) as session, session.begin():
            held = job_states.hold(session, job.id, why)
        if held:
            raise Held

    def _ended(self, job_id: str) -> bool:
        """Whether an operator has ended the job; while the database is away, nobody has."""
        try:
            with Session(self._database) as session:
                return session.get_one(JobRow, job_id).state == JobState.FAILED
        except OperationalError:
            return False

    # ---- prepare
    def _require_one_patient(self, job: JobRow, note: StudyNote) -> None:
        """Raise `UnsuitableInput` unless the images are of one patient and study; what else to know is noted."""
        if note.patients > 1:
            raise UnsuitableInput(note.remark)
        self._images.require_one_study(job)
        if note.remark:
            with Session(self._database) as session, session.begin():
                job_states.note(session, job.id, "remark", note.remark)

    def _find_context(self, job: JobRow) -> None:
        """Put the patient's record into the job's folder, if the pipeline wants it and there is one.

        Raises
        ------
        UnsuitableInput
            If it is of somebody else.
        """
        if self._contexts is not None and (context := self._contexts(job, self._paths(job))) is not None:
            self.folder(job.id).write_context(context)

    def _paths(self, job: JobRow) -> list[Path]:
        note = self.folder(job.id).read_note(StudyNote)
        return list(note.paths) if note else []

    def _find_prior(self, job: JobRow) -> None:
        """Put the patient's earlier report into the job's folder, and into its row which report that is."""
        folder = self.folder(job.id)
        paths = self._paths(job)
        if self._priors is None or not paths or folder.read_note(PriorNote) is not None:
            return
        start = time.perf_counter()
        prior = self._priors.find(job, paths)
        if prior is None:
            return
        with Session(self._database) as session, session.begin():
            job_states.note_prior(session, job.id, prior.note)
            job_states.note(session, job.id, "earlier report", prior.summary, seconds=time.perf_counter() - start)
            self._count_step(session, job, "earlier report", time.perf_counter() - start)
        folder.write_prior(prior.content, prior.note)

    # ---- encode
    def _profiles(self, job: JobRow, not_run: str | None) -> dict[str, EncodingProfile]:
        """The distinct encodings that the job's destinations ask for, by their digest."""
        folder = folder_of(self._configuration, job.route)
        if job.shadow:
            return self._encodings([as_destination(folder)] if folder and not_run is None else [])
        wanted = [destination_of(self._configuration, name) for name in job.destinations]
        if job.route == ON_REQUEST:
            wanted.append(self._asker)
        asking = [one for one in wanted if not_run is None or one.profile.not_run_reports]
        return self._encodings(asking)

    def _encodings(self, wanted: Iterable[Destination]) -> dict[str, EncodingProfile]:
        found = dict(encoding(self._configuration, one) for one in wanted)
        return {name: of_device(one, self._configuration, self._database) for name, one in found.items()}

    @property
    def _asker(self) -> FhirDestination:
        """Who asked, as a destination: the RiskAssessment is made and kept, for `node.patient_records` to give out."""
        fhir = self._configuration.records.fhir
        # nothing is sent there: the name is one that never is (RFC 2606)
        system = fhir.identifier_system if fhir else ""
        return FhirDestination(kind="fhir", url="http://asker.invalid", identifier_system=system)

    def _encode(self, job: JobRow, result: str | None, not_run: str | None) -> str | None:
        """Have the objects written; returns what they are known by, None where nobody wants any."""
        profiles = self._profiles(job, not_run)
        note = self.folder(job.id).read_note(StudyNote)
        if not profiles or (note is not None and note.patients > 1):  # whose file should it go into?
            return None
        earlier: dict[str, Earlier] = {}
        if not_run is None and not job.shadow:
            with Session(self._database) as session:
                earlier = earlier_results(session, self._configuration, job, profiles, self._data)
        sent = [
            (name, one.number, [(item.sop_instance_uid, item.sha256) for item in one.objects])
            for name, one in sorted(earlier.items())
        ]
        patient = [named] if (named := self._name_patient(job)) else []

        def key_of(result: str | None) -> str:
            return digest([result, not_run, sent, sorted(profiles), job.revision, *patient])

        key = key_of(result)
        if self.folder(job.id).finished_objects(key) is None:
            self._images.require_its_own(job)  # the objects copy what the images say of patient and study
            if result is not None:
                result = self._infer_again(job)
                key = key_of(result)
            self._take_back(job.id)
            request = Encode(
                *self._asked(job),
                result=result,
                not_run=not_run,
                earlier=earlier,
                profiles=profiles,
                created=job.created,
                revision=job.revision,
                key=key,
                key_file=self._key_file,
                earlier_jobs=self._earlier_jobs(job),
                series_first=result is not None and not job.shadow,
            )
            self._call(job, "encode", request, Encoded, partial(self._hand_over_series, job.id))
        return key

    def _name_patient(self, job: JobRow) -> str:
        """Have the objects name whom the patient is now: a keyed digest of that, empty where it is whom images name."""
        folder, now = self.folder(job.id), self._images.current_patient(job)
        if now is None and folder.read_patient() is None:
            return ""
        mark = None if now is None else Person.of(identity_of(now)).marked(marking_key(self._data))
        with Session(self._database) as session, session.begin():
            job_patients.note_written(session, job.id, mark)
        return folder.write_patient(now)

    def _take_back(self, job_id: str) -> None:
        """Have nothing wait whose file may be replaced: what is made once more goes out after all.

        It was handed over before the rest was encoded, or the job failed, and the node ended or was restarted since.
        """
        with Session(self._database) as session, session.begin():
            outbox.cancel(session, job_id, "is encoded anew")

    def _hand_over_series(self, job_id: str) -> None:
        """Queue the derived series for every destination that takes them, while the rest is being encoded.

        Nothing depends on it: `hand_over` queues what is not queued, and says what keeps it from being queued.
        """
        try:
            note = self.folder(job_id).written_series()
            if note is None:
                return
            with Session(self._database) as session, session.begin():
                job = job_states.locked(session, job_id)
                if job.state != JobState.RUNNING:  # ended by an operator, or by a node that has taken it over
                    return
                outbox.keep_objects(session, job_id, note.objects, self._data)
                names = choose(self.folder(job_id), job, JobState.RUNNING).names
                waiting = sum(queue(session, self._configuration, job_id, name, note) for name in names)
                if waiting:
                    job_states.note(session, job_id, "series handed over", counted(waiting, "object"))
        except (NodeError, SQLAlchemyError, OSError) as error:
            reason = str(error) if isinstance(error, NodeError) else type(error).__name__
            log.warning("derived series wait for the rest", extra={"job": job_id, "reason": reason})

    def _infer_again(self, job: JobRow) -> str:
        """SHA-256 of the result that was there; of another one, where its file is no longer what was written."""
        try:
            return self._infer(job)
        except UnsuitableInput as error:
            raise JobFailed(str(error)) from error

    def _earlier_jobs(self, job: JobRow) -> tuple[str, ...]:
        """The jobs that this one revises, the latest first."""
        with Session(self._database) as session:
            return job_states.revised(session, job)

    # ---- hand over
    def _encode_what_is_missing(self, job: JobRow, objects: str | None, not_run: str | None) -> str | None:
        """What the objects are known by.

        Encoded again where a destination was edited since and asks for others now, or the patient was merged or
        corrected.
        """
        folder = self.folder(job.id)
        note = None if objects is None else folder.finished_objects(objects)  # None: encoded again before
        is_same = objects is None or self._images.current_patient(job) == folder.read_patient()
        if is_same and set(self._profiles(job, not_run)) <= set(note.twins if note else ()):
            return objects
        return self._encode(job, self._infer_again(job) if not_run is None else None, not_run)

    def _hand_over(
        self, job: JobRow, objects: str | None, state: JobState, reason: str, step: str | None = None
    ) -> None:
        start = time.perf_counter()
        note = None if objects is None else self._objects(job.id, objects)
        choice = Choice(()) if job.shadow else choose(self.folder(job.id), job, state)
        if self._priors is not None and state == JobState.SENDING and note is not None:
            reports = [item for item in note.objects if item.kind == "report" and note.is_own(item)]
            self._priors.keep(job, [(item.sop_instance_uid, item.path) for item in reports])
        folder = folder_of(self._configuration, job.route) if job.shadow else None
        if folder is not None and note is not None:
            self._show(folder, job.id, note)
        with Session(self._database) as session, session.begin():
            if job_states.locked(session, job.id).state not in (JobState.QUEUED, JobState.RUNNING):
                return  # done before, or ended by an operator
            waiting = 0
            if note is not None and not job.shadow:
                outbox.keep_objects(session, job.id, note.objects, self._data)
                waiting = sum(self._queue(session, job, name, note, state) for name in choice.names)
                for sentence in note.left_out:
                    job_states.note(session, job.id, "left out", sentence)
            note_choice(session, job, choice)
            job_states.move(session, job.id, state, reason=reason)
            if step is not None:
                job_states.note(session, job.id, step, seconds=time.perf_counter() - start)
                self._count_step(session, job, step, time.perf_counter() - start)
            if not waiting:
                job_states.settle(session, job.id)

    def _show(self, folder: Path, job_id: str, note: ObjectsNote) -> None:
        """Put what a shadow made where people look at it; the job does not fail for it, but says so."""
        try:
            write(folder, job_id, note)
        except OSError as error:
            if is_full(error):
                raise
            self._note(job_id, "not shown", f"{folder}: {error.strerror or type(error).__name__}")

    def _objects(self, job_id: str, key: str) -> ObjectsNote:
        note = self.folder(job_id).finished_objects(key)
        if note is None:
            raise JobFailed("the objects of the job are no longer what was encoded")
        return note

    def _queue(self, session: Session, job: JobRow, name: str, note: ObjectsNote, state: JobState) -> int:
        """Have the objects that the destination takes wait for it; returns how many do."""
        reports_wanted = destination_of(self._configuration, name).profile.not_run_reports
        if state != JobState.SENDING and not reports_wanted:
            return 0
        return queue(session, self._configuration, job.id, name, note)


def _position(job: JobRow, *, heavy: bool) -> Position:
    """Where the job stands in the line for a worker, for all of its steps."""
    return Position(heavy, job.priority, job.created.timestamp(), job.id)


def is_prompt(pipeline: str) -> bool:
    """Whether a pipeline looks at no image, so that its jobs do not wait behind those that do."""
    try:
        return answers_from_record(pipeline_type(pipeline))
    except (LookupError, ImportError):  # it is not installed, or cannot be imported: its worker says so
        return False


def _is_light(job: JobRow, request: JobRequest) -> bool:
    """Whether a request is done in a moment: headers, a record, or the sentence that there is no result."""
    says_why_not = isinstance(request, Encode) and request.result is None
    return isinstance(request, Check) or says_why_not or is_prompt(job.pipeline)
