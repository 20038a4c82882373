"""Child processes: started, started again when they die, stopped, and never left behind.

A supervised process says on its standard output, with a line whose first word is ``ready``, that it does its work, or
with one whose first word is ``failed``, why it cannot; with one whose first word is ``trouble``, what of its work is
not done at the moment, or with nothing behind it, that all is done again; with ``remark``, the same of what can wait;
with ``configuration``, by which it works, as a digest. One that was never ready ends the node; one
that was is started again. A child ends when its parent does, even if the parent is killed. The kernel sees to that
(``PR_SET_PDEATHSIG``): a pipe that the child watches would need a thread there that still runs, and a write end that
no sibling has inherited. A killed receiver loses nothing, so the signal is SIGKILL. The kernel means the *thread* that
started the child; `Supervisor` therefore starts children from the main thread only.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.errors import ConfigurationError, NodeError, PeerUnavailable

log = logging.getLogger(__name__)

READY, FAILED, TROUBLE, REMARK = "ready", "failed", "trouble", "remark"
IN_FORCE = "configuration"  # and the digest of the file that it works by
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
STEADY_S = 30.0  # a process that lived this long starts the pauses anew
PATIENCE_S = 5.0  # after SIGTERM
MANY_FILES = 65536  # more are of no use, and some programs do something for every one that they might have open

PARENT_VARIABLE = "CONDYLE_PARENT"  # process id of the parent, set for the child
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass
class _Child:
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    not_before: float = 0.0
    ready: bool = False  # this process
    was_ready: bool = False  # this one or one before it
    trouble: str = ""  # what it said last of what it cannot do
    remark: str = ""  # and of what can wait
    in_force: str = ""  # digest of the configuration that it said it works by
    to_reload: bool = False  # once it is ready
    said: bytes = b""  # by this process, or by the one before until this one says something

    @property
    def reason(self) -> str:
        """Why it could not do its work, as it said itself; empty if it did not."""
        return self.told(FAILED) or ""

    def told(self, word: str) -> str | None:
        """The rest of the last line that begins with that word; None where it said none."""
        lines = (line.partition(" ") for line in reversed(self.said.decode(errors="replace").splitlines()))
        return next((rest for first, _, rest in lines if first == word), None)


class Supervisor:
    """Keeps `count` processes of one kind alive. Every method is for the main thread (see the module's docstring).

    Parameters
    ----------
    name
        For the log.
    command
        What each of them runs.
    count
        How many.
    clock
        Seconds that only go up.
    """

    def __init__(
        self, name: str, command: Sequence[str], count: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._command, self._clock = name, list(command), clock
        self._children = [_Child() for _ in range(count)]

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of those that run."""
        return tuple(child.process.pid for child in self._children if child.process is not None)

    def keep_alive(self) -> None:
        """Start what is not running and is due; to be called a few times a second.

        Raises
        ------
        NodeError
            If a process has ended before it was ever ready: starting it again would not help. Of the kind that its exit
            code says, with the reason that it gave.
        """
        now = self._clock()
        for child in self._children:
            if child.process is not None and (code := child.process.poll()) is not None:
                self._hear(child)
                facts = {"kind": self._name, "pid": child.process.pid, "code": code, "reason": child.reason}
                log.error("process ended", extra=facts)
                if code > 0 and not child.was_ready:
                    raise self._cannot_start(child, code)
                steady = now - child.started >= STEADY_S
                child.pause_s = FIRST_PAUSE_S if steady else min(2 * child.pause_s, LONGEST_PAUSE_S)
                child.process.stdout.close()  # type: ignore[union-attr]
                child.process, child.ready, child.not_before = None, False, now + child.pause_s
                child.trouble = child.remark = child.in_force = ""
                child.to_reload = False  # the next one reads the file at its start
            if child.process is None and now >= child.not_before:
                child.process = self._start()
                child.started = now
            if child.process is not None:
                self._hear(child)
                if child.to_reload and child.ready:  # before, the signal would end it
                    child.to_reload = False
                    child.process.send_signal(signal.SIGHUP)

    @property
    def all_ready(self) -> bool:
        """Whether all of them run."""
        return all(child.ready for child in self._children)

    def problem(self) -> str | None:
        """Why not all of them run and do all of their work, or None."""
        missing = [child for child in self._children if not child.ready]
        reason = next((f": {child.reason}" for child in missing if child.reason), "")
        if missing:
            return f"{len(missing)} of {len(self._children)} {self._name} processes do not run{reason}"
        return _once_each(child.trouble for child in self._children)

    def remark(self) -> str | None:
        """What of their work is not done at the moment and can wait, or None."""
        return _once_each(child.remark for child in self._children)

    def reload(self) -> None:
        """Have all read their configuration anew; `work_by` says when they have."""
        for child in self._children:
            child.to_reload = child.process is not None
        self.keep_alive()

    def work_by(self, digest: str) -> bool:
        """Whether all that run work by the configuration of that digest."""
        return all(child.in_force == digest for child in self._children if child.process is not None)

    def stop(self) -> None:
        """Ask all to end, and end those that do not within a few seconds."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + PATIENCE_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process had to be killed", extra={"kind": self._name, "pid": process.pid})
                process.kill()
                process.wait()
            process.stdout.close()  # type: ignore[union-attr]
        self._children = [_Child() for _ in self._children]

    def _hear(self, child: _Child) -> None:
        """Take in what a process has said since the last time."""
        if said := child.process.stdout.read():  # type: ignore[union-attr]
            child.said = said
            # not anywhere in a line: a reason to have failed may be "Address already in use"
            child.ready |= child.told(READY) is not None
            child.was_ready |= child.ready
            if (trouble := child.told(TROUBLE)) is not None:
                child.trouble = trouble
            if (remark := child.told(REMARK)) is not None:
                child.remark = remark
            if (in_force := child.told(IN_FORCE)) is not None:
                child.in_force = in_force

    def _cannot_start(self, child: _Child, code: int) -> NodeError:
        kinds = (ConfigurationError, PeerUnavailable)
        kind = next((kind for kind in kinds if kind.exit_code == code), NodeError)
        reason = child.reason or f"ended with exit code {code} before it was ready; the log says why"
        return kind(f"{self._name}: {reason}")

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,
            # in a session of its own, Ctrl-C does not reach it: the parent decides in which order processes end
            start_new_session=True,
            env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)  # read() gives None while there is nothing
        log.info("process started", extra={"kind": self._name, "pid": process.pid})
        return process


def _once_each(told: Iterable[str]) -> str | None:
    return "; ".join(dict.fromkeys(filter(None, told))) or None


def receivers(path: Path, count: int) -> Supervisor:
    """The processes that hold the DICOM port, with the configuration in `path`."""
    return Supervisor("receiver", [sys.executable, "-m", "node.receive", str(path)], count)


def raise_open_files() -> int:
    """Let this process, and those that it starts, open as many files as the system allows the account; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return MANY_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


# ---- in the child


def say(word: str, more: object) -> None:
    """Tell the supervisor in one line: `READY`, `FAILED` and why, `TROUBLE` or `REMARK` and what."""
    sys.stdout.write(f"{word} {' '.join(str(more).split())}\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; for the first line of a supervised process.

    Does nothing in a process that no `Supervisor` started.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # the parent ended before the kernel knew of our wish
        os._exit(1)
