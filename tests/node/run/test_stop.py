from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest

from node.reading import HERE
from node.run.job_engine import JobEngine
from tests.node.run.trial import Bench, bench, install_trial
from tests.waiting import until


def _has_begun(made: Bench, times: int) -> bool:
    return len(made.said("run")) == times


def test_a_node_that_is_stopped_and_started_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    with bench(tmp_path) as made:
        hold = tmp_path / "hold"
        hold.touch()
        job = made.job(run_while=str(hold))
        first = JobEngine(made.configuration, made.database, HERE)
        first.start()
        first.submit(job)
        until(lambda: job.series_instance_uids[0] in made.said("run"))
        pids = first._pool.pids if first._pool else ()
        first.stop()
        assert len(pids) == 1
        assert not Path(f"/proc/{pids[0]}").exists()
        until(lambda: "interrupted" in made.events(job))
        assert made.state(job) == "running"
        # being stopped is not the job's fault, however often it happens
        for begun in (2, 3):
            again = JobEngine(made.configuration, made.database, HERE)
            again.start()
            until(partial(_has_begun, made, begun))
            again.stop()
        hold.unlink()
        last = JobEngine(made.configuration, made.database, HERE)
        last.start()
        try:
            until(lambda: made.state(job) == "sending")
        finally:
            last.stop()
        assert made.said("check") == [job.series_instance_uids[0]]
        assert len(made.said("run")) == 4
        assert made.record(job).reason == ""


def test_an_engine_that_cannot_start_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    with bench(tmp_path) as made:
        engine = JobEngine(made.configuration, made.database, HERE)
        monkeypatch.setattr("dbos.DBOS.launch", lambda: time.strptime("not a time", "%H"))
        with pytest.raises(ValueError, match="not a time"):
            engine.start()
        assert not [pid for pid in children() if b"node.run.worker" in pid]


def children() -> list[bytes]:
    """Command lines of this process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == os.getpid():
                found.append((stat.parent / "cmdline").read_bytes())
        except (OSError, IndexError):
            continue
    return found
