"""The node's side of the reader processes: which is free, and which has died or takes too long."""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ParamSpec, Protocol, Self, TypeVar

from node.box import Process, View
from node.errors import BeingStopped, MustWait, ReaderDied, StorageAway
from node.progress import goes_on
from node.reading import messages

log = logging.getLogger(__name__)
OUTPUT = logging.getLogger("node.reading")

P = ParamSpec("P")
R = TypeVar("R")

COUNT = 4  # a process is started where all others are busy
MEMORY_MB = 1536  # of address space; some 300 of them are Python with its libraries
CPU_S = 60.0  # for one file; a header of 10,000 frames may take 15 on a slow machine
WALL_S = 300.0  # the same by the clock: storage may be slow
CALL_S = 600.0  # by the clock, for all files of a call
START_S = 120.0  # on a machine that has much else to do
WATCH_S = 1.0  # how often is looked whether a call should have ended
LAST_BREATH_S = 1.0  # for a process that has closed the connection
LARGEST_ANSWER = 64 * 2**20  # bytes
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a thread has address space of its own


class Reader(Protocol):
    """Runs functions that read what others sent."""

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What `function`, of a module, returns; what it raises on purpose is raised.

        Raises
        ------
        ReadingFailed
            If the function breaks.
        """


class _Here:
    """Runs them in this process."""

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Reader.call`."""
        return function(*args, **kwargs)


HERE: Reader = _Here()


class _Process:
    """One reader process and the connection to it."""

    def __init__(self, memory_mb: int, cpu_s: float, instances: Path | None) -> None:
        self._instances, self._seen = instances, _identity(instances)
        view = None if instances is None else View(covers=instances.parent, reads=(instances,))
        ours, theirs = socket.socketpair()
        with theirs:
            command = ["-m", "node.reading", str(theirs.fileno()), str(memory_mb), str(cpu_s)]
            self.process = Process(command, view, theirs.fileno(), OUTPUT, **ALONE)
        self._socket = ours
        self.connection = Connection(ours.dup().detach())
        self._answers = select.poll()  # once: `Connection.poll` makes a selector each time
        self._answers.register(self.connection.fileno(), select.POLLIN)
        self._ended = False
        self.call_ends = float("inf")  # when its call has to have ended, by the monotonic clock

    @property
    def is_fit(self) -> bool:
        """Whether it is there, and sees the images: not those of a storage that came back since it was started."""
        return not self._ended and self.process.alive and _identity(self._instances) == self._seen

    def greet(self) -> None:
        """Wait until the process has started; this time does not count against the call.

        Raises
        ------
        EOFError
            If it ends instead.
        TimeoutError
            If it does neither.
        """
        if not self.connection.poll(START_S):
            raise TimeoutError
        self.connection.recv_bytes(len(messages.GOES_ON))

    def answers_within(self, seconds: float) -> bool:
        """Whether there is something to receive, or it has hung up."""
        return bool(self._answers.poll(seconds * 1000))

    def hang_up(self) -> None:
        """From another thread: whatever is being written to the process or read from it ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def end(self, patience_s: float = 0.0) -> int:
        """End the process, after `patience_s`; its exit code, or minus the signal that ended it."""
        self._ended = True
        code = self.process.end(patience_s)
        self.connection.close()
        self.hang_up()
        return code


def _identity(folder: Path | None) -> tuple[int, int] | None:
    try:
        found = folder.stat() if folder is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


class _Killed(MustWait):
    """By somebody else: the system, where memory is short, or whoever closes the pool. No file is to blame."""


class Readers:
    """A few reader processes; calls wait for a free one. A process is started when it is first needed.

    Parameters
    ----------
    count
        How many.
    memory_mb
        Address space of each.
    cpu_s, wall_s
        How long one call may take, by the processor's time and by the clock. A function that reads many files says
        `goes_on` after each; the limits are for one of them then.
    call_s
        How long a call may take whatever it says, by the clock.
    instances
        Where the images lie: the processes run in a box that shows nothing else of the data folder. None: they run
        without one, and read whatever the node can.
    """

    def __init__(
        self,
        count: int = COUNT,
        *,
        memory_mb: int = MEMORY_MB,
        cpu_s: float = CPU_S,
        wall_s: float = WALL_S,
        call_s: float = CALL_S,
        instances: Path | None = None,
    ) -> None:
        self._instances = None if instances is None else instances.absolute()
        self._memory_mb, self._cpu_s, self._wall_s, self._call_s = memory_mb, cpu_s, wall_s, call_s
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(count):
            self._free.put(None)
        self._lock = threading.Lock()
        self._running: set[_Process] = set()
        self._closed = threading.Event()
        self._watch: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; calls under way raise `BeingStopped`."""
        with self._lock:
            self._closed.set()
            ended, self._running = self._running, set()
        for process in ended:
            process.process.end()
            process.hang_up()

    @property
    def pids(self) -> tuple[int, ...]:
        """Numbers of the processes that run."""
        with self._lock:
            return tuple(one.process.pid for one in self._running)

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What `function` returns, run in a reader process; what it raises of our own errors is raised.

        Parameters
        ----------
        function
            Of a module, with type hints; it reads files, or what it is given.
        args
            All of its arguments, in order.

        Raises
        ------
        ReadingFailed
            If it raises anything else.
        ReaderDied
            If the process ends, or takes too much memory or processor time.
        StorageAway
            If it takes too long by the clock.
        BeingStopped
            If the node is.
        MustWait
            If no process is free or can be started, or the system ends it twice.
        """
        assert not kwargs, "a reader is called with positional arguments"
        try:
            process = self._free.get(timeout=self._call_s)
        except queue.Empty as error:
            raise MustWait("everything that reads files has been busy for long") from error
        try:
            request = messages.call(function, args)  # not earlier: of many that wait, none has made its own
            process = self._alive(process)
            try:
                return self._converse(process, function, *request)
            except _Killed:  # once more: the file need not be at fault
                process = self._alive(process)
                return self._converse(process, function, *request)
        finally:
            self._free.put(process)

    def _alive(self, process: _Process | None) -> _Process:
        if process is not None:
            if process.is_fit:
                return process
            self._end(process)
        with self._lock:
            self._require_open()
            process = _Process(self._memory_mb, self._cpu_s, self._instances)
            self._running.add(process)
            if self._watch is None:
                self._watch = threading.Thread(target=self._hang_up_late, name="readers", daemon=True)
                self._watch.start()
        try:
            process.greet()
        except (EOFError, OSError) as error:  # TimeoutError is one
            self._end(process)
            self._require_open()
            raise MustWait("what reads files does not start; the log says why") from error
        log.debug("reader started", extra={"pid": process.process.pid})
        return process

    def _hang_up_late(self) -> None:
        """End calls that take too long: writing to a process and reading from it know no time-out."""
        while not self._closed.wait(min(WATCH_S, self._call_s)):
            with self._lock:
                late = [process for process in self._running if process.call_ends < time.monotonic()]
            for process in late:
                process.hang_up()

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise BeingStopped("the node is being stopped")

    def _converse(self, process: _Process, function: Callable[P, R], request: bytes, parts: Sequence[memoryview]) -> R:
        try:
            result: R = messages.answer(function, self._ask(process, request, parts))
        except TimeoutError as error:
            self._end(process)
            raise StorageAway(f"what was received was not read within {error} s") from error
        except messages.NotUnderstood as error:
            self._end(process)
            raise ReaderDied("what was received made what reads it give an answer that makes no sense") from error
        except (EOFError, OSError) as error:
            code = self._end(process, LAST_BREATH_S)
            if code == -signal.SIGKILL:
                raise _Killed("the system ends what reads files; is it short of memory?") from error
            raise ReaderDied(_how(code)) from error
        return result

    def _ask(self, process: _Process, request: bytes, parts: Sequence[memoryview]) -> bytes:
        mark, end = secrets.token_bytes(messages.MARK_BYTES), time.monotonic() + self._call_s
        process.call_ends = end
        try:
            process.connection.send_bytes(mark + request)
            for part in parts:
                process.connection.send_bytes(part)
            while process.answers_within(self._wall_s):
                content = process.connection.recv_bytes(LARGEST_ANSWER)
                if content != messages.GOES_ON:
                    return messages.marked(mark, content)
                goes_on()
        except (EOFError, OSError):
            if time.monotonic() < end:
                raise
            raise TimeoutError(f"{self._call_s:g}") from None
        finally:
            process.call_ends = float("inf")
        raise TimeoutError(f"{self._wall_s:g}")

    def _end(self, process: _Process, patience_s: float = 0.0) -> int:
        code = process.end(patience_s)
        with self._lock:
            self._running.discard(process)
        log.warning("reader ended", extra={"pid": process.process.pid, "code": code})
        return code


def _how(code: int) -> str:
    """Why a process that read something ended, from its exit code."""
    if code == messages.OUT_OF_MEMORY:
        return "what was received takes too much memory to read"
    if code == -signal.SIGPROF:
        return "what was received takes too long to read"
    return f"what was received ended what reads it ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"
