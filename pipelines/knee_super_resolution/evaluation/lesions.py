"""The small-lesion test: foci at or under one thick slice, put into thin volumes, thickened, restored, looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_super_resolution import metrics
from pipelines.knee_super_resolution.evaluation.methods import SHIPPED, Weights, restored
from pipelines.knee_super_resolution.training.tasks import degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume

VISIBLE_CONTRAST = 3.0  # contrast over the local spread from which a focus counts as seen
NEAR = 2  # samples round a focus that count as its surroundings


@dataclass(frozen=True)
class LesionRow:
    """How one method did with the foci of one volume."""

    volume: str
    factor: int
    method: str
    foci: int  # that the truth itself shows
    seen: int
    contrast_kept: float  # median share of the true contrast that is left
    false_structure: float  # RMS change away from the foci over the noise of the acquired slices


def injected(
    volume: ThinVolume, axis: int, factor: int, random: np.random.Generator, count: int = 24
) -> tuple[ThinVolume, NDArray[np.int32]]:
    """The volume with foci of 0.4 to 1 thick slice across, and where they are (label per focus).

    Each differs from its surroundings by 20 to 40 % of the brightest tissue, brighter or darker, and lies in tissue.

    Parameters
    ----------
    volume
        Thin along `axis`.
    axis, factor
        Along which it will be degraded, and how much.
    random
        Where chance comes from.
    count
        Foci to place; fewer where there is no room.
    """
    turned = np.moveaxis(volume.array, axis, 0).copy()
    labels = np.zeros(turned.shape, dtype=np.int32)
    inside = metrics.foreground(turned)
    margin = max(4, factor)
    inside[:margin] = inside[-margin:] = False
    inside[:, :8] = inside[:, -8:] = False
    inside[:, :, :8] = inside[:, :, -8:] = False
    places = np.argwhere(inside)
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in turned.shape), indexing="ij", sparse=False))
    placed = 0
    for _ in range(20 * count):
        if placed == count or not len(places):
            break
        centre = places[random.integers(len(places))]
        if labels[tuple(slice(max(c - 10, 0), c + 11) for c in centre)].any():
            continue
        radius = 0.5 * factor * random.uniform(0.4, 1.0)
        box = tuple(
            slice(max(int(c - radius - 2), 0), min(int(c + radius + 3), size))
            for c, size in zip(centre, turned.shape, strict=True)
        )
        distance = np.sqrt(((grid[(slice(None), *box)] - centre[:, None, None, None]) ** 2).sum(axis=0))
        cover = np.clip(radius - distance + 0.5, 0, 1)
        sign = 1.0 if float(turned[tuple(centre)]) < 0.5 else -1.0
        turned[box] += (sign * random.uniform(0.2, 0.4) * cover).astype(np.float32)
        labels[box][cover > 0.5] = placed + 1
        placed += 1
    array = np.ascontiguousarray(np.moveaxis(np.maximum(turned, 0), 0, axis))
    return ThinVolume(volume.name, volume.subject, array, volume.spacing_mm), labels


def judge_lesions(
    volume: ThinVolume,
    axis: int,
    factor: int,
    methods: Sequence[str],
    seed: int = 0,
    weights: Weights = SHIPPED,
) -> list[LesionRow]:
    """Restore a volume with and without foci by each method and count what is seen and what is made up.

    Parameters
    ----------
    volume, axis, factor
        The volume, which of its axes is degraded and how much.
    methods
        Names, see `methods.NAMES`; one without weights for the factor is left out.
    seed
        Of the foci.
    weights
        Of the methods.
    """
    random = np.random.default_rng([seed, axis, factor])
    with_foci, labels = injected(volume, axis, factor, random)
    task, truth = degraded(with_foci, axis, factor, scale=1.0)  # one scale for both, or the comparison would show it
    plain, _ = degraded(volume, axis, factor, scale=1.0)
    labels = labels[: task.count]
    noise = metrics.noise_of(task.thick, metrics.foreground(task.thick))
    foci = [labels == number for number in range(1, int(labels.max()) + 1)]
    # what anatomy hides in the truth says nothing about a method: there, any contrast is that of the anatomy
    foci = [focus for focus in foci if _contrast(truth, truth, focus)[0]]
    rows = []
    for method in methods:
        try:
            (result, _), (without, _) = restored(method, task, weights), restored(method, plain, weights)
        except FileNotFoundError:
            continue
        kept = [_contrast(result, truth, focus) for focus in foci]
        away = ~_grown(labels > 0, factor)
        change = float(np.sqrt(np.mean((result - without)[away] ** 2)))
        rows.append(
            LesionRow(
                volume=volume.name,
                factor=factor,
                method=method,
                foci=len(kept),
                seen=sum(seen for seen, _ in kept),
                contrast_kept=float(np.median([share for _, share in kept])) if kept else 0.0,
                false_structure=change / max(noise, 1e-6),
            )
        )
    return rows


def _contrast(
    result: NDArray[np.floating[Any]], truth: NDArray[np.floating[Any]], focus: NDArray[np.bool_]
) -> tuple[bool, float]:
    """Whether a focus is seen, and how much of its true contrast is left."""
    from scipy.ndimage import binary_dilation

    where = np.argwhere(focus)
    if not len(where):
        return False, 0.0
    low, high = np.maximum(where.min(axis=0) - 4, 0), where.max(axis=0) + 5
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    inside = focus[box]
    near = binary_dilation(inside, iterations=1 + NEAR) & ~binary_dilation(inside)
    shown, true = result[box], truth[box]
    contrast = float(shown[inside].mean() - shown[near].mean())
    wanted = float(true[inside].mean() - true[near].mean())
    spread = float(shown[near].std())
    same_sign = contrast * wanted > 0
    return bool(same_sign and abs(contrast) > VISIBLE_CONTRAST * spread / np.sqrt(inside.sum())), contrast / (
        wanted or 1e-6
    )


def _grown(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """The mask and what lies within two thick slices of it."""
    from scipy.ndimage import maximum_filter

    size = (4 * factor + 1, 9, 9)
    grown: NDArray[np.bool_] = maximum_filter(mask, size=size)
    return grown


def summary(rows: Sequence[LesionRow]) -> str:
    """A Markdown table over volumes."""
    lines = ["| k | method | foci | recall | contrast kept | change elsewhere / noise |", "|---|---|---|---|---|---|"]
    for factor in sorted({row.factor for row in rows}):
        for method in dict.fromkeys(row.method for row in rows):
            chosen = [row for row in rows if (row.factor, row.method) == (factor, method)]
            foci, seen = sum(row.foci for row in chosen), sum(row.seen for row in chosen)
            if foci:
                kept = float(np.median([row.contrast_kept for row in chosen]))
                false = float(np.max([row.false_structure for row in chosen]))
                lines.append(f"| {factor} | {method} | {foci} | {seen / foci:.3f} | {kept:.2f} | {false:.2f} |")
    return "\n".join(lines)
