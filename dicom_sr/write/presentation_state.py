"""Softcopy presentation states: outlines and short texts over the source images, grey or colour."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.findings import Finding, NotEvaluable, Result
from dicom_sr.header_numbers import numbers_in, rescale_in, whole_number_in
from dicom_sr.photometric import least_is_white, photometric
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.frames import classic_element, frame_header, is_enhanced, number_of_frames
from dicom_sr.read.headers import MANUFACTURER, chosen
from dicom_sr.write.finish import finish, write
from dicom_sr.write.left_out import Attempts
from dicom_sr.write.references import frame_number, has_frames, stand_in

_LAYER = "AI MARKERS"
_SQUARE_TOLERANCE = 0.05  # an outline whose sides differ by less is drawn as the circle in it
_TEXT_HEIGHT = 0.022  # of the image's height
_MARKER_RGB = (86, 180, 233)


Marked = Finding | NotEvaluable


@dataclass
class _Group:
    """Images that one state can show, since they share size and rescale, and what is marked on them."""

    part: Literal["colour", "grey"]
    images: dict[str, Dataset] = field(default_factory=dict)  # what highdicom needs of each, by SOPInstanceUID
    marked: list[tuple[str, Marked]] = field(default_factory=list)


def encode_presentation(provenance: Provenance, folder: Path, attempt: Attempts) -> tuple[EncodedObject, ...]:
    """Grey and colour presentation states for each source series with marked findings: one for each size of image."""
    marked = _marked(provenance)
    objects: list[EncodedObject] = []
    further = len(provenance.result.evidence)
    for index, series in enumerate(provenance.result.evidence):
        seen = {"colour": 0, "grey": 0}
        for group in _groups([header for header in series.headers if str(header.SOPInstanceUID) in marked], marked):
            names = [group.part, str(index)]
            number = index + 1
            if seen[group.part]:  # the first state of a part has the name that it always had
                names.append(str(seen[group.part]))
                further += 1
                number = further
            seen[group.part] += 1
            objects += attempt("presentation_state", partial(_write, provenance, folder, names, number, group))
    return tuple(objects)


def _groups(headers: list[Dataset], marked: dict[str, list[Marked]]) -> list[_Group]:
    """The images of a series in groups that one state can show, colour first: a state has one modality transform."""
    groups: dict[tuple[object, ...], _Group] = {}
    for header in headers:
        uid = str(header.SOPInstanceUID)
        for finding in marked[uid]:
            assert finding.region is not None
            image = _reference(header, finding.region.image.frame_number or 1)
            part = _part(header)
            key: tuple[object, ...] = (part, int(header.Rows), int(header.Columns))
            if part == "grey":
                key = (*key, *_display(image), uid if has_frames(header) else "")
            group = groups.setdefault(key, _Group(part))
            group.images.setdefault(uid, image)
            group.marked.append((uid, finding))
    return sorted(groups.values(), key=lambda group: group.part)


def _part(header: Dataset) -> Literal["colour", "grey"]:
    """A palette makes colours of one sample: the grey class is not for it (PS3.3 A.33)."""
    grey = photometric(header) in ("MONOCHROME1", "MONOCHROME2", "") and whole_number_in(header, "SamplesPerPixel") != 3
    return "grey" if grey else "colour"


def _display(image: Dataset) -> tuple[object, ...]:
    """What all images of a grey state must share beside their size."""
    groups = list(image.get("SharedFunctionalGroupsSequence", []))
    rescale = next((group.PixelValueTransformationSequence[0] for group in groups if _TRANSFORMATION in group), image)
    return (
        photometric(image),
        "RescaleSlope" in rescale,
        rescale_in(rescale),
        str(rescale.get("RescaleType") or ""),
    )


def _marked(provenance: Provenance) -> dict[str, list[Marked]]:
    """Findings with a region, by source image; of an image without a size nothing can be shown."""
    result = provenance.result
    marked: dict[str, list[Marked]] = {}
    if isinstance(result, Result):
        candidates: list[Marked] = [*result.findings, *result.not_evaluable]
        for finding in candidates:
            uid = "" if finding.region is None else finding.region.image.sop_instance_uid
            header = provenance.header_of.get(uid)
            if header is not None and header.get("Rows") and header.get("Columns"):
                marked.setdefault(uid, []).append(finding)
    return marked


def _write(provenance: Provenance, folder: Path, names: list[str], number: int, group: _Group) -> EncodedObject:
    part, index, *others = names
    filename = "-".join(["presentation", part, str(int(index) + 1), *others])
    return write(_state(provenance, names, number, group), "presentation_state", folder, f"{filename}.dcm")


def _state(provenance: Provenance, names: list[str], number: int, group: _Group) -> Dataset:
    """One state; `names` are what its UID is made from, `number` its InstanceNumber."""
    layer = hd.pr.GraphicLayer(
        layer_name=_LAYER, order=1, description="Findings", display_color=hd.color.CIELabColor.from_rgb(*_MARKER_RGB)
    )
    references = list(group.images.values())
    annotations = [_annotation(layer, group.images[uid], finding) for uid, finding in group.marked]
    arguments: dict[str, Any] = {  # of both classes
        "referenced_images": references,
        "series_instance_uid": provenance.uid("presentation_state", "series"),
        "series_number": provenance.series_number("presentation_state"),
        "sop_instance_uid": provenance.uid("presentation_state", *names),
        "instance_number": number,
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
    if group.part == "colour":
        ds = hd.pr.ColorSoftcopyPresentationState(icc_profile=_colour_space_profile(), **arguments)
    else:
        # PS3.3 C.11.6.1.1: what comes out of the window is shown as it is, so a least value that is white is to be said
        inverse = all(least_is_white(image) for image in group.images.values())
        shape = hd.PresentationLUTTransformation(presentation_lut_shape="INVERSE" if inverse else "IDENTITY")
        ds = hd.pr.GrayscaleSoftcopyPresentationState(presentation_lut_transformation=shape, **arguments)
        for item in ds.get("SoftcopyVOILUTSequence", []):
            if "WindowCenterWidthExplanation" in item and item["WindowCenter"].VM == 1:
                item.WindowCenterWidthExplanation = "".join(item.WindowCenterWidthExplanation)  # highdicom parts it
    return finish(ds, provenance, "markers")


@cache
def _colour_space_profile() -> bytes:
    """An sRGB profile of the class that a presentation state may carry (scnr or spac); highdicom ships one."""
    return (files("highdicom") / "_icc_profiles" / "sRGB_v4_ICC_preference.icc").read_bytes()


FOR_DISPLAY = (
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


_WINDOW_FUNCTIONS = {"LINEAR", "LINEAR_EXACT", "SIGMOID"}  # PS3.3 C.11.2.1.3
_LONGEST = 64  # characters of a long string (LO)
_TRANSFORMATION = "PixelValueTransformationSequence"


def _reference(header: Dataset, number: int) -> Dataset:
    """What highdicom needs of a displayed image whose frame `number` is marked."""
    ds = stand_in(header)
    ds.update(chosen(header, FOR_DISPLAY))
    samples = 3 if _part(header) == "colour" else 1  # highdicom counts them before a palette makes three of one
    if whole_number_in(ds, "SamplesPerPixel") != samples:
        _put(ds, "SamplesPerPixel", samples)
    _only_what_fits(ds)
    if has_frames(header):
        _with_groups(ds, header, number)
    return ds


def _only_what_fits(ds: Dataset) -> None:
    """Without what a device left half empty or wrote in two ways: highdicom refuses it."""
    if not _has_windows(ds):
        for keyword in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"):
            ds.pop(keyword, None)
    elif "WindowCenterWidthExplanation" in ds:
        said = ds["WindowCenterWidthExplanation"]
        words = said.value if said.VM > 1 else [said.value or ""]
        del ds.WindowCenterWidthExplanation
        if said.VM == ds["WindowWidth"].VM:
            _put(ds, "WindowCenterWidthExplanation", [str(one)[:_LONGEST] for one in words])
    if str(ds.get("VOILUTFunction") or "") not in _WINDOW_FUNCTIONS:
        ds.pop("VOILUTFunction", None)
    if rescale_in(ds) is None or not ds.get("RescaleSlope") or ds.get("RescaleIntercept") in (None, ""):
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            ds.pop(keyword, None)
    if "RescaleSlope" not in ds or not ds.get("RescaleType"):
        ds.pop("RescaleType", None)
    # either may be shown; the window is what viewers begin with
    if "WindowWidth" in ds or not ds.get("VOILUTSequence"):
        ds.pop("VOILUTSequence", None)


def _put(ds: Dataset, keyword: str, value: Any) -> None:
    """Set an element that `ds` shares with the header."""
    element = classic_element(keyword, value)
    ds[element.tag] = element


def _has_windows(header: Dataset) -> bool:
    """Whether each window has a centre and a width of at least 1 (PS3.3 C.11.2.1.2.1)."""
    count = header["WindowWidth"].VM if "WindowWidth" in header else 0
    centres, widths = numbers_in(header, "WindowCenter", count), numbers_in(header, "WindowWidth", count)
    return bool(count and centres is not None and widths is not None and min(widths) >= 1)


def _with_groups(ds: Dataset, header: Dataset, number: int) -> None:
    """Let a multi-frame image say rescale and window in functional groups, where highdicom looks for them.

    A cine has none; of an enhanced object with a rescale for each frame, that of the marked frame counts.
    """
    per_frame = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    if is_enhanced(header) and per_frame and not any(_TRANSFORMATION in group for group in per_frame):
        shared = [_fitting(group) for group in header.get("SharedFunctionalGroupsSequence") or [Dataset()]]
        frames = [_fitting(group) for group in per_frame]
    else:
        flat = chosen(frame_header(header, number), FOR_DISPLAY)
        group = Dataset()
        group.PixelValueTransformationSequence = [chosen(flat, ("RescaleSlope", "RescaleIntercept", "RescaleType"))]
        group.FrameVOILUTSequence = [chosen(flat, ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"))]
        shared, frames = [_fitting(group)], [Dataset() for _ in range(number_of_frames(header))]
    _put(ds, "SharedFunctionalGroupsSequence", shared)
    _put(ds, "PerFrameFunctionalGroupsSequence", frames)


def _fitting(group: Dataset) -> Dataset:
    """What highdicom looks for in a functional group, as far as it takes it."""
    ds = Dataset()
    for keyword in (_TRANSFORMATION, "FrameVOILUTSequence"):
        for item in list(group.get(keyword) or ())[:1]:
            kept = chosen(item, FOR_DISPLAY)
            _only_what_fits(kept)
            if kept:
                setattr(ds, keyword, [kept])
    return ds


def _annotation(layer: hd.pr.GraphicLayer, image: Dataset, finding: Marked) -> hd.pr.GraphicAnnotation:
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


def _graphic(outline: NDArray[np.float64], finding: Marked) -> hd.pr.GraphicObject:
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
