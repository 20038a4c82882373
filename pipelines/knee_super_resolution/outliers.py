"""How well the gates tell knees from what the model was not made for: AUROC on a listed set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_sr.series import read_studies
from dicom_sr.stacks import Stack, read_stack, stacks
from pipelines.knee_super_resolution import gates, metrics, simulate

Scored = tuple[str, float]


def score(array: NDArray[Any], stack: Stack | None = None) -> float:
    """The gates' overall score of acquired slices (D, H, W), with the header's gates where there is one."""
    scaled = np.asarray(array, dtype=np.float32) / np.float32(metrics.scale_of(np.asarray(array)))
    header = gates.header_gates(stack) if stack is not None else ()
    return gates.overall((*header, *gates.pixel_gates(scaled)))


def knees(folder: Path | None, seed: int = 77, simulated: int = 12) -> list[Scored]:
    """What should pass: the stacks of the DICOM knees in `folder` and simulated knees of every contrast."""
    found = []
    for stack in _stacks(folder) if folder else ():
        found.append((f"knee, {stack.label}", score(read_stack(stack).array, stack)))
    for number in range(simulated):
        contrast = simulate.CONTRASTS[number % len(simulate.CONTRASTS)]
        knee = simulate.simulate_knee(seed + number, (96, 112, 112), 0.8, contrast)
        found.append((f"simulated knee, {contrast}", score(knee.array[::4])))
    return found


def outliers(others: Sequence[Path], knee: NDArray[np.floating[Any]], seed: int = 78) -> list[Scored]:
    """What should not: other body parts and phantoms in `others`, and spoiled versions of a knee (D, H, W)."""
    found = []
    for folder in others:
        for stack in _stacks(folder):
            found.append((f"{folder.name} {stack.label}".strip(), score(read_stack(stack).array, stack)))
    for name, spoiled in spoil(knee, np.random.default_rng(seed)).items():
        found.append((name, score(spoiled)))
    return found


def spoil(knee: NDArray[np.floating[Any]], random: np.random.Generator) -> dict[str, NDArray[np.floating[Any]]]:
    """Noise, inverted, implants, ghosts, shuffled and flickering versions of a knee scaled to about 1."""
    depth, height, width = knee.shape
    spoiled: dict[str, NDArray[np.floating[Any]]] = {
        "noise": np.abs(random.normal(0, 0.3, knee.shape)),
        "inverted": 1 - np.clip(knee, 0, 1),
        "very noisy": np.abs(knee + random.normal(0, 0.12, knee.shape)),
        "slices in the wrong order": knee[random.permutation(depth)],
        "flickering slices": knee * np.where(np.arange(depth) % 2, 1.0, 0.55)[:, None, None],
        "empty": np.zeros_like(knee),
    }
    down, across = np.mgrid[:height, :width]
    for number in range(3):
        metal = knee.copy()
        centre = np.array([height, width]) * random.uniform(0.35, 0.65, 2)
        radius = min(height, width) * random.uniform(0.07, 0.14)
        distance = np.hypot(down - centre[0], across - centre[1])
        for index in range(depth // 4, 3 * depth // 4):
            metal[index][distance < radius] = 0
            metal[index][(distance >= radius) & (distance < radius + 4)] = 1.3
        spoiled[f"implant {number}"] = metal
    for number in range(3):
        shift = int(height * random.uniform(0.3, 0.55))
        strength = random.uniform(0.12, 0.3)
        spoiled[f"ghosts {number}"] = knee + strength * np.roll(knee, shift, 1) + strength * np.roll(knee, -shift, 1)
    return spoiled


def auroc(inside: Sequence[float], outside: Sequence[float]) -> float:
    """The chance that something outside scores higher than something inside, ties half."""
    pairs = np.asarray(outside)[:, None] - np.asarray(inside)[None, :]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def table(inside: Sequence[Scored], outside: Sequence[Scored]) -> str:
    """The AUROC and every score in Markdown, highest first."""
    flagged = [name for name, value in outside if value >= gates.FLAG]
    wrongly = [name for name, value in inside if value >= gates.FLAG]
    lines = [
        f"AUROC {auroc([value for _, value in inside], [value for _, value in outside]):.3f}; flagged at "
        f"{gates.FLAG}: {len(flagged)} of {len(outside)} outliers, {len(wrongly)} of {len(inside)} knees.",
        "",
        "| series | is | score |",
        "|---|---|---|",
    ]
    scored = [(value, name, "knee") for name, value in inside] + [(value, name, "outlier") for name, value in outside]
    lines += [f"| {name} | {what} | {value:.2f} |" for value, name, what in sorted(scored, reverse=True)]
    return "\n".join(lines)


def _stacks(folder: Path) -> list[Stack]:
    paths = [path for path in folder.iterdir() if path.suffix.lower() not in {".txt", ".md", ".csv"}]
    return [stack for study in read_studies(paths) for series in study.series for stack in stacks(series)]
