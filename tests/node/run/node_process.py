"""An engine and a sender in a process of their own, to be killed: ``python -m tests.node.run.node_process NOTE``.

The note is a JSON file with the configuration, the executor's name and after how many seconds another one is dead.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from node.config import Configuration
from tests.node.run.trial import ROOT, Bench
from tests.waiting import until


class NodeProcess:
    """That process; a context manager that leaves nothing running."""

    def __init__(self, bench: Bench, name: str = "one", dead_after_s: float = 30.0) -> None:
        self.log = bench.folder / f"{name}.log"
        self._ready, self._note = bench.folder / f"{name}.ready", bench.folder / f"{name}.json"
        note = {"configuration": bench.configuration.model_dump(mode="json"), "name": name}
        self._note.write_text(json.dumps({**note, "dead_after_s": dead_after_s, "ready": str(self._ready)}))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NodeProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it runs jobs."""
        self._ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.node.run.node_process", str(self._note)], cwd=ROOT, stdout=log, stderr=log
            )
        until(self._is_ready)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return self._ready.exists()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self, frozen: bool) -> None:
        """Stop it in its tracks, or let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)


def main(note: dict[str, Any]) -> None:
    """Run jobs and send their objects until killed."""
    from node import log
    from node.run.job_engine import JobEngine, set_up
    from node.send.outbox import Sender

    log.configure("json")
    configuration = Configuration.model_validate(note["configuration"])
    database = set_up(configuration)
    engine = JobEngine(configuration, database, name=note["name"], beat_s=0.5, dead_after_s=note["dead_after_s"])
    engine.start()
    Sender(configuration, database, first_retry_s=0.2, name=note["name"], claim_s=note["dead_after_s"]).start()
    Path(note["ready"]).touch()
    signal.pause()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
