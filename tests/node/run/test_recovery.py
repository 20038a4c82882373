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
from node.reading import HERE
from node.run.job_engine import JobEngine
from tests.node.run.node_process import NodeProcess
from tests.node.run.trial import Bench, bench, install_trial
from tests.postgres import Postgres
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]


DEAD_AFTER_S = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("recovery")
    with pytest.MonkeyPatch.context() as patch, bench(folder, postgres.database()) as ready:
        patch.setenv("PYTHONPATH", install_trial(folder / "site"))
        yield ready


@pytest.fixture(scope="module")
def _one_of_the_module(made: Bench) -> Iterator[NodeProcess]:
    with NodeProcess(made, "one", DEAD_AFTER_S) as process:
        yield process


@pytest.fixture(scope="module")
def _two_of_the_module(made: Bench) -> Iterator[NodeProcess]:
    with NodeProcess(made, "two", DEAD_AFTER_S) as process:
        yield process


@pytest.fixture
def one(_one_of_the_module: NodeProcess) -> NodeProcess:
    """An executor that runs; the next test finds it running, whatever a test does to it."""
    _one_of_the_module.start()
    _one_of_the_module.freeze(False)
    return _one_of_the_module


@pytest.fixture
def two(_two_of_the_module: NodeProcess) -> NodeProcess:
    """Another."""
    _two_of_the_module.start()
    _two_of_the_module.freeze(False)
    return _two_of_the_module


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """A file that keeps a job with it as `run_while` in its inference while it is there."""
    path = tmp_path / "hold"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def submit(made: Bench, **settings: Any) -> Job:
    """A job that whoever is there takes."""
    job = made.job(**settings)
    engine = JobEngine(made.configuration, made.database, HERE)
    engine.submit(job)
    engine.stop()
    return job


def test_a_single_command_runs_no_job_where_a_node_of_another_machine_lives(tmp_path: Path, postgres: Postgres) -> None:
    with bench(tmp_path, postgres.database()) as made:
        engine = JobEngine(made.configuration, made.database, HERE)
        with Session(made.database) as session, session.begin():
            session.add(ExecutorRow(id="elsewhere:1", seen=func.current_timestamp()))
        with engine.alone() as alone:
            assert not alone
        with Session(made.database) as session, session.begin():
            session.execute(update(ExecutorRow).values(seen=datetime.now(UTC) - timedelta(hours=1)))
        with engine.alone() as alone:
            assert alone
        engine.stop()


def begun_by_one(made: Bench, two: NodeProcess, hold: Path, number: int = 1) -> list[Job]:
    """Jobs of which "one" has begun to infer the first, and is kept at it while `hold` is there; "two" is frozen."""
    two.freeze(True)
    jobs = [submit(made, run_while=str(hold)) for _ in range(number)]
    until(lambda: noted(made, "run", jobs))
    return jobs


def noted(made: Bench, what: str, jobs: list[Job]) -> int:
    """How often the pipeline noted that of the jobs."""
    return sum(made.said(what).count(job.series_instance_uids[0]) for job in jobs)


def seen(made: Bench, name: str) -> datetime:
    """When the executor was last there."""
    with Session(made.database) as session:
        return session.get_one(ExecutorRow, name, populate_existing=True).seen


def is_done(made: Bench, jobs: list[Job]) -> bool:
    return all(made.state(job) == "done" for job in jobs)


def test_a_slow_executor_is_left_alone(made: Bench, one: NodeProcess, two: NodeProcess, hold: Path) -> None:
    slow = begun_by_one(made, two, hold)
    before = seen(made, "two")
    two.freeze(False)
    until(lambda: seen(made, "two") > before)
    woken = seen(made, "two")
    until(lambda: seen(made, "two") > woken + timedelta(seconds=DEAD_AFTER_S + 0.5))
    hold.unlink()
    until(lambda: is_done(made, slow))
    assert noted(made, "run", slow) == 1
    with Session(made.database) as session:
        assert set(session.scalars(select(ExecutorRow.id))) == {"one", "two"}


def test_the_jobs_of_an_executor_that_is_gone_are_taken_over(
    made: Bench, one: NodeProcess, two: NodeProcess, hold: Path
) -> None:
    jobs = begun_by_one(made, two, hold, 3)
    one.kill()
    two.freeze(False)
    until(lambda: noted(made, "run", jobs) == 2, "the other executor has begun one, too")
    hold.unlink()
    until(lambda: is_done(made, jobs))
    for job in jobs:
        assert noted(made, "ran", [job]) == 1
        assert noted(made, "check", [job]) == 1
    assert noted(made, "run", jobs) == 4, "the one that was begun is begun again, and no other"


def test_an_executor_that_wakes_up_after_its_job_was_taken_over_changes_nothing(
    made: Bench, one: NodeProcess, two: NodeProcess, hold: Path
) -> None:
    (job,) = begun_by_one(made, two, hold)
    one.freeze(True)
    two.freeze(False)
    until(lambda: noted(made, "run", [job]) == 2)
    hold.unlink()
    until(lambda: made.state(job) == "done")
    one.freeze(False)
    after = submit(made)
    until(lambda: made.state(after) == "done")
    assert made.state(job) == "done"
    assert made.events(job).count("done") == 1
    assert len(made.lines(job)) == len({line.sop_instance_uid for line in made.lines(job)})
    assert made.events(job).count("sent") == 1


def test_jobs_go_on_when_the_database_is_back(
    made: Bench, one: NodeProcess, two: NodeProcess, postgres: Postgres, hold: Path
) -> None:
    two.kill()
    job = submit(made, run_while=str(hold))
    until(lambda: noted(made, "run", [job]))
    logged = len(one.log.read_text())
    postgres.stop()
    try:
        # the worker ends meanwhile, and the node notices that it cannot write that down
        hold.unlink()
        until(lambda: noted(made, "ran", [job]))
        until(lambda: "OperationalError" in one.log.read_text()[logged:])
    finally:
        postgres.start()
    until(lambda: answers(made) and made.state(job) == "done")
    assert noted(made, "run", [job]) == 1


def answers(made: Bench) -> bool:
    """Whether the database is there; connections of before the crash are thrown away."""
    try:
        with made.database.connect():
            return True
    except OperationalError:
        return False
