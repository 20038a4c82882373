"""Run again, send again, erase: what an operator does with old studies, with the node as a real process."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import dcmread
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr import phantoms
from dicom_sr.rejection_reasons import RejectionReason
from node.actions.withdrawing import Chosen
from node.commands.erase import erase
from node.commands.jobs import cancel, list_jobs, send_to
from node.commands.reroute import reroute, start
from node.commands.resend import resend
from node.commands.since import since
from node.commands.withdraw import show as show_withdrawals
from node.commands.withdraw import withdraw
from node.database import callbacks, fetches
from node.database.tables import (
    AuditRow,
    CallbackRow,
    DecisionRow,
    EventRow,
    FetchRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    OutboxRow,
    SeriesRow,
    StudyRow,
    VerdictRow,
    WithdrawalRow,
)
from node.errors import StudyNotFound
from node.verdicts import storing
from tests.node.verdicts.said import SAID
from tests.running import RunningNode
from tests.test_flow import fresh
from tests.waiting import until

KNEE = {
    "when": {"Modality": "MR", "series.slices": {"min": 4}},
    "pipeline": "knee_super_resolution",
    "settings": {"method": "tricubic", "spacing": 2.0},
    "destinations": ["out"],
}
Said = Callable[[], str]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    plain = {"kind": "folder", "path": "plain", "profile": {"measurement_report": "comprehensive"}}
    away = {"kind": "dimse", "ae_title": "AWAY", "host": "127.0.0.1", "port": 9}  # nobody listens there
    folders = {name: {"kind": "folder", "path": name} for name in ("out", "second")}
    hears = {"kind": "folder", "path": "hears", "withdraw": "iocm"}
    destinations = {**folders, "plain": plain, "away": away, "hears": hears}
    # a series says how many images it has: the quiet time only cuts one in two where sending is slow
    soon = {"series_quiet_s": 5, "study_quiet_s": 0.5}
    folder = tmp_path_factory.mktemp("again")
    with RunningNode(folder, receive=soon, routes={"knee": KNEE}, destinations=destinations) as node:
        yield node


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Everything that the commands have said since it was last asked."""
    return lambda: "".join(capsys.readouterr())


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight small slices of a simulated knee."""
    header = phantoms.study_header(phantoms.Person(), "again", "Simulated knee")
    return phantoms.write_knee_mr(tmp_path_factory.mktemp("slices"), header, (8, 48, 44), (4.0, 1.25, 1.25))


def decided_study(node: RunningNode, files: list[Path]) -> str:
    """A study of one series that is new to the node, once it is decided about."""
    new = fresh(files, counted=True)
    assert set(node.send(new.images)) == {0}
    settled = select(SeriesRow).where(SeriesRow.study_instance_uid == new.study, SeriesRow.study_routed_instances > 0)
    until(lambda: node.all(settled), "the study is decided about")
    return new.study


def done_study(node: RunningNode, files: list[Path]) -> str:
    """The same, once its job is done."""
    study = decided_study(node, files)
    (job,) = node.ended_jobs(1, study=study)
    assert (job.state, job.reason) == ("done", "")
    return study


def waiting_study(node: RunningNode, files: list[Path]) -> tuple[str, JobRow]:
    """The same, and its job, which waits for a peer that is away."""
    study = done_study(node, files)
    (job,) = node.jobs(study)
    assert send_to(node.config, job.id, ["away"]) == 0
    until(lambda: [one.state for one in node.jobs(study)] == ["sending"], "the job waits for the peer")
    return study, job


def changed(node: RunningNode, **route: Any) -> Path:
    """A configuration file beside the node's, whose route is another."""
    configuration = yaml.safe_load(node.config.read_text())
    configuration["routes"]["knee"] |= route
    path = node.folder / "changed.yaml"
    path.write_text(yaml.safe_dump(configuration))
    return path


def files(node: RunningNode, folder: str, study: str) -> dict[str, bytes]:
    """By SOP Instance UID: the files of a study that were delivered to a folder."""
    found = {path: dcmread(path) for path in (node.folder / folder).rglob("*.dcm")}
    return {str(ds.SOPInstanceUID): path.read_bytes() for path, ds in found.items() if ds.StudyInstanceUID == study}


def test_what_would_be_done_is_counted_first_and_its_list_is_not_longer_than_is_read(
    node: RunningNode, slices: list[Path], said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.commands.reroute.LISTED", 2)
    study = done_study(node, slices)
    path = changed(node, settings={"method": "tricubic", "spacing": 3.5})
    configuration = yaml.safe_load(path.read_text())
    others = {f"other{number}": {**KNEE, "when": {"Modality": "CT"}} for number in range(4)}
    path.write_text(yaml.safe_dump({**configuration, "routes": {**others, "knee": configuration["routes"]["knee"]}}))
    assert reroute([study], None, path, dry_run=True) == 0
    lines = said().splitlines()
    assert lines[:2] == [
        "dry run: nothing is changed; of 1 study, 1 job would be queued",
        "5 decisions: 4 no match, 1 new job",
    ]
    assert [line.split()[2] for line in lines if line.startswith(study)] == ["knee", "other0"]
    assert lines[-1] == "... and 3 more; --all lists them"
    assert reroute([study], None, path, dry_run=True, json_output=True) == 0
    decisions = json.loads(said())
    assert {one["study_instance_uid"] for one in decisions} == {study}
    assert len(decisions) == 5
    assert reroute([study], None, path, dry_run=True, every=True) == 0
    told = said()
    assert sum(line.startswith(study) for line in told.splitlines()) == 5
    assert "--all" not in told


def test_a_study_is_decided_anew_after_a_change_of_settings_and_the_new_job_follows_the_old(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study = done_study(node, slices)
    assert reroute([study], None, node.config, dry_run=False) == 0
    told = said()
    assert "done before" in told
    (job,) = node.jobs(study)
    assert all(f"{uid} " in told for uid in (study, *job.series_instance_uids)), "UIDs are whole"
    other = changed(node, settings={"method": "tricubic", "spacing": 2.5})
    assert reroute([study], None, other, dry_run=True) == 0
    assert "of 1 study, 1 job would be queued" in said()
    assert len(node.jobs(study)) == 1
    assert reroute([], since("1h"), other, dry_run=False) == 0
    first, second = node.ended_jobs(2, study=study)
    assert (second.state, second.predecessor) == ("done", first.id)
    assert second.settings["spacing"] == 2.5
    decisions = node.all(select(DecisionRow).where(DecisionRow.study_instance_uid == study).order_by(DecisionRow.id))
    assert [one.job_id for one in decisions] == [first.id, first.id, second.id]


def test_a_destination_that_the_route_has_now_is_given_what_was_done_before(
    node: RunningNode, slices: list[Path]
) -> None:
    study = done_study(node, slices)
    assert reroute([study], None, changed(node, destinations=["out", "plain"]), dry_run=False) == 0
    until(lambda: files(node, "plain", study), "the second folder has the results")
    until(lambda: [job.state for job in node.jobs(study)] == ["done"], "the job is done again")
    events = node.all(select(EventRow).where(EventRow.job_id == node.jobs(study)[0].id))
    assert [event.what for event in events].count("infer") == 1


def test_a_done_job_is_sent_to_a_further_destination_as_that_one_wants_it(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study = done_study(node, slices)
    (job,) = node.jobs(study)
    before = files(node, "out", study)
    assert send_to(node.config, job.id[:12], ["plain"]) == 0
    until(lambda: [one.state for one in node.jobs(study)] == ["done"] and files(node, "plain", study), "sent")
    classes = {str(dcmread(path).SOPClassUID) for path in (node.folder / "plain").rglob("*.dcm")}
    assert "1.2.840.10008.5.1.4.1.1.88.33" in classes  # Comprehensive SR, as its profile says
    assert files(node, "out", study) == before
    assert send_to(node.config, job.id, ["nowhere"]) == 2
    assert "no such destination; there are: away, hears, out, plain" in said()


def test_what_a_shadow_route_made_goes_out_once_the_route_is_none_any_more(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study = done_study(node, slices)
    trial = {"settings": {"method": "tricubic", "spacing": 2.5}, "destinations": ["plain"]}
    assert reroute([study], None, changed(node, shadow=True, **trial), dry_run=False) == 0
    node.ended_jobs(2, study=study)
    assert files(node, "plain", study) == {}
    assert reroute([study], None, changed(node, **trial), dry_run=False) == 0
    assert "sent to new destinations" in said()
    until(lambda: files(node, "plain", study), "what the shadow made is sent")


def test_a_job_that_an_operator_cancelled_is_not_begun_again_by_a_new_decision(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study, job = waiting_study(node, slices)
    assert cancel(node.config, job.id) == 0
    assert reroute([study], None, node.config, dry_run=False) == 0
    assert "cancelled before" in said()
    assert [one.state for one in node.jobs(study)] == ["failed"]
    assert send_to(node.config, job.id, ["plain"]) == 0  # and there only, not to the one that was given up
    until(lambda: [one.state for one in node.jobs(study)] == ["done"], "the job is sent to the other one")
    assert files(node, "plain", study)


def test_a_further_destination_gets_its_objects_while_another_one_is_away(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study, job = waiting_study(node, slices)
    assert reroute([study], None, changed(node, destinations=["out", "second"]), dry_run=False) == 0
    assert "sent to new destinations" in said()
    until(lambda: files(node, "second", study), "the further one has the results")
    until(lambda: [one.state for one in node.jobs(study)] == ["sending"], "the job waits for the other one still")
    assert cancel(node.config, job.id) == 0


def test_a_pipeline_runs_on_a_study_that_no_route_takes(node: RunningNode, slices: list[Path], said: Said) -> None:
    study = decided_study(node, slices[:3])  # the route wants four
    assert node.jobs(study) == []
    (series,) = node.all(select(SeriesRow.series_instance_uid).where(SeriesRow.study_instance_uid == study))
    assert start("knee_super_resolution", study, node.config, series=[series]) == 0
    (job,) = node.ended_jobs(1, study=study)
    assert job.route == "by hand"
    assert job.id in said()
    hands = changed(node, pipeline="hand_foot_scoring", level="study", settings={})
    assert start("hand_foot_scoring", study, hands) == 1
    assert f"study {study}: needs a radiograph of a hand or a foot" in "".join(said().split("\n"))
    assert len(node.jobs(study)) == 1
    assert start("knee", study, node.config) == 2
    assert "the routes run: knee_super_resolution" in said()
    with pytest.raises(StudyNotFound, match="no image of it is stored"):
        start("knee_super_resolution", "1.2.3", node.config)


def test_an_archive_that_was_restored_is_given_the_same_bytes_again(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study = done_study(node, slices)
    before = files(node, "out", study)
    lost = [path for path in (node.folder / "out").rglob("*.dcm") if dcmread(path).StudyInstanceUID == study]
    for path in lost:
        path.unlink()
    assert resend("out", since("1h"), node.config, dry_run=True) == 0
    assert "would be sent to out again" in said()
    assert files(node, "out", study) == {}
    assert resend("out", since("1h"), node.config, dry_run=False) == 0
    until(lambda: files(node, "out", study) == before, "all of it is there again")
    until(lambda: {job.state for job in node.jobs(study)} == {"done"}, "the job is done again")


def test_a_result_is_taken_back_where_it_went_also_by_a_node_that_was_away(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study = done_study(node, slices)
    (job,) = node.jobs(study)
    assert send_to(node.config, job.id, ["hears"]) == 0
    until(lambda: {one.state for one in node.jobs(study)} == {"done"}, "the further destination has it")
    sent, chosen = set(files(node, "hears", study)), Chosen(job.id)
    wrong = ("left for right", RejectionReason.PATIENT_SAFETY, node.config)
    assert withdraw(chosen, *wrong, dry_run=True, yes=True, wait_s=0) == 0
    assert f"hears may have {len(sent)} objects: told by a rejection note" in said()
    node.kill()
    assert withdraw(chosen, *wrong, dry_run=False, yes=True, wait_s=0) == 0
    assert "not all destinations are told and asked yet" in said()
    assert set(files(node, "hears", study)) == sent
    node.start()
    told = select(WithdrawalRow).where(WithdrawalRow.job_id == job.id, WithdrawalRow.asked.is_not(None))
    until(lambda: len(node.all(told)) == 2, "both destinations were asked")
    rows = {row.destination: row for row in node.all(told)}
    assert (rows["hears"].way, rows["hears"].held_before, rows["hears"].held_after) == ("iocm", len(sent), len(sent))
    assert (rows["out"].state, rows["out"].held_after) == ("left", len(sent))
    (note,) = set(files(node, "hears", study)) - sent
    named = dcmread(next((node.folder / "hears").rglob(f"{note}.dcm"))).CurrentRequestedProcedureEvidenceSequence
    assert {
        one.ReferencedSOPInstanceUID for of in named[0].ReferencedSeriesSequence for one in of.ReferencedSOPSequence
    } == sent
    said()
    assert send_to(node.config, job.id, ["second"]) == 1
    assert "was withdrawn by" in said()
    assert reroute([study], None, node.config, dry_run=False) == 0
    assert "1 withdrawn" in said()
    assert list_jobs(node.config) == 0
    assert "done (withdrawn)" in said()
    with urllib.request.urlopen(f"http://127.0.0.1:{node.page}/jobs/{job.id}", timeout=10) as answer:
        assert answer.read().decode().count("left for right") == 2  # who took it back, and the timeline
    assert {one["destination"]: one["held_after"] for one in proof_of(node, job.id, said)} == {
        "hears": len(sent),
        "out": len(sent),
    }


def proof_of(node: RunningNode, job: str, said: Said) -> list[dict[str, Any]]:
    said()
    assert show_withdrawals(node.config, job, as_json=True) == 0
    found: list[dict[str, Any]] = json.loads(said())["withdrawals"]
    return found


def test_a_study_is_erased_with_everything_made_of_it_and_that_is_written_down(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study = done_study(node, slices)
    (job,) = node.jobs(study)
    stored = [node.folder / "data" / "instances" / row.path for row in node.all(instances_of(study))]
    assert all(path.exists() for path in stored)
    delivered = len(files(node, "out", study))
    with Session(node.database) as session, session.begin():
        fetches.ask(session, "r", "pacs", study, {}, datetime.now(UTC))
        callbacks.ask(session, "ris", "https://ris/", study, datetime.now(UTC), request="r")
        storing.store(session, [replace(SAID, job_id=job.id, study_instance_uid=study)])
    arriving(node, study, True)
    assert erase(study, node.config, yes=True) == 1
    assert "is not complete yet" in said()
    arriving(node, study, False)
    assert erase(study, node.config, yes=False) == 2  # nobody is there to be asked
    assert len(node.all(instances_of(study))) == 8
    assert erase(study, node.config, yes=True) == 0
    assert f"out has {delivered} objects of it: delete them there" in said()
    assert not any(path.exists() for path in stored)
    assert not (node.folder / "data" / "jobs" / job.id).exists()
    for query in (
        instances_of(study),
        select(JobRow).where(JobRow.study_instance_uid == study),
        select(SeriesRow).where(SeriesRow.study_instance_uid == study),
        select(DecisionRow).where(DecisionRow.study_instance_uid == study),
        select(ObjectRow).where(ObjectRow.study_instance_uid == study),
        select(OutboxRow).where(OutboxRow.job_id == job.id),
        select(EventRow).where(EventRow.job_id == job.id),
        select(FetchRow).where(FetchRow.study_instance_uid == study),
        select(CallbackRow).where(CallbackRow.study_instance_uid == study),
        select(VerdictRow).where(VerdictRow.study_instance_uid == study),
    ):
        assert node.all(query) == []
    (record,) = [row for row in node.all(select(AuditRow)) if row.what == "study erased"]
    assert record.study_instance_uid == study
    assert record.detail == {
        "instances": 8,
        "jobs": 1,
        "objects": record.detail["objects"],
        "delivered": {"out": delivered},
    }
    assert record.who
    with pytest.raises(StudyNotFound, match="nothing of it is stored"):
        erase(study, node.config, yes=True)


def arriving(node: RunningNode, study: str, still: bool) -> None:
    """Have the records say that an image came a moment ago, or that all have been decided about."""
    with Session(node.database) as session, session.begin():
        at = datetime.now(UTC) + timedelta(hours=1 if still else -1)
        session.execute(update(StudyRow).where(StudyRow.study_instance_uid == study).values(last_received=at))
        decided = update(SeriesRow).where(SeriesRow.study_instance_uid == study)
        session.execute(decided.values(study_routed_instances=7 if still else 8))


def instances_of(study: str) -> Any:
    return select(InstanceRow).where(InstanceRow.study_instance_uid == study)


def test_a_study_with_a_job_under_way_is_not_erased_until_the_job_is_cancelled(
    node: RunningNode, slices: list[Path], said: Said
) -> None:
    study, job = waiting_study(node, slices)
    assert erase(study, node.config, yes=True) == 1
    assert f"condyle jobs cancel {job.id[:12]}" in said()
    assert cancel(node.config, job.id) == 0
    assert erase(study, node.config, yes=True) == 0
    assert node.jobs(study) == []
