"""A bundle's model in memory: its transforms, its inferer and its network, built by its inference config once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from pipelines.bundle_configs import UnusableBundle, parser, read_metadata
from pipelines.knee_super_resolution import BUNDLE
from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.inference import Restorer
from pipelines.knee_super_resolution.inferer import REMARK, SliceInferer, ThinSliceInferer
from pipelines.knee_super_resolution.network import Geometry
from pipelines.knee_super_resolution.thin_stack import ThinStack
from pipelines.knee_super_resolution.transforms import SCALE

Transform = Callable[[Mapping[str, MetaTensor]], dict[str, MetaTensor]]


@dataclass(frozen=True)
class LoadedModel:
    """Everything of a bundle that is run."""

    scaling: Transform
    inferer: SliceInferer
    network: Any
    scaling_back: Transform

    def thin(
        self,
        array: NDArray[np.float32],
        coarse: NDArray[np.floating[Any]],
        fine: NDArray[np.floating[Any]],
        profile: SliceProfile,
        anisotropy: float,
    ) -> ThinStack:
        """Thin slices of acquired ones.

        Parameters
        ----------
        array
            (C, H, W) in any unit.
        coarse, fine
            (C,), (F,): positions along the normal, same unit, ascending; `fine` within `coarse`.
        profile
            Sensitivity of an acquired slice.
        anisotropy
            Distance of the acquired slices over the in-plane pixel.
        """
        given = self.scaling({"image": MetaTensor(torch.from_numpy(np.ascontiguousarray(array))[None])})["image"]
        made = self.inferer(given[None], self.network, Geometry(coarse, fine, profile, anisotropy))
        values = self.scaling_back({"pred": made[0]})["pred"].as_tensor().numpy()
        spread = values[1] if len(values) > 1 else None
        return ThinStack(values[0], spread, float(given.meta[SCALE]), made.meta[REMARK][0])


def load_model(bundle: Path = BUNDLE, shipped: Path = BUNDLE, device: str = "cpu") -> LoadedModel:
    """The model of a bundle.

    Parameters
    ----------
    bundle
        The folder.
    shipped
        That of its method: what its config may call.
    device
        Name of a device, see `pipelines.device`.

    Raises
    ------
    UnusableBundle
        If its configs are missing, or call what the shipped ones do not.
    UnusableDevice
        If this machine has no such device.
    FileNotFoundError
        If weights are missing.
    """
    _require_described(bundle)
    found = parser(bundle, shipped, device=device)
    names = ("scaling", "inferer", "network", "scaling_back")
    return LoadedModel(**{name: found.get_parsed_content(name) for name in names})


def load(bundle: Path = BUNDLE, half: bool | None = None, device: str = "cpu") -> Restorer:
    """The network of a bundle, ready to restore what was scaled already.

    Parameters
    ----------
    bundle
        The folder.
    half
        Whether features are computed in bfloat16 on the CPU; by default where the processor does that fast.
    device
        Name of a device, see `pipelines.device`.

    Raises
    ------
    UnusableBundle, UnusableDevice, FileNotFoundError
        As `load_model`.
    """
    _require_described(bundle)
    found = parser(bundle, BUNDLE, device=device)
    inferer: ThinSliceInferer = found.get_parsed_content("inferer")
    return Restorer(found.get_parsed_content("network"), inferer.calibration, half, inferer.device)


@cache
def warm_model(bundle: Path = BUNDLE, device: str = "cpu") -> Restorer:
    """The same, loaded once per process; for evaluations, during which a bundle does not change."""
    return load(bundle, device=device)


def _require_described(bundle: Path) -> None:
    """Make sure that the weights are those that the metadata describe: of two trainings they would not go together."""
    for name, digest in read_metadata(bundle).get("weights_sha256", {}).items():
        found = hashlib.sha256((bundle / "models" / name).read_bytes()).hexdigest()
        if found != digest:
            raise UnusableBundle(
                f"{bundle / 'models' / name}: has digest {found[:12]}, described is {digest[:12]};"
                " copy the whole folder of the bundle again"
            )
