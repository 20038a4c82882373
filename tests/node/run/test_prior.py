"""The patient's earlier report on its way through a job: given to the pipeline, noted, given again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.database.jobs import Job
from node.database.tables import EventRow, ObjectRow
from node.patient_records.store import PatientRecords
from node.prior.search import PriorReports
from node.reading import HERE
from node.run.job_engine import JobEngine
from pipelines import registry
from tests.node.run.trial import Bench, bench, install_trial, mr_instances
from tests.orthanc import free_port
from tests.waiting import until

ENDED = ("sending", "done", "failed", "unsuitable")


@dataclass
class Visits:
    """A node whose pipeline compares, and a patient who comes back."""

    bench: Bench
    engine: JobEngine

    def visit(self, day: str, **elements: str) -> Job:
        """A job on a new series of that day, through all of its steps."""
        instances = mr_instances()
        for ds in instances:
            ds.StudyDate = day
            for keyword, value in elements.items():
                setattr(ds, keyword, value)
        self.bench.store(instances)
        job = self.bench.job(instances)
        assert self.engine.submit(job)
        self.wait(job)
        return job

    def wait(self, job: Job) -> None:
        until(lambda: self.bench.state(job) in ENDED)

    def report(self, job: Job) -> Dataset:
        with Session(self.bench.database) as session:
            query = select(ObjectRow.path).where(ObjectRow.job_id == job.id, ObjectRow.kind == "report")
            query = query.where(ObjectRow.twin_of.is_(None))
            return pydicom.dcmread(self.bench.data / session.scalars(query).one())

    def given(self, job: Job) -> list[str]:
        """SOP Instance UIDs of the earlier reports that the pipeline saw, run by run."""
        lines = (line.split() for line in self.bench.journal.read_text().splitlines())
        return [what[6:] for what, series, _ in lines if what[:6] == "given-" and series == job.series_instance_uids[0]]

    def told(self, job: Job) -> str:
        """The line of the timeline about the search."""
        with Session(self.bench.database) as session:
            query = select(EventRow.detail).where(EventRow.job_id == job.id, EventRow.what == "earlier report")
            return session.scalars(query.order_by(EventRow.id)).all()[-1]


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visits]:
    folder = tmp_path_factory.mktemp("visits")
    paths = os.pathsep.join([install_trial(folder / "site"), os.environ.get("PYTHONPATH", "")])
    dead = {"kind": "dicomweb", "url": f"http://127.0.0.1:{free_port()}"}
    more: dict[str, Any] = {
        "destinations": {"archive": {"kind": "folder", "path": folder / "archive"}, "pacs": dead},
        "priors": {"ask": ["pacs"]},
    }
    with pytest.MonkeyPatch.context() as patch, bench(folder, **more) as made:
        patch.setenv("PYTHONPATH", paths)
        patch.syspath_prepend(str(folder / "site"))
        registry._entry_points.cache_clear()
        priors = PriorReports(made.configuration, made.database, PatientRecords(made.data / "records"), HERE)
        engine = JobEngine(made.configuration, made.database, HERE, beat_s=0.5, priors=priors)
        engine.start()
        try:
            yield Visits(made, engine)
        finally:
            engine.stop()
    registry._entry_points.cache_clear()


def texts(ds: Dataset) -> str:
    return "\n".join(str(element.value) for element in ds.iterall() if element.keyword == "TextValue")


def test_a_pipeline_that_compares_is_given_the_report_of_the_last_visit(visits: Visits) -> None:
    first = visits.visit("20240101")
    assert visits.given(first) == []
    assert visits.told(first) == "none found: pacs: ConnectError"
    assert "No earlier report could be searched in: pacs: ConnectError." in texts(visits.report(first))
    second = visits.visit("20250101")
    assert visits.given(second) == [visits.report(first).SOPInstanceUID]
    assert visits.told(second) == f"{visits.report(first).SOPInstanceUID} from own results"
    assert "No earlier report" not in texts(visits.report(second))
    third = visits.visit("20260101")
    assert visits.given(third) == [visits.report(second).SOPInstanceUID]
    record = visits.bench.record(third)
    assert record.prior is not None
    assert record.prior["sop_instance_uid"] == visits.report(second).SOPInstanceUID


def test_a_job_that_is_run_again_without_its_files_is_given_the_same_report(visits: Visits, tmp_path: Path) -> None:
    first = visits.visit("20230101", PatientID="K4712")
    flag = tmp_path / "flag"
    instances = mr_instances()
    for ds in instances:
        ds.StudyDate, ds.PatientID = "20240101", "K4712"
    visits.bench.store(instances)
    job = visits.bench.job(instances, wanted=str(flag))
    visits.engine.submit(job)
    visits.wait(job)
    assert visits.bench.state(job) == "failed"
    visits.visit("20230601", PatientID="K4712")
    assert visits.engine.clean(datetime.now(UTC) + timedelta(days=31)) == 1
    assert not (visits.bench.data / "jobs" / job.id).exists()
    flag.touch()
    visits.engine.restart(job.id)
    until(lambda: visits.bench.state(job) == "sending", seconds=30)
    assert visits.given(job) == [visits.report(first).SOPInstanceUID]
    assert visits.told(job).endswith("from own results, as before")
