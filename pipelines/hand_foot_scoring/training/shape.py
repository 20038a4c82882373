"""The shape model learned from simulated skeletons, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.shape import ShapeModel, align
from pipelines.hand_foot_scoring.simulation.disease import random_disease
from pipelines.hand_foot_scoring.simulation.drawn_postures import clawed_foot, deformed_hand, oblique
from pipelines.hand_foot_scoring.simulation.films import child_age
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.severe import severe_hand
from pipelines.hand_foot_scoring.sites import SITES, Part

KEPT = 0.985  # share of the variance that the modes keep


def build(part: Part, seed: int, count: int) -> ShapeModel:
    """Learn the model from simulated skeletons: adults and children, healthy and deformed, straight and oblique.

    A sixth of the hands are deformed severely: even where each of their joints is seen, a model without them hardly
    supports the arrangement. A mm of the model is one of a mean adult, whatever else is among the skeletons.

    Parameters
    ----------
    part
        Hand or foot.
    seed
        Of the skeletons.
    count
        Number of skeletons.
    """
    rng = np.random.default_rng((seed, 3))
    draw = hand if part == "hand" else foot
    shapes, straight = [], []
    for number in range(count):
        age = child_age(rng) if number % 3 == 0 else None
        disease = random_disease(part, rng, 0.5) if number % 4 == 1 else None
        skeleton = plain = draw(rng, disease, age, odd=False)
        if number % 8 == 1:
            skeleton = (deformed_hand if part == "hand" else clawed_foot)(skeleton, rng)
        if number % 4 == 2 and age is None and part == "hand":
            skeleton = severe_hand(skeleton, rng)
        if number % 8 == 3:  # an oblique view lies differently, but its sites are to be found
            skeleton = oblique(skeleton, rng)
        shapes.append(np.array([skeleton.sites[name] for name in SITES[part]]) / skeleton.scale)
        if skeleton is plain and age is None:
            straight.append(shapes[-1])
    stack = np.array(shapes)
    mean, trust = stack.mean(axis=0), np.ones(stack.shape[1])
    for _ in range(3):
        stack = np.array([align(shape, mean, trust).apply(shape) for shape in stack])
        mean = stack.mean(axis=0)
    flat = (stack - mean).reshape(count, -1)
    _, singular, modes = np.linalg.svd(flat, full_matrices=False)
    variance = singular**2 / count
    kept = int(np.searchsorted(np.cumsum(variance) / variance.sum(), KEPT)) + 1
    rest = float(np.sqrt(variance[kept:].sum() / flat.shape[1]))
    # the mean of shapes that differ is smaller than they are
    mm = float(np.mean([align(mean, shape, trust).scale for shape in straight]))
    return ShapeModel(part, mm * mean, modes[:kept], mm * np.sqrt(variance[:kept]), mm * rest)


def save(models: tuple[ShapeModel, ...], path: Path) -> None:
    """Write the models of both parts to one file."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for model in models:
        for key in ("mean", "modes", "spread"):
            arrays[f"{model.part}.{key}"] = np.asarray(getattr(model, key), np.float32)
        arrays[f"{model.part}.rest"] = np.asarray(model.rest, np.float32)
    np.savez(path, **arrays)  # type: ignore[arg-type]
