"""The classical method: a cubic spline along the slice axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_super_resolution.degradation import along_slices, spline_matrix


def tricubic(
    array: NDArray[np.floating], coarse_mm: NDArray[np.floating[Any]], fine_mm: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Interpolate slices (D, H, W) at `coarse_mm` to slices at `fine_mm`, both along the normal.

    Tricubic interpolation whose in-plane grid is kept is cubic interpolation along the slices.

    Parameters
    ----------
    array
        (D, H, W).
    coarse_mm, fine_mm
        (D,), (F,): positions of the given and of the wanted slices.
    """
    return along_slices(spline_matrix(coarse_mm, fine_mm), array)
