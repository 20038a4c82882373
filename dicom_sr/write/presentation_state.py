"""Softcopy presentation states: outlines and short texts over the source images, grey or colour."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.findings import Finding, NotEvaluable, Result
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.headers import MANUFACTURER
from dicom_sr.write.finish import finish, write
from dicom_sr.write.references import frame_number, stand_in

_LAYER = "AI MARKERS"
_SQUARE_TOLERANCE = 0.05  # an outline whose sides differ by less is drawn as the circle in it
_TEXT_HEIGHT = 0.022  # of the image's height
_MARKER_RGB = (86, 180, 233)


def encode_presentation(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """A grey or colour presentation state for each source series with marked findings."""
    marked = _marked(provenance)
    objects = []
    for index, series in enumerate(provenance.result.evidence):
        headers = [header for header in series.headers if str(header.SOPInstanceUID) in marked]
        colour = [h for h in headers if int(h.get("SamplesPerPixel") or 1) == 3]
        for part, images in (("colour", colour), ("grey", [h for h in headers if h not in colour])):
            if images:
                ds = _state(provenance, index, part, images, marked)
                objects.append(write(ds, "presentation_state", folder, f"presentation-{part}-{index + 1}.dcm"))
    return tuple(objects)


def _marked(provenance: Provenance) -> dict[str, list[Finding | NotEvaluable]]:
    """Findings with a region, by source image."""
    result = provenance.result
    marked: dict[str, list[Finding | NotEvaluable]] = {}
    if isinstance(result, Result):
        candidates: list[Finding | NotEvaluable] = [*result.findings, *result.not_evaluable]
        for finding in candidates:
            if finding.region is not None and finding.region.image.sop_instance_uid in provenance.header_of:
                marked.setdefault(finding.region.image.sop_instance_uid, []).append(finding)
    return marked


def _state(
    provenance: Provenance,
    index: int,
    part: str,
    images: list[Dataset],
    marked: dict[str, list[Finding | NotEvaluable]],
) -> Dataset:
    layer = hd.pr.GraphicLayer(
        layer_name=_LAYER, order=1, description="Findings", display_color=hd.color.CIELabColor.from_rgb(*_MARKER_RGB)
    )
    references = [_reference(image) for image in images]
    annotations = [
        _annotation(layer, image, finding) for image in references for finding in marked[str(image.SOPInstanceUID)]
    ]
    arguments: dict[str, Any] = {  # of both classes
        "referenced_images": references,
        "series_instance_uid": provenance.uid("presentation_state", "series"),
        "series_number": provenance.series_number("presentation_state"),
        "sop_instance_uid": provenance.uid("presentation_state", part, str(index)),
        "instance_number": index + 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": provenance.model.name,
        "software_versions": software_version(),
        "device_serial_number": provenance.profile.device_serial_number,
        "content_label": "AI_MARKERS",
        "content_description": provenance.result.title[:64],
        "content_creator_name": f"{MANUFACTURER}^",
        "graphic_annotations": annotations,
        "graphic_layers": [layer],
    }
    ds: Dataset
    if part == "colour":
        ds = hd.pr.ColorSoftcopyPresentationState(icc_profile=_colour_space_profile(), **arguments)
    else:
        ds = hd.pr.GrayscaleSoftcopyPresentationState(**arguments)
    return finish(ds, provenance, "markers")


@cache
def _colour_space_profile() -> bytes:
    """An sRGB profile of the class that a presentation state may carry (scnr or spac); highdicom ships one."""
    return (files("highdicom") / "_icc_profiles" / "sRGB_v4_ICC_preference.icc").read_bytes()


_FOR_DISPLAY = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "VOILUTSequence",
    "ModalityLUTSequence",
    "PresentationLUTShape",
    "PixelAspectRatio",
)


def _reference(header: Dataset) -> Dataset:
    """What highdicom needs of a displayed image."""
    ds = stand_in(header)
    ds.update({header[keyword].tag: header[keyword] for keyword in _FOR_DISPLAY if keyword in header})
    return ds


def _annotation(layer: hd.pr.GraphicLayer, image: Dataset, finding: Finding | NotEvaluable) -> hd.pr.GraphicAnnotation:
    assert finding.region is not None
    size = np.array([int(image.Columns), int(image.Rows)], np.float64)
    outline = np.clip(np.asarray(finding.region.outline, np.float64), 0, size)
    label = finding.image_label if isinstance(finding, Finding) else f"{finding.tracking_id}: not evaluable"
    return hd.pr.GraphicAnnotation(
        referenced_images=[image],
        referenced_frame_number=frame_number(finding.region.image, image),
        graphic_layer=layer,
        graphic_objects=[_graphic(outline, finding)],
        text_objects=[_text(label, outline, size)] if label else None,
    )


def _graphic(outline: NDArray[np.float64], finding: Finding | NotEvaluable) -> hd.pr.GraphicObject:
    low, high = outline.min(0), outline.max(0)
    sides = high - low
    square = len(outline) == 5 and abs(sides[0] - sides[1]) <= _SQUARE_TOLERANCE * sides.max()
    if square and isinstance(finding, Finding):
        centre = (low + high) / 2
        data = np.array([centre, [high[0], centre[1]]])
        return hd.pr.GraphicObject(hd.pr.GraphicTypeValues.CIRCLE, data, hd.pr.AnnotationUnitsValues.PIXEL)
    return hd.pr.GraphicObject(hd.pr.GraphicTypeValues.POLYLINE, outline, hd.pr.AnnotationUnitsValues.PIXEL)


def _text(label: str, outline: NDArray[np.float64], size: NDArray[np.float64]) -> hd.pr.TextObject:
    """The label right of the outline, left of it where there is no room, inside the image."""
    text = label.encode("ascii", "replace").decode()[:1024]
    height = max(_TEXT_HEIGHT * size[1], 8.0)
    width = min(0.65 * height * len(text), size[0] - 2)
    low, high = outline.min(0), outline.max(0)
    left = high[0] + 4 if high[0] + 4 + width <= size[0] else low[0] - 4 - width
    left = float(np.clip(left, 1, size[0] - width))
    top = float(np.clip((low[1] + high[1] - height) / 2, 1, size[1] - height))
    return hd.pr.TextObject(
        text_value=text,
        units=hd.pr.AnnotationUnitsValues.PIXEL,
        bounding_box=(left, top, left + float(width), top + float(height)),
        text_justification=hd.pr.TextJustificationValues.LEFT,
    )
