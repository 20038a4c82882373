"""A record and a knee study meet in a running node: the risk lands in the study, and nothing tells of the patient."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.demo import samples
from node.patient_records.store import new_key
from pipelines.knee_oa_risk.simulation.sample import demo_person, patient_bundle
from tests.fhir_peer import FhirPeer, predictions, serving
from tests.orthanc import free_port
from tests.running import RunningNode
from tests.test_flow import Sent, fresh
from tests.waiting import until

ROUTE = {"when": {"Modality": "MR"}, "level": "study", "pipeline": "knee_oa_risk", "destinations": ["out"]}
PDF, ENHANCED_SR, CAPTURE = (
    "1.2.840.10008.5.1.4.1.1.104.1",
    "1.2.840.10008.5.1.4.1.1.88.22",
    "1.2.840.10008.5.1.4.1.1.7",
)
SOON = {"series_quiet_s": 1, "study_quiet_s": 1}
INDEX, BORN = date(2026, 1, 5), date(1961, 2, 14)  # of the phantom's headers


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    people, person = demo_person()
    return patient_bundle(people, person, "DEMO-KNEE", "Phantom", "Knee", INDEX, BORN)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("knee")
    samples.write_knee(folder)
    return sorted(folder.glob("*.dcm"))[:4]


@pytest.fixture(scope="module")
def server() -> Iterator[FhirPeer]:
    """A FHIR server that knows somebody else, and is busy the first time it is given something."""
    peer = FhirPeer({"entry": [{"resource": {"resourceType": "Patient", "id": "patient"}}]}, statuses=(503,))
    with serving(peer.app) as peer.url:
        yield peer


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, server: FhirPeer) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("node")
    (folder / "records.key").write_bytes(new_key())
    mllp = free_port()
    settings = RunningNode(
        folder,
        receive=SOON,
        routes={"risk": ROUTE},
        destinations={"out": {"kind": "folder", "path": "out"}},
        records={
            "key_file": "records.key",
            "mllp": {"port": mllp},
            "fhir": {"url": f"{server.url}/r4", "identifier_system": "urn:h", "post_back": True},
        },
    )
    settings.mllp = mllp  # type: ignore[attr-defined]
    with settings as running:
        yield running


def results(node: RunningNode) -> dict[str, Dataset]:
    return {str(ds.SOPClassUID): ds for ds in map(dcmread, sorted((node.folder / "out").rglob("*.dcm")))}


def test_the_risk_of_a_posted_record_lands_in_the_patients_study_and_on_the_fhir_server(
    node: Any, record: dict[str, Any], study: list[Path], server: FhirPeer
) -> None:
    answer = httpx.post(f"http://127.0.0.1:{node.page}/fhir", json=record, timeout=60)
    assert answer.status_code == 200, answer.text
    assert set(node.send(study)) == {0}
    source = dcmread(study[0])
    (job,) = node.ended_jobs(1, seconds=180, study=source.StudyInstanceUID)
    assert (job.state, job.reason) == ("done", "")

    made = results(node)
    assert set(made) == {PDF, ENHANCED_SR, CAPTURE}
    for ds in made.values():
        assert ds.StudyInstanceUID == source.StudyInstanceUID
        assert ds.PatientID == source.PatientID
    report = made[ENHANCED_SR].to_json()
    assert "OA-RISK-5Y" in report
    assert "simulated" in report
    assert made[PDF].EncapsulatedDocument.startswith(b"%PDF")

    until(lambda: server.given, "the risk is on the FHIR server")
    given = RiskAssessment.model_validate(server.given[0])
    assert given.identifier is not None
    assert given.identifier[0].value == job.id
    assert given.basis is not None
    assert given.basis[0].identifier is not None
    assert given.basis[0].identifier.value == f"urn:oid:{source.StudyInstanceUID}"
    assert [prediction.years for prediction in predictions(given)] == [1, 3, 5]

    # a request gets its answer, and the server is given that too
    question = {"patient_id": "DEMO-KNEE", "index_date": INDEX.isoformat()}
    asked = httpx.post(f"http://127.0.0.1:{node.page}/risk", json=question, timeout=120)
    assert asked.status_code == 200, asked.text
    assert asked.json()["prediction"] == server.given[0]["prediction"]
    assert asked.json()["subject"]["identifier"] == {"value": "DEMO-KNEE", "system": "urn:h"}
    until(lambda: len(server.given) == 2, "the answer is on the FHIR server")
    assert server.given[1] == asked.json()

    # the record is on disk encrypted, and nowhere else; nothing that was logged names the patient
    kept = list((node.folder / "data" / "records").glob("*.record"))
    assert kept
    assert not any(b"DEMO-KNEE" in path.read_bytes() for path in kept)
    context = (node.folder / "data" / "jobs" / job.id / "context.plain").read_bytes()
    assert b"icd-10" not in context
    rows = b"".join(path.read_bytes() for path in (node.folder / "data").glob("node.db*"))
    log = node.log_text()
    for secret in ("DEMO-KNEE", "Phantom", "1961-02-14", "19610214"):
        assert secret not in log
        assert secret.encode() not in rows


def test_a_study_without_a_record_and_one_of_somebody_else_are_unsuitable_with_the_reason(
    node: Any, study: list[Path]
) -> None:
    first, later = of_somebody(study), of_somebody(study)
    node.send(first.images)
    (job,) = node.ended_jobs(1, seconds=180, study=first.study)
    assert (job.state, job.reason) == ("unsuitable", "no record of this patient has reached the node")

    message = (
        "MSH|^~\\&|HIS|S|CONDYLE|S|20251201||ADT^A08^ADT_A01|1|P|2.5\rEVN|A08|20251201\r"
        "PID|1||SOMEBODY^^^H^MR||Phantom^Knee||19620214|F\r"  # a year off
    )
    with socket.create_connection(("127.0.0.1", node.mllp), timeout=20) as connection:
        connection.sendall(b"\x0b" + message.encode() + b"\x1c\r")
        assert b"MSA|AA|1" in connection.recv(4096)
    node.send(later.images)
    (second,) = node.ended_jobs(1, seconds=180, study=later.study)
    assert second.state == "unsuitable"
    assert second.reason.endswith("birth date")
    # the whole date: four digits of it can also stand in the fractions of a second of a time in the log
    assert not any(
        date in second.reason + node.log_text() for date in ("19620214", "1962-02-14", "19610214", "1961-02-14")
    )


def of_somebody(files: list[Path]) -> Sent:
    """The images as those of a new study of a patient whose record no test posts."""
    new = fresh(files)
    for ds in new.images:
        ds.PatientID = "SOMEBODY"
    return new


def test_a_study_is_sending_until_the_fhir_server_of_its_route_is_back_after_a_restart_and_has_its_risk_once(
    tmp_path: Path, record: dict[str, Any], study: list[Path]
) -> None:
    peer = FhirPeer({"entry": [{"resource": {"resourceType": "Patient", "id": "patient"}}]}, statuses=(503,))
    port = free_port()
    emr = {"kind": "fhir", "url": f"http://127.0.0.1:{port}/r4", "identifier_system": "urn:h", "confirm": True}
    settings = RunningNode(
        tmp_path,
        receive=SOON,
        routes={"risk": {**ROUTE, "destinations": ["out", "emr"]}},
        destinations={"out": {"kind": "folder", "path": "out"}, "emr": emr},
    )
    with settings as node:
        assert httpx.post(f"http://127.0.0.1:{node.page}/fhir", json=record, timeout=60).status_code == 200
        node.send(study)
        until(lambda: len(results(node)) == 3, "the DICOM objects are delivered", 180)
        until(lambda: "destination cannot be reached" in node.log_text(), "the FHIR server was tried")
        assert [job.state for job in node.jobs()] == ["sending"]
        assert not list((node.folder / "out").rglob("*.json"))  # a DICOM destination gets no FHIR resource
        node.kill()
        with serving(peer.app, port):
            node.start()
            (job,) = node.ended_jobs(1, seconds=120)
    assert (job.state, job.reason) == ("done", "")
    (given,) = peer.given
    assert given["identifier"] == [{"system": "urn:condyle:job", "value": job.id}]
    assert given["subject"]["identifier"] == {"value": "DEMO-KNEE", "system": "urn:h"}
