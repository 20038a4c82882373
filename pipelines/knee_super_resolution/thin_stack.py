"""What a method makes of a stack."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ThinStack:
    """What a model made of a stack."""

    array: NDArray[np.float32]  # (F, H, W) in the unit of the input
    standard_deviation: NDArray[np.float32] | None  # (F, H, W) of a voxel, where the method knows it
    scale: float  # the input's 99.9th percentile
    remark: str = ""  # where something was done otherwise than asked for
