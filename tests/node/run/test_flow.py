from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from node.database import job_states, outbox
from node.database.installation import require_one_installation
from node.database.jobs import Job, JobState
from node.database.tables import EventRow, ObjectRow, OutboxRow
from node.errors import ReaderDied
from node.reading import HERE
from node.run.flow import MAX_STARTS, Flow
from node.run.job_folder import KEY_FILE
from node.run.pool import Pool
from tests.node.run.test_plain_form import CONTEXT
from tests.node.run.trial import Bench, bench, configuration, install_trial

OLDER_KEY = "0f" * 32


def flow_of(made: Bench) -> Flow:
    """The steps, with a pool whose processes are not started: the step in question needs none."""
    return Flow(made.configuration, made.database, Pool(1, 60.0, 2048), HERE)


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A process that knows the trial pipeline."""
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    started = Pool(1, 60.0, 2048)
    started.start()
    try:
        yield started
    finally:
        started.close()


def after_an_edit(made: Bench, pool: Pool, **profile: Any) -> Flow:
    """The steps in a node that was started again with another profile of its only destination."""
    archive = {"kind": "folder", "path": made.folder / "archive", "profile": profile}
    return Flow(configuration(made.folder, destinations={"archive": archive}), made.database, pool, HERE)


def queued(made: Bench, job: Job) -> set[tuple[str, str]]:
    """Kind and SOP class of what waits for a destination."""
    with Session(made.database) as session:
        rows = session.execute(
            select(ObjectRow.kind, ObjectRow.sop_class_uid)
            .join(OutboxRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
            .where(OutboxRow.job_id == job.id)
        )
        return {(kind, sop_class) for kind, sop_class in rows}


def fail_with(error: Exception, *_: object) -> None:
    raise error


def running_job(made: Bench, **settings: Any) -> Job:
    job = made.job(**settings)
    with Session(made.database) as session, session.begin():
        job_states.record(session, job)
        job_states.move(session, job.id, JobState.RUNNING)
    return job


def older_profile(made: Bench) -> str:
    """The digest under which version 0.1 had its objects encoded for the bench's folder."""
    profile = made.configuration.destinations["archive"].profile
    fields = {
        **profile.model_dump(mode="json", exclude={"not_run_reports", "segmented_regions", "viewer"}),
        "not_run_reports": True,
        "uid_root": made.configuration.node.uid_root,
        "institution": made.configuration.node.institution,
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def older_objects(folder: Path, profile: str) -> None:
    """A report and its twin, listed as version 0.1 listed them: with `twin_of` by profile at each object."""
    objects = []
    for number, stands_for in ((1, None), (2, "1.2.1")):
        path = folder / "objects" / profile / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"object %d" % number)
        objects.append(
            {
                "kind": "report",
                "sop_class_uid": f"1.2.840.10008.5.1.4.1.1.88.{30 + number}",
                "sop_instance_uid": f"1.2.{number}",
                "series_instance_uid": "1.2.3",
                "study_instance_uid": "1.2.4",
                "path": str(path),
                "order": 4,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size": path.stat().st_size,
                "twin_of": {profile: stands_for},
            }
        )
    (folder / "objects.json").write_text(json.dumps({"of": OLDER_KEY, "objects": objects}))


def test_what_an_older_node_encoded_is_handed_over_after_the_upgrade(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        job, flow = running_job(made), flow_of(made)
        older_objects(flow.folder(job.id).path, older_profile(made))
        flow.hand_over(job.id, OLDER_KEY, "sending")
        (line,) = made.lines(job)
        assert (line.sop_instance_uid, line.state) == ("1.2.1", "waiting")
        with Session(made.database) as session:
            assert job_states.locked(session, job.id).state == "sending"


def test_a_destination_whose_profile_was_edited_after_encoding_gets_what_it_asks_for_now(
    tmp_path: Path, pool: Pool
) -> None:
    with bench(tmp_path) as made:
        flow, job = Flow(made.configuration, made.database, pool, HERE), running_job(made)
        flow.prepare(job.id)
        encoded = flow.encode(job.id, flow.infer(job.id)["result"], None)["objects"]
        after_an_edit(made, pool, measurement_report="comprehensive").hand_over(job.id, encoded, "sending")
        assert ("report", ComprehensiveSRStorage) in queued(made, job)
        assert ("report", Comprehensive3DSRStorage) not in queued(made, job)


@pytest.mark.parametrize("key", [None, bytes(32)], ids=["missing", "another"])
def test_a_record_whose_key_was_not_restored_is_looked_up_again(tmp_path: Path, pool: Pool, key: bytes | None) -> None:
    with bench(tmp_path) as made:
        job = replace(made.job(), pipeline="trial_risk")
        with Session(made.database) as session, session.begin():
            job_states.record(session, job)
            job_states.move(session, job.id, JobState.RUNNING)
        flow = Flow(made.configuration, made.database, pool, HERE, contexts=lambda *_: CONTEXT)
        flow.prepare(job.id)
        key_file = made.configuration.node.data / KEY_FILE
        if key is None:
            key_file.unlink()
        else:
            key_file.write_bytes(key)
        assert flow.infer(job.id)["unsuitable"] is None
        assert flow.folder(job.id).read_context() == CONTEXT


def test_what_could_not_be_made_stands_in_the_timeline_and_the_job_goes_on(tmp_path: Path, pool: Pool) -> None:
    with bench(tmp_path) as made:
        flow, job = Flow(made.configuration, made.database, pool, HERE), running_job(made, behaviour="map_beside")
        flow.prepare(job.id)
        encoded = flow.encode(job.id, flow.infer(job.id)["result"], None)["objects"]
        flow.hand_over(job.id, encoded, "sending")
        assert made.state(job) == "sending"
        assert made.events(job).count("left out") == 2
        assert "report" in {kind for kind, _ in queued(made, job)}


def test_what_a_node_makes_names_its_installation_or_what_the_configuration_says(tmp_path: Path, pool: Pool) -> None:
    def named(node: dict[str, Any], folder: Path) -> set[tuple[str, str]]:
        with bench(folder) as made:
            require_one_installation(made.database, made.configuration.node.data)
            settings = configuration(made.folder)
            settings = settings.model_copy(update={"node": settings.node.model_copy(update=node)})
            flow, job = Flow(settings, made.database, pool, HERE), running_job(made)
            flow.prepare(job.id)
            assert flow.encode(job.id, flow.infer(job.id)["result"], None)["objects"]
            found = [pydicom.dcmread(path) for path in (flow.folder(job.id).path / "objects").rglob("*.dcm")]
            return {(ds.DeviceSerialNumber, ds.DeviceUID) for ds in found}

    ((first, first_uid),) = named({}, tmp_path / "first")
    ((second, second_uid),) = named({}, tmp_path / "second")
    assert len(first) == len(second) == 16
    assert first != second
    assert first_uid != second_uid
    assert named({"device_serial_number": "A7", "device_uid": "2.25.7"}, tmp_path / "third") == {("A7", "2.25.7")}


def test_images_that_a_pipeline_left_aside_stand_in_timeline_and_summary(tmp_path: Path, pool: Pool) -> None:
    with bench(tmp_path) as made:
        flow, job = Flow(made.configuration, made.database, pool, HERE), running_job(made, behaviour="leave")
        flow.prepare(job.id)
        flow.infer(job.id)
        sentence = "Left aside: 1 image (9), a capture."
        with Session(made.database) as session:
            events = session.execute(select(EventRow.what, EventRow.detail).where(EventRow.job_id == job.id)).all()
        assert ("left aside", sentence) in [tuple(event) for event in events]
        assert json.loads((flow.folder(job.id).path / "summary.json").read_text())["limits"] == [sentence]


def test_a_hand_over_that_encoded_again_and_was_cut_off_is_done_when_it_is_repeated(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench(tmp_path) as made:
        flow, job = Flow(made.configuration, made.database, pool, HERE), running_job(made)
        flow.prepare(job.id)
        encoded = flow.encode(job.id, flow.infer(job.id)["result"], None)["objects"]
        edited = after_an_edit(made, pool, measurement_report="comprehensive")
        with monkeypatch.context() as away:
            away.setattr(outbox, "keep_objects", partial(fail_with, OperationalError("", {}, Exception("away"))))
            with pytest.raises(OperationalError):
                edited.hand_over(job.id, encoded, "sending")
        assert not queued(made, job)
        edited.hand_over(job.id, encoded, "sending")
        assert ("report", ComprehensiveSRStorage) in queued(made, job)


def test_a_destination_that_was_edited_to_want_missing_results_is_told_of_one(tmp_path: Path, pool: Pool) -> None:
    with bench(tmp_path) as made:
        flow, job = Flow(made.configuration, made.database, pool, HERE), running_job(made)
        flow.prepare(job.id)
        assert flow.encode(job.id, None, "too few slices")["objects"] is None
        after_an_edit(made, pool, not_run_reports=True).hand_over(job.id, None, "unsuitable", "too few slices")
        assert "report" in {kind for kind, _ in queued(made, job)}


def test_a_result_that_an_earlier_version_kept_in_its_own_form_is_made_again(tmp_path: Path, pool: Pool) -> None:
    with bench(tmp_path) as made:
        flow, job = Flow(made.configuration, made.database, pool, HERE), running_job(made)
        flow.prepare(job.id)
        flow.infer(job.id)
        folder = flow.folder(job.id).path
        (folder / "result.plain").rename(folder / "result.pickle")
        objects = flow.encode(job.id, "ab" * 32, None)["objects"]
        assert len(made.said("ran")) == 2
        flow.hand_over(job.id, objects, "sending")
        assert "report" in {kind for kind, _ in queued(made, job)}
        assert flow.encode(job.id, "ab" * 32, None)["objects"] == objects
        assert len(made.said("ran")) == 2


def test_a_step_whose_reader_died_is_done_again_a_few_times(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        job, flow = running_job(made), flow_of(made)
        begun: list[int] = []

        def dies(times: int) -> str:
            begun.append(times)
            if len(begun) <= times:
                raise ReaderDied("what was received ended what reads it (SIGSEGV)")
            return "done"

        assert flow.patiently(job.id, "prepare", partial(dies, MAX_STARTS - 1)) == "done"
        assert made.events(job).count("reader died") == MAX_STARTS - 1
        begun.clear()
        with pytest.raises(ReaderDied, match="SIGSEGV"):
            flow.patiently(job.id, "prepare", partial(dies, MAX_STARTS))
        assert len(begun) == MAX_STARTS
