"""Several executors on one database: who is gone is replaced, who is only slow is left alone.

The taking over needs a call of DBOS that is not public; these tests are the contract with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from node.database.jobs import Job
from node.database.tables import ExecutorRow
from node.run.job_engine import JobEngine
from tests.node.run.node_process import NodeProcess
from tests.node.run.trial import Bench, bench, install_trial
from tests.postgres import Postgres
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> Iterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    with bench(tmp_path, postgres.database()) as ready:
        yield ready


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """A file that keeps a job with it as `run_while` in its inference while it is there."""
    path = tmp_path / "hold"
    path.touch()
    return path


def submit(made: Bench, **settings: Any) -> Job:
    """A job that whoever is there takes."""
    job = made.job(**settings)
    engine = JobEngine(made.configuration, made.database)
    engine.submit(job)
    engine.stop()
    return job


def test_a_single_command_runs_no_job_where_a_node_of_another_machine_lives(made: Bench) -> None:
    engine = JobEngine(made.configuration, made.database)
    with Session(made.database) as session, session.begin():
        session.add(ExecutorRow(id="elsewhere:1", seen=func.current_timestamp()))
    with engine.alone() as alone:
        assert not alone
    with Session(made.database) as session, session.begin():
        session.execute(update(ExecutorRow).values(seen=datetime.now(UTC) - timedelta(hours=1)))
    with engine.alone() as alone:
        assert alone
    engine.stop()


def running(made: Bench, **settings: object) -> Job:
    """A job that somebody has begun to infer."""
    job = submit(made, **settings)
    until(lambda: job.series_instance_uids[0] in made.said("run"))
    return job


def test_the_jobs_of_an_executor_that_is_gone_are_taken_over_and_a_slow_one_is_left_alone(
    made: Bench, hold: Path
) -> None:
    with NodeProcess(made, "one", dead_after_s=3) as one:
        slow = running(made, run_s=5.0)
        with NodeProcess(made, "two", dead_after_s=3):
            until(lambda: made.state(slow) == "done", seconds=120)
            assert made.said("run").count(slow.series_instance_uids[0]) == 1
            with Session(made.database) as session:
                assert set(session.scalars(select(ExecutorRow.id))) == {"one", "two"}
        # only now the jobs to be taken over: while "two" was there, it could have taken all of them
        before = len(made.said("run"))
        jobs = [submit(made, run_while=str(hold)) for _ in range(3)]
        until(lambda: len(made.said("run")) > before, seconds=120)
        one.kill()
        with NodeProcess(made, "two", dead_after_s=3):
            hold.unlink()
            until(lambda: all(made.state(job) == "done" for job in jobs), seconds=120)
    for job in jobs:
        assert made.said("ran").count(job.series_instance_uids[0]) == 1
        assert made.said("check").count(job.series_instance_uids[0]) == 1
    assert len(made.said("run")) > len(made.said("ran")), "the killed executor had begun one"


def test_an_executor_that_wakes_up_after_its_job_was_taken_over_changes_nothing(made: Bench, hold: Path) -> None:
    with NodeProcess(made, "one", dead_after_s=3) as one:
        job = running(made, run_while=str(hold))
        one.freeze(True)
        with NodeProcess(made, "two", dead_after_s=3):
            until(lambda: made.said("run").count(job.series_instance_uids[0]) == 2)
            hold.unlink()
            until(lambda: made.state(job) == "done", seconds=120)
            one.freeze(False)
            after = submit(made)
            until(lambda: made.state(after) == "done", seconds=120)
    assert made.state(job) == "done"
    assert made.events(job).count("done") == 1
    assert len(made.lines(job)) == len({line.sop_instance_uid for line in made.lines(job)})
    assert made.events(job).count("sent") == 1


def test_jobs_go_on_when_the_database_is_back(made: Bench, hold: Path, postgres: Postgres) -> None:
    with NodeProcess(made) as node:
        job = running(made, run_while=str(hold))
        postgres.stop()
        hold.unlink()
        try:
            # the worker ends meanwhile, and the node notices that it cannot write that down
            until(lambda: job.series_instance_uids[0] in made.said("ran"))
            until(lambda: "OperationalError" in node.log.read_text())
        finally:
            postgres.start()
        until(lambda: answers(made) and made.state(job) == "done")
    assert made.said("run").count(job.series_instance_uids[0]) == 1


def answers(made: Bench) -> bool:
    """Whether the database is there; connections of before the crash are thrown away."""
    try:
        with made.database.connect():
            return True
    except OperationalError:
        return False
