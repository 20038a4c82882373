"""Coupled dictionaries."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.dictionary import (
    ATOMS,
    FEATURES,
    PATCH,
    Dictionary,
    derivatives,
    load_dictionary,
    save_dictionary,
    sparse_codes,
    train_dictionary,
)
from pipelines.knee_super_resolution.training.volumes import ThinVolume

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def learned() -> Dictionary:
    volume = ThinVolume("c", "c", simulate_clutter(2, (40, 40, 40), 150), (1.0, 1.0, 1.0))
    return train_dictionary([volume], 3, seed=0, patches=800)


def test_atoms_of_features_have_unit_norm(learned: Dictionary) -> None:
    assert learned.low.shape == (ATOMS, FEATURES)
    assert learned.high.shape == (ATOMS, PATCH * PATCH)
    norms = learned.low.norm(dim=1)
    assert torch.allclose(norms[norms > 0.5], torch.ones(int((norms > 0.5).sum())), atol=1e-5)


def test_a_dictionary_comes_back_in_half_precision(learned: Dictionary, tmp_path: Path) -> None:
    save_dictionary(learned, 3, tmp_path)
    again = load_dictionary(3, tmp_path)
    assert torch.equal(again.low, learned.low.half().float())
    with pytest.raises(FileNotFoundError):
        load_dictionary(4, tmp_path)


def test_codes_are_sparse_and_in_proportion_to_nothing_but_the_pattern(learned: Dictionary) -> None:
    features = torch.randn(20, 4 * PATCH * PATCH, generator=torch.Generator().manual_seed(0))
    codes, norms = sparse_codes(features, learned)
    again, doubled = sparse_codes(2 * features, learned)
    assert torch.allclose(codes, again, atol=1e-5)
    assert torch.allclose(doubled, 2 * norms)
    assert float((codes != 0).float().mean()) < 0.5


def test_derivatives_of_a_ramp_are_its_slope_and_nothing() -> None:
    ramp = torch.arange(12.0)[None, :, None].expand(1, 12, 9)
    found = derivatives(ramp)[0, :, 4:-4, 4:-4]
    assert torch.allclose(found[0], torch.full_like(found[0], 2.0))  # over two rows
    assert torch.allclose(found[1:], torch.zeros_like(found[1:]))
