"""Records and risks over HTTP, a FHIR server as a peer, and the look-up for a study: all on real sockets."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from starlette.applications import Starlette

from dicom_sr.errors import UnsuitableInput
from node.config import Configuration, FhirServer, NodeSettings, RecordSettings
from node.config.checks import listening_socket
from node.errors import PeerUnavailable
from node.patient_records.look_up import Contexts, open_patient_records
from node.patient_records.service import RecordService
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.simulation.sample import patient_bundle
from tests.fhir_peer import FhirPeer, serving

DAY = date(2026, 1, 5)


def configuration(folder: Path, **records: Any) -> Configuration:
    return Configuration(node=NodeSettings(data=folder), records=RecordSettings(**records))


@contextmanager
def node(settings: Configuration) -> Iterator[str]:
    service = RecordService(settings)
    service.start()
    try:
        with serving(Starlette(routes=service.routes())) as url:
            yield url
    finally:
        service.stop()


@pytest.fixture(scope="module")
def person() -> dict[str, Any]:
    """The bundle of a simulated woman of about 60 with three years of history."""
    people = simulate(200, 3)
    fits = people.female & (abs(people.age - 60) < 4) & (people.observed_weeks == 157)
    return patient_bundle(people, int(fits.argmax()), "P-1", "Doe", "Jane", DAY)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with node(configuration(tmp_path_factory.mktemp("node"))) as url:
        yield url


def study_file(folder: Path, birth_date: str, name: str = "DOE^JANE", patient_id: str = "P-1") -> Path:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = patient_id, name, birth_date, "F"
    ds.StudyDate, ds.Modality = "20260105", "MR"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def born(bundle: dict[str, Any]) -> str:
    return bundle["entry"][0]["resource"]["birthDate"].replace("-", "")


# ---- bundle in, risk out
def test_a_posted_record_is_kept_and_a_risk_is_answered_as_a_valid_risk_assessment(
    here: str, person: dict[str, Any]
) -> None:
    taken = httpx.post(f"{here}/fhir", json=person, timeout=60)
    assert taken.status_code == 200
    assert taken.json()["resourceType"] == "OperationOutcome"
    assert taken.json()["issue"][0]["diagnostics"].startswith("1 record(s)")

    asked = httpx.post(f"{here}/risk", json={"patient_id": "P-1", "index_date": DAY.isoformat()}, timeout=120)
    assert asked.status_code == 200, asked.text
    assert asked.headers["content-type"].startswith("application/fhir+json")
    answer = RiskAssessment.model_validate(asked.json())
    risks = [float(prediction.probabilityDecimal) for prediction in answer.prediction]
    assert [int(prediction.whenRange.high.value) for prediction in answer.prediction] == [1, 3, 5]
    assert risks == sorted(risks)
    assert 0.0 < risks[0] < risks[-1] < 1.0
    assert "90% interval" in answer.prediction[0].rationale
    assert any("simulated" in note.text for note in answer.note)


def test_a_request_that_the_model_cannot_answer_says_why(here: str, person: dict[str, Any]) -> None:
    httpx.post(f"{here}/fhir", json=person, timeout=60)
    early = httpx.post(f"{here}/risk", json={"patient_id": "P-1", "index_date": "1980-01-01"}, timeout=120)
    assert early.status_code == 422
    assert "outside that range" in early.json()["issue"][0]["diagnostics"]
    unknown = httpx.post(f"{here}/risk", json={"patient_id": "P-9"}, timeout=60)
    assert unknown.status_code == 422
    assert "no record" in unknown.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/fhir", b"not json", 400),
        ("/fhir", b"\xff\xfe", 400),
        ("/fhir", b"[]", 400),
        ("/fhir", b"[" * 100_000, 400),
        ("/fhir", b'{"resourceType": "Patient"}', 422),
        ("/risk", b"{}", 400),
        ("/risk", b'{"patient_id": "P-1", "index_date": "yesterday"}', 400),
        ("/risk", b'{"patient_id": "P-1", "index_date": "2999-01-01"}', 422),
        ("/risk", b'{"patient_id": "P-1", "index_date": "0001-01-01"}', 422),
    ],
)
def test_bad_requests_are_told_so(here: str, path: str, content: Any, status: int) -> None:
    answer = httpx.post(here + path, content=content, timeout=60)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_with_a_token_nothing_goes_without_it(tmp_path: Path, person: dict[str, Any]) -> None:
    with node(configuration(tmp_path, token="s3cret")) as url:
        headers = {"Authorization": "Bearer s3cret"}
        assert httpx.post(f"{url}/fhir", json=person, timeout=60).status_code == 401
        assert httpx.post(f"{url}/risk", json={"patient_id": "x"}, timeout=60).status_code == 401
        assert httpx.post(f"{url}/fhir", json=person, headers=headers, timeout=60).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "fhir-knee-oa/Lee_Hegmann_1b0d5fb7-16f1-4f8a-8d3c-8638e353f349",
        "fhir-control/Edward_Gulgowski_43481611-2459-44f5-ab20-4b142dac160f",
    ],
)
def test_shared_bundles_are_answered_with_a_risk_or_a_reason(here: str, shared_data: Path, name: str) -> None:
    content = json.loads((shared_data / "emr" / f"{name}.json").read_text(encoding="utf-8"))
    patient = next(e["resource"] for e in content["entry"] if e["resource"]["resourceType"] == "Patient")
    number = next(
        i["value"] for i in patient["identifier"] if (i.get("type") or {}).get("coding", [{}])[0].get("code") == "MR"
    )
    assert httpx.post(f"{here}/fhir/Bundle", json=content, timeout=60).status_code == 200
    answer = httpx.post(f"{here}/risk", json={"patient_id": number, "index_date": "2021-01-01"}, timeout=120)
    if "knee-oa" in name:
        assert (answer.status_code, "already on record" in answer.text) == (422, True)
    else:
        assert (answer.status_code, "outside that range" in answer.text) == (422, True)  # 28 years old


def test_a_record_of_somebody_else_among_others_costs_them_nothing(here: str, person: dict[str, Any]) -> None:
    httpx.post(f"{here}/fhir", json=person, timeout=60)
    (stranger, *_), other = person["entry"], {"fullUrl": "urn:uuid:1", "resource": dict(person["entry"][0]["resource"])}
    other["resource"].update(id="other", identifier=[{"value": "P-7"}])
    wrong = {"fullUrl": "urn:uuid:2", "resource": {**stranger["resource"], "id": "wrong", "birthDate": "1901-01-01"}}
    taken = httpx.post(f"{here}/fhir", json={"resourceType": "Bundle", "entry": [wrong, other]}, timeout=60)
    assert taken.status_code == 200
    told = taken.json()["issue"][0]["diagnostics"]
    assert told.startswith("1 record(s)")
    assert "disagree in: birth date" in told
    assert "1901" not in told


def test_a_killed_assessor_is_replaced(here: str, person: dict[str, Any]) -> None:
    httpx.post(f"{here}/fhir", json=person, timeout=60)
    question = {"patient_id": "P-1", "index_date": DAY.isoformat()}
    first = httpx.post(f"{here}/risk", json=question, timeout=120)
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    again = httpx.post(f"{here}/risk", json=question, timeout=120)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["prediction"] == first.json()["prediction"]


# ---- the record of a study
def test_the_record_that_fits_the_study_is_found(tmp_path: Path, person: dict[str, Any]) -> None:
    settings = configuration(tmp_path / "node")
    contexts = Contexts(settings, open_patient_records(settings))
    service = RecordService(settings)
    service._intake.bundle(person)
    context = contexts("knee_oa_risk", [study_file(tmp_path, born(person))])
    assert context.index_date == DAY
    assert context.events
    assert contexts("knee_super_resolution", [study_file(tmp_path, born(person))]) is None
    assert contexts("knee_oa_risk", [study_file(tmp_path, born(person), patient_id="P-2")]) is None


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"birth_date": "19010101"}, "birth date"),
        ({"name": "ROE^JANE"}, "family name"),
        ({"name": "DOE^JOHN"}, "given name"),
        ({"birth_date": "", "name": ""}, "neither can be compared"),
    ],
)
def test_a_record_of_somebody_else_is_never_used_and_the_field_is_named_without_its_value(
    tmp_path: Path, person: dict[str, Any], fields: Any, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = configuration(tmp_path / "node")
    RecordService(settings)._intake.bundle(person)
    path = study_file(tmp_path, **{"birth_date": born(person), **fields})
    with pytest.raises(UnsuitableInput, match=what) as error:
        Contexts(settings, open_patient_records(settings))("knee_oa_risk", [path])
    told = str(error.value) + caplog.text
    assert not any(secret in told for secret in ("1901", "ROE", "JOHN", "Doe", "Jane", "P-1", born(person)))


# ---- a FHIR server as a peer
@pytest.mark.parametrize("everything", [True, False])
def test_a_record_is_fetched_from_the_fhir_server_when_a_study_needs_it(
    tmp_path: Path, person: dict[str, Any], everything: bool
) -> None:
    peer = FhirPeer(person, everything)
    (tmp_path / "token").write_text("t0ken\n")
    with serving(peer.app) as url:
        server = FhirServer(url=f"{url}/r4", token_file=tmp_path / "token", identifier_system="urn:h")
        settings = configuration(tmp_path / "node", fhir=server)
        contexts = Contexts(settings, open_patient_records(settings))
        context = contexts("knee_oa_risk", [study_file(tmp_path, born(person))])
        assert contexts("knee_oa_risk", [study_file(tmp_path, born(person), patient_id="P-2")]) is None
    assert len(context.events) == len({json.dumps(r, sort_keys=True) for r in peer.resources}) - 1
    assert peer.tokens == {"Bearer t0ken"}


def test_the_token_goes_to_no_other_server_whatever_the_next_page_says(tmp_path: Path, person: dict[str, Any]) -> None:
    peer, stranger = FhirPeer(person), FhirPeer(person)
    (tmp_path / "token").write_text("t0ken")
    with serving(peer.app) as url, serving(stranger.app) as elsewhere:
        peer.pages = f"{elsewhere}/"  # the same machine, another port
        server = FhirServer(url=f"{url}/r4", token_file=tmp_path / "token", identifier_system="urn:h")
        settings = configuration(tmp_path / "node", fhir=server)
        context = Contexts(settings, open_patient_records(settings))(
            "knee_oa_risk", [study_file(tmp_path, born(person))]
        )
    assert context.events  # searched for instead
    assert stranger.tokens == set()


def test_two_patients_under_one_identifier_are_no_patient(tmp_path: Path, person: dict[str, Any]) -> None:
    peer = FhirPeer(person)
    peer.patients = 2
    peer.resources.insert(1, {**peer.resources[0], "id": "other"})
    with serving(peer.app) as url:
        settings = configuration(tmp_path / "node", fhir=FhirServer(url=f"{url}/r4", identifier_system="urn:h"))
        contexts = Contexts(settings, open_patient_records(settings))
        assert contexts("knee_oa_risk", [study_file(tmp_path, born(person))]) is None


def test_a_fhir_server_that_is_away_is_a_reason_to_try_again_later(tmp_path: Path, person: dict[str, Any]) -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    settings = configuration(tmp_path / "node", fhir=FhirServer(url=f"http://127.0.0.1:{port}/r4"))
    with pytest.raises(PeerUnavailable) as error:
        Contexts(settings, open_patient_records(settings), ())("knee_oa_risk", [study_file(tmp_path, born(person))])
    assert "P-1" not in str(error.value)


@pytest.mark.parametrize("status", [503, 401])
def test_a_fhir_server_that_was_busy_or_refused_the_token_is_asked_again(
    tmp_path: Path, person: dict[str, Any], status: int
) -> None:
    peer = FhirPeer(person)
    peer.busy = [status, status]
    with serving(peer.app) as url:
        settings = configuration(tmp_path / "node", fhir=FhirServer(url=f"{url}/r4", identifier_system="urn:h"))
        study = [study_file(tmp_path, born(person))]
        with pytest.raises(PeerUnavailable, match=str(status)):  # it is never taken for a missing record
            Contexts(settings, open_patient_records(settings), (0.0,))("knee_oa_risk", study)
        peer.busy = [status, status]
        assert Contexts(settings, open_patient_records(settings), (0.0, 0.0))("knee_oa_risk", study) is not None


def test_an_answer_is_posted_back_where_that_is_configured(tmp_path: Path, person: dict[str, Any]) -> None:
    peer = FhirPeer(person)
    with serving(peer.app) as url:
        server = FhirServer(url=f"{url}/r4", identifier_system="urn:h", post_back=True)
        with node(configuration(tmp_path / "node", fhir=server)) as here:
            content = {"patient_id": "P-1", "index_date": DAY.isoformat()}
            answer = httpx.post(f"{here}/risk", json=content, timeout=120)
    assert answer.status_code == 200, answer.text
    assert peer.given == [answer.json()]
    assert answer.json()["subject"]["identifier"] == {"value": "P-1", "system": "urn:h"}


def test_the_record_in_a_jobs_folder_is_encrypted_when_records_are(tmp_path: Path, person: dict[str, Any]) -> None:
    from node.patient_records.store import new_key
    from node.run.job_folder import JobFolder
    from pipelines.records.fhir import read_bundle

    (tmp_path / "key").write_bytes(new_key())
    (record,) = read_bundle(person, {}).records
    context = replace(record.context(DAY), source="a source that can be searched for")
    for key, found in ((None, True), (tmp_path / "key", False)):
        folder = JobFolder(tmp_path / f"job-{found}")
        folder.write_context(context, key)
        assert (b"a source that can be searched for" in (folder.path / "context.pickle").read_bytes()) == found
        assert folder.read_context() == context


def test_pydicom_still_reads_what_the_tests_write(tmp_path: Path) -> None:
    assert pydicom.dcmread(study_file(tmp_path, "19600101")).PatientBirthDate == "19600101"
