"""Where the slices of a series lie: from ImagePositionPatient and ImageOrientationPatient, also of enhanced objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

PARALLEL_COSINE = 0.999  # normals within 2.6 degrees are one orientation; scanners round their cosines
SAME_PLACE_MM = 0.01  # positions nearer than this are one slice: echoes, phases, repeats
PLANES = ("sagittal", "coronal", "axial")  # by the axis of patient LPS that the slice normal is nearest to


@dataclass(frozen=True)
class Frame:
    """The plane of one image or frame, in patient LPS, mm."""

    position: tuple[float, float, float]
    orientation: tuple[float, ...]  # 6 direction cosines: along a row, then along a column


@dataclass(frozen=True)
class Geometry:
    """What the planes of a series say about it as a whole; None and 0 where they say nothing."""

    orientation: str | None  # sagittal, coronal, axial, or mixed
    slices: int  # different places along the normal
    spacing_mm: float | None  # median distance of neighbouring slices


def geometry(headers: Iterable[Dataset]) -> Geometry:
    """The geometry of the series with these headers."""
    planes = [frame for header in headers for frame in frames(header)]
    if not planes:
        return Geometry(None, 0, None)
    cosines = np.array([plane.orientation for plane in planes])  # (N, 6)
    normals = np.cross(cosines[:, :3], cosines[:, 3:])  # (N, 3)
    if np.abs(normals @ normals[0]).min() < PARALLEL_COSINE:
        return Geometry("mixed", 0, None)
    places = _distinct(np.array([plane.position for plane in planes]) @ normals[0])
    spacing = float(np.median(np.diff(places))) if len(places) > 1 else None
    # one name for all: at 45 degrees the last decimals would name each slice by themselves
    name = PLANES[int(np.argmax(np.abs(normals).mean(axis=0)))]
    return Geometry(name, len(places), spacing)


def frames(header: Dataset) -> Iterator[Frame]:
    """The planes of one instance: its own, or those of its functional groups (PS3.3 C.7.6.16.2.3 and .4)."""
    own = _frame(header, header)
    if own is not None:
        yield own
        return
    shared = next(iter(header.get("SharedFunctionalGroupsSequence") or ()), Dataset())
    for group in header.get("PerFrameFunctionalGroupsSequence") or ():
        position = _macro(group, shared, "PlanePositionSequence")
        orientation = _macro(group, shared, "PlaneOrientationSequence")
        frame = _frame(position, orientation)
        if frame is not None:
            yield frame


def _macro(group: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """The functional group of a frame, which may stand in the shared ones instead."""
    for place in (group, shared):
        found: Dataset
        for found in place.get(keyword) or ():
            return found
    return Dataset()


def _frame(position: Dataset, orientation: Dataset) -> Frame | None:
    places, cosines = position.get("ImagePositionPatient"), orientation.get("ImageOrientationPatient")
    if places is None or cosines is None or len(places) != 3 or len(cosines) != 6:
        return None
    x, y, z = (float(value) for value in places)
    return Frame((x, y, z), tuple(float(value) for value in cosines))


def _distinct(places_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sorted places without those that repeat the one before."""
    places_mm = np.sort(places_mm)
    return places_mm[np.insert(np.diff(places_mm) > SAME_PLACE_MM, 0, True)]
