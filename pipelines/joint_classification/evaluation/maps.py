"""How well each method of attention finds the lesion, and whether its maps may be shown."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.joint_classification import attention
from pipelines.joint_classification.classifier import Classifier
from pipelines.joint_classification.evaluation import map_checks
from pipelines.joint_classification.evaluation.figures import Measured
from pipelines.joint_classification.evaluation.patients import TEST_SEED
from pipelines.joint_classification.kinds import Dimensions
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder
from pipelines.joint_classification.prepare import INPUTS
from pipelines.joint_classification.training.cases import simulated
from pipelines.joint_classification.training.cohort import Cohort

MAPPED = {2: 24, 3: 12}  # diseased cases whose maps are looked at
TOLERANCE = {2: 6, 3: 2}  # pixels round a lesion that still count as pointing at it: 1 mm, and 0.6 mm
MOST_SIMILAR = 0.5  # rank correlation with the map of a network that has forgotten everything, or of another class


def maps(dimensions: Dimensions, model: Classifier, number: int | None = None) -> Measured:
    """Sanity, localisation and class-specificity of every method of `attention`.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    model
        The classifier to measure.
    number
        Diseased cases; None: as many as usual.
    """
    inputs = INPUTS[model.card.inputs]
    number = number or MAPPED[dimensions]
    test = simulated(dimensions, TEST_SEED + 5, 2 * number, inputs)
    answers = model.judge(test.images)
    seen = (test.labels > 0) & (answers.probabilities.argmax(1) == test.labels)
    large = test.lesions.reshape(len(test), -1).sum(1) >= 20
    chosen = test.take(np.flatnonzero(seen & large)[:number])
    tolerance = TOLERANCE[dimensions]
    forgetful = {
        "classifier": map_checks.randomised(model.network, 1, 0),
        "classifier and last stage": map_checks.randomised(model.network, 2, 1),
        "everything": map_checks.randomised(model.network, 3),
    }
    names = [name for name in attention.METHODS if dimensions == 2 or name != "occlusion"]
    rows = {name: _map_figures(attention.METHODS[name], model.network, chosen, forgetful, tolerance) for name in names}
    chance = [
        float(map_checks.widened(lesion, tolerance)[_bright(image)].mean())
        for image, lesion in zip(chosen.images[:, 0], chosen.lesions, strict=True)
    ]
    return {"cases": len(chosen), "chance": float(np.mean(chance)), "methods": rows, "shown": _shown(rows)}


def _bright(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where there is something to look at, so that chance is not measured in the shadow."""
    return np.asarray(image > np.quantile(image, 0.6))


def _map_figures(
    method: attention.Method,
    network: ConvolutionalSupervisedAutoEncoder,
    cases: Cohort,
    forgetful: dict[str, ConvolutionalSupervisedAutoEncoder],
    tolerance: int,
) -> Measured:
    points, overlaps, other_points, across = [], [], [], []
    kept: dict[str, list[float]] = {name: [] for name in forgetful}
    for number in range(len(cases)):
        x = torch.from_numpy(cases.images[number : number + 1])
        label, lesion = int(cases.labels[number]), cases.lesions[number]
        heat, other = method(network, x, label), method(network, x, 3 - label)  # 1 and 2: the two diseases
        points.append(map_checks.points_at(heat, lesion, tolerance))
        overlaps.append(map_checks.overlap(heat, lesion))
        other_points.append(map_checks.points_at(other, lesion, tolerance))
        across.append(map_checks.similarity(heat, other))
        if number % 4 == 0:
            for name, changed in forgetful.items():
                kept[name].append(map_checks.similarity(heat, method(changed, x, label)))
    return {
        "pointing": float(np.mean(points)),
        "iou": float(np.mean(overlaps)),
        "pointing_other_class": float(np.mean(other_points)),
        "similarity_other_class": float(np.mean(across)),
        "randomised": {name: float(np.mean(values)) for name, values in kept.items()},
    }


def _shown(rows: dict[str, Measured]) -> str:
    """The method that may be shown: the one that points best, of those that show the network and the class asked for.

    Their maps change when the network forgets, and differ from those of another class.
    """
    sane = [
        name
        for name, row in rows.items()
        if max(row["randomised"]["everything"], row["similarity_other_class"]) <= MOST_SIMILAR
    ]
    return max(sane, key=lambda name: (rows[name]["pointing"], rows[name]["iou"])) if sane else ""
