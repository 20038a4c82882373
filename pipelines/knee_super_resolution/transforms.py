"""Transforms before and after the network, on MONAI's tensors that know their place in the patient."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

from pipelines.knee_super_resolution import metrics

SCALE = "scale"  # in the meta data: what intensities were divided by


class SlicesFirstd(MapTransform):  # type: ignore[misc]
    """Turn a volume so that its slices come first: (1, X, Y, Z) to (1, C, H, W), the affine with it.

    The slices are taken to lie along the axis with the largest spacing; rows and columns follow as in DICOM, which
    counts axes the other way round.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The sample with each volume turned."""
        out = dict(data)
        for key in self.key_iterator(out):
            volume: MetaTensor = out[key]
            affine = torch.as_tensor(volume.affine)
            spacing = affine[:3, :3].norm(dim=0)
            first = int(spacing.argmax())
            order = [first, *(axis for axis in (2, 1, 0) if axis != first)]
            turned = MetaTensor(volume.as_tensor().permute(0, *(1 + axis for axis in order)), meta=dict(volume.meta))
            turned.affine = affine[:, [*order, 3]]
            out[key] = turned
        return out


class ScaleByPercentiled(MapTransform):  # type: ignore[misc]
    """Divide a volume by its 99.9th percentile, and note that in its meta data."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The sample with each volume scaled."""
        out = dict(data)
        for key in self.key_iterator(out):
            volume: MetaTensor = out[key]
            array = np.asarray(volume, dtype=np.float32)
            scale = np.float32(metrics.scale_of(array))
            scaled = MetaTensor(torch.from_numpy(array / scale), meta=dict(volume.meta))
            scaled.meta[SCALE] = float(scale)
            out[key] = scaled
        return out


class ScaleBackd(MapTransform):  # type: ignore[misc]
    """Multiply by what the input was divided by: intensities as they were acquired."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The sample with each volume in the unit of the input."""
        out = dict(data)
        for key in self.key_iterator(out):
            volume: MetaTensor = out[key]
            out[key] = volume * float(volume.meta[SCALE])
        return out


class SplitSpreadd(MapTransform):  # type: ignore[misc]
    """Put the second channel, the standard deviation of each voxel, beside the volume as `spread`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The sample with one channel in each volume."""
        out = dict(data)
        for key in self.key_iterator(out):
            volume: MetaTensor = out[key]
            if len(volume) > 1:
                out["spread"] = volume[1:2]
            out[key] = volume[:1]
        return out


def volume_files(folder: str | Path) -> list[dict[str, str]]:
    """The NIfTI files below a folder, as samples of a MONAI dataset; sorted."""
    found = sorted(path for path in Path(folder).rglob("*") if path.name.endswith((".nii", ".nii.gz")))
    return [{"image": str(path)} for path in found]
