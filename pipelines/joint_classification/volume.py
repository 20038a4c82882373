"""HR-pQCT as the 3-D network sees it: DICOM slices or a Scanco AIM file to one metacarpal head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_sr.series import Series


@dataclass(frozen=True)
class Head:
    """One bone end, cut out of the scan."""

    density: NDArray[np.float32]  # (D, H, W), of the cut-out, as `Model.classify` takes it
    spacing_mm: tuple[float, float, float]  # along D, H, W
    corner: tuple[int, int, int]  # index of the cut-out's first voxel in the scan
    motion_grade: float  # estimated, 1 still to 5 useless


def read_head(series: Series) -> Head:
    """The metacarpal head of a scan.

    Raises
    ------
    UnsuitableInput
        If voxels are too coarse, no bone is there, it is cut off, or it moved (grade over 3); in words.
    """
    raise NotImplementedError
