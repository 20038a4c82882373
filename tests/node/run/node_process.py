"""An engine and a sender in a process of their own, to be killed: ``python -m tests.node.run.node_process NOTE``.

The note is a JSON file with the configuration, the executor's name and after how many seconds another one is dead. For
each line that it reads it forks a process that runs jobs, with everything imported: only the first start takes long.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from node import log
from node.config import Configuration
from node.reading import HERE
from node.run.job_engine import JobEngine, set_up
from node.send.outbox import Sender
from tests.node.run.trial import ROOT, Bench
from tests.waiting import until


class NodeProcess:
    """That process; a context manager that leaves nothing running."""

    def __init__(self, bench: Bench, name: str = "one", dead_after_s: float = 30.0) -> None:
        self.log = bench.folder / f"{name}.log"
        self._ready, self._note = bench.folder / f"{name}.ready", bench.folder / f"{name}.json"
        note = {"configuration": bench.configuration.model_dump(mode="json"), "name": name}
        self._note.write_text(json.dumps({**note, "dead_after_s": dead_after_s, "ready": str(self._ready)}))
        self._parent: subprocess.Popen[str] | None = None
        self._child: int | None = None

    def __enter__(self) -> NodeProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._end()
        if self._parent is not None:
            self._parent.kill()
            self._parent.communicate()

    def start(self) -> None:
        """Start it, unless it runs, and wait until it runs jobs."""
        if not self._is_there():
            self.kill()  # one that ended by itself is to be taken note of
            self._start()
        until(self._is_ready)

    def _start(self) -> None:
        self._ready.unlink(missing_ok=True)
        if self._parent is None:
            command = [sys.executable, "-m", "tests.node.run.node_process", str(self._note)]
            pipe = subprocess.PIPE
            with self.log.open("ab") as log:
                self._parent = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=log, text=True)
        assert self._parent.stdin is not None
        self._parent.stdin.write("start\n")
        self._parent.stdin.flush()
        self._child = int(self._answer())

    def _answer(self) -> str:
        assert self._parent is not None
        assert self._parent.stdout is not None
        return self._parent.stdout.readline() or self.log.read_text()

    def _is_there(self) -> bool:
        return self._child is not None and Path(f"/proc/{self._child}").exists()

    def _is_ready(self) -> bool:
        assert self._is_there(), self.log.read_text()
        return self._ready.exists()

    def kill(self) -> None:
        """kill -9."""
        if self._child is not None:
            assert self._end() == "ended\n"

    def _end(self) -> str:
        """Kill it, unless it has ended by itself, and wait until its parent says that it has ended; what that says."""
        assert self._child is not None
        child, self._child = self._child, None
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        return self._answer()

    def freeze(self, frozen: bool) -> None:
        """Stop it in its tracks, or let it go on."""
        assert self._child is not None
        os.kill(self._child, signal.SIGSTOP if frozen else signal.SIGCONT)


def run_jobs(note: dict[str, Any]) -> None:
    """Run jobs and send their objects until killed."""
    log.configure("json")
    configuration = Configuration.model_validate(note["configuration"])
    database = set_up(configuration)
    engine = JobEngine(configuration, database, HERE, name=note["name"], beat_s=0.5, dead_after_s=note["dead_after_s"])
    engine.start()
    Sender(configuration, database, first_retry_s=0.2, name=note["name"], claim_s=note["dead_after_s"]).start()
    Path(note["ready"]).touch()
    signal.pause()


def main(note: dict[str, Any], orders: IO[str], answers: IO[str]) -> None:
    """Start a process for each order, when the one before has ended."""
    for _ in orders:
        child = os.fork()
        if not child:
            os.dup2(2, 1)
            run_jobs(note)
        answers.write(f"{child}\n")
        answers.flush()
        os.waitpid(child, 0)
        answers.write("ended\n")
        answers.flush()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.stdin, sys.stdout)
