from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dbos._dbos import _get_dbos_instance
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from node import metrics
from node.database import job_states, outbox
from node.database.job_states import PAGE
from node.database.jobs import Job, JobState, revision_of
from node.database.states import ForbiddenTransition, OutboxState
from node.database.tables import InstanceRow, JobRow, ObjectRow, OutboxRow, SeriesRow
from node.errors import ConfigurationError, JobFailed, JobNotFound
from node.reading import HERE
from node.run.job_engine import JobEngine
from pipelines.records.record import Identity
from tests.counting import counting, counts
from tests.node.backlog import add, fill, job_row, whole_tables_read
from tests.node.run.trial import Bench, bench, install_trial, mr_instances
from tests.waiting import until

ENDED = ("sending", "done", "failed", "unsuitable")


@dataclass
class Running:
    """An engine that runs, and what it works on."""

    bench: Bench
    engine: JobEngine

    def run(self, job: Job) -> str:
        """Submit the job and wait until a worker is through with it; its state."""
        assert self.engine.submit(job)
        return self.wait(job)

    def wait(self, job: Job) -> str:
        until(lambda: self.bench.state(job) in ENDED)
        return self.bench.state(job)

    def folder(self, job: Job) -> Path:
        return self.bench.data / "jobs" / job.id


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("engine")
    paths = os.pathsep.join([install_trial(folder / "site"), os.environ.get("PYTHONPATH", "")])
    trial = {"when": {}, "pipeline": "trial", "settings": {"journal": str(folder / "journal.txt")}}
    more: dict[str, Any] = {
        "destinations": {
            "archive": {"kind": "folder", "path": folder / "archive"},
            "informed": {"kind": "folder", "path": folder / "informed", "profile": {"not_run_reports": True}},
            "plain": {"kind": "folder", "path": folder / "plain", "profile": {"measurement_report": "comprehensive"}},
        },
        "routes": {
            "trial": {**trial, "destinations": ["archive"]},
            "told": {**trial, "destinations": ["archive", "informed"]},
            "both": {**trial, "destinations": ["archive", "plain"]},
            "shadow": {**trial, "destinations": ["archive"], "shadow": True},
            "candidate": {"shadow_of": "trial"},
        },
    }
    with pytest.MonkeyPatch.context() as patch, bench(folder, **more) as made:
        patch.setenv("PYTHONPATH", paths)
        engine = JobEngine(made.configuration, made.database, HERE, beat_s=0.5)
        engine.start()
        try:
            yield Running(made, engine)
        finally:
            engine.stop()


def test_a_shadow_of_a_route_sends_nothing_and_leaves_its_objects_to_be_looked_at(running: Running) -> None:
    job = running.bench.job(route="candidate")
    assert running.run(job) == "done"
    folder = running.bench.data / "shadow" / "candidate" / job.id
    looked_at = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    assert {ds.Modality for ds in looked_at} >= {"SR", "OT"}
    assert {ds.StudyInstanceUID for ds in looked_at} == {job.study_instance_uid}
    assert (running.bench.lines(job), running.engine.show(job.id).objects) == ([], [])
    later = datetime.now(UTC) + timedelta(days=3650)
    until(lambda: running.engine.clean(later) == 0 and not folder.exists(), "the engine is through with it")


def delivered(running: Running, job: Job) -> None:
    """Have every line of the job be delivered, as the sender does."""
    until(lambda: _was_handed_over(running, job))
    with Session(running.bench.database) as session, session.begin():
        for line in running.bench.lines(job):
            outbox.move(session, line.id, OutboxState.DELIVERED, "", delivered=datetime.now(UTC))
        job_states.settle(session, job.id)
    assert running.bench.state(job) == "done"


def _was_handed_over(running: Running, job: Job) -> bool:
    return "hand over" in running.bench.events(job)


def test_a_job_goes_through_its_steps_into_the_outbox(running: Running) -> None:
    job = running.bench.job()
    steps = [("condyle_step_seconds_count", job.pipeline, job.route, step) for step in metrics.STEPS]
    before = counts().get(steps[-1], 0)
    with counting() as added:
        assert running.run(job) == "sending"
        until(lambda: "hand over" in running.bench.events(job))
        until(lambda: counts().get(steps[-1], 0) > before, "the last step is counted")
    assert [added[step] for step in steps] == [1, 1, 1, 1]
    assert added["condyle_queue_wait_seconds_count", job.pipeline, job.route] == 1
    assert not [name for name in added if name[0] == "condyle_jobs_ended_total"]
    assert running.bench.events(job) == [
        *("queued", "running", "begun prepare", "prepare", "begun infer", "infer"),
        *("begun encode", "encode", "sending", "hand over"),
    ]
    assert running.bench.record(job).pipeline_version == "1.0"
    view = running.engine.show(job.id[:12])
    assert {item.kind for item in view.objects} >= {"secondary_capture", "report"}
    contents = {item.sha256: (running.bench.data / item.path).read_bytes() for item in view.objects}
    assert all(hashlib.sha256(content).hexdigest() == sha256 for sha256, content in contents.items())
    # the twin of the report is made, and waits for a peer that refuses the report
    assert [line.state for line in view.outbox] == ["waiting"] * sum(item.twin_of is None for item in view.objects)
    assert sum(item.twin_of is not None for item in view.objects) == 1
    assert [line.order for line in view.outbox] == sorted(line.order for line in view.outbox)


def test_the_objects_hold_the_time_of_the_job_and_its_patient(running: Running) -> None:
    job = running.bench.job()
    running.run(job)
    for item in (item for item in running.engine.show(job.id).objects if item.kind == "report"):
        ds = pydicom.dcmread(running.bench.data / item.path)
        assert (ds.ContentDate, ds.ContentTime) == ("20260102", "030405")
        assert (str(ds.PatientName), ds.StudyInstanceUID) == ("Muster^Erika", job.study_instance_uid)


def test_the_same_job_is_taken_once(running: Running) -> None:
    job = running.bench.job()
    running.run(job)
    assert not running.engine.submit(job)
    assert running.bench.said("run").count(job.series_instance_uids[0]) == 1


def test_no_patient_is_in_the_database(running: Running) -> None:
    running.run(running.bench.job())
    database = (running.bench.data / "node.db").read_bytes() + (running.bench.data / "node.db-wal").read_bytes()
    assert b"Muster" not in database
    assert b"K4711" not in database
    assert b"19600229" not in database


@pytest.mark.parametrize(
    ("behaviour", "reason"), [("refuse", "needs a knee, found a phantom"), ("refuse_pixels", "the images are empty")]
)
def test_unsuitable_images_end_the_job_with_the_reason(running: Running, behaviour: str, reason: str) -> None:
    job = running.bench.job(behaviour=behaviour)
    assert running.run(job) == "unsuitable"
    assert running.bench.record(job).reason == reason
    assert running.bench.lines(job) == []


def test_a_missing_result_is_told_to_those_who_want_to_know(running: Running) -> None:
    job = running.bench.job(route="told", behaviour="refuse")
    assert running.run(job) == "unsuitable"
    lines = running.bench.lines(job)
    assert {line.destination for line in lines} == {"informed"}
    with Session(running.bench.database) as session:
        paths = session.scalars(select(ObjectRow.path).where(ObjectRow.job_id == job.id)).all()
    objects = [pydicom.dcmread(running.bench.data / path) for path in paths]
    texts = [str(e.value) for ds in objects for e in ds.iterall() if e.keyword == "TextValue"]
    assert any("needs a knee, found a phantom" in text for text in texts)


def test_a_bug_fails_the_job_and_says_nothing_of_the_patient(
    running: Running, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    job = running.bench.job(behaviour="raise", quote="Muster^Erika, born 19600229, K4711 and Erika's knee")
    assert running.run(job) == "failed"
    reason = running.bench.record(job).reason
    assert reason == "the pipeline broke while it ran; the log says where"
    until(lambda: "pipeline broke" in caplog.text or "Traceback" in caplog.text)
    said = capfd.readouterr()
    assert "Erika" not in said.err + said.out + caplog.text


def test_a_failed_job_is_told_to_those_who_want_to_know_and_restarts_where_it_failed(running: Running) -> None:
    wanted = running.bench.folder / "wanted"
    job = running.bench.job(route="told", wanted=str(wanted))
    assert running.run(job) == "failed"
    assert {line.destination for line in running.bench.lines(job)} == {"informed"}
    wanted.touch()
    running.engine.restart(job.id)
    assert running.wait(job) == "sending"
    series = job.series_instance_uids[0]
    assert running.bench.said("check").count(series) == 1
    assert running.bench.said("run").count(series) == 2
    assert {line.destination for line in running.bench.lines(job)} == {"informed", "archive"}


def test_only_what_has_failed_can_be_restarted(running: Running) -> None:
    job = running.bench.job()
    running.run(job)
    with pytest.raises(ForbiddenTransition, match="is sending; only a failed or unsuitable job is restarted"):
        running.engine.restart(job.id)
    shadow = running.bench.job(route="shadow")
    running.engine.submit(shadow)
    until(lambda: running.bench.state(shadow) == "done")
    with pytest.raises(ForbiddenTransition, match="is done; only"):
        running.engine.restart(shadow.id)
    with pytest.raises(JobNotFound):
        running.engine.restart("0" * 32)


def test_a_pipeline_that_kills_its_process_is_parked_after_three_times(running: Running) -> None:
    job = running.bench.job(behaviour="crash")
    assert running.run(job) == "failed"
    assert running.bench.record(job).reason == (
        "infer was begun 3 times and took its process with it each time: "
        "the process that ran the pipeline ended with signal 11"
    )
    assert running.bench.said("run").count(job.series_instance_uids[0]) == 3
    assert running.run(running.bench.job(behaviour="refuse")) == "unsuitable"  # the slot is free again


def test_a_process_that_dies_once_is_replaced_and_the_step_done_again(running: Running) -> None:
    job = running.bench.job(behaviour="crash_once")
    assert running.run(job) == "sending"
    assert running.bench.said("run").count(job.series_instance_uids[0]) == 2
    assert running.bench.said("check").count(job.series_instance_uids[0]) == 1


def test_a_running_job_can_be_cancelled(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job, series = (made := running.bench.job(behaviour="hang")), made.series_instance_uids[0]
    running.engine.submit(job)
    until(lambda: series in running.bench.said("run"))
    running.engine.cancel(job.id)
    assert running.bench.record(job).reason == "cancelled by an operator"
    after = running.bench.job(behaviour="refuse")
    assert running.run(after) == "unsuitable"
    assert running.bench.state(job) == "failed"
    until(lambda: job.id not in _get_dbos_instance()._active_workflows_set.activeList())  # in a thread of DBOS
    of_it = [record for record in caplog.records if job.id in record.getMessage() + str(vars(record))]
    assert [record.getMessage() for record in of_it] == ["job taken", "job cancelled"]
    assert not any(record.exc_info for record in caplog.records)


def test_a_shadow_runs_and_sends_nothing(running: Running) -> None:
    job = running.bench.job(route="shadow")
    running.engine.submit(job)
    until(lambda: running.bench.state(job) == "done")
    assert running.bench.lines(job) == []
    assert running.engine.show(job.id).objects == []
    kept = json.loads((running.folder(job) / "summary.json").read_text())
    (finding,) = kept["findings"].values()
    assert [measured["value"] for measured in finding["measurements"].values()] == [23.5]


def test_what_a_shadow_job_made_is_sent_to_the_destination_that_an_operator_names_and_nowhere_else(
    running: Running,
) -> None:
    job = running.bench.job(route="shadow")
    running.engine.submit(job)
    until(lambda: running.bench.state(job) == "done")
    assert running.bench.lines(job) == []
    running.engine.send_to(job.id, ["plain"])
    until(lambda: running.bench.state(job) == "sending")
    assert {line.destination for line in running.bench.lines(job)} == {"plain"}
    assert running.bench.said("run").count(job.series_instance_uids[0]) == 1


def test_a_job_that_waits_for_one_destination_is_sent_to_a_further_one_and_goes_on_waiting(running: Running) -> None:
    job = running.bench.job()
    assert running.run(job) == "sending"  # nobody sends here: as if the archive were down
    first = running.bench.lines(job)[0].id
    with Session(running.bench.database) as session, session.begin():
        outbox.move(session, first, OutboxState.REFUSED, "it does not want this one")
    before = {(line.id, line.state) for line in running.bench.lines(job)}
    encoded = running.bench.events(job).count("encode")
    running.engine.send_to(job.id, ["informed"])
    assert running.bench.state(job) == "sending"
    lines = running.bench.lines(job)
    assert {line.destination for line in lines} == {"archive", "informed"}
    assert {(line.id, line.state) for line in lines if line.destination == "archive"} == before
    assert {line.state for line in lines if line.destination == "informed"} == {"waiting"}
    assert running.bench.events(job).count("encode") == encoded


def test_what_is_done_goes_to_a_further_destination_and_to_no_other_again(running: Running) -> None:
    job = running.bench.job()
    running.run(job)
    delivered(running, job)
    running.engine.send_to(job.id, ["informed"])
    waiting = {line.destination for line in running.bench.lines(job) if line.state == "waiting"}
    assert (running.bench.state(job), waiting) == ("sending", {"informed"})


def test_what_is_being_sent_is_not_encoded_in_another_form_meanwhile(running: Running) -> None:
    job = running.bench.job()
    assert running.run(job) == "sending"
    with pytest.raises(ForbiddenTransition, match="is being sent, and what plain would get has to be encoded first"):
        running.engine.send_to(job.id, ["plain"])
    assert (running.bench.state(job), running.bench.record(job).destinations) == ("sending", ["archive"])
    delivered(running, job)
    path = running.bench.data / running.engine.show(job.id).objects[0].path
    with path.open("rb") as on_its_way:
        running.engine.send_to(job.id, ["plain"])
        until(lambda: running.bench.state(job) == "sending")
        assert on_its_way.read() == path.read_bytes()
        assert os.fstat(on_its_way.fileno()).st_nlink == 0  # the new file took its place: it was never half written
    waiting = {line.destination for line in running.bench.lines(job) if line.state == "waiting"}
    assert waiting == {"plain"}


def test_a_further_destination_that_cannot_be_served_is_no_missing_result_for_those_who_have_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running.bench.job(route="told")
    running.run(job)
    delivered(running, job)
    before = {(line.id, line.sop_instance_uid) for line in running.bench.lines(job)}
    monkeypatch.delitem(running.bench.configuration.destinations, "plain")  # taken out before the job gets to it
    with Session(running.bench.database) as session, session.begin():
        job_states.send_to(session, job.id, ["plain"], "by an operator")
    running.engine._take_up(job.id)
    until(lambda: running.bench.state(job) == "failed")
    assert "plain is no longer in the configuration" in running.bench.record(job).reason
    assert {(line.id, line.sop_instance_uid) for line in running.bench.lines(job)} == before


def test_a_job_that_has_made_nothing_yet_is_not_sent_elsewhere(running: Running) -> None:
    job, series = (made := running.bench.job(behaviour="hang")), made.series_instance_uids[0]
    running.engine.submit(job)
    until(lambda: series in running.bench.said("run"))
    with pytest.raises(ForbiddenTransition, match="is running; wait until it has made its objects"):
        running.engine.send_to(job.id, ["plain"])
    running.engine.cancel(job.id)


def test_destinations_with_other_profiles_get_the_form_they_ask_for(running: Running) -> None:
    job = running.bench.job(route="both")
    assert running.run(job) == "sending"
    with Session(running.bench.database) as session:
        rows = session.execute(
            select(OutboxRow.destination, ObjectRow.sop_class_uid)
            .join(ObjectRow, ObjectRow.sop_instance_uid == OutboxRow.sop_instance_uid)
            .where(OutboxRow.job_id == job.id, ObjectRow.kind == "report")
        ).all()
    assert sorted(rows) == [
        ("archive", "1.2.840.10008.5.1.4.1.1.88.34"),
        ("plain", "1.2.840.10008.5.1.4.1.1.88.33"),
    ]


def kinds_in_series_of(running: Running, job: Job, other: Job) -> set[str]:
    there = {one.series_instance_uid for one in running.engine.show(other.id).objects}
    return {one.kind for one in running.engine.show(job.id).objects if one.series_instance_uid in there}


def test_a_revised_report_names_the_one_before(running: Running) -> None:
    instances = mr_instances(3)
    running.bench.store(instances)
    first = running.bench.job(instances[:2])
    assert running.run(first) == "sending"
    second = replace(running.bench.job(instances), predecessor=first.id)
    assert running.run(second) == "sending"
    earlier = {item.sop_instance_uid for item in running.engine.show(first.id).objects}
    (report,) = (o for o in running.engine.show(second.id).objects if o.kind == "report" and o.twin_of is None)
    named = (
        pydicom.dcmread(running.bench.data / report.path).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    )
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID in earlier
    assert report.sop_instance_uid not in earlier
    # it lies beside that one, with a higher number; captures of the two are not mixed
    assert kinds_in_series_of(running, second, first) == {"report", "presentation_state"}
    assert pydicom.dcmread(running.bench.data / report.path).InstanceNumber == 2


def test_a_result_on_replaced_images_has_uids_of_its_own_and_names_the_one_before(running: Running) -> None:
    instances = mr_instances()
    running.bench.store(instances)
    first = running.bench.job(instances)
    assert running.run(first) == "sending"
    with Session(running.bench.database) as session, session.begin():  # as the receipt import does
        session.get_one(InstanceRow, instances[0].SOPInstanceUID).revision = 1
    revision = revision_of({str(instances[0].SOPInstanceUID): 1})
    again = replace(first, id="f" * 32, revision=revision, predecessor=first.id)
    assert running.run(again) == "sending"
    before, after = (running.engine.show(job.id).objects for job in (first, again))
    assert not {o.sop_instance_uid for o in before} & {o.sop_instance_uid for o in after}
    assert kinds_in_series_of(running, again, first) == {"report", "presentation_state"}
    (report,) = (o for o in after if o.kind == "report" and o.twin_of is None)
    assert "PredecessorDocumentsSequence" in pydicom.dcmread(running.bench.data / report.path)


def test_an_object_that_went_out_is_never_replaced_by_other_bytes(running: Running) -> None:
    job = running.bench.job()
    running.run(job)
    uids = [line.sop_instance_uid for line in running.bench.lines(job)]
    with Session(running.bench.database) as session, session.begin():  # as if another version of the node had sent it
        here = OutboxRow.job_id == job.id
        session.execute(update(OutboxRow).where(here).values(sha256="f" * 64, state="refused"))
        session.execute(update(ObjectRow).where(ObjectRow.job_id == job.id).values(sha256="f" * 64))
        session.execute(update(JobRow).where(JobRow.id == job.id).values(state=JobState.FAILED))
    running.engine.restart(job.id)
    assert running.wait(job) == "failed"
    assert "was sent before with other bytes" in running.bench.record(job).reason
    with Session(running.bench.database) as session:
        kept = session.scalars(select(ObjectRow.sha256).where(ObjectRow.sop_instance_uid.in_(uids))).all()
    assert set(kept) == {"f" * 64}


def test_old_jobs_are_cleaned_up_but_nothing_undelivered(running: Running) -> None:
    delivered, waiting = running.bench.job(), running.bench.job()
    for job in (delivered, waiting):
        running.run(job)
        until(partial(_was_handed_over, running, job))
    with Session(running.bench.database) as session, session.begin():
        session.execute(update(OutboxRow).where(OutboxRow.job_id == delivered.id).values(state="delivered"))
        session.execute(update(JobRow).where(JobRow.id == delivered.id).values(state=JobState.DONE))
    until(lambda: running.engine.clean(datetime.now(UTC)) == 0)
    assert running.folder(delivered).exists()
    assert running.engine.clean(datetime.now(UTC) + timedelta(days=31)) >= 1
    assert not running.folder(delivered).exists()
    assert running.folder(waiting).exists()
    assert running.bench.state(delivered) == "done"  # what was found and sent, and when, is still told
    assert running.engine.show(delivered.id).objects


def test_old_jobs_are_cleaned_up_behind_any_number_that_have_to_stay(tmp_path: Path) -> None:
    old = datetime(2026, 1, 1, tzinfo=UTC)
    with bench(tmp_path) as made:
        fill(made.database, 2 * PAGE, objects=1)  # waiting for a destination that was given up
        with Session(made.database) as session, session.begin():
            session.execute(update(JobRow).values(state=JobState.FAILED, updated=old))
        done = [f"{number:032x}" for number in range(10_000, 10_003)]
        later = old + timedelta(days=1)
        add(made.database, JobRow, [job_row(job_id, state=JobState.DONE, updated=later) for job_id in done])
        for job_id in ("0" * 32, *done):
            (made.data / "jobs" / job_id).mkdir(parents=True)
        engine = JobEngine(made.configuration, made.database, HERE)
        with whole_tables_read(made.database) as read:
            assert engine.clean(old + timedelta(days=60)) == 3
        assert read == set()
        assert [path.name for path in (made.data / "jobs").iterdir()] == ["0" * 32]
        assert engine.clean(old + timedelta(days=60)) == 0  # those that are cleaned up are not looked at again
        engine.stop()


def test_a_job_whose_images_are_gone_is_sent_nowhere_as_nobody_knows_whose_it_is_now(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        job = made.job()
        with Session(made.database) as session, session.begin():
            job_states.record(session, job)
            session.execute(update(JobRow).values(state=JobState.DONE))
            session.execute(delete(InstanceRow))
        engine = JobEngine(made.configuration, made.database, HERE, patients=Unchanged())
        with pytest.raises(JobFailed, match="its images are no longer stored"):
            engine.send_to(job.id, ["out"])
        engine.stop()
        assert made.record(job).state == JobState.DONE


class Unchanged:
    """Everybody is whom the images name."""

    def current(self, who: Identity) -> None:
        """Nothing is known."""

    def earlier(self, who: Identity) -> Sequence[Identity]:
        """Nobody."""
        return ()


def test_a_folder_whose_job_was_never_written_down_is_deleted_when_it_is_old(running: Running) -> None:
    job = running.bench.job()
    stray = running.folder(job).parent / ("0" * 64)
    stray.mkdir(parents=True)
    running.engine.clean(datetime.now(UTC))
    assert stray.exists()
    running.engine.clean(datetime.now(UTC) + timedelta(days=31))
    assert not stray.exists()


def test_a_job_that_was_written_down_and_not_begun_is_found(running: Running) -> None:
    job = running.bench.job()
    with Session(running.bench.database) as session, session.begin():
        job_states.record(session, job, datetime.now(UTC) - timedelta(minutes=1))
    assert running.wait(job) == "sending"


def test_a_running_job_that_the_engine_has_lost_is_taken_up(running: Running) -> None:
    job = running.bench.job()
    running.run(job)
    until(lambda: "hand over" in running.bench.events(job))
    with Session(running.bench.database) as session, session.begin():  # its last step is not in the records
        session.execute(update(OutboxRow).where(OutboxRow.job_id == job.id).values(state="skipped"))
        session.execute(
            update(JobRow)
            .where(JobRow.id == job.id)
            .values(state=JobState.RUNNING, updated=datetime.now(UTC) - timedelta(minutes=1))
        )
    assert running.wait(job) == "sending"
    assert running.bench.said("run").count(job.series_instance_uids[0]) == 1
    assert {line.state for line in running.bench.lines(job)} == {"waiting"}


def test_two_engines_do_not_share_a_folder(running: Running) -> None:
    second = JobEngine(running.bench.configuration, running.bench.database, HERE)
    with pytest.raises(ConfigurationError, match="is in use by another node"):
        second.start()
    second.stop()


def test_jobs_are_listed_newest_first_and_by_state(running: Running) -> None:
    refused = running.bench.job(behaviour="refuse")
    running.run(refused)
    assert refused.id in [job.id for job in running.engine.list([JobState.UNSUITABLE])]
    assert refused.id not in [job.id for job in running.engine.list([JobState.SENDING])]
    assert len(running.engine.list(limit=2)) == 2


def reason(running: Running, job: Job) -> str:
    return running.bench.record(job).reason


def test_images_of_two_patients_are_unsuitable_and_go_into_nobodys_file(running: Running) -> None:
    instances = mr_instances(3)
    instances[2].PatientID = "SOMEBODY-ELSE"
    running.bench.store(instances)
    job = running.bench.job(instances, route="told")
    assert running.run(job) == "unsuitable"
    assert reason(running, job) == (
        f"the images are of 2 patients, for PatientID differs: 2 such as {instances[0].SOPInstanceUID} and 1 such as "
        f"{instances[2].SOPInstanceUID}; a job needs images of one patient, with a Study Instance UID of their own"
    )
    assert running.bench.lines(job) == []


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("IssuerOfPatientID", ("A", "B")),
        ("PatientBirthDate", ("19600229", "19610301")),
        ("PatientSex", ("F", "M")),
    ],
)
def test_what_contradicts_one_patient_is_named(running: Running, keyword: str, values: tuple[str, str]) -> None:
    instances = mr_instances()
    for ds, value in zip(instances, values, strict=True):
        setattr(ds, keyword, value)
    running.bench.store(instances)
    job = running.bench.job(instances)
    assert running.run(job) == "unsuitable"
    assert f"for {keyword} differs" in reason(running, job)


def test_another_name_under_the_same_id_is_said_in_the_result(running: Running) -> None:
    instances = mr_instances()
    instances[0].PatientName, instances[1].PatientName = "Before^Anna", "After^Anna"
    running.bench.store(instances)
    job = running.bench.job(instances)
    assert running.run(job) == "sending"
    assert "remark" in running.bench.events(job)
    summary = json.loads((running.bench.data / "jobs" / job.id / "summary.json").read_text())
    assert summary["limits"][-1] == "The images name the patient in more than one way, under one patient ID."


def test_a_series_of_several_studies_is_unsuitable_and_names_the_others(running: Running) -> None:
    instances = mr_instances()
    running.bench.store(instances)
    with Session(running.bench.database) as session, session.begin():
        for study in (instances[0].StudyInstanceUID, "1.9.1", "1.9.2"):
            session.add(
                SeriesRow(
                    study_instance_uid=study,
                    series_instance_uid=instances[0].SeriesInstanceUID,
                    first_received=datetime.now(UTC),
                    last_received=datetime.now(UTC),
                )
            )
    job = running.bench.job(instances)
    assert running.run(job) == "unsuitable"
    assert "is of 3 studies" in reason(running, job)
    assert "1.9.1, 1.9.2 too" in reason(running, job)


@pytest.mark.parametrize("behaviour", ["refuse", "refuse_pixels", "raise"])
def test_a_job_whose_images_were_replaced_does_not_run_on_what_came_instead(running: Running, behaviour: str) -> None:
    instances = mr_instances()
    running.bench.store(instances)
    job = running.bench.job(instances, behaviour=behaviour)
    assert running.run(job) in ("unsuitable", "failed")
    with Session(running.bench.database) as session, session.begin():  # as the receipt import does
        session.get_one(InstanceRow, instances[0].SOPInstanceUID).revision = 1
    runs = running.bench.said("run")
    running.engine.restart(job.id)
    until(lambda: "sent again with other content" in reason(running, job), "the job has ended with the reason")
    assert running.bench.state(job) == "failed"
    assert running.bench.said("run") == runs
