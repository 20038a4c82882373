"""The networks behind MONAI's interface: an inferer takes acquired slices and gives thin ones, with their place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor

from pipelines.device import resolved
from pipelines.knee_super_resolution import MAX_RATIO
from pipelines.knee_super_resolution.deepresolve import DeepResolveRestorer, TrainedNetworks
from pipelines.knee_super_resolution.degradation import ProfileKind, SliceProfile
from pipelines.knee_super_resolution.inference import Restored, Restorer
from pipelines.knee_super_resolution.network import Geometry, ThinSliceNet

REMARK = "remark"  # in the meta data: where something was done otherwise than asked for


class SliceInferer(Inferer):  # type: ignore[misc]
    """Acquired slices (N, 1, C, H, W) over their 99.9th percentile to thin ones (N, K, F, H, W), in float32.

    Where no geometry is given, it is read from the affine: slices of the spacing of the first axis, thin ones every
    in-plane pixel, at most eight to an acquired slice. The meta data of the result has its affine.

    Parameters
    ----------
    device
        Name of a device, see `pipelines.device`.
    profile
        Sensitivity of an acquired slice, where it is read from the affine: it is as wide as slices are apart.
    """

    def __init__(self, device: str, profile: ProfileKind = "gaussian") -> None:
        super().__init__()
        self.device, self.profile = resolved(device), SliceProfile(profile)

    def restored(self, thick: Tensor, network: Any, geometry: Geometry) -> Restored:
        """What the network makes of one stack (C, H, W), on the CPU."""
        raise NotImplementedError

    def __call__(self, inputs: Tensor, network: Any, geometry: Geometry | None = None, **unused: Any) -> MetaTensor:
        """Thin slices of each stack of a batch.

        Parameters
        ----------
        inputs
            (N, 1, C, H, W); with an affine, where no geometry is given.
        network
            As the bundle's config builds it.
        geometry
            Of all stacks of the batch.
        """
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        affines = np.array(np.broadcast_to(getattr(inputs, "affine", np.eye(4)), (len(plain), 4, 4)), dtype=float)
        values, remarks = [], []
        for stack, affine in zip(plain, affines, strict=True):
            asked = geometry or _geometry(affine, stack.shape[1], self.profile)
            made = self.restored(stack[0].cpu(), network, asked)
            affine[:3, 0] *= (asked.fine[1] - asked.fine[0]) / (asked.coarse[1] - asked.coarse[0])
            values.append(made.values)
            remarks.append(made.remark)
        out = MetaTensor(values[0][None] if len(values) == 1 else torch.stack(values))
        if isinstance(inputs, MetaTensor):
            out.copy_meta_from(inputs)
        out.meta = dict(out.meta) | {"affine": torch.from_numpy(affines), REMARK: remarks}
        return out


class ThinSliceInferer(SliceInferer):
    """Thin slices and the standard deviation of each voxel, (N, 2, F, H, W), by the trained network.

    Parameters
    ----------
    calibration
        File with the factor from the network's spread to a standard deviation, by the ratio that it was measured at.
    device, profile
        As of any inferer here.
    """

    def __init__(self, calibration: str, device: str, profile: ProfileKind = "gaussian") -> None:
        super().__init__(device, profile)
        self.calibration = read_calibration(Path(calibration))
        self._known: tuple[ThinSliceNet, Restorer] | None = None

    def restorer(self, network: ThinSliceNet) -> Restorer:
        """The network made ready for the device; kept, since a worker uses the same one again and again."""
        if self._known is None or self._known[0] is not network:
            self._known = network, Restorer(network, self.calibration, device=self.device)
        return self._known[1]

    def restored(self, thick: Tensor, network: ThinSliceNet, geometry: Geometry) -> Restored:
        """Thin slices and the standard deviation of each voxel."""
        return self.restorer(network).restored(thick, geometry)


class DeepResolveInferer(SliceInferer):
    """Thin slices (N, 1, F, H, W) by the published network that was trained for the nearest ratio."""

    def restored(self, thick: Tensor, network: TrainedNetworks, geometry: Geometry) -> Restored:
        """Thin slices, and a remark where no network was trained for that very ratio."""
        return DeepResolveRestorer(network, self.device).restored(thick, geometry)


def read_calibration(path: Path) -> dict[float, float]:
    """The factors of a file, by ratio."""
    read: Mapping[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return {float(ratio): float(factor) for ratio, factor in read.items()}


def _geometry(affine: np.ndarray[Any, np.dtype[np.floating[Any]]], slices: int, profile: SliceProfile) -> Geometry:
    """Slices as far apart as the affine says, and thin ones as far as its pixels, within `MAX_RATIO`."""
    spacing, *pixels = np.linalg.norm(affine[:3, :3], axis=0)
    step = max(*pixels, spacing / MAX_RATIO)
    coarse = spacing * np.arange(slices)
    fine = np.minimum(np.arange(int(coarse[-1] / step + 1e-3) + 1) * step, coarse[-1])
    return Geometry(coarse, fine, profile, float(spacing / np.sqrt(np.prod(pixels))))
