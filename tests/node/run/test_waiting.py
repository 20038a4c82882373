"""Jobs wait for room on the disk and for their images: neither is a failed job, and both are seen."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from node.database.jobs import Job
from node.reading import HERE
from node.run import flow
from node.run.job_engine import JobEngine
from tests.needs import missing
from tests.node.run.trial import Bench, bench, install_trial
from tests.waiting import until

ENDED = ("sending", "done", "failed", "unsuitable")


class Waiting:
    """An engine that runs, and its bench."""

    def __init__(self, made: Bench, engine: JobEngine) -> None:
        self.bench, self.engine = made, engine

    def waits(self, job: Job) -> str:
        """What is shown while the job waits, as soon as it does."""
        until(lambda: "waits" in self.bench.events(job) and self.engine.problem() is not None)
        assert self.bench.state(job) == "running" or self.bench.state(job) == "queued"
        return str(self.engine.problem())

    def ended(self, job: Job) -> str:
        until(lambda: self.bench.state(job) in ENDED)
        return self.bench.state(job)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waiting]:
    folder = tmp_path_factory.mktemp("waiting")
    paths = os.pathsep.join([install_trial(folder / "site"), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch, bench(folder) as made:
        patch.setenv("PYTHONPATH", paths)
        patch.setattr(flow, "FIRST_PAUSE_S", 0.1)
        patch.setattr(flow, "LONGEST_PAUSE_S", 0.2)
        engine = JobEngine(made.configuration, made.database, HERE, beat_s=0.5)
        engine.start()
        try:
            yield Waiting(made, engine)
        finally:
            engine.stop()


def test_a_job_waits_at_the_disk_floor_and_goes_on_when_there_is_room(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [5 * 2**20]
    monkeypatch.setattr(flow, "free_bytes", lambda _folder: free[0])
    job = waiting.bench.job()
    waiting.engine.submit(job)
    shown = waiting.waits(job)
    assert "1 job waiting: only 5 MB are free on the disk, less than receive.disk_floor_mb, 1024" in shown
    free[0] = 2**40
    assert waiting.ended(job) == "sending"
    events = waiting.bench.events(job)
    assert events.count("waits") == 1
    assert events.index("waits") < events.index("goes on") < events.index("infer")
    until(lambda: waiting.engine.problem() is None)


def test_a_job_that_waits_can_be_cancelled(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "free_bytes", lambda _folder: 0)
    job = waiting.bench.job()
    waiting.engine.submit(job)
    waiting.waits(job)
    waiting.engine.cancel(job.id)
    assert waiting.ended(job) == "failed"
    until(lambda: waiting.engine.problem() is None)


def test_a_job_whose_images_are_away_waits_for_them_and_is_neither_failed_nor_unsuitable(waiting: Waiting) -> None:
    job = waiting.bench.job()
    instances = waiting.bench.data / "instances"
    instances.rename(waiting.bench.data / "away")
    waiting.engine.submit(job)
    assert "an image that was stored cannot be read: No such file or directory" in waiting.waits(job)
    until(lambda: waiting.bench.record(job).attempt <= 1)  # however often it is begun, that counts against nobody
    (waiting.bench.data / "away").rename(instances)
    assert waiting.ended(job) == "sending"


def test_a_full_disk_is_never_a_failed_job(waiting: Waiting) -> None:
    """On a disk of its own, full to the last byte, then with a little room, then with enough."""
    jobs = waiting.bench.data / "jobs"
    jobs.mkdir(exist_ok=True)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(jobs)]).returncode:
        missing("a small file system can be mounted by root only")
    try:
        for name in ("ballast", "more"):
            with (jobs / name).open("wb", buffering=0) as ballast:
                try:
                    ballast.write(bytes(48 * 1024))
                    ballast.write(bytes(48 * 1024))
                except OSError:
                    pass
        job = waiting.bench.job()
        waiting.engine.submit(job)
        assert "1 job waiting: no room is left on the disk" in waiting.waits(job)
        (jobs / "more").unlink(missing_ok=True)
        os.truncate(jobs / "ballast", 80 * 1024)
        until(lambda: waiting.bench.record(job).state in ("running", *ENDED))
        (jobs / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=16m", str(jobs)], check=True)
        assert waiting.ended(job) == "sending"
        assert "goes on" in waiting.bench.events(job)
    finally:
        subprocess.run(["umount", "-l", str(jobs)], check=True)
