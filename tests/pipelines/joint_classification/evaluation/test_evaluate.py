"""`condyle evaluate joint_classification`: figures as by hand, parts measured once, and the card they go into."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.evaluation import card, evaluate
from pipelines.joint_classification.evaluation.gate import real_pictures
from pipelines.joint_classification.kinds import BUNDLE, digest
from tests.pipelines.conftest import Refused


def test_a_part_is_measured_once_and_the_card_says_what_was_measured(tmp_path: Path) -> None:
    model = load(2)
    said: list[str] = []

    def again() -> dict[str, dict[str, Any]]:
        return evaluate.evaluate(2, model, ["speed"], tmp_path / "kept", None, said.append, 0)

    found = again()
    assert found == again()
    assert len(said) == 1
    path = tmp_path / "README.md"
    path.write_text("# A card\n\nWritten by hand.\n")
    card.write(path, BUNDLE, 2, found)
    card.write(path, BUNDLE, 2, found)
    text = path.read_text()
    assert text.startswith("# A card\n\nWritten by hand.")
    assert text.count("### Speed") == 1
    assert f"{found['speed']['classify_s']:.2f} s" in text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--parts", "speed,shiped"], "--parts: there is no 'shiped'; there are shipped, gate"),
        (["--parts", "folds", "--methods", "magic"], "--methods: there is no 'magic'"),
        (["--parts", "speed", "--methods", "CSAE"], "--methods: needs folds among --parts"),
        (["--parts", "speed", "--real", "."], "--real: needs real among --parts"),
        (["--parts", "real"], "--parts: real needs --real"),
        (["--real", "none"], "--real: none: there is no such folder"),
        (["--bundle", "none"], "--bundle: none: there is no such folder"),
        (["--keep", "file"], "file: is a file, should be a folder"),
        (["--card", "none/card.md"], "none/card.md: there is no folder none"),
    ],
)
def test_options_that_cannot_be_used_are_said_before_anything_is_measured(
    options: list[str], why: str, refused: Refused
) -> None:
    assert why in refused(evaluate.main, options)


def test_a_folder_without_real_pictures_is_said_to_have_none_and_no_figure_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "real").mkdir()
    places = ["--real", str(tmp_path / "real"), "--keep", str(tmp_path / "kept"), "--card", str(tmp_path / "card.md")]
    assert evaluate.main(["--parts", "real", *places]) == 1
    assert "holds no picture" in capsys.readouterr().err
    assert not list((tmp_path / "kept").iterdir())
    assert not (tmp_path / "card.md").exists()


def test_a_damaged_picture_is_unsuitable_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (row,) = real_pictures(load(2), tmp_path)["files"]
    assert row["outcome"] == "unsuitable"


def test_the_method_that_points_best_goes_into_a_sites_bundle_and_never_into_the_package(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE / "ultrasound", tmp_path / "ultrasound")
    before = digest()
    assert "stays as it is" in evaluate._show_maps_by("occlusion", BUNDLE / "ultrasound")
    assert digest() == before
    evaluate._show_maps_by("occlusion", tmp_path / "ultrasound")
    assert load(2, tmp_path).heat_method == "occlusion"
