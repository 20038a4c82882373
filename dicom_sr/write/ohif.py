"""The form of a report that OHIF shows well (seen in 3.13.2).

OHIF takes every Measurement Group right under Imaging Measurements for a shape, and writes its numbers beside it.
What stands there decides how the result looks, so there stands one group a finding: an arrow, a square and one short
label. The groups with the numbers follow, as they are in any other report, in a container of their own.

- A group is listed in the panel of measurements if it carries the tracking identifier of one of OHIF's tools. Of these
  only the arrow shows a text of one's own: the Comment of the group.
- Before the measurements are taken over, OHIF draws the whole line with numbers and sites; here it has neither.
- The first two points of the line become the arrow; a ring marks each of the others, which are the corners.
- "Text Annotation Position" of OHIF's own scheme says where the label is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr.findings import Finding, Measurement, NotEvaluable
from dicom_sr.write.ohif_layout import Box, Leader, Point, leaders
from dicom_sr.write.sr_document import container, content_item, template, text_item

_ARROW = "Cornerstone3DTools@^0.1.0:ArrowAnnotate"  # TrackingIdentifier of OHIF's arrow; it may go on after a colon
_TEXT_POSITION = Code("TextPosition", "99CS3D", "Text Annotation Position")
_LONGEST = 40  # characters of a label
_SAID_OF_THE_FINDING = (
    standard.DCM.TrackingIdentifier,
    standard.DCM.TrackingUniqueIdentifier,
    standard.DCM.Finding,
)


def opens_segmentation(images: Iterable[Dataset]) -> bool:
    """Whether OHIF opens a segmentation of `images`: not if they lie nowhere in space, as radiographs do."""
    return all("FrameOfReferenceUID" in image and _has_place(image) for image in images)


def _has_place(image: Dataset) -> bool:
    frames = [*image.get("SharedFunctionalGroupsSequence", ()), *image.get("PerFrameFunctionalGroupsSequence", ())[:1]]
    return "ImageOrientationPatient" in image or any("PlaneOrientationSequence" in group for group in frames)


def label_of(found: Finding | NotEvaluable) -> str:
    """The one short text that is shown at a finding."""
    if isinstance(found, NotEvaluable):
        label = found.summary or f"{found.tracking_id} n/e"
    else:
        label = found.summary or found.image_label or " ".join([found.tracking_id, *_first_of(found)])
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def _first_of(finding: Finding) -> list[str]:
    """What it says first, in a word or a number."""
    if finding.measurements:
        return [_value(finding.measurements[0])]
    return [evaluation.value.meaning for evaluation in finding.evaluations[:1]]


def _value(number: Measurement) -> str:
    unit = number.unit.value
    bare = unit == "1" or unit.startswith("{")
    return f"{number.value:.3g}{'' if bare else f' {unit}'}"


def for_ohif(measurements: Dataset, labels: Sequence[str], size_of: Callable[[str], tuple[int, int]]) -> Dataset:
    """Imaging Measurements with an arrow for each group, then all groups as they were.

    Parameters
    ----------
    measurements
        The container, with planar groups only.
    labels
        The text at each group.
    size_of
        Rows and columns of an image by its SOPInstanceUID.
    """
    groups = list(measurements.ContentSequence)
    regions = [_region(group) for group in groups]
    on_image: dict[tuple[str, int], list[int]] = {}
    for index, region in enumerate(regions):
        image = region.ContentSequence[0].ReferencedSOPSequence[0]
        frame = int(image.get("ReferencedFrameNumber") or 1)
        on_image.setdefault((str(image.ReferencedSOPInstanceUID), frame), []).append(index)
    shown: list[Dataset | None] = [None] * len(groups)
    for (uid, _), indices in on_image.items():
        boxes = [_box(regions[index]) for index in indices]
        placed = leaders(boxes, [labels[index] for index in indices], size_of(uid))
        for index, leader in zip(indices, placed, strict=True):
            shown[index] = _arrow(groups[index], regions[index], labels[index], leader)
    whole = Dataset()
    whole.update({element.tag: element for element in measurements if element.keyword != "ContentSequence"})
    whole.ContentSequence = [*(one for one in shown if one), container(standard.DCM.Findings, groups)]
    return whole


def _region(group: Dataset) -> Dataset:
    region: Dataset = next(item for item in group.ContentSequence if item.ValueType == "SCOORD")
    return region


def _box(region: Dataset) -> Box:
    points = np.asarray(region.GraphicData, np.float64).reshape(-1, 2)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return Box(float(left), float(top), float(right), float(bottom))


def _arrow(group: Dataset, region: Dataset, label: str, leader: Leader) -> Dataset:
    """What OHIF shows in place of a group (TID 1501)."""
    said = [deepcopy(item) for item in group.ContentSequence if _name(item) in _SAID_OF_THE_FINDING]
    said[0].TextValue = f"{_ARROW}:{said[0].TextValue}"
    source = region.ContentSequence[0]
    shown = container(
        standard.DCM.MeasurementGroup,
        [
            *said,
            text_item(standard.DCM.Comment, label),
            _graphic(standard.DCM.ImageRegion, "POLYLINE", leader.outline, source),
            _graphic(_TEXT_POSITION, "POINT", [leader.label_at], source),
        ],
    )
    shown.ContentTemplateSequence = [template("1501")]
    return shown


def _name(item: Dataset) -> Code:
    name = item.ConceptNameCodeSequence[0]
    return Code(str(name.CodeValue), str(name.CodingSchemeDesignator), str(name.CodeMeaning))


def _graphic(name: Code, kind: str, points: Sequence[Point], source: Dataset) -> Dataset:
    item = content_item("CONTAINS", "SCOORD", name)
    item.GraphicType, item.GraphicData = kind, [value for point in points for value in point]
    item.ContentSequence = [deepcopy(source)]
    return item
