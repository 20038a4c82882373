"""The node's side of the inference processes: which is free, and which exceeds its time or memory."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from pydantic import ValidationError

from dicom_sr.errors import UnsuitableInput
from node.box import TASKS, Process
from node.database.job_states import CANCELLED
from node.errors import JobFailed, MustWait, NoRoom, StorageAway, WorkerDied
from node.files import FULL, is_full
from node.metrics import WORKERS, WORKERS_BUSY
from node.run import messages
from node.run.job_view import JobView
from node.run.messages import (
    Answer,
    Check,
    Done,
    Encode,
    Failed,
    Infer,
    JobRequest,
    Load,
    Ready,
    SeriesEncoded,
    Settings,
    Unsuitable,
    Waits,
)
from node.study.images import unreadable

log = logging.getLogger(__name__)
OUTPUT = logging.getLogger("node.run.worker")

LOOK_S = 0.2  # how often a worker's time and memory are looked at
ASK_S = 1.0  # how often the database is asked whether the job was cancelled, and the disk how much it wrote
LEFT_BYTES, LEFT_S = 2**30, 86_400.0  # a worker in a box that leaves so much in its /tmp, or anything so long, ends
LAST_BREATH_S = 1.0  # for a process that has closed the connection
WAIT_S = 1.0  # how often who waits for a worker looks whether it still has to
LONG_S = 0.5  # a worker that was so long at a result stays with its job for the objects,
STAYS_S = 1.0  # which have to be asked for in this time
LARGEST_ANSWER = 2**20  # bytes


class Stopping(BaseException):
    """The node is being stopped: leave the job where it is, for the next start.

    Not an `Exception`: nothing on the way, the job engine included, may take it for an outcome of the step.
    """


class NoneFree(Exception):
    """No worker became free in the time that the caller has."""


class Interrupted(Stopping):
    """The node is being stopped while a worker runs the step: this start does not count against the step."""


@dataclass(frozen=True)
class WorkerView:
    """What a worker is at, for people."""

    slot: int
    pid: int | None  # None: it starts with the next call
    job_id: str  # empty: it waits
    step: str
    busy_s: float
    warm: tuple[str, ...]  # names of the pipelines that it has in memory, as far as it was asked for them


class Worker:
    """One inference process and the connection to it."""

    def __init__(
        self,
        slot: int,
        environment: Mapping[str, str],
        to_load: Sequence[tuple[str, Settings]],
        view: JobView | None,
        reads: Sequence[Path],
        began: float,
    ) -> None:
        self.view, self.began, self.reads = view, began, frozenset(reads)
        ours, theirs = socket.socketpair()
        with theirs:
            command = ["-m", "node.run.worker", str(theirs.fileno())]
            seen = None if view is None else view.of_box(reads)
            self.process = Process(command, seen, theirs.fileno(), OUTPUT, **environment)
        self.connection = Connection(ours.detach())
        self.slot = slot
        self.warm = dict.fromkeys(name for name, _ in to_load)  # pipelines
        self.asked: tuple[JobRequest, float] | None = None  # what it is at, and since when
        self._greeted = False
        if to_load:
            self.connection.send_bytes(messages.pack(Load(tuple(to_load))))

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self.process.alive

    def greet(self) -> None:
        """Wait until the process has started; this time does not count against the job.

        Raises
        ------
        EOFError
            If it ends instead.
        """
        if not self._greeted:
            self.connection.recv_bytes()
            self._greeted = True

    def kill(self, patience_s: float = 0.0) -> int:
        """End the process, after `patience_s`; only whole files in the job's folder remain of its work.

        Returns
        -------
        int
            Its exit code, or minus the signal that ended it.
        """
        code = self.process.end(patience_s)
        self.connection.close()
        if self.view is not None:
            self.view.remove()
        return code


@dataclass(frozen=True, order=True)
class Position:
    """Where a call stands in the line for a worker: the lowest is the next."""

    heavy: bool = True  # what is done in a moment goes first
    priority: int = 100
    since: float = 0.0  # when the job was made, seconds since 1970: the oldest is the first, whatever it waits for
    job: str = ""


NOBODY_WAITS = Position()  # for a call that has the pool to itself


class Pool:
    """A fixed number of inference processes; calls wait for a free one, in the order of their positions.

    A worker that was at a job's result for long stays with that job for a moment, so that its objects are written
    before the next job begins.

    Parameters
    ----------
    size
        How many.
    time_limit_s, memory_limit_mb
        Limits of one call. A process that exceeds them is killed and replaced.
    to_load
        Pipelines to load before the first call: name and settings.
    data
        The node's data folder, where the processes run in a box; None: they run without one.
    reads
        What else they are to see in the box, to read.
    node
        The node's name among those that share the data folder.
    environment
        Names of the variables of this process that they are given besides the usual ones.
    of_slot
        Variables for one of them, by its number, such as those that show it its GPU.
    threads_of
        Among how many the processors are shared: each counts with as many threads; None: among these. The last digit of
        what they compute may depend on it.
    """

    def __init__(
        self,
        size: int,
        time_limit_s: float,
        memory_limit_mb: int,
        to_load: Sequence[tuple[str, Settings]] = (),
        clock: Callable[[], float] = time.monotonic,
        *,
        data: Path | None = None,
        reads: Sequence[Path] = (),
        node: str = "",
        environment: Sequence[str] = (),
        of_slot: Callable[[int], Mapping[str, str]] = lambda _: {},
        threads_of: int | None = None,
    ) -> None:
        self.size, self._environment, self._of_slot = size, tuple(environment), of_slot
        self._threads_of = threads_of or size
        self._data, self._reads, self._node = data, tuple(reads), node
        self._time_limit_s, self._memory_limit_mb = time_limit_s, memory_limit_mb
        self._to_load, self._clock = tuple(to_load), clock
        self._condition = threading.Condition()
        self._workers: list[Worker | None] = [None] * size
        self._free = list(range(size))
        self._stays: dict[int, tuple[str, float]] = {}  # by slot: the job that its worker stays with, and until when
        self._taken: dict[int, float] = {}  # by slot: since when somebody has it
        self._left: dict[int, float] = {}  # by slot: when somebody last had it
        self._waiting: list[tuple[Position, int]] = []
        self._numbers = itertools.count()
        self._closed = False

    def start(self) -> None:
        """Start the processes, so that they are warm when the first job comes; else each starts with its first call."""
        WORKERS.set(self.size)
        for slot in range(self.size):
            with contextlib.suppress(MustWait):  # the next call tries again
                self._workers[slot] = self._new(slot)

    def show(self, reads: Sequence[Path]) -> None:
        """Have the processes see these files in their box; one that lacks some is replaced before its next call."""
        self._reads = tuple(reads)

    def close(self) -> None:
        """End all processes; calls under way leave with `Stopping`."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            for worker in self._workers:
                if worker is not None:
                    worker.process.end()
                    if worker.view is not None:
                        worker.view.remove()

    @property
    def busy(self) -> int:
        """How many calls are under way or waiting."""
        with self._condition:
            self._free_those_that_stayed(self._clock())
            return self.size - len(self._free) + len(self._waiting)

    @property
    def busy_s(self) -> float:
        """For how many seconds all of the processes have been at what they are at; 0 where one is free."""
        with self._condition:
            return self._clock() - max(self._taken.values()) if len(self._taken) == self.size else 0.0

    def overtakes(self, priority: int) -> bool:
        """Whether a call of that priority would go before one that waits."""
        with self._condition:
            return any(one.heavy and one.priority > priority for one, _ in self._waiting)

    def end_idle(self, idle_s: float) -> None:
        """End the processes that nobody has asked anything for so long; the next call starts another."""
        with self._condition:
            slots = [slot for slot in self._free if self._clock() - self._left.get(slot, self._clock()) >= idle_s]
            self._free = [slot for slot in self._free if slot not in slots]
        for slot in slots:
            worker, self._workers[slot] = self._workers[slot], None
            if worker is not None:
                log.info("worker ended, as it has nothing to do", extra={"slot": slot, "pid": worker.process.pid})
                worker.kill()
        with self._condition:
            self._free += slots
            self._condition.notify_all()

    @property
    def views(self) -> tuple[WorkerView, ...]:
        """What each process is at."""
        return tuple(self._view(slot, worker) for slot, worker in enumerate(self._workers))

    def _view(self, slot: int, worker: Worker | None) -> WorkerView:
        if worker is None or not worker.alive:
            return WorkerView(slot, None, "", "", 0.0, ())
        asked = worker.asked
        job, step, busy_s = (asked[0].folder.name, asked[0].do, self._clock() - asked[1]) if asked else ("", "", 0.0)
        return WorkerView(slot, worker.process.pid, job, step, busy_s, tuple(worker.warm))

    @property
    def pids(self) -> tuple[int, ...]:
        """Numbers of the processes that were started."""
        return tuple(worker.process.pid for worker in self._workers if worker is not None)

    def call(
        self,
        request: JobRequest,
        *,
        position: Position = NOBODY_WAITS,
        patience_s: float | None = None,
        began: Callable[[], None] = lambda: None,
        series_there: Callable[[], None] = lambda: None,
        cancelled: Callable[[], bool] = lambda: False,
        waiting: Callable[[], None] = lambda: None,
    ) -> Done:
        """Have a worker do `request` and return its answer.

        Parameters
        ----------
        position
            In the line for a worker.
        patience_s
            How long to stand in it; None: until there is one.
        began
            Called when a worker is there for it.
        series_there
            Called when the derived series of an `Encode` are in the job's folder, and the worker is at the rest.
        cancelled
            Asked about once a second; the worker is killed when it says yes.
        waiting
            Called about once a second while there is no worker for it; what it raises ends the call.

        Raises
        ------
        NoneFree
            There was no worker within `patience_s`.
        UnsuitableInput
            The worker says that the images cannot be used.
        JobFailed
            It raised anything else, took too long or too much, or was cancelled.
        MustWait
            There is no room on the disk, or the images cannot be read now.
        WorkerDied
            The process went away.
        Stopping
            The pool is being closed; `Interrupted` where a worker was at it.
        """
        slot = self._take(position, patience_s, waiting)
        start, done = self._clock(), False
        try:
            worker = self._ready(slot)
            began()
            with WORKERS_BUSY.labels(request.pipeline, _step(request)).track_inprogress():
                answer = self._converse(worker, request, series_there, cancelled)
            done = True
            return answer
        finally:
            with self._condition:
                stays = done and isinstance(request, Infer) and position.job and self._clock() - start >= LONG_S
                self._leave(slot, position.job if stays else "")

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises
        ------
        Stopping
            As soon as the pool is being closed.
        """
        with self._condition:
            if self._condition.wait_for(lambda: self._closed, seconds):
                raise Stopping

    def _take(self, position: Position, patience_s: float | None, waiting: Callable[[], None]) -> int:
        """Stand in the line until there is a worker; its slot."""
        deadline = None if patience_s is None else self._clock() + patience_s
        with self._condition:
            ticket = (position, next(self._numbers))
            heapq.heappush(self._waiting, ticket)
        try:
            while True:
                until = self._clock() + WAIT_S if deadline is None else min(deadline, self._clock() + WAIT_S)
                slot = self._stand(ticket, until)
                if slot is not None:
                    return slot
                if deadline is not None and self._clock() >= deadline:
                    raise NoneFree
                waiting()  # without the lock: it asks the database
        finally:
            with self._condition:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._condition.notify_all()  # another one may be first in the line now

    def _stand(self, ticket: tuple[Position, int], until: float) -> int | None:
        """Stand in the line for a while; the slot, or None where there was none.

        Raises
        ------
        Stopping
            As soon as the pool is being closed.
        """
        with self._condition:
            while True:
                if self._closed:
                    raise Stopping
                now = self._clock()
                slot = self._slot_for(ticket, now)
                if slot is not None:
                    self._taken[slot] = now
                    return slot
                if now >= until:
                    return None
                self._condition.wait(min([until, *(end for _, end in self._stays.values())]) - now)

    def _slot_for(self, ticket: tuple[Position, int], now: float) -> int | None:
        """The slot whose worker stays with the job of the call, or a free one if the call is the first in the line."""
        for slot, (job, _) in self._stays.items():
            if job == ticket[0].job:
                del self._stays[slot]
                return slot
        self._free_those_that_stayed(now)
        return self._free.pop(0) if self._free and self._waiting[0] == ticket else None

    def _free_those_that_stayed(self, now: float) -> None:
        for slot in [slot for slot, (_, until) in self._stays.items() if now >= until]:
            del self._stays[slot]
            self._free.append(slot)

    def _leave(self, slot: int, job: str) -> None:
        """Somebody is through with a worker, which stays with the job, if one is named."""
        now = self._clock()
        self._left[slot] = now
        self._taken.pop(slot, None)
        if job:
            self._stays[slot] = (job, now + STAYS_S)
        else:
            self._free.append(slot)
        self._condition.notify_all()

    def _ready(self, slot: int) -> Worker:
        worker = self._workers[slot]  # the caller has the slot, so nobody else sets it
        if worker is None or not worker.alive or not (worker.view is None or self._sees_all(worker, worker.view)):
            if worker is not None:
                worker.kill()
            worker = self._new(slot)  # without the lock: a storage that hangs is to hang this call alone
            with self._condition:
                if self._closed:
                    worker.kill()
                    raise Stopping
                self._workers[slot] = worker
        try:
            worker.greet()
        except (EOFError, OSError) as error:
            if self._closed:
                raise Stopping from error
            raise JobFailed("the process that runs pipelines does not start; the log says why") from error
        return worker

    def _sees_all(self, worker: Worker, view: JobView) -> bool:
        return view.is_seen and worker.reads.issuperset(self._reads)

    def _new(self, slot: int) -> Worker:
        threads = max(1, (os.cpu_count() or 1) // self._threads_of)
        environment = {name: os.environ[name] for name in self._environment if name in os.environ}
        environment |= {name: os.environ.get(name, str(threads)) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        environment |= self._of_slot(slot)
        try:
            view = None if self._data is None else JobView(self._data, self._node, self._memory_limit_mb * 2**20)
        except OSError as error:
            raise NoRoom(FULL) if is_full(error) else StorageAway(unreadable(error)) from error
        try:
            worker = Worker(slot, environment, self._to_load, view, self._reads, self._clock())
        except BaseException:
            if view is not None:
                view.remove()
            raise
        log.info("worker started", extra={"slot": slot, "pid": worker.process.pid})
        return worker

    def _converse(
        self, worker: Worker, request: JobRequest, series_there: Callable[[], None], cancelled: Callable[[], bool]
    ) -> Done:
        if worker.view is not None:
            worker.view.show(request)
        try:
            start = self._clock()
            worker.asked = (request, start)
            worker.warm[request.pipeline] = None
            worker.connection.send_bytes(messages.pack(request))
            answer = self._answer(worker, start, cancelled)
            if isinstance(answer, SeriesEncoded) and isinstance(request, Encode) and request.series_first:
                if worker.view is not None:
                    worker.view.take(request, series_only=True)
                series_there()
                answer = self._answer(worker, start, cancelled)
            self._hold_to_room(worker)
            if worker.view is not None and isinstance(answer, Done):
                worker.view.take(request)
        except (EOFError, OSError) as error:
            if self._closed:
                raise Interrupted from error
            code = worker.kill(LAST_BREATH_S)
            how = f"signal {-code}" if code and code < 0 else f"exit code {code}"
            raise WorkerDied(f"the process that ran the pipeline ended with {how}") from error
        except BaseException:
            worker.kill()  # nobody waits for its answer any more, and the next caller must not get it
            raise
        finally:
            worker.asked = None
        self._clear(worker)
        if isinstance(request, Infer) and request.settings.get("trust") == "code":
            worker.kill()  # what a bundle's own code left in the box is not to be there with the next job
        match answer:
            case Unsuitable(reason):
                raise UnsuitableInput(reason)
            case Failed(reason):
                raise JobFailed(reason)
            case Waits("room", reason):
                raise NoRoom(reason)
            case Waits(_, reason):
                raise StorageAway(reason)
            case Ready() | SeriesEncoded():
                raise JobFailed("the process that runs pipelines answered out of turn")
        return answer

    def _clear(self, worker: Worker) -> None:
        """Show the worker nothing any more; one that keeps that from being done, as by an open file on NFS, ends.

        So does one that left much in its ``/tmp``, or something long ago: it is emptied with the box.
        """
        if worker.view is None:
            return
        try:
            worker.view.clear()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            log.warning("worker ended, as its files cannot be removed", extra={"slot": worker.slot, "reason": reason})
            worker.kill()
            return
        left = worker.view.left_in_scratch()
        if left > LEFT_BYTES or (left and self._clock() - worker.began > LEFT_S):
            log.info("worker ended, to empty its /tmp", extra={"slot": worker.slot, "bytes": left})
            worker.kill()

    def _answer(self, worker: Worker, start: float, cancelled: Callable[[], bool]) -> Answer:
        asked = self._clock()
        while not worker.connection.poll(LOOK_S):
            now = self._clock()
            self._hold_to_limits(worker, now - start)
            if now - asked >= ASK_S:
                self._hold_to_room(worker)
                asked = now
                if cancelled():
                    raise JobFailed(CANCELLED)
        try:
            return messages.answer(worker.connection.recv_bytes(LARGEST_ANSWER))
        except ValidationError as error:
            raise EOFError("no answer to what was asked") from error

    def _hold_to_limits(self, worker: Worker, seconds: float) -> None:
        if seconds > self._time_limit_s:
            raise JobFailed(f"took longer than run.time_limit_s, {self._time_limit_s:g} s")
        if worker.process.takes_more_than(self._memory_limit_mb * 2**20):
            raise JobFailed(f"took more memory than run.memory_limit_mb, {self._memory_limit_mb} MB")

        if worker.process.tasks > TASKS:  # which the kernel holds accounts to, but not root
            raise JobFailed(f"started more than {TASKS} processes and threads")

    def _hold_to_room(self, worker: Worker) -> None:
        if worker.view is not None and worker.view.is_full:
            limit = f"run.memory_limit_mb, {self._memory_limit_mb} MB"
            raise JobFailed(f"wrote more than {limit}, to its folder and /tmp")


def _step(request: JobRequest) -> str:
    """What a worker is at, as the timeline of a job calls it."""
    return "prepare" if isinstance(request, Check) else type(request).__name__.lower()
