"""An edited copy of a segmentation of ours: how much of each segment its editor left, in overlap and in volume."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, AssessmentDocument, Change
from dicom_sr.errors import UNREADABLE, UnsuitableInput, why_unreadable
from dicom_sr.header_numbers import numbers_in
from dicom_sr.lawful import is_uid
from dicom_sr.read.edited_reports import NotAnEdit
from dicom_sr.read.statements import codes_in, device_of, named_person, observed_in

MOST_PIXELS = 10**9  # of all frames of a segmentation: about a minute
SAME_MM, PLACES = 0.01, 3  # spacings that differ by less are one; decimal places of positions that count, mm
BY_HAND = ("MANUAL", "SEMIAUTOMATIC")

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"


@dataclass(frozen=True)
class _Segment:
    number: int
    label: str
    tracking_uid: str
    kind: Code | None
    by_hand: bool


@dataclass
class _Overlap:
    """Pixels of a segment: ours, theirs, and of both."""

    ours: int = 0
    theirs: int = 0
    both: int = 0

    @property
    def dice(self) -> float:
        return 2 * self.both / (self.ours + self.theirs) if self.ours + self.theirs else 1.0


def edited_segments(ours: bytes, theirs: bytes, go_on: Callable[[], None]) -> AssessmentDocument | None:
    """What the editor of a copy says about each segment; None where the two have none in common.

    Segments are the same by their tracking UID. One that covers the same pixels is accepted, one that covers others is
    modified, and one that is there and empty is rejected; of one that the copy lacks nothing is known. A segment counts
    where the copy names a person as its creator, or says that it was made by hand, or partly.

    Parameters
    ----------
    ours, theirs
        Part 10 files.
    go_on
        Called now and then.

    Raises
    ------
    NotAnEdit
        If nobody stands for it, or it lies on another grid.
    UnsuitableInput
        If it cannot be read, or is too large; names nobody.
    """
    try:
        return _edited(pydicom.dcmread(io.BytesIO(ours)), pydicom.dcmread(io.BytesIO(theirs)), go_on)
    except UNREADABLE as error:
        if isinstance(error, NotAnEdit):
            raise
        raise UnsuitableInput(why_unreadable(error)) from error


def _edited(ours: Dataset, theirs: Dataset, go_on: Callable[[], None]) -> AssessmentDocument | None:
    before = {one.tracking_uid: one for one in _segments(ours)}
    after = {one.tracking_uid: one for one in _segments(theirs) if one.tracking_uid in before}
    if not after:
        return None
    creator, ours_by = str(theirs.get("ContentCreatorName") or ""), str(ours.get("ContentCreatorName") or "")
    person = "" if creator.strip("^ ") == ours_by.strip("^ ") else named_person(creator)
    counted = {uid: one for uid, one in after.items() if person or one.by_hand}
    if not counted:
        raise NotAnEdit("it names no person, and no segment of it was made by hand")
    overlaps = _overlaps(ours, theirs, {uid: (before[uid].number, one.number) for uid, one in counted.items()}, go_on)
    size = _pixel_size(ours)
    return AssessmentDocument(
        str(theirs.SOPInstanceUID),
        str(theirs.StudyInstanceUID),
        tuple(_said(before[uid], overlap, str(ours.SOPInstanceUID), size) for uid, overlap in overlaps.items()),
        person,
        device_of(theirs),
        observed_in(theirs),
    )


def _segments(ds: Dataset) -> Iterator[_Segment]:
    for item in ds.get("SegmentSequence") or ():
        uid = str(item.get("TrackingUID") or "")
        if is_uid(uid):
            kind = next(codes_in(item, "SegmentedPropertyTypeCodeSequence"), None)
            label = str(item.get("TrackingID") or item.get("SegmentLabel") or "")[:64]
            yield _Segment(int(item.SegmentNumber), label, uid, kind, item.get("SegmentAlgorithmType") in BY_HAND)


def _said(segment: _Segment, overlap: _Overlap, object_uid: str, size: tuple[float, Code, Code] | None) -> Assessment:
    same = overlap.ours == overlap.theirs == overlap.both
    changes = [Change(codes.DICE, None, round(overlap.dice, 6), codes.FRACTION)]
    if size is not None:
        each, name, unit = size
        changes.append(Change(name, overlap.ours * each, overlap.theirs * each, unit))
    gone = overlap.theirs == 0 < overlap.ours
    return Assessment(
        Answer.REJECT if gone else Answer.ACCEPT if same else Answer.MODIFY,
        segment.tracking_uid,
        (object_uid,),
        segment.label,
        segment.kind,
        reason=codes.LEFT_OUT if gone else None,
        changes=() if same or gone else tuple(changes),
    )


# ---- pixels
_Place = tuple[object, ...]


def _overlaps(
    ours: Dataset, theirs: Dataset, numbers: dict[str, tuple[int, int]], go_on: Callable[[], None]
) -> dict[str, _Overlap]:
    """How much each pair of segments shares, by tracking UID."""
    _require_one_grid(ours, theirs)
    by_position = all(_has_position(ds) for ds in (ours, theirs))
    found = {uid: _Overlap() for uid in numbers}
    mine = {number: uid for uid, (number, _) in numbers.items()}
    planes: dict[tuple[str, _Place], NDArray[np.uint8]] = {}
    for number, place, mask in _planes(ours, by_position):
        go_on()
        if (uid := mine.get(number)) is not None and mask.any():
            planes[uid, place] = np.packbits(mask)
            found[uid].ours += int(mask.sum())
    yours = {number: uid for uid, (_, number) in numbers.items()}
    for number, place, mask in _planes(theirs, by_position):
        go_on()
        if (uid := yours.get(number)) is None or not mask.any():
            continue
        found[uid].theirs += int(mask.sum())
        if (plane := planes.get((uid, place))) is not None:
            found[uid].both += int(np.bitwise_count(plane & np.packbits(mask)).sum())
    return found


def _planes(ds: Dataset, by_position: bool) -> Iterator[tuple[int, _Place, NDArray[np.bool_]]]:
    """Segment number, place and mask (H, W) of each frame.

    Raises
    ------
    UnsuitableInput
        If it has too many pixels, or is a label map.
    NotAnEdit
        If nothing says where a frame belongs.
    """
    frames = ds[_PER_FRAME].value
    if str(ds.get("SegmentationType")) not in ("BINARY", "FRACTIONAL"):
        raise UnsuitableInput("it is neither a binary nor a fractional segmentation")
    if len(frames) * int(ds.Rows) * int(ds.Columns) > MOST_PIXELS:
        raise UnsuitableInput(f"it has more than {MOST_PIXELS} pixels")
    half = float(ds.get("MaximumFractionalValue") or 1) / 2 if ds.SegmentationType == "FRACTIONAL" else 0.5
    cells = get_decoder(ds.file_meta.TransferSyntaxUID).iter_array(ds, raw=False)
    for frame, (array, _) in zip(frames, cells, strict=True):
        identified = _group(ds, frame, "SegmentIdentificationSequence")
        place = _position(ds, frame) if by_position else _source(frame)
        if identified is None or place is None:
            raise NotAnEdit("not all of its frames say which segment they are of, and where they lie")
        yield int(identified.ReferencedSegmentNumber), place, np.asarray(array).reshape(ds.Rows, ds.Columns) >= half


def _require_one_grid(ours: Dataset, theirs: Dataset) -> None:
    differs = (ours.Rows, ours.Columns) != (theirs.Rows, theirs.Columns) or not all(
        np.allclose(one, other, atol=SAME_MM) if one and other else one == other
        for one, other in zip(_grid(ours), _grid(theirs), strict=True)
    )
    if differs:
        raise NotAnEdit("it lies on another grid than ours, with which it cannot be compared")


def _grid(ds: Dataset) -> tuple[tuple[float, ...] | None, ...]:
    frame = ds[_PER_FRAME].value[0]
    measures, plane = _group(ds, frame, "PixelMeasuresSequence"), _group(ds, frame, "PlaneOrientationSequence")
    return (
        None if measures is None else numbers_in(measures, "PixelSpacing", 2),
        None if plane is None else numbers_in(plane, "ImageOrientationPatient", 6),
    )


def _has_position(ds: Dataset) -> bool:
    return all(_position(ds, frame) is not None for frame in ds[_PER_FRAME].value)


def _position(ds: Dataset, frame: Dataset) -> _Place | None:
    plane = _group(ds, frame, "PlanePositionSequence")
    where = None if plane is None else numbers_in(plane, "ImagePositionPatient", 3)
    return None if where is None else tuple(round(value, PLACES) for value in where)


def _source(frame: Dataset) -> _Place | None:
    for derivation in frame.get("DerivationImageSequence") or ():
        for source in derivation.get("SourceImageSequence") or ():
            return str(source.ReferencedSOPInstanceUID), str(source.get("ReferencedFrameNumber") or "")
    return None


def _group(ds: Dataset, frame: Dataset, keyword: str) -> Dataset | None:
    """A functional group of a frame, its own or the shared one."""
    for holder in (frame, *(ds.get(_SHARED) or ())):
        for item in holder.get(keyword) or ():
            found: Dataset = item
            return found
    return None


def _pixel_size(ds: Dataset) -> tuple[float, Code, Code] | None:
    """How much a pixel covers, what that is called, and in which unit; None where the pixels have no size."""
    measures = _group(ds, ds[_PER_FRAME].value[0], "PixelMeasuresSequence")
    spacing = None if measures is None else numbers_in(measures, "PixelSpacing", 2)
    if measures is None or spacing is None:
        return None
    area = spacing[0] * spacing[1]
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        if (depth := numbers_in(measures, keyword, 1)) is not None and depth[0] > 0 and _has_position(ds):
            return area * depth[0], standard.SCT.Volume, standard.UCUM.CubicMillimeter
    return area, standard.SCT.Area, standard.UCUM.SquareMillimeter
