"""One simulated image with the truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.joint_classification.classes import Condition


@dataclass(frozen=True)
class Case:
    """One simulated image or volume and the truth about it."""

    image: NDArray[np.float32]  # (H, W) or (D, H, W) in 0..1
    condition: Condition | None  # None: none of the three (an unknown, to be refused)
    severity: float  # 0..1; 0 for the healthy
    lesion: NDArray[np.bool_]  # where the changes of the condition are, on the pixels of `image`
    patient: int  # cases of one patient belong to one fold
    age_years: float
    female: bool
    spacing_mm: tuple[float, ...]  # along the axes of `image`
    kind: str = ""  # what an unknown is, e.g. "gout"
