"""A simulated examination of a finger joint: for the demo, and to see what the pipeline makes of one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.joint_classification.classes import Condition
from pipelines.joint_classification.simulation import metacarpal
from pipelines.joint_classification.simulation.screen import cine, show

SEED, HEAD_SEED = 8, 3


def demo_cine(
    condition: Condition = "ra",
    severity: float = 0.85,
    frames: int = 16,
    seed: int = SEED,
    size: tuple[int, int] = (360, 440),
    pixel_mm: float = 0.07,
    doppler: bool = True,
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """A sweep over a simulated joint, as a scanner shows it.

    Parameters
    ----------
    condition
        Class of the joint.
    severity
        0..1.
    frames
        Number of frames.
    seed
        Of joint and scanner.
    size
        Rows and columns of the screen.
    pixel_mm
        Size of a pixel of the screen, mm.
    doppler
        Whether power Doppler is on.

    Returns
    -------
    tuple
        RGB, (frames, H, W, 3); and where the picture lies on the screen: first column, first row, last column, last
        row, 0-based.
    """
    pictures, flows = cine(np.random.default_rng(seed), condition, severity, frames)
    shown = [show(p, f if doppler else None, size, pixel_mm) for p, f in zip(pictures, flows, strict=True)]
    return np.stack([s.pixels for s in shown]), shown[0].box


def demo_head(
    condition: Condition = "ra", severity: float = 0.85, seed: int = HEAD_SEED
) -> tuple[NDArray[np.float32], float]:
    """A simulated metacarpal head.

    Parameters
    ----------
    condition
        Class of the joint.
    severity
        0..1.
    seed
        Of the head.

    Returns
    -------
    tuple
        (D, H, W) with the shaft first and cortex near 1, and the size of a voxel in mm.
    """
    case = metacarpal.simulate(np.random.default_rng(seed), condition, 0, severity, motion=1)
    return case.image, case.spacing_mm[0]
