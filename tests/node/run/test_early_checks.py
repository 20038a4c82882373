"""Behind heavy jobs: who is said to run, what is answered at once, and who is next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from dicom_sr.findings import Subject
from node.database.jobs import ON_REQUEST, REQUEST_PRIORITY, Job
from node.database.queue_places import queue_places
from node.database.tables import JobRow
from node.reading import HERE
from node.run.early_checks import LONG_S, EarlyChecks
from node.run.job_engine import AHEAD, JobEngine
from pipelines import registry
from pipelines.context import ClinicalContext
from tests.node.run.trial import CREATED, Bench, bench, install_trial
from tests.waiting import until

WHO = Subject("K1", "Somebody", "19600615", "F")
RECORD = ClinicalContext(date(2026, 1, 1), date(1960, 6, 15), "F")


class Busy:
    """An engine whose only worker is at a job for as long as a file is there, with more such jobs behind it."""

    def __init__(self, made: Bench, engine: JobEngine, hold: Path, behind: int) -> None:
        self.bench, self.engine, self.hold = made, engine, hold
        hold.touch()
        self.heavy = [self._submitted(0)]
        until(lambda: made.said("run"))
        self.heavy += [self._submitted(number) for number in range(1, 1 + behind)]

    def _submitted(self, number: int) -> Job:
        job = self.bench.job(run_while=str(self.hold))
        job = replace(job, created=CREATED + timedelta(seconds=number))
        assert self.engine.submit(job)
        return job

    def states(self) -> list[str]:
        return [self.bench.state(job) for job in self.heavy]

    def let_go(self) -> None:
        self.hold.unlink()
        until(lambda: set(self.states()) == {"sending"})


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    """One worker that is at something, and more behind it than are claimed."""
    folder = tmp_path_factory.mktemp("busy")
    paths = os.pathsep.join([install_trial(folder / "site"), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch, bench(folder) as made:
        patch.setenv("PYTHONPATH", paths)
        patch.syspath_prepend(str(folder / "site"))  # the node, too, knows the pipelines
        registry._entry_points.cache_clear()
        engine = JobEngine(made.configuration, made.database, HERE, beat_s=0.5)
        engine.start()
        try:
            yield Busy(made, engine, folder / "hold", AHEAD + 3)
        finally:
            engine.stop()
    registry._entry_points.cache_clear()


def test_only_the_job_that_a_worker_is_at_is_running(busy: Busy) -> None:
    until(lambda: "prepare" in busy.bench.events(busy.heavy[1]), "it is checked, and goes on waiting")
    assert busy.states() == ["running", *["queued"] * (len(busy.heavy) - 1)]


def test_a_job_that_ran_on_a_node_that_died_is_queued_until_a_worker_takes_it_up(busy: Busy) -> None:
    last = busy.heavy[-1]
    with Session(busy.bench.database) as session, session.begin():
        lost = session.get_one(JobRow, last.id)
        lost.state, lost.updated = "running", datetime.now(UTC) - timedelta(minutes=1)
    until(lambda: busy.bench.state(last) == "queued")


def test_the_place_in_the_queue_is_told(busy: Busy) -> None:
    with Session(busy.bench.database) as session:
        places = queue_places(session, 1, datetime.now(UTC))
    assert [(places[job.id].ahead, places[job.id].running) for job in busy.heavy[1:]] == [
        (number, 1) for number in range(1, len(busy.heavy))
    ]


def test_what_the_check_refuses_does_not_wait_for_what_is_heavy(busy: Busy) -> None:
    job = replace(busy.bench.job(behaviour="refuse"), created=datetime.now(UTC))
    busy.engine.submit(job)
    until(lambda: busy.bench.state(job) == "unsuitable")
    assert busy.bench.record(job).reason == "needs a knee, found a phantom"
    assert "running" not in busy.bench.events(job)
    assert busy.states()[0] == "running"


def test_a_question_about_a_record_does_not_wait_for_what_is_heavy(busy: Busy) -> None:
    job = replace(
        busy.bench.job(),
        id="a" * 32,
        route=ON_REQUEST,
        pipeline="trial_risk",
        study_instance_uid="",
        series_instance_uids=(),
        sop_instance_uids=(),
        destinations=(),
        created=datetime.now(UTC),
        priority=REQUEST_PRIORITY,
    )
    busy.engine.submit(job, WHO, RECORD)
    until(lambda: busy.bench.state(job) == "done")
    without = replace(job, id="b" * 32)
    busy.engine.submit(without)
    until(lambda: busy.bench.state(without) == "unsuitable")
    assert busy.bench.record(without).reason == "no record of this patient has reached the node"
    assert busy.states()[0] == "running"


def test_a_queued_job_that_is_cancelled_keeps_no_worker(busy: Busy) -> None:
    job = busy.heavy.pop(2)
    busy.engine.cancel(job.id)
    assert busy.bench.state(job) == "failed"


def test_an_urgent_job_goes_before_those_that_were_claimed_already(busy: Busy) -> None:
    urgent = replace(busy.bench.job(), priority=5, created=datetime.now(UTC))
    busy.engine.submit(urgent)
    with Session(busy.bench.database) as session:
        assert queue_places(session, 1, datetime.now(UTC))[urgent.id].ahead == 1
    until(lambda: "prepare" in busy.bench.events(urgent), "it is claimed beside those that were claimed before")
    busy.let_go()
    until(lambda: busy.bench.state(urgent) == "sending")
    begun = busy.bench.said("run")
    order = [begun.index(job.series_instance_uids[0]) for job in (busy.heavy[0], urgent, *busy.heavy[1:])]
    assert order == sorted(order)


def test_nobody_is_looked_at_while_workers_go_from_job_to_job() -> None:
    looked: list[str] = []
    busy_s = [LONG_S / 2]
    checks = EarlyChecks(lambda: busy_s[0], looked.append)
    for job_id in ("first", "second"):
        checks.add(job_id)
    assert (checks._round(), looked) == (None, [])
    busy_s[0] = LONG_S
    assert (checks._round(), checks._round(), checks._round()) == (0.0, 0.0, None)
    assert looked == ["second", "first"]
    checks.add_unknown(["first", "third"])
    assert (checks._round(), looked[2:]) == (0.0, ["third"])
