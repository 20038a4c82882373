"""The whole way, with the node as a real process: sender -> node -> archive."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicom_sr import phantoms
from dicom_sr.profile import ObjectFile
from node.config import DicomWebDestination
from node.database.tables import AssociationRow, DecisionRow, EventRow, InstanceRow, OutboxRow, SeriesRow, StudyRow
from node.demo import samples
from node.send.delivery import Outcome
from node.send.dicomweb_delivery import DicomWebDelivery
from tests.needs import missing
from tests.orthanc import Archive, Modality, OrthancMissing, free_port
from tests.running import SENDER, RunningNode
from tests.waiting import until

KNEE_ROUTE = {
    "when": {"Modality": "MR", "series.slices": {"min": 4}, "series.orientation": "sagittal"},
    "pipeline": "knee_super_resolution",
    "settings": {"method": "tricubic", "spacing": 2.0},  # without a network, 2 mm between new slices: keeps tests short
    "destinations": ["out"],
}
MR, CAPTURE = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.7"
REPORTS = "1.2.840.10008.5.1.4.1.1.88."


def folder_node(folder: Path, **settings: Any) -> RunningNode:
    """A node whose knee results go to the folder ``out``."""
    routes = {"knee": KNEE_ROUTE}
    destinations = {"out": {"kind": "folder", "path": "out"}}
    return RunningNode(folder, **{"routes": routes, "destinations": destinations, **settings})


@pytest.fixture(scope="session")
def knee(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A simulated knee: 12 slices 3 mm thick every 4 mm; small, and so quick to work on."""
    person = phantoms.Person()
    header = phantoms.study_header(person, "flow", "Simulated knee")
    return phantoms.write_knee_mr(tmp_path_factory.mktemp("knee"), header, (12, 64, 64), (4.0, 2.5, 2.5))


@pytest.fixture(scope="module")
def _node_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with folder_node(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture
def node(_node_of_the_module: RunningNode) -> RunningNode:
    """A node for all tests; each brings a study of its own, and may end the node: the next test finds it running."""
    _node_of_the_module.start()
    return _node_of_the_module


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive that knows the node, and may send to it."""
    try:
        archive = Archive(tmp_path_factory.mktemp("archive"), modalities={"ainode": Modality("CONDYLE", free_port())})
    except OrthancMissing as error:
        missing(str(error))
    with archive:
        yield archive


@pytest.fixture(scope="module")
def _archive_node_of_the_module(tmp_path_factory: pytest.TempPathFactory, archive: Archive) -> Iterator[RunningNode]:
    there = {"kind": "dimse", "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port}
    with folder_node(
        tmp_path_factory.mktemp("archive-node"),
        port=archive.modalities["ainode"].port,
        destinations={"out": {**there, "commitment": True}},
        peers={"archive": {"ae_title": archive.ae_title}},
        receive={"series_quiet_s": 3600, "study_quiet_s": 3600},
    ) as node:
        yield node


@pytest.fixture
def archive_node(_archive_node_of_the_module: RunningNode) -> RunningNode:
    """The same, with an archive that commits to the results.

    It waits an hour for more images, unless the headers say how many there are.
    """
    _archive_node_of_the_module.start()
    return _archive_node_of_the_module


@dataclass
class Sent:
    """A study of one series that no test has sent before."""

    study: str
    images: list[Dataset]

    def uids(self) -> set[str]:
        return {str(ds.SOPInstanceUID) for ds in self.images}


def fresh(files: list[Path], *, counted: bool = False) -> Sent:
    """The instances under new UIDs; with `counted` each says how many its series has."""
    images: list[Dataset] = [dcmread(file) for file in files]
    study, series = generate_uid(), generate_uid()
    for ds in images:
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, series, generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        if counted:
            ds.NumberOfSeriesRelatedInstances = len(images)
    return Sent(str(study), images)


def results(node: RunningNode, study: str) -> dict[Path, Dataset]:
    """What the node has put into its folder for a study."""
    found = {path: dcmread(path) for path in (node.folder / "out").rglob("*") if path.is_file()}
    return {path: ds for path, ds in found.items() if ds.StudyInstanceUID == study}


def kinds(objects: Iterable[Dataset]) -> Counter[str]:
    return Counter("report" if ds.SOPClassUID.startswith(REPORTS) else str(ds.SOPClassUID) for ds in objects)


# ---- the main job
def test_the_real_knee_series_comes_back_as_four_thin_slice_series_in_the_patients_study(
    archive: Archive, archive_node: RunningNode, shared_data: Path
) -> None:
    sources: list[Dataset] = [dcmread(file) for file in sorted((shared_data / "mr" / "knee-mese-t2-ge").iterdir())]
    for ds in sources:
        ds.NumberOfSeriesRelatedInstances = len(sources)  # nothing else is changed
    assert set(archive_node.send(sources)) == {0}
    study = str(sources[0].StudyInstanceUID)
    (job,) = archive_node.ended_jobs(1, 200, study=study)
    assert (job.state, job.reason) == ("done", "")
    objects = in_archive(archive, study)
    assert {ds.SOPInstanceUID for ds in objects} == {line.sop_instance_uid for line in outbox(archive_node, job.id)}
    by_series: dict[str, list[Dataset]] = {}
    for ds in objects:
        if ds.SOPClassUID == MR:
            by_series.setdefault(str(ds.SeriesInstanceUID), []).append(ds)
    assert len(by_series) == 4  # one per echo
    assert sorted(float(series[0].EchoTime) for series in by_series.values()) == [6.312, 18.936, 31.56, 50.496]
    for series in by_series.values():
        check_thin_slices(series, sources)
    assert kinds(objects)["report"] == 1
    assert kinds(objects)[CAPTURE] >= 1


def check_thin_slices(series: Sequence[Dataset], sources: Sequence[Dataset]) -> None:
    """Evenly spaced slices of 2 mm in the place of the acquired ones, all 4 mm apart, and in the same patient."""
    normal = np.cross(sources[0].ImageOrientationPatient[:3], sources[0].ImageOrientationPatient[3:])
    places = np.sort([np.dot(ds.ImagePositionPatient, normal) for ds in series])
    acquired = np.array([np.dot(ds.ImagePositionPatient, normal) for ds in sources])
    assert np.diff(places) == pytest.approx(2.0, abs=0.01)
    assert places[0] == pytest.approx(acquired.min(), abs=0.01)
    assert places[-1] == pytest.approx(acquired.max(), abs=2.0)
    for ds in series:
        assert ds.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
        assert ds.StudyInstanceUID == sources[0].StudyInstanceUID
        assert ds.PatientID == sources[0].PatientID


def in_archive(archive: Archive, study: str) -> list[Dataset]:
    """What the archive has of a study."""
    found = archive.find("Instance", StudyInstanceUID=study)
    with httpx.Client(base_url=archive.url) as client:
        return [dcmread(BytesIO(client.get(f"/instances/{one}/file").content)) for one in found]


def test_a_series_of_known_count_does_not_wait_and_its_results_are_committed_and_not_processed_when_they_come_back(
    archive: Archive, archive_node: RunningNode, knee: list[Path]
) -> None:
    sent = fresh(knee, counted=True)
    archive_node.send(sent.images)
    (job,) = archive_node.ended_jobs(1, study=sent.study)
    assert job.state == "done"
    came = in_archive(archive, sent.study)
    assert kinds(came)[MR] == 23  # 11 gaps of 4 mm in steps of 2 mm, both ends included
    assert kinds(came)["report"] == 1
    lines = outbox(archive_node, job.id)
    assert {(line.state, line.answer) for line in lines} == {("confirmed", "storage commitment")}
    assert {line.sop_instance_uid for line in lines} == {str(ds.SOPInstanceUID) for ds in came}

    by_the_archive = select(AssociationRow).where(AssociationRow.calling_ae_title == archive.ae_title)
    ended = by_the_archive.where(AssociationRow.ended.is_not(None), AssociationRow.stored == len(came))
    before = known(archive_node, sent.study)
    archive.post(
        "/modalities/ainode/store",
        {"Resources": archive.find("Study", StudyInstanceUID=sent.study), "Synchronous": True},
    )
    until(lambda: archive_node.all(ended), "the results are back on the node")
    assert known(archive_node, sent.study) == before
    stored = archive_node.all(select(InstanceRow.sop_instance_uid).where(InstanceRow.study_instance_uid == sent.study))
    assert set(stored) == sent.uids()  # the others are in the job's folder
    assert len(archive_node.jobs(sent.study)) == 1


def outbox(node: RunningNode, job: str) -> list[OutboxRow]:
    """What the node has to send for a job, wherever it belongs."""
    return node.all(select(OutboxRow).where(OutboxRow.job_id == job))


def known(node: RunningNode, study: str) -> tuple[object, ...]:
    """What the node says of a study: when something came, its series, and what was decided."""
    last_received = node.all(select(StudyRow.last_received).where(StudyRow.study_instance_uid == study))
    series = node.all(select(SeriesRow.series_instance_uid).where(SeriesRow.study_instance_uid == study))
    decisions = node.all(select(DecisionRow.id).where(DecisionRow.study_instance_uid == study))
    assert last_received
    return last_received, series, decisions


def test_the_same_images_again_change_nothing(node: RunningNode, knee: list[Path]) -> None:
    sent = fresh(knee)
    node.send(sent.images)
    node.ended_jobs(1, study=sent.study)
    before = {path: path.read_bytes() for path in results(node, sent.study)}
    node.send(sent.images)
    again = select(InstanceRow).where(InstanceRow.study_instance_uid == sent.study, InstanceRow.times_received == 2)
    until(lambda: len(node.all(again)) == len(knee), "the second receipts are recorded")
    assert len(node.jobs(sent.study)) == 1
    assert {path: path.read_bytes() for path in results(node, sent.study)} == before


def test_images_that_come_by_stow_take_the_same_way(node: RunningNode, knee: list[Path], tmp_path: Path) -> None:
    sent = fresh(knee)
    items = []
    for number, ds in enumerate(sent.images):
        path = tmp_path / f"{number}.dcm"
        ds.save_as(path)
        items.append(ObjectFile(ds.SOPClassUID, str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID), sent.study, path))
    delivery = DicomWebDelivery(
        "node", DicomWebDestination(kind="dicomweb", url=f"http://127.0.0.1:{node.page}/dicom-web")
    )
    assert {answer.outcome for _, answer in delivery.send(items)} == {Outcome.DELIVERED}
    delivery.close()
    (job,) = node.ended_jobs(1, study=sent.study)
    assert (job.state, set(job.sop_instance_uids)) == ("done", sent.uids())


def test_late_images_make_a_new_job_whose_report_names_the_one_before(node: RunningNode, knee: list[Path]) -> None:
    sent = fresh(knee)
    node.send(sent.images[:8])
    (first,) = node.ended_jobs(1, study=sent.study)
    node.send(sent.images[8:])
    _, second = node.ended_jobs(2, study=sent.study)
    assert second.predecessor == first.id
    assert len(second.sop_instance_uids) == 12
    reports = [ds for ds in results(node, sent.study).values() if ds.SOPClassUID.startswith(REPORTS)]
    (revised,) = [ds for ds in reports if "PredecessorDocumentsSequence" in ds]
    (other,) = [ds for ds in reports if ds is not revised]
    assert str(other.SOPInstanceUID) in str(revised.PredecessorDocumentsSequence)
    assert (other.SeriesInstanceUID, other.SeriesDescription) == (revised.SeriesInstanceUID, revised.SeriesDescription)
    assert (other.InstanceNumber, revised.InstanceNumber) == (1, 2)


def test_an_unsuitable_series_ends_with_a_reason_and_costs_the_next_one_nothing(
    node: RunningNode, knee: list[Path], tmp_path: Path
) -> None:
    samples.write_knee_with_gap(tmp_path)
    incomplete, whole = fresh(sorted(tmp_path.iterdir())), fresh(knee)
    node.send(incomplete.images)
    node.send(whole.images)
    (refused,) = node.ended_jobs(1, study=incomplete.study)
    assert refused.state == "unsuitable"
    assert "slice" in refused.reason
    (done,) = node.ended_jobs(1, study=whole.study)
    assert done.state == "done"


# ---- who and what comes in
def test_a_stranger_is_refused_and_the_refusal_is_on_record(node: RunningNode, knee: list[Path]) -> None:
    with pytest.raises(AssertionError, match="refused"):
        node.send(knee[:1], calling="STRANGER")
    refused = select(AssociationRow).where(AssociationRow.outcome == "refused")
    (record,) = until(lambda: node.all(refused), "the refusal is recorded")
    assert record.calling_ae_title == "STRANGER"


def test_odd_and_broken_instances_disturb_nothing(
    node: RunningNode, knee: list[Path], shared_data: Path, dcmtk: Callable[[str], Path]
) -> None:
    """Every file of the folders is offered by DCMTK, as it lies on disk; then a knee goes through."""
    whom = ["-aet", SENDER, "-aec", "CONDYLE", "127.0.0.1", str(node.port)]
    for folder in ("dicom-misc", "malformed"):
        subprocess.run(
            [dcmtk("storescu"), "--no-halt", "--scan-directories", "--recurse", *whom, str(shared_data / folder)],
            check=False,  # it complains of the files that it cannot read itself
            capture_output=True,
            timeout=120,
        )
    received = select(InstanceRow.sop_instance_uid)
    until(lambda: len(node.all(received)) > 20, "some of them are stored")
    processes = node.descendants()
    sent = fresh(knee)
    node.send(sent.images)
    (job,) = node.ended_jobs(1, study=sent.study)
    assert job.state == "done"
    assert set(processes) <= set(node.descendants())  # nothing died; a reader may have joined
    assert "cannot decide" not in node.log_text()


# ---- beginning and end
def test_a_killed_node_takes_its_children_with_it_and_does_what_was_due_when_it_is_back(
    node: RunningNode, knee: list[Path]
) -> None:
    sent = fresh(knee)
    node.send(sent.images)
    children = node.descendants()
    node.kill()
    until(lambda: not any(running(pid) for pid in children), "all children are gone")
    node.start()
    (job,) = node.ended_jobs(1, study=sent.study)
    assert job.state == "done"
    done = node.all(select(EventRow).where(EventRow.what == "infer", EventRow.job_id == job.id))
    assert len(done) == 1
    assert kinds(results(node, sent.study).values())[MR] == 23


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_receiver_that_dies_is_replaced_and_loses_nothing(node: RunningNode, knee: list[Path]) -> None:
    sent = fresh(knee, counted=True)
    node.send(sent.images[:3])  # too few for the route, if the other receiver takes longer than the node waits
    receiver = receiver_of(node)
    assert receiver is not None
    os.kill(receiver, signal.SIGKILL)
    until(lambda: receiver_of(node) not in (None, receiver), "there is another receiver")
    until(node.is_ready, "it is ready")
    node.send(sent.images[3:])
    (job,) = node.ended_jobs(1, study=sent.study)
    assert (job.state, set(job.sop_instance_uids)) == ("done", sent.uids())


def receiver_of(node: RunningNode) -> int | None:
    """The process that holds the DICOM port."""
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in node.descendants()}
    found = [pid for pid, command in commands.items() if command.exists() and b"node.receive" in command.read_bytes()]
    return found[-1] if found else None


def test_a_second_node_on_the_same_folder_is_turned_away_in_words(node: RunningNode, tmp_path: Path) -> None:
    second = folder_node(tmp_path, node={"data": str(node.folder / "data")})
    ended = subprocess.run(
        [sys.executable, "-m", "node", "serve", str(second.config)], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 3
    assert "in use by another node" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_told_to_end_leaves_no_process_and_no_port(node: RunningNode, number: signal.Signals) -> None:
    children = node.descendants()
    assert len(children) >= 2  # a receiver and a worker
    assert node.stop(number) == 0
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    for port in (node.port, node.page):
        socket.create_server(("127.0.0.1", port)).close()
