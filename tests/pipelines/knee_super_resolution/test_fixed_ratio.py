"""The network as a function of one tensor."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.fixed_ratio import FixedRatioNet
from pipelines.knee_super_resolution.network import Geometry, ThinSliceNet

torch.set_num_threads(1)


def test_it_answers_as_the_network_does_at_that_ratio() -> None:
    torch.manual_seed(0)
    plain, fixed = ThinSliceNet(8, 1), FixedRatioNet(8, 1, ratio=3.0)
    fixed.load_state_dict(plain.state_dict())
    thick = torch.rand(2, 1, 5, 9, 8)
    with torch.no_grad():
        made = fixed(thick)
        geometry = Geometry(3.0 * np.arange(5), np.arange(13.0), SliceProfile("gaussian"), 3.0)
        thin, spread = plain(thick[:, 0], geometry)
    assert made.shape == (2, 2, 13, 9, 8)
    assert torch.equal(made[:, 0], thin)
    assert torch.equal(made[:, 1], spread)
