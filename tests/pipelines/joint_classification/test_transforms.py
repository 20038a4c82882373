"""`inference.json` on files, run as MONAI runs a bundle."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.geometry import VOXEL_MM
from pipelines.joint_classification.image_files import read_picture
from pipelines.joint_classification.kinds import BUNDLE
from pipelines.joint_classification.prepare import prepare
from pipelines.joint_classification.simulation import metacarpal, ultrasound
from pipelines.joint_classification.simulation.screen import show
from pipelines.joint_classification.transforms import COLUMNS, PrepareImaged, ReadImaged
from pipelines.lab.workflow import run_workflow

WIDTH_MM = 26.0


def picture(path: Path) -> None:
    shown = show(ultrasound.simulate(np.random.default_rng(1), "ra", 0, 0.9).image, pixel_mm=0.08)
    left, top, right, bottom = shown.box
    Image.fromarray(shown.pixels[top : bottom + 1, left : right + 1]).save(path)


def answers(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "answers.csv").open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_every_picture_of_a_folder_is_answered_as_the_pipeline_answers_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    places = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    run_workflow(BUNDLE / "ultrasound", "inference", "infer", width_mm=WIDTH_MM, **places)
    found = answers(tmp_path / "out")
    assert tuple(found["a.png"]) == COLUMNS
    model = load(2)
    expected = model.classify(read_picture(tmp_path / "in" / "a.png", WIDTH_MM)[None])
    said = [float(found["a.png"][name]) for name in COLUMNS[1:6]]
    np.testing.assert_allclose(said, [*expected.probabilities[0], *expected.p_value, *expected.entropy], atol=1e-4)
    verdict = model.verdict(expected)
    assert (found["a.png"]["determined"] == "yes") == verdict.determined
    assert found["a.png"]["why not"] == verdict.reason
    assert (found["b.png"]["ra"], found["b.png"]["determined"]) == ("", "no")
    assert found["b.png"]["why not"] == "is no picture"


def test_a_scan_is_answered_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    head = metacarpal.simulate(np.random.default_rng(3), "ra", 0, 0.8, motion=1, step=1).image
    image = SimpleITK.GetImageFromArray(np.round(8000 * head).astype(np.int16))
    image.SetSpacing((VOXEL_MM,) * 3)
    SimpleITK.WriteImage(image, str(tmp_path / "in" / "head.mha"))
    places = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    run_workflow(BUNDLE / "hr_pqct", "inference", "infer", **places)
    row = answers(tmp_path / "out")["head.mha"]
    assert sum(float(row[name]) for name in ("healthy", "ra", "psa")) == pytest.approx(1, abs=1e-3)


def test_an_image_keeps_its_meta_data_on_the_way_to_the_network(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    read = ReadImaged("image", 2, WIDTH_MM)({"image": str(tmp_path / "a.png")})
    prepared = PrepareImaged("image")(read)["image"]
    assert prepared.meta["filename_or_obj"] == str(tmp_path / "a.png")
    np.testing.assert_array_equal(prepared[0].numpy(), prepare(read_picture(tmp_path / "a.png", WIDTH_MM)))
