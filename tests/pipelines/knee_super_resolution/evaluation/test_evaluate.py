"""The evaluation as a command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from pipelines.bundle_configs import inference_digest
from pipelines.knee_super_resolution import BUNDLE
from pipelines.knee_super_resolution.evaluation.evaluate import combinations, main
from pipelines.knee_super_resolution.evaluation.rows import rows_of
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.volumes import ThinVolume
from tests.pipelines.conftest import Refused

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("volumes")
    array = simulate_clutter(1, (30, 36, 32), 100)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.8, 0.8, 1.0])), made / "one.nii.gz")
    return made


def test_the_command_writes_a_row_for_every_axis_factor_and_method(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    arguments = ["--data", str(folder), "--factors", "2,3", "--methods", "tricubic,fourier", "--json", str(out)]
    assert main(arguments) == 0
    rows = json.loads(out.read_text())
    assert len(rows) == 3 * 2 * 2
    assert {"volume", "axis", "factor", "method", "ssim", "psnr_db", "rmse", "highband_error", "seconds"} <= set(
        rows[0]
    )
    assert {row["method"] for row in rows} == {"tricubic", "fourier"}
    assert all(20 < row["psnr_db"] < 60 for row in rows)
    assert all(0 < row["ssim"] <= 1 for row in rows)
    for row in rows:
        assert row["psnr_db"] == pytest.approx(-20 * np.log10(row["rmse"]))


def test_own_weights_are_measured_and_the_page_names_them(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(BUNDLE, own)
    metadata = own / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text().replace("22 simulated knees", "5 knees of our clinic"))
    arguments = ["--data", str(folder), "--factors", "3", "--methods", "tricubic,learned", "--bundle", str(own)]
    assert main([*arguments, "--report", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "trained on 5 knees of our clinic" in page
    assert inference_digest(own)[:12] in page


def test_a_folder_that_is_no_bundle_is_named_before_anything_is_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(folder), "--bundle", str(tmp_path)]) == 1
    assert "metadata.json: cannot be read" in capsys.readouterr().out


def test_monai_evaluates_the_bundle(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(BUNDLE / "configs" / "evaluate.json")]
    command += ["--bundle_root", str(BUNDLE), "--dataset_dir", f"['{folder}']", "--output_dir", str(tmp_path / "out")]
    subprocess.run([*command, "--factors", "'3'", "--threads", "1"], check=True, capture_output=True)
    rows = rows_of(tmp_path / "out" / "rows.json")
    assert {(each.factor, each.method) for each in rows} == {(3, "tricubic"), (3, "learned")}


def test_an_unknown_method_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(folder), "--methods", "magic"]) == 2
    assert "magic" in capsys.readouterr().out


def test_a_folder_without_thin_volumes_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 1
    assert "no volume" in capsys.readouterr().out


def test_an_axis_that_would_leave_too_few_slices_is_left_out() -> None:
    volume = ThinVolume("v", "v", np.zeros((24, 40, 40), np.float32), (1.0, 1.0, 1.0))
    chosen = [(axis, factor) for _, axis, factor in combinations([volume], (2, 8, 12))]
    assert chosen == [(0, 2), (1, 2), (1, 8), (1, 12), (2, 2), (2, 8), (2, 12)]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--data", "none"], "--data: none: there is no such folder"),
        (["--data", ".", "--factors", "2,x"], "--factors: '2,x': should be whole numbers from 2 on"),
        (["--data", ".", "--factors", "1"], "--factors: '1': should be whole numbers from 2 on"),
        (["--data", ".", "--json", "none/x.json"], "none/x.json: there is no folder none"),
        (["--data", ".", "--card", "."], "--card: .: is a folder, should be a file"),
        (["--data", ".", "--others", "none"], "--others: none: there is no such folder"),
    ],
)
def test_options_that_cannot_be_used_are_said_before_anything_is_measured(
    options: list[str], why: str, refused: Refused
) -> None:
    assert why in refused(main, options)


def test_a_knee_without_others_is_not_left_out_in_silence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(folder), "--knee", str(folder)]) == 2
    assert "--knee needs --others" in capsys.readouterr().out


def test_a_damaged_volume_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.nii.gz").write_bytes(b"no volume")
    assert main(["--data", str(tmp_path)]) == 1
    assert "broken.nii.gz: is no volume that can be read" in capsys.readouterr().out
