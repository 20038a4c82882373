"""`condyle compare`: two routes on the same images, on the terminal, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy.orm import Session

from dicom_sr.series import read_studies
from node.commands.compare import compare
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.database.job_states import record
from node.database.jobs import Job
from node.database.tables import JobRow
from node.models.agreement import FEWEST
from node.run.job_folder import SUMMARY, JobFolder
from node.run.result_summary import summary
from pipelines import registry
from pipelines.loading import LoadedPipeline
from tests.node.run.trial import CREATED, Bench, bench, mr_instances
from tests.node.run.trial_pipelines import NOWHERE, trial_bundle

SINCE = CREATED - timedelta(days=1)
Say = Callable[[], str]


@pytest.fixture
def made(tmp_path: Path, trial_installed: None) -> Iterator[Bench]:
    route = {"when": {}, "pipeline": "trial_bundle", "settings": {"journal": str(NOWHERE)}, "destinations": []}
    routes = {"knee": route, "candidate": {"shadow_of": "knee", "settings": {"bundle": "/srv/candidate"}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"node": {"data": "data"}, "routes": routes}, sort_keys=False))
    with bench(tmp_path, routes=routes, destinations={}) as found:
        yield found


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def read() -> str:
        out, complaints = capsys.readouterr()
        return " ".join((out + complaints).split())

    return read


def study(made: Bench, first: float, second: float | None) -> tuple[Job, Job]:
    """A job of each route on a new study, done by the trial pipeline with these numbers; None: it was unsuitable."""
    instances = mr_instances(1)
    made.store(instances)
    (read,) = read_studies([made.data / "instances" / f"{ds.SOPInstanceUID}.dcm" for ds in instances])
    jobs = []
    for route, number in (("knee", first), ("candidate", second)):
        job = made.job(instances, route=route, number=number)
        with Session(made.database) as session, session.begin():
            record(session, job)
            row = session.get_one(JobRow, job.id)
            row.state, row.reason = ("unsuitable", "too dark") if number is None else ("done", "")
            row.weights = f"{'ab' if route == 'knee' else 'cd'}{number or 0:.0f}".ljust(64, "0")
        if number is not None:
            bundle = trial_bundle(made.folder / "bundles" / job.id, number)
            kind = registry.pipeline_type("trial_bundle")
            result = LoadedPipeline(kind, {"journal": NOWHERE, "bundle": bundle}).run(read)
            folder = JobFolder(made.data / "jobs" / job.id)
            folder.write_json(SUMMARY, summary(result))
            folder.write_result(result, "1.0", 0.1)
        jobs.append(job)
    return jobs[0], jobs[1]


def test_bias_limits_and_disagreements_are_told_on_the_terminal(made: Bench, say: Say) -> None:
    for number in range(FEWEST + 1):
        study(made, number, number + 0.5)
    unsuitable, _ = study(made, 3.0, None)
    assert compare("knee", "candidate", SINCE, made.folder / "config.yaml") == OK
    told = say()
    assert told.startswith(f"knee and candidate, jobs since {SINCE.astimezone():%d %b %Y %H:%M}: ")
    assert f"{FEWEST + 2} pairs of jobs on the same images, of {FEWEST + 2} studies" in told
    assert f"Both have a result in {FEWEST + 1} of {FEWEST + 2} pairs" in told
    assert "states that differ: done / unsuitable: 1" in told
    assert "knee ran ab0000000000, ab1000000000, " in told
    assert "they are mixed below" in told
    assert f"state done unsuitable: too dark {unsuitable.id[:12]}" in told
    assert told.index("disagreements") < told.index("measurements")
    assert f"Length {FEWEST + 1} {FEWEST + 1} +0.5 mm (0.5 to 0.5) +0.5 (0.5 to 0.5) +0.5 (0.5 to 0.5) 0.5" in told
    assert "100.0% one grade only" in told
    assert told.endswith("condyle model use knee /srv/candidate puts the model of candidate in force")


def test_few_pairs_get_no_limits_and_the_sentence_says_how_many_are_needed(made: Bench, say: Say) -> None:
    study(made, 1.0, 2.0)
    assert compare("knee", "candidate", SINCE, made.folder / "config.yaml") == OK
    told = say()
    assert "candidate ran cd2000000000" in told
    assert "mixed" not in told
    assert f"Both have a result in 1 of 1 pair; limits of agreement and kappa need at least {FEWEST}" in told
    assert "Length 1 1 +1 mm too few too few 1" in told


def test_everything_is_there_as_json(made: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [study(made, number + 1.0, number) for number in range(FEWEST)]
    assert compare("knee", "candidate", SINCE, made.folder / "config.yaml", as_json=True) == OK
    told = json.loads(capsys.readouterr().out)
    assert (told["first"], told["second"], told["pairs"]) == ("knee", "candidate", FEWEST)
    assert told["states"] == [{"first": "done", "second": "done", "pairs": FEWEST}]
    (length,) = told["measurements"].values()
    assert (length["name"], length["bias"], length["jobs"]) == ("Length", -1.0, FEWEST)
    assert {one["first_job"] for one in told["disagreements"]} == {first.id for first, _ in jobs}


def test_a_page_with_pictures_is_written(made: Bench, say: Say) -> None:
    for number in range(FEWEST):
        study(made, number, number * 1.1)
    out = made.folder / "report"
    assert compare("knee", "candidate", SINCE, made.folder / "config.yaml", out=out) == OK
    page = (out / "report.html").read_text()
    assert f"report: {out}/report.html" in say()
    assert "candidate compared with knee" in page
    assert "Neither route is the truth" in page
    assert (out / "measurement-0.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "measurements.csv").read_text().startswith("Measurement,Values,Pairs,Bias")
    assert (out / "disagreements.csv").read_text().startswith("What,knee,candidate,Jobs")


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_compared(made: Bench, say: Say) -> None:
    (made.folder / "file").write_text("")
    out = made.folder / "file" / "report"
    assert compare("knee", "candidate", SINCE, made.folder / "config.yaml", out=out) == USAGE
    assert say() == f"--out: {out}: cannot be written: Not a directory"


def test_a_result_that_is_no_longer_kept_is_said_to_be(made: Bench, say: Say) -> None:
    _, second = study(made, 1.0, 2.0)
    (made.data / "jobs" / second.id / "result.plain").write_bytes(b"another")
    assert compare("knee", "candidate", SINCE, made.folder / "config.yaml") == OK
    assert "of 1 pair a result is no longer kept (run.keep_jobs_days)" in say()


def test_routes_without_common_images_or_that_are_not_there_are_named(made: Bench, say: Say) -> None:
    assert compare("knee", "candidate", SINCE, made.folder / "config.yaml") == NOT_RIGHT
    assert ": 0 pairs of jobs on the same images, of 0 studies" in say()
    assert compare("knee", "candidat", SINCE, made.folder / "config.yaml") == USAGE
    assert "'candidat': no such route; there are: knee, candidate; did you mean 'candidate'?" in say()
