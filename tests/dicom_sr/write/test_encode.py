from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from dicom_sr import codes, phantoms
from dicom_sr.findings import Heatmap, ImageReference, NotRun, Region, Result, Segment
from dicom_sr.profile import DICOM_KINDS
from dicom_sr.provenance import Provenance
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.series import Study, read_studies
from dicom_sr.write.encode import EncodedObject, Encoding, EncodingProfile, encode
from tests.dicom_sr.conftest import CREATED, Encode
from tests.factories import (
    MODEL,
    changed,
    cine_study,
    enhanced_mr,
    joint_result,
    knee_result,
    knee_study,
    radiograph_study,
    square,
)


def write(
    result: Result | NotRun, folder: Path, created: datetime = CREATED, **fields: object
) -> tuple[EncodedObject, ...]:
    return encode(result, EncodingProfile(**fields), created, folder)  # type: ignore[arg-type]


def test_a_second_run_is_byte_identical(tmp_path: Path) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    first, second = (write(result, tmp_path / name) for name in ("a", "b"))
    assert len(first) > 10
    assert [(o.sop_instance_uid, o.sha256) for o in first] == [(o.sop_instance_uid, o.sha256) for o in second]
    assert all(hashlib.sha256(o.path.read_bytes()).hexdigest() == o.sha256 for o in first)


def test_the_derived_series_come_first_and_the_bytes_are_those_of_one_go(tmp_path: Path) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    whole = write(result, tmp_path / "whole")
    encoding = Encoding(result, EncodingProfile(), CREATED, tmp_path / "parts")
    series = encoding.derived_series()
    assert {one.kind for one in series} == {"derived_series"}
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {one.path.name for one in series}
    parts = (*series, *encoding.rest().objects)
    assert [(o.sop_instance_uid, o.sha256) for o in parts] == [(o.sop_instance_uid, o.sha256) for o in whole]


def test_what_is_said_of_an_object_is_what_it_holds(tmp_path: Path) -> None:
    for one in write(knee_result(knee_study(tmp_path / "in")), tmp_path / "out"):
        ds = pydicom.dcmread(one.path)
        assert (ds.SOPClassUID, ds.SOPInstanceUID) == (one.sop_class_uid, one.sop_instance_uid)
        assert (ds.SeriesInstanceUID, ds.StudyInstanceUID) == (one.series_instance_uid, one.study_instance_uid)
        assert ds.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"


def tracking(objects: tuple[EncodedObject, ...]) -> set[str]:
    found = set()
    for one in objects:
        for item in items(pydicom.dcmread(one.path, stop_before_pixels=True)):
            if "UID" in item and item.ConceptNameCodeSequence[0].CodeValue == "112040":  # Tracking Unique Identifier
                found.add(str(item.UID))
    return found


def items(ds: Dataset) -> Iterator[Dataset]:
    for element in ds:
        for item in element.value if element.VR == "SQ" else ():
            yield item
            yield from items(item)


def test_a_new_model_makes_new_objects_that_track_the_same_things(tmp_path: Path) -> None:
    study = radiograph_study(tmp_path / "in")
    old = joint_result(study)
    new = replace(old, model=replace(old.model, version="1.1", weights_digest="ef" * 32))
    before, after = (write(result, tmp_path / name, kinds=("report",)) for name, result in (("a", old), ("b", new)))
    assert not {o.sop_instance_uid for o in before} & {o.sop_instance_uid for o in after}
    assert not {o.series_instance_uid for o in before} & {o.series_instance_uid for o in after}
    assert tracking(before) == tracking(after) != set()


def test_late_images_make_new_objects(tmp_path: Path) -> None:
    study = knee_study(tmp_path / "in")
    series = study.series[0]
    fewer = replace(series, instances=series.instances[:-1])
    whole, part = (
        write(replace(knee_result(study), evidence=(one,), derived=()), tmp_path / name, kinds=("secondary_capture",))
        for name, one in (("a", series), ("b", fewer))
    )
    assert whole[0].sop_instance_uid != part[0].sop_instance_uid


def test_settings_that_change_the_bytes_change_the_identity(tmp_path: Path) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    made: dict[str, str] = {}
    settings: tuple[dict[str, Any], ...] = (
        {},
        {"institution": "A"},
        {"synthetic_data": False},
        {"device_serial_number": "7"},
    )
    for number, fields in enumerate(settings):
        for one in write(result, tmp_path / str(number), kinds=("derived_series",), **fields):
            assert made.setdefault(one.sop_instance_uid, one.sha256) == one.sha256


def test_only_what_the_profile_asks_for_is_written(tmp_path: Path) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    objects = write(result, tmp_path / "out", kinds=("secondary_capture",))
    assert [o.kind for o in objects] == ["secondary_capture"]
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_nothing_refers_to_a_derived_series_that_stays_behind(tmp_path: Path) -> None:
    study = knee_study(tmp_path / "in")
    result = knee_result(study)
    volume = result.derived[0].volume
    mask = volume.with_array(np.asarray(volume.array) > 800)
    segment = Segment("Bright", standard.SCT.AnatomicalStructure, codes.KNEE, mask)
    result = replace(result, segments=(segment,))
    everything = write(result, tmp_path / "all")
    without = write(result, tmp_path / "some", kinds=tuple(k for k in EncodingProfile().kinds if k != "derived_series"))
    assert {o.kind for o in without} == {"secondary_capture", "report"}
    derived = {o.sop_instance_uid for o in everything if o.kind == "derived_series"}
    for one in without:
        referenced = {
            str(e.value) for e in pydicom.dcmread(one.path).iterall() if e.keyword == "ReferencedSOPInstanceUID"
        }
        assert referenced
        assert not referenced & derived
    reports = [{o.sop_instance_uid for o in objects if o.kind == "report"} for objects in (everything, without)]
    assert not reports[0] & reports[1]  # other trees, other reports


def test_images_go_before_what_refers_to_them(tmp_path: Path) -> None:
    kinds = [o.kind for o in write(knee_result(knee_study(tmp_path / "in")), tmp_path / "out")]
    assert list(dict.fromkeys(kinds)) == ["derived_series", "secondary_capture", "parametric_map", "report"]


def test_a_report_and_its_twin_say_so(tmp_path: Path) -> None:
    first, twin = write(joint_result(radiograph_study(tmp_path / "in")), tmp_path / "out", kinds=("report",))
    assert (first.twin_of, twin.twin_of) == (None, first.sop_instance_uid)


def test_a_pipeline_that_did_not_run_is_silent_unless_the_site_wants_to_see_it(tmp_path: Path) -> None:
    missing = NotRun(MODEL, "Knee MR super-resolution", knee_study(tmp_path / "in").series, "too few slices")
    assert write(missing, tmp_path / "out") == ()
    objects = write(missing, tmp_path / "out", not_run_reports=True)
    assert {o.kind for o in objects} == {"secondary_capture", "report"}


def test_series_numbers_are_unique_and_come_last(tmp_path: Path) -> None:
    study = knee_study(tmp_path / "in", echo_times_ms=(10.0, 20.0, 30.0))
    headers = [pydicom.dcmread(o.path) for o in write(knee_result(study), tmp_path / "out")]
    numbers = {ds.SeriesInstanceUID: int(ds.SeriesNumber) for ds in headers}
    assert len(set(numbers.values())) == len(numbers)
    assert all(1000 < n < 2**31 and n % 1000 == 4 for n in numbers.values())  # the source is series 4
    assert all(str(ds.SeriesDescription).startswith("AI ") and len(ds.SeriesDescription) <= 64 for ds in headers)


def test_times_follow_the_time_zone_of_the_source(tmp_path: Path, encoded: Encode) -> None:
    def zoned(_: int, ds: Dataset) -> Dataset:
        ds.TimezoneOffsetFromUTC = "-0330"
        return ds

    result = joint_result(changed(radiograph_study(tmp_path / "in"), zoned))
    (ds,) = encoded(result, "secondary_capture")["secondary_capture"]
    local = CREATED.astimezone(timezone(-timedelta(hours=3, minutes=30)))
    assert (ds.ContentDate, ds.ContentTime) == (local.strftime("%Y%m%d"), local.strftime("%H%M%S"))
    assert ds.TimezoneOffsetFromUTC == "-0330"


def test_no_time_is_the_clocks(tmp_path: Path) -> None:
    moment = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    for one in write(knee_result(knee_study(tmp_path / "in")), tmp_path / "out", moment):
        for element in pydicom.dcmread(one.path, stop_before_pixels=True).iterall():
            if element.VR in ("DA", "DT") and element.value:
                assert str(element.value)[:8] in ("20310203", "20261120", "19600229"), element.keyword


def test_lossy_compression_of_a_source_is_told(tmp_path: Path, encoded: Encode) -> None:
    def lossy(_: int, ds: Dataset) -> Dataset:
        ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", "12"
        ds.LossyImageCompressionMethod = "ISO_10918_1"
        return ds

    result = knee_result(changed(knee_study(tmp_path / "in"), lossy))
    objects = encoded(result, "derived_series", "secondary_capture")
    for ds in (objects["derived_series"][0], objects["secondary_capture"][0]):
        assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_10918_1")


VERBATIM = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight"),
    *("PatientSize", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "StudyDescription"),
    *("ReferringPhysicianName", "PatientIdentityRemoved", "DeidentificationMethod", "OtherPatientIDsSequence"),
)


def test_patient_and_study_are_the_sources_to_the_letter(tmp_path: Path) -> None:
    def rich(_: int, ds: Dataset) -> Dataset:
        ds.OtherPatientIDsSequence = [Dataset()]
        ds.OtherPatientIDsSequence[0].PatientID = "OTHER"
        ds.OtherPatientIDsSequence[0].TypeOfPatientID = "TEXT"
        ds.PatientWeight, ds.PatientSize, ds.PatientIdentityRemoved = "71.5", "1.8", "YES"
        ds.DeidentificationMethod = "by hand"
        return ds

    study = changed(knee_study(tmp_path / "in"), rich)
    source = study.series[0].headers[0]
    for one in write(knee_result(study), tmp_path / "out"):
        ds = pydicom.dcmread(one.path, stop_before_pixels=True)
        for keyword in VERBATIM:
            assert ds[keyword].value == source[keyword].value, (one.kind, keyword)


# the ideographic and phonetic parts in the sets of PS3.5 annexes H to K
NAMES = {
    "ISO_IR 100": "Buc^Jérôme",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 192": "Wang^XiaoDong=王^小东=",
    "GB18030": "Wang^XiaoDong=王^小东=",
}


@pytest.mark.parametrize("character_set", NAMES)
def test_a_name_in_any_character_set_arrives_unharmed(tmp_path: Path, character_set: str) -> None:
    def named(_: int, ds: Dataset) -> Dataset:
        ds.SpecificCharacterSet = character_set
        ds.PatientName = NAMES[character_set]
        return ds

    study = changed(radiograph_study(tmp_path / "in"), named)
    for one in write(joint_result(study), tmp_path / "out"):
        ds = pydicom.dcmread(one.path)
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert str(ds.PatientName).rstrip("=") == NAMES[character_set].rstrip("=")


@pytest.mark.shared_data
@pytest.mark.filterwarnings("ignore")  # one of the files asks for a set that pydicom warns of
def test_every_character_set_of_the_shared_data_arrives_unharmed(tmp_path: Path, shared_data: Path) -> None:
    names = 0
    for path in sorted((shared_data / "dicom-misc" / "charsets").glob("*.dcm")):
        source = pydicom.dcmread(path, force=True)
        study = radiograph_study(tmp_path / path.stem / "in")
        instance = study.instances[0].path
        ds = pydicom.dcmread(instance)
        if "PatientName" not in source:
            continue
        # the bytes as they stand in the file, in its own set
        ds.SpecificCharacterSet = source.get("SpecificCharacterSet")
        ds.PatientName = source.PatientName
        ds.save_as(instance, enforce_file_format=True)
        expected = str(source.PatientName.decode())
        assert expected.strip()
        for one in write(joint_result(study), tmp_path / path.stem / "out"):
            assert str(pydicom.dcmread(one.path).PatientName).rstrip("=") == expected.rstrip("="), path.name
        names += 1
    assert names >= 15


def test_tracking_is_of_the_patient_where_there_is_one_and_of_the_study_where_not(tmp_path: Path) -> None:
    def provenance(folder: str, patient_id: str) -> Provenance:
        def whose(_: int, ds: Dataset) -> Dataset:
            ds.PatientID = patient_id
            return ds

        study = changed(knee_study(tmp_path / folder, person=phantoms.Person(patient_id or "x")), whose)
        return Provenance(knee_result(study), EncodingProfile(), CREATED)

    one, same, other, nameless = (
        provenance(folder, patient) for folder, patient in (("a", "1"), ("b", "1"), ("c", "2"), ("d", ""))
    )
    assert one.tracking_uid("x") == same.tracking_uid("x") != other.tracking_uid("x")
    assert nameless.tracking_uid("x") != one.tracking_uid("x") != one.tracking_uid("y")


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.113543.6.6.1.1.4"])
def test_images_of_a_retired_or_private_class_have_all_objects_and_are_referred_to_by_it(
    tmp_path: Path, sop_class: str
) -> None:
    def older(_: int, ds: Dataset) -> Dataset:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
        return ds

    result = joint_result(changed(radiograph_study(tmp_path / "in"), older))
    heat = Heatmap(result.findings[0].region.image, np.ones((120, 96), np.float32), codes.OUTLINE, "Map")  # type: ignore[union-attr]
    objects = write(replace(result, heatmaps=(heat,)), tmp_path / "out")
    assert {o.kind for o in objects} >= {"report", "secondary_capture", "presentation_state", "segmentation_binary"}
    ours = {one.sop_instance_uid: one.sop_class_uid for one in objects}
    for one in objects:
        named = [item for item in items(pydicom.dcmread(one.path)) if "ReferencedSOPInstanceUID" in item]
        assert str(result.instances[0].sop_instance_uid) in {item.ReferencedSOPInstanceUID for item in named}
        for item in named:
            assert item.ReferencedSOPClassUID == ours.get(item.ReferencedSOPInstanceUID, sop_class), one.kind


# ---- the same images in other transfer syntaxes
def odd(_: int, ds: Dataset) -> Dataset:
    """Private elements, a name and items in another character set, the length of a group; no optional elements."""
    ds.SpecificCharacterSet, ds.PatientName, ds.StudyDescription = "ISO_IR 100", "Müller^Jörg", "Größe"
    ds.private_block(0x0029, "ACME 1.1", create=True).add_new(0x10, "UN", b"odd")
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "T1", "99X", "Übersicht"
    item.private_block(0x0011, "ACME 1.1", create=True).add_new(0x01, "SH", "pö")
    ds.ProcedureCodeSequence, ds.AnatomicRegionSequence = [item], [item]
    ds.add_new(0x00190000, "UL", 12)
    for keyword in ("SeriesNumber", "StudyID", "ReferringPhysicianName", "BodyPartExamined", "Manufacturer"):
        ds.pop(keyword, None)
    return ds


def in_syntax(study: Study, syntax: UID, folder: Path) -> Study:
    """The images of a study, written anew in another transfer syntax."""
    folder.mkdir()
    for instance in study.instances:
        source, ds = pydicom.dcmread(instance.path), Dataset()
        for _ in source.iterall():  # values, not the bytes of the file
            pass
        ds.update(source)
        ds.file_meta, ds["PixelData"].VR = source.file_meta, "OW" if source.BitsAllocated > 8 else "OB"
        if syntax == RLELossless:
            ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        elif syntax == ExplicitVRBigEndian and source.BitsAllocated > 8:
            ds.PixelData = source.pixel_array.byteswap().tobytes()
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(folder / instance.path.name, enforce_file_format=True)
    (again,) = read_studies(folder.iterdir())
    return again


def with_stacks(study: Study) -> Result:
    """Derived slices, uncertainty maps and a segment on the acquired ones."""
    (first, *_) = stacks(study.series[0])
    volume = read_stack(first)
    array = np.asarray(volume.array, np.float32)
    mask = array > np.median(array)
    segment = Segment("Bright", standard.SCT.AnatomicalStructure, codes.KNEE, volume.with_array(mask))
    return replace(knee_result(study), segments=(segment,))


def with_heat(study: Study) -> Result:
    """A map on a picture, or on the second frame of a cine."""
    header = study.series[0].headers[0]
    array = np.zeros((header.Rows, header.Columns), np.float32)
    array[3, 4:7] = 0.8, 0.6, 0.2
    frame = 2 if "NumberOfFrames" in header else None
    image = ImageReference(study.instances[0].sop_instance_uid, frame)
    region = Region(image, square((40.0, 30.0), 8.0))
    result = joint_result(study)
    findings = tuple(replace(finding, region=region) for finding in result.findings)
    return replace(result, findings=findings, heatmaps=(Heatmap(image, array, codes.GRAD_CAM, "Heat"),))


def cine(folder: Path) -> Study:
    return cine_study(folder, (3, 91, 121))


def two_echoes(folder: Path) -> Study:
    series, _ = enhanced_mr(folder, echo_times_ms=(10.0, 20.0))
    return Study(series.study_instance_uid, (series,))


@pytest.mark.filterwarnings("ignore:.*SeriesNumber|.*UN.*")
@pytest.mark.parametrize(
    ("make", "result_of"),
    [(knee_study, with_stacks), (two_echoes, with_stacks), (radiograph_study, with_heat), (cine, with_heat)],
)
def test_images_give_the_same_bytes_in_any_transfer_syntax(
    tmp_path: Path, make: Callable[[Path], Study], result_of: Callable[[Study], Result]
) -> None:
    study = changed(make(tmp_path / "in"), odd)
    first = write(result_of(study), tmp_path / "out", kinds=DICOM_KINDS)
    assert {"secondary_capture", "report", "segmentation_binary", "segmentation_labelmap"} <= {o.kind for o in first}
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless):
        again = in_syntax(study, syntax, tmp_path / syntax)
        second = write(result_of(again), tmp_path / f"of {syntax}", kinds=DICOM_KINDS)
        assert [(o.path.name, o.sha256) for o in first] == [(o.path.name, o.sha256) for o in second], syntax.name
