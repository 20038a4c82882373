"""Destinations with a condition on the result: which get it, the trace, and the same answer whenever it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from node.database import job_states
from node.database.jobs import Job, JobState
from node.database.tables import EventRow, JobRow
from node.errors import JobFailed
from node.patient_records.store import new_key
from node.reading import HERE
from node.run.choice import choose
from node.run.flow import Flow
from node.run.hand_over import Further, queue_further
from node.run.job_folder import SUMMARY
from node.run.pool import Pool
from node.study.sealing import unseal
from tests.node.run.trial import Bench, bench, install_trial, mr_instances

LONG, SHORT = {"measurement.410668003": {"min": 20}}, {"measurement.SCT:410668003": {"max": 20}}  # it is 23.5 mm


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """A process that knows the trial pipeline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", install_trial(tmp_path_factory.mktemp("site")))
        started = Pool(1, 60.0, 2048)
        started.start()
        try:
            yield started
        finally:
            started.close()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    names = ("archive", "long", "short", "alarm")
    destinations = {
        name: {"kind": "folder", "path": tmp_path / name, "profile": {"not_run_reports": name == "alarm"}}
        for name in names
    }
    route = {
        "when": {"Modality": "MR"},
        "pipeline": "trial",
        "destinations": [
            "archive",
            {"to": "long", "when": LONG},
            {"to": "short", "when": SHORT},
            {"to": "alarm", "when": {"state": ["unsuitable", "failed"]}},
        ],
    }
    with bench(tmp_path, destinations=destinations, routes={"trial": route}) as found:
        yield found


def running(made: Bench, **settings: Any) -> Job:
    route, instances = made.configuration.routes["trial"], mr_instances(4)
    made.store(instances)
    job = replace(made.job(instances, **settings), conditions=route.conditions)
    with Session(made.database) as session, session.begin():
        job_states.record(session, job)
        job_states.move(session, job.id, JobState.RUNNING)
    return job


def went_to(made: Bench, job: Job) -> set[str]:
    return {line.destination for line in made.lines(job)}


def row(made: Bench, job: Job) -> JobRow:
    with Session(made.database) as session:
        return session.get_one(JobRow, job.id)


def test_a_destination_gets_the_result_if_it_meets_its_condition(made: Bench, pool: Pool) -> None:
    flow, job = Flow(made.configuration, made.database, pool, HERE), running(made)
    flow.prepare(job.id)
    objects = flow.encode(job.id, flow.infer(job.id)["result"], None)["objects"]
    flow.hand_over(job.id, objects, "sending")
    assert went_to(made, job) == {"archive", "long"}
    traces = row(made, job).hand_over or {}
    assert {name: trace["holds"] for name, trace in traces.items()} == {"long": True, "short": False, "alarm": False}
    assert traces["short"]["why"] == "measurement.SCT:410668003: found 23.5, expected at most 20"
    with Session(made.database) as session:
        lines = [e.detail for e in session.query(EventRow).filter_by(job_id=job.id, what="destination")]
    assert "long: gets it: measurement.410668003: found 23.5, expected at least 20" in lines
    flow.hand_over(job.id, objects, "sending")  # a step that is done twice
    assert went_to(made, job) == {"archive", "long"}


def test_a_derived_series_goes_early_only_where_the_result_is_going(made: Bench, pool: Pool) -> None:
    flow, job = Flow(made.configuration, made.database, pool, HERE), running(made, derived=True)
    flow.prepare(job.id)
    flow.encode(job.id, flow.infer(job.id)["result"], None)
    assert went_to(made, job) == {"archive", "long"}  # before the rest was handed over


def test_a_job_that_is_unsuitable_alarms_and_nothing_else(made: Bench, pool: Pool) -> None:
    flow, job = Flow(made.configuration, made.database, pool, HERE), running(made, behaviour="refuse")
    why = flow.prepare(job.id)["unsuitable"]
    assert why
    flow.hand_over(job.id, flow.encode(job.id, None, why)["objects"], "unsuitable", why)
    assert went_to(made, job) == {"alarm"}
    assert row(made, job).state == JobState.UNSUITABLE


def test_a_job_that_failed_alarms_even_if_its_condition_can_no_longer_be_read(made: Bench, pool: Pool) -> None:
    flow, job = Flow(made.configuration, made.database, pool, HERE), running(made, behaviour="raise")
    flow.prepare(job.id)
    with Session(made.database) as session, session.begin():
        changed = session.get_one(JobRow, job.id)
        changed.conditions = {**(changed.conditions or {}), "long": {"of another version": 1}}
    flow.fail(job.id, "it broke")
    assert went_to(made, job) == {"alarm"}
    assert row(made, job).state == JobState.FAILED


def test_without_its_summary_a_result_is_not_handed_over_at_random(made: Bench, pool: Pool) -> None:
    flow, job = Flow(made.configuration, made.database, pool, HERE), running(made)
    flow.prepare(job.id)
    objects = flow.encode(job.id, flow.infer(job.id)["result"], None)["objects"]
    (flow.folder(job.id).path / SUMMARY).unlink()
    with pytest.raises(JobFailed, match="whose summary cannot be read"):
        flow.hand_over(job.id, objects, "sending")
    assert went_to(made, job) == set()


def test_a_destination_that_an_operator_names_gets_it_whatever_the_result(made: Bench, pool: Pool) -> None:
    flow, job = Flow(made.configuration, made.database, pool, HERE), running(made)
    flow.prepare(job.id)
    flow.hand_over(job.id, flow.encode(job.id, flow.infer(job.id)["result"], None)["objects"], "sending")
    folder = flow.folder(job.id)
    note = folder.written_objects()
    assert note is not None
    with Session(made.database) as session, session.begin():
        locked = job_states.locked(session, job.id)
        assert queue_further(session, made.configuration, locked, Further(["short"], "by hand"), folder, note)
    assert went_to(made, job) == {"archive", "long", "short"}


def test_a_destination_that_its_route_has_since_got_is_asked_its_condition(made: Bench, pool: Pool) -> None:
    flow, job = Flow(made.configuration, made.database, pool, HERE), running(made)
    with Session(made.database) as session, session.begin():
        job_states.locked(session, job.id).destinations = ["archive"]
    flow.prepare(job.id)
    flow.hand_over(job.id, flow.encode(job.id, flow.infer(job.id)["result"], None)["objects"], "sending")
    folder = flow.folder(job.id)
    note = folder.written_objects()
    assert note is not None
    further = Further(["long", "short"], "decided anew", {"long": LONG, "short": SHORT})
    with Session(made.database) as session, session.begin():
        assert queue_further(session, made.configuration, job_states.locked(session, job.id), further, folder, note)
    assert went_to(made, job) == {"archive", "long"}


def test_a_job_without_conditions_asks_nothing(made: Bench) -> None:
    flow = Flow(made.configuration, made.database, Pool(1, 60.0, 2048), HERE)
    job = made.job()
    with Session(made.database) as session, session.begin():
        job_states.record(session, job)
        choice = choose(flow.folder(job.id), job_states.locked(session, job.id), JobState.SENDING)
    assert (choice.names, choice.traces) == (tuple(job.destinations), {})


def test_a_notification_is_one_more_object_and_names_no_patient(tmp_path: Path, pool: Pool) -> None:
    """Of the images: Muster^Erika, K4711. What the pipeline quotes of them is masked."""
    key_file = tmp_path / "key"
    key_file.write_bytes(new_key())
    hook = {"kind": "webhook", "url": "https://h.example.org/x", "page_url": "https://page.example.org"}
    route = {"when": {}, "pipeline": "trial", "destinations": [{"to": "hook", "when": {"state": "unsuitable"}}]}
    more: dict[str, Any] = {"routes": {"trial": route}, "records": {"key_file": str(key_file)}}
    with bench(tmp_path, destinations={"hook": hook}, **more) as made:
        flow, job = Flow(made.configuration, made.database, pool, HERE), running(made, behaviour="refuse")
        why = flow.prepare(job.id)["unsuitable"]
        reason = f"{why} of Erika"
        flow.hand_over(job.id, flow.encode(job.id, None, reason)["objects"], "unsuitable", reason)
        assert went_to(made, job) == {"hook"}
        note = flow.folder(job.id).written_objects()
        assert note is not None
        (item,) = note.objects
        sealed = item.path.read_bytes()
        told = json.loads(unseal(sealed, key_file))
    assert b"condyle-notification" not in sealed
    assert (item.kind, told["state"], told["job"]) == ("notification", "not run", job.id)
    assert told["sentences"] == ["needs a knee, found a phantom of ***"]
    assert told["link"] == f"https://page.example.org/jobs/{job.id}"
