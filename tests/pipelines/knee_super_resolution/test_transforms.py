"""What is done before and after the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipelines.knee_super_resolution import metrics
from pipelines.knee_super_resolution.transforms import (
    ScaleBackd,
    ScaleByPercentiled,
    SlicesFirstd,
    SplitSpreadd,
    volume_files,
)


def volume() -> MetaTensor:
    """Thick along the second axis, and oblique."""
    turned, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turned * [0.7, 4.0, 0.8]
    affine[:3, 3] = 3, -5, 7
    values = torch.from_numpy(np.random.default_rng(1).random((1, 6, 5, 7), dtype=np.float32)) * 800
    return MetaTensor(values, affine=torch.from_numpy(affine))


def test_slices_come_first_and_every_voxel_stays_where_it_is_in_the_patient() -> None:
    given = volume()
    made = SlicesFirstd("image")({"image": given})["image"]
    assert tuple(made.shape) == (1, 5, 7, 6)
    assert torch.linalg.norm(made.affine[:3, 0]) == pytest.approx(4.0)
    for x, y, z in [(0, 0, 0), (5, 4, 6), (1, 3, 2)]:
        assert float(made[0, y, z, x]) == float(given[0, x, y, z])
        before, after = given.affine @ torch.tensor([x, y, z, 1.0]).double(), made.affine
        assert torch.allclose(after.double() @ torch.tensor([y, z, x, 1.0]).double(), before)


def test_intensities_are_over_the_percentile_of_the_input_and_come_back() -> None:
    given = volume()
    array = given.numpy()
    made = ScaleByPercentiled("image")({"image": given})["image"]
    assert np.array_equal(made.numpy(), array / np.float32(metrics.scale_of(array)))
    back = ScaleBackd("image")({"image": made})["image"]
    assert np.allclose(back.numpy(), array, rtol=1e-6)


def test_the_spread_is_put_beside_the_volume() -> None:
    both = MetaTensor(torch.stack([torch.zeros(2, 2, 2), torch.ones(2, 2, 2)]))
    made = SplitSpreadd("pred")({"pred": both})
    assert (float(made["pred"].max()), float(made["spread"].min())) == (0, 1)
    assert "spread" not in SplitSpreadd("pred")({"pred": both[:1]})


def test_volumes_are_listed_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.nii", "a.nii.gz", "sub/c.nii.gz", "d.txt"):
        (tmp_path / name).write_bytes(b"")
    names = [Path(each["image"]).name for each in volume_files(tmp_path)]
    assert names == ["a.nii.gz", "b.nii", "c.nii.gz"]
