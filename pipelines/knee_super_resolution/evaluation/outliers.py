"""How well the gates tell knees from what the model was not made for: AUROC on a listed set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_sr.read.stacks import Stack, read_stack, stacks
from dicom_sr.series import read_studies
from pipelines.knee_super_resolution import gates, metrics
from pipelines.knee_super_resolution.simulation import thin_volumes
from pipelines.lab.measures import auroc_between

SPOILED = ("noise", "inverted", "implant", "ghosts", "slices")  # kinds of spoiled knees, by how their names begin


@dataclass(frozen=True)
class ScoredSeries:
    """A series, what it is, and the gates' overall score."""

    name: str
    kind: str  # "knee", or what makes it an outlier
    score: float


def score(array: NDArray[Any], stack: Stack | None = None) -> float:
    """The gates' overall score of acquired slices (D, H, W), with the header's gates where there is one."""
    scaled = np.asarray(array, dtype=np.float32) / np.float32(metrics.scale_of(np.asarray(array)))
    header = gates.header_gates(stack) if stack is not None else ()
    return gates.overall((*header, *gates.pixel_gates(scaled)))


def knees(folder: Path | None, seed: int = 177, simulated: int = 12) -> list[ScoredSeries]:
    """What should pass: the stacks of the DICOM knees in `folder` and simulated knees of every contrast.

    Parameters
    ----------
    folder
        With a DICOM series of a knee; None: simulated ones only.
    seed, simulated
        Of the simulated knees, and how many.
    """
    found = []
    for stack in _stacks(folder) if folder else ():
        found.append(ScoredSeries(f"knee, {stack.label}", "knee", score(read_stack(stack).array, stack)))
    for number in range(simulated):
        contrast = thin_volumes.CONTRASTS[number % len(thin_volumes.CONTRASTS)]
        knee = thin_volumes.simulate_knee(seed + number, (96, 112, 112), 0.8, contrast)
        found.append(ScoredSeries(f"simulated knee, {contrast}", "knee", score(knee.array[::4])))
    return found


def outliers(
    others: Sequence[Path], spoiled: Sequence[NDArray[np.floating[Any]]], seed: int = 178
) -> list[ScoredSeries]:
    """What should not: other body parts and phantoms in `others`, and spoiled versions of knees (D, H, W).

    Parameters
    ----------
    others
        Folders of DICOM series that are no knees.
    spoiled
        (D, H, W) each, scaled to about 1: knees to be spoiled.
    seed
        Of how they are spoiled.
    """
    found = []
    for folder in others:
        for stack in _stacks(folder):
            kind = "phantom" if "phantom" in folder.name or gates.of_phantom(stack.header) else "other body part"
            found.append(
                ScoredSeries(f"{folder.name} {stack.label}".strip(), kind, score(read_stack(stack).array, stack))
            )
    for number, knee in enumerate(spoiled, start=1):
        random = np.random.default_rng([seed, number])
        for name, array in spoil(knee, random).items():
            kind = next(each for each in SPOILED if name.startswith(each))
            found.append(ScoredSeries(f"{name}, knee {number}", kind, score(array)))
    return found


def spoil(knee: NDArray[np.floating[Any]], random: np.random.Generator) -> dict[str, NDArray[np.floating[Any]]]:
    """Noise, inverted, implants, ghosts, shuffled and flickering versions of a knee scaled to about 1."""
    depth, height, width = knee.shape
    spoiled: dict[str, NDArray[np.floating[Any]]] = {
        "noise only": np.abs(random.normal(0, 0.3, knee.shape)),
        "inverted": 1 - np.clip(knee, 0, 1),
        "noise added": np.abs(knee + random.normal(0, 0.12, knee.shape)),
        "slices in the wrong order": knee[random.permutation(depth)],
        "slices that flicker": knee * np.where(np.arange(depth) % 2, 1.0, 0.55)[:, None, None],
        "slices without signal": np.zeros_like(knee),
    }
    middle = slice(depth // 4, 3 * depth // 4)
    for number in range(3):
        centre = np.array([height, width]) * random.uniform(0.35, 0.65, 2)
        radius = min(height, width) * random.uniform(0.07, 0.14)
        rimmed, warped = knee.copy(), np.array(knee, copy=True)
        rimmed[middle] = _rimmed(knee[middle], centre, radius)
        warped[middle] = warped_by_metal(knee[middle], centre, 0.6 * radius, float(random.uniform(0.06, 0.12) * width))
        spoiled[f"implant with a rim {number}"] = rimmed
        spoiled[f"implant, off-resonance {number}"] = warped
    for number in range(3):
        shift = int(height * random.uniform(0.3, 0.55))
        strength = random.uniform(0.12, 0.3)
        copies = knee + strength * np.roll(knee, shift, 1) + strength * np.roll(knee, -shift, 1)
        spoiled[f"ghosts, copies {number}"] = copies
        spoiled[f"ghosts, moved {number}"] = moved(knee, random.uniform(2.4, 8.5), random.uniform(1.0, 3.0), random)
    return spoiled


def _rimmed(planes: NDArray[Any], centre: NDArray[np.floating[Any]], radius: float) -> NDArray[Any]:
    """A void with a bright rim in every plane (D, H, W)."""
    down, across = np.mgrid[: planes.shape[1], : planes.shape[2]]
    distance = np.hypot(down - centre[0], across - centre[1])
    return np.where(distance < radius, 0, np.where(distance < radius + 4, 1.3, planes))


def warped_by_metal(
    planes: NDArray[Any], centre: NDArray[np.floating[Any]], radius: float, reach: float
) -> NDArray[np.floating[Any]]:
    """Planes (D, H, W) with a metal cylinder across them: no signal inside, and signal moved along the rows outside.

    The field of a long cylinder falls with the square of the distance and changes sign with twice the angle; a pixel
    is moved along the readout by its off-resonance, at most by `reach` pixels, and piles up where others have moved to.

    Parameters
    ----------
    planes
        (D, H, W).
    centre, radius
        Of the cylinder, in pixels.
    reach
        Largest shift, in pixels.
    """
    height, width = planes.shape[1:]
    down, across = np.mgrid[:height, :width]
    y, x = down - centre[0], across - centre[1]
    square = np.maximum(x**2 + y**2, radius**2)
    target = across + reach * radius**2 * (y**2 - x**2) / square**2
    left = np.floor(target).astype(int)
    signal = np.where(x**2 + y**2 < radius**2, 0.0, planes)
    warped = np.zeros(planes.shape)
    for column, share in ((left, 1 - (target - left)), (left + 1, target - left)):
        inside = (column >= 0) & (column < width)
        places = (down * width + column)[inside]
        for plane, given in zip(warped, signal * share, strict=True):
            plane += np.bincount(places, given[inside], minlength=height * width).reshape(height, width)
    return warped


def moved(
    planes: NDArray[Any], period: float, amplitude: float, random: np.random.Generator
) -> NDArray[np.floating[Any]]:
    """Planes (D, H, W) of something that swung down the rows while they were acquired line by line, as by a pulse.

    Parameters
    ----------
    period, amplitude
        Of the swing, in lines and in pixels.
    """
    count = planes.shape[1]
    line = np.fft.fftshift(np.arange(count))
    shifts = amplitude * np.sin(2 * np.pi * (line[None] / period + random.random((len(planes), 1))))
    phase = np.exp(-2j * np.pi * np.fft.fftfreq(count)[None] * shifts)
    ghosted: NDArray[np.floating[Any]] = np.abs(np.fft.ifft(np.fft.fft(planes, axis=1) * phase[:, :, None], axis=1))
    return ghosted


def table(inside: Sequence[ScoredSeries], outside: Sequence[ScoredSeries]) -> str:
    """The AUROC and the scores of every kind in Markdown."""
    passed = [each.score for each in inside]
    lines = ["| kind | series | AUROC | flagged | refused | scores |", "|---|---|---|---|---|---|"]
    for kind in ["knee", *dict.fromkeys(each.kind for each in outside), "all outliers"]:
        chosen = inside if kind == "knee" else [each for each in outside if kind in (each.kind, "all outliers")]
        scores = sorted(each.score for each in chosen)
        area = "" if kind == "knee" else f"{auroc_between(passed, scores):.3f}"
        flagged, refused = (sum(value >= limit for value in scores) for limit in (gates.FLAG, gates.REFUSE))
        lines.append(
            f"| {kind} | {len(scores)} | {area} | {flagged} | {refused} | {scores[0]:.2f} to {scores[-1]:.2f} |"
        )
    missed = [f"{each.name} ({each.score:.2f})" for each in outside if each.score < gates.FLAG]
    lines += ["", f"Not flagged: {', '.join(missed) or 'none'}."]
    return "\n".join(lines)


def _stacks(folder: Path) -> list[Stack]:
    paths = [path for path in folder.iterdir() if path.suffix.lower() not in {".txt", ".md", ".csv"}]
    return [stack for study in read_studies(paths) for series in study.series for stack in stacks(series)]
