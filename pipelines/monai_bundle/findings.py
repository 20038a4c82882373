"""What a bundle's arrays mean: segments, findings with measurements, sentences and pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import (
    Bar,
    BarPanel,
    Finding,
    ImagePanel,
    Mark,
    Measurement,
    Page,
    Panel,
    Region,
    Segment,
    Site,
    TablePanel,
    Volume,
)
from dicom_sr.words import counted
from pipelines.monai_bundle import codes, outlines
from pipelines.monai_bundle.inputs import LPS_TO_RAS, Image
from pipelines.monai_bundle.settings import (
    Boxes,
    BundleEntry,
    Classes,
    Named,
    Number,
    Points,
    Segmentation,
)

MOST_PANELS = 4
CHOSEN = 0.5  # above which a channel shows its segment
MILLIMETRES_SHOWN = 1
_COLOURS = ((220, 120, 40), (60, 140, 210), (90, 170, 80), (190, 80, 160), (200, 180, 60), (110, 110, 200))


@dataclass
class Found:
    """What of a result follows from a bundle's arrays."""

    findings: list[Finding] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    conclusion: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)


def found(settings: BundleEntry, made: Mapping[str, NDArray[Any]], image: Image, channels: Mapping[int, str]) -> Found:
    """The findings that the arrays of a bundle stand for.

    Parameters
    ----------
    settings
        Of the bundle.
    made
        As `pipelines.monai_bundle.execution.execute` gives it.
    image
        The reference input, on whose grid results lie.
    channels
        What the channels or labels of the output mean, as the metadata say.

    Raises
    ------
    UnsuitableInput
        If the arrays are not what the kind of output needs.
    """
    match settings.output:
        case Segmentation():
            return _segmentation(settings.output, made, image, channels)
        case Classes():
            return _classes(settings.output, made, image, channels)
        case Number():
            return _number(settings.output, made, image)
        case Boxes():
            return _boxes(settings.output, made, image)
        case Points():
            return _points(settings.output, made, image, channels)


# ---- segmentation
def _segmentation(
    output: Segmentation, made: Mapping[str, NDArray[Any]], image: Image, channels: Mapping[int, str]
) -> Found:
    values = _on_source(made["values"], image)
    result = Found()
    if bool(made["resampled"]):
        result.limits.append(
            "The bundle leaves its result on a grid of its own; it was brought to the images by nearest voxel."
        )
    placed = valued(output.segments, channels, first=1)
    if len(values) > 1 and max(placed.values()) >= len(values):
        raise UnsuitableInput(
            f"the bundle gives {len(values)} channels, and a segment has the value {max(placed.values())}"
        )
    rows: list[tuple[str, ...]] = [("Segment", "Volume, cm³" if not image.is_picture else "Area, cm²")]
    shown: dict[int, list[Mark]] = {}
    structures = dict(zip(output.segments, _structures(values, list(placed.values())), strict=True))
    for number, (name, one) in enumerate(output.segments.items()):
        structure = structures[name]
        kind = codes.code(name, one.type)
        category = Code(one.category[1], one.category[0], one.category[2])
        colour = _COLOURS[number % len(_COLOURS)]
        result.segments.append(_segment(name, category, kind, structure, image, colour))
        measurement, words = _size(structure.count, image)
        region, slice_ = None, 0
        if structure.count:
            slice_ = structure.largest_slice
            outline = outlines.of_mask(structure.plane(slice_))
            if outline is not None:
                region = outlines.region(image.chosen.references, slice_, outline, image.array.shape[1:3])
                shown.setdefault(slice_, [])
        result.findings.append(
            Finding(
                name[:64],
                kind,
                _site(kind, one),
                region,
                (measurement,) if measurement is not None else (),
                images=image.chosen.references[:1],
            )
        )
        result.conclusion.append(f"{name}: {words}." if structure.count else f"{name}: not found.")
        rows.append((name, words.split()[0] if structure.count and measurement is not None else "-"))
    for slice_ in list(shown)[:MOST_PANELS]:
        marks = [
            Mark(outline, name, None)
            for name, one in structures.items()
            if (outline := outlines.of_mask(one.plane(slice_))) is not None
        ]
        result.panels.append(_picture(image, slice_, marks, f"Slice {slice_ + 1} of {len(image.array)}"))
    result.panels.append(TablePanel("Segments", tuple(rows)))
    return result


@dataclass(frozen=True)
class _Structure:
    """Where one segment is: a mask of its own, or a value of the label map that all segments share."""

    array: NDArray[np.generic]  # (D, H, W) bool, or the label map
    label_value: int | None = None
    box: tuple[slice, ...] | None = ()  # of the array, in which all of it lies; None: there is nothing of it

    def _inside(self) -> NDArray[np.bool_]:
        part = self.array[self.box or ()]
        return np.asarray(part if self.label_value is None else part == self.label_value, bool)

    @cached_property
    def count(self) -> int:
        """Its voxels."""
        return 0 if self.box is None else int(np.count_nonzero(self._inside()))

    @property
    def largest_slice(self) -> int:
        """The slice that shows most of it."""
        return outlines.largest_slice(self._inside()) + (self.box[0].start if self.box else 0)

    def plane(self, slice_: int) -> NDArray[np.bool_]:
        """(H, W): it on one slice."""
        plane = self.array[slice_]
        return np.asarray(plane if self.label_value is None else plane == self.label_value, bool)


def _structures(values: NDArray[np.float32], placed: Sequence[int]) -> list[_Structure]:
    """The segments of labels (1, D, H, W) or of channels (C, D, H, W), at the labels or channels `placed`.

    Of labels one map is kept, as many masks of the size of a whole CT would not fit into memory.
    """
    if len(values) > 1:
        return [_Structure(values[number] > CHOSEN) for number in placed]
    from scipy.ndimage import find_objects

    highest = max(placed)
    whole = np.rint(values[0])
    labels = np.where((whole > 0) & (whole <= highest), whole, 0).astype(np.min_scalar_type(highest))
    boxes = find_objects(labels, max_label=highest)
    return [
        _Structure(labels, number, boxes[number - 1]) if number else _Structure(np.asarray(whole == 0))
        for number in placed
    ]


def _on_source(values: NDArray[Any], image: Image) -> NDArray[np.float32]:
    """(C, W, H, D) or (C, W, H) as (C, D, H, W)."""
    if values.ndim not in (3, 4):
        raise UnsuitableInput(
            f"the bundle's result has {values.ndim} axes; a segmentation has one more than its images"
        )
    axes = (0, 3, 2, 1) if values.ndim == 4 else (0, 2, 1)
    turned = np.asarray(values, np.float32).transpose(axes)
    turned = turned[:, None] if turned.ndim == 3 else turned
    if turned.shape[1:] != image.array.shape[:3]:
        raise UnsuitableInput(
            f"the bundle's result has the shape {turned.shape[1:]}, the images {image.array.shape[:3]}"
        )
    return turned


def _segment(
    name: str, category: Code, kind: Code, structure: _Structure, image: Image, colour: tuple[int, int, int]
) -> Segment:
    array, value = structure.array, structure.label_value
    if image.is_picture:
        reference = image.chosen.references[0]
        return Segment(name[:64], category, kind, None, reference, array[0], colour, value)
    return Segment(name[:64], category, kind, Volume(array, image.affine), colour_rgb=colour, label_value=value)


def _size(count: int, image: Image) -> tuple[Measurement | None, str]:
    _, h, w = image.volume.spacing_mm
    if not image.is_picture:
        volume_cm3 = count * abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000
        return Measurement(codes.VOLUME, volume_cm3, codes.CUBIC_CENTIMETRE), f"{volume_cm3:.4g} cm³"
    if not image.has_scale:
        return None, f"{counted(count, 'pixel')}, whose size the image does not say"
    area_cm2 = count * h * w / 100
    return Measurement(codes.AREA, area_cm2, codes.SQUARE_CENTIMETRE), f"{area_cm2:.4g} cm²"


def _site(kind: Code, one: Named) -> Site:
    side: Literal["R", "L", "B"] | None = None if one.side == "U" else one.side
    return Site(kind, side)


def valued(named: Mapping[str, Named], channels: Mapping[int, str], first: int) -> dict[str, int]:
    """The label or channel of each name: as given, as the metadata name it, or in order from `first`.

    Raises
    ------
    ValueError
        If two names come to the same.
    """
    known = {text.casefold(): number for number, text in channels.items()}
    placed = {
        name: one.value if one.value is not None else known.get(name.casefold(), index)
        for index, (name, one) in enumerate(named.items(), start=first)
    }
    if len(set(placed.values())) < len(placed):
        raise ValueError(f"two of {', '.join(named)} have the same value; give each a value")
    return placed


# ---- classes and numbers
def _numbers(made: Mapping[str, NDArray[Any]], needed: str) -> NDArray[np.float64]:
    values = np.squeeze(np.asarray(made["values"], np.float64))
    if values.ndim > 1:
        raise UnsuitableInput(f"the bundle gives an array of {values.shape}; output.kind {needed}")
    if not np.isfinite(values).all():
        raise UnsuitableInput("the bundle gives something that is no finite number, as an overflow leaves it")
    return np.atleast_1d(values)


def _classes(output: Classes, made: Mapping[str, NDArray[Any]], image: Image, channels: Mapping[int, str]) -> Found:
    values = _numbers(made, "classes needs one for each class")
    placed = valued(output.classes, channels, first=0)
    if max(placed.values()) >= len(values):
        raise UnsuitableInput(
            f"the bundle gives {len(values)} numbers, and a class has the value {max(placed.values())}"
        )
    result = Found()
    if not bool(made["probabilities"]):
        result.limits.append(
            "The bundle gives no probabilities; the softmax of what its network gives stands for them."
        )
    best = max(output.classes, key=lambda name: values[placed[name]])
    bars = []
    for name, one in output.classes.items():
        probability, kind = float(values[placed[name]]), codes.code(name, one.type)
        measurement = Measurement(codes.PROBABILITY, probability, codes.FRACTION)
        side: Literal["R", "L", "B"] | None = None if one.side == "U" else one.side
        site = None if side is None else Site(kind, side)
        result.findings.append(Finding(name[:64], kind, site, None, (measurement,), images=image.chosen.references[:1]))
        bars.append(Bar(name, probability, highlight=name == best))
    result.conclusion.append(f"{best}: probability {values[placed[best]]:.2f}, the highest of {len(bars)} classes.")
    result.panels += [_picture(image, len(image.array) // 2, [], "Image"), BarPanel("Probabilities", tuple(bars))]
    return result


def _number(output: Number, made: Mapping[str, NDArray[Any]], image: Image) -> Found:
    values = _numbers(made, "number needs one")
    if len(values) != 1:
        raise UnsuitableInput(f"the bundle gives {len(values)} numbers; output.kind number needs one")
    name = codes.code(output.name, output.type)
    unit = Code(output.unit, "UCUM", output.unit_meaning or ("no units" if output.unit == "1" else output.unit))
    value = float(values[0])
    finding = Finding(
        output.name, name, None, None, (Measurement(name, value, unit),), images=image.chosen.references[:1]
    )
    shown = f"{value:.4g}{'' if output.unit == '1' else f' {output.unit}'}"
    rows = (("Measurement", "Value"), (output.name, shown))
    panels: list[Panel] = [_picture(image, len(image.array) // 2, [], "Image"), TablePanel("Result", rows)]
    return Found([finding], [], [f"{output.name}: {shown}."], [], panels)


# ---- boxes and points
def _boxes(output: Boxes, made: Mapping[str, NDArray[Any]], image: Image) -> Found:
    names = {value: name for name, value in valued(output.findings, {}, first=0).items()}
    boxes, scores, labels = (np.asarray(made[key], np.float64) for key in ("boxes", "scores", "labels"))
    order = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= output.min_score]
    result = Found()
    unknown = sorted({int(labels[i]) for i in order} - set(names))
    if unknown:
        result.limits.append(f"Boxes with labels that have no name here were left out: {', '.join(map(str, unknown))}.")
    affine = LPS_TO_RAS @ np.asarray(made["affine"], np.float64)  # index (w, h, d) of what the network saw, to LPS
    count = boxes.shape[1] // 2
    for i in (i for i in order if int(labels[i]) in names):
        low, high = np.zeros(3), np.zeros(3)
        low[:count], high[:count] = boxes[i, :count], boxes[i, count:]
        centre = (affine @ np.append((low + high) / 2, 1.0))[:3]
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        half = (high - low) / 2 * lengths
        slice_, outline = outlines.of_box(centre, half, affine[:3, :3] / lengths, image.affine)
        _mark(
            result,
            output.findings,
            names[int(labels[i])],
            image,
            slice_,
            outline,
            _box_numbers(float(scores[i]), half, image),
        )
    words = counted(len(result.findings), "box") if len(result.findings) == 1 else f"{len(result.findings)} boxes"
    result.conclusion.append(f"{words} with a score of at least {output.min_score:g}.")
    _add_marked(result, image)
    return result


def _box_numbers(score: float, half_mm: NDArray[np.float64], image: Image) -> tuple[Measurement, ...]:
    longest = Measurement(codes.LENGTH, 2 * float(half_mm.max()), codes.MILLIMETRE)
    return (Measurement(codes.SCORE, score, codes.FRACTION), *((longest,) if image.has_scale else ()))


def _points(output: Points, made: Mapping[str, NDArray[Any]], image: Image, channels: Mapping[int, str]) -> Found:
    placed = valued(output.points, channels, first=0)
    affine = LPS_TO_RAS @ np.asarray(made["affine"], np.float64)
    values, dimensions = np.asarray(made["values"], np.float64), len(made["shape"])
    places = _places(values, dimensions)
    if max(placed.values()) >= len(places):
        raise UnsuitableInput(f"the bundle gives {len(places)} points, and one has the value {max(placed.values())}")
    result = Found()
    for name, number in placed.items():
        index = np.zeros(3)
        index[:dimensions] = places[number]
        slice_, outline = outlines.round_point((affine @ np.append(index, 1.0))[:3], image.affine)
        _mark(result, output.points, name, image, slice_, outline, ())
    result.conclusion.append(f"{counted(len(result.findings), 'point')} marked.")
    _add_marked(result, image)
    return result


def _places(values: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Indices (N, dimensions): as they are given, or the peaks of heat maps (N, ...)."""
    if values.ndim == dimensions + 1:
        peaks = [np.unravel_index(int(one.argmax()), one.shape) for one in values]
        return np.array(peaks, np.float64)
    if values.size % dimensions:
        raise UnsuitableInput(
            f"the bundle gives {values.size} numbers, which are no points of {dimensions} coordinates"
        )
    return values.reshape(-1, dimensions) if values.ndim != 2 or values.shape[1] == dimensions else values.T


def _mark(
    result: Found,
    named: Mapping[str, Named],
    name: str,
    image: Image,
    slice_: int,
    outline: NDArray[np.float64],
    measurements: tuple[Measurement, ...],
) -> None:
    """Add a finding with its place; what lies beside all images is said to."""
    region = outlines.region(image.chosen.references, slice_, outline, image.array.shape[1:3])
    if region is None:
        result.limits.append(f"{name}: one place lies beside the images and was left out.")
        return
    number = sum(one.tracking_id.startswith(f"{name} ") or one.tracking_id == name for one in result.findings) + 1
    repeated = isinstance(named, dict) and bool(measurements)
    tracking = f"{name} {number}" if repeated else name
    kind = codes.code(name, named[name].type)
    side = named[name].side
    site = None if side == "U" else Site(kind, side)
    label = f"{name} {measurements[0].value:.2f}" if measurements else name
    result.findings.append(Finding(tracking[:64], kind, site, region, measurements, image_label=label[:32]))


def _add_marked(result: Found, image: Image) -> None:
    """Pictures of the slices with the first marks; of the middle where there is none."""
    at: dict[int, list[Mark]] = {}
    order = {reference: index for index, reference in enumerate(image.chosen.references)}
    for one in result.findings:
        region: Region | None = one.region
        if region is not None:
            at.setdefault(order[region.image], []).append(Mark(region.outline, one.image_label))
    if not at:
        at[len(image.array) // 2] = []
    for slice_ in list(at)[:MOST_PANELS]:
        result.panels.append(_picture(image, slice_, at[slice_], f"Slice {slice_ + 1} of {len(image.array)}"))
    rows = [("Finding", "Measurements"), *_rows(result)]
    result.panels.append(TablePanel("Findings", tuple(rows[:20])))


def _rows(result: Found) -> Iterator[tuple[str, ...]]:
    for one in result.findings:
        yield one.tracking_id, ", ".join(f"{number.name.meaning} {number.value:.3g}" for number in one.measurements)


def _picture(image: Image, slice_: int, marks: list[Mark], title: str) -> ImagePanel:
    plane = image.array[slice_]
    _, h, w = image.volume.spacing_mm
    shown = plane.astype(np.uint8) if plane.ndim == 3 else plane
    return ImagePanel(title, shown, pixel_mm=(h, w), marks=tuple(marks))


def page(found_: Found, title: str) -> Page:
    """The capture of a result."""
    return Page(title, tuple(found_.panels), columns=2, summary=tuple(found_.conclusion[:6]))
