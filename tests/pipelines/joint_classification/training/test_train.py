"""`condyle train joint_classification`: bundles from simulated patients, or from a folder of real ones."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pytest
from PIL import Image

from pipelines.joint_classification import JointClassification, JointClassificationSettings
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.evaluation import evaluate
from pipelines.joint_classification.kinds import BUNDLE
from pipelines.joint_classification.simulation import ultrasound
from pipelines.joint_classification.simulation.screen import show
from pipelines.joint_classification.training import cases, train
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.training_log import read_log
from tests.pipelines.conftest import Refused

SHORT = ["--steps", "2", "--batch", "4"]


@pytest.fixture(autouse=True, scope="module")
def _few_rescans() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setitem(cases.RESCANNED, 2, 9)
        fewer.setattr(cases, "SCREENED_HELD_OUT", 0.1)  # a screen takes longer to draw than to simulate a joint
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short training on simulated patients wrote."""
    folder = tmp_path_factory.mktemp("trained") / "b"
    size = [*SHORT, "--patients", "12", "--held-out", "20"]
    assert train.main([*size, "--output", str(folder), "--seed", "5", "--device", "cpu"]) == 0
    return folder


def test_a_short_training_writes_a_bundle_that_a_route_can_name(bundle: Path) -> None:
    made = load(2, bundle)
    assert "simulated" in made.trained_on
    assert (made.card.training["steps"], made.card.training["seed"]) == (2, 5)
    said = made.classify(ultrasound.simulate(np.random.default_rng(0), "ra", 0).image[None])
    assert said.probabilities.shape == (1, 3)
    folder = bundle / "ultrasound"
    assert [row["step"] for row in read_log(folder / "training" / "log.csv")] == [1, 2]
    assert list((folder / "training" / "tensorboard").iterdir())
    assert (folder / "training" / "report.html").is_file()
    assert not (folder / "training" / "checkpoint.pt").exists()
    assert (folder / "docs" / "README.md").is_file()
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.rglob("*"))
    assert len(json.loads((folder / "configs" / "metadata.json").read_text())["training_data_sha256"]) == 64
    pipeline = JointClassification(JointClassificationSettings(bundle=bundle))
    pipeline.load()
    assert pipeline.model.trained_on == made.trained_on


@pytest.mark.filterwarnings("ignore:parsing config_file")  # that a config is code
def test_monai_trains_what_the_command_trains(bundle: Path, tmp_path: Path) -> None:
    monai.bundle.run(
        config_file=str(BUNDLE / "ultrasound" / "configs" / "train.json"),
        logging_file=False,
        output_dir=str(tmp_path / "b"),
        seed=5,
        steps=2,
        batch=4,
        patients=12,
        held_out=20,
    )
    theirs, ours = (folder / "ultrasound" / "models" for folder in (tmp_path / "b", bundle))
    names = {path.name for path in ours.iterdir()}
    assert names == {"model.safetensors", "calibration.safetensors", "gate.safetensors", "map.safetensors"}
    for name in names:
        assert (theirs / name).read_bytes() == (ours / name).read_bytes(), name


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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen patients with two pictures of one class each."""
    folder = tmp_path_factory.mktemp("real") / "site"
    folder_of(folder, [name for name in CLASSES for _ in range(10)])
    return folder


def test_a_folder_of_real_pictures_is_trained_on_and_named_without_its_path(site: Path, tmp_path: Path) -> None:
    assert train.main(["--data", str(site), *SHORT, "--output", str(tmp_path / "b")]) == 0
    made = load(2, tmp_path / "b")
    assert "24 scans of 12 patients of site" in made.trained_on
    assert str(site.parent) not in made.trained_on


def test_a_training_that_stopped_goes_on_with_the_same_data_only(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(site, tmp_path / "site")
    given = ["--data", str(tmp_path / "site"), *SHORT, "--output", str(tmp_path / "b")]

    class Stopped(Exception):
        pass

    keep = Checkpoint.save

    def keep_and_stop(*given: Any, **parts: Any) -> None:
        keep(*given, **parts)
        raise Stopped

    with monkeypatch.context() as broken:
        broken.setattr(Checkpoint, "save", keep_and_stop)
        with pytest.raises(Stopped):
            train.main(given)
    table = tmp_path / "site" / "labels.csv"
    before = table.read_bytes()
    table.write_bytes(before.replace(b"0.png,p0,healthy", b"0.png,p0,ra"))
    assert train.main(given) == 1
    assert "belongs to a training on other data" in capsys.readouterr().err
    table.write_bytes(before)
    assert train.main(given) == 0


def test_a_folder_with_one_class_missing_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(tmp_path / "site", ["healthy", "ra"] * 5)
    assert train.main(["--data", str(tmp_path / "site"), "--steps", "1", "--output", str(tmp_path / "b")]) == 1
    assert "no psa" in capsys.readouterr().err
    assert not (tmp_path / "b" / "ultrasound" / "models").exists()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture of each class."""
    folder = tmp_path_factory.mktemp("few") / "site"
    folder_of(folder, CLASSES)
    return folder


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("labels.csv", b"file,patient", b"datei,patient", "has no column file"),
        ("labels.csv", b",", b";", "separated by commas"),
        ("labels.csv", b",psa,", b",gout,", "line 4: label 'gout' is not one of healthy, ra, psa, unknown"),
        ("labels.csv", b"2.png", b"3.png", "line 4: there is no file 3.png"),
        ("labels.csv", b",p1,", b",p0,", "has fewer than five patients with a class"),
        ("2.png", b"PNG", b"GNP", "2.png: is no picture"),
    ],
)
def test_data_that_will_not_do_end_training_and_evaluation_with_one_sentence(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, old: bytes, new: bytes, why: str
) -> None:
    folder = shutil.copytree(three, tmp_path / "site")
    (folder / name).write_bytes((folder / name).read_bytes().replace(old, new))
    assert train.main(["--data", str(folder), *SHORT, "--output", str(tmp_path / "b")]) == 1
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert not (tmp_path / "b" / "ultrasound" / "models").exists()
    if "patients" not in why:  # one patient is enough to be measured
        assert evaluate.main(["--data", str(folder), "--report", str(tmp_path / "page")]) == 1
        assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "required: --output"),
        (["--output", "b", "--data", "none"], "--data: none: there is no such folder"),
        (["--output", "b", "--data", ".", "--data", "."], "--data: one folder with one labels.csv"),
        (["--output", str(Path(train.__file__).parent)], "lies in the installed package"),
        (["--output", "b", "--device", "gpu"], "should be auto, cpu, cuda or cuda:N"),
        (["--output", "b", "--layout", "oai"], "--layout: invalid choice: 'oai'"),
        (["--output", "b", "--steps", "0"], "--steps: '0': should be a whole number, 1 or more"),
        (["--output", "b", "--alpha", "2"], "--alpha: '2': should be a number from 0 to 1"),
        (["--output", "b", "--device", "cuda:99"], "--device: cuda:99: is not on this machine"),
    ],
)
def test_options_that_cannot_be_used_are_said_before_anything_is_trained(
    options: list[str], why: str, refused: Refused
) -> None:
    assert why in refused(train.main, options)
