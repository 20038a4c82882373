from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_sr.errors import EncodingError
from dicom_sr.profile import DICOM_KINDS, EncodedObject, EncodingProfile, kind_of
from dicom_sr.read.headers import PATIENT, STUDY, made_by_us
from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.write.encode import encode
from dicom_sr.write.rejection_note import encode_rejection_note
from pipelines.example import CREATED
from tests.dicom_sr import every_kind, taken_back, validators
from tests.orthanc import Archive


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("taken-back")


@pytest.fixture(scope="module")
def objects(folder: Path) -> tuple[EncodedObject, ...]:
    example = every_kind.every_kind(folder / "source", (6, 64, 64))
    return encode(example.result, EncodingProfile(kinds=DICOM_KINDS), CREATED, folder / "out")


@pytest.fixture(scope="module")
def note(folder: Path, objects: tuple[EncodedObject, ...]) -> Dataset:
    return pydicom.dcmread(taken_back.note_of(objects, folder / "note").path)


def test_a_note_refers_to_every_object_in_its_tree_and_as_evidence(
    note: Dataset, objects: tuple[EncodedObject, ...]
) -> None:
    sent = {one.sop_instance_uid: one for one in objects if one.kind != "segmentation_labelmap"}
    items = {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID): item
        for item in note.ContentSequence
        if "ReferencedSOPSequence" in item
    }
    assert items.keys() == sent.keys()
    no_images = {sent[uid].kind for uid, item in items.items() if item.ValueType == "COMPOSITE"}
    assert no_images == {"report", "key_objects"}
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    evidence = {
        (str(series.SeriesInstanceUID), str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID))
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert evidence == {(one.series_instance_uid, one.sop_class_uid, uid) for uid, one in sent.items()}


def test_a_note_says_why_by_its_title_and_in_words(note: Dataset) -> None:
    assert (note.Modality, note.ConceptNameCodeSequence[0].CodeValue) == ("KO", "113037")
    (text,) = (item.TextValue for item in note.ContentSequence if item.ValueType == "TEXT")
    assert text == taken_back.WHY
    assert kind_of(note) == "rejection_note"
    note_without_title = Dataset()
    note_without_title.SOPClassUID = note.SOPClassUID
    assert kind_of(note_without_title) == "key_objects"


def test_a_note_is_of_the_same_patient_and_study_and_made_by_this_installation(
    note: Dataset, objects: tuple[EncodedObject, ...]
) -> None:
    report = pydicom.dcmread(next(one.path for one in objects if one.kind == "report"))
    for keyword in (*PATIENT, *STUDY):
        assert note.get(keyword) == report.get(keyword), keyword
    assert made_by_us(note)
    assert (note.InstitutionName, note.DeviceSerialNumber) == ("St. Elsewhere", "A7")
    assert str(note.SeriesInstanceUID) not in {one.series_instance_uid for one in objects}


def test_the_same_withdrawal_is_the_same_note_and_another_reason_is_another(
    folder: Path, objects: tuple[EncodedObject, ...]
) -> None:
    first = taken_back.note_of(objects, folder / "first")
    again = taken_back.note_of(objects[::-1], folder / "again")
    assert first.path.read_bytes() == again.path.read_bytes()
    other = taken_back.note_of(objects, folder / "first", RejectionReason.QUALITY)
    assert other.sop_instance_uid != first.sop_instance_uid
    assert other.path != first.path


def test_a_note_holds_its_time_in_the_zone_of_the_images(folder: Path, objects: tuple[EncodedObject, ...]) -> None:
    like = pydicom.dcmread(objects[0].path)
    like.TimezoneOffsetFromUTC = "-0500"
    when = datetime(2026, 12, 1, 3, 8, 7, tzinfo=UTC)
    note = encode_rejection_note(
        objects, like, RejectionReason.RETENTION, "Kept long enough.", when, taken_back.PROFILE, folder / "zone"
    )
    ds = pydicom.dcmread(note.path)
    assert (ds.ContentDate, ds.ContentTime, ds.TimezoneOffsetFromUTC) == ("20261130", "220807", "-0500")


def test_a_note_is_of_one_study_and_of_dicom_objects(folder: Path, objects: tuple[EncodedObject, ...]) -> None:
    elsewhere = replace(objects[0], study_instance_uid="2.25.1")
    resources = [replace(one, sop_class_uid="") for one in objects]
    for wrong in ([elsewhere, *objects], resources):
        with pytest.raises(EncodingError, match="one study"):
            taken_back.note_of(wrong, folder / "none")


@pytest.mark.validators
@pytest.mark.parametrize("reason", list(RejectionReason), ids=lambda reason: reason.word)
def test_no_title_is_an_error_to_dciodvfy(
    reason: RejectionReason, folder: Path, objects: tuple[EncodedObject, ...]
) -> None:
    note = taken_back.note_of(objects, folder / reason.word, reason)
    assert validators.dciodvfy(note.path) == ([], [])


@pytest.mark.orthanc
def test_an_archive_takes_the_note_and_finds_it(
    orthanc: Archive, folder: Path, objects: tuple[EncodedObject, ...]
) -> None:
    note = taken_back.note_of(objects, folder / "note")
    orthanc.upload(note.path)
    assert orthanc.sop_instance_uids() == {note.sop_instance_uid}
    assert len(orthanc.find("Series", StudyInstanceUID=note.study_instance_uid, Modality="KO")) == 1
