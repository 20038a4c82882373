"""What the networks are taught by."""

from __future__ import annotations

import pytest
import torch

from pipelines.knee_super_resolution.training.losses import gain_db, relative_error


def test_the_interpolation_itself_has_an_error_of_one_and_no_gain() -> None:
    truth = torch.rand(1, 9, 8, 8, generator=torch.Generator().manual_seed(0))
    interpolated = truth + 0.1
    assert float(relative_error(interpolated, truth, interpolated)) == pytest.approx(1.0, abs=1e-3)
    assert gain_db(interpolated, truth, interpolated) == pytest.approx(0.0, abs=1e-3)


def test_half_the_error_is_six_decibels() -> None:
    truth = torch.rand(1, 9, 8, 8, generator=torch.Generator().manual_seed(0))
    assert gain_db(truth + 0.05, truth, truth + 0.1) == pytest.approx(6.02, abs=0.01)


def test_air_counts_little() -> None:
    truth = torch.zeros(1, 2, 8, 8)
    truth[:, :, :4] = 0.5  # tissue above, air below
    off_in_tissue, off_in_air = truth.clone(), truth.clone()
    off_in_tissue[:, :, :4] += 0.04
    off_in_air[:, :, 4:] += 0.04
    interpolated = truth + 0.02
    ratio = relative_error(off_in_tissue, truth, interpolated) / relative_error(off_in_air, truth, interpolated)
    assert float(ratio) == pytest.approx((1.05 / 0.05) ** 0.5, rel=0.01)
