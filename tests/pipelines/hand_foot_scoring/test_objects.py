"""The real result of a film as DICOM objects: valid, in the study, a group per site, markers and key objects."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_sr.findings import Result
from dicom_sr.phantoms import Person, study_header, write_radiograph
from dicom_sr.profile import EncodingProfile
from dicom_sr.series import Study, read_studies
from dicom_sr.write.encode import EncodedObject, encode
from pipelines.hand_foot_scoring import HandFootScoring, HandFootScoringSettings, codes, prior
from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.sample import film_of, stored
from tests.dicom_sr.validators import dciodvfy

SITES = ("MTP1", "MTP2", "MTP3", "MTP4", "MTP5", "IP1")
MOMENT = datetime(2026, 11, 22, 12)


def foot(folder: Path, name: str, grade: int) -> Study:
    disease = Disease(dict.fromkeys(SITES[:3], grade), dict.fromkeys(SITES[:3], grade))
    film = film_of("foot", "L", 12, disease=disease, shape=(700, 560))
    header = study_header(Person(), name, "SIMULATED foot")
    (study,) = read_studies([write_radiograph(folder, header, stored(film), "FOOT", "L", 1, film.pixel_mm)])
    return study


@pytest.fixture(scope="module")
def results(networks: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Result]:
    """A foot that was well, and is ill now, read with the report of then beside it."""
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("foot")
    pipeline = HandFootScoring(HandFootScoringSettings())
    before = pipeline.run(foot(folder / "before", "before", 0))
    objects = encode(before, EncodingProfile(), MOMENT.replace(year=2025), folder / "report")
    (report,) = read_studies([one.path for one in objects if one.kind == "report"])
    assert prior.read(report.instances[0])
    study = foot(folder / "now", "now", 3)
    return before, pipeline.run(replace(study, series=(*study.series, *report.series)))


@pytest.fixture(scope="module")
def objects(results: tuple[Result, Result], tmp_path_factory: pytest.TempPathFactory) -> tuple[EncodedObject, ...]:
    return tuple(encode(results[1], EncodingProfile(), MOMENT, tmp_path_factory.mktemp("objects")))


def test_every_object_names_the_pipeline_its_two_networks_and_the_node(objects: tuple[EncodedObject, ...]) -> None:
    for one in objects:
        equipment = pydicom.dcmread(one.path, stop_before_pixels=True).ContributingEquipmentSequence
        ours = [item for item in equipment if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"]
        names = [item.ManufacturerModelName for item in ours]
        scoring = "hand_foot_scoring"
        assert names == [scoring, f"{scoring} localiser", f"{scoring} damage", "Condyle"]
        assert len({item.DeviceUID for item in ours}) == 4


@pytest.mark.validators
def test_every_object_is_valid_and_lies_in_the_study(
    results: tuple[Result, Result], objects: tuple[EncodedObject, ...]
) -> None:
    kinds = {one.kind for one in objects}
    assert kinds >= {"secondary_capture", "report", "presentation_state", "segmentation_fractional", "key_objects"}
    study = results[1].evidence[0].study_instance_uid
    for one in objects:
        assert pydicom.dcmread(one.path, stop_before_pixels=True).StudyInstanceUID == study
        assert dciodvfy(one.path) == ([], []), one.path.name


def test_the_report_has_a_group_for_each_site_with_its_change(objects: tuple[EncodedObject, ...]) -> None:
    report = pydicom.dcmread(next(one.path for one in objects if one.kind == "report"))
    told = {}
    for group in groups(report):
        numbers = {
            item.ConceptNameCodeSequence[0].CodeValue: float(item.MeasuredValueSequence[0].NumericValue)
            for item in group.ContentSequence
            if item.ValueType == "NUM"
        }
        name = next(str(i.TextValue) for i in group.ContentSequence if i.ValueType == "TEXT")
        told[name] = numbers
    for site in SITES:
        numbers = told[f"SvH L {site}" + (" foot" if site == "IP1" else "")]
        assert set(numbers) >= {"SVH-ERO", "SVH-JSN", "SVH-ERO-CHANGE", "SVH-JSN-CHANGE"}
    assert told["SvH change"]["SVH-DELTA"] > 5
    assert "SVH-TOTAL" in told["SvH total"]


def test_a_report_in_which_a_deviation_has_the_name_of_its_score_is_read_as_any_other(
    objects: tuple[EncodedObject, ...], tmp_path: Path
) -> None:
    path = next(one.path for one in objects if one.kind == "report")
    report, renamed = pydicom.dcmread(path), 0
    for group in groups(report):
        for item in group.ContentSequence:
            name = item.ConceptNameCodeSequence[0]
            if name.CodeValue in ("SVH-ERO-SD", "SVH-JSN-SD"):
                name.CodeValue, renamed = name.CodeValue.removesuffix("-SD"), renamed + 1
    report.save_as(tmp_path / "old.dcm")
    old, new = (prior.read(read_studies([each])[0].instances[0]) for each in (tmp_path / "old.dcm", path))
    assert old == new
    assert len(new) == renamed == 2 * len(SITES)


def groups(item: pydicom.Dataset) -> list[pydicom.Dataset]:
    children = item.get("ContentSequence") or []
    mine = [item] if any(child.ValueType == "NUM" for child in children) else []
    return mine + [found for child in children for found in groups(child)]


def test_the_markers_on_the_film_stand_at_its_joints(
    results: tuple[Result, Result], objects: tuple[EncodedObject, ...]
) -> None:
    ds = pydicom.dcmread(next(one.path for one in objects if one.kind == "presentation_state"))
    texts = {
        str(text.UnformattedTextValue): np.array(text.get("AnchorPoint") or text.BoundingBoxTopLeftHandCorner, float)
        for annotation in ds.GraphicAnnotationSequence
        for text in annotation.get("TextObjectSequence") or []
    }
    joints = [f for f in results[1].findings if f.finding == codes.SVH_JOINT]
    for finding in joints:
        assert finding.region is not None
        centre = finding.region.outline[:4].mean(axis=0)
        nearest = min(texts, key=lambda text: float(np.hypot(*(texts[text] - centre))))
        assert np.hypot(*(texts[nearest] - centre)) < 70  # a square is about 40 pixels wide
        assert any(text.startswith(finding.image_label) for text in texts)


def test_the_key_object_points_at_the_film_that_progressed(
    results: tuple[Result, Result], objects: tuple[EncodedObject, ...]
) -> None:
    note = pydicom.dcmread(next(one.path for one in objects if one.kind == "key_objects"))
    (series,) = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    film = results[1].evidence[0].instances[0].sop_instance_uid
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [film]
    texts = " ".join(str(i.TextValue) for i in note.ContentSequence if i.ValueType == "TEXT")
    assert "Progression" in texts


def test_the_same_study_gives_the_same_bytes(
    results: tuple[Result, Result], objects: tuple[EncodedObject, ...], tmp_path: Path
) -> None:
    again = encode(results[1], EncodingProfile(), MOMENT, tmp_path)
    assert [one.sha256 for one in again] == [one.sha256 for one in objects]
