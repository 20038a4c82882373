"""A model on a site's own labelled cases."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.evaluation import evaluate
from pipelines.joint_classification.evaluation.own import TRAINED_ON_IT, LabelledEvaluation
from pipelines.joint_classification.kinds import BUNDLE
from pipelines.joint_classification.training.folder import data_digest
from tests.pipelines.conftest import Refused
from tests.pipelines.joint_classification.training.test_train import folder_of


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of each class, two a patient, and one of none."""
    folder = tmp_path_factory.mktemp("data") / "site"
    folder_of(folder, [name for name in CLASSES for _ in range(6)])
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace("17.png,p8,psa", "17.png,p8,unknown"))
    return folder


def test_own_cases_give_figures_with_intervals_and_a_page_with_pictures(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--data", str(site), "--report", str(tmp_path / "r"), "--device", "cpu"]) == 0
    measured = json.loads((tmp_path / "r" / "measured.json").read_text())
    assert measured["refused"]["of a class"]["cases"] == 17
    assert measured["refused"]["of none"]["cases"] == 1
    low, high = measured["interval"]["accuracy"]
    assert low <= measured["accuracy"] <= high
    assert not measured["trained_on_this_folder"]
    names = {path.stem for path in (tmp_path / "r").glob("*.png")}
    assert {"confusion", "reliability", "roc_healthy", "roc_ra", "roc_psa", "foreign"} <= names
    text = re.sub(r"base64,[^\"]*", "", (tmp_path / "r" / "report.html").read_text())
    assert "9 patients" in text
    assert "p8" not in text
    assert f"{measured['accuracy']:.3f}" in text
    assert f"accuracy {measured['accuracy']:.3f}" in capsys.readouterr().err


def test_a_bundle_that_was_trained_on_the_folder_is_said_to_have_been(site: Path, tmp_path: Path) -> None:
    shutil.copytree(BUNDLE / "ultrasound", tmp_path / "ultrasound")
    path = tmp_path / "ultrasound" / "configs" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"training_data_sha256": data_digest(site)}))
    measured = LabelledEvaluation(2, tmp_path / "ultrasound", site, tmp_path / "r").run()
    assert measured["trained_on_this_folder"]
    assert TRAINED_ON_IT in (tmp_path / "r" / "report.html").read_text()


def test_a_folder_without_a_case_of_a_class_is_refused(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / "labels.csv").write_text("file,patient,label,width_mm\n0.png,p,unknown,26\n")
    with pytest.raises(UnsuitableInput, match="every label is `unknown`"):
        LabelledEvaluation(2, BUNDLE / "ultrasound", tmp_path / "site", tmp_path / "r").run()
    with pytest.raises(UnsuitableInput, match="should be the bundle hr_pqct"):
        LabelledEvaluation(3, BUNDLE / "ultrasound", tmp_path / "site", tmp_path / "r").run()


def test_options_for_own_data_go_together(refused: Refused) -> None:
    assert "--data: needs --report" in refused(evaluate.main, ["--data", "."])
    assert "--data: one folder" in refused(evaluate.main, ["--data", ".", "--data", ".", "--report", "r"])
