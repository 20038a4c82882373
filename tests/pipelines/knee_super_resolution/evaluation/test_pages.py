"""The page of an evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.knee_super_resolution.evaluation.evaluate import judge
from pipelines.knee_super_resolution.evaluation.methods import SHIPPED
from pipelines.knee_super_resolution.evaluation.pages import cases, error_maps, write_page
from pipelines.knee_super_resolution.evaluation.rows import Row, rows_of
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.volumes import ThinVolume

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def volume() -> ThinVolume:
    return ThinVolume("knee", "anna", simulate_clutter(4, (41, 32, 28), 90), (1.0, 1.0, 1.0))


def row(subject: str, method: str, psnr_db: float) -> Row:
    return Row("knee", 0, 2, method, 0.9, psnr_db, 10 ** (-psnr_db / 20), 0.5, 1.0, subject=subject)


def test_the_worst_case_comes_first_and_volumes_of_one_name_are_told_apart() -> None:
    rows = [row("anna", "tricubic", 30), row("anna", "learned", 33), row("berta", "tricubic", 30)]
    found = cases([*rows, row("berta", "learned", 31), row("clara", "learned", 40)])
    assert [(case.subject, case.gain_db) for case in found] == [("berta", 1), ("anna", 3)]


def test_error_maps_are_of_the_plane_in_which_the_spline_errs_most(volume: ThinVolume) -> None:
    shown, errors = error_maps(volume, 0, 4, SHIPPED)
    assert {each.shape for each in (*shown.values(), *errors.values())} == {(41, 32)}
    assert np.array_equal(errors["error of the spline"], np.abs(shown["spline"] - shown["truth"]))
    assert np.array_equal(errors["error of learned"], np.abs(shown["learned"] - shown["truth"]))
    other, _ = error_maps(replace(volume, array=volume.array[:, :, ::-1].copy()), 0, 4, SHIPPED)
    assert np.array_equal(other["truth"], shown["truth"])


def test_the_page_has_figures_gains_coverage_and_pictures(volume: ThinVolume, tmp_path: Path) -> None:
    rows = [each for factor in (2, 4) for each in judge(volume, 0, factor, ["tricubic", "fourier", "learned"])]
    page = write_page(tmp_path, rows, [volume], SHIPPED).read_text(encoding="utf-8")
    assert "1 volumes of 1 subjects" in page
    assert "trained on" in page
    for heading in ("Figures", "Gain in pSNR", "Uncertainty", "Cases, the least gain first"):
        assert f"<h2>{heading}</h2>" in page
    assert rows_of(tmp_path / "rows.json") == rows
    for name in ("gain", "worst_1", "worst_1_errors", "worst_2", "worst_2_errors"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 150
