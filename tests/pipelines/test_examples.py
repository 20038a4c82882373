from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from dicom_sr.profile import DICOM_KINDS, EncodedObject
from pipelines import examples, registry
from pipelines.example import SIMULATED, Example
from tests.dicom_sr.example_digests import written_in


@pytest.fixture(scope="module")
def written(examples_folder: Path) -> dict[str, tuple[EncodedObject, ...]]:
    return written_in(examples_folder)


def test_there_is_a_full_set_for_every_pipeline(written: dict[str, tuple[EncodedObject, ...]]) -> None:
    kinds = {name: {one.kind for one in objects} for name, objects in written.items()}
    always = {"secondary_capture", "report"}
    assert all(always <= found for found in kinds.values())
    assert {"derived_series", "parametric_map", "presentation_state"} < kinds["knee_super_resolution"]
    assert {"presentation_state", "segmentation_fractional", "segmentation_labelmap"} < kinds["hand_foot_scoring"]
    assert {"presentation_state", "segmentation_fractional"} < kinds["joint_classification"]
    assert {"segmentation_binary", "key_objects"} < kinds["hand_foot_scoring"] & kinds["joint_classification"]
    assert kinds["knee_oa_risk"] == always | {"document"}
    assert kinds["not_run"] == always
    assert set().union(*kinds.values()) == set(DICOM_KINDS)


def test_the_scores_are_of_all_56_sites(written: dict[str, tuple[EncodedObject, ...]]) -> None:
    report = next(o for o in written["hand_foot_scoring"] if o.kind == "report")
    ds = pydicom.dcmread(report.path)
    measurements = next(i for i in ds.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    tracked = [
        i.TextValue
        for group in measurements.ContentSequence
        for i in group.ContentSequence
        if i.ConceptNameCodeSequence[0].CodeValue == "112039"
    ]
    sites = [t for t in tracked if not t.endswith(("sum", "total", "change"))]
    assert len(sites) == len(set(sites)) == 56
    assert len(tracked) == 56 + 4 + 1 + 1


def test_every_object_and_source_says_that_it_is_simulated(written: dict[str, tuple[EncodedObject, ...]]) -> None:
    for objects in written.values():
        for one in objects:
            ds = pydicom.dcmread(one.path, stop_before_pixels=True)
            assert str(ds.StudyDescription).startswith("SIMULATED")
            assert str(ds.PatientID).startswith("SIM-")
        reports = [pydicom.dcmread(o.path) for o in objects if o.kind == "report"]
        texts = [i.TextValue for i in reports[0].ContentSequence if i.ValueType == "TEXT"]
        assert any(SIMULATED[:20].lower() in text.lower() for text in texts) or objects == written["not_run"]


def test_sources_lie_beside_their_results(written: dict[str, tuple[EncodedObject, ...]]) -> None:
    for name, objects in written.items():
        folder: Path = objects[0].path.parents[1]
        assert folder.name == name
        sources = {
            str(pydicom.dcmread(p, stop_before_pixels=True).StudyInstanceUID) for p in folder.rglob("source/*.dcm")
        }
        assert sources == {one.study_instance_uid for one in objects}


def test_derived_slices_are_of_several_echoes(written: dict[str, tuple[EncodedObject, ...]]) -> None:
    derived = [one for one in written["knee_super_resolution"] if one.kind == "derived_series"]
    assert len({one.series_instance_uid for one in derived}) == 2


def test_a_pipeline_of_somebody_elses_may_bring_an_example_or_none(
    monkeypatch: pytest.MonkeyPatch, written: dict[str, tuple[EncodedObject, ...]]
) -> None:
    class WithExample:
        @staticmethod
        def example(folder: Path) -> Example:
            raise NotImplementedError

    class Without:
        pass

    kinds = {"theirs": WithExample, "silent": Without}
    monkeypatch.setattr(registry, "names", lambda: tuple(kinds))
    monkeypatch.setattr(registry, "pipeline_type", kinds.__getitem__)
    assert examples.makers() == {"theirs": WithExample.example, "not_run": examples.not_run}
    assert set(written) == {*_shipped(), "not_run"}


def _shipped() -> set[str]:
    return {"hand_foot_scoring", "joint_classification", "knee_oa_risk", "knee_super_resolution"}
