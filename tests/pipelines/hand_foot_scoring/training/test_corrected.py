"""Results that readers have judged become films with grades, from which the heads can learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from dicom_sr.write.encode import EncodingProfile, encode
from pipelines.example import CREATED
from pipelines.hand_foot_scoring import BUNDLE
from pipelines.hand_foot_scoring.codes import SVH_ERO, SVH_JSN
from pipelines.hand_foot_scoring.example import example
from pipelines.hand_foot_scoring.scoring import Cell
from pipelines.hand_foot_scoring.training import train
from pipelines.hand_foot_scoring.training.corrected import write_corrected
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.film_files import grey
from pipelines.lab.corrected import CorrectedCase, CorrectedFinding

EROSION, NARROWING = f"99MSKAI:{SVH_ERO.value}", f"99MSKAI:{SVH_JSN.value}"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> CorrectedCase:
    """Both hands, of which a reader has accepted all but one site and changed one."""
    folder = tmp_path_factory.mktemp("judged")
    made = example(folder / "in", 300, (("hand", "R"), ("hand", "L")))
    (report, _) = encode(made.result, EncodingProfile(kinds=("report",)), CREATED, folder / "out")
    findings = [
        CorrectedFinding(one.tracking_id, {f"99MSKAI:{m.name.value}": m.value for m in one.measurements})
        for one in made.result.findings  # type: ignore[union-attr]
        if one.tracking_id != "SvH R MCP3"
    ]
    changed = CorrectedFinding("SvH L MCP2", {EROSION: 2.5, NARROWING: 1.6}, frozenset({EROSION}))
    findings = [changed if one.tracking_id == "SvH L MCP2" else one for one in findings]
    images = {image.sop_instance_uid: image.path for image in made.study.instances}
    return CorrectedCase("case", "p1", images, report.path, tuple(findings))


def test_a_grade_is_as_the_reader_left_it_and_what_was_rejected_has_none(case: CorrectedCase, tmp_path: Path) -> None:
    written = write_corrected(tmp_path, [case])
    right, left = sorted(own_table.read(tmp_path).films, key=lambda film: film.side, reverse=True)
    assert (written.layout, written.rows, written.left_out) == ("own", 2, [])
    assert left.grades[Cell("L", "hand", "MCP2", "erosion")] == 2.5  # changed: as it was typed
    assert left.grades[Cell("L", "hand", "MCP2", "narrowing")] == 2.0  # left as it was: a whole grade
    assert Cell("R", "hand", "MCP3", "erosion") not in right.grades
    assert "MCP3" in right.sites  # the joint is there all the same
    assert {film.patient for film in (left, right)} == {"p1"}


def test_the_picture_holds_the_pixels_alone(case: CorrectedCase, tmp_path: Path) -> None:
    write_corrected(tmp_path, [case])
    for film in own_table.read(tmp_path).films:
        image = next(path for path in case.images.values() if grey(path).shape == grey(film.picture).shape)
        alike = max(np.corrcoef(grey(path).ravel(), grey(film.picture).ravel())[0, 1] for path in case.images.values())
        assert alike > 0.9999, image
        with Image.open(film.picture) as picture:
            assert picture.info == {}
    assert not {"PatientName", "SIM-0002"} & set((tmp_path / "films.csv").read_text().split(","))


def test_a_film_with_writing_or_without_its_image_is_left_out_and_named(case: CorrectedCase, tmp_path: Path) -> None:
    (first, path), (second, _) = case.images.items()
    ds = pydicom.dcmread(path)
    ds.BurnedInAnnotation = "YES"
    ds.save_as(tmp_path / "written.dcm")
    written = write_corrected(tmp_path / "films", [replace(case, images={first: tmp_path / "written.dcm"})])
    assert written.rows == 0
    assert any("writing is burned into it" in sentence for sentence in written.left_out)
    assert any("not stored any more" in sentence for sentence in written.left_out)
    assert first not in str(written.left_out) + second


def test_the_last_reading_of_a_limb_counts(case: CorrectedCase, tmp_path: Path) -> None:
    later = replace(case, findings=(CorrectedFinding("SvH L MCP2", {EROSION: 1.0}, frozenset({EROSION})),))
    write_corrected(tmp_path, [case, later])
    left = next(film for film in own_table.read(tmp_path).films if film.side == "L")
    assert left.grades == {Cell("L", "hand", "MCP2", "erosion"): 1.0}


def test_the_training_takes_the_folder(
    case: CorrectedCase, networks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corrected(tmp_path / "films", [case])
    options = ["--data", str(tmp_path / "films"), "--layout", "own", "--output", str(tmp_path / "bundle")]
    options += ["--start", str(BUNDLE), "--only", "damage", "--sets", "1", "0", "0", "--device", "cpu"]
    assert train.main([*options, "--epochs", "1", "--patients", "2"]) == 0
    said = capsys.readouterr().out
    assert "joints of 2 of 2 films cut" in said
    assert (tmp_path / "bundle" / "models" / "damage.safetensors").is_file()
