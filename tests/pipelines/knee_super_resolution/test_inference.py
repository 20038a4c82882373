"""Tiles without seams, no work on air, and half precision that changes nothing that counts."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from pipelines.knee_super_resolution import inference, tiles
from pipelines.knee_super_resolution.degradation import SliceProfile, along_slices, spline_matrix
from pipelines.knee_super_resolution.evaluation.lesions import injected
from pipelines.knee_super_resolution.inference import Restorer, Trust, fast_bfloat16
from pipelines.knee_super_resolution.model import load
from pipelines.knee_super_resolution.network import Geometry, ThinSliceNet
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.tasks import cropped, degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume, read_volumes

torch.set_num_threads(1)


def restorer(half: bool) -> Restorer:
    torch.manual_seed(0)
    network = ThinSliceNet(channels=16, blocks=2)
    with torch.no_grad():
        network.head.weight.mul_(3)  # an untrained network would add too little for a seam to show
    return Restorer(network, {2.0: 1.0, 8.0: 2.0}, half)


FULL = Trust(1.0, 1.0)


def thick_slices() -> NDArray[np.float32]:
    """Six slices with structure on the left and air on the right."""
    noise = gaussian_filter(np.random.default_rng(0).standard_normal((6, 50, 64)), (0.5, 2, 2))
    volume = np.abs(noise) / np.abs(noise).max()
    volume[:, :, 40:] = 0.0
    scaled: NDArray[np.float32] = volume.astype(np.float32)
    return scaled


COARSE = np.arange(6) * 3.3
FINE = np.arange(0, COARSE[-1] + 1e-9, 1.0)


@pytest.mark.parametrize("half", [False, pytest.param(True, id="bfloat16")])
def test_tiles_equal_the_whole(half: bool) -> None:
    made = restorer(half)
    whole, whole_sd = made.restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3, (50, 64), FULL)
    parts, parts_sd = made.restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3, (13, 17), FULL)
    assert np.abs(whole - parts).max() < 1e-4
    assert np.abs(whole_sd - parts_sd).max() < 1e-4
    spline = along_slices(spline_matrix(COARSE, FINE), thick_slices())
    assert np.abs(whole - spline).max() > 5e-3  # there was something to get wrong


def test_air_is_left_as_interpolated_and_costs_nothing() -> None:
    made, seen = restorer(False), []
    features = made.features

    def counted(thick: torch.Tensor, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(thick.shape[-1])
        return features(thick, conditions)

    made.features = counted
    thin, _ = made.restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3, trust=FULL)
    assert np.abs(thin[:, :, 52:]).max() == 0
    assert max(seen) <= 40 + 2 * tiles.MARGIN + made.field


def test_half_precision_is_close_to_full() -> None:
    full, _ = restorer(False).restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3, trust=FULL)
    half, _ = restorer(True).restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3, trust=FULL)
    error = float(np.sqrt(np.mean((full - half) ** 2)))
    assert error < 1e-3 if fast_bfloat16() else error < 2e-3


def test_the_calibration_is_interpolated_between_ratios() -> None:
    made = restorer(False)
    factors = [made.calibration_at(ratio) for ratio in (1.5, 2.0, 4.0, 8.0)]
    assert factors == pytest.approx([1.0, 1.0, 1.5, 2.0])  # halfway in the logarithm


def test_a_network_that_only_invents_is_trusted_little() -> None:
    made = restorer(False)  # untrained: its residual has nothing to do with what is missing
    thick = torch.from_numpy(thick_slices())
    asked = Geometry(COARSE, FINE, SliceProfile("fir"), 3.3)
    with torch.inference_mode():
        trust = made.trust(thick, asked)
    assert trust.residual < 0.3
    kept, _ = made.restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3)
    full, _ = made.restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3, trust=FULL)
    base, _ = made.restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3, trust=Trust(0.0, 1.0))
    assert np.abs(kept - base).max() < 0.5 * np.abs(full - base).max()


def test_two_threads_give_what_one_gives_and_are_left_as_they_were() -> None:
    made = restorer(False)
    alone, alone_sd = made.restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3)
    torch.set_num_threads(2)
    try:
        together, together_sd = made.restore(thick_slices(), COARSE, FINE, SliceProfile("fir"), 3.3)
        assert torch.get_num_threads() == 2
        assert torch.is_inference_mode_enabled() is False
    finally:
        torch.set_num_threads(1)
    assert np.abs(alone - together).max() < 1e-4
    assert np.abs(alone_sd - together_sd).max() < 1e-4


@pytest.mark.parametrize(("threads", "tile"), [(1, (100, 100)), (2, (100, 50))])
def test_there_is_a_tile_for_every_thread(threads: int, tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert restorer(False)._tile(torch.ones(100, 100), 6) == tile


def test_tiles_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "TILE_VOXELS", 6 * 50 * 50)
    made = restorer(False)
    rows, columns = made._tile(torch.ones(100, 120), 6)
    assert 6 * (rows + 2 * made.field) * (columns + 2 * made.field) <= 6 * 50 * 50


@pytest.mark.shared_data
def test_a_few_small_foci_do_not_change_how_far_the_network_is_trusted(shared_data: Path) -> None:
    (brain,) = [each for each in read_volumes(shared_data / "mr" / "brain-isotropic") if each.name == "spm152"]
    plain = cropped(brain, 64)
    with_foci, _ = injected(plain, 0, 4, np.random.default_rng([0, 0, 4]))
    amounts = []
    for volume in (plain, with_foci):
        task, _ = degraded(volume, 0, 4, scale=1.0)
        geometry = Geometry(task.coarse, task.fine, task.profile, task.anisotropy)
        with torch.inference_mode():
            amounts.append(load().trust(torch.from_numpy(task.thick), geometry).residual)
    assert amounts[0] == pytest.approx(amounts[1], abs=0.05)


def test_trust_does_not_change_with_pixels_finer_than_the_thin_slices() -> None:
    array = simulate_clutter(3, (33, 48, 48), leaves=300)
    finer = np.asarray(zoom(array, (1, 2, 2), order=3), dtype=np.float32)  # the same picture, twice as many pixels
    amounts = []
    for volume in (ThinVolume("v", "v", array, (1.0, 1.0, 1.0)), ThinVolume("v", "v", finer, (1.0, 0.5, 0.5))):
        task, _ = degraded(volume, 0, 4)
        geometry = Geometry(task.coarse, task.fine, task.profile, task.anisotropy)
        with torch.inference_mode():
            amounts.append(load().trust(torch.from_numpy(task.thick), geometry).residual)
    assert amounts[0] == pytest.approx(amounts[1], rel=0.15)


def test_where_memory_ends_tiles_are_made_smaller_and_the_result_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    roomy, hungry = restorer(False), restorer(False)
    features = hungry.features

    def limited(thick: torch.Tensor, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the network, or an error as a GPU gives it, with room for 8000 acquired voxels."""
        if thick.numel() > 8_000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return features(thick, conditions)

    hungry.features = limited
    monkeypatch.setattr(inference, "TILE_VOXELS", 16_000)
    geometry = Geometry(COARSE, FINE, SliceProfile("fir"), 3.3)
    given = torch.from_numpy(thick_slices())
    whole = roomy.restored(given, geometry, trust=FULL)
    parts = hungry.restored(given, geometry, trust=FULL)
    assert whole.remark == ""
    assert parts.remark == "The memory of cpu did not hold the usual tiles: computed in smaller ones."
    assert float((whole.values - parts.values).abs().max()) < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use on this machine")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    geometry = Geometry(COARSE, FINE, SliceProfile("fir"), 3.3)
    given = torch.from_numpy(thick_slices())
    torch.manual_seed(0)
    network = ThinSliceNet(channels=16, blocks=2)
    on_cpu = Restorer(copy.deepcopy(network), {}, False).restored(given, geometry, trust=FULL).values
    on_gpu = Restorer(network, {}, device=torch.device("cuda", 0)).restored(given, geometry, trust=FULL).values
    assert float((on_cpu - on_gpu).abs().max()) < 5e-3  # of a scaled intensity: features in half precision
