"""The job engine: the only module that knows DBOS. Jobs outlive the process; they are in the node's own database.

The node adds three things to DBOS: a heartbeat and a reaper, because open-source DBOS leaves the jobs of a dead
executor to that executor; a sweep, which finds jobs that are in the database and were not given to DBOS; and retention.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Concatenate, ParamSpec, Protocol, TypeVar

from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID, StepOptions, _sys_db
from dbos import DBOSPortableJSONSerializer as JsonSerializer
from dbos._error import DBOSAwaitedWorkflowCancelledError
from pydantic import ValidationError
from sqlalchemy import Engine as Database
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dicom_sr.findings import Subject
from dicom_sr.rejection_reasons import RejectionReason
from node import gpus
from node.background import Loop, is_away
from node.config import Configuration
from node.config.checks import boxed, the_box
from node.config.route_settings import paths_in_settings
from node.data_folder import job_folder, prepare
from node.database import job_states, migrations, queries, withdrawals
from node.database.connection import open_database
from node.database.installation import require_one_installation
from node.database.jobs import Job, JobState
from node.database.queue_places import IS_HELD
from node.database.tables import ExecutorRow, JobRow
from node.errors import ConfigurationError, JobFailed, MustWait, NodeError
from node.files import PRIVATE_FILE, is_full, remove_folder
from node.models.store import clear
from node.models.versions import Versions, placed
from node.progress import goes_on
from node.reading import Reader
from node.run import shadow_folder
from node.run.early_checks import EarlyChecks
from node.run.flow import Contexts, Flow, Held, Priors, is_prompt
from node.run.hand_over import Further, queue_further
from node.run.job_folder import JobFolder, ready_key
from node.run.job_images import JobImages
from node.run.job_view import remove_all
from node.run.messages import Settings
from node.run.pool import Pool, Stopping, WorkerView
from node.study.current_patients import CurrentPatients
from pipelines.context import ClinicalContext

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
InTransaction = Callable[[Session], object]


def _nothing(_: Session) -> None:
    """The default for `InTransaction`."""


NAME = "condyle"
QUEUE = "jobs"
PROMPT = "prompt"  # jobs that a worker is not long at, or that go before those that were claimed already
HELD = "held"  # jobs of a route that is paused; nobody listens to it
APPLICATION_VERSION = "1"  # constant: DBOS would strand the jobs of another version; add steps with DBOS.patch
POLL_S, PROMPT_POLL_S = 0.25, 0.5  # an idle node spends most of its processor time on them
AHEAD = 6  # jobs claimed beyond those that run, so that the next one need not wait for a poll
PROMPT_AT_ONCE = 16  # jobs claimed beyond these
PAUSES_S = 1.0  # how often is looked whether a route was paused, or goes on
IDLE_S = 600.0  # so long the process beside the workers stays with nothing to do
MAX_RECOVERY_ATTEMPTS = 50  # above flow.MAX_STARTS, since DBOS counts every restart of the node, whatever its cause
BEAT_S, DEAD_AFTER_S = 5.0, 30.0
SWEEP_AFTER_S = 10.0
GOING_TO_RUN = ("PENDING", "ENQUEUED", "DELAYED")  # as DBOS has it
STOP_PATIENCE_S = 5.0  # for a database that does not answer
RETAIN_EVERY_S, RETRY_S = 3600.0, 60.0
REPEATED = ("prepare", "infer", "encode")  # steps whose outcome a restart keeps
DATABASE_DOWN: StepOptions = {  # a step is repeated while the database is away, and only then; about 17 minutes
    "retries_allowed": True,
    "max_attempts": 11,
    "interval_seconds": 1,
    "backoff_rate": 2,
    "should_retry": lambda error: isinstance(error, OperationalError),
}


# DBOS waits for a PostgreSQL whose disk is full, as for one that is away; for SQLite's it would give the job up.
_retriable: Callable[[Exception], bool] = vars(_sys_db)["retriable_sqlite_exception"]
vars(_sys_db)["retriable_sqlite_exception"] = lambda error: _retriable(error) or is_full(error)


def set_up(configuration: Configuration) -> Database:
    """Open the node's database with all its tables, ours and the engine's; every process that uses jobs begins so.

    Raises
    ------
    ConfigurationError
        If the database and the data folder do not belong together, or a key is none.
    """
    _like_ours()
    url = configuration.node.database_url
    prepare(configuration.node.data)
    ready_key(configuration.node.data)
    database = open_database(url)
    migrations.migrate(database)
    require_one_installation(database, configuration.node.data)
    DBOS.migrate(url)
    return database


def _like_ours() -> None:
    """Send the warnings of DBOS to the node's log; it would add a handler of its own, and 60 lines at each start."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.propagate = True
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_news)


AWAY = re.compile("OperationalError|InterfaceError|AdminShutdown|CrashShutdown|CannotConnectNow|Notification listener")
PARKED = "recorded outcome"  # ends what the thread of a job says that another has taken over, or that was cancelled


def _is_news(record: logging.LogRecord) -> bool:
    """Whether what a thread of DBOS says tells something; what the node says once, it says every second or at length.

    While the database is away each thread says so with a traceback, and so does the thread of a job that was cancelled.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, DBOSAwaitedWorkflowCancelledError):
        log.info("job cancelled", extra={"job": error.workflow_id})
        return False
    said = record.getMessage()
    return not (is_away(error) or AWAY.search(said) or said.endswith(PARKED))


# ---- the workflow; DBOS keeps one registry and one engine in a process, and so do we
_flow: Flow | None = None


@DBOS.workflow(name="process", max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)
def process(job_id: str) -> None:
    """Run one job. When it is resumed after a crash, a finished step is not repeated: its return value is read back."""
    flow = _flow
    assert flow is not None, "the engine is not started"

    def step(name: str, work: Callable[Concatenate[str, P], T], *arguments: P.args, **more: P.kwargs) -> T:
        options: StepOptions = {"name": name, **DATABASE_DOWN}
        return DBOS.run_step(options, lambda: flow.patiently(job_id, name, lambda: work(job_id, *arguments, **more)))

    with contextlib.suppress(Held):  # it waits in the database, and DBOS is given it again
        _work_through(flow, job_id, step)


class _Step(Protocol):
    """Does one step of a job, under its name."""

    def __call__(self, name: str, work: Callable[Concatenate[str, P], T], *arguments: P.args, **_: P.kwargs) -> T: ...


def _work_through(flow: Flow, job_id: str, step: _Step) -> None:
    """All steps of one job, each done by `step`."""
    try:
        not_run = step("prepare", flow.prepare)["unsuitable"]
        result = None
        if not_run is None:
            inferred = step("infer", flow.infer)
            not_run, result = inferred["unsuitable"], inferred["result"]
        objects = step("encode", flow.encode, result, not_run)["objects"]
        state = JobState.SENDING if not_run is None else JobState.UNSUITABLE
        step("hand over", flow.hand_over, objects, state.value, not_run or "")
    except MustWait:  # with nobody to wait
        raise
    except Exception as error:  # the worker's loop
        # Read back after a crash, the error of a step is DBOS's own type: its text is all that is looked at.
        reason = str(error) or type(error).__name__
        if reason != job_states.CANCELLED:
            log.warning(
                "job failed", exc_info=not isinstance(error, NodeError), extra={"job": job_id, "reason": reason}
            )
        step("fail", flow.fail, reason)
        if reason == job_states.CANCELLED:  # else DBOS has noticed it, and ended the step
            log.info("job cancelled", extra={"job": job_id})


class JobEngine:
    """Takes jobs, runs them and says how they stand.

    `submit`, `cancel`, `restart` and the reads work in any process of the node; only one that called `start` runs jobs,
    or one job at a time within `alone`.

    Parameters
    ----------
    database
        As `set_up` returned it.
    reader
        Reads what the node must know of the images.
    contexts
        Finds the patient's record for pipelines that want it.
    priors
        Finds the patient's earlier report for pipelines that compare with it.
    correct, patients
        As for `JobImages`.
    name
        This node among all that share the database; by default `job_states.node_name`.
    paused
        Why the jobs of a route are not to begin, by the route's name, for people; None: they are. Jobs that have begun
        go on.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        reader: Reader,
        contexts: Contexts | None = None,
        name: str | None = None,
        beat_s: float = BEAT_S,
        dead_after_s: float = DEAD_AFTER_S,
        priors: Priors | None = None,
        correct: Callable[[Collection[Path]], object] = lambda _: None,
        patients: CurrentPatients | None = None,
        paused: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.executor_id = name or job_states.node_name(configuration)
        self._configuration, self._database, self._contexts = configuration, database, contexts
        self._beat_s, self._dead_after_s, self._priors, self._reader = beat_s, dead_after_s, priors, reader
        self._correct, self._patients, self._paused = correct, patients, paused
        self._client = DBOSClient(
            system_database_url=configuration.node.database_url,
            serializer=JsonSerializer(),
            application_name=NAME,
            lazy=True,
        )
        self._pool: Pool | None = None
        self._aside: Pool | None = None
        self._lock: IO[str] | None = None
        self._alone: Flow | None = None
        self._swept: dict[JobState, job_states.Place | None] = {}  # how far the search for jobs left over has come
        self._keeper = Loop("care of jobs", self._keep, every_s=beat_s)
        self._early = EarlyChecks(lambda: self._pool.busy_s if self._pool else 0.0, self._look_at)
        self._held: dict[str, str | None] | None = None  # by route: why, as was last seen
        self._pauses = Loop("pauses of routes", self._mind_pauses, every_s=PAUSES_S)
        # apart from the heartbeat, which must not wait for a folder of a million files
        self._cleaner = Loop("clean-up of jobs", self._clean_up, every_s=RETAIN_EVERY_S, retry_s=RETRY_S)

    # ---- life
    def start(self) -> None:
        """Resume the jobs that were left, and begin to run new ones.

        Raises
        ------
        ConfigurationError
            If another process runs jobs with the same data folder.
        """
        self._lock = self._take_lock()
        try:
            self._start()
        except BaseException:
            self.stop()  # no process may be left behind
            raise

    def _flow_with(self, pool: Pool) -> Flow:
        return Flow(
            self._configuration,
            self._database,
            pool,
            self._reader,
            self._contexts,
            self._priors,
            self._correct,
            self._patients,
            aside=self._aside,
            paused=self._paused,
        )

    def _start(self) -> None:
        global _flow
        run = self._configuration.run
        clear(self._configuration.node.data)
        warm = {repr(one): one for one in self._to_load()}
        remove_all(self._configuration.node.data, self.executor_id)
        self._pool = self._new_pool(run.workers, tuple(warm.values()))
        self._pool.start()
        self._aside = self._new_pool(1, aside=True)  # its process starts when it is first needed
        _flow = self._flow_with(self._pool)
        self._beat()
        configuration: DBOSConfig = {
            "name": NAME,
            "system_database_url": self._configuration.node.database_url,
            "executor_id": self.executor_id,
            "application_version": APPLICATION_VERSION,
            "serializer": JsonSerializer(),
            "log_level": "WARNING",
            "run_migrations": False,
        }
        _like_ours()
        DBOS(config=configuration)
        DBOS.listen_queues([QUEUE, PROMPT])
        # With the client, before the launch: else the queue's first poll goes by the settings of the last start.
        for queue, at_once, poll_s in ((QUEUE, run.workers + AHEAD, POLL_S), (PROMPT, PROMPT_AT_ONCE, PROMPT_POLL_S)):
            self._client.register_queue(
                queue, worker_concurrency=at_once, polling_interval_sec=poll_s, on_conflict="always_update"
            )
        DBOS.launch()
        for loop in self._loops:
            loop.start()
        log.info("job engine started", extra={"executor": self.executor_id, "workers": run.workers})

    @property
    def _loops(self) -> tuple[Loop | EarlyChecks, ...]:
        return self._keeper, self._cleaner, self._early, self._pauses

    def _to_load(self) -> Iterator[tuple[str, Settings]]:
        """What the jobs of each route run at present; what cannot be used fails the jobs that need it."""
        data = self._configuration.node.data.absolute()
        versions = Versions(self._database, data)
        for name, route in self._configuration.routes.items():
            with contextlib.suppress(ValidationError, OSError):
                yield route.pipeline, placed(versions.settings(name, route), data)

    def _new_pool(self, size: int, to_load: Sequence[tuple[str, Settings]] = (), *, aside: bool = False) -> Pool:
        """Processes for the steps of jobs, in a box where there can be one; `aside` of the workers, without a GPU."""
        run = self._configuration.run
        in_box = boxed(self._configuration)
        if not in_box and not aside:
            for result in the_box(self._configuration):
                log.warning(result.sentence, extra={"key": result.key})
        data = self._configuration.node.data if in_box else None
        limits = (run.time_limit_s, run.memory_limit_mb)
        there = () if aside else gpus.gpus(run.gpus, os.environ)
        return Pool(
            size,
            *limits,
            to_load,
            data=data,
            reads=self._readable(),
            node=self.executor_id,
            environment=run.environment,
            threads_of=run.workers,
            of_slot=lambda slot: gpus.environment_of(slot, there, run.workers_per_gpu, run.gpu_memory_limit_mb),
        )

    def reconfigure(self, configuration: Configuration) -> None:
        """Work by its routes and destinations from the next step of each job on."""
        self._configuration = configuration
        if self._pool is not None:
            self._pool.show(self._readable())
        if self._aside is not None:
            self._aside.show(self._readable())
        if _flow is not None:
            _flow.reconfigure(configuration)

    def _readable(self) -> tuple[Path, ...]:
        """What the processes see in their box besides the files of a job."""
        key_file = self._configuration.records.key_file
        return (*paths_in_settings(self._configuration), *([key_file.absolute()] if key_file else ()))

    def stop(self) -> None:
        """Stop at once; jobs under way go on from their last finished step at the next start."""
        global _flow
        if self._aside is not None:
            self._aside.close()  # a check that is under way ends
        for loop in self._loops:
            loop.stop(STOP_PATIENCE_S)
        if self._pool is not None:
            self._pool.close()
            DBOS.destroy()
            self._pool, self._aside, _flow = None, None, None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self._client.destroy()

    def _take_lock(self) -> IO[str]:
        """Lock the executor's name: two of one name would run each other's jobs. The lock ends with the process."""
        path = self._configuration.node.data / f"engine-{self.executor_id.replace(':', '-')}.lock"
        path.touch(PRIVATE_FILE)
        lock = path.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ConfigurationError(f"node.data: {path.parent} is in use by another node") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Make ready to run single jobs in this process by `run_here`, where no node runs them; whether that is so.

        Nothing else is taken up: other jobs go on waiting for a node. While it lasts, no node of this machine can start
        with the same data folder.
        """
        if self._others_alive():
            yield False
            return
        try:
            self._lock = self._take_lock()
        except ConfigurationError:
            yield False
            return
        pool = self._new_pool(1)
        try:  # its process starts with the first job
            self._alone = self._flow_with(pool)
            yield True
        finally:
            self._alone = None
            pool.close()
            self._lock.close()
            self._lock = None

    def _others_alive(self) -> bool:
        """Whether a node of another machine shares the database and has reported lately."""
        seen = datetime.now(UTC) - timedelta(seconds=self._dead_after_s)
        with Session(self._database) as session:
            others = select(ExecutorRow.id).where(ExecutorRow.id != self.executor_id, ExecutorRow.seen > seen)
            return session.scalars(others.limit(1)).first() is not None

    def run_here(self, job_id: str) -> None:
        """Run one job to its end, by the same steps, in a worker with the same limits; only within `alone`.

        A kill in the middle leaves a job that the next node, or the next call, takes up where it was.

        Raises
        ------
        MustWait
            If there is no room on the disk, or images cannot be read; the same then holds.
        """
        flow = self._alone
        assert flow is not None, "only within alone()"

        def step(name: str, work: Callable[Concatenate[str, P], T], *arguments: P.args, **more: P.kwargs) -> T:
            return flow.patiently(job_id, name, lambda: work(job_id, *arguments, **more), wait=False)

        with contextlib.suppress(Held):
            _work_through(flow, job_id, step)

    def workers(self) -> tuple[WorkerView, ...]:
        """What each inference process is at; none where the engine does not run."""
        return self._pool.views if self._pool is not None else ()

    # ---- jobs
    def submit(self, job: Job, subject: Subject | None = None, context: ClinicalContext | None = None) -> bool:
        """Take a job; False where the same job is known, and then nothing changes.

        It is written down before this returns. Where a worker is free the job starts at once, else it queues.

        Parameters
        ----------
        job
            Also known by its id alone.
        subject, context
            Whose record a job on request is about, and the record: kept in the job's folder, and there only.
        """
        if subject is not None and context is not None:
            self.keep_record(job.id, subject, context)
        route = self._configuration.routes.get(job.route)
        if route is not None and route.shadow:
            job = replace(job, shadow=True)
        why_held = self._paused(job.route)
        with Session(self._database) as session, session.begin():
            new = job_states.record(session, job)
            if new and why_held is not None:
                job_states.hold(session, job.id, why_held)
        if new:
            log.info("job taken", extra={"job": job.id, "route": job.route, "pipeline": job.pipeline})
        if new and why_held is None:
            self._begin(job.id, job.priority, job.pipeline)
        return new

    def keep_record(self, job_id: str, subject: Subject, context: ClinicalContext) -> None:
        """Keep whose record a job on request is about, and the record, in the job's folder."""
        data = self._configuration.node.data.absolute()
        folder = JobFolder(job_folder(data, job_id), self._configuration.records.key_file)
        folder.write_subject(subject)
        folder.write_context(context)

    def _begin(self, job_id: str, priority: int, pipeline: str) -> None:
        if self._alone is not None:  # run by `run_here`
            return
        if self._pool is not None and self._pool.busy < self._pool.size:
            with SetWorkflowID(job_id):
                DBOS.start_workflow(process, job_id)
            return
        self._client.enqueue(
            {
                "workflow_name": "process",
                "queue_name": self._queue_for(priority, pipeline),
                "workflow_id": job_id,
                "app_version": APPLICATION_VERSION,
                "priority": max(1, priority),
            },
            job_id,
        )
        self._early.add(job_id)

    def _queue_for(self, priority: int, pipeline: str) -> str:
        overtakes = self._pool is not None and self._pool.overtakes(priority)
        return PROMPT if overtakes or is_prompt(pipeline) else QUEUE

    def list(self, states: Sequence[JobState] = (), limit: int = 100) -> Sequence[JobRow]:
        """The newest jobs first, of the given states only where any are given."""
        return queries.list_jobs(self._database, states, limit)

    def show(self, job_id: str) -> queries.JobView:
        """All about one job.

        Raises
        ------
        JobNotFound
        """
        return queries.show_job(self._database, job_id)

    def cancel(self, job_id: str, *, audit: InTransaction = _nothing) -> None:
        """End a job that is not done. It stops at once, and what it has not sent yet is not sent.

        Parameters
        ----------
        job_id
            All of it.
        audit
            Called in the same transaction.

        Raises
        ------
        JobNotFound
        ForbiddenTransition
            If it has ended already.
        """
        with Session(self._database) as session, session.begin():
            job_states.cancel(session, job_id)
            audit(session)
        self._client.cancel_workflow(job_id)

    def withdraw(self, job_id: str, reason: RejectionReason, why: str, by: str) -> Sequence[str]:
        """Take back what a job made, or stop it where it has not ended; the destinations that may have something.

        Parameters
        ----------
        job_id
            All of it.
        reason
            As rejection notes give it.
        why
            In words, without the patient's name.
        by
            Who takes it back.

        Raises
        ------
        JobNotFound
        """
        with Session(self._database) as session, session.begin():
            under_way = job_states.locked(session, job_id).state in queries.UNDER_WAY
            told = withdrawals.withdraw(session, job_id, reason=reason, why=why, by=by, now=datetime.now(UTC))
        if under_way:
            self.stop_work(job_id)
        return told

    def stop_work(self, job_id: str) -> None:
        """Stop what works on a job that was ended in the database."""
        self._client.cancel_workflow(job_id)

    def restart(self, job_id: str, why: str = "restarted by an operator", *, audit: InTransaction = _nothing) -> None:
        """Run a failed or unsuitable job again from the step that failed; finished steps are not repeated.

        It waits where its route is paused.

        Parameters
        ----------
        job_id
            All of it.
        why
            For the timeline.
        audit
            Called in the same transaction.

        Raises
        ------
        JobNotFound
        ForbiddenTransition
            If it is neither failed nor unsuitable, was withdrawn, or its images were rejected.
        """
        with Session(self._database) as session, session.begin():
            job_states.restart(session, job_id, why)
            audit(session)
            held = self._hold_if_paused(session, job_id)
        if self._alone is None and not held:
            self._take_up(job_id)

    def send_to(
        self,
        job_id: str,
        destinations: Sequence[str],
        conditions: Mapping[str, Mapping[str, object]] | None = None,
        *,
        audit: InTransaction = _nothing,
    ) -> None:
        """Send what a job made to these destinations too, encoded as they want it; its result is not computed again.

        What is sent to others meanwhile, or waits for them, goes on as it was. A job that failed or was unsuitable is
        run again from the step that failed. Of a patient who was merged or corrected since, all its destinations get
        new objects.

        Parameters
        ----------
        job_id
            All of it.
        destinations
            Their names in the configuration.
        conditions
            As `Job.conditions`; without, they get it whatever the result.
        audit
            Called in the same transaction.

        Raises
        ------
        JobNotFound
        ForbiddenTransition
            If it has not made its objects yet, or is being sent and its objects are wanted in a form that they do not
            have.
        JobFailed
            If it has made its objects and its result is no longer stored.
        """
        detail = f"to {', '.join(destinations)} too, by an operator"
        further = Further(destinations, detail, conditions or {})
        data, key_file = self._configuration.node.data.absolute(), self._configuration.records.key_file
        folder = JobFolder(job_folder(data, job_id), key_file)
        note, has_result = folder.written_objects(), folder.finished_result() is not None
        names_patient = self._names_patient(job_id, folder)
        with Session(self._database) as session, session.begin():
            job = job_states.locked(session, job_id)
            job_states.require_standing(job)
            audit(session)
            made = job.state in (JobState.SENDING, JobState.DONE)
            if (
                made
                and note
                and names_patient
                and queue_further(session, self._configuration, job, further, folder, note)
            ):
                return
            if made and not has_result:
                raise JobFailed(f"job {job_id}: its result is no longer stored; run the pipeline: condyle jobs start")
            job_states.send_to(session, job_id, destinations, detail, conditions)
            held = self._hold_if_paused(session, job_id)
        if self._alone is None and not held:
            self._take_up(job_id)

    def _names_patient(self, job_id: str, folder: JobFolder) -> bool:
        """Whether what a job has made names whom the patient is now."""
        if self._patients is None:
            return True
        with Session(self._database, expire_on_commit=False) as session:
            job = session.get(JobRow, job_id)
        if job is None or not job.sop_instance_uids:
            return True
        images = JobImages(self._database, self._configuration.node.data, self._reader, patients=self._patients)
        if not images.are_stored(job):
            raise JobFailed(f"job {job_id}: its images are no longer stored, so that nobody knows whom they are of now")
        try:
            return images.current_patient(job) == folder.read_patient()
        except MustWait as error:
            raise JobFailed(f"whose images they are cannot be read now: {error}") from error

    def forget(self, job_ids: Iterable[str]) -> None:
        """Delete the checkpoints of jobs whose rows were erased."""
        for job_id in job_ids:
            if self._client.list_workflows(workflow_ids=[job_id], load_input=False, load_output=False):
                self._client.delete_workflow(job_id)

    def _hold_if_paused(self, session: Session, job_id: str) -> bool:
        """Hold a job that was queued once more, where its route is paused; whether it is held."""
        why = self._paused(session.get_one(JobRow, job_id).route)
        return why is not None and job_states.hold(session, job_id, why)

    def _take_up(self, job_id: str) -> None:
        """Have DBOS run a job that is queued in the database, whether DBOS knows it or not."""
        known = self._client.list_workflows(workflow_ids=[job_id], load_input=False, load_output=False)
        with Session(self._database) as session:
            job = session.get_one(JobRow, job_id)
        if not known:
            self._begin(job_id, job.priority, job.pipeline)
        elif known[0].status not in GOING_TO_RUN:
            queue = self._queue_for(job.priority, job.pipeline)
            self._client.rewind_workflow(job_id, start_step=self._first_unfinished(job_id), queue_name=queue)
            self._early.add(job_id)

    def _first_unfinished(self, job_id: str) -> int:
        first = 1
        for step in sorted(self._client.list_workflow_steps(job_id), key=lambda step: step["function_id"]):
            failed = step["error"] is not None or (step["output"] or {}).get("unsuitable") is not None
            if failed or step["function_name"] not in REPEATED:
                break
            first = step["function_id"] + 1
        return first

    def _requeue(self, job_ids: Iterable[str], before: Collection[str], after: str) -> None:
        """Bring jobs that nobody has claimed from one of these queues into another, where they keep their order.

        DBOS has it for single jobs, without regard to whether one was claimed meanwhile.
        """
        dbos = self._client._sys_db
        workflows = dbos.tables.workflow_status
        for chunk in queries.in_chunks(job_ids):
            unclaimed = (workflows.c.workflow_uuid.in_(chunk), workflows.c.status == "ENQUEUED")
            with dbos.engine.begin() as connection:
                connection.execute(
                    update(workflows).where(*unclaimed, workflows.c.queue_name.in_(before)).values(queue_name=after)
                )

    # ---- routes that are paused
    def mind_pauses(self) -> None:
        """Look now whether a route was paused or goes on; else that is noticed within a second."""
        self._pauses.wake()

    def _mind_pauses(self) -> None:
        """Hold the jobs of routes that were paused, and have those of routes that were resumed go on."""
        with Session(self._database) as session:
            held = job_states.held_routes(session) if self._held is None else self._held
        whys = {route: self._paused(route) for route in {*self._configuration.routes, *held}}
        before = self._held
        for route, why in whys.items():
            if before is None or why != before.get(route):
                self._hold(route, why) if why is not None else self._release(route)
        self._held = whys

    def _hold(self, route: str, why: str) -> None:
        with Session(self._database) as session, session.begin():
            job_ids = job_states.hold_route(session, route, why)
        self._requeue(job_ids, (QUEUE, PROMPT), HELD)
        log.info("route held", extra={"route": route, "jobs": len(job_ids), "reason": why})

    def _release(self, route: str) -> None:
        with Session(self._database) as session:
            job_ids = job_states.held_jobs(session, route)
        self._requeue(job_ids, (HELD,), QUEUE)  # first: what is still held in the database is found at the next start
        for job_id in job_ids:
            with Session(self._database) as session, session.begin():
                job_states.release(session, job_id)
            self._take_up(job_id)
        if job_ids:
            log.info("route goes on", extra={"route": route, "jobs": len(job_ids)})

    def _release_left_over(self) -> None:
        """Have jobs go on that were held just as their route was resumed, so that nobody saw them."""
        with Session(self._database) as session:
            held = job_states.held_routes(session)
        for route in held:
            if self._paused(route) is None:
                self._release(route)

    # ---- in the background
    def _look_at(self, job_id: str) -> None:
        """Have a job that waits go before others, if it is urgent, or ends at once as its check refuses it."""
        flow = _flow
        if flow is None or flow.is_at(job_id):  # it has its turn
            return
        with Session(self._database) as session:
            job = session.get(JobRow, job_id)
        if job is None or job.state != JobState.QUEUED or job.reason:
            return
        with contextlib.suppress(Stopping):
            if self._queue_for(job.priority, job.pipeline) == PROMPT or flow.refuses(job_id):
                self._requeue([job_id], (QUEUE,), PROMPT)

    def _keep(self) -> None:
        """Send the heartbeat, take over the jobs of dead executors, run jobs that were left over."""
        self._beat()
        self._reap()
        self._park()
        self._sweep()
        self._release_left_over()
        if self._aside is not None:
            self._aside.end_idle(IDLE_S)

    def _clean_up(self) -> None:
        self.clean(datetime.now(UTC))

    def problem(self) -> str | None:
        """Why the jobs of this node are not cared for at the moment, or some of them wait, or None."""
        waits = _flow.problem() if _flow is not None else None
        return self._keeper.problem() or waits

    def remark(self) -> str | None:
        """Why old jobs are not cleaned up at the moment, or None."""
        return self._cleaner.problem()

    def _beat(self) -> None:
        """Write the heartbeat, with the database's time: that clock is the same for all executors."""
        with Session(self._database) as session, session.begin():
            seen = session.execute(
                update(ExecutorRow)
                .where(ExecutorRow.id == self.executor_id)
                .values(seen=func.current_timestamp())
                .returning(ExecutorRow.id)
            ).scalar()
            if seen is None:
                session.add(ExecutorRow(id=self.executor_id, seen=func.current_timestamp()))

    def _reap(self) -> None:
        """Take over the running jobs of executors whose heartbeat has stopped."""
        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        owners = {workflow.executor_id for workflow in pending if workflow.executor_id} - {self.executor_id}
        if not owners:
            return
        with Session(self._database) as session:
            now = session.scalar(select(func.max(ExecutorRow.seen)))  # ours, of a moment ago
            assert now is not None
            alive = session.scalars(
                select(ExecutorRow.id).where(ExecutorRow.seen > now - timedelta(seconds=self._dead_after_s))
            ).all()
        if dead := sorted(owners - set(alive)):
            log.warning("taking over the jobs of executors that are gone", extra={"executors": dead})
            DBOS._recover_pending_workflows(dead)  # fenced: only what is still theirs

    def _sweep(self) -> None:
        """Run jobs that are due and that DBOS is not going to run.

        The node died after it wrote the job and before it gave it to DBOS, or the database was away for longer than a
        step is retried. It looks at a page of the jobs each time: a queue may be long.
        """
        before = datetime.now(UTC) - timedelta(seconds=SWEEP_AFTER_S)
        for state in (JobState.QUEUED, JobState.RUNNING):
            with Session(self._database) as session:
                page = job_states.page_of(session, state, self._swept.get(state))
                due = JobRow.id.in_([one.job_id for one in page])
                waiting = session.scalars(select(JobRow.id).where(due, JobRow.updated < before, ~IS_HELD)).all()
            self._swept[state] = page[-1] if len(page) == job_states.PAGE else None
            standing = self._standing(waiting)
            for job_id in (job_id for job_id in waiting if job_id not in standing):
                log.warning("taking up a job that was left over", extra={"job": job_id})
                self._take_up(job_id)
            queued = [job_id for job_id, status in standing.items() if status == "ENQUEUED"]
            if state == JobState.QUEUED:
                self._early.add_unknown(queued)
            else:
                self._wait_again(queued)

    def _wait_again(self, job_ids: Iterable[str]) -> None:
        """Jobs that ran when their node died, and that nobody has taken up yet, are queued."""
        for job_id in job_ids:
            with Session(self._database) as session, session.begin():
                job_states.wait_again(session, job_id)

    def _standing(self, job_ids: Sequence[str]) -> dict[str, str]:
        """How those of the jobs stand that DBOS is going to run, or is running."""
        found: dict[str, str] = {}
        for chunk in queries.in_chunks(job_ids):
            known = self._client.list_workflows(
                workflow_ids=chunk, status=list(GOING_TO_RUN), load_input=False, load_output=False
            )
            found |= {workflow.workflow_id: workflow.status for workflow in known}
        return found

    def _park(self) -> None:
        """Mark jobs as failed that DBOS has given up because the node stopped too often while they ran."""
        given_up = self._client.list_workflows(
            status="MAX_RECOVERY_ATTEMPTS_EXCEEDED", load_input=False, load_output=False
        )
        for workflow in given_up:
            with Session(self._database) as session, session.begin():
                if job_states.locked(session, workflow.workflow_id).state in (JobState.QUEUED, JobState.RUNNING):
                    reason = f"the node stopped {MAX_RECOVERY_ATTEMPTS} times while the job ran"
                    job_states.move(session, workflow.workflow_id, JobState.FAILED, reason=reason)

    def clean(self, now: datetime) -> int:
        """Delete folders and checkpoints of jobs that ended longer ago than `run.keep_jobs_days`; returns how many.

        A job with an undelivered object is left alone. The rows of all jobs stay: what was found and sent, and when.
        """
        before = now - timedelta(days=self._configuration.run.keep_jobs_days)
        cleaned = 0
        place: job_states.Place | None = None
        while not self._cleaner.stopping.is_set():
            goes_on()
            with Session(self._database) as session:
                page = job_states.page_to_clean(session, before, place)
                free = job_states.free_to_clean(session, [one.job_id for one in page])
            cleaned += self._clean(free, now)
            if len(page) < job_states.PAGE:
                break
            place = page[-1]  # what may not go yet is passed over
        if cleaned:
            log.info("old jobs cleaned up", extra={"jobs": cleaned})
        self._delete_strays(before)
        if self._priors is not None and (reports := self._priors.purge()):
            log.info("old reports cleaned up", extra={"reports": reports})
        return cleaned

    def _clean(self, job_ids: Sequence[str], now: datetime) -> int:
        """Delete what is kept of jobs beside their rows; how many that were."""
        standing = self._standing(job_ids)
        ended = [job_id for job_id in job_ids if job_id not in standing]
        for job_id in ended:
            goes_on()
            with contextlib.suppress(OSError):
                shadow_folder.remove(self._configuration, job_id)
                remove_folder(job_folder(self._configuration.node.data, job_id))
        if ended:
            self._client.delete_workflows(list(ended))
            with Session(self._database) as session, session.begin():
                job_states.note_cleaned(session, ended, now)
        return len(ended)

    def _delete_strays(self, before: datetime) -> None:
        """Delete folders whose job was never written down: the node ended, or the database went away, in between."""
        jobs = self._configuration.node.data / "jobs"
        old = [path.name for path in jobs.glob("[!.]*") if _changed(path) < before.timestamp()]
        with Session(self._database) as session:
            for ids in queries.in_chunks(old):
                known = set(session.scalars(select(JobRow.id).where(JobRow.id.in_(ids))))
                for stray in set(ids) - known:
                    goes_on()
                    with contextlib.suppress(OSError):
                        remove_folder(jobs / stray)


def _changed(folder: Path) -> float:
    """When a folder was last changed, in seconds since the epoch; now, where somebody else has just deleted it."""
    goes_on()
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return time.time()
