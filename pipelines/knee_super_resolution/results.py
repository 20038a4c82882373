"""What is said about a reconstructed stack: the derived volume, its quality figures and the page that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_sr.findings import (
    DerivedVolume,
    Evaluation,
    Finding,
    ImagePanel,
    Measurement,
    Page,
    Region,
    Site,
    Volume,
)
from dicom_sr.read.stacks import Stack
from pipelines.knee_super_resolution import codes, metrics
from pipelines.knee_super_resolution.degradation import SliceProfile, along_slices, forward_matrix

Cut = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # (D, H, W) to one plane of it
Plane = tuple[str, tuple[float, float], Cut]  # its name, height and width of its pixels in mm
CONSISTENCY_LIMIT = 2.0  # times the noise of the acquired slices
NATIVE, OURS = "acquired", "result"


def positions_mm(stack: Stack) -> NDArray[np.floating[Any]]:
    """Positions of the slice centres along the normal, the first at 0; (D,)."""
    positions: NDArray[np.floating[Any]] = np.arange(len(stack.slices), dtype=np.float64) * stack.spacing_mm
    return positions


@dataclass(frozen=True)
class Reconstruction:
    """One stack and what was made of it."""

    stack: Stack
    source: Volume  # (D, H, W) stored values
    positions_mm: NDArray[np.floating[Any]]  # (F,) of the thin slices, the first acquired slice at 0
    array: NDArray[np.float32]  # (F, H, W) in the unit of the source
    profile: SliceProfile  # the assumed sensitivity of an acquired slice
    method: str  # in words, e.g. "cubic spline interpolation"
    scale: float  # the source's 99.9th percentile, stored values
    standard_deviation: NDArray[np.float32] | None = None  # (F, H, W), of a voxel

    @property
    def learned(self) -> bool:
        """Whether a network made it; only then is there a spread."""
        return self.standard_deviation is not None

    @property
    def scaled_source(self) -> NDArray[np.float32]:
        """The acquired slices as metrics and gates want them, (D, H, W)."""
        return np.asarray(self.source.array, dtype=np.float32) / np.float32(self.scale)

    @property
    def step_mm(self) -> float:
        """Distance of the new slices."""
        return float(self.positions_mm[1] - self.positions_mm[0])

    @property
    def ratio(self) -> float:
        """How many times closer the new slices are."""
        return self.stack.spacing_mm / self.step_mm

    @property
    def volume(self) -> Volume:
        """The new slices with their affine: (f, h, w) to patient LPS, mm."""
        affine = self.source.affine.copy()
        affine[:3, 0] *= self.step_mm / self.stack.spacing_mm
        return Volume(self.array, affine)


@dataclass(frozen=True)
class Quality:
    """Figures that need no truth."""

    signal_to_noise: float  # mean of the result's foreground over the noise of the acquired slices
    noise: float  # standard deviation in the unit of the stored values
    consistency_rmse: float  # of the re-thickened result to the acquired slices, foreground, stored values
    consistency_psnr_db: float
    consistency_ssim: float
    voxel_sd: float | None  # mean over the foreground, stored values


def quality(made: Reconstruction) -> Quality:
    """Judge a result by the acquired slices alone."""
    scaled, scale = made.scaled_source, made.scale
    mask = metrics.foreground(scaled)
    forward = forward_matrix(made.positions_mm, _within(made), made.profile)
    kept = len(forward)
    again = along_slices(forward, made.array / scale)
    noise = metrics.noise_of(scaled, mask) * scale
    thin_mask = made.array / scale > metrics.FOREGROUND_LEVEL
    mean = float(made.array[thin_mask].mean()) if thin_mask.any() else 0.0
    rmse = metrics.rmse(again, scaled[:kept], mask[:kept])
    spread = made.standard_deviation
    return Quality(
        signal_to_noise=mean / max(noise, 1e-6 * scale),
        noise=noise,
        consistency_rmse=rmse * scale,
        consistency_psnr_db=float(-20 * np.log10(max(rmse, 1e-6))),
        consistency_ssim=metrics.ssim(again, scaled[:kept], mask[:kept]),
        voxel_sd=None if spread is None else float(spread[thin_mask].mean() if thin_mask.any() else spread.mean()),
    )


def _within(made: Reconstruction) -> NDArray[np.floating[Any]]:
    """The acquired positions that the thin slices span, which are those the result is held to."""
    positions = positions_mm(made.stack)
    spanned: NDArray[np.floating[Any]] = positions[positions <= made.positions_mm[-1] + 1e-6]
    return spanned


def derived(made: Reconstruction, name: str, synthetic: bool) -> DerivedVolume:
    """The new slices, each with the acquired ones it rests on.

    Parameters
    ----------
    made
        The reconstruction.
    name
        Of the method with its version, for the description.
    synthetic
        Whether to mark the series as synthetic data.
    """
    spacing = made.stack.spacing_mm
    last = len(made.stack.slices) - 1
    below = np.clip(np.floor(made.positions_mm / spacing + 1e-6).astype(int), 0, last)
    above = np.clip(np.ceil(made.positions_mm / spacing - 1e-6).astype(int), 0, last)
    gap = f"; gap of {made.stack.gap_mm:.2f} mm between acquired slices" if made.stack.gap_mm > 0.01 else ""
    sentence = (
        f"{name}: {made.method}, slices every {made.step_mm:.3f} mm from {made.stack.thickness_mm:.2f} mm slices every "
        f"{spacing:.2f} mm (ratio {made.ratio:.2f}){gap}; slices between acquired ones are synthesised"
    )
    return DerivedVolume(
        volume=made.volume,
        sources=made.stack.references,
        slice_sources=tuple(tuple(sorted({int(a), int(b)})) for a, b in zip(below, above, strict=True)),
        label=made.stack.label,
        description=sentence,
        derivation=(codes.SPATIAL_RESAMPLING, codes.SUPER_RESOLVED),
        slice_thickness_mm=made.step_mm,
        uncertainty=None if made.standard_deviation is None else Volume(made.standard_deviation, made.volume.affine),
        synthetic=synthetic,
    )


def finding(made: Reconstruction, figures: Quality, number: int, outlier_score: float) -> Finding:
    """The quality figures, on the middle acquired slice's frame.

    Parameters
    ----------
    made, figures
        The reconstruction and its quality.
    number
        Of the stack in its series, from 1.
    outlier_score
        How far the series is from what the model was made for, see `gates.overall`.
    """
    header = made.stack.header
    rows, columns = made.source.array.shape[1:]
    middle = made.stack.references[len(made.stack.slices) // 2]
    outline = np.array([[0.5, 0.5], [columns - 0.5, 0.5], [columns - 0.5, rows - 0.5], [0.5, rows - 0.5], [0.5, 0.5]])
    laterality = str(header.get("Laterality") or header.get("ImageLaterality") or "")
    measurements = [
        Measurement(codes.SIGNAL_TO_NOISE, figures.signal_to_noise, codes.RATIO),
        Measurement(codes.SSIM, figures.consistency_ssim, codes.NO_UNITS),
        Measurement(codes.PSNR, figures.consistency_psnr_db, codes.DECIBEL),
        Measurement(codes.FACTOR, made.ratio, codes.RATIO),
        Measurement(codes.SPACING, made.step_mm, codes.MILLIMETRE),
        Measurement(codes.OUTLIER, outlier_score, codes.NO_UNITS),
    ]
    evaluations = []
    name = made.stack.label or f"stack {number}"
    told = made.stack.label or "Super-resolution"
    summary = f"{told}: {made.ratio:.2g} times as many slices"
    if figures.voxel_sd is not None:
        measurements.append(Measurement(codes.MEAN_VOXEL_SD, figures.voxel_sd, codes.ARBITRARY))
        agrees = figures.consistency_rmse <= CONSISTENCY_LIMIT * figures.noise
        evaluations.append(Evaluation(codes.CONSISTENT, codes.PASS if agrees else codes.FAIL))
        summary = f"{told}: {evaluations[0].value.meaning.lower()}"
    return Finding(
        tracking_id=f"Super-resolution {name}",
        finding=codes.SUPER_RESOLVED,
        site=Site(codes.KNEE, laterality if laterality in ("R", "L") else None),  # type: ignore[arg-type]
        region=Region(middle, outline),
        measurements=tuple(measurements),
        evaluations=tuple(evaluations),
        images=made.stack.references,
        summary=summary,
    )


def pages(made: Reconstruction, figures: Quality, title: str) -> tuple[Page, ...]:
    """Native reformats beside ours in the three planes of the stack, then what differs and how sure it is.

    Parameters
    ----------
    made, figures
        The reconstruction and its quality.
    title
        Of the pages.
    """
    source = np.asarray(made.source.array, dtype=np.float32)
    window, spread = _window(source), made.standard_deviation
    nearest = np.clip(np.rint(made.positions_mm / made.stack.spacing_mm).astype(int), 0, len(source) - 1)
    native = source[nearest]  # what a viewer without interpolation shows: each slice as thick as it is
    beside: list[ImagePanel] = []
    apart: list[ImagePanel] = []
    for plane, pixel, cut in _planes(made, source):
        beside.append(ImagePanel(f"{plane}, {NATIVE}", cut(native), window, pixel))
        beside.append(ImagePanel(f"{plane}, {OURS}", cut(made.array), window, pixel))
        difference = cut(made.array) - cut(native)
        reach = float(np.percentile(np.abs(difference), 99.5)) or 1.0
        apart.append(_coloured(f"{plane}, {OURS} - {NATIVE}", difference, (-reach, reach), pixel, "coolwarm"))
        if spread is not None:
            top = float(np.percentile(spread, 99.5)) or 1.0
            apart.append(_coloured(f"{plane}, standard deviation", cut(spread), (0.0, top), pixel, "viridis"))
    lines = summary(made, figures)
    what = "result minus the nearest acquired slice" + ("" if spread is None else ", and standard deviation of a voxel")
    return (
        Page(title, tuple(beside), 2, lines),
        Page(f"{title}: difference", tuple(apart), 1 if spread is None else 2, (lines[0], f"Shown: {what}")),
    )


def _coloured(
    title: str, image: NDArray[np.float32], shown: tuple[float, float], pixel: tuple[float, float], colours: str
) -> ImagePanel:
    return ImagePanel(title, image, shown, pixel, colour_map=colours, value_unit="stored value")


def _planes(made: Reconstruction, source: NDArray[np.float32]) -> tuple[Plane, ...]:
    """The two reformats through the signal's centre of gravity and a new slice half-way between acquired ones."""
    (height, width), step = made.stack.pixel_mm, made.step_mm
    row, column = _busiest(source)
    middle = int(np.argmin(np.abs(made.positions_mm / made.stack.spacing_mm - (len(source) // 2 - 0.5))))
    names = _plane_names(made.stack)
    return (
        (names[1], (step, width), lambda volume: volume[:, row, :]),
        (names[2], (height, step), lambda volume: volume[:, :, column].T),
        (names[0], (height, width), lambda volume: volume[middle]),
    )


def summary(made: Reconstruction, figures: Quality) -> tuple[str, ...]:
    """The lines under the pictures; they say what is acquired and what is made."""
    label = f"{made.stack.label}: " if made.stack.label else ""
    spread = "" if figures.voxel_sd is None else f", mean voxel SD {figures.voxel_sd:.1f}"
    return (
        f"{label}{len(made.stack.slices)} acquired slices every {made.stack.spacing_mm:.2f} mm "
        f"({made.stack.thickness_mm:.2f} mm thick) to {len(made.array)} slices every {made.step_mm:.3f} mm, "
        f"{made.method}",
        "Slices between the acquired ones are synthesised; read findings on the acquired images.",
        f"SNR {figures.signal_to_noise:.0f}; re-thickened result against acquired slices: "
        f"SSIM {figures.consistency_ssim:.4f}, PSNR {figures.consistency_psnr_db:.1f} dB{spread}",
    )


def _busiest(source: NDArray[np.float32]) -> tuple[int, int]:
    """The row and column through the centre of gravity of the signal."""
    energy = source.mean(axis=0).astype(np.float64)
    energy = np.maximum(energy - np.percentile(energy, 20), 0.0) + 1e-9
    row = float((energy.sum(axis=1) * np.arange(energy.shape[0])).sum() / energy.sum())
    column = float((energy.sum(axis=0) * np.arange(energy.shape[1])).sum() / energy.sum())
    return round(row), round(column)


def _window(source: NDArray[np.float32]) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(source, (1.0, 99.5)))
    return low, max(high, low + 1.0)


def _plane_names(stack: Stack) -> tuple[str, str, str]:
    """Names of the planes perpendicular to the stack's normal, its column direction and its row direction."""
    names = ("sagittal", "coronal", "axial")  # perpendicular to x, y, z of the patient
    along = np.abs(stack.affine[:3, :3] / np.linalg.norm(stack.affine[:3, :3], axis=0))  # (patient, stack)
    # each name once, even at 45 degrees
    x, y, z = max(permutations(range(3)), key=lambda axes: sum(along[a, i] for i, a in enumerate(axes)))
    return names[x], names[y], names[z]
