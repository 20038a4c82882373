"""Training from simulated volumes alone: seeded, resumable, and better than not training."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from dicom_sr.phantoms import Person, study_header, write_knee_mr
from dicom_sr.series import read_studies
from pipelines.knee_super_resolution import BUNDLE, KneeSuperResolution, KneeSuperResolutionSettings
from pipelines.knee_super_resolution.deepresolve import read_networks
from pipelines.knee_super_resolution.model import load
from pipelines.knee_super_resolution.training import train

torch.set_num_threads(1)
QUIET = Console(file=io.StringIO())


def test_the_command_writes_weights_and_what_they_were_trained_on(tmp_path: Path) -> None:
    arguments = "--seed 1 --steps 2 --knees 1 --knee-side 48 --clutter 1"
    arguments += " --depth 40 --size 24 --channels 8 --blocks 1 --device cpu"
    assert train.main([*arguments.split(), "--output", str(tmp_path)]) == 0
    pipeline = KneeSuperResolution(KneeSuperResolutionSettings(bundle=tmp_path))
    assert "trained on 1 simulated knees of 48 samples a side" in pipeline.model.trained_on
    assert "not for clinical use" in pipeline.model.trained_on
    assert set(load(tmp_path).calibration) == {2, 3, 4, 8}
    paths = write_knee_mr(tmp_path / "knee", study_header(Person(), "knee", "Knee"), (8, 40, 36))
    assert pipeline.run(read_studies(paths)[0]).derived[0].uncertainty is not None


def test_a_bundle_of_deepresolve_holds_a_network_for_each_ratio_and_can_be_chosen(tmp_path: Path) -> None:
    arguments = "--method deepresolve --factor 2 --factor 3 --steps 1 --knees 1 --knee-side 48 --clutter 1"
    arguments += " --depth 40 --size 12 --device cpu"
    assert train.main([*arguments.split(), "--output", str(tmp_path)]) == 0
    pipeline = KneeSuperResolution(KneeSuperResolutionSettings(method="deepresolve", bundle=tmp_path))
    assert "1 simulated knees" in pipeline.model.trained_on
    assert read_networks(tmp_path / "models").ratios == [2, 3]


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
