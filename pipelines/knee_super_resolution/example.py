"""An example of this pipeline's result: a spline in place of the network, with a made-up uncertainty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from dicom_sr import phantoms
from dicom_sr.findings import Model
from pipelines.example import VERSION, Example, made_up_model, only_study
from pipelines.knee_super_resolution import SERIES_BASE, KneeSuperResolution, metrics
from pipelines.knee_super_resolution.classical import tricubic
from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.thin_stack import ThinStack

if TYPE_CHECKING:
    from pipelines.knee_super_resolution.model import LoadedModel

ECHO_TIMES_MS = (12.0, 40.0)


def example(
    folder: Path, shape: tuple[int, int, int] = (20, 128, 128), echo_times_ms: tuple[float, ...] = ECHO_TIMES_MS
) -> Example:
    """A thick-slice knee of two echoes and its result.

    Parameters
    ----------
    folder
        Where the simulated study is written.
    shape
        Slices, rows and columns of each echo.
    echo_times_ms
        One echo each.
    """
    header = phantoms.study_header(phantoms.Person(), "knee", "SIMULATED KNEE MR")
    study = only_study(phantoms.write_knee_mr(folder, header, shape, echo_times_ms=echo_times_ms))
    return Example(study, _WithoutNetwork(KneeSuperResolution.settings_type()).run(study))


class _WithoutNetwork(KneeSuperResolution):
    """The pipeline, but for its network."""

    version = VERSION

    @property
    def model(self) -> Model:
        return made_up_model(self.name, SERIES_BASE)

    def _network(self) -> LoadedModel:
        return cast("LoadedModel", _Spline())


class _Spline:
    """What answers in place of the network."""

    def thin(
        self,
        array: NDArray[np.float32],
        coarse: NDArray[np.float64],
        fine: NDArray[np.float64],
        profile: SliceProfile,
        anisotropy: float,
    ) -> ThinStack:
        """The slices (F, H, W) by a cubic spline, and a standard deviation that grows with the change between slices.

        Parameters
        ----------
        array
            (D, H, W) acquired slices.
        coarse, fine
            Positions of the acquired and of the new slices, mm.
        profile, anisotropy
            What the network would ask for.
        """
        scale = np.float32(metrics.scale_of(array))
        thin = tricubic(array / scale, coarse, fine)
        place = np.interp(fine, coarse, np.arange(len(coarse)))
        between = 4 * (place % 1) * (1 - place % 1)  # 0 on an acquired slice, 1 half-way
        change = np.abs(np.gradient(thin, fine, axis=0)) * (coarse[1] - coarse[0])
        spread = np.asarray(0.004 + 0.25 * change * between[:, None, None], np.float32)
        return ThinStack(thin * scale, spread * scale, float(scale))
