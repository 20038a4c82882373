"""The result of an HR-pQCT scan: its opinion, maps of attention on its slices, pages and sentences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_sr.findings import Flag, ImagePanel, Mark, Page, Panel, Region, Segment, Volume
from dicom_sr.read.stacks import Stack
from pipelines.joint_classification import codes
from pipelines.joint_classification.assess import NEIGHBOURS
from pipelines.joint_classification.classes import CLASSES, SHORT
from pipelines.joint_classification.classifier import Classifier
from pipelines.joint_classification.joints import Joint
from pipelines.joint_classification.opinion import Opinion
from pipelines.joint_classification.pages import HEAT_FROM, METHODS, heading, latent_map, nearest, verdict_panel
from pipelines.joint_classification.volume import Head
from pipelines.joint_classification.wording import LIMITS, NOT_LESION, sentence

PLANES = ("Across the bone", "Along the bone, rows", "Along the bone, columns")

Array = NDArray[np.float32]


@dataclass(frozen=True)
class VolumeReading:
    """A metacarpal head that was read, and the opinion about it."""

    opinion: Opinion
    stack: Stack
    scan: Volume
    head: Head
    heat: Array | None  # (D, H, W) on the scan, 0..1; None where undetermined
    heat_code: str  # of the method
    focus: tuple[int, int, int]  # voxel of the scan that the pages are cut through


def assess_head(
    joint: Joint, tracking_id: str, stack: Stack, scan: Volume, head: Head, model: Classifier
) -> VolumeReading:
    """Ask the model about a metacarpal head.

    Parameters
    ----------
    joint
        As the header names it.
    tracking_id
        The same text in every report of the series.
    stack
        The slices.
    scan
        Read from them.
    head
        Cut out of the scan.
    model
        The classifier for volumes.
    """
    overall = model.classify(head.density[None])
    verdict = model.verdict(overall)
    condition = int(overall.probabilities[0].argmax())
    heat = None
    if verdict.determined:
        heat = on_scan(model.attention(head.density, condition), head, scan.array.shape)
    focus = _focus(head, scan.array.shape, heat)
    reference = stack.slices[focus[0]].reference
    region = Region(reference, _outline(head, scan.array.shape))
    opinion = Opinion(
        joint, tracking_id, region, overall, verdict, model.neighbours(head.density, NEIGHBOURS), CLASSES[condition]
    )
    return VolumeReading(opinion, stack, scan, head, heat, model.heat_method, focus)


def on_scan(heat: Array, head: Head, shape: tuple[int, ...]) -> Array:
    """A map on the cut-out, on all voxels of the scan.

    Parameters
    ----------
    heat
        (D, H, W) of the cut-out.
    head
        Where it lies.
    shape
        Of the scan.

    Returns
    -------
    Array
        As large as the scan, 0 outside the cut-out.
    """
    turned = heat[::-1] if head.flipped else heat
    painted = np.zeros(shape, np.float32)
    first = [max(0, corner) for corner in head.corner]
    last = [min(n, c + s) for n, c, s in zip(shape, head.corner, turned.shape, strict=True)]
    there = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    here = tuple(slice(a - c, b - c) for a, b, c in zip(first, last, head.corner, strict=True))
    painted[there] = np.clip(turned[here], 0, 1)
    return painted


def _focus(head: Head, shape: tuple[int, ...], heat: Array | None) -> tuple[int, int, int]:
    """Where the heat is strongest, else the middle of the head."""
    if heat is not None and heat.any():
        place = [int(i) for i in np.unravel_index(int(heat.argmax()), heat.shape)]
    else:
        place = [c + s // 2 for c, s in zip(head.corner, head.density.shape, strict=True)]
    d, h, w = (min(max(p, 0), n - 1) for p, n in zip(place, shape, strict=True))
    return d, h, w


def _outline(head: Head, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The box that was cut out, on a slice: closed (5, 2), column and row."""
    top, bottom = (float(np.clip(r, 0, shape[1])) for r in (head.corner[1], head.corner[1] + head.density.shape[1]))
    left, right = (float(np.clip(c, 0, shape[2])) for c in (head.corner[2], head.corner[2] + head.density.shape[2]))
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float64)


def segments(seen: VolumeReading) -> tuple[Segment, ...]:
    """Model attention on the slices of the head, as probabilities on the grid of the series."""
    if seen.heat is None:
        return ()
    used = np.flatnonzero(seen.heat.any((1, 2)))
    if not len(used):
        return ()
    first, last = int(used[0]), int(used[-1]) + 1
    affine = seen.scan.affine.copy()
    affine[:3, 3] += first * affine[:3, 0]
    return (
        Segment(
            f"Model attention {seen.opinion.joint.label} {SHORT[seen.opinion.condition]}",
            codes.SPATIAL_CONCEPT,
            METHODS.get(seen.heat_code, codes.SALIENCY),
            Volume(seen.heat[first:last], affine),
        ),
    )


def flags(seen: VolumeReading) -> tuple[Flag, ...]:
    """The slice to look at first."""
    reason = (
        "the slice on which the model's attention is strongest" if seen.heat is not None else "the bone that was read"
    )
    return (Flag(seen.opinion.region.image, f"{seen.opinion.joint.label}: {reason}."),)


def remarks(seen: VolumeReading, heat_method: str) -> tuple[str, ...]:
    """What the reader must know about how it was read."""
    lines = [
        *LIMITS,
        "The model looks at the shape of one bone end; the published figures are of the second metacarpal.",
    ]
    if seen.heat is not None:
        lines.append(f"{NOT_LESION} Method: {heat_method}.")
    lines.append(f"Motion grade about {seen.head.motion_grade:.1f} of 5, estimated; over 3 nothing is said.")
    return tuple(lines)


def reading_details(seen: VolumeReading) -> str:
    """How it was read, in one line."""
    corner, size = seen.head.corner, seen.head.density.shape
    return (
        f"voxels {corner[0]}, {corner[1]}, {corner[2]} and {size[0]} x {size[1]} x {size[2]} from there"
        f"{', turned' if seen.head.flipped else ''}; motion grade {seen.head.motion_grade:.1f}"
    )


def page(title: str, seen: VolumeReading, model: Classifier, heatmaps: bool) -> Page:
    """The head in three planes, what the model answers, its place among the known cases.

    Parameters
    ----------
    title
        Of the pipeline.
    seen
        The head.
    model
        With the known cases.
    heatmaps
        Whether maps of attention are shown.
    """
    panels: list[Panel] = list(_planes(seen, heatmaps))
    panels += [verdict_panel(seen.opinion, model), latent_map(seen.opinion, model), nearest(seen.opinion)]
    return Page(heading(title, seen.opinion.joint), tuple(panels), 2, (sentence(seen.opinion), LIMITS[1]))


def _planes(seen: VolumeReading, heatmaps: bool) -> list[ImagePanel]:
    """Slices of the scan through the focus, with heat."""
    spacing = seen.scan.spacing_mm
    window = (float(np.percentile(seen.head.density, 1)), float(np.percentile(seen.head.density, 99.5)))
    found = []
    for axis, name in enumerate(PLANES):
        height, width = (a for a in range(3) if a != axis)
        grey = np.take(seen.scan.array, seen.focus[axis], axis)
        heat = np.take(seen.heat, seen.focus[axis], axis) if heatmaps and seen.heat is not None else None
        marks = (Mark(seen.opinion.region.outline),) if axis == 0 and heat is None else ()
        found.append(
            ImagePanel(
                name,
                grey,
                window,
                (spacing[height], spacing[width]),
                heat,
                heat_unit="model attention" if heat is not None else "",
                heat_threshold=HEAT_FROM,
                marks=marks,
                caption=NOT_LESION if heat is not None else "",
            )
        )
    return found
