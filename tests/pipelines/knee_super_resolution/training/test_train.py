"""Training from simulated volumes alone: seeded, resumable, and better than not training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dicom_sr.phantoms import Person, study_header, write_knee_mr
from dicom_sr.series import read_studies
from pipelines.knee_super_resolution import BUNDLE, KneeSuperResolution, KneeSuperResolutionSettings
from pipelines.knee_super_resolution.deepresolve import read_networks
from pipelines.knee_super_resolution.model import load
from pipelines.knee_super_resolution.training import train
from tests.pipelines.bundle_checks import verify

torch.set_num_threads(1)


def test_the_command_writes_weights_and_what_they_were_trained_on(tmp_path: Path) -> None:
    arguments = "--seed 1 --steps 2 --knees 1 --knee-side 48 --clutter 1"
    arguments += " --depth 40 --size 24 --channels 8 --blocks 1 --device cpu"
    assert train.main([*arguments.split(), "--output", str(tmp_path)]) == 0
    pipeline = KneeSuperResolution(KneeSuperResolutionSettings(bundle=tmp_path))
    assert "trained on 1 simulated knees of 48 samples a side" in pipeline.model.trained_on
    assert "not for clinical use" in pipeline.model.trained_on
    assert set(load(tmp_path).calibration) == {2, 3, 4, 8}
    assert "Gain over the cubic spline" in (tmp_path / "training" / "model" / "report.html").read_text()
    paths = write_knee_mr(tmp_path / "knee", study_header(Person(), "knee", "Knee"), (8, 40, 36))
    assert pipeline.run(read_studies(paths)[0]).derived[0].uncertainty is not None


def test_a_bundle_of_deepresolve_holds_a_network_for_each_ratio_and_can_be_chosen(tmp_path: Path) -> None:
    arguments = "--method deepresolve --factor 2 --factor 3 --steps 1 --knees 1 --knee-side 48 --clutter 1"
    arguments += " --depth 40 --size 12 --device cpu"
    assert train.main([*arguments.split(), "--output", str(tmp_path)]) == 0
    pipeline = KneeSuperResolution(KneeSuperResolutionSettings(method="deepresolve", bundle=tmp_path))
    assert "1 simulated knees" in pipeline.model.trained_on
    assert read_networks(tmp_path / "models").ratios == [2, 3]


def test_monai_trains_the_bundle_to_the_weights_that_the_command_gives(tmp_path: Path) -> None:
    sizes = {"depth": 40, "size": 16, "channels": 8, "blocks": 1, "steps": 1}
    command = ["--seed", "1", "--knees", "0", "--clutter", "2", "--device", "cpu", "--output", str(tmp_path / "ours")]
    assert train.main([*command, *(word for name, value in sizes.items() for word in (f"--{name}", str(value)))]) == 0
    theirs = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(BUNDLE / "configs" / "train.json")]
    theirs += [
        "--output_dir",
        str(tmp_path / "theirs"),
        "--seed",
        "1",
        "--corpus::knees",
        "0",
        "--corpus::clutter",
        "2",
    ]
    theirs += [word for name, value in sizes.items() for word in (f"--plan::{name}", str(value))]
    subprocess.run(theirs, check=True, capture_output=True)
    ours, theirs_ = (load_file(tmp_path / name / "models" / "model.safetensors") for name in ("ours", "theirs"))
    assert all(torch.equal(value, theirs_[name]) for name, value in ours.items())
    verify(tmp_path / "theirs", tmp_path)


def test_a_folder_without_volumes_is_said_and_nothing_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    command = ["--knees", "0", "--clutter", "1", "--steps", "1", "--output", str(tmp_path / "new")]
    assert train.main([*command, "--data", str(tmp_path / "empty")]) == 1
    assert "holds no volume that can be read in the layout folder" in capsys.readouterr().out
    assert not (tmp_path / "new" / "models").exists()


def test_two_ratios_for_the_network_that_knows_all_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--factor", "2", "--factor", "3", "--output", "new"])
    assert "name one, or leave it out" in capsys.readouterr().err


def test_the_shipped_weights_cannot_be_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--output", str(BUNDLE)])
    assert "lies in the installed package" in capsys.readouterr().err


def test_a_knee_that_is_too_small_to_be_degraded_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        train.main(["--knee-side", "23", "--steps", "0", "--clutter", "0", "--output", str(tmp_path)])
    assert ended.value.code == 2
    assert "--knee-side: should be 24 or more" in capsys.readouterr().err
