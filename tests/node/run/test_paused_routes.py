"""Jobs of a route that is paused stay queued and say so; they keep nobody waiting, and go on when it is resumed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from node.database import job_states
from node.database.jobs import Job, JobState
from node.reading import HERE
from node.run.job_engine import JobEngine
from tests.node.run.trial import Bench, bench, configuration, install_trial
from tests.waiting import until

WHY = "route trial is paused by anna since 12:00"


class Pauses:
    """Which routes are paused, as if in the database."""

    def __init__(self) -> None:
        self.whys: dict[str, str] = {}

    def __call__(self, route: str) -> str | None:
        return self.whys.get(route)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([install_trial(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    )
    trial = configuration(tmp_path).routes["trial"].model_dump(mode="json", exclude_unset=True)
    with bench(tmp_path, routes={"trial": trial, "other": trial}) as ready:
        yield ready


def started(made: Bench, pauses: Pauses) -> JobEngine:
    engine = JobEngine(made.configuration, made.database, HERE, beat_s=0.5, paused=pauses)
    engine.start()
    return engine


def are_held(made: Bench, jobs: list[Job]) -> bool:
    return {(made.state(job), made.record(job).reason) for job in jobs} == {("queued", WHY)}


def test_jobs_of_a_paused_route_keep_no_other_waiting_and_go_on_at_once(made: Bench) -> None:
    pauses = Pauses()
    engine = started(made, pauses)
    hold = made.folder / "hold"
    hold.touch()
    try:
        running = made.job(run_while=str(hold))
        engine.submit(running)
        until(lambda: made.said("run"))
        before = [made.job() for _ in range(12)]  # more than are claimed
        for job in before:
            engine.submit(job)
        pauses.whys["trial"] = WHY
        until(lambda: are_held(made, before))
        after = [made.job() for _ in range(3)]
        for job in after:
            engine.submit(job)
        assert are_held(made, after), "from the first moment"
        other = made.job(route="other")
        engine.submit(other)
        assert made.state(running) == "running", "what has begun goes on"
        hold.unlink()
        until(lambda: (made.state(running), made.state(other)) == ("sending", "sending"))
        assert are_held(made, before + after)
        engine.cancel(before[0].id)
        pauses.whys.clear()
        engine.mind_pauses()
        until(lambda: {made.state(job) for job in before[1:] + after} == {"sending"})
        assert made.state(before[0]) == "failed"
        assert {made.record(job).reason for job in before[1:] + after} == {""}
        assert made.events(before[1])[-1:] == ["hand over"]
        assert {"held", "goes on"} <= set(made.events(before[1]))
    finally:
        engine.stop()


def test_a_job_that_is_restarted_waits_where_its_route_is_paused(made: Bench) -> None:
    pauses = Pauses()
    engine = started(made, pauses)
    try:
        job = made.job()
        with Session(made.database) as session, session.begin():
            job_states.record(session, job)
            job_states.move(session, job.id, JobState.RUNNING)
            job_states.count_start(session, job.id, "infer", 3)
            job_states.move(session, job.id, JobState.FAILED, reason="for a test")
        pauses.whys["trial"] = WHY
        until(lambda: engine._held is not None and engine._held.get("trial") == WHY)
        engine.restart(job.id)
        assert are_held(made, [job]), "from the first moment"
        pauses.whys.clear()
        until(lambda: made.state(job) == "sending")
    finally:
        engine.stop()


def test_a_pause_outlasts_a_restart_and_ends_while_no_node_is_there(made: Bench) -> None:
    pauses = Pauses()
    pauses.whys["trial"] = WHY
    engine = started(made, pauses)
    jobs = [made.job() for _ in range(2)]
    engine.submit(jobs[0])
    elsewhere = JobEngine(made.configuration, made.database, HERE)  # a command, which does not know of the pause
    elsewhere.submit(jobs[1])
    elsewhere.stop()
    until(lambda: are_held(made, jobs))
    engine.stop()
    again = started(made, pauses)
    try:
        other = made.job(route="other")
        again.submit(other)
        until(lambda: made.state(other) == "sending")
        assert are_held(made, jobs)
    finally:
        again.stop()
    pauses.whys.clear()
    last = started(made, pauses)
    try:
        until(lambda: {made.state(job) for job in jobs} == {"sending"})
    finally:
        last.stop()


def test_a_job_that_was_held_as_its_route_was_resumed_goes_on(made: Bench) -> None:
    asked: list[str] = []

    def paused(route: str) -> str | None:
        """Paused when a job is taken, and resumed before it is written down."""
        asked.append(route)
        return WHY if taking and route == "trial" else None

    taking = False
    engine = JobEngine(made.configuration, made.database, HERE, beat_s=0.5, paused=paused)
    engine.start()
    try:
        until(lambda: len(asked) > 4)  # the engine has seen that nothing is paused
        job, taking = made.job(), True
        engine._pauses.stop()  # which would notice it, were it slower
        engine.submit(job)
        taking = False
        engine._pauses.start()
        until(lambda: made.state(job) == "sending")
    finally:
        engine.stop()
