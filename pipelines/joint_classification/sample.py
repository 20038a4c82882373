"""A simulated examination of a finger joint: for the demo, and to see what the pipeline makes of one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.joint_classification.simulate import Condition
from pipelines.joint_classification.simulate.screen import cine, show

SEED = 7


def demo_cine(
    condition: Condition = "ra",
    severity: float = 0.85,
    frames: int = 16,
    seed: int = SEED,
    size: tuple[int, int] = (360, 440),
    pixel_mm: float = 0.07,
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """A sweep over a simulated joint with power Doppler on, as a scanner shows it.

    Returns
    -------
    tuple
        RGB, (frames, H, W, 3); and where the picture lies on the screen: first column, first row, last column, last
        row, 0-based.
    """
    pictures, flows = cine(np.random.default_rng(seed), condition, severity, frames)
    shown = [show(p, f, size, pixel_mm) for p, f in zip(pictures, flows, strict=True)]
    return np.stack([s.pixels for s in shown]), shown[0].box
