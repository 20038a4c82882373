"""What a segmentation shows: its segments, and where on which images each of them lies.

No segment gets an array of the size of its images: planes are read one at a time from what the result holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_sr.capture.drawing import SERIES
from dicom_sr.codes import SPATIAL_CONCEPT
from dicom_sr.decimal_string import decimal
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Heatmap, ImageReference, Result, Segment, Site, Volume
from dicom_sr.header_numbers import numbers_in, whole_number_in
from dicom_sr.provenance import Provenance
from dicom_sr.read.frames import classic_element, frame_header, is_enhanced, number_of_frames
from dicom_sr.read.headers import chosen
from dicom_sr.write.derived_series import derived_references
from dicom_sr.write.references import frame_of_reference, has_frames, stand_in

_PLACE = (
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
)
_GRID_TOLERANCE_MM = 0.01
_TURNED_PIXELS = 0.5  # by which the far corner of an array may miss its pixel before it counts as turned


@dataclass(frozen=True)
class Layer:
    """One segment: what it is, and where on the planes of its group."""

    label: str
    category: Code
    property_type: Code
    colour_rgb: tuple[int, int, int]
    threshold: float
    is_probability: bool
    values: NDArray[np.generic]  # (D, H, W) of its box: bool, probability or label map
    label_value: int | None
    planes: Mapping[int, int]  # plane of the group: plane of `values`, where something is on it
    corner: tuple[int, int]  # row and column at which the box begins
    site: Site | None = None

    @cached_property
    def _peaks(self) -> dict[int, float]:
        if self.label_value is not None or self.values.dtype == np.bool_:
            return dict.fromkeys(self.planes, 1.0)
        # a pixel that is no number counts as 0
        highest = {plane: np.fmax.reduce(self.values[d], axis=None, initial=0) for plane, d in self.planes.items()}
        return {plane: float(np.float32(value)) for plane, value in highest.items()}

    def peak(self, plane: int) -> float:
        """The highest probability on a plane of the group."""
        return self._peaks.get(plane, 0.0)

    def is_on(self, plane: int) -> bool:
        """Whether a pixel of the plane belongs to it."""
        return plane in self.planes and self.peak(plane) >= self.threshold

    def probability(self, plane: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """0 to 1 on a whole plane of the group, (H, W)."""
        whole: NDArray[np.float32] = np.zeros(shape, np.float32)
        if plane in self.planes:
            whole[self._box(plane)] = np.fmin(np.fmax(np.asarray(self._on(plane), np.float32), 0), 1)
        return whole

    def mask(self, plane: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Where it is on a whole plane of the group, (H, W)."""
        whole: NDArray[np.bool_] = np.zeros(shape, np.bool_)
        if plane in self.planes:
            values = self._on(plane)
            whole[self._box(plane)] = (
                values if values.dtype == np.bool_ else np.asarray(values, np.float32) >= self.threshold
            )
        return whole

    def _on(self, plane: int) -> NDArray[np.generic]:
        values = self.values[self.planes[plane]]
        return values if self.label_value is None else np.asarray(values == self.label_value)

    def _box(self, plane: int) -> tuple[slice, slice]:
        height, width = self.values[self.planes[plane]].shape
        row, column = self.corner
        return slice(row, row + height), slice(column, column + width)


@dataclass
class Group:
    """Images that one segmentation object refers to, and its segments."""

    images: list[Dataset]  # one image of many frames, or the images of one frame each
    layers: list[Layer] = field(default_factory=list)
    frame: ImageReference | None = None  # the one frame it lies on, where the image's frames have no place in space
    frame_numbers: tuple[int, ...] = ()  # of its planes, where its image stands for some frames of one that has more

    @property
    def number_of_planes(self) -> int:
        """Frames of its images."""
        return len(self.images) if len(self.images) > 1 else number_of_frames(self.images[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of its images."""
        return int(self.images[0].Rows), int(self.images[0].Columns)


def groups(provenance: Provenance) -> list[Group]:
    """The segments of the result, grouped by the image or the volume on which they lie.

    Raises
    ------
    EncodingError
        If a segment lies on no image of the result, or has no form that a segment may have.
    """
    result = provenance.result
    if not isinstance(result, Result) or not (result.heatmaps or result.segments):
        return []
    occupied = _Occupied()
    images = _Images(provenance)
    for number, heatmap in enumerate(result.heatmaps):
        group = images.group(heatmap.image)
        group.layers.append(_from_heatmap(heatmap, group, SERIES[number % len(SERIES)]))
    grids, placed = _Grids(provenance), dict[int, list[_Placed]]()
    for segment in result.segments:
        if segment.label_value == 0:
            raise EncodingError(f"segment {segment.label!r} has the value of the background, 0")
        if segment.volume is None:
            if segment.image is None or segment.mask is None:
                raise EncodingError(f"segment {segment.label!r} has neither a volume nor an image with a mask")
            group = images.group(segment.image)
            planes = _on_frame(segment.mask, group, segment.image.frame_number)
            group.layers.append(_from_segment(segment, segment.mask[np.newaxis], planes, (0, 0), occupied))
        elif (found := grids.place(segment, segment.volume)) is not None:
            placed.setdefault(found.grid, []).append(found)
    on_grids = (_on_grid(grids.all[number], found, occupied) for number, found in placed.items())
    return [*images.groups.values(), *on_grids]


# ---- maps on an image
class _Images:
    """The images of a result, and the groups of the maps that lie on them."""

    def __init__(self, provenance: Provenance) -> None:
        self.groups: dict[tuple[str, tuple[int, ...]], Group] = {}
        self._headers = provenance.header_of
        self._frames: dict[
            str, tuple[list[Dataset], list[tuple[int, ...]]]
        ] = {}  # of an image, as `_together` has them

    def group(self, reference: ImageReference) -> Group:
        """The group for maps on an image, or on some frames of one; without a number the first frame is meant.

        A frame without a place in space, such as one of a cine, has an object of its own: only by its references can
        that tell which frame it lies on.
        """
        uid, number = reference.sop_instance_uid, reference.frame_number or 1
        header = self._headers[uid]
        if number > number_of_frames(header):
            raise EncodingError(f"image {uid} has no frame {number}")
        if not has_frames(header) and number_of_frames(header) == 1:
            return self._group(uid, (), lambda: Group([_placed_or_flat(stand_in(header))]))
        if uid not in self._frames:
            frames = _frames_in_space(header)
            self._frames[uid] = frames, _together(frames)
        frames, together = self._frames[uid]
        if not frames:
            alone = ImageReference(uid, number)
            return self._group(uid, (number,), lambda: Group([_single(stand_in(header))], frame=alone))
        numbers = together[number - 1]
        parallel = [frames[n - 1] for n in numbers]
        return self._group(uid, numbers, lambda: Group([_of_frames(stand_in(header), parallel)], frame_numbers=numbers))

    def _group(self, uid: str, frames: tuple[int, ...], make: Callable[[], Group]) -> Group:
        if (uid, frames) not in self.groups:
            self.groups[uid, frames] = make()
        return self.groups[uid, frames]


def _placed_or_flat(image: Dataset) -> Dataset:
    """A stand-in for an image of one frame; without a place unless all is there that makes one.

    A projection's spacing alone makes a pixel measures item without slice thickness, which no reader takes.
    """
    if not _in_space([image]) or numbers_in(image, "SliceThickness", 1) is None:
        for keyword in _PLACE:
            image.pop(keyword, None)
    return image


def _single(image: Dataset) -> Dataset:
    """A stand-in for one frame of an image whose frames have no place in space.

    highdicom looks for functional groups in all that may have frames: the writer puts the class right.
    """
    for keyword in _PLACE:
        image.pop(keyword, None)
    return _with(image, SOPClassUID=SecondaryCaptureImageStorage, NumberOfFrames=1)


def _together(frames: list[Dataset]) -> list[tuple[int, ...]]:
    """For each frame the numbers of those that an object can show with it.

    They are parallel and have pixels of one size. Of several at one place, as echoes are, each is with others.
    """
    sets: dict[object, list[int]] = {}
    taken: Counter[object] = Counter()
    keys = []
    for number, frame in enumerate(frames, start=1):
        along = np.array(numbers_in(frame, "ImageOrientationPatient", 6), np.float64)
        position = np.array(numbers_in(frame, "ImagePositionPatient", 3), np.float64)
        plane = (*along.round(4), *(numbers_in(frame, "PixelSpacing", 2) or ()))
        place = (plane, round(float(np.cross(along[:3], along[3:]) @ position), 3))
        keys.append((plane, taken[place]))
        taken[place] += 1
        sets.setdefault(keys[-1], []).append(number)
    return [tuple(sets[key]) for key in keys]


def _on_frame(plane: NDArray[np.generic], group: Group, frame_number: int | None) -> dict[int, int]:
    """Where a map (H, W) of an image lies among the frames of its group."""
    if plane.shape != group.shape:
        raise EncodingError(f"a map of {plane.shape} is not on the pixels of its image")
    return {group.frame_numbers.index(frame_number or 1) if group.frame_numbers else 0: 0}


def _from_heatmap(heatmap: Heatmap, group: Group, colour: tuple[int, int, int]) -> Layer:
    planes = _on_frame(heatmap.array, group, heatmap.image.frame_number)
    return Layer(
        heatmap.label[:64],
        SPATIAL_CONCEPT,
        heatmap.meaning,
        colour,
        heatmap.threshold,
        True,
        heatmap.array[np.newaxis],
        None,
        planes,
        (0, 0),
        heatmap.site,
    )


def _from_segment(
    segment: Segment,
    values: NDArray[np.generic],
    planes: Mapping[int, int],
    corner: tuple[int, int],
    occupied: _Occupied,
) -> Layer:
    shown = occupied.planes(values, segment.label_value)
    return Layer(
        segment.label[:64],
        segment.category,
        segment.property_type,
        segment.colour_rgb,
        0.5,
        segment.label_value is None and values.dtype.kind == "f",
        values,
        segment.label_value,
        {plane: d for plane, d in planes.items() if shown[d]},
        corner,
    )


class _Occupied:
    """On which planes of an array a segment has pixels; a label map is read once for all its segments."""

    def __init__(self) -> None:
        self._labels: dict[int, NDArray[np.bool_]] = {}  # by identity of the label map, (D, values)

    def planes(self, values: NDArray[np.generic], label_value: int | None) -> NDArray[np.bool_]:
        """(D,) of the planes of `values` (D, H, W) on which something is not 0, or has the value of the label."""
        if label_value is None:
            return np.array([bool(plane.any()) for plane in values], np.bool_)
        if values.dtype not in (np.uint8, np.uint16):
            return np.array([bool((plane == label_value).any()) for plane in values], np.bool_)
        if not 0 < label_value < 256**values.itemsize:
            return np.zeros(len(values), np.bool_)
        if id(values) not in self._labels:
            self._labels[id(values)] = np.array([_labels_on(plane) for plane in values], np.bool_)
        return self._labels[id(values)][:, label_value]


def _labels_on(plane: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which numbers a plane of a label map holds."""
    found = np.zeros(256**plane.itemsize, np.bool_)
    found[plane] = True
    return found


# ---- volumes on the grid of a series
@dataclass(frozen=True)
class _Grid:
    """Planes of a series in space: its images, or the frames of one of them."""

    images: list[Dataset]
    planes: list[Dataset]  # the header of each plane

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """Centre of the first pixel of each plane, (N, 3), mm."""
        return np.array([numbers_in(plane, "ImagePositionPatient", 3) for plane in self.planes], np.float64)

    @cached_property
    def steps(self) -> NDArray[np.float64]:
        """From a row to the next and from a column to the next on each plane, (N, 2, 3), mm."""
        found = []
        for plane in self.planes:
            along = np.array(numbers_in(plane, "ImageOrientationPatient", 6), np.float64).reshape(2, 3)
            height, width = numbers_in(plane, "PixelSpacing", 2) or (0.0, 0.0)
            found.append([along[1] * height, along[0] * width])
        return np.array(found, np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.images[0].Rows), int(self.images[0].Columns)

    @property
    def is_one_image(self) -> bool:
        """Whether its planes are frames."""
        return self.planes is not self.images

    def place(self, volume: Volume) -> tuple[list[int], tuple[int, int]] | None:
        """The planes on which those of `volume` lie, and the row and column of its first pixel; None where it does not.

        Of several echoes at one place the first one carries it.
        """
        depth, height, width = volume.array.shape
        if depth > len(self.planes) or height > self.shape[0] or width > self.shape[1]:
            return None
        steps, lengths = self.steps, np.linalg.norm(self.steps, axis=2)  # (N, 2, 3), (N, 2)
        missed = np.linalg.norm(steps - volume.affine[:3, 1:3].T, axis=2) * [height - 1, width - 1]  # (N, 2), mm
        parallel = (missed < _TURNED_PIXELS * lengths).all(1)
        place: NDArray[np.float64] | None = None
        found: list[int] = []
        for d in range(depth):
            away = volume.affine[:3, 3] + d * volume.affine[:3, 0] - self.positions  # (N, 3)
            pixel = np.rint(np.einsum("nc,nac->na", away, steps) / lengths**2)  # (N, 2) row, column
            rest = np.linalg.norm(away - np.einsum("na,nac->nc", pixel, steps), axis=1)
            fits = parallel & (rest < _GRID_TOLERANCE_MM)
            if place is not None:
                fits &= (pixel == place).all(1)
            if not fits.any():
                return None
            found.append(int(fits.argmax()))
            place = pixel[found[-1]]
        assert place is not None
        row, column = (int(p) for p in place)
        inside = 0 <= row <= self.shape[0] - height and 0 <= column <= self.shape[1] - width
        return (found, (row, column)) if inside and len(set(found)) == depth else None


@dataclass(frozen=True)
class _Placed:
    """A segment on a grid."""

    segment: Segment
    volume: Volume
    grid: int
    planes: list[int]  # of the grid, for each plane of the volume
    corner: tuple[int, int]


class _Grids:
    """What the volumes of a result may lie on: its derived series, then its sources."""

    def __init__(self, provenance: Provenance) -> None:
        self._provenance = provenance
        self._known: dict[tuple[object, ...], tuple[int, list[int], tuple[int, int]] | None] = {}

    @cached_property
    def all(self) -> list[_Grid]:
        """In the order in which a volume is tried on them."""
        found = []
        for index in range(len(self._provenance.derived)):
            slices = derived_references(self._provenance, index)
            found.append(_Grid(slices, slices))
        for series in self._provenance.result.evidence:
            single = [stand_in(header) for header in series.headers if not is_enhanced(header)]
            found += [_Grid(images, images) for images in (_in_space(single),) if images]
            for header in series.headers:
                if frames := _frames_in_space(header):
                    found.append(_Grid([stand_in(header)], frames))
        return found

    def place(self, segment: Segment, volume: Volume) -> _Placed | None:
        """Where the segment lies; None where that may be a derived series which does not go to the destination."""
        key = (volume.array.shape, volume.affine.tobytes())
        if key not in self._known:
            tried = ((n, grid.place(volume)) for n, grid in enumerate(self.all))
            self._known[key] = next(((n, *found) for n, found in tried if found is not None), None)
        known = self._known[key]
        if known is not None:
            return _Placed(segment, volume, *known)
        if getattr(self._provenance.result, "derived", ()) and not self._provenance.derived:
            return None
        raise EncodingError(f"segment {segment.label!r} lies on the grid of no series of the result")


def _in_space(planes: list[Dataset]) -> list[Dataset]:
    """Those of the size of the first one whose place in space is known."""
    wanted = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    placed = [p for p in planes if all(numbers_in(p, keyword, count) for keyword, count in wanted.items())]
    sizes = [(whole_number_in(plane, "Rows"), whole_number_in(plane, "Columns")) for plane in placed]
    return [plane for plane, size in zip(placed, sizes, strict=True) if size == sizes[0]]


def _frames_in_space(header: Dataset) -> list[Dataset]:
    """The headers of the frames of an enhanced image; none where the place of any of them is not known."""
    if not is_enhanced(header):
        return []
    frames = [frame_header(header, n) for n in range(1, number_of_frames(header) + 1)]
    return frames if len(_in_space(frames)) == len(frames) else []


def _on_grid(grid: _Grid, placed: list[_Placed], occupied: _Occupied) -> Group:
    """The group of the segments on one grid, with the images that they need in the direction of the first one."""
    along = placed[0].volume.affine[:3, 0]
    used = sorted({n for one in placed for n in one.planes}, key=lambda n: float(grid.positions[n] @ along))
    thickness_mm = placed[0].volume.spacing_mm[0]  # of images that do not say theirs
    if grid.is_one_image:
        frames = [_with_thickness(grid.planes[n], thickness_mm) for n in used]
        group = Group([_of_frames(grid.images[0], frames)], frame_numbers=tuple(n + 1 for n in used))
    else:
        group = Group([_with_thickness(grid.images[n], thickness_mm) for n in used])
    place = {n: plane for plane, n in enumerate(used)}
    for one in placed:
        planes = {place[n]: d for d, n in enumerate(one.planes)}
        group.layers.append(_from_segment(one.segment, one.volume.array, planes, one.corner, occupied))
    return group


def _with_thickness(image: Dataset, thickness_mm: float) -> Dataset:
    """An image that says how thick it is: highdicom counts on it."""
    return image if numbers_in(image, "SliceThickness", 1) else _with(image, SliceThickness=decimal(thickness_mm))


def _of_frames(image: Dataset, frames: list[Dataset]) -> Dataset:
    """A stand-in for an enhanced image, of some of its frames, which are parallel.

    highdicom wants orientation and spacing where all frames share them, and refuses two frames at one place.

    Parameters
    ----------
    image
        A stand-in for the whole image.
    frames
        The headers of the frames.
    """
    shared = Dataset()
    shared.PlaneOrientationSequence = [chosen(frames[0], ["ImageOrientationPatient"])]
    shared.PixelMeasuresSequence = [chosen(frames[0], ["PixelSpacing", "SliceThickness", "SpacingBetweenSlices"])]
    groups = [Dataset() for _ in frames]
    for group, frame in zip(groups, frames, strict=True):
        group.PlanePositionSequence = [chosen(frame, ["ImagePositionPatient"])]
    return _with(
        image,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=groups,
        NumberOfFrames=len(frames),
        FrameOfReferenceUID=frame_of_reference(image),
    )


def _with(image: Dataset, **values: Any) -> Dataset:
    """A copy with other elements, those of the original left alone."""
    copy = Dataset()
    copy.update(image)
    for keyword, value in values.items():
        element = classic_element(keyword, value)
        copy[element.tag] = element
    return copy
