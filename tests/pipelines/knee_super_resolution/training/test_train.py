"""Training from simulated volumes alone: seeded, resumable, and better than not training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from pipelines.knee_super_resolution.training import train

torch.set_num_threads(1)
QUIET = Console(file=io.StringIO())


def test_the_command_writes_weights_and_what_they_were_trained_on(tmp_path: Path) -> None:
    arguments = "--seed 1 --steps 2 --knees 1 --knee-side 48 --clutter 1"
    arguments += " --depth 40 --size 24 --channels 8 --blocks 1 --device cpu"
    assert train.main([*arguments.split(), "--output", str(tmp_path)]) == 0
    described = json.loads((tmp_path / "model.json").read_text())
    assert "1 simulated knees of 48 samples a side" in described["trained_on"]
    assert "not for clinical use" in described["trained_on"]
    assert set(described["calibration"]) == {"2", "3", "4", "8"}
    assert load_file(tmp_path / "model.safetensors")


def test_a_knee_that_is_too_small_to_be_degraded_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        train.main(["--knee-side", "23", "--steps", "0", "--clutter", "0", "--output", str(tmp_path)])
    assert ended.value.code == 2
    assert "--knee-side: should be 24 or more" in capsys.readouterr().err
