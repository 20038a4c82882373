"""The record of a study or of a request: looked up here or on a FHIR server, held against the images, never guessed."""

from __future__ import annotations

import json
import logging
from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from dicom_sr.errors import UnsuitableInput
from node.config import Configuration, FhirServer, NodeSettings, RecordSettings
from node.config.checks import listening_socket
from node.errors import PeerUnavailable
from node.patient_records.intake import Intake
from node.patient_records.look_up import RecordLookUp, open_patient_records
from node.patient_records.patient_changes import open_patient_changes
from node.reading import HERE
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.simulation.sample import patient_bundle
from tests.fhir_peer import FhirPeer, serving
from tests.node.patient_records.adt import incoming

DAY = date(2026, 1, 5)


def configuration(folder: Path, **records: Any) -> Configuration:
    return Configuration(node=NodeSettings(data=folder), records=RecordSettings(**records))


def take_in(settings: Configuration, bundle: dict[str, Any]) -> None:
    Intake(open_patient_records(settings), settings.records, HERE).bundle(json.dumps(bundle).encode())


def look_up(settings: Configuration, *pauses_s: float) -> RecordLookUp:
    return RecordLookUp(settings, open_patient_records(settings), HERE, pauses_s)


@pytest.fixture(scope="module")
def person() -> dict[str, Any]:
    """The bundle of a simulated woman of about 60 with three years of history."""
    people = simulate(200, 3)
    fits = people.female & (abs(people.age - 60) < 4) & (people.observed_weeks == 157)
    return patient_bundle(people, int(fits.argmax()), "P-1", "Doe", "Jane", DAY)


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
    return str(bundle["entry"][0]["resource"]["birthDate"]).replace("-", "")


def test_the_record_that_fits_the_study_is_found(tmp_path: Path, person: dict[str, Any]) -> None:
    settings = configuration(tmp_path / "node")
    contexts = look_up(settings).for_study
    take_in(settings, person)
    context = contexts("knee_oa_risk", [study_file(tmp_path, born(person))])
    assert context is not None
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
    tmp_path: Path, person: dict[str, Any], fields: dict[str, Any], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = configuration(tmp_path / "node")
    take_in(settings, person)
    path = study_file(tmp_path, **{"birth_date": born(person), **fields})
    with pytest.raises(UnsuitableInput, match=what) as error:
        look_up(settings).for_study("knee_oa_risk", [path])
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
        contexts = look_up(settings, 1.0, 4.0).for_study
        context = contexts("knee_oa_risk", [study_file(tmp_path, born(person))])
        assert contexts("knee_oa_risk", [study_file(tmp_path, born(person), patient_id="P-2")]) is None
    assert context is not None
    assert len(context.events) == len({json.dumps(r, sort_keys=True) for r in peer.resources}) - 1
    assert peer.tokens == {"Bearer t0ken"}


def test_the_token_goes_to_no_other_server_whatever_the_next_page_says(tmp_path: Path, person: dict[str, Any]) -> None:
    peer, stranger = FhirPeer(person), FhirPeer(person)
    (tmp_path / "token").write_text("t0ken")
    with serving(peer.app) as url, serving(stranger.app) as elsewhere:
        peer.pages = f"{elsewhere}/"  # the same machine, another port
        server = FhirServer(url=f"{url}/r4", token_file=tmp_path / "token", identifier_system="urn:h")
        settings = configuration(tmp_path / "node", fhir=server)
        context = look_up(settings).for_study("knee_oa_risk", [study_file(tmp_path, born(person))])
    assert context is not None
    assert context.events  # searched for instead
    assert stranger.tokens == set()


def test_a_record_that_is_too_large_is_not_told_as_none(
    tmp_path: Path, person: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.network.fhir_client.VALUES", 1000)
    with serving(FhirPeer(person).app) as url:
        settings = configuration(tmp_path / "node", fhir=FhirServer(url=f"{url}/r4", identifier_system="urn:h"))
        with pytest.raises(UnsuitableInput, match=r"^the FHIR server's record has more than 1,000 values$"):
            look_up(settings).for_study("knee_oa_risk", [study_file(tmp_path, born(person))])


def test_two_patients_under_one_identifier_are_no_patient(tmp_path: Path, person: dict[str, Any]) -> None:
    peer = FhirPeer(person)
    peer.patients = 2
    peer.resources.insert(1, {**peer.resources[0], "id": "other"})
    with serving(peer.app) as url:
        settings = configuration(tmp_path / "node", fhir=FhirServer(url=f"{url}/r4", identifier_system="urn:h"))
        contexts = look_up(settings, 1.0, 4.0).for_study
        assert contexts("knee_oa_risk", [study_file(tmp_path, born(person))]) is None


def test_a_fhir_server_that_is_away_is_a_reason_to_try_again_later(tmp_path: Path, person: dict[str, Any]) -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    settings = configuration(tmp_path / "node", fhir=FhirServer(url=f"http://127.0.0.1:{port}/r4"))
    with pytest.raises(PeerUnavailable) as error:
        look_up(settings).for_study("knee_oa_risk", [study_file(tmp_path, born(person))])
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
            look_up(settings, 0.0).for_study("knee_oa_risk", study)
        peer.busy = [status, status]
        assert look_up(settings, 0.0, 0.0).for_study("knee_oa_risk", study) is not None


def test_pydicom_still_reads_what_the_tests_write(tmp_path: Path) -> None:
    assert pydicom.dcmread(study_file(tmp_path, "19600101")).PatientBirthDate == "19600101"


def test_the_record_of_a_merged_patient_is_found_for_images_and_requests_of_the_prior_patient_id(
    tmp_path: Path, person: dict[str, Any]
) -> None:
    settings = configuration(tmp_path / "node", issuers={"HOSP": ""}, patient_changes=True)
    records = open_patient_records(settings)
    changes = open_patient_changes(settings, records)
    asked = RecordLookUp(settings, records, HERE, changes=changes)
    prior = study_file(tmp_path, "19000101", "UNKNOWN^TRAUMA", "TEMP")
    take_in(configuration(tmp_path / "node"), person)
    assert asked.for_study("knee_oa_risk", [prior]) is None
    merge = incoming("A40", "P-1", "TEMP", name="Doe^Jane", born=born(person))
    Intake(records, settings.records, HERE, changes).message(merge)
    context = asked.for_study("knee_oa_risk", [prior])
    assert context is not None
    assert len(context.events) > 1
    assert asked.for_request("TEMP", None).identity.patient_id == "P-1"
