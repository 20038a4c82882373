"""The volumes of a result as arrays with their place in the patient, and as NIfTI files."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_sr.findings import Result, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SLICES_LAST = (2, 1, 0)  # axes (D, H, W) in the order in which NIfTI keeps them: columns, rows, slices


@dataclass(frozen=True)
class LocalVolume:
    """A volume in patient space."""

    name: str  # fit for a file: letters, digits and _ only
    stored: NDArray[np.generic] = field(repr=False)  # (D, H, W): the array, or a label map that segments share
    affine: NDArray[np.float64] = field(repr=False)  # (4, 4): index (d, h, w, 1) to patient LPS, mm, as DICOM has it
    label_value: int | None = None  # of the segment in the label map

    @property
    def array(self) -> NDArray[np.generic]:
        """(D, H, W): slices, rows, columns; of a segment in a label map a mask, made when it is asked for."""
        return self.stored if self.label_value is None else np.asarray(self.stored == self.label_value)

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """(4, 4): index (w, h, d, 1) to patient RAS, mm, as NIfTI and nibabel have it, of ``array.T``."""
        reordered = self.affine[:, [*SLICES_LAST, 3]]
        return np.asarray(LPS_TO_RAS @ reordered)

    def write_nifti(self, path: Path) -> Path:
        """Write it as ``.nii.gz``, axes columns, rows, slices, with its affine in RAS.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        import SimpleITK  # half a second to import

        array = self.array
        array = array.astype(np.uint8) if array.dtype == np.bool_ else array
        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array))  # (D, H, W) is ITK's (x, y, z) = (w, h, d)
        columns = self.affine[:3, list(SLICES_LAST)]
        spacing = np.linalg.norm(columns, axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((columns / spacing).ravel().tolist())
        image.SetOrigin(self.affine[:3, 3].tolist())
        try:
            SimpleITK.WriteImage(image, str(path), useCompression=True)
        except RuntimeError as error:
            raise OSError(errno.EIO, "the volume could not be written", str(path)) from error
        return path


def volumes(result: Result) -> list[LocalVolume]:
    """Derived volumes with their uncertainty, and segments in patient space, with names of their own.

    A segment on the pixels of one image, as on a radiograph, has no place in the patient and is not among them.
    """
    taken: dict[str, int] = {}
    found = []
    for label, volume, label_value in _labelled(result):
        name = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") or "volume"
        taken[name] = taken.get(name, 0) + 1
        name = name if taken[name] == 1 else f"{name}_{taken[name]}"
        found.append(LocalVolume(name, volume.array, volume.affine, label_value))
    return found


def _labelled(result: Result) -> Iterator[tuple[str, Volume, int | None]]:
    for derived in result.derived:
        label = f"derived {derived.label}"
        yield label, derived.volume, None
        if derived.uncertainty is not None:
            yield f"{label} uncertainty", derived.uncertainty, None
    for segment in result.segments:
        if segment.volume is not None:
            yield f"segment {segment.label}", segment.volume, segment.label_value
