"""IHE AI Results, Evidence Creator: one test for each requirement of docs/ihe-integration-statement.md.

Each is held on every example of every pipeline, and on a result with every kind of object.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage

from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import software_version
from dicom_sr.series import read_studies
from dicom_sr.write.encode import encode
from pipelines.example import CREATED
from pipelines.examples import PROFILE
from pipelines.registry import names
from tests.dicom_sr import every_kind
from tests.dicom_sr.example_digests import VERSION, written_in
from tests.dicom_sr.test_segment_places import on_a_picture, on_a_volume

STATEMENT = Path(__file__).parents[2] / "docs" / "ihe-integration-statement.md"
ALGORITHM = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceUID")
_MEASUREMENTS, _GROUP = "126010", "125007"
# CID 100 as far as the reports use it: what was done with the patient, not what was computed
_PROCEDURES = {("363679005", "SCT"), ("25056-3", "LN")}


@dataclass(frozen=True)
class Written:
    """One result as it was written, and the images that it was made of."""

    name: str
    objects: tuple[tuple[EncodedObject, Dataset], ...]
    sources: tuple[Dataset, ...]

    @property
    def root(self) -> Dataset:
        """The report from which all else is found, in the class that is sent first."""
        (found,) = (ds for one, ds in self.objects if one.kind == "report" and one.twin_of is None)
        return found

    def of_kind(self, *kinds: str) -> list[Dataset]:
        return [ds for one, ds in self.objects if one.kind.startswith(kinds)]


@pytest.fixture(scope="module")
def results(examples_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    found = {
        name: _read(name, objects, examples_folder / name / "source")
        for name, objects in written_in(examples_folder).items()
    }
    folder = tmp_path_factory.mktemp("air")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dicom_sr.provenance.version", lambda _: VERSION)
        every = every_kind.every_kind(folder / "every" / "source", (6, 64, 64)).result
        for name, result in (
            (every_kind.NAME, every),
            ("volume", on_a_volume(folder / "volume" / "source")),
            ("picture", on_a_picture(folder / "picture" / "source")),
        ):
            place = folder / {every_kind.NAME: "every"}.get(name, name)
            found[name] = _read(name, encode(result, PROFILE, CREATED, place / "result"), place / "source")
    return found


def _read(name: str, objects: tuple[EncodedObject, ...], source: Path) -> Written:
    read = tuple((one, pydicom.dcmread(one.path)) for one in objects if one.sop_class_uid)
    studies = read_studies([path for path in source.rglob("*") if path.is_file()])
    return Written(name, read, tuple(header for s in studies for series in s.series for header in series.headers))


def imaging(results: Mapping[str, Written]) -> list[Written]:
    """Results of images: one from the patient's record has no measurements of images, and its own form of report."""
    return [one for one in results.values() if one.root.SOPClassUID != EnhancedSRStorage]


def items(ds: Dataset) -> Iterator[Dataset]:
    """Every item of the content tree below the root."""
    for item in ds.get("ContentSequence", ()):
        yield item
        yield from items(item)


def concept(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue) if item.get("ConceptNameCodeSequence") else ""


def named(ds: Dataset, code: str) -> list[Dataset]:
    return [item for item in ds.get("ContentSequence", ()) if concept(item) == code]


def groups(report: Dataset) -> list[Dataset]:
    (measurements,) = named(report, _MEASUREMENTS)
    return [item for item in measurements.ContentSequence if concept(item) == _GROUP]


def algorithms(ds: Dataset) -> list[Dataset]:
    """The items of the algorithms: the node's own comes last."""
    found = [
        item
        for item in ds.ContributingEquipmentSequence
        if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    ]
    return found[:-1]


def referenced(ds: Dataset) -> set[str]:
    return {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in items(ds)
        if item.ValueType in ("IMAGE", "COMPOSITE")
    }


def evidence(ds: Dataset) -> set[str]:
    return {
        str(item.ReferencedSOPInstanceUID)
        for study in ds.get("CurrentRequestedProcedureEvidenceSequence", ())
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


# ---- general result encoding
def test_every_example_of_every_pipeline_is_held_to_the_requirements(results: dict[str, Written]) -> None:
    with_examples = {name for name in names() if name in results}
    assert with_examples >= {"knee_super_resolution", "hand_foot_scoring", "joint_classification", "knee_oa_risk"}
    kinds = {one.kind for written in results.values() for one, _ in written.objects}
    assert kinds >= {"report", "segmentation_binary", "parametric_map", "key_objects", "presentation_state"}


def test_air_1_the_root_of_a_result_is_a_comprehensive_3d_sr_of_template_1500(results: dict[str, Written]) -> None:
    for one in imaging(results):
        assert one.root.SOPClassUID == Comprehensive3DSRStorage, one.name
        (template,) = one.root.ContentTemplateSequence
        assert (template.MappingResource, template.TemplateIdentifier) == ("DCMR", "1500"), one.name
        assert one.root.ConceptNameCodeSequence[0].CodeValue == "126000", one.name


def test_air_2_the_procedure_reported_is_the_imaging_procedure(results: dict[str, Written]) -> None:
    for one in imaging(results):
        (procedure,) = named(one.root, "121058")
        code = procedure.ConceptCodeSequence[0]
        assert (code.CodeValue, code.CodingSchemeDesignator) in _PROCEDURES, one.name


def test_air_3_every_object_names_each_algorithm_as_contributing_equipment(results: dict[str, Written]) -> None:
    for written in results.values():
        for one, ds in written.objects:
            networks = 2 if written.name == "hand_foot_scoring" else 0  # beside the pipeline itself
            assert len(algorithms(ds)) == 1 + networks, (written.name, one.kind)
            for algorithm in algorithms(ds):
                assert all(algorithm.get(keyword) for keyword in ALGORITHM), (written.name, one.kind)
                assert isinstance(algorithm.SoftwareVersions, str), (written.name, one.kind)  # its own version alone
                assert re.search(r"sha256:[0-9a-f]{64}", algorithm.ContributionDescription), (written.name, one.kind)


def test_air_4_the_observer_and_the_algorithm_of_the_groups_say_the_same(results: dict[str, Written]) -> None:
    for written in results.values():
        for report in written.of_kind("report"):
            algorithm, *_ = algorithms(report)
            (device,) = named(report, "121012")
            (manufacturer,), (model,) = named(report, "121014"), named(report, "121015")
            assert algorithm.DeviceUID == device.UID, written.name
            assert manufacturer.TextValue == algorithm.Manufacturer, written.name
            assert model.TextValue == algorithm.ManufacturerModelName, written.name
            if report.SOPClassUID == EnhancedSRStorage:
                continue
            for group in groups(report):
                (name,), (version,) = named(group, "111001"), named(group, "111003")
                assert name.TextValue == algorithm.ManufacturerModelName, written.name
                assert version.TextValue == algorithm.SoftwareVersions, written.name


def test_air_5_another_model_is_another_device(tmp_path: Path) -> None:
    result = on_a_picture(tmp_path / "in")
    devices = []
    for number, digest in enumerate(("ab" * 32, "ef" * 32)):
        changed = replace(result, model=replace(result.model, weights_digest=digest))
        objects = encode(changed, PROFILE, CREATED, tmp_path / str(number))
        devices.append({str(algorithms(pydicom.dcmread(one.path))[0].DeviceUID) for one in objects})
    assert [len(found) for found in devices] == [1, 1]
    assert devices[0] != devices[1]


def test_air_6_the_node_that_ran_the_algorithm_is_named_too(results: dict[str, Written]) -> None:
    for written in results.values():
        for one, ds in written.objects:
            node = ds.ContributingEquipmentSequence[-1]
            assert (node.Manufacturer, node.ManufacturerModelName) == ("Condyle", "Condyle"), (written.name, one.kind)
            assert node.SoftwareVersions == VERSION, (written.name, one.kind)
            assert node.DeviceUID == ds.DeviceUID, (written.name, one.kind)
            assert node.DeviceSerialNumber == ds.DeviceSerialNumber, (written.name, one.kind)


def test_air_7_the_root_refers_to_every_object_of_its_result_and_lists_it_as_evidence(
    results: dict[str, Written],
) -> None:
    for written in results.values():
        others = {one.sop_instance_uid: one.kind for one, _ in written.objects if one.kind != "report"}
        for report in written.of_kind("report"):
            assert others.keys() <= evidence(report), written.name
            assert referenced(report) <= evidence(report), written.name
            # a label map beside its binary twin is in the evidence only
            in_evidence_only = {others[uid] for uid in others.keys() - referenced(report)}
            assert in_evidence_only <= {"segmentation_labelmap"}, written.name


def test_air_8_every_object_lies_in_the_study_of_its_images(results: dict[str, Written]) -> None:
    keywords = ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "StudyDate", "StudyID")
    for written in results.values():
        for keyword in keywords:
            (wanted,) = {str(header.get(keyword) or "") for header in written.sources}
            assert {str(ds.get(keyword) or "") for _, ds in written.objects} == {wanted}, (written.name, keyword)
        series = {header.SeriesInstanceUID for header in written.sources}
        assert not series & {ds.SeriesInstanceUID for _, ds in written.objects}, written.name


# ---- the primitives
def test_air_9_findings_are_coded_in_groups_of_the_report(results: dict[str, Written]) -> None:
    for one in imaging(results):
        assert groups(one.root), one.name
        for group in groups(one.root):
            (finding,) = named(group, "121071")
            assert finding.ValueType == "CODE", one.name
            assert finding.ConceptCodeSequence[0].CodeMeaning, one.name
            assert group.ContentTemplateSequence[0].TemplateIdentifier in ("1410", "1411"), one.name


def test_air_10_measurements_have_a_coded_name_and_a_unit_of_ucum(results: dict[str, Written]) -> None:
    numbers = 0
    for one in imaging(results):
        for group in groups(one.root):
            for number in (item for item in group.ContentSequence if item.ValueType == "NUM"):
                (value,) = number.MeasuredValueSequence
                assert value.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM", one.name
                assert concept(number), one.name
                numbers += 1
    assert numbers


def test_air_11_locations_on_one_image_are_image_regions_of_it(results: dict[str, Written]) -> None:
    for one in imaging(results):
        known = evidence(one.root)
        for region in (item for item in items(one.root) if item.ValueType == "SCOORD"):
            assert (concept(region), region.GraphicType) == ("111030", "POLYLINE"), one.name
            (image,) = region.ContentSequence
            assert image.RelationshipType == "SELECTED FROM", one.name
            assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID in known, one.name


def test_air_12_regions_are_segments_with_the_algorithm_that_made_them(results: dict[str, Written]) -> None:
    segments = 0
    for written in results.values():
        for ds in written.of_kind("segmentation"):
            algorithm, *_ = algorithms(ds)
            for segment in ds.SegmentSequence:
                if segment.SegmentNumber == 0:  # the background of a label map
                    continue
                (identified,) = segment.SegmentationAlgorithmIdentificationSequence
                assert segment.SegmentAlgorithmType == "AUTOMATIC", written.name
                assert identified.AlgorithmName == algorithm.ManufacturerModelName, written.name
                assert identified.AlgorithmVersion == algorithm.SoftwareVersions, written.name
                assert identified.AlgorithmSource == algorithm.Manufacturer, written.name
                assert re.search(r"weights sha256:[0-9a-f]{64}", identified.AlgorithmParameters), written.name
                segments += 1
    assert segments


def test_air_13_a_group_of_a_segmented_region_refers_to_the_segment(results: dict[str, Written]) -> None:
    found = 0
    for written in imaging(results):
        binary = written.of_kind("segmentation_binary")
        known = {segment.TrackingUID: ds.SOPInstanceUID for ds in binary for segment in ds.SegmentSequence}
        for group in groups(written.root):
            (tracking,) = named(group, "112040")
            segment = [*named(group, "121191"), *named(group, "121214")]
            if tracking.UID in known:
                assert [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in segment] == [known[tracking.UID]]
                assert not [i for i in group.ContentSequence if i.ValueType == "SCOORD"], written.name
                found += 1
            else:
                assert segment == [], written.name
    assert found == 3


def test_air_14_parametric_maps_say_what_they_hold_and_what_made_it(results: dict[str, Written]) -> None:
    maps = 0
    for written in results.values():
        for ds in written.of_kind("parametric_map"):
            algorithm, *_ = algorithms(ds)
            (mapping,) = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
            assert mapping.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM", written.name
            quantity, *made_by = mapping.QuantityDefinitionSequence
            assert concept(quantity) == "246205007", written.name
            texts = [(concept(item), str(item.TextValue)) for item in made_by]
            assert ("111001", algorithm.ManufacturerModelName) in texts, written.name
            assert ("111003", algorithm.SoftwareVersions) in texts, written.name
            assert any(code == "111002" and "weights sha256:" in text for code, text in texts), written.name
            series = {item.SeriesInstanceUID for item in ds.ReferencedSeriesSequence}
            assert series <= {ds.SeriesInstanceUID for ds in written.of_kind("derived_series")}, written.name
            maps += 1
    assert maps


def test_air_15_every_group_and_every_segment_is_tracked(results: dict[str, Written]) -> None:
    for one in imaging(results):
        uids: Counter[str] = Counter()
        for group in groups(one.root):
            (identifier,), (uid,) = named(group, "112039"), named(group, "112040")
            assert identifier.TextValue, one.name
            uids[uid.UID] += 1
        assert set(uids.values()) == {1}, one.name
        for ds in one.of_kind("segmentation"):
            tracked = [segment for segment in ds.SegmentSequence if segment.SegmentNumber]
            assert all(segment.TrackingID and segment.TrackingUID for segment in tracked), one.name


def test_air_16_images_to_look_at_are_key_objects_with_a_reason(results: dict[str, Written]) -> None:
    selections = 0
    for written in results.values():
        sources = {str(header.SOPInstanceUID) for header in written.sources}
        for ds in written.of_kind("key_objects"):
            assert ds.ContentTemplateSequence[0].TemplateIdentifier == "2010", written.name
            assert referenced(ds) == evidence(ds) <= sources, written.name
            assert named(ds, "113012")[0].TextValue, written.name
            selections += 1
    assert selections


def test_air_17_the_report_names_every_image_that_was_analysed(results: dict[str, Written]) -> None:
    for one in imaging(results):
        (library,) = named(one.root, "111028")
        shown = {
            str(i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for i in items(library) if i.ValueType == "IMAGE"
        }
        assert shown >= {str(header.SOPInstanceUID) for header in one.sources}, one.name


def test_air_18_captures_and_presentation_states_only_accompany_a_report(results: dict[str, Written]) -> None:
    for written in results.values():
        assert written.of_kind("report"), written.name
        for ds in imaging({written.name: written}):
            assert groups(ds.root), written.name


# ---- the statement
def test_the_statement_lists_each_requirement_with_its_test_and_nothing_else() -> None:
    text = STATEMENT.read_text(encoding="utf-8")
    listed = re.findall(r"^\| AIR-(\d+) \| .+ \| [A-F, ]+ \|$", text, re.MULTILINE)
    tested = sorted(int(name.split("_")[2]) for name in globals() if name.startswith("test_air_"))
    assert [int(number) for number in listed] == tested == list(range(1, len(tested) + 1))


def test_the_statement_is_of_this_version() -> None:
    assert f"| Version | {software_version()} |" in STATEMENT.read_text(encoding="utf-8")
