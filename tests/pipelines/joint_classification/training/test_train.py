"""`condyle train joint_classification`: a bundle from simulated patients, or from a folder of real ones."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.simulation import ultrasound
from pipelines.joint_classification.simulation.screen import show
from pipelines.joint_classification.training import train


@pytest.fixture(autouse=True)
def _few_rescans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.RESCANNED, 2, 9)
    monkeypatch.setattr(train, "SCREENED_HELD_OUT", 0.1)  # a screen takes longer to draw than to simulate a joint


def test_a_short_training_writes_a_bundle_that_answers(tmp_path: Path) -> None:
    size = ["--steps", "2", "--batch", "4", "--patients", "12", "--held-out", "20"]
    assert train.main([*size, "--bundle", str(tmp_path / "b"), "--seed", "5"]) == 0
    made = load(2, tmp_path / "b")
    assert "simulated" in made.trained_on
    assert made.card.training["steps"] == 2
    assert made.card.training["seed"] == 5
    said = made.classify(ultrasound.simulate(np.random.default_rng(0), "ra", 0).image[None])
    assert said.probabilities.shape == (1, 3)
    with (tmp_path / "b-training" / "csae_2d.log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2"]
    assert not (tmp_path / "b-training" / "csae_2d.checkpoint").exists()


def folder_of(path: Any, labels: Any) -> None:
    path.mkdir()
    rng = np.random.default_rng(1)
    rows = []
    for number, label in enumerate(labels):
        image = ultrasound.simulate(rng, label, 0, 0.8).image
        shown = show(image, pixel_mm=0.08)
        left, top, right, bottom = shown.box
        Image.fromarray(shown.pixels[top : bottom + 1, left : right + 1]).save(path / f"{number}.png")
        rows.append([f"{number}.png", f"p{number // 2}", label, 40 + number, "M", (right - left + 1) * 0.08])
    with (path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "patient", "label", "age", "sex", "width_mm"], *rows])


def test_a_folder_of_real_pictures_is_trained_on_and_named_without_its_path(tmp_path: Path) -> None:
    folder_of(tmp_path / "site", [name for name in CLASSES for _ in range(10)])
    # 15 patients with two pictures of one class each
    given = ["--data", str(tmp_path / "site"), "--steps", "2", "--batch", "4", "--bundle", str(tmp_path / "b")]
    assert train.main(given) == 0
    made = load(2, tmp_path / "b")
    assert "24 scans of 12 patients of site" in made.trained_on
    assert str(tmp_path) not in made.trained_on


def test_a_folder_with_one_class_missing_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(tmp_path / "site", ["healthy", "ra"] * 5)
    assert train.main(["--data", str(tmp_path / "site"), "--steps", "1", "--bundle", str(tmp_path / "b")]) == 2
    assert "no psa" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
