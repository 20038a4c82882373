"""What a segmentation shows, read without the encoder's code: each segment on each frame of its source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

Shown = dict[tuple[str, str, int | None], NDArray[np.float64]]
FORMS = ("binary", "fractional", "labelmap")


def shown(ds: Dataset) -> Shown:
    """By label, SOPInstanceUID and frame number of the source: (H, W) of 0 to 1; nothing where all is 0."""
    labels = {int(one.SegmentNumber): str(one.SegmentLabel) for one in ds.SegmentSequence}
    labels.pop(0, None)  # the background of a label map
    planes = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    found: Shown = {}
    for frame, plane in zip(ds.PerFrameFunctionalGroupsSequence, planes, strict=True):
        (derivation,) = frame.DerivationImageSequence
        (source,) = derivation.SourceImageSequence
        number = source.get("ReferencedFrameNumber")
        where = (str(source.ReferencedSOPInstanceUID), None if number is None else int(number))
        if ds.SegmentationType == "LABELMAP":
            parts = {value: (plane == value).astype(np.float64) for value in labels}
        else:
            holder = frame if "SegmentIdentificationSequence" in frame else ds.SharedFunctionalGroupsSequence[0]
            segment = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            parts = {segment: plane / float(ds.get("MaximumFractionalValue") or 1)}
        for value, part in parts.items():
            assert (labels[value], *where) not in found
            if part.any():
                found[(labels[value], *where)] = part
    return found


def assert_shows(form: str, objects: list[Dataset], wanted: Mapping[tuple[str, str, int | None], np.ndarray]) -> None:
    """Hold what segmentations show against probabilities (H, W), which all but a fractional one cut at 0.5."""
    found: Shown = {}
    for ds in objects:
        found |= shown(ds)
    assert sorted(found, key=str) == sorted(wanted, key=str)
    for key, plane in wanted.items():
        if form == "fractional":
            np.testing.assert_allclose(found[key], plane, atol=0.5 / 255 + 1e-6)  # stored in 256 steps
        else:
            np.testing.assert_array_equal(found[key], plane >= 0.5)
