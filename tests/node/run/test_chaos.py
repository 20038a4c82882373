"""Many jobs, and a node that is killed again and again at moments nobody chose."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.database.jobs import Job, JobState
from node.database.tables import JobRow, ObjectRow, OutboxRow
from node.reading import HERE
from node.run.job_engine import JobEngine
from tests.node.run.node_process import NodeProcess
from tests.node.run.trial import Bench, bench, install_trial, mr_instances
from tests.node.send.outgoing import Peer
from tests.postgres import Postgres
from tests.test_kill import ALL_CLASSES
from tests.waiting import until

KILLS = {"sqlite": 6, "postgresql": 3}
JOBS_A_KILL = 3  # at most that many end before it, where it comes in time
SPARE = 6  # jobs beyond those, so that a kill that comes late on a busy machine finds work, too
TO_BE_RUN = [JobState.QUEUED, JobState.RUNNING]
UNFINISHED = [*TO_BE_RUN, JobState.SENDING]
SEED = 20260102


def _is_past(made: Bench, progress: int) -> bool:
    return len(made.said("ran")) >= progress or not count(made, UNFINISHED)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_many_jobs_survive_random_kills(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    database = None
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.database()
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    chance = random.Random(SEED)
    peer = Peer(classes=ALL_CLASSES)
    journal = {"settings": {"journal": str(tmp_path / "journal.txt")}}
    routes = {"trial": {"when": {}, "pipeline": "trial", "destinations": ["pacs"], **journal}}
    with (
        peer.listen() as port,
        bench(tmp_path, database, destinations={"pacs": peer.destination(port)}, routes=routes) as made,
    ):
        submitter = JobEngine(made.configuration, made.database, HERE)
        jobs: list[Job] = []
        ran = 0
        with NodeProcess(made) as node:
            for _ in range(KILLS[kind]):
                for _ in range(JOBS_A_KILL + SPARE - count(made, TO_BE_RUN)):
                    images = mr_instances(4)
                    made.store(images)
                    job = made.job(images, run_s=chance.uniform(0, 0.2), derived=chance.random() < 0.5)
                    job = replace(job, priority=chance.randint(50, 150))
                    submitter.submit(job)
                    jobs.append(job)
                # counted in inferences that ended: a job that is hit three times in one step is parked as it should be
                progress = ran + chance.randint(1, JOBS_A_KILL)
                until(partial(_is_past, made, progress), seconds=120)
                time.sleep(chance.uniform(0, 0.1))  # where in the work the kill falls is left to chance
                node.kill()
                assert count(made, UNFINISHED)
                ran = len(made.said("ran"))  # while nothing runs: the start takes a while
                node.start()
            until(lambda: not count(made, UNFINISHED), seconds=240)
        submitter.stop()
        states = Counter(made.state(job) for job in jobs)
        assert states == {JobState.DONE: len(jobs)}, {made.record(job).reason for job in jobs}
        repeated = [job.id for job in jobs for step in ("prepare", "infer", "encode") if redone(made, step, job.id)]
        assert repeated == []
        sent = defaultdict(set)
        for uid, content, _ in peer.received:
            sent[uid].add(content)
        with Session(made.database) as session:
            lines = session.scalars(select(OutboxRow)).all()
            objects = session.scalars(select(ObjectRow).where(ObjectRow.twin_of.is_(None))).all()
        assert {line.sop_instance_uid for line in lines} == set(sent) == {item.sop_instance_uid for item in objects}
        assert {line.state for line in lines} == {"delivered"}
        assert {len(contents) for contents in sent.values()} == {1}, "an object went out with other bytes"
        assert {line.job_id for line in lines} == {job.id for job in jobs}
        begun, ended = len(made.said("run")), len(made.said("ran"))
        sys.stdout.write(
            f"\n{kind}: {len(jobs)} jobs, {KILLS[kind]} kills: {states[JobState.DONE]} done, 0 lost; "
            f"{begun} inferences begun, {ended} ended, 0 repeated after they were kept; {len(sent)} objects, "
            f"{len(peer.received) - len(sent)} delivered twice, 0 with other bytes\n"
        )


def count(made: Bench, states: Collection[JobState]) -> int:
    with Session(made.database) as session:
        return session.scalars(select(func.count()).where(JobRow.state.in_(states))).one()


def redone(made: Bench, step: str, job_id: str) -> bool:
    """Whether the step was begun again after it was noted as finished."""
    with Session(made.database) as session:
        job = session.get_one(JobRow, job_id)
    events = made.events_of(job.id)
    return step in events and f"begun {step}" in events[events.index(step) :]
